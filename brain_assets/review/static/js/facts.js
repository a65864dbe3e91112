// All that is known of one subject, and what can be said of it.

import { askWord } from "/static/js/dialogs.js";
import { h, heading, number, share, title } from "/static/js/dom.js";
import { badges, picture, spoken } from "/static/js/pictures.js";
import { say } from "/static/js/say.js";
import { NOTHING_SOUGHT, set } from "/static/js/state.js";
import { compareButton, inWords, relabelable, suggestionOf, why } from "/static/js/why.js";

export class Facts {
  /** @param {{open: (id: string) => void, compare: (id: string) => void}} ways @param {() => object} context */
  constructor(ways, context) {
    Object.assign(this, { ...ways, context });
  }

  /** All that is known of a subject, as blocks; `objects` is the list of what is in it. */
  of(subject, objects) {
    return [
      this.name(subject),
      this.actions(subject),
      objects,
      this.reasons(subject),
      this.neighbours(subject),
      this.signals(subject),
      this.history(subject),
    ];
  }

  name(subject) {
    return h(
      "div",
      { class: "named" },
      h("bdi", { class: "muted path" }, subject.filepath),
      h("span", { class: "badges" }, badges(subject)),
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
      subject.frame === "images" && button("Confirm", () => say({ ...about, kind: "confirm" }, version)),
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
      this.context().frames?.[subject.frame]?.alike.length > 0 &&
        button("Similar to this", () =>
          set(
            { ...NOTHING_SOUGHT, similar: subject.subject_id, frame: subject.frame, tab: "explore", id: "", beside: "" },
            { push: true },
          ),
        ),
    );
  }

  /** What the keys say of a subject. */
  keys(subject) {
    if (!subject) return {};
    const about = { ids: [subject.subject_id], frame: subject.frame };
    const one = (kind) => () => say({ ...about, kind }, this.context().version);
    return {
      k: one("keep"),
      ...(subject.frame === "images" ? { c: one("confirm") } : {}),
      d: one("drop"),
      t: () => this.tag(about),
      r: () => relabelable(subject) && this.relabel(about, subject),
    };
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
    const own = (row) => (row.object_id ?? row.sample_id) === subject.subject_id;
    const others = subject.issue_rows.filter((row) => !own(row));
    return [
      h(
        "section",
        {},
        h("h3", {}, "Why it is flagged"),
        subject.issue_rows.filter(own).map((row) => this.reason(subject, row)),
        others.length === subject.issue_rows.length && h("p", { class: "muted" }, "Nothing was found wrong with itself."),
      ),
      others.length > 0 &&
        h(
          "section",
          {},
          h("h3", {}, subject.frame === "objects" ? "In the same image" : "In it"),
          others.map((row) => this.reason(subject, row)),
        ),
    ];
  }

  reason(subject, row) {
    const partners = Object.values(row.evidence)
      .flat()
      .filter((id) => typeof id === "string" && subject.partners[id] && id !== subject.subject_id)
      .map((id) => subject.partners[id]);
    const about = row.object_id && row.object_id !== subject.subject_id ? row.object_id : undefined;
    return why(row, partners, this, { about });
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
      "span",
      { class: "slot" },
      h(
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
      ),
      compareButton(subject, this.compare),
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
        `: ${row.kind.replaceAll("_", " ")}`,
        row.kind === "relabel" && [" ", h("bdi", {}, row.value)],
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
