// The panel of filters: words, SQL, and a facet or histogram per column.

import { $, debounce, h, heading, number, put, s, time, title } from "/static/js/dom.js";
import { trying } from "/static/js/dialogs.js";
import { histogram, wordCounts } from "/static/js/filter.js";
import { set, state, watch } from "/static/js/state.js";

const FIRST_WORDS = 12;
const MOST_WORDS = 200;
const OPEN_AT_FIRST = new Set(["issues", "tags", "label", "split"]);

export class Filters {
  /** @param {HTMLElement} panel */
  constructor(panel) {
    Object.assign(this, { panel, open: new Map() });
    this.text = h("input", {
      type: "search",
      placeholder: "Path or label…",
      "aria-label": "Search paths and labels",
      value: state.text,
      id: "search",
    });
    this.where = h("textarea", {
      rows: 2,
      spellcheck: "false",
      placeholder: "uniqueness < 0.1 and split = 'train'",
      "aria-label": "SQL condition",
      value: state.where,
      id: "where",
    });
    this.facets = h("div", { class: "facets" });
    this.text.addEventListener(
      "input",
      debounce(() => set({ text: this.text.value }), 250),
    );
    this.where.addEventListener(
      "keydown",
      (event) => event.key === "Enter" && !event.shiftKey && (event.preventDefault(), set({ where: this.where.value })),
    );
    panel.append(
      this.text,
      h(
        "details",
        { class: "sql", open: Boolean(state.where) },
        h("summary", {}, "SQL condition"),
        this.where,
        h(
          "div",
          { class: "row end" },
          h("button", { type: "button", onclick: () => set({ where: this.where.value }) }, "Apply"),
        ),
      ),
      h(
        "div",
        { class: "row between" },
        h("h3", {}, "Filters"),
        h(
          "button",
          { type: "button", class: "plain small", onclick: () => set({ filters: {}, where: "", text: "" }) },
          "Clear all",
        ),
      ),
      this.facets,
    );
    watch("where text", () => this.fillIn());
  }

  fillIn() {
    if (this.text.value !== state.text) this.text.value = state.text;
    if (this.where.value !== state.where) this.where.value = state.where;
  }

  /** Forgets the columns of another frame. */
  empty() {
    this.open.clear();
    put(this.facets);
  }

  /** Lists the columns of a frame. */
  list(frame, filtering) {
    Object.assign(this, { frame, filtering, open: new Map() });
    const groups = new Map();
    for (const column of frame.columns.values())
      if (column.kind !== "text") groups.set(column.group, [...(groups.get(column.group) ?? []), column]);
    put(
      this.facets,
      ...[...groups].map(([group, columns]) =>
        h(
          "section",
          { class: "group" },
          h("h4", {}, heading(group)),
          columns.map((column) => this.facet(column)),
        ),
      ),
    );
  }

  facet({ name }) {
    const body = h("div", { class: "facet-body" });
    const facet = h(
      "details",
      { class: "facet", data: { column: name } },
      h("summary", {}, h("span", {}, title(name)), h("span", { class: "active-mark", "aria-label": "filtered" }, "●")),
      body,
    );
    facet.addEventListener("toggle", () => this.toggle(name, facet, body));
    if (state.filters[name] || OPEN_AT_FIRST.has(name)) facet.open = true;
    return facet;
  }

  async toggle(name, facet, body) {
    if (!facet.open) {
      this.open.delete(name);
      return;
    }
    const column = await trying(() => this.frame.column(name));
    if (!column) return;
    this.open.set(name, { facet, body, shown: FIRST_WORDS, search: "" });
    this.update(name);
  }

  /** Brings the open facets up to what passes now. */
  async updateAll() {
    for (const facet of this.facets.querySelectorAll(".facet"))
      facet.classList.toggle("active", facet.dataset.column in state.filters);
    for (const name of this.open.keys()) await this.update(name);
  }

  async update(name) {
    const facet = this.open.get(name);
    if (!facet) return;
    const column = await this.frame.column(name);
    facet.facet.classList.toggle("active", name in state.filters);
    if (column.words) this.words(column, facet);
    else if (column.values) this.numbers(column, facet);
    else put(facet.body, h("p", { class: "muted" }, "Too many different words to list; use the search above."));
  }

  // -- words

  words(column, facet) {
    const counts = wordCounts(this.filtering, column);
    const chosen = new Set(state.filters[column.name] ?? []);
    const search = facet.search.toLowerCase();
    const entries = [...column.words.keys()]
      .filter((code) => column.words[code].toLowerCase().includes(search))
      .sort((a, b) => counts[b] - counts[a] || a - b);
    if (counts[column.words.length] || chosen.has(null)) entries.push(column.words.length);
    const most = Math.max(1, ...counts);
    const focused = facet.body.contains(document.activeElement) ? document.activeElement.dataset.word : undefined;
    put(
      facet.body,
      column.words.length > FIRST_WORDS && (facet.box ??= this.searchBox(column, facet)),
      h(
        "ul",
        { class: "words" },
        entries.slice(0, facet.shown).map((code) => this.word(column, code, counts[code], most, chosen)),
      ),
      entries.length > facet.shown &&
        h(
          "button",
          {
            type: "button",
            class: "plain small",
            onclick: () => ((facet.shown = Math.min(MOST_WORDS, facet.shown * 5)), this.words(column, facet)),
          },
          `${number(entries.length - facet.shown)} more`,
        ),
    );
    if (focused !== undefined) $(`[data-word="${CSS.escape(focused)}"]`, facet.body)?.focus();
  }

