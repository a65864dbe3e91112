// The queue of an issue, most severe first, worked through by keyboard.

import { ask } from "/static/js/api.js";
import { askWord, newest } from "/static/js/dialogs.js";
import { $, h, heading, number, plural, put, typing } from "/static/js/dom.js";
import { badges, picture } from "/static/js/pictures.js";
import { correct, say, undo, words } from "/static/js/say.js";
import { set, state, watch } from "/static/js/state.js";
import { drawShapes, layerKey, layers, layerSwitches } from "/static/js/shapes.js";
import { Viewer, together } from "/static/js/viewer.js";
import { involved, relabelable, suggestionOf, why } from "/static/js/why.js";

/** What the outlines in two pictures mean, and how much differs inside them. */
function sharedNote({ change }) {
  const differs = change === null ? "" : `; no place in it differs by more than ${number(Math.ceil(change))} grey levels`;
  return `Outlined: what both show${differs}`;
}

export class Queue {
  /** @param {(id: string) => void} openDetail @param {() => object} context @param {Threshold} threshold */
  constructor(openDetail, context, threshold) {
    Object.assign(this, { openDetail, context, threshold, items: [], at: 0, done: new Map() });
    this.panel = $("#queue");
    this.viewers = [new Viewer("Image"), new Viewer("Image it was compared with")];
    together(...this.viewers);
    layers.addEventListener("changed", () => this.viewers.forEach((viewer) => viewer.place()));
    this.asked = newest();
    // One load for a change of both: a second one would end after the first decision, and forget it.
    watch("tab issue reviewed below", (changed) => state.tab === "queue" && (changed.includes("tab") ? this.enter() : this.load()));
    addEventListener("keydown", (event) => state.tab === "queue" && this.key(event));
    words.addEventListener("said", ({ detail }) => this.takenBack(detail));
  }

  enter() {
    this.listIssues();
    const { issues } = this.context();
    if (!state.issue && issues.length) set({ issue: issues[0].issue });
    else this.load();
  }

  listIssues() {
    const { issues } = this.context();
    const entry = ({ issue, count }) =>
      h(
        "li",
        {},
        h(
          "button",
          { type: "button", "aria-current": issue === state.issue ? "true" : undefined, onclick: () => set({ issue, below: false }) },
          h("span", {}, this.words(issue).title),
          h("span", { class: "count" }, number(count)),
        ),
      );
    put(
      $("#issue-list"),
      issues.length ? issues.map(entry) : h("li", { class: "muted" }, "Nothing was found wrong yet."),
    );
  }

  async load() {
    this.listIssues();
    const { issue, reviewed, below } = state;
    if (!issue) return put(this.panel, h("p", { class: "empty-note" }, "No issues to review."));
    const found = await this.asked(() => ask(state.dataset, "queue", { version: this.context().version, issue, reviewed, below }));
    if (!found) return undefined;
    Object.assign(this, { items: found.items, total: found.total, remaining: found.remaining, under: found.below, at: 0, done: new Map() });
    this.draw();
    return undefined;
  }

  /** What the server says of an issue: title, meaning, advice, and whether another label settles it. */
  words(issue) {
    return this.context().words[issue] ?? { title: heading(issue), meaning: "", advice: "", relabels: false };
  }

  get item() {
    return this.items[this.at];
  }

  // -- what is shown

  draw() {
    const { item } = this;
    if (!item) {
      put(
        this.panel,
        this.progress(),
        this.threshold.of(state.issue),
        h(
          "div",
          { class: "empty-note" },
          h("h2", { tabindex: -1 }, "All done"),
          h("p", {}, `Nothing is left to review for “${this.words(state.issue).title}”.`),
          h("label", {}, this.reviewedBox(), " Show what was reviewed"),
        ),
      );
      this.panel.querySelector("h2").focus();
      return;
    }
    put(this.panel, this.progress(), this.threshold.of(state.issue), this.stage(item), this.bar(item));
    this.preload();
  }

  progress() {
    const decided = this.done.size;
    return h(
      "header",
      { class: "row wrap between" },
      h("h2", { title: this.words(state.issue).meaning }, this.words(state.issue).title),
      h(
        "span",
        { role: "status", id: "queue-status" },
        this.items.length
          ? `${number(Math.min(this.at + 1, this.items.length))} of ${number(this.remaining)} · ${number(this.total)} ${state.below ? "below the threshold" : "flagged"} · ${plural(decided, "decision")}`
          : "",
      ),
      h("span", { class: "row wrap" }, layerSwitches(this.item?.subject.boxes ?? [])),
      (this.under > 0 || state.below) && h("label", {}, this.belowBox(), ` Below the threshold (${number(this.under)})`),
      h("label", {}, this.reviewedBox(), " Show reviewed"),
    );
  }

