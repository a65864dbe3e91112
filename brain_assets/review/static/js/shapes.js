// Boxes and outlines over a picture, with the names of their classes, by layers that are switched on and off.

import { h, number, s } from "/static/js/dom.js";

const KEPT = "review.layers";
/** What is shown of objects; `least` is the confidence below which predictions are left out. */
export const layers = Object.assign(new EventTarget(), {
  labels: true,
  predictions: true,
  names: true,
  least: 0,
  ...known(),
});

function known() {
  try {
    return JSON.parse(localStorage.getItem(KEPT)) ?? {};
  } catch {
    return {};
  }
}

function choose(changes) {
  Object.assign(layers, changes);
  const { labels, predictions, names, least } = layers;
  localStorage.setItem(KEPT, JSON.stringify({ labels, predictions, names, least }));
  layers.dispatchEvent(new Event("changed"));
}

export const given = (box) => box.source === "ground_truth";

/** The boxes that the layers leave; those in `always` stay. */
export const visible = (boxes, always = []) =>
  boxes.filter(
    (box) =>
      always.includes(box.object_id) ||
      (given(box) ? layers.labels : layers.predictions && (box.confidence ?? 1) >= layers.least),
  );

/** Switches for the layers, and the slider of the confidence; only where there is something to switch. */
export function layerSwitches(boxes) {
  const has = { labels: boxes.some(given), predictions: boxes.some((box) => !given(box)) };
  const one = (name, text, title) =>
    h(
      "button",
      {
        type: "button",
        class: `small layer ${name}`,
        "aria-pressed": String(layers[name]),
        title,
        onclick: (event) => {
          choose({ [name]: !layers[name] });
          event.target.setAttribute("aria-pressed", String(layers[name]));
        },
      },
      text,
    );
  const shown = h("output", {}, number(layers.least));
  const slider = h("input", {
    type: "range",
    min: 0,
    max: 1,
    step: 0.01,
    "aria-label": "Least confidence of predictions",
    oninput: () => {
      choose({ least: Number(slider.value) });
      shown.textContent = number(layers.least);
    },
  });
  slider.value = layers.least;
  return [
    has.labels && one("labels", "Labels", "Show labels (G)"),
    has.predictions && one("predictions", "Predictions", "Show predictions (P)"),
    (has.labels || has.predictions) && one("names", "Names", "Show the names of classes (N)"),
    has.predictions && h("label", { class: "least", title: "Predictions below it are left out" }, "≥", slider, shown),
  ];
}

/** Switches a layer by its key; returns whether it was one. */
export function layerKey(key) {
  const name = { g: "labels", p: "predictions", n: "names" }[key];
  if (name) choose({ [name]: !layers[name] });
  return Boolean(name);
}

/** What a shape is called where it stands. */
export const nameOf = (box) =>
  `${box.label ?? "?"}${box.confidence === null || box.confidence === undefined ? "" : ` ${number(box.confidence)}`}`;

/** Draws boxes into a viewer: `emphasised` are what it is about, `selected` is worked on, `shared` is what a copy shows, too. */
export function drawShapes(viewer, boxes, { emphasised = [], selected = "", shared } = {}) {
  const rank = (box) => (box.object_id === selected ? 2 : Number(emphasised.includes(box.object_id)));
  const shown = visible(boxes, [selected]).toSorted((a, b) => rank(a) - rank(b));
  const shapes = shown.flatMap((box) => shapeOf(viewer, box, { emphasised, selected }));
  viewer.overlay.replaceChildren(...(shared ? [sharedOf(viewer, shared)] : []), ...shapes);
}

function sharedOf(viewer, [x, y, width, height]) {
  const [left, top] = viewer.project(x, y);
  const [right, bottom] = viewer.project(x + width, y + height);
  const place = { x: left, y: top, width: right - left, height: bottom - top };
  return s("rect", { class: "shared", ...place }, s("title", {}, "What both show"));
}

function shapeOf(viewer, box, { emphasised, selected }) {
  const strength = !emphasised.length ? "" : emphasised.includes(box.object_id) ? " emphasised" : " faint";
  const kind = `${given(box) ? "given" : "predicted"}${box.object_id === selected ? " selected" : strength}${box.dropped ? " gone" : ""}`;
  const corner = viewer.project(box.x, box.y);
  const opposite = viewer.project(box.x + box.width, box.y + box.height);
  const place = { x: corner[0], y: corner[1], width: opposite[0] - corner[0], height: opposite[1] - corner[1] };
  const shapes = box.polygon?.length
    ? [s("path", { class: kind, d: pathOf(viewer, box.polygon) })]
    : [s("rect", { class: kind, ...place })];
  // Of an outline that is worked on, the box shows, too: it is what is moved.
  if (box.polygon?.length && box.object_id === selected) shapes.push(s("rect", { class: `${kind} frame`, ...place }));
  if (layers.names && (place.width > 18 || box.object_id === selected))
    shapes.push(s("text", { class: kind, x: place.x + 2, y: Math.max(12, place.y - 4) }, nameOf(box)));
  return shapes;
}

const pathOf = (viewer, rings) =>
  rings
    .map((ring) => {
      const points = [];
      for (let i = 0; i + 1 < ring.length; i += 2) points.push(viewer.project(ring[i], ring[i + 1]).join(" "));
      return `M${points.join("L")}Z`;
    })
    .join("");