  searchBox(column, facet) {
    const box = h("input", {
      type: "search",
      placeholder: `Find in ${title(column.name)}…`,
      "aria-label": `Find in ${title(column.name)}`,
    });
    box.addEventListener("input", () => {
      facet.search = box.value;
      this.words(column, facet);
      box.focus();
    });
    return box;
  }

  word(column, code, count, most, chosen) {
    const word = column.words[code] ?? null;
    const box = h("input", {
      type: "checkbox",
      checked: chosen.has(word),
      data: { word: word ?? "" },
      onchange: () => this.choose(column.name, word, box.checked),
    });
    const bar = h("span", { class: "bar", "aria-hidden": "true" });
    bar.style.width = `${(100 * count) / most}%`;
    return h(
      "li",
      {},
      bar,
      h(
        "label",
        {},
        box,
        word === null ? h("em", {}, "none") : h("bdi", {}, word),
        h("span", { class: "count" }, number(count)),
      ),
    );
  }

  choose(name, word, wanted) {
    const chosen = new Set(state.filters[name] ?? []);
    if (wanted) chosen.add(word);
    else chosen.delete(word);
    const { [name]: _, ...rest } = state.filters;
    set({ filters: chosen.size ? { ...rest, [name]: [...chosen] } : rest });
  }

  // -- numbers

  numbers(column, facet) {
    const counted = histogram(this.filtering, column);
    if (!counted) {
      put(facet.body, h("p", { class: "muted" }, "No values."));
      return;
    }
    const [low, high] = state.filters[column.name] ?? [null, null];
    const inputs = [this.bound(column, facet, low, "least"), this.bound(column, facet, high, "most")];
    put(
      facet.body,
      this.bars(column, counted, [low, high]),
      h(
        "div",
        { class: "row between axis" },
        h("span", {}, shownNumber(column, counted.low)),
        h("span", {}, shownNumber(column, counted.high)),
      ),
      h(
        "div",
        { class: "row range" },
        inputs[0],
        h("span", {}, "to"),
        inputs[1],
        column.name in state.filters &&
          h(
            "button",
            {
              type: "button",
              class: "plain small",
              "aria-label": `Clear the filter on ${title(column.name)}`,
              onclick: () => this.limit(column.name, null, null),
            },
            "×",
          ),
      ),
    );
    for (const input of inputs)
      input.addEventListener("change", () =>
        this.limit(column.name, ...inputs.map((given) => bound(column, given.value))),
      );
  }

  bound(column, facet, value, which) {
    const type = column.kind === "time" ? "datetime-local" : "number";
    const shown =
      value === null ? "" : column.kind === "time" ? new Date(value * 1000).toISOString().slice(0, 16) : String(value);
    return h("input", {
      type,
      step: "any",
      value: shown,
      placeholder: which,
      "aria-label": `${title(column.name)}: ${which}`,
    });
  }

  limit(name, low, high) {
    const { [name]: _, ...rest } = state.filters;
    set({ filters: low === null && high === null ? rest : { ...rest, [name]: [low, high] } });
  }

  /** Bars of all and of those that pass, on a root scale so that rare values show; dragging limits the range. */
  bars(column, { low, step, all, some }, limits) {
    const height = (count) => Math.sqrt(count / Math.max(...all)) * 100;
    const bars = Array.from(all, (count, bin) => [
      s("rect", { class: "all", x: bin, width: 0.9, y: 100 - height(count), height: height(count) }),
      s("rect", { class: "some", x: bin, width: 0.9, y: 100 - height(some[bin]), height: height(some[bin]) }),
    ]);
    const chart = s(
      "svg",
      { class: "histogram", viewBox: `0 0 ${all.length} 100`, preserveAspectRatio: "none", "aria-hidden": "true" },
      bars,
    );
    const brush = s("rect", { class: "brush", y: 0, height: 100 });
    const at = (value, standard) =>
      value === null ? standard : Math.min(all.length, Math.max(0, (value - low) / step));
    const mark = (from, to) => (brush.setAttribute("x", from), brush.setAttribute("width", Math.max(0.1, to - from)));
    if (limits[0] !== null || limits[1] !== null) {
      mark(at(limits[0], 0), at(limits[1], all.length));
      chart.append(brush);
    }
    const binAt = (event) => Math.min(1, Math.max(0, event.offsetX / chart.clientWidth)) * all.length;
    let from = null;
    chart.addEventListener("pointerdown", (event) => {
      chart.setPointerCapture(event.pointerId);
      from = binAt(event);
      chart.append(brush);
      mark(from, from);
    });
    chart.addEventListener(
      "pointermove",
      (event) => from !== null && mark(Math.min(from, binAt(event)), Math.max(from, binAt(event))),
    );
    chart.addEventListener("pointerup", (event) => {
      const [first, last] = [Math.min(from, binAt(event)), Math.max(from, binAt(event))];
      from = null;
      if (last - first < 0.3) this.limit(column.name, null, null);
      else this.limit(column.name, round(low + first * step, step), round(low + last * step, step));
    });
    return chart;
  }
}

const round = (value, step) =>
  Number(value.toPrecision(Math.max(3, Math.ceil(Math.log10(Math.abs(value) / step + 1)) + 2)));

const shownNumber = (column, value) => (column.kind === "time" ? time(value) : number(value));

function bound(column, text) {
  if (text === "") return null;
  return column.kind === "time" ? Date.parse(`${text}Z`) / 1000 : Number(text);
}
