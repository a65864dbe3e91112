// Groups of duplicates side by side, the proposed keeper first.

import { ask } from "/static/js/api.js";
import { newest } from "/static/js/dialogs.js";
import { $, h, number, plural, put, title, typing } from "/static/js/dom.js";
import { badges, picture, spoken } from "/static/js/pictures.js";
import { say, sayOfPairs, undo, words } from "/static/js/say.js";
import { set, state, watch } from "/static/js/state.js";

export class Groups {
  /** @param {(id: string) => void} openDetail @param {() => object} context @param {(one: string, other: string) => void} compare */
  constructor(openDetail, context, compare) {
    Object.assign(this, { openDetail, context, compare, groups: [], at: 0 });
    this.panel = $("#groups");
    this.asked = newest();
    watch("tab table brain_key", (changed) => state.tab === "groups" && (changed.includes("tab") ? this.enter() : this.load(0)));
    addEventListener("keydown", (event) => state.tab === "groups" && this.key(event));
    words.addEventListener("said", () => state.tab === "groups" && this.load(this.offset, { stay: true }));
  }

  enter() {
    const runs = this.context().groups;
    const known = runs.some((run) => run.table === state.table && run.brain_key === state.brain_key);
    if (!known && runs.length) set({ table: runs.at(-1).table, brain_key: runs.at(-1).brain_key });
    else this.load(0);
  }

  async load(offset, { stay = false } = {}) {
    if (!state.table)
      return put(this.panel, h("p", { class: "empty-note" }, "No groups of duplicates have been published."));
    const asked = { version: this.context().version, table: state.table, brain_key: state.brain_key, offset };
    const found = await this.asked(() => ask(state.dataset, "groups", asked));
    if (!found) return undefined;
    Object.assign(this, { groups: found.groups, total: found.total, offset });
    if (!stay) this.at = 0;
    this.draw();
    return undefined;
  }

  draw() {
    const runs = this.context().groups;
    const choose = h(
      "select",
      {
        "aria-label": "Kind of duplicates",
        onchange: (event) =>
          set({ table: runs[event.target.value].table, brain_key: runs[event.target.value].brain_key }),
      },
      runs.map((run, index) =>
        h(
          "option",
          { value: index, selected: run.table === state.table && run.brain_key === state.brain_key },
          `${title(run.table)}${run.brain_key === run.table ? "" : ` (${run.brain_key})`}: ${plural(run.groups, "group")}`,
        ),
      ),
    );
    const page = (text, by) =>
      h(
        "button",
        {
          type: "button",
          disabled: this.offset + by < 0 || this.offset + by >= this.total,
          onclick: () => this.load(this.offset + by),
        },
        text,
      );
    put(
      this.panel,
      h(
        "header",
        { class: "row wrap between" },
        choose,
        h("span", { class: "muted keyboard" }, "↑ ↓ group · A accept proposal · K keep all · C compare · 1–9 choose keeper · U undo"),
        h(
          "span",
          { class: "row wrap" },
          page("←", -25),
          h(
            "span",
            {},
            `${number(this.offset + 1)}–${number(Math.min(this.total, this.offset + 25))} of ${number(this.total)}`,
          ),
          page("→", 25),
        ),
      ),
      h(
        "div",
        { class: "group-list" },
        this.groups.map((group, index) => this.group(group, index)),
      ),
    );
    this.mark();
  }

  group({ members, group_id: id }, index) {
    return h(
      "section",
      {
        class: "duplicates",
        data: { group: id },
        "aria-label": `Group ${this.offset + index + 1}`,
        onpointerdown: () => this.move(index),
      },
      h(
        "header",
        { class: "row wrap between" },
        h("h3", {}, plural(members.length, "copy", "copies")),
        h(
          "span",
          { class: "row wrap" },
          h(
            "button",
            { type: "button", class: "primary", onclick: () => this.accept(index) },
            "Accept: drop ",
            number(members.length - 1),
          ),
          h("button", { type: "button", onclick: () => this.keepAll(index) }, "Keep all"),
          this.groups[index].decided &&
            h("span", { class: "badge good" }, this.groups[index].decided === "not_copy" ? "no copies" : "same scene"),
          members[0].subject.frame === "images" && [
            h("button", { type: "button", onclick: () => this.sayOfPairs("not_copy", index), title: "Never ask again" }, "Not copies"),
            h("button", { type: "button", onclick: () => this.sayOfPairs("same_scene", index), title: "Never ask again" }, "Same scene"),
          ],
        ),
      ),
      h(
        "div",
        { class: "members" },
        members.map((member, order) => this.member(member, order, index)),
      ),
    );
  }