  belowBox() {
    return h("input", { type: "checkbox", checked: state.below, onchange: (event) => set({ below: event.target.checked }) });
  }

  reviewedBox() {
    return h("input", {
      type: "checkbox",
      checked: state.reviewed,
      onchange: (event) => set({ reviewed: event.target.checked }),
    });
  }

  stage(item) {
    const { subject, partners } = item;
    // What lies in the same image is marked there.
    const beside = partners.filter((one) => one.sample_id !== subject.sample_id).slice(0, 1);
    return h(
      "div",
      { class: beside.length ? "stage paired" : "stage", data: { id: item.subject_id } },
      h(
        "figure",
        { class: "large" },
        this.view(0, subject, involved(subject, item.evidence), beside.length ? item.shared?.subject : undefined),
        h(
          "figcaption",
          {},
          h("span", { class: "labels big" }, "Label: ", h("bdi", {}, [subject.label].flat().join(", ") || "none")),
          h("bdi", { class: "muted path" }, subject.filepath),
          h("span", { class: "badges" }, badges(subject)),
        ),
      ),
      beside.map((partner) =>
        h(
          "figure",
          { class: "large partner-figure" },
          this.view(1, partner, involved(partner), item.shared?.partner),
          h(
            "figcaption",
            {},
            h("span", { class: "labels big" }, h("bdi", {}, [partner.label].flat().join(", "))),
            h("bdi", { class: "muted path" }, partner.filepath),
            partner.split && h("span", { class: "muted" }, partner.split),
            item.shared && h("span", { class: "muted shared-note" }, sharedNote(item.shared)),
          ),
        ),
      ),
      this.reason(
        item,
        partners.filter((one) => !beside.includes(one)),
      ),
    );
  }

  /** Shows a subject in a viewer, with its objects and what a copy shows of it. */
  view(index, subject, emphasised, shared) {
    const viewer = this.viewers[index];
    // What objects share is told of their crops.
    const part = subject.object_id ? undefined : shared;
    viewer.paint = () => drawShapes(viewer, subject.boxes ?? [], { emphasised, shared: part });
    viewer.show(subject);
    return viewer.root;
  }

  /** Who stands so many places after a subject in the queue. */
  beside(subject, by) {
    const place = this.place(subject);
    return (place && this.items[place.index + by]?.subject_id) ?? null;
  }

  place(subject) {
    const index = this.items.findIndex((item) => item.subject_id === subject.subject_id);
    return index < 0 ? null : { index, count: this.items.length };
  }

  reason(item, others) {
    const suggestion = suggestionOf(item.evidence, item.subject);
    const decided = this.done.get(item.subject_id);
    return h(
      "aside",
      { class: "reason" },
      decided && h("p", { class: "decided", role: "status" }, `Decided: ${decided.text}`),
      h("p", { class: "muted advice" }, this.words(state.issue).advice),
      why(item, others, { open: (id) => this.openDetail(id) }, { beside: item.partners }),
      suggestion &&
        this.isLabelIssue() &&
        h("p", { class: "suggestion" }, "Suggested label: ", h("strong", {}, h("bdi", {}, suggestion))),
      h(
        "button",
        { type: "button", class: "plain", onclick: () => this.openDetail(item.subject_id) },
        "Everything known (I)",
      ),
    );
  }

  isLabelIssue() {
    return this.words(state.issue).relabels;
  }

  bar(item) {
    const suggestion = suggestionOf(item.evidence, item.subject);
    const button = (key, text, run, kind = "") =>
      h("button", { type: "button", class: kind, onclick: run, "aria-keyshortcuts": key }, text, h("kbd", {}, key));
    return h(
      "div",
      { class: "row wrap actions bar", role: "toolbar", "aria-label": "Decide" },
      button("K", "Keep", () => this.decide("keep")),
      this.canAdd(item) && button("A", "Add this object", () => this.decide("confirm"), "primary"),
      this.boxFor(item) && button("M", "Take the model's box", () => this.decide("reshape"), "primary"),
      !item.object_id && button("C", "Confirm", () => this.decide("confirm")),
      button("D", "Drop", () => this.decide("drop"), "danger"),
      relabelable(item.subject) &&
        suggestion &&
        this.isLabelIssue() &&
        button("R", ["Relabel to ", h("bdi", {}, suggestion)], () => this.decide("relabel", suggestion), "primary"),
      relabelable(item.subject) && button("L", "Other label…", () => this.relabel()),
      button("T", "Tag…", () => this.tag()),
      button("S", "Skip", () => this.step(1)),
      button("U", "Undo", () => this.undo()),
      button("←", "Back", () => this.step(-1)),
    );
  }

