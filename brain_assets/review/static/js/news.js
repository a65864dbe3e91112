// What is new since a run: images, issues, and every number's course.

import { ask } from "/static/js/api.js";
import { newest, trying } from "/static/js/dialogs.js";
import { $, h, number, plural, put, s, title } from "/static/js/dom.js";
import { NOTHING_SOUGHT, set, state, watch } from "/static/js/state.js";

/** Stands for the time before anything was there. */
const BEGINNING = "beginning";

export class News {
  /** @param {() => object} context */
  constructor(context) {
    Object.assign(this, { context, panel: $("#news"), asked: newest(), explained: newest(), past: h("label", { hidden: true }) });
    watch("tab before after", (changed) => state.tab === "news" && (changed.includes("tab") ? this.enter() : this.load()));
  }

  enter() {
    const { runs } = this.context();
    const known = new Set([BEGINNING, ...runs.map((run) => run.run_id)]);
    const [after, before] = [runs[0]?.run_id, runs[1]?.run_id ?? BEGINNING];
    if (!after) return put(this.panel, h("p", { class: "empty-note" }, "No finished run has been published yet."));
    const chosen = {
      before: known.has(state.before) ? state.before : before,
      after: known.has(state.after) ? state.after : after,
    };
    if (chosen.before === state.before && chosen.after === state.after) this.load();
    else set(chosen);
    return undefined;
  }

  async load() {
    const asked = { version: this.context().version, before: state.before, after: state.after };
    const news = await this.asked(() => ask(state.dataset, "news", asked));
    if (!news) return;
    this.draw(news);
    this.offerVersions();
    const lines = await this.explained(() => ask(state.dataset, "changes", asked));
    if (lines) this.explain(lines);
  }

  /** What is different, and why: as `brain diff` tells it. */
  explain(lines) {
    put($("#news-why"), h("h3", {}, "What changed, and why"), h("pre", {}, lines.join("\n")));
  }

  draw(news) {
    put(
      this.panel,
      h(
        "header",
        { class: "row wrap" },
        h("h2", {}, "What is new"),
        this.choose("before", "since the run of"),
        this.choose("after", "up to the run of"),
        this.past,
      ),
      h(
        "div",
        { class: "tiles" },
        this.tile("images added", news.added, news),
        this.tile("images changed", news.changed, news),
        news.issues.map((row) => this.tile(this.context().words[row.issue]?.title ?? title(row.issue), row.count, news, row.issue)),
      ),
      news.added + news.changed === 0 && h("p", { class: "muted" }, "No image came or changed between these runs."),
      h("section", { id: "news-why" }),
      news.metrics.length > 0 && h("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "Metrics" }, this.table(news.metrics)),
    );
  }

  /** What was published before can be shown as it was. */
  async offerVersions() {
    this.versions ??= { of: null };
    const { version } = this.context();
    if (this.versions.of !== version) this.versions = { of: version, list: (await trying(() => ask(state.dataset, "versions"))) ?? [] };
    const { list } = this.versions;
    const entries = list.map(({ number: place, name, samples }) =>
      h("option", { value: place, selected: String(place) === state.at }, `${name}${samples === null ? "" : `: ${plural(samples, "image")}`}`),
    );
    const choose = (event) => set({ at: event.target.value, tab: "overview" }, { push: true });
    put(this.past, "Show it as it was at ", h("select", { onchange: choose }, h("option", { value: "", selected: !state.at }, "now"), entries.slice(1)));
    this.past.hidden = list.length < 2;
  }

  choose(key, words) {
    const { runs } = this.context();
    const id = `news-${key}`;
    return h(
      "label",
      { for: id },
      `${words} `,
      h(
        "select",
        { id, onchange: (event) => set({ [key]: event.target.value }) },
        key === "before" && h("option", { value: BEGINNING, selected: state.before === BEGINNING }, "the beginning"),
        runs.map((run) =>
          h(
            "option",
            { value: run.run_id, selected: run.run_id === state[key] },
            `${run.finished_at.slice(0, 16).replace("T", " ")} (${run.run_id.slice(0, 8)})`,
          ),
        ),
      ),
    );
  }

  /** A number that leads to the images it counts. */
  tile(words, count, { from, to }, issue) {
    const filters = { changed_at: [from + 0.000001, to], ...(issue ? { issues: [issue] } : {}) };
    return h(
      "button",
      {
        type: "button",
        class: "tile",
        disabled: count === 0,
        onclick: () =>
          set({ tab: "explore", frame: "images", filters, where: "", text: "", ...NOTHING_SOUGHT }, { push: true }),
      },
      h("strong", {}, number(count)),
      h("span", {}, words),
    );
  }

  table(metrics) {
    const change = (row) => (row.before === null || row.after === null ? null : row.after - row.before);
    return h(
      "table",
      { class: "metrics" },
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          ["Metric", "Then", "Now", "Change", "Course"].map((name) => h("th", { scope: "col" }, name)),
        ),
      ),
      h(
        "tbody",
        {},
        metrics.map((row) =>
          h(
            "tr",
            {},
            h("th", { scope: "row" }, title(row.metric)),
            h("td", {}, number(row.before)),
            h("td", {}, number(row.after)),
            h("td", {}, change(row) === null ? "–" : (change(row) > 0 ? "+" : "") + number(change(row))),
            h("td", {}, course(row.course)),
          ),
        ),
      ),
    );
  }
}

function course(values) {
  const known = values.filter((value) => value !== null);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const at = (value, index) =>
    `${known.length > 1 ? (index / (known.length - 1)) * 96 + 2 : 50},${22 - ((value - low) / (high - low || 1)) * 20}`;
  return s(
    "svg",
    { class: "course", viewBox: "0 0 100 24", "aria-hidden": "true" },
    s("polyline", { points: known.map(at).join(" ") }),
  );
}
