// Map, filters and grid beside each other: colour, lasso, look, tag.

import { Alike, MOST_IDS } from "/static/js/alike.js";
import { postForFile } from "/static/js/api.js";
import { askWord, notice, trying } from "/static/js/dialogs.js";
import { $, h, heading, number, plural, put, title } from "/static/js/dom.js";
import { valueAt } from "/static/js/data.js";
import { colouring, sizing } from "/static/js/colouring.js";
import { Filtering } from "/static/js/filter.js";
import { Filters } from "/static/js/filters.js";
import { Grid } from "/static/js/grid.js";
import { Legend } from "/static/js/legend.js";
import { MOST_WORDS, SLOTS, slotColours } from "/static/js/palette.js";
import { picture, spoken } from "/static/js/pictures.js";
import { count, maskOf, members, ordered, packed } from "/static/js/positions.js";
import { approve, say, words } from "/static/js/say.js";
import { GHOST, HIDDEN, SELECTED, SHOWN, Scatter } from "/static/js/scatter.js";
import { NOTHING_SOUGHT, fromView, set, state, watch } from "/static/js/state.js";
import { Views } from "/static/js/views.js";

/** Among so many columns one is found by name. */
const MANY = 12;
const FIND = "find";

/** What the files of a selection end with, by what they hold. */
const SUFFIXES = { paths: "txt", csv: "csv", coco: "json" };

/** Tells `selection` whenever others may be picked or selected. */
export class Explore extends EventTarget {
  /** @param {(id: string) => void} openDetail @param {(one: string, other: string) => void} compare */
  constructor(openDetail, compare) {
    super();
    Object.assign(this, { openDetail, compare });
    this.filters = new Filters($("#filters"));
    this.views = new Views($("#view-row"));
    this.grid = new Grid($("#grid"));
    this.scatter = new Scatter($("#points"), $("#lasso"));
    this.legend = new Legend($("#legend"));
    this.alike = new Alike($("#alike"), $("#sought"));
    this.listen();
    this.watch();
  }

