// From a column to a colour per point and the legend that explains it.

import { MOST_WORDS, SLOTS } from "/static/js/palette.js";

/** Which words have a colour of their own: those the user named first, then the most frequent. */
export function colouredWords(column, pinned) {
  const known = new Map(column.words.map((word, code) => [word, code]));
  const own = pinned.filter((word) => known.has(word)).slice(-MOST_WORDS);
  for (const word of column.words) {
    if (own.length >= MOST_WORDS) break;
    if (!own.includes(word)) own.push(word);
  }
  return own;
}

/** A colour slot per position: {kind, slots, words | range}. */
export function colouring(column, length, pinned = []) {
  if (!column) return { kind: "word", slots: new Uint8Array(length), words: [] };
  return column.words ? byWord(column, length, pinned) : byNumber(column.values ?? column.ranks, length);
}

function byWord(column, length, pinned) {
  const words = colouredWords(column, pinned);
  const slotOf = new Uint8Array(column.words.length + 1).fill(MOST_WORDS);
  slotOf[column.words.length] = SLOTS - 1;
  column.words.forEach((word, code) => {
    const slot = words.indexOf(word);
    if (slot >= 0) slotOf[code] = slot;
  });
  const slots = new Uint8Array(length);
  if (column.kind === "category") for (let i = 0; i < length; i++) slots[i] = slotOf[column.codes[i]];
  else {
    for (let i = 0; i < length; i++) {
      slots[i] = SLOTS - 1;
      for (let at = column.offsets[i]; at < column.offsets[i + 1]; at++)
        slots[i] = Math.min(slots[i], slotOf[column.codes[at]]);
    }
  }
  return { kind: "word", slots, words };
}

function byNumber(values, length) {
  const range = clippedRange(values);
  const slots = new Uint8Array(length).fill(SLOTS - 1);
  const scale = (SLOTS - 2) / (range[1] - range[0] || 1);
  for (let i = 0; i < length; i++) {
    if (!Number.isNaN(values[i]))
      slots[i] = Math.min(SLOTS - 2, Math.max(0, Math.round((values[i] - range[0]) * scale)));
  }
  return { kind: "number", slots, range };
}

/** From the 2nd to the 98th percentile of (a sample of) the values, so that a few extremes do not wash out the rest. */
export function clippedRange(values) {
  const step = Math.max(1, Math.floor(values.length / 20000));
  const sample = [];
  for (let i = 0; i < values.length; i += step) if (!Number.isNaN(values[i])) sample.push(values[i]);
  if (!sample.length) return [0, 1];
  const sorted = Float64Array.from(sample).sort();
  const [low, high] = [0.02, 0.98].map((part) => sorted[Math.round(part * (sorted.length - 1))]);
  return low < high ? [low, high] : [sorted[0], sorted[sorted.length - 1]];
}

/** A size per position in 0 to 255 from a column of numbers; all alike where there is none. */
export function sizing(column, length) {
  const sizes = new Uint8Array(length).fill(column ? 0 : 64);
  if (!column) return sizes;
  const [low, high] = clippedRange(column.values);
  for (let i = 0; i < length; i++) {
    const part = (column.values[i] - low) / (high - low || 1);
    if (!Number.isNaN(part)) sizes[i] = Math.round(255 * Math.min(1, Math.max(0, part)));
  }
  return sizes;
}
