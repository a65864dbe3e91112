// The panel that tells everything of one subject.

import { ask } from "/static/js/api.js";
import { askWord, trying } from "/static/js/dialogs.js";
import { fileName, h, heading, number, put, share, title } from "/static/js/dom.js";
import { badges, picture, spoken } from "/static/js/pictures.js";
import { say, words } from "/static/js/say.js";
import { set, state, watch } from "/static/js/state.js";
import { inWords, involved, relabelable, suggestionOf, why } from "/static/js/why.js";

export class Detail {
  /** @param {HTMLElement} panel @param {() => object} context gives the overview and the words known for labels and tags */
  constructor(panel, context) {
    Object.assign(this, { panel, context });
    watch("id", () => this.load());
    words.addEventListener("said", () => this.load());
  }

  open(id) {
    // Whoever walks from partner to partner comes back to where the walk began.
    if (!state.id) this.before = document.activeElement;
    set({ id });
  }

  close() {
    set({ id: "" });
    if (this.before?.isConnected) this.before.focus();
    else document.activeElement?.blur();
  }

  async load() {
    this.panel.hidden = !state.id;
    document.body.classList.toggle("with-detail", Boolean(state.id));
    if (!state.id) return;
    const asked = state.id;
    const subject = await trying(() => ask(state.dataset, "subject", { version: this.context().version, id: asked }));
    if (!subject) return set({ id: "" });
    if (asked === state.id) this.show(subject);
    return undefined;
  }

  show(subject) {
    const fresh = this.panel.dataset.id !== subject.subject_id;
    this.panel.dataset.id = subject.subject_id;
    put(
      this.panel,
      this.header(subject),
      h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Everything known" }, [
        this.pictures(subject),
        this.actions(subject),
        this.reasons(subject),
        this.neighbours(subject),
        this.signals(subject),
        this.history(subject),
      ]),
    );
    if (fresh) this.panel.querySelector("h2").focus({ preventScroll: true });
  }

  header(subject) {
    return h(
      "header",
      { class: "row" },
      h("h2", { tabindex: -1 }, h("bdi", {}, fileName(subject.filepath))),
      h(
        "button",
        { type: "button", class: "plain", "aria-label": "Close", title: "Close (Esc)", onclick: () => this.close() },
        "×",
      ),
    );
  }

  pictures(subject) {
    return h(
      "figure",
      { class: "large" },
      picture(subject, { size: "large", crop: false, emphasised: involved(subject) }),
      h(
        "figcaption",
        {},
        h("bdi", { class: "muted path" }, subject.filepath),
        h("span", { class: "badges" }, badges(subject)),
      ),
    );
  }

  actions(subject) {
    const about = { ids: [subject.subject_id], frame: subject.frame };
    const version = this.context().version;
    const button = (text, run, kind = "") => h("button", { type: "button", class: kind, onclick: run }, text);
    const doubted = subject.issue_rows.find((row) => this.context().words[row.issue]?.relabels);
    const suggestion = suggestionOf(doubted?.evidence, subject);
    return h(
      "div",
      { class: "row wrap actions" },
      button("Keep", () => say({ ...about, kind: "keep" }, version)),
      button("Drop", () => say({ ...about, kind: "drop" }, version), "danger"),
      relabelable(subject) &&
        suggestion &&
        button(
          ["Relabel to ", h("bdi", {}, suggestion)],
          () => say({ ...about, kind: "relabel", value: suggestion }, version),
          "primary",
        ),
      relabelable(subject) && button("Relabel…", () => this.relabel(about, subject)),
      button("Tag…", () => this.tag(about)),
      (subject.tags ?? []).map((tag) =>
        button(["✕ ", h("bdi", {}, tag)], () => say({ ...about, kind: "untag", value: tag }, version), "chip"),
      ),
      subject.neighbors.length > 0 &&
        button("Similar to this", () =>
          set({ similar: subject.subject_id, frame: subject.frame, tab: "explore", id: "" }, { push: true }),
        ),
    );
  }

  async relabel(about, subject) {
    const value = await askWord({
      title: "Relabel",
      label: "Right label",
      value: String(subject.label ?? ""),
      words: await this.context().labels(),
      action: "Relabel",
    });
    if (value) say({ ...about, kind: "relabel", value }, this.context().version);
  }

  async tag(about) {
    const value = await askWord({ title: "Tag", label: "Tag", words: await this.context().tags(), action: "Tag" });
    if (value) say({ ...about, kind: "tag", value }, this.context().version);
  }

  reasons(subject) {
    if (!subject.issue_rows.length) return h("p", { class: "muted" }, "Nothing was found wrong with it.");
    return h(
      "section",
      {},
      h("h3", {}, "Why it is flagged"),
      subject.issue_rows.map((row) =>
        why(
          row,
          Object.values(row.evidence)
            .flat()
            .filter((id) => typeof id === "string" && subject.partners[id] && id !== subject.subject_id)
            .map((id) => subject.partners[id]),
          (id) => this.open(id),
        ),
      ),
    );
  }

  neighbours(subject) {
    if (!subject.neighbors.length) return null;
    const known = subject.neighbors.filter((row) => subject.partners[row.neighbor_id]).slice(0, 10);
    return h(
      "section",
      {},
      h("h3", {}, "Nearest to it"),
      subject.neighbor_labels.length > 0 &&
        h(
          "p",
          { class: "muted" },
          "Their labels: ",
          subject.neighbor_labels.map(({ label, count }, index) => [
            index > 0 && ", ",
            h("bdi", {}, label),
            ` ${count}`,
          ]),
        ),
      h(
        "div",
        { class: "strip" },
        known.map((row) => this.neighbour(subject.partners[row.neighbor_id], row.distance)),
      ),
    );
  }

  neighbour(subject, distance) {
    return h(
      "button",
      {
        type: "button",
        class: "partner",
        title: subject.filepath,
        "aria-label": `Show ${spoken(subject)}`,
        onclick: () => this.open(subject.subject_id),
      },
      picture(subject, { boxes: false }),
      h("span", { class: "muted" }, `d ${number(distance)}`),
    );
  }

  signals(subject) {
    const groups = Map.groupBy ? Map.groupBy(subject.signals, (row) => row.group) : groupBy(subject.signals);
    return h(
      "section",
      {},
      h("h3", {}, "Signals"),
      [...groups].map(([group, rows]) =>
        h(
          "div",
          { class: "signals" },
          h("h4", {}, heading(group)),
          h("table", {}, h("tbody", {}, rows.map(signalRow))),
        ),
      ),
    );
  }

  history(subject) {
    if (!subject.history.length) return null;
    const line = (row) =>
      h(
        "li",
        { class: row.undone_at ? "undone" : "" },
        `${row.at.slice(0, 16).replace("T", " ")} `,
        h("bdi", {}, row.by),
        `: ${row.kind}`,
        row.value && [" ", h("bdi", {}, row.value)],
        row.undone_at && " (undone)",
      );
    return h("section", {}, h("h3", {}, "Decisions"), h("ul", { class: "history" }, subject.history.map(line)));
  }
}

function groupBy(rows) {
  const groups = new Map();
  for (const row of rows) groups.set(row.group, [...(groups.get(row.group) ?? []), row]);
  return groups;
}

function signalRow({ name, value, below, kind }) {
  const shown =
    kind === "time"
      ? String(value).slice(0, 19).replace("T", " ")
      : Array.isArray(value)
        ? value.join(", ")
        : inWords(value);
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, title(name)),
    h("td", {}, h("bdi", {}, shown)),
    h("td", { class: "muted" }, below === null ? "" : `above ${share(below)}`),
  );
}
