// The grid of thumbnails: only the rows in view exist, whatever the number of subjects.

import { debounce, h, number, put } from "/static/js/dom.js";
import { trying } from "/static/js/dialogs.js";
import { caption, picture, spoken } from "/static/js/pictures.js";

const GAP = 8;
const CAPTION = 46;
/** Browsers cut off elements taller than some ten million pixels; beyond this the scroll bar moves in larger steps. */
const TALLEST = 8_000_000;

export class Grid extends EventTarget {
  /** @param {HTMLElement} list scrolls; its items are options of a list box */
  constructor(list) {
    super();
    Object.assign(this, {
      list,
      side: 128,
      positions: new Uint32Array(0),
      picked: new Set(),
      focused: 0,
      cards: new Map(),
      notes: new Map(),
    });
    this.space = h("div", { class: "space", role: "presentation" });
    list.append(this.space);
    list.addEventListener("scroll", () => this.render(), { passive: true });
    list.addEventListener("keydown", (event) => this.key(event));
    list.addEventListener("click", (event) => this.click(event));
    list.addEventListener("dblclick", (event) => this.open(this.indexOf(event.target)));
    new ResizeObserver(() => this.layout()).observe(list);
    this.fetch = debounce((positions) => this.load(positions), 25);
  }

  /** Shows positions of a frame in this order; `notes` are short texts on some of them. */
  show(frame, positions, { keep = false, notes = new Map(), started = performance.now() } = {}) {
    Object.assign(this, { frame, positions, notes, started });
    if (!keep) {
      this.list.scrollTop = 0;
      this.focused = 0;
      this.picked.clear();
    }
    this.refresh();
  }

  /** Draws everything anew, for instance after a tag; the focus stays where it is. */
  refresh() {
    const focused = this.list.contains(document.activeElement) && document.activeElement !== this.list;
    for (const card of this.cards.values()) card.remove();
    this.cards.clear();
    this.layout();
    if (focused && this.positions.length) this.focus(this.focused);
  }

  resize(side) {
    this.side = side;
    this.refresh();
  }

  layout() {
    const { clientWidth: width, clientHeight: height } = this.list;
    this.columns = Math.max(1, Math.floor((width - GAP) / (this.side + GAP)));
    this.cell = (width - GAP) / this.columns;
    this.step = this.side + CAPTION + GAP;
    this.total = Math.ceil(this.positions.length / this.columns) * this.step + GAP;
    this.tall = Math.min(TALLEST, this.total);
    this.space.style.height = `${this.tall}px`;
    this.height = height;
    this.list.classList.toggle("empty", this.positions.length === 0);
    this.render();
  }

  /** How far the shown part lies below the first row, in pixels. */
  get offset() {
    const room = this.tall - this.height;
    return this.total > this.tall && room > 0
      ? (this.list.scrollTop / room) * (this.total - this.height)
      : this.list.scrollTop;
  }

  scrollTo(offset) {
    const room = this.tall - this.height;
    this.list.scrollTop = this.total > this.tall ? (offset / (this.total - this.height)) * room : offset;
  }

  render() {
    const { offset, step, columns } = this;
    const first = Math.max(0, Math.floor(offset / step) - 1) * columns;
    const last = Math.min(this.positions.length, (Math.ceil((offset + this.height) / step) + 1) * columns);
    for (const [index, card] of this.cards) {
      if (index < first || index >= last) {
        card.remove();
        this.cards.delete(index);
      }
    }
    const missing = [];
    for (let index = first; index < last; index++) {
      if (!this.cards.has(index)) this.cards.set(index, this.card(index));
      const card = this.cards.get(index);
      const top = this.list.scrollTop - offset + Math.floor(index / columns) * step + GAP;
      card.style.transform = `translate(${GAP + (index % columns) * this.cell}px, ${top}px)`;
      card.style.width = `${this.cell - GAP}px`;
      if (card.classList.contains("waiting")) missing.push(this.positions[index]);
    }
    if (missing.length) this.fetch(missing);
    else if (this.positions.length) this.ready();
  }

  card(index) {
    const position = this.positions[index];
    const card = h("div", {
      class: index === this.shown ? "card waiting open" : "card waiting",
      role: "option",
      id: `card-${index}`,
      tabindex: index === this.focused ? 0 : -1,
      "aria-selected": String(this.picked.has(position)),
      "aria-setsize": this.positions.length,
      "aria-posinset": index + 1,
      "aria-label": "loading",
      data: { index },
    });
    card.style.height = `${this.side + CAPTION}px`;
    const row = this.frame.rows.get(position);
    if (row) this.fill(card, row);
    this.space.append(card);
    return card;
  }

