// Why a subject is flagged: the issue, its score, the evidence in words, and the partner it is about.

import { fileName, h, heading, number, title } from "/static/js/dom.js";
import { picture, spoken } from "/static/js/pictures.js";

const SENTENCES = {
  unreadable: () => "The file cannot be decoded.",
  exact_duplicate: () => "The same image as the one beside it.",
  near_duplicate: () => "A near copy of the image beside it.",
  leak: () => "The image beside it lies in another split.",
  outlier: () => "Unlike all others in this dataset.",
  label_mistake: (evidence, subject) =>
    suggestionOf(evidence, subject)
      ? `Labelled “${[subject.label ?? evidence.given ?? "?"].flat().join(", ")}”, but looks like “${suggestionOf(evidence, subject)}”.`
      : "The label looks wrong.",
  missing_label: () => "A label seems to be missing.",
  missing_object: () => "The model sees an object that is not annotated.",
  spurious_object: () => "The model sees nothing where this object is annotated.",
  bad_box: () => "The box does not fit the object.",
  dark: () => "Very dark.",
  bright: () => "Very bright.",
  blurry: () => "Blurred.",
  low_information: () => "Hardly anything to see.",
  odd_size: () => "Its size is unusual in this dataset.",
  odd_aspect_ratio: () => "Its shape is unusual in this dataset.",
  grayscale: () => "Grey, though most others are in colour.",
  noisy: () => "Noisy.",
  type_mismatch: () => "The file's name tells another type than its content.",
  tiny: () => "Smaller than the model can use.",
  animated: () => "Holds several frames.",
  rotated: () => "Stored rotated, to be turned by its EXIF orientation.",
};

/** Evidence that the sentence, the heading or the picture has told already. */
const SAID = new Set(["given", "suggested", "model", "matched"]);

/** The label that is suggested in place of the given one, several classes between commas; "" where there is none. */
export function suggestionOf(evidence, subject) {
  const words = [evidence?.suggested ?? subject?.prediction].flat().filter((word) => typeof word === "string");
  const given = [subject?.label].flat();
  const same = words.length === given.length && words.every((word) => given.includes(word));
  return same ? "" : words.join(", ");
}

/** The objects that a finding is about: its own and the one it was compared with. */
export const involved = (subject, evidence) => [subject.object_id, evidence?.matched].filter(Boolean);

/** Whether a subject has a label that people may change: what a model found has none. */
export const relabelable = (subject) => subject.frame === "images" || subject.source === "ground_truth";

export const sentence = (row, subject) => SENTENCES[row.issue]?.(row.evidence, subject) ?? "";

/** A subject's issue as a block: name, score, sentence, evidence, partners but those already shown `beside` it. */
export function why(row, subject, partners, open, beside = []) {
  return h(
    "section",
    { class: row.is_issue ? "why" : "why minor" },
    h(
      "h4",
      {},
      heading(row.issue),
      meter(row.score),
      row.source && row.source !== row.issue && h("span", { class: "muted" }, h("bdi", {}, row.source)),
    ),
    h("p", {}, sentence(row, subject), !row.is_issue && h("em", { class: "muted" }, " Below the threshold.")),
    evidenceList(row.evidence, [...partners, ...beside]),
    h(
      "div",
      { class: "partners" },
      partners.map((partner) => partnerCard(partner, open)),
    ),
  );
}

export function meter(score) {
  const bar = h("span", { class: "meter", role: "img", "aria-label": `score ${number(score)}` }, h("span", {}));
  bar.firstChild.style.width = `${Math.round(score * 100)}%`;
  return [bar, h("span", { class: "score" }, number(score))];
}

export function evidenceList(evidence, partners) {
  const shown = new Set(partners.map((partner) => partner.subject_id));
  const rows = Object.entries(evidence).filter(
    ([name, value]) => !SAID.has(name) && value !== null && !shown.has(value),
  );
  return h(
    "dl",
    { class: "facts" },
    rows.map(([name, value]) => [h("dt", {}, title(name)), h("dd", {}, h("bdi", {}, inWords(value)))]),
  );
}

export function inWords(value) {
  if (typeof value === "number") return number(value);
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) return value.map(inWords).join(", ");
  return typeof value === "string" ? value : JSON.stringify(value);
}

function partnerCard(partner, open) {
  return h(
    "button",
    {
      type: "button",
      class: "partner",
      onclick: () => open(partner.subject_id),
      "aria-label": `Show ${spoken(partner)}`,
    },
    picture(partner, { crop: true }),
    h(
      "span",
      { class: "caption" },
      h("bdi", {}, fileName(partner.filepath)),
      h("span", { class: "muted" }, [partner.split, [partner.label].flat().join(", ")].filter(Boolean).join(" · ")),
    ),
  );
}
