// The map: pan, zoom, lasso and hover over points that a renderer draws.

import { CanvasRenderer } from "/static/js/canvas.js";
import { Nearest, inside } from "/static/js/lasso.js";
import { extent } from "/static/js/filter.js";
import { channels, theme } from "/static/js/palette.js";
import { WebGlRenderer, hasGraphicsCard } from "/static/js/webgl.js";

export const HIDDEN = 0;
export const GHOST = 1;
export const SHOWN = 2;
export const SELECTED = 3;

const ZOOM = 1.0015;
const NEAR = 9;
/** While the map moves, so many points are drawn. Positions follow hashed ids, so the first ones are a random sample. */
const MOVING = 200_000;

export class Scatter extends EventTarget {
  /** @param {HTMLCanvasElement} canvas takes the points @param {HTMLCanvasElement} overlay takes the pointer and the lasso */
  constructor(canvas, overlay) {
    super();
    Object.assign(this, { canvas, overlay, tool: "pan", centre: [0, 0], scale: 1, path: [], selecting: false });
    this.renderer = hasGraphicsCard() ? new WebGlRenderer(canvas) : new CanvasRenderer(canvas);
    this.listen();
    new ResizeObserver(() => this.resize()).observe(overlay);
  }

  /** Takes coordinates, NaN for what is not on the map, and shows all of them. */
  place(x, y) {
    Object.assign(this, { x, y });
    const places = new Float32Array(x.length * 2);
    for (let i = 0; i < x.length; i++) {
      const known = x[i] === x[i] && y[i] === y[i];
      places[2 * i] = known ? x[i] : 0;
      places[2 * i + 1] = known ? y[i] : 0;
    }
    this.renderer.upload("place", places);
    const [left, right] = extent(x) ?? [0, 1];
    const [top, bottom] = extent(y) ?? [0, 1];
    this.bounds = { left, right, top, bottom };
    this.nearest = null;
    this.states = new Uint8Array(x.length).fill(SHOWN);
    this.fit();
  }

  /** Takes a colour slot per point and the colours; points with slots from `rest` on lie under the others. */
  colour(slots, colours, rest) {
    this.rest = rest;
    this.renderer.upload("slot", slots);
    this.recolour(colours);
  }

  recolour(colours) {
    this.renderer.colours(colours);
    this.redraw();
  }

  resizePoints(sizes, varied) {
    this.varied = varied;
    this.renderer.upload("size", sizes);
    this.redraw();
  }

  /** Takes what to show of each position: HIDDEN, GHOST, SHOWN or SELECTED. */
  show(states, selecting) {
    Object.assign(this, { states, selecting });
    for (let i = 0; i < states.length; i++) if (!(this.x[i] === this.x[i])) states[i] = HIDDEN;
    this.renderer.upload("state", states);
    this.redraw();
  }

  fit() {
    const { left, right, top, bottom } = this.bounds;
    const { clientWidth: width, clientHeight: height } = this.overlay;
    this.centre = [(left + right) / 2, (top + bottom) / 2];
    this.scale = 0.92 * Math.min(width / (right - left || 1), height / (bottom - top || 1)) || 1;
    this.moved();
  }

  resize() {
    const ratio = Math.min(2, devicePixelRatio || 1);
    for (const canvas of [this.canvas, this.overlay]) {
      canvas.width = this.overlay.clientWidth * ratio;
      canvas.height = this.overlay.clientHeight * ratio;
    }
    if (!this.bounds) return;
    if (this.touched) this.moved();
    else this.fit();
  }

  moved() {
    this.moving = true;
    clearTimeout(this.settling);
    this.settling = setTimeout(() => {
      this.moving = false;
      this.redraw();
    }, 120);
    this.redraw();
  }

