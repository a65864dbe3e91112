// Saying something about subjects, and taking it back.

import { post } from "/static/js/api.js";
import { notice, trying } from "/static/js/dialogs.js";
import { number, plural } from "/static/js/dom.js";
import { packed } from "/static/js/positions.js";
import { state } from "/static/js/state.js";

const NAME = "review.name";
const said = [];
/** Tells `said` whenever something was said or taken back, so that what is shown is brought up to date. */
export const words = new EventTarget();

export const reviewer = (fallback = "") => localStorage.getItem(NAME) || fallback;
export const rename = (name) => localStorage.setItem(NAME, name);

const PAST = {
  tag: (value) => `Tagged “${value}”`,
  untag: (value) => `Removed the tag “${value}”`,
  keep: () => "Kept",
  drop: () => "Dropped",
  confirm: () => "Confirmed",
  relabel: (value) => `Relabelled to “${value}”`,
};

/**
 * Notes something about a set of positions (`mask`) or about ids; resolves to the event's number.
 *
 * @param {{kind: string, value?: string, issue?: string, ids?: string[], mask?: Uint8Array, frame?: string, quiet?: boolean}} what
 */
export function say({ kind, value, issue, ids, mask, frame, quiet }, version) {
  return trying(async () => {
    const asked = { version, frame: frame ?? state.frame, kind, value, issue, ids, by: reviewer() };
    if (mask) asked.bits = packed(mask);
    const { event_id: event, count } = await post(state.dataset, "say", asked);
    said.push(event);
    words.dispatchEvent(new CustomEvent("said", { detail: { kind, value, event, undone: false } }));
    if (!quiet)
      notice(`${PAST[kind](value)}: ${plural(count, state.frame === "objects" ? "object" : "image")}.`, {
        action: "Undo",
        run: () => undo(event),
      });
    return event;
  });
}

/** Notes something by a request of its own, tells of it, and resolves to the answer. */
function noting(name, asked, told) {
  return trying(async () => {
    const done = await post(state.dataset, name, { ...asked, by: reviewer() });
    said.push(done.event_id);
    words.dispatchEvent(new CustomEvent("said", { detail: { kind: asked.kind ?? name, event: done.event_id, undone: false } }));
    const text = told(done);
    if (text) notice(text, { action: "Undo", run: () => undo(done.event_id) });
    return done;
  });
}

const CORRECTED = {
  draw: "Added an object.",
  reshape: "Moved the box.",
  relabel: "Renamed the object.",
  drop: "Removed the object.",
  keep: "Kept the object.",
  confirm: "Added what the model found.",
};

/** Notes a correction of one object; resolves to the event and the object's id. */
export const correct = (sample, asked, version) =>
  noting("correct", { version, sample, ...asked }, () => CORRECTED[asked.kind]);

/** Makes labels of what models found of some subjects: a mask over positions, or ids. */
export const approve = ({ frame, mask, ids, issue }, version) =>
  noting("approve", { version, frame, issue, ids, bits: mask && packed(mask) }, ({ count, left_out: left }) => {
    const about = frame === "objects" ? plural(count, "object") : plural(count, "image");
    return `${frame === "objects" ? "Added" : "Labelled as predicted:"} ${about}${left ? `; ${number(left)} had that label` : ""}.`;
  });

/** Notes what images are to each other: not_copy, or same_scene. */
export const sayOfPairs = (kind, ids, issue, version) =>
  noting("say-of-pairs", { version, kind, ids, issue }, () =>
    kind === "not_copy" ? "Noted: no copies of each other." : "Noted: the same scene, all are kept.",
  );

/** Takes back an event, by default the last one said on this page, else the last of all. */
export function undo(event = said.at(-1)) {
  return trying(async () => {
    const { undone } = await post(state.dataset, "undo", { event_id: event ?? null, by: reviewer() });
    if (said.includes(undone)) said.splice(said.indexOf(undone), 1);
    words.dispatchEvent(new CustomEvent("said", { detail: { event: undone, undone: true } }));
    notice("Undone.");
    return undone;
  });
}
