// Looking for what looks alike: like some subjects, a picture, a part of one, or words; what is sought, and how, in a bar.

import { pictureUrl, post } from "/static/js/api.js";
import { notice, trying } from "/static/js/dialogs.js";
import { h, number, plural, put, title, typing } from "/static/js/dom.js";
import { distanceNote } from "/static/js/grid.js";
import { base64, packed } from "/static/js/positions.js";
import { NOTHING_SOUGHT, set, state, watch } from "/static/js/state.js";

const MOST_BYTES = 20 * 2 ** 20;
/** Whose ids an address can hold. */
export const MOST_IDS = 100;
const COUNTS = [12, 24, 48, 100, 250, 500, 1000];
const USUAL = "48";

export class Alike extends EventTarget {
  /**
   * Dispatches "found" whenever what is found has changed.
   *
   * @param {HTMLElement} panel where words and pictures are entered
   * @param {HTMLElement} bar where it says what is sought
   */
  constructor(panel, bar) {
    super();
    Object.assign(this, { panel, bar, runs: [], picture: null, list: null, turn: 0 });
    this.words = h("input", { type: "search", id: "words", "aria-label": "What the images look like, in words" });
    this.words.addEventListener("keydown", (event) => event.key === "Enter" && this.seek({ words: this.words.value.trim() }));
    this.words.addEventListener("search", () => this.words.value || !state.words || this.clear());
    this.file = h("input", { type: "file", accept: "image/*", hidden: true, id: "picture", tabindex: -1, "aria-label": "Picture" });
    this.file.addEventListener("change", () => this.take(this.file.files[0]));
    this.choose = h(
      "button",
      { type: "button", title: "Find what looks like a picture; it may be pasted or dropped here, too", onclick: () => this.file.click() },
      "Picture…",
    );
    this.note = h("p", { class: "muted small-note", id: "words-note" });
    this.words.setAttribute("aria-describedby", "words-note");
    panel.append(h("div", { class: "row" }, this.words, this.choose, this.file), this.note);
    this.listen();
  }

  listen() {
    watch("similar words part farthest any k near", () => this.ask());
    addEventListener("paste", (event) => this.dropped(event, event.clipboardData));
    addEventListener("dragover", (event) => [...event.dataTransfer.types].includes("Files") && event.preventDefault());
    addEventListener("drop", (event) => this.dropped(event, event.dataTransfer));
  }

  /** Starts with a frame, its runs with vectors, and who passes its filters. */
  start(frame, filtering) {
    Object.assign(this, { frame, filtering, runs: frame.alike, list: null });
    const speaking = this.runs.filter((run) => run.by_text);
    this.words.disabled = !speaking.length;
    this.words.placeholder = speaking.length ? "Looks like… (words)" : "Looks like…";
    this.choose.disabled = !this.runs.some((run) => run.by_picture);
    this.note.textContent = this.unable(speaking);
    this.panel.hidden = !this.runs.length;
  }

  unable(speaking) {
    if (!this.runs.length || speaking.length) return "";
    const models = [...new Set(this.runs.map((run) => run.model))].join(", ");
    return `No search by words: ${models} knows pictures only. Models that know both begin with open_clip: or hf:`;
  }

  // -- what is sought

  /** What to look for as the server takes it; null where nothing is sought. */
  get sought() {
    if (this.picture) return { picture: this.picture.base64 };
    if (state.words) return { text: state.words };
    if (state.part) {
      const [sample, place] = state.part.split(":");
      const [x, y, width, height] = (place ?? "").split(",").map(Number);
      return { part: { sample, x, y, width, height } };
    }
    return state.similar ? { ids: state.similar.split(",").slice(0, MOST_IDS) } : null;
  }

  /** The run to ask: the chosen one, else the first that can answer. */
  get run() {
    const { sought } = this;
    const able = this.runs.filter((run) => (sought?.text ? run.by_text : sought?.ids ? true : run.by_picture));
    return able.find((run) => run.brain_key === state.near) ?? able[0] ?? this.runs.find((run) => run.brain_key === state.near) ?? this.runs[0];
  }

  /** Looks for something else; what was sought before is forgotten. */
  seek(what) {
    this.picture = what.picture ?? null;
    const { picture: _, ...named } = what;
    set({ tab: "explore", id: "", beside: "", ...NOTHING_SOUGHT, ...named }, { push: true });
    if (this.picture) this.ask();
  }

  clear() {
    this.turn += 1;
    const was = this.list;
    Object.assign(this, { picture: null, list: null });
    set(NOTHING_SOUGHT);
    this.show();
    if (was) this.dispatchEvent(new Event("found"));
  }

  /** A picture that is pasted or dropped. */
  dropped(event, given) {
    const file = [...(given?.files ?? [])].find((one) => one.type.startsWith("image/"));
    if (!file || (event.type === "paste" && typing(event))) return;
    event.preventDefault();
    this.take(file);
  }

