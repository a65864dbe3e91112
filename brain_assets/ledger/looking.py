"""Whether a picture was seen before: what an entry of the ledger has of the same bytes, or of what looks the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.ledger.entries import Entry
from brain_assets.methods.duplicates.fingerprints import Codes, Rows, bits_apart

ORIENTATIONS = 8
HASH_BITS, CODE_BITS = 64, 128
# Bits in which hashes alone settle it; up to which they do where the codes do not speak against it; up to which they do not
# speak against what the codes say. Measured on 26 edits of photos against pairs of unrelated ones.
SAME_HASH, NEAR_HASH, FAR_HASH = 4, 8, 16
# The same of codes, as shares of how far those of unrelated pictures usually are, which is another number for each model; a
# search goes no farther than the last number, in bits.
NEAR_CODE, FAR_CODE, MOST_CODE = 0.375, 0.6, 18
# Rows by which it is told what is usual, and the fewest.
SAMPLE, FEWEST = 512, 16
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
    """

    picture: Rows
    row: Rows
    match: Rows
    hash_bits: Rows
    code_bits: Rows

    def where(self, kept: NDArray[np.bool_]) -> "Seen":
        """Return some of the rows."""
        return Seen(*(column[kept] for column in vars(self).values()))


def seen(entry: Entry, pictures: Pictures) -> Seen:
    """Return what an entry has of pictures.

    Same bytes match. Hashes in any orientation match in up to 4 bits, or 8 where the codes of vectors are at most .6 as far
    apart as the entry's usually are; codes that are .375 as far match where the hashes are at most 16 of 64 bits apart. Codes of
    different models are not compared, nor those of an entry with fewer than 16.
    """
    count = len(pictures.contents)
    parts = [_seen(entry, pictures.part(slice(start, start + TOGETHER)), start) for start in range(0, count, TOGETHER)]
    nothing = np.zeros(0, np.int64)
    columns = zip(*(vars(part).values() for part in parts), strict=True) if parts else [[nothing]] * 5
    return Seen(*(np.concatenate(list(column)) for column in columns))


def _seen(entry: Entry, pictures: Pictures, start: int) -> Seen:
    picture, row, equal = _candidates(entry, pictures)
    hash_bits = _hash_bits(pictures.hashes[picture], entry.hashes.codes[row, 0])
    code_bits = _code_bits(entry, pictures, picture, row)
    apart = np.where(code_bits < 0, np.inf, code_bits) / (usual_bits(entry, pictures.model) or np.nan)
    by_hash = (hash_bits >= 0) & ((hash_bits <= SAME_HASH) | ((hash_bits <= NEAR_HASH) & (apart <= FAR_CODE)))
    by_code = (hash_bits >= 0) & (hash_bits <= FAR_HASH) & (apart <= NEAR_CODE)
    match = np.select([equal, by_hash, by_code], [BYTES, HASH, VECTOR], UNKNOWN)
    kept = np.flatnonzero(match != UNKNOWN)
    far = (
        np.where(hash_bits < 0, HASH_BITS, hash_bits) / HASH_BITS
        + np.where(code_bits < 0, CODE_BITS, code_bits) / CODE_BITS
    )
    kept = kept[np.lexsort((row[kept], far[kept], match[kept] != BYTES, picture[kept]))]
    return Seen(picture[kept] + start, row[kept], match[kept], hash_bits[kept], code_bits[kept])


def _candidates(entry: Entry, pictures: Pictures) -> tuple[Rows, Rows, NDArray[np.bool_]]:
    """Return pairs of picture and row that may match, each once, and whether their bytes are equal."""
    same = np.array([*entry.of_contents(pictures.contents)], np.int64).reshape(-1, 2)
    turned, by_hash, _ = entry.hashes.search(pictures.hashes.reshape(-1, 1), NEAR_HASH)
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


def _code_bits(entry: Entry, pictures: Pictures, picture: Rows, row: Rows) -> Rows:
    asked, known = pictures.codes[picture], entry.codes.codes[row]
    comparable = np.asarray(asked.any(axis=1) & known.any(axis=1), np.bool_)
    comparable[comparable] &= _made_by(entry, row[comparable], pictures.model)
    return np.where(comparable, bits_apart(asked, known), UNKNOWN)


def _made_by(entry: Entry, rows: Rows, model: str | None) -> NDArray[np.bool_]:
    # Not by `take`, which first makes one chunk of all.
    models = entry.rows.column("model")
    return np.array([models[row].as_py() == model for row in rows.tolist()], np.bool_)


@lru_cache(maxsize=16)
def usual_bits(entry: Entry, model: str | None) -> float | None:
    """Return in how many bits the codes of a model's vectors usually differ, None where there are too few to tell.

    Rows lie in the order of their contents' hashes, so that neighbours among the first are pairs drawn by chance.
    """
    codes = entry.codes.codes[:SAMPLE]
    known = np.flatnonzero(codes.any(axis=1))
    known = known[_made_by(entry, known, model)]
    if len(known) < FEWEST:
        return None
    return float(np.median(bits_apart(codes[known[1:]], codes[known[:-1]]))) or None


def rows_of(entry: Entry, rows: Sequence[int]) -> list[dict[str, Any]]:
    """Return rows of an entry, in the order asked for."""
    table = entry.rows
    return [{name: table.column(name)[row].as_py() for name in table.column_names if name != "code"} for row in rows]


def oriented(rows: pa.Table) -> Codes:
    """Return the hashes in all orientations of rows of ``media``; 0 for those that were not taken."""
    plain, mirrored = (
        rows.column(name).fill_null(0).to_numpy().astype(np.uint64) for name in ("phash", "phash_mirrored")
    )
    turned = [one or [0] * (ORIENTATIONS - 2) for one in rows.column("phash_turned").to_pylist()]
    return np.column_stack([plain, mirrored, np.array(turned, np.uint64).reshape(len(plain), ORIENTATIONS - 2)])