  redraw() {
    if (this.waiting || !this.states) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = 0;
      this.draw();
    });
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.overlay;
    // A map that was hidden has no pixels until it is resized.
    if (!width || !height || !this.canvas.width) return;
    const count = this.x.length;
    const base =
      Math.min(9, Math.max(1.6, 260 / Math.sqrt(count))) *
      Math.min(2.2, Math.max(1, (this.scale / this.fitted()) ** 0.3));
    const solid = count > 300_000 ? 0.45 : count > 30_000 ? 0.65 : 0.9;
    this.renderer.draw({
      scale: this.scale,
      centre: this.centre,
      width,
      height,
      ratio: this.canvas.width / width,
      sizes: this.varied ? [base * 0.5, base * 2.2] : [base, base],
      opacity: [0.18, this.selecting ? solid * 0.25 : solid, 1],
      ghost: channels(theme() === "dark" ? "#7d8794" : "#9aa3ad"),
      rest: this.rest,
      limit: this.moving ? MOVING : Infinity,
    });
    // What tests and other tools need to turn a place on the page into coordinates of the map.
    this.overlay.dataset.view = JSON.stringify({ centre: this.centre, scale: this.scale, width, height });
    this.dispatchEvent(new Event("drawn"));
  }

  fitted() {
    const { left, right, top, bottom } = this.bounds;
    const { clientWidth: width, clientHeight: height } = this.overlay;
    return 0.92 * Math.min(width / (right - left || 1), height / (bottom - top || 1)) || 1;
  }

  toMap(x, y) {
    const { clientWidth: width, clientHeight: height } = this.overlay;
    return [(x - width / 2) / this.scale + this.centre[0], (height / 2 - y) / this.scale + this.centre[1]];
  }

  pan(dx, dy) {
    this.touched = true;
    this.centre = [this.centre[0] - dx / this.scale, this.centre[1] + dy / this.scale];
    this.moved();
  }

  zoom(factor, x = this.overlay.clientWidth / 2, y = this.overlay.clientHeight / 2) {
    this.touched = true;
    const before = this.toMap(x, y);
    this.scale = Math.min(this.fitted() * 5000, Math.max(this.fitted() / 4, this.scale * factor));
    const after = this.toMap(x, y);
    this.centre = [this.centre[0] + before[0] - after[0], this.centre[1] + before[1] - after[1]];
    this.moved();
  }

  // -- pointer and keyboard

  listen() {
    const { overlay } = this;
    overlay.addEventListener("pointerdown", (event) => this.start(event));
    overlay.addEventListener("pointermove", (event) => this.move(event));
    overlay.addEventListener("pointerup", (event) => this.end(event));
    overlay.addEventListener("pointercancel", () => this.cancel());
    overlay.addEventListener("pointerleave", () => this.hover(-1));
    overlay.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    overlay.addEventListener("keydown", (event) => this.key(event));
    overlay.addEventListener("dblclick", (event) => this.open(event));
  }

  toolOf(event) {
    if (event.shiftKey) return event.altKey ? "remove" : event.ctrlKey || event.metaKey ? "add" : "select";
    return event.button === 1 ? "pan" : this.tool;
  }

  start(event) {
    if (event.button > 1 || !this.x) return;
    this.overlay.setPointerCapture(event.pointerId);
    this.hover(-1);
    this.drag = { tool: this.toolOf(event), x: event.offsetX, y: event.offsetY, far: false };
    this.path = [[event.offsetX, event.offsetY]];
  }

  move(event) {
    if (!this.drag) {
      this.hoverAt(event.offsetX, event.offsetY);
      return;
    }
    const [dx, dy] = [event.offsetX - this.drag.x, event.offsetY - this.drag.y];
    this.drag.far ||= Math.hypot(event.offsetX - this.path[0][0], event.offsetY - this.path[0][1]) > 3;
    Object.assign(this.drag, { x: event.offsetX, y: event.offsetY });
    if (this.drag.tool === "pan") this.pan(dx, dy);
    else {
      this.path.push([event.offsetX, event.offsetY]);
      this.drawLasso();
    }
  }

  end(event) {
    const { drag } = this;
    this.drag = null;
    if (!drag) return;
    if (!drag.far) this.click(event);
    else if (drag.tool !== "pan") this.lasso(drag.tool, this.path);
    this.clearLasso();
  }

  cancel() {
    this.drag = null;
    this.clearLasso();
  }

  lasso(tool, path) {
    const started = performance.now();
    const found = inside(
      path.map(([x, y]) => this.toMap(x, y)),
      this.x,
      this.y,
    );
    this.dispatchEvent(new CustomEvent("lasso", { detail: { tool, found, started } }));
  }

  /** Selects what is in view: the lasso of those who use the keyboard. */
  selectView(tool = "select") {
    const { clientWidth: width, clientHeight: height } = this.overlay;
    this.lasso(tool, [
      [0, 0],
      [width, 0],
      [width, height],
      [0, height],
    ]);
  }

  click(event) {
    const point = this.pointAt(event.offsetX, event.offsetY);
    this.dispatchEvent(new CustomEvent("point", { detail: { point } }));
  }

  open(event) {
    const point = this.pointAt(event.offsetX, event.offsetY);
    if (point < 0) this.zoom(2, event.offsetX, event.offsetY);
  }

  wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    this.zoom(ZOOM ** (-event.deltaY * lines), event.offsetX, event.offsetY);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const steps = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
    if (steps[event.key]) this.pan(...steps[event.key]);
    else if (event.key === "+" || event.key === "=") this.zoom(1.4);
    else if (event.key === "-") this.zoom(1 / 1.4);
    else if (event.key === "0") {
      this.touched = false;
      this.fit();
    } else if (event.key === "Enter") this.selectView(event.shiftKey ? "add" : "select");
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  pointAt(x, y) {
    this.nearest ??= new Nearest(this.x, this.y, this.bounds);
    return this.nearest.find(...this.toMap(x, y), NEAR / this.scale, (point) => this.states[point] > GHOST);
  }

  hoverAt(x, y) {
    if (!this.x || this.moving) return;
    this.hover(this.pointAt(x, y), x, y);
  }

  hover(point, x = 0, y = 0) {
    if (point === this.hovered) return;
    this.hovered = point;
    this.dispatchEvent(new CustomEvent("hover", { detail: { point, x, y } }));
  }

  // -- the lasso's line

  drawLasso() {
    const context = this.overlay.getContext("2d");
    const ratio = this.overlay.width / this.overlay.clientWidth;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.overlay.clientWidth, this.overlay.clientHeight);
    context.beginPath();
    for (const [x, y] of this.path) context.lineTo(x, y);
    context.closePath();
    context.fillStyle = context.strokeStyle = getComputedStyle(this.overlay).color;
    context.globalAlpha = 0.14;
    context.fill();
    context.globalAlpha = 1;
    context.lineWidth = 1.5;
    context.setLineDash([5, 4]);
    context.stroke();
  }

  clearLasso() {
    this.path = [];
    const context = this.overlay.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.overlay.width, this.overlay.height);
  }
}
