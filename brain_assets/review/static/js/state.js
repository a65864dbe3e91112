// What the page shows, in one object that the address bar mirrors: any view is a link.

const DEFAULTS = {
  dataset: "",
  at: "",
  tab: "explore",
  below: false,
  frame: "images",
  map: "",
  colour: "",
  size: "",
  sort: "",
  descending: true,
  filters: {},
  where: "",
  text: "",
  similar: "",
  words: "",
  part: "",
  farthest: false,
  any: false,
  k: "",
  near: "",
  id: "",
  beside: "",
  issue: "",
  reviewed: false,
  table: "",
  brain_key: "",
  of: "",
  field: "",
  model: "",
  other: "",
  from: "",
  before: "",
  after: "",
};
/** What a saved view keeps. */
const VIEW = ["frame", "map", "colour", "size", "sort", "descending", "filters", "where", "text"];

/** What is looked for by its looks, gone. */
export const NOTHING_SOUGHT = { similar: "", words: "", part: "" };

/** The whole state anew, but for what is kept of it. */
export const fresh = (kept) => ({ ...DEFAULTS, ...kept });

export const state = fresh({});
const listeners = [];

/** Calls `listener` after changes of any of the keys (names apart by blanks). */
export function watch(keys, listener) {
  listeners.push([new Set(keys.split(" ")), listener]);
}

/** Changes the state, the address bar and, once each, everything that watches what changed. */
export function set(changes, { push = false } = {}) {
  const changed = Object.keys(changes).filter((key) => JSON.stringify(changes[key]) !== JSON.stringify(state[key]));
  if (!changed.length) return;
  Object.assign(state, changes);
  history[push ? "pushState" : "replaceState"](null, "", link());
  notify(changed);
}

function notify(changed) {
  for (const [keys, listener] of listeners) if (changed.some((key) => keys.has(key))) listener(changed);
}

export function link(shown = state) {
  const parameters = new URLSearchParams();
  for (const [key, standard] of Object.entries(DEFAULTS)) {
    const value = shown[key] ?? standard;
    if (key === "filters")
      for (const [name, filter] of Object.entries(value)) parameters.set(`f.${name}`, JSON.stringify(filter));
    else if (value !== standard) parameters.set(key, typeof value === "boolean" ? Number(value) : value);
  }
  const text = parameters.toString();
  return text ? `/?${text}` : "/";
}

function read(address) {
  const found = { ...DEFAULTS, filters: {} };
  // A link that names nothing but a dataset, or a version of one, leads to the first screen.
  if (![...new URLSearchParams(address).keys()].some((key) => key !== "dataset" && key !== "at")) found.tab = "overview";
  for (const [key, value] of new URLSearchParams(address)) {
    if (key.startsWith("f.")) {
      const filter = parsed(value);
      if (Array.isArray(filter)) found.filters[key.slice(2)] = filter;
    } else if (typeof DEFAULTS[key] === "boolean") found[key] = value === "1";
    else if (typeof DEFAULTS[key] === "string") found[key] = value;
  }
  return found;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

Object.assign(state, read(location.search));
addEventListener("popstate", () => {
  const found = read(location.search);
  const changed = Object.keys(found).filter((key) => JSON.stringify(found[key]) !== JSON.stringify(state[key]));
  Object.assign(state, found);
  notify(changed);
});

/** The part of the state that a saved view keeps. */
export const viewOf = (shown) => Object.fromEntries(VIEW.map((key) => [key, shown[key]]));

/** A saved view laid over the defaults, unknown keys left out. */
export const fromView = (saved) =>
  Object.fromEntries(VIEW.map((key) => [key, typeof saved[key] === typeof DEFAULTS[key] ? saved[key] : DEFAULTS[key]]));