  fill(card, row) {
    card.classList.remove("waiting");
    card.classList.toggle("dropped", row.status === "dropped" || row.decided?.fate?.kind === "drop");
    card.setAttribute("aria-label", spoken(row));
    card.dataset.id = row.subject_id;
    const note = this.notes.get(row.position);
    put(
      card,
      h("span", { class: "thumb" }, picture(row)),
      h("span", { class: "check", "aria-hidden": "true" }, "✓"),
      note && h("span", { class: "note" }, note),
      h("span", { class: "caption" }, caption(row)),
    );
  }

  async load(positions) {
    const { frame } = this;
    await trying(() => frame.rowsAt(positions));
    if (frame !== this.frame) return;
    for (const [index, card] of this.cards) {
      const row = frame.rows.get(this.positions[index]);
      if (row && card.classList.contains("waiting")) this.fill(card, row);
    }
    this.ready();
  }

  ready() {
    if (!this.started) return;
    this.list.dataset.ready = JSON.stringify({
      count: this.positions.length,
      ms: Math.round(performance.now() - this.started),
    });
    this.started = 0;
  }

  // -- pointer and keyboard

  indexOf(target) {
    return Number(target.closest?.(".card")?.dataset.index ?? -1);
  }

  click(event) {
    const index = this.indexOf(event.target);
    if (index < 0) return;
    const onCheck = event.target.closest(".check");
    if (event.shiftKey) this.pickRange(this.focused, index);
    else if (onCheck || event.ctrlKey || event.metaKey) this.pick(index);
    else this.open(index);
    this.focus(index);
  }

  open(index) {
    if (index >= 0) this.dispatchEvent(new CustomEvent("open", { detail: { position: this.positions[index], index } }));
  }

  pick(index) {
    const position = this.positions[index];
    if (!this.picked.delete(position)) this.picked.add(position);
    this.markPicked();
  }

  pickRange(from, to) {
    for (let index = Math.min(from, to); index <= Math.max(from, to); index++) this.picked.add(this.positions[index]);
    this.markPicked();
  }

  unpick() {
    this.picked.clear();
    this.markPicked();
  }

  markPicked() {
    for (const [index, card] of this.cards)
      card.setAttribute("aria-selected", String(this.picked.has(this.positions[index])));
    this.dispatchEvent(new Event("picked"));
  }

  /** Marks and shows the card of the subject that is open; -1 for none. */
  follow(index) {
    this.shown = index;
    if (index >= 0) this.bring(index);
    this.markOpen();
  }

  markOpen() {
    for (const [index, card] of this.cards) card.classList.toggle("open", index === this.shown);
  }

  focus(index) {
    this.bring(index);
    this.cards.get(this.focused)?.focus({ preventScroll: true });
  }

  /** Makes a card the one that is reached by Tab, and scrolls to it. */
  bring(index) {
    this.cards.get(this.focused)?.setAttribute("tabindex", -1);
    this.focused = Math.min(this.positions.length - 1, Math.max(0, index));
    const top = Math.floor(this.focused / this.columns) * this.step;
    if (top < this.offset) this.scrollTo(top);
    else if (top + this.step + GAP > this.offset + this.height) this.scrollTo(top + this.step + GAP - this.height);
    this.render();
    this.cards.get(this.focused)?.setAttribute("tabindex", 0);
  }

  key(event) {
    if (event.altKey || event.metaKey || (event.ctrlKey && event.key !== "a")) return;
    const page = Math.max(1, Math.floor(this.height / this.step)) * this.columns;
    const steps = {
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -this.columns,
      ArrowDown: this.columns,
      PageUp: -page,
      PageDown: page,
      Home: -Infinity,
      End: Infinity,
    };
    if (event.key in steps) {
      const from = this.focused;
      this.focus(from + steps[event.key]);
      if (event.shiftKey) this.pickRange(from, this.focused);
    } else if (event.key === " ") this.pick(this.focused);
    else if (event.key === "Enter") this.open(this.focused);
    else if (event.key === "a" && event.ctrlKey) this.dispatchEvent(new Event("all"));
    else if (event.key === "Escape" && this.picked.size) this.unpick();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

export const distanceNote = (distance) => `d ${number(distance)}`;
