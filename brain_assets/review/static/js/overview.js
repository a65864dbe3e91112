// The first screen: which issue comes first and why, how many true problems to expect of each, and what the last run changed.

import { ask } from "/static/js/api.js";
import { newest } from "/static/js/dialogs.js";
import { $, h, heading, number, plural, put } from "/static/js/dom.js";
import { picture, spoken } from "/static/js/pictures.js";
import { words } from "/static/js/say.js";
import { NOTHING_SOUGHT, set, state, watch } from "/static/js/state.js";

const SAID = { keep: "kept", drop: "dropped", confirm: "confirmed", relabel: "relabelled", draw: "drawn", reshape: "moved" };

export class Overview {
  /** @param {(id: string) => void} openDetail @param {() => object} context */
  constructor(openDetail, context) {
    Object.assign(this, { openDetail, context, panel: $("#overview"), asked: newest() });
    watch("tab", () => state.tab === "overview" && this.enter());
    words.addEventListener("said", () => state.tab === "overview" && this.enter());
  }

  async enter() {
    const { version } = this.context();
    const found = await this.asked(() => ask(state.dataset, "first", { version }));
    if (found && state.tab === "overview") this.draw(found);
  }

  draw({ issues, worst, since, reviewers }) {
    const open = issues.filter((row) => row.left > 0);
    const done = issues.filter((row) => row.count > 0 && row.left === 0);
    const under = issues.filter((row) => row.count === 0);
    const [next, ...others] = open;
    const grave = others.filter((row) => !row.notice);
    const notices = others.filter((row) => row.notice);
    put(
      this.panel,
      this.head(since),
      next ? this.next(next, worst[next.issue] ?? [], since) : this.nothing(issues),
      this.section("Then", grave, worst, since),
      this.section("May well be meant", notices, worst, since),
      this.section("Reviewed", done, worst, since),
      under.length > 0 &&
        h(
          "p",
          { class: "muted" },
          "Nothing flagged, but something below the threshold: ",
          under.map((row, index) => [index > 0 && ", ", this.below(row)]),
        ),
      this.reviewers(reviewers),
    );
  }

  head(since) {
    const { images, objects } = this.context().frames;
    const counted = [plural(images.count, "image"), objects && plural(objects.count, "object")].filter(Boolean).join(", ");
    const came = since && [since.added > 0 && `${number(since.added)} added`, since.changed > 0 && `${number(since.changed)} changed`];
    return h(
      "header",
      { class: "row wrap between" },
      h("h2", {}, `${counted}`),
      since &&
        h(
          "span",
          { class: "row" },
          h("span", { class: "muted" }, `Last run: ${came.filter(Boolean).join(", ") || "no image came or changed"}`),
          h("button", { type: "button", class: "plain", onclick: () => set({ tab: "news" }, { push: true }) }, "What is new"),
        ),
    );
  }

  nothing(issues) {
    const text = issues.some((row) => row.count) ? "Everything that was flagged has been reviewed." : "Nothing was found wrong.";
    return h("section", { class: "next" }, h("h3", {}, text), h("p", {}, "Look around on the map, or search for what you know is hard."));
  }

  /** What to do next, at length. */
  next(row, cards, since) {
    const said = this.said(row.issue);
    return h(
      "section",
      { class: "next", "aria-labelledby": "next-title" },
      h("p", { class: "muted" }, "Next"),
      h("h3", { id: "next-title" }, said.title),
      h("p", { class: "expected" }, this.counts(row, since)),
      h("p", {}, said.meaning, " ", h("strong", {}, said.advice)),
      this.strip(cards),
      h("div", { class: "row wrap" }, this.review(row, "primary"), this.onMap(row, cards)),
    );
  }

  section(title, rows, worst, since) {
    if (!rows.length) return null;
    return h(
      "section",
      {},
      h("h3", {}, title),
      h("ul", { class: "issues" }, rows.map((row) => this.entry(row, worst[row.issue] ?? [], since))),
    );
  }

