// What the colours of the map mean: the words with most subjects, found by name where there are hundreds; or a scale.

import { h, heading, number, put, time } from "/static/js/dom.js";
import { wordCounts } from "/static/js/filter.js";
import { SHAPES, numberColour, wordColour, wordShape } from "/static/js/palette.js";
import { set, state } from "/static/js/state.js";

const FIRST = 10;
const MOST = 200;

export class Legend extends EventTarget {
  /** @param {HTMLElement} panel */
  constructor(panel) {
    super();
    Object.assign(this, { panel, pinned: [], search: "", shown: FIRST });
    this.box = h("input", {
      type: "search",
      placeholder: "Find…",
      "aria-label": "Find in the legend",
      oninput: () => ((this.search = this.box.value), this.draw()),
    });
    this.list = h("ul", {});
    this.more = h("button", {
      type: "button",
      class: "plain small",
      onclick: () => ((this.shown = MOST), this.draw()),
    });
  }

  /** Starts anew for another column. */
  reset() {
    Object.assign(this, { pinned: [], search: "", shown: FIRST });
    this.box.value = "";
  }

  show(column, coloured, filtering) {
    Object.assign(this, { column, coloured, filtering });
    this.panel.hidden = !column;
    if (!column) return;
    const name = h("h2", {}, heading(column.name));
    if (coloured.kind === "number") put(this.panel, name, this.scale());
    else {
      put(this.panel, name, column.words.length > FIRST && this.box, this.list, this.more);
      this.draw();
    }
  }

  scale() {
    const [low, high] = this.coloured.range;
    const shown = this.column.kind === "time" ? time : number;
    const bar = h("span", { class: "scale" });
    bar.style.background = `linear-gradient(to right, ${Array.from({ length: 11 }, (_, i) => numberColour(i / 10)).join(", ")})`;
    return [
      bar,
      h("span", { class: "row between" }, h("span", {}, `≤ ${shown(low)}`), h("span", {}, `≥ ${shown(high)}`)),
    ];
  }

  draw() {
    const { column, coloured } = this;
    const counts = wordCounts(this.filtering, column);
    const search = this.search.toLowerCase();
    const slot = new Map(coloured.words.map((word, index) => [word, index]));
    const found = [...column.words.keys()].filter((code) => column.words[code].toLowerCase().includes(search));
    found.sort((a, b) => slot.has(column.words[b]) - slot.has(column.words[a]) || counts[b] - counts[a] || a - b);
    put(
      this.list,
      found
        .slice(0, this.shown)
        .map((code) => this.entry(column.words[code], counts[code], slot.get(column.words[code]))),
    );
    this.more.hidden = found.length <= this.shown || this.shown >= MOST;
    this.more.textContent = `${number(found.length - this.shown)} more`;
  }

  entry(word, count, slot) {
    const swatch = h("i", { class: "swatch" });
    swatch.style.background = wordColour(slot ?? Infinity);
    swatch.dataset.shape = SHAPES[wordShape(slot ?? Infinity)];
    const pinned = this.pinned.includes(word);
    const hint = slot === undefined ? "Give it a colour" : pinned ? "Give its colour back" : "Keep its colour";
    return h(
      "li",
      {},
      h(
        "button",
        { type: "button", class: "word", title: hint, "aria-pressed": String(pinned), onclick: () => this.pin(word) },
        swatch,
        h("bdi", {}, word),
        h("span", { class: "count" }, number(count)),
      ),
      h(
        "button",
        {
          type: "button",
          class: "plain small only",
          onclick: () => set({ filters: { ...state.filters, [this.column.name]: [word] } }),
        },
        "only",
      ),
    );
  }

  pin(word) {
    this.pinned = this.pinned.includes(word) ? this.pinned.filter((other) => other !== word) : [...this.pinned, word];
    this.dispatchEvent(new Event("pinned"));
  }
}
