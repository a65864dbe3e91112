// Building the page: every string becomes a text node or an attribute, never markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.setAttribute("class", value);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "value" || name === "checked" || name === "selected") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...present(children));
  return element;
}

const present = (children) =>
  children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false && child !== "");

/** An HTML element: h("button", {class: "primary", onclick}, "Save"). */
export const h = (tag, properties, ...children) => fill(document.createElement(tag), properties, children);

/** An SVG element. */
export const s = (tag, properties, ...children) => fill(document.createElementNS(SVG, tag), properties, children);

/** Replaces what an element holds; absent children (null, false, "") are left out. */
export const put = (element, ...children) => element.replaceChildren(...present(children));

export const $ = (selector, root = document) => root.querySelector(selector);

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const precise = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const percent = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 0 });

export function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  // Nobody counts the zeros of 0.000000002144.
  if (value && Math.abs(value) < 1e-4) return Number(value.toPrecision(3)).toExponential();
  return Number.isInteger(value) || Math.abs(value) >= 10000 ? whole.format(value) : precise.format(value);
}

export const share = (value) => percent.format(value);

export const time = (seconds) => new Date(seconds * 1000).toISOString().replace("T", " ").slice(0, 16);

export const plural = (count, one, many = one + "s") => `${number(count)} ${count === 1 ? one : many}`;

/** What a column is called in the page: "hardness:other_model" is "hardness: other model". */
export const title = (name) => name.replaceAll("_", " ").replace(":", ": ");

/** A title with a capital. */
export const heading = (name) => title(name).replace(/^./, (first) => first.toUpperCase());

export const fileName = (path) =>
  String(path ?? "")
    .split("/")
    .pop();

/** Runs the last of a burst of calls, `wait` milliseconds after it. */
export function debounce(run, wait) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => run(...given), wait);
  };
}

export const typing = (event) =>
  event.target.closest?.(
    "input:not([type=checkbox]):not([type=radio]):not([type=range]), textarea, select, dialog[open]",
  );