  entry(row, cards, since) {
    return h(
      "li",
      { data: { issue: row.issue } },
      h("div", {}, h("h4", {}, this.said(row.issue).title), h("p", { class: "expected" }, this.counts(row, since))),
      this.strip(cards),
      h("div", { class: "row wrap" }, this.review(row), this.onMap(row, cards)),
    );
  }

  /** How many are flagged, left, and expected to be true, and by what rule. */
  counts(row, since) {
    const moved = since?.issues[row.issue] ?? 0;
    const expected = Math.round(row.expected);
    const between = row.low === null ? "" : ` (${number(Math.round(row.low))} to ${number(Math.round(row.high))})`;
    return [
      h("strong", {}, `${number(row.count)} flagged`),
      moved !== 0 && h("span", { class: moved > 0 ? "moved up" : "moved" }, ` ${moved > 0 ? "+" : "−"}${number(Math.abs(moved))} since the run before`),
      row.left < row.count && `, ${number(row.left)} left to review`,
      row.left > 0 && expected < row.left && `, ${expected ? `about ${number(expected)}` : "hardly any"} true${between}`,
      row.left > 0 && h("span", { class: "muted" }, `, ${row.rule}`),
    ];
  }

  strip(cards) {
    return h(
      "div",
      { class: "strip" },
      cards.map((card) =>
        h(
          "button",
          { type: "button", class: "partner", title: card.filepath, "aria-label": `Show ${spoken(card)}`, onclick: () => this.openDetail(card.subject_id) },
          picture(card, { boxes: false }),
        ),
      ),
    );
  }

  review(row, kind = "") {
    const text = row.left ? `Review ${number(row.left)}` : "Look again";
    return h(
      "button",
      { type: "button", class: kind, onclick: () => set({ tab: "queue", issue: row.issue, reviewed: !row.left, below: false }, { push: true }) },
      text,
    );
  }

  onMap(row, cards) {
    const frame = cards[0]?.frame ?? "images";
    const filters = { issues: [row.issue] };
    return h(
      "button",
      { type: "button", onclick: () => set({ tab: "explore", frame, filters, where: "", text: "", ...NOTHING_SOUGHT }, { push: true }) },
      "On the map",
    );
  }

  /** Who decided how much, and how far two agree on what both decided. */
  reviewers({ people, pairs }) {
    if (!people.length) return null;
    const row = ({ by, decisions, subjects, kinds, last }) =>
      h(
        "tr",
        {},
        h("th", { scope: "row" }, by),
        [number(decisions), number(subjects)].map((count) => h("td", {}, count)),
        h("td", {}, Object.entries(kinds).map(([kind, count]) => `${number(count)} ${SAID[kind] ?? kind}`).join(", ")),
        h("td", {}, last.slice(0, 16).replace("T", " ")),
      );
    const names = ["Reviewer", "Decisions", "Images and objects", "What was said", "Last (UTC)"];
    return h(
      "section",
      { class: "reviewers", "aria-labelledby": "reviewers-title" },
      h("h3", { id: "reviewers-title" }, "Reviewers"),
      h(
        "div",
        { class: "wide", tabindex: "0", role: "region", "aria-labelledby": "reviewers-title" },
        h("table", { class: "metrics" }, h("thead", {}, h("tr", {}, names.map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, people.map(row))),
      ),
      pairs.map(({ by, both, same, kappa }) =>
        h(
          "p",
          {},
          `${by[0]} and ${by[1]} agree on ${number(same)} of ${number(both)} that both decided`,
          kappa !== null && h("span", { class: "muted" }, ` (Cohen's kappa ${kappa.toFixed(2)}: 0 is chance, 1 is always)`),
        ),
      ),
    );
  }

  below(row) {
    return h(
      "button",
      { type: "button", class: "plain", onclick: () => set({ tab: "queue", issue: row.issue, below: true }, { push: true }) },
      `${this.said(row.issue).title} (${number(row.below)})`,
    );
  }

  said(issue) {
    return this.context().words[issue] ?? { title: heading(issue), meaning: "", advice: "" };
  }
}
