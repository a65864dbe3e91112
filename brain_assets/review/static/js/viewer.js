// A picture to zoom into and pan, down to its pixels, with shapes drawn over it.

import { pictureUrl } from "/static/js/api.js";
import { h, s } from "/static/js/dom.js";
import { state } from "/static/js/state.js";

/** Pixels of the screen that one of the picture takes at most. */
const CLOSEST = 64;
/** The longest side of what is shown first; a smaller picture has come whole, but lossy. */
const FIRST = 1600;
const STEP = 1.4;
const SWIPE = 50;

export class Viewer extends EventTarget {
  /** @param {string} label what a screen reader calls it */
  constructor(label) {
    super();
    Object.assign(this, { view: { u: 0.5, v: 0.5, zoom: 1 }, pointers: new Map(), size: null, tool: null });
    this.overlay = s("svg", { "aria-hidden": "true" });
    this.image = h("img", { alt: "" });
    this.root = h(
      "div",
      {
        class: "viewer",
        tabindex: 0,
        role: "application",
        "aria-label": `${label}. Plus and minus zoom, 0 shows all, Z shows pixel by pixel, Shift with arrows pans.`,
      },
      this.image,
      this.overlay,
    );
    /** Draws into the overlay; called whenever the view changes. */
    this.paint = () => {};
    this.listen();
    new ResizeObserver(() => this.place()).observe(this.root);
  }

  listen() {
    const { root } = this;
    root.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    root.addEventListener("pointerdown", (event) => this.press(event));
    root.addEventListener("pointermove", (event) => this.move(event));
    root.addEventListener("pointerup", (event) => this.release(event));
    root.addEventListener("pointercancel", (event) => this.release(event, true));
    root.addEventListener("dblclick", (event) => this.tool?.drawing || this.toggle(this.at(event)));
    root.addEventListener("keydown", (event) => this.key(event));
  }

  // -- what is shown

  /** Shows a subject's whole image; the same one keeps its view. */
  show(subject) {
    const url = pictureUrl(state.dataset, subject, "large", false);
    this.subject = subject;
    if (url === this.url) return this.place();
    Object.assign(this, { url, sharp: false, size: null, view: { u: 0.5, v: 0.5, zoom: 1 } });
    this.root.dataset.picture = "loading";
    this.take(url);
    return undefined;
  }

  /** Replaces the picture once another has come; what has been overtaken meanwhile is dropped. */
  take(url, sharp = false) {
    const wanted = this.url;
    const image = h("img", { alt: "", draggable: "false", src: url });
    const come = () => {
      if (wanted !== this.url) return;
      this.image.replaceWith(image);
      Object.assign(this, { image, sharp, size: [image.naturalWidth, image.naturalHeight] });
      this.root.dataset.picture = sharp ? "sharp" : "there";
      this.place();
      if (!sharp && Math.max(...this.size) < FIRST) this.sharpen();
      this.dispatchEvent(new Event("picture"));
    };
    image.decode().then(come, () => {
      if (wanted === this.url && !sharp) this.fail();
    });
  }

  /** Shows a canvas in place of the picture, in the same view. */
  lay(canvas) {
    this.image.replaceWith(canvas);
    Object.assign(this, { image: canvas, sharp: true, size: [canvas.width, canvas.height], url: "" });
    this.root.dataset.picture = "canvas";
    this.place();
  }

  fail() {
    const missing = h("span", { class: "missing" }, "no picture");
    this.image.replaceWith(missing);
    this.image = missing;
    this.root.dataset.picture = "missing";
  }

  /** Asks for every pixel of the original. */
  sharpen() {
    if (this.sharpening === this.url) return;
    this.sharpening = this.url;
    this.take(pictureUrl(state.dataset, this.subject, "full", false), true);
  }

  place() {
    if (!this.size) return;
    const { clientWidth: width, clientHeight: height } = this.root;
    if (!width || !height) return;
    const [across, down] = this.size;
    this.scale = this.fitting * this.view.zoom;
    this.left = width / 2 - this.view.u * across * this.scale;
    this.top = height / 2 - this.view.v * down * this.scale;
    this.image.style.transform = `translate(${this.left}px, ${this.top}px) scale(${this.scale})`;
    this.image.classList.toggle("pixels", this.scale >= 2);
    this.root.dataset.zoom = this.view.zoom.toFixed(3);
    this.overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
    if (!this.sharp && this.scale > 1) this.sharpen();
    this.paint(this);
  }

  /** The scale at which all of the picture is seen. */
  get fitting() {
    const [across, down] = this.size;
    return Math.min(this.root.clientWidth / across, this.root.clientHeight / down);
  }

