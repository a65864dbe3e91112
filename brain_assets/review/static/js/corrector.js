// Correcting an image's objects: draw, move, resize, rename, remove, take what a model found; by mouse and by keyboard.

import { askWord } from "/static/js/dialogs.js";
import { debounce, h, number, put, s } from "/static/js/dom.js";
import { correct } from "/static/js/say.js";
import { partNamed } from "/static/js/alike.js";
import { NOTHING_SOUGHT, set } from "/static/js/state.js";
import { drawShapes, given, nameOf, visible } from "/static/js/shapes.js";

/** How far from an edge, in pixels of the screen, it is still taken hold of. */
const GRIP = 7;
/** A press that moves less is a click. */
const STILL = 4;
/** How long after the last key a box that keys have moved is noted. */
const PAUSE = 600;
const ALIKE = 0.1;

export class Corrector {
  /**
   * @param {import("/static/js/viewer.js").Viewer} viewer
   * @param {() => object} context
   */
  constructor(viewer, context) {
    Object.assign(this, { viewer, context, selected: "", drawing: false, seeking: false, draft: null, usual: "" });
    viewer.tool = this;
    this.panel = h("section", { class: "objects", "aria-label": "Objects" });
    this.noteLater = debounce(() => this.note(), PAUSE);
  }

  /** Takes up an image, or what has become of the one that is open. */
  show(subject) {
    if (this.subject?.sample_id !== subject.sample_id) {
      this.note();
      Object.assign(this, { selected: subject.object_id ?? "", drawing: false });
    }
    this.subject = subject;
    if (!this.waiting) this.draft = null;
    this.list();
  }

  get boxes() {
    const { draft } = this;
    const boxes = this.subject?.boxes ?? [];
    return draft ? [...boxes.filter((box) => box.object_id !== draft.object_id), draft] : boxes;
  }

  get box() {
    return this.boxes.find((box) => box.object_id === this.selected);
  }

  select(id) {
    if (id !== this.selected) this.note();
    this.selected = id;
    this.list();
    this.viewer.place();
  }

  /** Lets a box be drawn: to add an object, or to look for what is like the part of the image in it. */
  draw(on = !this.drawing, seeking = false) {
    this.drawing = on;
    this.seeking = on && seeking;
    this.viewer.root.classList.toggle("drawing", on);
    this.list();
  }

  // -- shown

  paint(emphasised) {
    const { viewer, box } = this;
    drawShapes(viewer, this.boxes, { emphasised: this.selected ? [] : emphasised, selected: this.selected });
    if (!box || !given(box) || box.dropped) return;
    for (const [x, y] of handles(box)) {
      const [across, down] = viewer.project(x, y);
      viewer.overlay.append(s("rect", { class: "handle", x: across - 4, y: down - 4, width: 8, height: 8 }));
    }
  }

  list() {
    const boxes = this.subject?.boxes ?? [];
    const add = h(
      "button",
      {
        type: "button",
        class: "small",
        "aria-pressed": String(this.drawing && !this.seeking),
        title: "Draw a box (B)",
        onclick: () => this.draw(),
      },
      this.drawing && !this.seeking ? "Draw a box on the image…" : "Draw…",
    );
    const seek = h(
      "button",
      {
        type: "button",
        class: "small",
        "aria-pressed": String(this.seeking),
        title: "Draw around a part, and find what looks like it (S)",
        onclick: () => this.seekPart(),
      },
      this.seeking ? "Draw around the part…" : "Find a part…",
    );
    put(
      this.panel,
      h("div", { class: "row between" }, h("h3", {}, boxes.length ? `Objects (${number(boxes.length)})` : "Objects"), this.canSeek && seek, add),
      boxes.length > 0 && h("ul", {}, boxes.map((box) => this.entry(box))),
    );
  }

