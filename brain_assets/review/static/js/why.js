// Why a subject is flagged: the issue, its score, the evidence in words, and the partner it is about.

import { fileName, h, heading, number, title } from "/static/js/dom.js";
import { picture, spoken } from "/static/js/pictures.js";

/** Evidence that the sentence, the heading or the picture has told already. */
const SAID = new Set(["given", "suggested", "model", "matched", "reason"]);

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

/**
 * A subject's issue as a block: name, score, sentence, evidence, partners but those already shown `beside` it.
 *
 * @param {{open: (id: string) => void, compare?: (id: string) => void}} ways what can be done with a partner
 * @param {{beside?: object[], about?: string}} [more] `about` is the object that it is about, where that is another subject
 */
export function why(row, partners, { open, compare }, { beside = [], about } = {}) {
  return h(
    "section",
    { class: row.is_issue ? "why" : "why minor" },
    h(
      "h4",
      {},
      heading(row.issue),
      meter(row.score),
      row.source && row.source !== row.issue && h("span", { class: "muted" }, h("bdi", {}, row.source)),
      about && h("button", { type: "button", class: "small", onclick: () => open(about) }, "Show the object"),
    ),
    h("p", {}, row.reason, !row.is_issue && h("em", { class: "muted" }, " Below the threshold.")),
    evidenceList(row.evidence, [...partners, ...beside]),
    h(
      "div",
      { class: "partners" },
      partners.map((partner) =>
        h("span", { class: "slot" }, partnerCard(partner, open), compare && compareButton(partner, compare)),
      ),
    ),
    row.run_id && h("p", { class: "muted run" }, "Found by run ", h("bdi", {}, row.run_id.slice(0, 8)), row.found_at && ` on ${row.found_at.slice(0, 16).replace("T", " ")}`),
  );
}

/** A button that shows a subject beside the one that is open. */
export const compareButton = (subject, compare) =>
  h(
    "button",
    {
      type: "button",
      class: "plain small",
      "aria-label": `Compare with ${spoken(subject)}`,
      onclick: () => compare(subject.subject_id),
    },
    "Compare",
  );

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