  member({ subject, keep, reason, distance, kind, shared }, order, index) {
    return h(
      "article",
      { class: keep ? "member keeper" : "member" },
      h(
        "button",
        {
          type: "button",
          class: "open",
          "aria-label": `Show ${spoken(subject)}`,
          onclick: () => this.openDetail(subject.subject_id),
        },
        picture(subject, { crop: true, shared: shared?.subject }),
      ),
      h(
        "span",
        { class: "badges" },
        keep
          ? h("span", { class: "badge good" }, "proposed keeper")
          : h(
              "span",
              { class: "badge" },
              kind ?? (distance === undefined || distance === null ? "copy" : `d ${number(distance)}`),
            ),
        badges({ ...subject, issues: [] }),
      ),
      h("bdi", { class: "path" }, subject.filepath),
      h("span", { class: "muted" }, [subject.split, [subject.label].flat().join(", ")].filter(Boolean).join(" · ")),
      h("span", { class: "muted" }, reason),
      h(
        "span",
        { class: "row wrap" },
        h(
          "button",
          { type: "button", class: "small", onclick: () => this.accept(index, order) },
          `Keep only this (${order + 1})`,
        ),
        order > 0 &&
          h(
            "button",
            { type: "button", class: "small", onclick: () => this.compareWith(index, order), "aria-label": `Compare ${spoken(subject)} with the keeper` },
            "Compare",
          ),
      ),
    );
  }

  compareWith(index, order) {
    const members = this.groups[index]?.members ?? [];
    if (members[order]) this.compare(members[0].subject.subject_id, members[order].subject.subject_id);
  }

  mark() {
    this.panel
      .querySelectorAll(".duplicates")
      .forEach((section, index) => section.classList.toggle("current", index === this.at));
  }

  move(index) {
    this.at = Math.max(0, Math.min(this.groups.length - 1, index));
    this.mark();
    this.panel.querySelectorAll(".duplicates")[this.at]?.scrollIntoView({ block: "nearest" });
  }

  /** Keeps one member, by default the proposed one, and drops the rest. */
  async accept(index, order = 0) {
    const members = this.groups[index]?.members ?? [];
    const ids = members.filter((_, other) => other !== order).map((member) => member.subject_id);
    if (ids.length) await this.say("drop", ids, members[0].subject.frame);
    this.move(index + 1);
  }

  async keepAll(index) {
    const members = this.groups[index]?.members ?? [];
    if (members.length)
      await this.say(
        "keep",
        members.map((member) => member.subject_id),
        members[0].subject.frame,
      );
    this.move(index + 1);
  }

  /** Notes of all members what they are to each other, for good. */
  async sayOfPairs(kind, index) {
    const ids = (this.groups[index]?.members ?? []).map((member) => member.subject_id);
    const issue = this.context().groups.find((run) => run.table === state.table)?.issue;
    if (ids.length > 1) await sayOfPairs(kind, ids, issue, this.context().version);
    this.move(index + 1);
  }

  say(kind, ids, frame) {
    const issue = this.context().groups.find((run) => run.table === state.table)?.issue;
    return say({ kind, ids, frame, issue }, this.context().version);
  }

  key(event) {
    if (typing(event) || state.id || event.ctrlKey || event.metaKey || event.altKey) return;
    const runs = {
      ArrowDown: () => this.move(this.at + 1),
      ArrowUp: () => this.move(this.at - 1),
      a: () => this.accept(this.at),
      k: () => this.keepAll(this.at),
      c: () => this.compareWith(this.at, 1),
      n: () => this.sayOfPairs("not_copy", this.at),
      s: () => this.sayOfPairs("same_scene", this.at),
      u: () => undo(),
    };
    const digit = Number(event.key);
    const run =
      digit >= 1 && digit <= (this.groups[this.at]?.members.length ?? 0)
        ? () => this.accept(this.at, digit - 1)
        : runs[event.key];
    if (!run) return;
    event.preventDefault();
    run();
  }
}
