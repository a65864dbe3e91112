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

/** Once the colours are used up they come again, darker or lighter and in another shape. */
export const SHAPES = ["disc", "square", "triangle", "diamond", "funnel", "plus"];
const VARIED = 0.38;
/** How much larger other shapes than discs are, so that they are seen to be some. */
export const SHAPED = 1.4;

/** Words that are told apart by colour and shape. */
export const MOST_WORDS = WORDS.light.length * SHAPES.length;

/** "light" or "dark": what the user chose, else what the system prefers. */
export const theme = () =>
  document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");

/** The colour of a word; those beyond the first eight are varied, and the rest has one for all. */
export function wordColour(slot) {
  if (!(slot < MOST_WORDS)) return REST[theme()];
  const colours = WORDS[theme()];
  const colour = colours[slot % colours.length];
  if (slot < colours.length) return colour;
  // Away from the ground, but for what is as far from it as can be.
  const own = channels(colour);
  const dark = own.every((value) => value < 40) || (theme() === "dark" && own.some((value) => value < 255));
  const round = Math.floor(slot / colours.length) % 2 ? VARIED : VARIED / 2;
  return `rgb(${own.map((value) => Math.round(value + ((dark ? 255 : 0) - value) * round)).join(" ")})`;
}

/** Which of SHAPES a word's points have. */
export const wordShape = (slot) => (slot < MOST_WORDS ? Math.floor(slot / WORDS.light.length) : 0);

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

/**
 * The colours of all slots as bytes, the fourth the shape: words first, then "other"; or numbers from least to greatest, then
 * "none".
 */
export function slotColours(kind) {
  const bytes = new Uint8Array(SLOTS * 4);
  for (let slot = 0; slot < SLOTS; slot++) {
    const none = slot === SLOTS - 1;
    const colour = none ? REST[theme()] : kind === "number" ? numberColour(slot / (SLOTS - 2)) : wordColour(slot);
    bytes.set([...channels(colour), kind === "number" || none ? 0 : wordShape(slot)], slot * 4);
  }
  return bytes;
}
