// Sets and orders of positions: a byte per position, 1 for members.

export function members(mask) {
  const found = new Uint32Array(count(mask));
  for (let i = 0, next = 0; i < mask.length; i++) if (mask[i]) found[next++] = i;
  return found;
}

export function count(mask) {
  let sum = 0;
  for (let i = 0; i < mask.length; i++) sum += mask[i];
  return sum;
}

export function maskOf(length, positions) {
  const mask = new Uint8Array(length);
  for (const position of positions) mask[position] = 1;
  return mask;
}

/** Base64 of a bit per position, lowest bit first, as the server reads it. */
export function packed(mask) {
  const bytes = new Uint8Array(Math.ceil(mask.length / 8));
  for (let i = 0; i < mask.length; i++) if (mask[i]) bytes[i >> 3] |= 1 << (i & 7);
  return base64(bytes);
}

export function base64(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(text);
}

export function unpacked(bits, length) {
  const mask = new Uint8Array(length);
  for (let i = 0; i < length; i++) mask[i] = (bits[i >> 3] >> (i & 7)) & 1;
  return mask;
}

/** Positions ordered by a column, those without a value last; equals stay in the order of positions. */
export function ordered(column, length, descending) {
  const keys = sortKeys(column, length);
  const pairs = new Float64Array(length);
  const span = 2 ** 21;
  // Rank and position share one float (53 bits), which sorts natively: no comparator, a tenth of the time.
  if (length <= span) {
    for (let i = 0; i < length; i++)
      pairs[i] = (descending && keys[i] !== LAST ? LAST - 1 - keys[i] : keys[i]) * span + i;
    pairs.sort();
    return Uint32Array.from(pairs, (pair) => pair % span);
  }
  const sign = descending ? -1 : 1;
  const compare = (a, b) => (keys[a] === LAST) - (keys[b] === LAST) || sign * (keys[a] - keys[b]) || a - b;
  return Uint32Array.from({ length }, (_, i) => i).sort(compare);
}

const LAST = 2 ** 32 - 1;

/** Whole numbers below 2^32 in the order of the values. */
function sortKeys(column, length) {
  const keys = new Uint32Array(length).fill(LAST);
  if (!column) return keys.map((_, i) => i);
  if (column.kind === "labels") {
    const ranks = wordRanks(column.words);
    for (let i = 0; i < length; i++)
      if (column.offsets[i] < column.offsets[i + 1]) keys[i] = ranks[column.codes[column.offsets[i]]];
  } else if (column.kind === "category") {
    const ranks = wordRanks(column.words);
    for (let i = 0; i < length; i++) if (column.codes[i] < ranks.length) keys[i] = ranks[column.codes[i]];
  } else if (column.ranks) {
    for (let i = 0; i < length; i++) if (!Number.isNaN(column.ranks[i])) keys[i] = column.ranks[i];
  } else numberKeys(column.values, keys);
  return keys;
}

function wordRanks(words) {
  const ranks = new Uint32Array(words.length);
  [...words.keys()].sort((a, b) => (words[a] < words[b] ? -1 : 1)).forEach((code, rank) => (ranks[code] = rank));
  return ranks;
}

/** The bits of a float32, so turned that they sort as the floats do; wider numbers are first brought to their range. */
function numberKeys(values, keys) {
  let floats = values;
  if (!(values instanceof Float32Array)) {
    const low = values.reduce((least, value) => (value < least ? value : least), Infinity);
    floats = Float32Array.from(values, (value) => value - low);
  }
  const bits = new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
  for (let i = 0; i < floats.length; i++) {
    if (!Number.isNaN(floats[i]))
      keys[i] = Math.min(LAST - 1, (bits[i] & 0x80000000 ? ~bits[i] : bits[i] | 0x80000000) >>> 0);
  }
}
