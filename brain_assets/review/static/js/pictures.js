// A picture with its boxes, and the card that shows it.

import { pictureUrl } from "/static/js/api.js";
import { fileName, h, number, s } from "/static/js/dom.js";
import { state } from "/static/js/state.js";

/** A picture with boxes over it; `emphasised` names the objects that it is about, `shared` is what a copy shows of it. */
export function picture(subject, { size = "thumb", boxes = true, emphasised = [], crop = true, shared } = {}) {
  const image = h("img", {
    src: pictureUrl(state.dataset, subject, size, crop),
    alt: "",
    loading: "lazy",
    decoding: "async",
    draggable: "false",
  });
  const frame = h("span", { class: "picture" }, image);
  const fit = h("span", { class: "fit" }, frame);
  image.addEventListener("load", () => frame.style.setProperty("--ratio", image.naturalWidth / image.naturalHeight));
  image.addEventListener("error", () => fit.replaceChildren(h("span", { class: "missing" }, "no picture")));
  const whole = !subject.object_id || !crop;
  const drawn = (boxes && whole && subject.boxes) || [];
  // What objects share is told of their crops.
  const part = subject.object_id ? undefined : shared;
  if (drawn.length || part) frame.append(overlay(drawn, emphasised, part));
  return fit;
}

function overlay(boxes, emphasised, shared) {
  const outline = ([x, y, width, height]) =>
    s("rect", { class: "shared", x, y, width, height }, s("title", {}, "What both show"));
  return s(
    "svg",
    { viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" },
    shared && outline(shared),
    boxes
      .toSorted((a, b) => emphasised.includes(a.object_id) - emphasised.includes(b.object_id))
      .map((box) => {
        const kind = box.source === "ground_truth" ? "given" : "predicted";
        const strength = !emphasised.length ? "" : emphasised.includes(box.object_id) ? " emphasised" : " faint";
        const name = `${box.label ?? "?"} · ${box.source}${box.confidence === null ? "" : " " + number(box.confidence)}`;
        return s(
          "rect",
          { class: kind + strength, x: box.x, y: box.y, width: box.width, height: box.height },
          s("title", {}, name),
        );
      }),
  );
}

/** What a screen reader says of a subject. */
export function spoken(subject) {
  const label = subject.label ? `, labelled ${[subject.label].flat().join(", ")}` : "";
  const issues = subject.issues?.length
    ? `, ${subject.issues.map((name) => name.replaceAll("_", " ")).join(", ")}`
    : "";
  return `${fileName(subject.filepath)}${label}${issues}`;
}

/** The lines under a thumbnail: label against prediction, tags, decision, issues. */
export function caption(subject) {
  const differs = subject.prediction && subject.prediction !== subject.label;
  return [
    h(
      "span",
      { class: "labels" },
      h("bdi", {}, [subject.label].flat().filter(Boolean).join(", ") || fileName(subject.filepath)),
      differs &&
        h(
          "bdi",
          { class: "differs", title: `predicted with confidence ${number(subject.confidence)}` },
          `→ ${subject.prediction}`,
        ),
    ),
    h("span", { class: "badges" }, badges(subject)),
  ];
}

export function badges(subject) {
  const fate = subject.decided?.fate;
  const relabelled = subject.decided?.label;
  return [
    subject.status === "error" && !subject.issues?.length && h("span", { class: "badge bad" }, "unreadable"),
    (fate?.kind === "drop" || subject.status === "dropped") && h("span", { class: "badge bad" }, "dropped"),
    fate?.kind === "confirm" && h("span", { class: "badge good" }, "confirmed"),
    fate?.kind === "keep" && h("span", { class: "badge good" }, "kept"),
    relabelled && h("span", { class: "badge good" }, "now ", h("bdi", {}, relabelled.value)),
    (subject.tags ?? []).map((tag) => h("span", { class: "badge tag" }, h("bdi", {}, tag))),
    (subject.issues ?? []).map((issue) => h("span", { class: "badge issue" }, issue.replaceAll("_", " "))),
  ];
}
