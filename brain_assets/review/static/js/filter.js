// Who passes the filters, and what every column looks like among those who do.

import { postForArrays } from "/static/js/api.js";
import { unpacked } from "/static/js/positions.js";

/** Filters laid over each other: per position how many it fails, so that each facet can leave its own out. */
export class Filtering {
  constructor(frame) {
    this.frame = frame;
    this.masks = new Map();
    this.fails = new Uint8Array(frame.count);
    this.matching = frame.count;
  }

  passes(position) {
    return this.fails[position] === 0;
  }

  /** The mask of those that pass. */
  passing() {
    return this.fails.map((fails) => (fails ? 0 : 1));
  }

  /** Brings the masks up to a state's filters, where and text. */
  async update({ filters, where, text }) {
    const wanted = new Map(Object.entries(filters).map(([name, filter]) => [`f.${name}`, { name, filter }]));
    if (where.trim()) wanted.set("where", { where });
    if (text.trim()) wanted.set("text", { text });
    const masks = new Map();
    for (const [key, asked] of wanted) {
      const known = this.masks.get(key);
      const signature = JSON.stringify(asked);
      if (known?.signature === signature) masks.set(key, known);
      else if (!asked.name || this.frame.has(asked.name))
        masks.set(key, { signature, mask: await this.evaluate(asked) });
    }
    this.masks = masks;
    this.recount();
  }

  async evaluate({ name, filter, where, text }) {
    if (name) return passing(await this.frame.column(name), filter, this.frame.count);
    const asked = { version: this.frame.version, frame: this.frame.name, where, text };
    const { bits } = await postForArrays(this.frame.dataset, "find", asked);
    return unpacked(bits, this.frame.count);
  }

  recount() {
    this.fails.fill(0);
    for (const { mask } of this.masks.values()) for (let i = 0; i < mask.length; i++) this.fails[i] += 1 - mask[i];
    this.matching = 0;
    for (let i = 0; i < this.fails.length; i++) this.matching += this.fails[i] === 0;
  }

  /** Forgets the masks of filters over columns that changed under them. */
  forget(names) {
    for (const name of names) this.masks.delete(`f.${name}`);
    this.masks.delete("where");
    this.masks.delete("text");
  }

  /** Calls `visit` with each position that passes all filters but the named column's own. */
  each(name, visit) {
    const own = this.masks.get(`f.${name}`)?.mask;
    const { fails } = this;
    for (let i = 0; i < fails.length; i++) if (fails[i] === 0 || (own && fails[i] === 1 && !own[i])) visit(i);
  }
}

function passing(column, filter, length) {
  const mask = new Uint8Array(length);
  if (column.words) {
    const wanted = new Set(filter);
    const chosen = new Uint8Array(column.words.length + 1);
    column.words.forEach((word, code) => (chosen[code] = wanted.has(word) ? 1 : 0));
    chosen[column.words.length] = wanted.has(null) ? 1 : 0;
    if (column.kind === "category") for (let i = 0; i < length; i++) mask[i] = chosen[column.codes[i]];
    else labelsPassing(column, chosen, mask);
  } else {
    const [low, high] = [filter[0] ?? -Infinity, filter[1] ?? Infinity];
    const values = column.values ?? column.ranks;
    for (let i = 0; i < length; i++) mask[i] = values[i] >= low && values[i] <= high ? 1 : 0;
  }
  return mask;
}

function labelsPassing({ offsets, codes, words }, chosen, mask) {
  for (let i = 0; i < mask.length; i++) {
    if (offsets[i] === offsets[i + 1]) mask[i] = chosen[words.length];
    for (let at = offsets[i]; at < offsets[i + 1]; at++) mask[i] |= chosen[codes[at]];
  }
}

/** How many of the positions that pass have each word; last, how many have none. */
export function wordCounts(filtering, column) {
  const counts = new Uint32Array(column.words.length + 1);
  if (column.kind === "category") filtering.each(column.name, (i) => counts[column.codes[i]]++);
  else {
    filtering.each(column.name, (i) => {
      if (column.offsets[i] === column.offsets[i + 1]) counts[column.words.length]++;
      for (let at = column.offsets[i]; at < column.offsets[i + 1]; at++) counts[column.codes[at]]++;
    });
  }
  return counts;
}

/** The least and greatest value of a column, finite ones only; null where there is none. */
export function extent(values) {
  let [low, high] = [Infinity, -Infinity];
  for (let i = 0; i < values.length; i++) {
    if (values[i] < low) low = values[i];
    if (values[i] > high) high = values[i];
  }
  return low <= high ? [low, high] : null;
}

/** Counts in equal steps from least to greatest: all subjects, and those that pass. */
export function histogram(filtering, column, bins = 40) {
  const range = extent(column.values);
  if (!range) return null;
  const [low, high] = range;
  const step = (high - low) / bins || 1;
  const bin = (value) => Math.min(bins - 1, Math.floor((value - low) / step));
  const all = new Uint32Array(bins);
  const some = new Uint32Array(bins);
  for (const value of column.values) if (!Number.isNaN(value)) all[bin(value)]++;
  filtering.each(column.name, (i) => {
    if (!Number.isNaN(column.values[i])) some[bin(column.values[i])]++;
  });
  return { low, high, step, all, some };
}