  /** Where a point, relative to the picture, is in the viewer. */
  project(x, y) {
    return [this.left + x * this.size[0] * this.scale, this.top + y * this.size[1] * this.scale];
  }

  /** Which point of the picture, relative to it, lies under a place in the viewer. */
  unproject([x, y]) {
    return [(x - this.left) / (this.size[0] * this.scale), (y - this.top) / (this.size[1] * this.scale)];
  }

  at(event) {
    const { left, top } = this.root.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }

  // -- looking

  /** Shows a part: its middle relative to the picture, and how much larger than when all is seen. */
  look(view, quiet = false) {
    const within = (value) => Math.min(1, Math.max(0, value));
    const most = this.size ? Math.max(1, CLOSEST / this.fitting) : CLOSEST;
    const zoom = Math.min(most, Math.max(1, view.zoom));
    this.view = { zoom, u: zoom === 1 ? 0.5 : within(view.u), v: zoom === 1 ? 0.5 : within(view.v) };
    this.place();
    if (!quiet) this.dispatchEvent(new Event("viewed"));
  }

  fit() {
    this.look({ u: 0.5, v: 0.5, zoom: 1 });
  }

  /** Zooms by a factor and leaves a place of the viewer, by default its middle, where it is. */
  zoom(factor, place = [this.root.clientWidth / 2, this.root.clientHeight / 2]) {
    if (!this.size) return;
    const [u, v] = this.unproject(place);
    const zoom = Math.min(Math.max(1, CLOSEST / this.fitting), Math.max(1, this.view.zoom * factor));
    const shrunk = this.view.zoom / zoom;
    this.look({ zoom, u: u + (this.view.u - u) * shrunk, v: v + (this.view.v - v) * shrunk });
  }

  pan(right, down) {
    if (!this.size) return;
    const { u, v, zoom } = this.view;
    this.look({ zoom, u: u + right / (this.size[0] * this.scale), v: v + down / (this.size[1] * this.scale) });
  }

  /** Between all of the picture and a pixel of it for each of the screen. */
  toggle(place) {
    if (!this.size) return;
    if (this.view.zoom > 1) this.fit();
    else this.zoom(Math.max(2, 1 / this.fitting), place);
  }

  wheel(event) {
    event.preventDefault();
    this.zoom(Math.exp(-Math.max(-100, Math.min(100, event.deltaY)) / 300), this.at(event));
  }

  press(event) {
    if (event.button) return;
    this.root.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.at(event));
    if (this.pointers.size > 1) {
      this.drag?.cancel?.();
      this.drag = null;
      return;
    }
    const start = this.at(event);
    this.drag = (this.size && this.tool?.begin(start, event)) || this.panning(start, event.pointerType === "touch");
  }

  panning(start, touch) {
    let last = start;
    return {
      move: (place) => {
        this.pan(last[0] - place[0], last[1] - place[1]);
        last = place;
      },
      end: (place) => {
        const [across, down] = [place[0] - start[0], place[1] - start[1]];
        if (touch && this.view.zoom === 1 && Math.abs(across) > SWIPE && Math.abs(across) > 2 * Math.abs(down))
          this.dispatchEvent(new CustomEvent("swipe", { detail: across < 0 ? 1 : -1 }));
      },
    };
  }

  move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = this.at(event);
    if (this.pointers.size === 2) this.pinch(event.pointerId, before, now);
    this.pointers.set(event.pointerId, now);
    if (this.pointers.size === 1) this.drag?.move(now, event);
  }

  pinch(moved, before, now) {
    const [other] = [...this.pointers].filter(([id]) => id !== moved).map(([, place]) => place);
    const apart = (place) => Math.max(1, Math.hypot(place[0] - other[0], place[1] - other[1]));
    this.zoom(apart(now) / apart(before), [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
  }

  release(event, cancelled = false) {
    if (!this.pointers.delete(event.pointerId) || this.pointers.size) return;
    if (cancelled) this.drag?.cancel?.();
    else this.drag?.end?.(this.at(event), event);
    this.drag = null;
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || this.tool?.keyed(event) || event.altKey) return;
    const far = 60;
    const pans = { ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, -far], ArrowDown: [0, far] };
    const runs = {
      "+": () => this.zoom(STEP),
      "=": () => this.zoom(STEP),
      "-": () => this.zoom(1 / STEP),
      0: () => this.fit(),
      z: () => this.toggle(),
    };
    const run = event.shiftKey && pans[event.key] ? () => this.pan(...pans[event.key]) : runs[event.key.toLowerCase()];
    if (!run) return;
    event.preventDefault();
    event.stopPropagation();
    run();
  }
}

/** Lets two viewers show the same part of their pictures. */
export function together(one, other) {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ])
    from.addEventListener("viewed", () => to.look(from.view, true));
}
