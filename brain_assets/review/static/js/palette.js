// Colours that people with any colour vision can tell apart: Okabe and Ito's for words, viridis for numbers.

/** For light and dark grounds; what would not stand out from one of them is replaced there. */
const WORDS = {
  light: ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#111111", "#783000"],
  dark: ["#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#2A63D9", "#D55E00", "#FFFFFF", "#F0E442"],
};
const REST = { light: "#A3ABB5", dark: "#5F6873" };
const NUMBERS = [
  "#440154",
  "#482475",
  "#414487",
  "#355F8D",
  "#2A788E",
  "#21918C",
  "#22A884",
  "#44BF70",
  "#7AD151",
  "#BDDF26",
  "#FDE725",
];
/** The part of the scale that stands out from the ground. */
const SHOWN = { light: [0, 0.92], dark: [0.18, 1] };

export const MOST_WORDS = WORDS.light.length;

/** "light" or "dark": what the user chose, else what the system prefers. */
export const theme = () =>
  document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");

export const wordColour = (slot) => (slot < MOST_WORDS ? WORDS[theme()][slot] : REST[theme()]);

/** The colour of a share of the scale. */
export function numberColour(part) {
  const [from, to] = SHOWN[theme()];
  const at = (from + (to - from) * Math.min(1, Math.max(0, part))) * (NUMBERS.length - 1);
  const low = Math.min(NUMBERS.length - 2, Math.floor(at));
  const [a, b] = [channels(NUMBERS[low]), channels(NUMBERS[low + 1])];
  return `rgb(${a.map((value, i) => Math.round(value + (b[i] - value) * (at - low))).join(" ")})`;
}

/** Red, green and blue of "#rrggbb" or "rgb(r g b)". */
export function channels(colour) {
  if (colour.startsWith("#")) return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return colour.match(/\d+/g).map(Number);
}

export const SLOTS = 64;

/** The colours of all slots as bytes: words first, then "other"; or numbers from least to greatest, then "none". */
export function slotColours(kind) {
  const bytes = new Uint8Array(SLOTS * 4).fill(255);
  for (let slot = 0; slot < SLOTS; slot++) {
    const none = slot === SLOTS - 1;
    const colour = none ? REST[theme()] : kind === "number" ? numberColour(slot / (SLOTS - 2)) : wordColour(slot);
    bytes.set(channels(colour), slot * 4);
  }
  return bytes;
}