  canAdd(item) {
    return Boolean(item.object_id) && item.subject.source !== "ground_truth";
  }

  /** The model's box that a label could have, where the queue is about boxes. */
  boxFor(item) {
    const found = item.issue === "bad_box" && item.subject.source === "ground_truth" && item.evidence.matched;
    return found && item.subject.boxes?.some((box) => box.object_id === found) ? found : null;
  }

  /** Notes a decision: of an object as a correction of its image, else of the subject. */
  note(item, kind, value) {
    const { version } = this.context();
    const { issue } = state;
    const asked = { version, kind, issue };
    if (kind === "reshape") return this.corrected(item, { ...asked, like: this.boxFor(item) });
    if (kind === "confirm" && item.object_id) return this.corrected(item, asked);
    return say({ kind, value, issue, ids: [item.subject_id], frame: item.subject.frame, quiet: true }, version);
  }

  async corrected(item, { version, ...asked }) {
    return (await correct(item.sample_id, { ...asked, object: item.object_id }, version))?.event_id;
  }

  preload() {
    for (const next of this.items.slice(this.at + 1, this.at + 4))
      picture(next.subject, { size: "large", crop: false, boxes: false })
        .querySelector("img")
        ?.setAttribute("loading", "eager");
  }

  // -- deciding

  step(by) {
    this.at = Math.max(0, Math.min(this.items.length, this.at + by));
    if (this.at >= this.items.length && this.remaining > this.items.length) this.load();
    else this.draw();
  }

  /** Notes a decision and goes on; one on the same subject before it is taken back first. */
  async decide(kind, value) {
    const { item } = this;
    if (!item || this.busy) return;
    this.busy = true;
    try {
      const earlier = this.done.get(item.subject_id);
      if (earlier) await undo(earlier.event);
      const event = await this.note(item, kind, value);
      if (!event) return;
      this.done.set(item.subject_id, {
        event,
        text: { relabel: `relabel to “${value}”`, reshape: "the model's box" }[kind] ?? kind,
      });
      this.step(1);
    } finally {
      this.busy = false;
    }
  }

  async relabel() {
    const { item } = this;
    const value =
      item &&
      (await askWord({
        title: "Relabel",
        label: "Right label",
        value: suggestionOf(item.evidence, item.subject),
        words: await this.context().labels(),
        action: "Relabel",
      }));
    if (value) this.decide("relabel", value);
  }

  async tag() {
    const { item } = this;
    const value =
      item && (await askWord({ title: "Tag", label: "Tag", words: await this.context().tags(), action: "Tag" }));
    if (!value) return;
    await say(
      { kind: "tag", value, issue: state.issue, ids: [item.subject_id], frame: item.subject.frame },
      this.context().version,
    );
    item.subject.tags = [...new Set([...(item.subject.tags ?? []), value])];
    this.draw();
  }

  async undo() {
    const last = [...this.done.values()].at(-1);
    await undo(last?.event);
  }

  /** Goes back to a subject whose decision was taken back. */
  takenBack({ event, undone }) {
    if (!undone || state.tab !== "queue") return;
    const found = [...this.done].find(([, decision]) => decision.event === event);
    if (!found) return;
    this.done.delete(found[0]);
    this.at = this.items.findIndex((item) => item.subject_id === found[0]);
    if (!this.busy) this.draw();
  }

  key(event) {
    if (typing(event) || state.id || event.ctrlKey || event.metaKey || event.altKey) return;
    const { item } = this;
    const suggestion = item && this.isLabelIssue() && suggestionOf(item.evidence, item.subject);
    const runs = {
      k: () => this.decide("keep"),
      d: () => this.decide("drop"),
      c: () => item && !item.object_id && this.decide("confirm"),
      a: () => item && this.canAdd(item) && this.decide("confirm"),
      m: () => item && this.boxFor(item) && this.decide("reshape"),
      r: () => suggestion && this.decide("relabel", suggestion),
      l: () => item && relabelable(item.subject) && this.relabel(),
      t: () => this.tag(),
      s: () => this.step(1),
      ArrowRight: () => this.step(1),
      ArrowLeft: () => this.step(-1),
      u: () => this.undo(),
      i: () => item && this.openDetail(item.subject_id),
    };
    const run = runs[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!run && layerKey(event.key)) this.draw();
    if (!run) return;
    event.preventDefault();
    run();
  }
}