  async take(file) {
    this.file.value = "";
    if (!file) return;
    if (!this.runs.some((run) => run.by_picture)) {
      notice("No model is at hand that could look at a picture.", { failed: true });
    } else if (file.size > MOST_BYTES) {
      notice(`The picture has ${number(file.size / 1e6)} MB; at most ${number(MOST_BYTES / 1e6)} MB are looked at.`, { failed: true });
    } else {
      const url = URL.createObjectURL(file);
      this.seek({ picture: { base64: base64(new Uint8Array(await file.arrayBuffer())), name: file.name || "the picture", url } });
    }
  }

  // -- asking

  /** Looks again: something else is sought, otherwise, or among others. */
  async ask() {
    // Another frame asks again once it is there.
    if (this.frame?.name !== state.frame) return undefined;
    this.turn += 1;
    const { turn, frame, sought, run } = this;
    if (this.picture && (state.words || state.part || state.similar)) return this.forget();
    if (!sought || !run) {
      if (this.list) this.clear();
      else this.show();
      return undefined;
    }
    this.show("busy");
    const found = await trying(() => post(state.dataset, "alike", { ...this.how(run), ...sought }));
    if (turn !== this.turn || frame !== this.frame) return undefined;
    const notes = new Map(found?.positions.map((position, index) => [position, distanceNote(found.distances[index])]));
    this.list = found ? { positions: found.positions, notes } : null;
    this.show();
    this.dispatchEvent(new Event("found"));
    return undefined;
  }

  /** Forgets a picture, as something that the address names is sought. */
  forget() {
    this.picture = null;
    return this.ask();
  }

  how(run) {
    const { frame, filtering } = this;
    const among = filtering.matching < frame.count ? packed(filtering.passing()) : undefined;
    return {
      version: frame.version,
      frame: frame.name,
      brain_key: run.brain_key,
      k: Number(state.k || USUAL),
      farthest: state.farthest,
      aggregate: state.any ? "post-min" : "mean",
      bits: among,
    };
  }

  // -- shown

  show(busy) {
    if (this.words.value !== state.words) this.words.value = state.words;
    const { sought, run } = this;
    this.bar.hidden = !sought;
    this.bar.toggleAttribute("aria-busy", Boolean(busy));
    if (!sought) return put(this.bar);
    const several = (sought.ids?.length ?? 0) > 1;
    put(
      this.bar,
      h("span", { class: "row" }, this.thumb(sought), h("strong", {}, this.named(sought))),
      this.switch("farthest", "Least similar first"),
      several && this.switch("any", "Like any of them", "Each is compared with the nearest of them instead of with their mean"),
      h("label", {}, "Show ", this.select("k", COUNTS.map(String), state.k || USUAL, "How many are shown")),
      this.runs.length > 1 && h("label", {}, "by ", this.select("near", this.runs.map((one) => one.brain_key), run?.brain_key, "Whose vectors are compared")),
      h("span", { class: "spring" }),
      h("button", { type: "button", class: "plain small", "aria-label": "End the search", title: "End the search (Esc)", onclick: () => this.clear() }, "×"),
    );
    return undefined;
  }

  named(sought) {
    const how = state.farthest ? "Least like" : "Like";
    if (sought.picture) return [how, " ", h("bdi", {}, this.picture.name)];
    if (sought.text) return [how, " “", h("bdi", {}, sought.text), "”"];
    if (sought.part) return `${how} this part`;
    return sought.ids.length > 1 ? `${how} ${plural(sought.ids.length, this.frame.name === "objects" ? "object" : "image")}` : `${how} this`;
  }

  thumb(sought) {
    if (sought.picture) return h("img", { class: "sought", alt: "", src: this.picture.url });
    if (sought.part) return partOf(sought.part);
    if (!sought.ids) return null;
    const object = this.frame.name === "objects";
    return object ? null : h("img", { class: "sought", alt: "", src: pictureUrl(state.dataset, { sample_id: sought.ids[0] }) });
  }

  switch(key, text, told = "") {
    const pressed = String(state[key]);
    return h("button", { type: "button", class: "small", title: told, "aria-pressed": pressed, onclick: () => set({ [key]: !state[key] }) }, text);
  }

  select(key, values, chosen, told) {
    const options = values.map((value) => h("option", { value, selected: value === chosen }, key === "near" ? title(value) : number(Number(value))));
    return h("select", { "aria-label": told, id: `sought-${key}`, onchange: (event) => set({ [key]: event.target.value }) }, options);
  }
}

/** A part of an image, as a canvas that is drawn once the image has come. */
function partOf({ sample, x, y, width, height }) {
  const canvas = h("canvas", { class: "sought", width: 48, height: 48, "aria-hidden": "true" });
  const image = new Image();
  image.onload = () => {
    const [across, down] = [image.naturalWidth, image.naturalHeight];
    const scale = 48 / Math.max(width * across, height * down);
    Object.assign(canvas, { width: Math.max(1, width * across * scale), height: Math.max(1, height * down * scale) });
    canvas
      .getContext("2d")
      .drawImage(image, x * across, y * down, width * across, height * down, 0, 0, canvas.width, canvas.height);
  };
  image.src = pictureUrl(state.dataset, { sample_id: sample }, "large", false);
  return canvas;
}

/** How a part of an image stands in the address. */
export const partNamed = (sample, { x, y, width, height }) => `${sample}:${[x, y, width, height].map((value) => Number(value.toFixed(5))).join(",")}`;
