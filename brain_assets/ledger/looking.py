"""Whether a picture was seen before: what an entry of the ledger has of the same bytes, or of what looks the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.ledger.entries import Entry
from brain_assets.methods.distinct import distinct
from brain_assets.methods.duplicates.fingerprints import CodeIndex, Codes, Rows, bits_apart

Flags = NDArray[np.bool_]
ORIENTATIONS = 8
HASH_BITS, CODE_BITS = 64, 128
# How far it is searched for what may match, in bits of hashes and of codes.
MOST_HASH, MOST_CODE = 8, 18
# What matches is so much nearer to a row than its surroundings are: by its hash alone, or by hash and code together.
RARE_HASH, RARE_TOGETHER = 0.3, 0.75
# Codes twice as far as the surroundings speak against what the hash says.
AGAINST = 2.0
# A row may have so many copies beside it; what comes after them are its surroundings. Where there are too few rows to tell how
# near these are, they are taken to be as near as the surroundings of photos are among a hundred; by chance little lies nearer.
COPIES, FEWEST, USUAL_HASH, USUAL_CODE = 3, 16, 17, 20
# So many rows stand for all where there are more: they lie in the order of their contents' hashes, which is by chance.
AROUND = 1 << 16
TOGETHER = 4096
BYTES, HASH, VECTOR = 0, 1, 2
MATCHES = ("bytes", "hash", "vector")
UNKNOWN = -1


@dataclass(frozen=True)
class Pictures:
    """Fingerprints of n pictures that are looked for.

    Attributes
    ----------
    contents : list of str
        Hashes of their bytes; None where only the pictures count.
    hashes : (n, 8) uint64
        Perceptual hashes in all orientations; 0 says nothing.
    codes : (n, 2) uint64
        Codes of their vectors; 0 without one.
    model : str or None
        Version of the model that made the vectors.
    """

    contents: list[str | None]
    hashes: Codes
    codes: Codes
    model: str | None

    def part(self, rows: slice) -> "Pictures":
        """Return some of the pictures."""
        return Pictures(self.contents[rows], self.hashes[rows], self.codes[rows], self.model)


@dataclass(frozen=True)
class Seen:
    """Rows of an entry that are what is looked for, by picture, the nearest first.

    Attributes
    ----------
    picture, row : (m,) int64
    match : (m,) int64
        Index among `MATCHES`: by what they are the same.
    hash_bits, code_bits : (m,) int64
        In how many bits hashes, in the best orientation, and codes differ; -1 where one of them is not there, or another model's.
    near : (k,) int64
        Pictures that have any row near enough to match if its surroundings were others.
    """

    picture: Rows
    row: Rows
    match: Rows
    hash_bits: Rows
    code_bits: Rows
    near: Rows

    def where(self, kept: Flags) -> "Seen":
        """Return some of the rows."""
        rows = {name: column[kept] for name, column in vars(self).items() if name != "near"}
        return Seen(**rows, near=self.near)


def seen(entry: Entry, pictures: Pictures) -> Seen:
    """Return what an entry has of pictures.

    Same bytes match. Else a match has to be rare, since digits, icons and forms of one template are all alike: with h and c, the
    bits in which hashes (in any orientation) and codes of vectors differ, and H and C, those in which the fourth nearest other
    row of the entry differs from the row, (h + 1) / H is at most .3 and (c + 1) / C at most 2 where it is known, or both
    together are at most .75. Codes of different models are not compared, neither with the picture nor for C.
    """
    count = len(pictures.contents)
    parts = [_seen(entry, pictures.part(slice(start, start + TOGETHER)), start) for start in range(0, count, TOGETHER)]
    nothing = np.zeros(0, np.int64)
    columns = zip(*(vars(part).values() for part in parts), strict=True) if parts else [[nothing]] * 6
    return Seen(*(np.concatenate(list(column)) for column in columns))


def _seen(entry: Entry, pictures: Pictures, start: int) -> Seen:
    picture, row, equal = _candidates(entry, pictures)
    hash_bits = _hash_bits(pictures.hashes[picture], entry.hashes.codes[row, 0])
    code_bits = _code_bits(entry, pictures, picture, row)
    by_hash, together = _rarity(entry, pictures.model, row, hash_bits, code_bits)
    by_code = together & (hash_bits > MOST_HASH)
    match = np.select([equal, by_code, by_hash | together], [BYTES, VECTOR, HASH], UNKNOWN)
    kept = np.flatnonzero(match != UNKNOWN)
    far = (
        np.where(hash_bits < 0, HASH_BITS, hash_bits) / HASH_BITS
        + np.where(code_bits < 0, CODE_BITS, code_bits) / CODE_BITS
    )
    kept = kept[np.lexsort((row[kept], far[kept], match[kept] != BYTES, picture[kept]))]
    near = distinct(picture) + start
    return Seen(picture[kept] + start, row[kept], match[kept], hash_bits[kept], code_bits[kept], near)


def near_to(pictures: Pictures, entry: Entry, rows: Rows) -> Flags:
    """Return which of n pictures are near enough to any of some rows of an entry to match if these were rare.

    The same as to look for all pictures among these rows; work follows the number of rows, but for ordering the pictures' hashes.
    """
    contents = {entry.rows.column("content_hash")[row].as_py() for row in rows.tolist()} - {None}
    found = np.array([one in contents for one in pictures.contents], np.bool_)
    for start in range(0, len(found), AROUND):
        part, near = pictures.part(slice(start, start + AROUND)), found[start : start + AROUND]
        hashes, codes = CodeIndex.of(part.hashes.reshape(-1, 1)), CodeIndex.of(part.codes)
        for first in range(0, len(rows), TOGETHER):
            some = rows[first : first + TOGETHER]
            near[hashes.search(entry.hashes.codes[some], MOST_HASH)[1] // ORIENTATIONS] = True
            near[codes.search(entry.codes.codes[some], MOST_CODE)[1]] = True
    return found


def _candidates(entry: Entry, pictures: Pictures) -> tuple[Rows, Rows, Flags]:
    """Return pairs of picture and row that may match, each once, and whether their bytes are equal."""
    same = np.array([*entry.of_contents(pictures.contents)], np.int64).reshape(-1, 2)
    turned, by_hash, _ = entry.hashes.search(pictures.hashes.reshape(-1, 1), MOST_HASH)
    coded, by_code, _ = entry.codes.search(pictures.codes, MOST_CODE)
    picture = np.concatenate([same[:, 0], turned // ORIENTATIONS, coded])
    row = np.concatenate([same[:, 1], by_hash, by_code])
    keys, first = np.unique(picture * max(entry.rows.num_rows, 1) + row, return_index=True)
    del keys
    # What is found twice is kept where it is first, which is among those of equal bytes.
    return picture[first], row[first], first < len(same)


def _hash_bits(asked: Codes, known: Codes) -> Rows:
    bits = np.bitwise_count(asked ^ known[:, None]).astype(np.int64)
    bits = np.where((asked == 0) | (known[:, None] == 0), HASH_BITS + 1, bits).min(axis=1, initial=HASH_BITS + 1)
    return np.where(bits > HASH_BITS, UNKNOWN, bits)


def _rarity(entry: Entry, model: str | None, rows: Rows, hash_bits: Rows, code_bits: Rows) -> tuple[Flags, Flags]:
    """Return whether what lies so many bits from rows is rare by its hash alone, and by hash and code together."""
    hashes, codes = entry.hashes.codes, entry.codes.codes
    hashed = np.where(hash_bits < 0, np.inf, hash_bits + 1.0) / _surroundings(hashes, rows, USUAL_HASH)
    same_model = _says_something(codes[:AROUND]) & _first_made_by(entry, model)
    coded = np.where(code_bits < 0, np.nan, code_bits + 1.0) / _surroundings(codes, rows, USUAL_CODE, same_model)
    return (hashed <= RARE_HASH) & ~(coded > AGAINST), hashed + coded <= RARE_TOGETHER


def _surroundings(codes: Codes, rows: Rows, usual: int, among: Flags | None = None) -> Rows:
    """Return in how many bits the fourth nearest other row differs from each of some rows.

    ``among`` are those of the first rows that can be compared; by default all that say something.
    """
    asked, inverse = np.unique(rows, return_inverse=True)
    first = codes[:AROUND]
    around = first.compress(_says_something(first) if among is None else among, axis=0)
    if len(around) <= FEWEST:
        return np.full(len(rows), usual, np.int64)
    # Among those that stand for all lies as much of the copies as of all; a row itself, which is at 0, is no other.
    copies = round(COPIES * len(first) / len(codes))
    nearest = [_smallest(bits_apart(around, codes[row]), copies + (row < len(first))) for row in asked.tolist()]
    return np.maximum(np.array(nearest, np.int64), 1)[inverse]


def _says_something(codes: Codes) -> Flags:
    """Return which codes are not all 0, word by word, as along so short an axis it takes longer."""
    return np.asarray(np.logical_or.reduce([codes[:, word] != 0 for word in range(codes.shape[1])]), np.bool_)


def _smallest(bits: Rows, place: int) -> int:
    """Return the value at a place of sorted bits, by counting them."""
    return int(np.searchsorted(np.cumsum(np.bincount(bits)), place, side="right"))


def _code_bits(entry: Entry, pictures: Pictures, picture: Rows, row: Rows) -> Rows:
    asked, known = pictures.codes[picture], entry.codes.codes[row]
    comparable = np.asarray(asked.any(axis=1) & known.any(axis=1), np.bool_)
    comparable[comparable] &= _made_by(entry, row[comparable], pictures.model)
    return np.where(comparable, bits_apart(asked, known), UNKNOWN)


def _made_by(entry: Entry, rows: Rows, model: str | None) -> Flags:
    # Not by `take`, which first makes one chunk of all.
    models = entry.rows.column("model")
    return np.array([models[row].as_py() == model for row in rows.tolist()], np.bool_)


def _first_made_by(entry: Entry, model: str | None) -> Flags:
    import pyarrow.compute as pc

    made = pc.fill_null(pc.equal(entry.rows.column("model").slice(0, AROUND), pa.scalar(model, pa.string())), False)
    return np.asarray(made.to_numpy(), np.bool_)


def rows_of(entry: Entry, rows: Sequence[int]) -> list[dict[str, Any]]:
    """Return rows of an entry, in the order asked for."""
    table = entry.rows
    return [{name: table.column(name)[row].as_py() for name in table.column_names if name != "code"} for row in rows]


def oriented(rows: pa.Table) -> Codes:
    """Return the hashes in all orientations of rows of ``media``; 0 for those that were not taken."""
    import pyarrow.compute as pc

    plain, mirrored = (
        rows.column(name).fill_null(0).to_numpy().astype(np.uint64) for name in ("phash", "phash_mirrored")
    )
    turned = np.zeros((rows.num_rows, ORIENTATIONS - 2), np.uint64)
    taken = rows.column("phash_turned").is_valid()
    turned[taken.to_numpy()] = (
        pc.list_flatten(rows.column("phash_turned").filter(taken)).to_numpy().reshape(-1, ORIENTATIONS - 2)
    )
    return np.column_stack([plain, mirrored, turned])