  entry(box) {
    const chosen = box.object_id === this.selected;
    const button = (text, run, title, kind = "small") =>
      h("button", { type: "button", class: kind, onclick: run, title }, text);
    const state = box.dropped
      ? h("span", { class: "badge bad" }, "removed")
      : box.fate === "confirm"
        ? h("span", { class: "badge good" }, "confirmed")
        : box.fate === "keep"
          ? h("span", { class: "badge good" }, "kept")
          : box.corrected && h("span", { class: "badge good" }, "corrected");
    return h(
      "li",
      { class: `${given(box) ? "given" : "predicted"}${box.dropped ? " gone" : ""}`, data: { object: box.object_id } },
      h(
        "button",
        { type: "button", class: "pick", "aria-pressed": String(chosen), onclick: () => this.select(chosen ? "" : box.object_id) },
        h("bdi", {}, nameOf(box)),
        h("span", { class: "muted" }, given(box) ? "" : box.source),
        state,
      ),
      chosen &&
        h(
          "div",
          { class: "row wrap" },
          !given(box) && !box.dropped && button("Add as label", () => this.confirm(), "A"),
          !given(box) && box.fate !== "keep" && button("Not missing", () => this.say("keep"), "Nothing is missing here"),
          given(box) && !box.dropped && button("Rename…", () => this.relabel(), "R"),
          given(box) && !box.dropped && this.alike(box) && button("Take the model's box", () => this.take(), "M"),
          this.canSeek && button("Find alike", () => this.seek(box), "Find what looks like this part of the image"),
          !box.dropped && button("Remove", () => this.remove(), "Delete", "small danger"),
          box.dropped && button("Put back", () => this.say("keep"), "It stays"),
        ),
    );
  }

  // -- said

  /** Notes a correction of the chosen object, and leaves it, so that the arrows go on to the next image. */
  async say(kind, more = {}) {
    const { subject, selected } = this;
    const done = await correct(subject.sample_id, { kind, object: selected, ...more }, this.context().version);
    if (done && this.selected === selected) this.select("");
  }

  /** Notes where a box was put that is not noted yet. */
  async note() {
    const { draft, subject } = this;
    if (!draft || !this.waiting) return;
    this.waiting = false;
    await correct(subject.sample_id, { kind: "reshape", object: draft.object_id, shape: shapeOf(draft) }, this.context().version);
  }

  remove() {
    if (this.box) return this.say("drop");
    return undefined;
  }

  confirm() {
    if (this.box && !given(this.box)) return this.say("confirm");
    return undefined;
  }

  /** The prediction that lies most on a label. */
  alike(box) {
    const found = visible(this.boxes).filter((one) => !given(one) && !one.dropped);
    const best = found.reduce((most, one) => (overlap(one, box) > overlap(most ?? NOWHERE, box) ? one : most), null);
    return best && overlap(best, box) > ALIKE ? best : null;
  }

  take() {
    const { box } = this;
    const like = box && given(box) && this.alike(box);
    if (like) return this.say("reshape", { like: like.object_id });
    return undefined;
  }

  async relabel() {
    const { box } = this;
    if (!box || !given(box)) return;
    const label = await this.askClass("Rename", box.label);
    if (label) this.say("relabel", { label });
  }

  async askClass(title, value) {
    const label = await askWord({ title, label: "Class", value, words: await this.context().classes(), action: title });
    if (label) this.usual = label;
    return label;
  }

  /** Whether a model is at hand that could look at a part. */
  get canSeek() {
    return Boolean(this.context().frames?.images.alike.some((run) => run.by_picture));
  }

  seekPart() {
    if (this.canSeek) this.draw(!this.seeking, true);
  }

  /** Finds the images that look like a part of this one. */
  seek(shape) {
    this.draw(false);
    const part = partNamed(this.subject.sample_id, shape);
    set({ ...NOTHING_SOUGHT, part, frame: "images", tab: "explore", id: "", beside: "" }, { push: true });
  }

  async made(shape) {
    if (this.seeking) {
      this.seek(shape);
      return;
    }
    this.draw(false);
    const draft = { ...shape, object_id: "draft", source: "ground_truth", label: "", confidence: null, polygon: null };
    Object.assign(this, { draft, selected: "draft" });
    this.viewer.place();
    const { subject } = this;
    const label = await this.askClass("Add", this.usual || subject.boxes?.find(given)?.label || "");
    this.draft = null;
    this.selected = "";
    this.viewer.place();
    if (!label || subject !== this.subject) return;
    const done = await correct(subject.sample_id, { kind: "draw", label, shape: shapeOf(draft) }, this.context().version);
    if (done) this.selected = done.object_id;
    this.list();
    this.viewer.place();
  }