  listen() {
    this.scatter.addEventListener("lasso", ({ detail }) => this.lasso(detail));
    this.scatter.addEventListener("hover", ({ detail }) => this.hover(detail));
    this.scatter.addEventListener("point", ({ detail }) => detail.point >= 0 && this.openAt(detail.point));
    this.grid.addEventListener("open", ({ detail }) => this.openAt(detail.position));
    this.grid.addEventListener("picked", () => this.status());
    this.grid.addEventListener("all", () => this.selectMatching());
    this.legend.addEventListener("pinned", () => this.recolour());
    this.alike.addEventListener("found", () => (this.showStates(), this.fillGrid()));
    words.addEventListener("said", () => this.reviewed());
    for (const id of ["map", "colour", "size", "sort"])
      $(`#${id}`).addEventListener("change", (event) =>
        event.target.value === FIND ? this.findColumn(id) : set({ [id]: event.target.value }),
      );
    $("#frame").addEventListener("change", (event) =>
      set({ ...fromView({ frame: event.target.value }), ...NOTHING_SOUGHT }),
    );
    $("#direction").addEventListener("click", () => set({ descending: !state.descending }));
    $("#card-side").addEventListener("input", (event) => this.grid.resize(Number(event.target.value)));
    for (const button of document.querySelectorAll("[data-tool]"))
      button.addEventListener("click", () => this.takeTool(button.dataset.tool));
    for (const button of document.querySelectorAll("[data-say]"))
      button.addEventListener("click", () => this.saySelected(button.dataset.say));
    $("#zoom-in").addEventListener("click", () => this.scatter.zoom(1.5));
    $("#zoom-out").addEventListener("click", () => this.scatter.zoom(1 / 1.5));
    $("#fit").addEventListener("click", () => ((this.scatter.touched = false), this.scatter.fit()));
    $("#select-all").addEventListener("click", () => this.selectMatching());
    $("#clear").addEventListener("click", () => this.clear());
    $("#find-alike").addEventListener("click", () => this.seekSelected());
    $("#compare").addEventListener("click", () => this.comparePicked());
    $("#take").addEventListener("change", (event) => this.takeAlong(event.target));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.themed());
  }

  watch() {
    // What changes on the way here, before anything is loaded, is taken up when it starts.
    const on = (keys, run) => watch(keys, () => this.frame && run());
    on("frame", () => this.loadFrame());
    on("map", () => this.loadMap());
    on("colour", () => (this.legend.reset(), this.loadColour()));
    on("size", () => this.loadSizes());
    on("filters where text", () => this.refilter());
    on("sort descending", () => this.reorder());
  }

  /** Starts with a dataset: its frames by name and what it offers. */
  async start(frames, overview) {
    Object.assign(this, { frames, overview });
    const names = { images: "Images", objects: "Objects" };
    put(
      $("#frame"),
      Object.keys(frames).map((name) => h("option", { value: name }, names[name])),
    );
    $("#frame-label").hidden = Object.keys(frames).length < 2;
    await this.loadFrame();
  }

  async loadFrame() {
    const frame = this.frames[state.frame] ?? this.frames.images;
    this.frame = frame;
    this.filtering = new Filtering(frame);
    this.selected = new Uint8Array(frame.count);
    this.selecting = false;
    this.alike.start(frame, this.filtering);
    this.filters.empty();
    this.defaults(frame);
    this.fillSelects(frame);
    // The map comes first and alone: what is asked beside it would only make it wait.
    await trying(() => this.loadMap());
    await Promise.all(
      [this.loadColour(), this.loadSizes(), this.refilter()].map((step) => trying(() => step)),
    );
    this.filters.list(frame, this.filtering);
    document.body.dataset.ready = Math.round(performance.now());
  }

  /** Who passes the filters, for what is computed of them. */
  shown() {
    const { frame, filtering } = this;
    return { matching: filtering.matching, count: frame.count, mask: () => filtering.passing(), version: frame.version };
  }

  defaults(frame) {
    const known = (name, standard) => (state[name] && frame.has(state[name]) ? state[name] : standard);
    set({
      frame: frame.name,
      map: frame.maps.includes(state.map) ? state.map : (frame.maps[0] ?? ""),
      colour: known("colour", frame.named("label", "issues", "split")),
      size: known("size", ""),
      sort: known("sort", frame.named("expected_problems", "uniqueness", "filepath")),
    });
  }

  fillSelects(frame) {
    const option = (column) => h("option", { value: column.name }, title(column.name));
    const options = (columns, none) => [
      none && h("option", { value: "" }, none),
      columns.length > MANY && h("option", { value: FIND }, "Find…"),
      [...new Set(columns.map((column) => column.group))].map((group) =>
        h("optgroup", { label: heading(group) }, columns.filter((column) => column.group === group).map(option)),
      ),
    ];
    const columns = [...frame.columns.values()];
    put(
      $("#map"),
      frame.maps.map((name) => h("option", { value: name }, title(name))),
    );
    put(
      $("#colour"),
      options(
        columns.filter((column) => column.kind !== "text"),
        "nothing",
      ),
    );
    put(
      $("#size"),
      options(
        columns.filter((column) => column.kind === "number"),
        "nothing",
      ),
    );
    put($("#sort"), options(columns));
    $("#frame").value = frame.name;
    for (const id of ["map", "colour", "size", "sort"]) $(`#${id}`).value = state[id];
    $("#explore").classList.toggle("no-map", frame.maps.length === 0);
    $("#map-label").hidden = frame.maps.length < 2;
  }

  /** Asks for the name of a column where there are too many to look through. */
  async findColumn(id) {
    const select = $(`#${id}`);
    select.value = state[id];
    const known = new Map([...select.options].slice(1).map((one) => [one.textContent.toLowerCase(), one.value]));
    known.delete("find…");
    const words = [...known.keys()];
    const said = await askWord({ title: "Find a column", label: "Name, or a part of it", words, action: "Choose" });
    if (said === null) return;
    const wanted = said.toLowerCase();
    const found = known.has(wanted) ? wanted : words.find((word) => word.includes(wanted));
    if (found) set({ [id]: known.get(found) });
    else notice(`No column is called “${said}”.`, { failed: true });
  }

  // -- the map

  async loadMap() {
    const { frame } = this;
    $("#map").value = state.map;
    if (!state.map) return;
    $("#map-panel").setAttribute("aria-busy", "true");
    const { x, y } = await frame.map(state.map);
    if (frame !== this.frame) return;
    this.placed = true;
    this.scatter.place(x, y);
    // Points show before their colours have come.
    if (this.coloured?.slots.length !== frame.count) this.paint(null);
    this.scatter.resizePoints(sizing(null, frame.count), false);
    this.showStates();
    $("#map-panel").removeAttribute("aria-busy");
    document.body.dataset.mapped ??= Math.round(performance.now());
  }

  async loadColour() {
    const { frame } = this;
    $("#colour").value = state.colour;
    const column = state.colour ? await trying(() => frame.column(state.colour)) : null;
    if (frame !== this.frame) return;
    this.colourColumn = column ?? null;
    this.recolour();
  }

  recolour() {
    this.paint(this.colourColumn);
    this.legend.show(this.colourColumn, this.coloured, this.filtering);
  }

  paint(column) {
    this.coloured = colouring(column, this.frame.count, this.legend.pinned);
    if (this.placed)
      this.scatter.colour(
        this.coloured.slots,
        slotColours(this.coloured.kind),
        this.coloured.kind === "word" ? MOST_WORDS : SLOTS,
      );
  }

  async loadSizes() {
    const { frame } = this;
    $("#size").value = state.size;
    const column = state.size ? await trying(() => frame.column(state.size)) : null;
    if (frame === this.frame && this.placed) this.scatter.resizePoints(sizing(column, frame.count), Boolean(column));
  }

  /** Redraws with the colours of the theme that was chosen. */
  themed() {
    if (this.placed) this.scatter.recolour(slotColours(this.coloured.kind));
    if (this.colourColumn) this.legend.show(this.colourColumn, this.coloured, this.filtering);
  }

  showStates() {
    if (!this.placed) return;
    const states = new Uint8Array(this.frame.count);
    const { selected, selecting, filtering, list } = this;
    const marked = list ? maskOf(states.length, this.listed()) : selecting ? selected : null;
    let shown = 0;
    for (let i = 0; i < states.length; i++) {
      states[i] = !filtering.passes(i) ? GHOST : marked?.[i] ? SELECTED : SHOWN;
      shown += states[i] === SELECTED;
    }
    this.scatter.show(states, Boolean(marked));
    $("#lasso").dataset.selected = shown;
  }

  takeTool(tool) {
    this.scatter.tool = tool;
    for (const button of document.querySelectorAll("[data-tool]"))
      button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
    $("#lasso").dataset.tool = tool;
  }

  lasso({ tool, found, started }) {
    const { selected, filtering } = this;
    const adding = tool === "add" && this.selecting;
    for (let i = 0; i < found.length; i++) {
      const hit = found[i] && filtering.passes(i) && this.scatter.states[i] !== HIDDEN;
      if (tool === "remove") selected[i] &= hit ? 0 : 1;
      else selected[i] = hit || (adding && selected[i]) ? 1 : 0;
    }
    this.selecting = count(selected) > 0;
    this.alike.clear();
    this.showStates();
    this.fillGrid({ started });
  }

  async hover({ point, x, y }) {
    const tip = $("#tip");
    this.hovered = point;
    tip.hidden = true;
    if (point < 0) return;
    const [row] = await this.frame.rowsAt([point]).catch(() => []);
    if (this.hovered !== point || !row) return;
    const value = this.colourColumn && valueAt(this.colourColumn, point);
    put(
      tip,
      picture(row),
      h("span", {}, h("bdi", {}, spoken(row))),
      value !== null &&
        value !== undefined &&
        h(
          "span",
          { class: "muted" },
          `${title(state.colour)}: `,
          h("bdi", {}, typeof value === "number" ? number(value) : value),
        ),
    );
    tip.hidden = false;
    const { clientWidth: width, clientHeight: height } = $("#lasso");
    tip.style.left = `${x + 16 + tip.offsetWidth > width ? x - 16 - tip.offsetWidth : x + 16}px`;
    tip.style.top = `${Math.max(4, Math.min(height - tip.offsetHeight - 4, y - tip.offsetHeight / 2))}px`;
  }

  // -- filter, order, selection

  async refilter() {
    const { filtering } = this;
    $("#grid-panel").setAttribute("aria-busy", "true");
    const done = await trying(async () => (await filtering.update(state), true));
    $("#grid-panel").removeAttribute("aria-busy");
    if (!done || filtering !== this.filtering) return;
    this.showStates();
    await this.reorder();
    this.alike.ask();
    this.filters.updateAll();
    if (this.colourColumn) this.legend.show(this.colourColumn, this.coloured, filtering);
  }

  async reorder() {
    const { frame } = this;
    $("#sort").value = state.sort;
    $("#direction").textContent = state.descending ? "↓" : "↑";
    $("#direction").setAttribute("aria-label", state.descending ? "Greatest first" : "Least first");
    const column = state.sort ? await trying(() => frame.column(state.sort)) : null;
    if (frame !== this.frame) return;
    this.order = ordered(column, frame.count, state.descending);
    this.fillGrid();
  }

  /** Fills the grid with whom the list, the selection and the filters leave, in the chosen order. */
  fillGrid({ started, keep = false } = {}) {
    const { filtering, selecting, selected, list } = this;
    if (!this.order) return;
    const shown = list
      ? this.listed()
      : chosenFrom(this.order, filtering.fails, selecting ? selected : null);
    this.grid.show(this.frame, shown, { keep, notes: list?.notes, started });
    this.status();
  }

  /** What was found to look alike. */
  get list() {
    return this.alike.list;
  }

  /** Those of the list that pass the filters, which may be newer than it is. */
  listed() {
    return Uint32Array.from(this.list.positions.filter((position) => this.filtering.passes(position)));
  }

  status() {
    const one = this.frame.name === "objects" ? "object" : "image";
    const picked = this.grid.picked.size;
    const { list, selecting } = this;
    const parts = [
      list
        ? `${number(this.grid.positions.length)} ${state.farthest ? "least" : "most"} similar`
        : selecting
          ? `${number(this.grid.positions.length)} selected`
          : plural(this.grid.positions.length, one),
      this.filtering.matching < this.frame.count &&
        `${number(this.filtering.matching)} of ${number(this.frame.count)} match`,
      picked > 0 && `${number(picked)} picked`,
    ];
    $("#status").textContent = parts.filter(Boolean).join(" · ");
    $("#clear").hidden = !(selecting || picked || list);
    $("#compare").hidden = picked !== 2;
    const none = !(picked || selecting);
    $("#find-alike").hidden = !this.alike.runs.length;
    $("#find-alike").disabled = none;
    $("#take").disabled = none;
    for (const button of document.querySelectorAll("[data-say]")) {
      const wrong = button.dataset.say === "relabel" && this.frame.name === "objects";
      const found = this.frame.name === "objects" || this.frame.has("prediction");
      button.hidden = button.dataset.say === "approve" && !found;
      button.disabled = none || wrong;
      button.title = none ? "Select on the map, pick in the grid, or press Select all" : "";
    }
    this.dispatchEvent(new Event("selection"));
  }

  /** Selects who is in a mask, nobody where there is none, in place of who was picked or selected. */
  choose(mask) {
    this.grid.picked.clear();
    this.clear();
    if (!mask || !count(mask)) return;
    this.selected.set(mask);
    this.selecting = true;
    this.showStates();
    this.fillGrid();
  }

  selectMatching() {
    this.alike.clear();
    for (let i = 0; i < this.selected.length; i++) this.selected[i] = this.filtering.passes(i) ? 1 : 0;
    this.selecting = true;
    this.showStates();
    this.fillGrid();
  }

  clear() {
    this.selected.fill(0);
    this.selecting = false;
    this.alike.clear();
    this.showStates();
    this.fillGrid();
  }

  /** Looks for what is like the picked cards, else like the selection. */
  async seekSelected() {
    const mask = this.meant();
    if (!mask) return;
    const meant = members(mask);
    const rows = await trying(() => this.frame.rowsAt([...meant.subarray(0, MOST_IDS)]));
    if (!rows) return;
    if (meant.length > MOST_IDS) notice(`Looked for what is like the first ${MOST_IDS} of ${number(meant.length)}.`);
    this.grid.unpick();
    this.alike.seek({ similar: rows.map((row) => row.subject_id).join(",") });
  }

  // -- saying something

  async openAt(position) {
    const [row] = (await trying(() => this.frame.rowsAt([position]))) ?? [];
    if (row) this.openDetail(row.subject_id);
  }

  async comparePicked() {
    const rows = (await trying(() => this.frame.rowsAt([...this.grid.picked]))) ?? [];
    if (rows.length === 2) this.compare(...rows.map((row) => row.subject_id));
  }

  /** Who stands so many places after a subject in the grid; null where nobody does. */
  async beside(subject, by) {
    const index = this.indexOf(subject);
    const position = index < 0 ? undefined : this.grid.positions[index + by];
    if (position === undefined) return null;
    const [row] = await this.frame.rowsAt([position]);
    return row?.subject_id ?? null;
  }

  indexOf(subject) {
    return subject.frame === this.frame?.name ? this.grid.positions.indexOf(subject.position) : -1;
  }

  /** Where a subject stands in the grid, which shows it. */
  place(subject) {
    const index = this.indexOf(subject);
    this.grid.follow(index);
    return index < 0 ? null : { index, count: this.grid.positions.length };
  }

  /** Who is meant: the picked cards, else the selection that passes the filters. */
  meant() {
    if (this.grid.picked.size) return maskOf(this.frame.count, this.grid.picked);
    if (!this.selecting) return null;
    return maskOf(this.frame.count, this.grid.positions);
  }

  /** Hands the selection over as a file. */
  async takeAlong(choice) {
    const [form, mask] = [choice.value, this.meant()];
    choice.value = "";
    if (!form || !mask) return;
    const asked = { version: this.overview.version, frame: this.frame.name, bits: packed(mask), form };
    const file = await trying(() => postForFile(state.dataset, "take", asked));
    if (!file) return;
    const link = h("a", { href: URL.createObjectURL(file), download: `${state.dataset}.${SUFFIXES[form]}` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

  async saySelected(kind) {
    const mask = this.meant();
    if (!mask) return;
    if (kind === "approve") {
      await approve({ frame: this.frame.name, mask }, this.overview.version);
      return;
    }
    const value = await this.valueFor(kind, count(mask));
    if (value !== null) await say({ kind, value, mask }, this.overview.version);
  }

  async valueFor(kind, subjects) {
    const about = plural(subjects, this.frame.name === "objects" ? "object" : "image");
    if (kind === "tag")
      return askWord({ title: `Tag ${about}`, label: "Tag", words: await this.knownWords("tags"), action: "Tag" });
    if (kind === "untag")
      return askWord({
        title: `Remove a tag from ${about}`,
        label: "Tag",
        words: await this.knownWords("tags"),
        action: "Remove",
      });
    if (kind === "relabel")
      return askWord({
        title: `Relabel ${about}`,
        label: "Right label",
        words: await this.knownWords("label"),
        action: "Relabel",
      });
    return undefined;
  }

  async knownWords(name) {
    return this.frame.has(name) ? ((await this.frame.column(name)).words ?? []) : [];
  }

  /** Shows what was just said: rows, tags and whatever filters or colours by them. */
  async reviewed() {
    for (const frame of Object.values(this.frames ?? {})) frame.forgetReviews();
    if (!this.frame) return;
    this.filtering.forget(["tags", "decision"]);
    if (state.filters.tags || state.filters.decision || state.where || state.text) await this.refilter();
    else {
      this.fillGrid({ keep: true });
      this.filters.updateAll();
    }
    if (["tags", "decision"].includes(state.colour)) await this.loadColour();
  }
}

/** Those of an order that fail no filter and, if there is a selection, are in it. */
function chosenFrom(order, fails, selected) {
  const chosen = new Uint32Array(order.length);
  let count = 0;
  for (let i = 0; i < order.length; i++) {
    const position = order[i];
    if (fails[position] === 0 && (selected === null || selected[position])) chosen[count++] = position;
  }
  return chosen.subarray(0, count);
}
