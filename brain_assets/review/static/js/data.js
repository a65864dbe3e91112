// The columns of a frame as arrays over positions, fetched when first needed.

import { ask, askArrays, post } from "/static/js/api.js";

export class Frame {
  constructor(dataset, version, name, described) {
    Object.assign(this, { dataset, version, name, count: described.count, maps: described.maps, alike: described.alike });
    this.columns = new Map(described.columns.map((column) => [column.name, column]));
    this.loaded = new Map();
    this.rows = new Map();
  }

  ask(name, given) {
    return ask(this.dataset, name, { version: this.version, ...given });
  }

  has(name) {
    return this.columns.has(name);
  }

  named(...names) {
    return names.find((name) => this.columns.has(name)) ?? "";
  }

  /** A column: kind, and values | codes + words | offsets + codes + words | ranks. */
  column(name) {
    if (!this.loaded.has(name)) {
      const asked = { version: this.version, frame: this.name, name };
      const loading = askArrays(this.dataset, "column", asked).then(({ values, ...found }) =>
        found.kind === "number" || found.kind === "time"
          ? { name, ...found, values }
          : { name, ...found, words: values },
      );
      loading.catch(() => this.loaded.delete(name));
      this.loaded.set(name, loading);
    }
    return this.loaded.get(name);
  }

  map(name) {
    const key = `map of ${name}`;
    if (!this.loaded.has(key)) {
      const loading = askArrays(this.dataset, "map", { version: this.version, frame: this.name, name });
      loading.catch(() => this.loaded.delete(key));
      this.loaded.set(key, loading);
    }
    return this.loaded.get(key);
  }

  /** What cards show of some positions; known ones are not asked again. */
  async rowsAt(positions) {
    const missing = positions.filter((position) => !this.rows.has(position));
    for (let start = 0; start < missing.length; start += 250) {
      const asked = { version: this.version, frame: this.name, positions: missing.slice(start, start + 250) };
      for (const row of await post(this.dataset, "rows", asked)) this.rows.set(row.position, row);
    }
    return positions.map((position) => this.rows.get(position));
  }

  /** Forgets what people's words may have changed. */
  forgetReviews() {
    this.loaded.delete("tags");
    this.loaded.delete("decision");
    this.rows.clear();
  }
}

/** The words of one position: of a list, or the one of a category. */
export function wordsAt(column, position) {
  if (column.kind === "labels") {
    return Array.from(
      column.codes.subarray(column.offsets[position], column.offsets[position + 1]),
      (code) => column.words[code],
    );
  }
  const word = column.words?.[column.codes[position]];
  return word === undefined ? [] : [word];
}

/** The value of one position as a number, word or list of words; null where there is none. */
export function valueAt(column, position) {
  if (column.kind === "category" || column.kind === "labels") return wordsAt(column, position).join(", ") || null;
  const value = (column.values ?? column.ranks)[position];
  return Number.isNaN(value) ? null : value;
}