  /** Puts the selected box elsewhere; its outline goes with it. */
  put(shape) {
    const { box } = this;
    const turn = (value, from, to) => to[0] + ((value - from[0]) / from[1]) * to[1];
    const polygon = box.polygon?.map((ring) =>
      ring.map((value, index) => {
        const [low, size] = index % 2 ? ["y", "height"] : ["x", "width"];
        return Math.min(1, Math.max(0, turn(value, [box[low], box[size]], [shape[low], shape[size]])));
      }),
    );
    this.draft = { ...box, ...shape, polygon: polygon ?? null };
    this.waiting = true;
    this.viewer.place();
  }

  // -- mouse and touch

  begin(start) {
    if (!this.subject) return null;
    if (this.drawing) return this.drawingFrom(start);
    const { box } = this;
    const hold = box && given(box) && !box.dropped ? this.hold(box, start) : null;
    if (hold) return this.changing(box, hold, start);
    return this.choosing(start);
  }

  drawingFrom(start) {
    const from = this.viewer.unproject(start);
    let shape = null;
    return {
      move: (place) => {
        shape = between(from, this.viewer.unproject(place));
        this.draft = { ...shape, object_id: "draft", source: "ground_truth", label: "", confidence: null };
        this.viewer.place();
      },
      end: () => {
        this.draft = null;
        if (shape && shape.width * this.across > 1 && shape.height * this.down > 1) this.made(shape);
        else this.viewer.place();
      },
      cancel: () => {
        this.draft = null;
      },
    };
  }

  get across() {
    return this.viewer.size[0] * this.viewer.scale;
  }

  get down() {
    return this.viewer.size[1] * this.viewer.scale;
  }

  /** Which edges a press takes hold of: -1, 0 or 1 along both axes; its inside is none of them. Null outside. */
  hold(box, place) {
    const [left, top] = this.viewer.project(box.x, box.y);
    const [right, bottom] = this.viewer.project(box.x + box.width, box.y + box.height);
    const side = (value, low, high) =>
      Math.abs(value - low) <= GRIP ? -1 : Math.abs(value - high) <= GRIP ? 1 : value > low && value < high ? 0 : null;
    const [horizontal, vertical] = [side(place[0], left, right), side(place[1], top, bottom)];
    return horizontal === null || vertical === null ? null : [horizontal, vertical];
  }

  changing(box, hold, start) {
    let moved = false;
    return {
      move: (place) => {
        const by = [(place[0] - start[0]) / this.across, (place[1] - start[1]) / this.down];
        if (!moved && Math.hypot(place[0] - start[0], place[1] - start[1]) < STILL) return;
        moved = true;
        this.draft = null;
        this.put(changed(box, hold, by));
      },
      end: () => (moved ? this.note() : this.pick(start)),
      cancel: () => {
        this.draft = null;
        this.waiting = false;
      },
    };
  }

  /** Pans; a press that stays where it is chooses what lies there. */
  choosing(start) {
    const panning = this.viewer.panning(start, false);
    let moved = false;
    return {
      move: (place, event) => {
        if (!moved && Math.hypot(place[0] - start[0], place[1] - start[1]) < STILL) return;
        moved = true;
        panning.move(place, event);
      },
      end: (place, event) => {
        if (!moved) this.pick(start);
        else this.viewer.panning(start, event.pointerType === "touch").end(place);
      },
    };
  }

  /** Chooses the smallest box under a place; a second press on it the next larger. */
  pick(place) {
    const [x, y] = this.viewer.unproject(place);
    const under = visible(this.boxes)
      .filter((box) => x >= box.x && x <= box.x + box.width && y >= box.y && y <= box.y + box.height)
      .sort((a, b) => a.width * a.height - b.width * b.height || given(b) - given(a))
      .map((box) => box.object_id);
    this.select(under.length ? under[(under.indexOf(this.selected) + 1) % under.length] : "");
  }

  // -- keyboard

  /** Does what a key says; returns whether it says anything here. */
  keyed(event) {
    const { box } = this;
    if (!this.subject) return false;
    const lower = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const any = { b: () => this.draw(), s: () => this.seekPart(), "[": () => this.walk(-1), "]": () => this.walk(1) };
    const label = {
      r: () => this.relabel(),
      m: () => this.take(),
      ArrowLeft: () => this.nudge(event, -1, 0),
      ArrowRight: () => this.nudge(event, 1, 0),
      ArrowUp: () => this.nudge(event, 0, -1),
      ArrowDown: () => this.nudge(event, 0, 1),
    };
    const chosen = { a: () => this.confirm(), Delete: () => this.remove(), Backspace: () => this.remove(), d: () => this.remove() };
    const kept = { k: () => this.say("keep") };
    const runs = { ...any, ...(box ? { ...chosen, ...kept } : {}), ...(box && given(box) ? label : {}) };
    const run = runs[lower];
    if (!run) return false;
    event.preventDefault();
    event.stopImmediatePropagation();
    run();
    return true;
  }

  /** What Escape does here; returns whether there was anything to leave. */
  escape() {
    if (!this.drawing && !this.selected) return false;
    this.draw(false);
    this.select("");
    return true;
  }

  walk(by) {
    const ids = visible(this.boxes).map((box) => box.object_id);
    if (!ids.length) return;
    const at = ids.indexOf(this.selected);
    this.select(ids[at < 0 ? (by > 0 ? 0 : ids.length - 1) : (at + by + ids.length) % ids.length]);
  }

  /** Moves the box by pixels of the image, ten with Shift; with Alt its lower right corner. */
  nudge(event, across, down) {
    const step = event.shiftKey ? 10 : 1;
    const by = [(across * step) / this.viewer.size[0], (down * step) / this.viewer.size[1]];
    this.put(changed(this.box, event.altKey ? [Math.abs(across), Math.abs(down)] : [0, 0], by));
    this.noteLater();
  }
}

const NOWHERE = { x: 0, y: 0, width: 0, height: 0 };
const shapeOf = ({ x, y, width, height, polygon }) => ({ x, y, width, height, polygon: polygon ?? null });
const within = (value) => Math.min(1, Math.max(0, value));

function between(one, other) {
  const [left, right] = [within(Math.min(one[0], other[0])), within(Math.max(one[0], other[0]))];
  const [top, bottom] = [within(Math.min(one[1], other[1])), within(Math.max(one[1], other[1]))];
  return { x: left, y: top, width: right - left, height: bottom - top };
}

/** A box moved whole (held at no edge) or at the edges that are held, inside the image. */
function changed(box, [horizontal, vertical], [across, down]) {
  if (!horizontal && !vertical) {
    const x = Math.min(1 - box.width, Math.max(0, box.x + across));
    const y = Math.min(1 - box.height, Math.max(0, box.y + down));
    return { x, y, width: box.width, height: box.height };
  }
  const edge = (low, size, side, by) => (side < 0 ? [low + by, low + size] : side > 0 ? [low, low + size + by] : [low, low + size]);
  const [left, right] = edge(box.x, box.width, horizontal, across);
  const [top, bottom] = edge(box.y, box.height, vertical, down);
  const shape = between([left, top], [right, bottom]);
  const least = 1e-4;
  return { ...shape, width: Math.max(least, shape.width), height: Math.max(least, shape.height) };
}

function overlap(one, other) {
  const across = Math.min(one.x + one.width, other.x + other.width) - Math.max(one.x, other.x);
  const down = Math.min(one.y + one.height, other.y + other.height) - Math.max(one.y, other.y);
  const common = Math.max(0, across) * Math.max(0, down);
  return common / (one.width * one.height + other.width * other.height - common || 1);
}

const handles = ({ x, y, width, height }) =>
  [0, 0.5, 1].flatMap((across) => [0, 0.5, 1].filter((down) => across !== 0.5 || down !== 0.5).map((down) => [x + across * width, y + down * height]));
