"""Short codes by which a picture is known again among millions: what is kept of a vector, and how codes are searched."""

import hashlib
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Codes = NDArray[np.uint64]
CODE_WORDS = 2
CODE_BITS = 64 * CODE_WORDS
CHUNK_BITS = 16
# Candidates that are looked at together.
TOGETHER = 1 << 20
# A chunk may differ in one bit.
MASKS = np.array([0, *(1 << bit for bit in range(CHUNK_BITS))], np.int64)


def vector_codes(vectors: NDArray[np.floating]) -> Codes:
    """Return a code of each vector: on which side of 128 planes it lies.

    Parameters
    ----------
    vectors : (n, d) float
        Finite; their lengths do not matter.

    Returns
    -------
    (n, 2) uint64
        The share of bits in which two codes differ estimates the angle between the vectors, over pi. All 0 for a vector of zeros.

    Notes
    -----
    The planes follow from the dimension alone, so that codes that others made of the same model's vectors can be compared:
    M. S. Charikar, "Similarity estimation techniques from rounding algorithms", 2002, with normals of +1 and -1.

    Examples
    --------
    >>> codes = vector_codes(np.array([[1.0, 2.5, 4.0], [2.0, 5.0, 8.0], [-1.0, -2.5, -4.0]]))
    >>> bool((codes[0] == codes[1]).all()), int(np.bitwise_count(codes[0] ^ codes[2]).sum()) > 100
    (True, True)
    """
    sides = np.asarray(vectors, np.float64) @ _planes(vectors.shape[1]) > 0
    return np.packbits(sides, axis=1).view(">u8").astype(np.uint64)


@lru_cache(maxsize=4)
def _planes(dimension: int) -> NDArray[np.float64]:
    drawn = hashlib.shake_256(b"planes of fingerprints").digest(dimension * CODE_BITS // 8)
    bits = np.unpackbits(np.frombuffer(drawn, np.uint8)).reshape(dimension, CODE_BITS)
    return bits.astype(np.float64) * 2 - 1


def bits_apart(first: Codes, second: Codes) -> Rows:
    """Return the number of bits in which codes differ, row by row.

    Parameters
    ----------
    first, second : (n, w) uint64

    Returns
    -------
    (n,) int64 in [0, 64 w]
    """
    return np.asarray(np.bitwise_count(first ^ second).sum(axis=1), np.int64)


class CodeIndex(NamedTuple):
    """Codes, and for each 16 bits of them their rows by value and where each value starts.

    Attributes
    ----------
    codes : (n, w) uint64
    order : (4 w, n) uint32
    starts : (4 w, 65537) uint32
    ordered : (4, n) uint64 or None
        Codes of one word once more, in each order: read in one go where they would be gathered all over the memory.
    """

    codes: Codes
    order: NDArray[np.uint32]
    starts: NDArray[np.uint32]
    ordered: Codes | None = None

    @classmethod
    def of(cls, codes: Codes) -> "CodeIndex":
        """Return the index of codes; work is linear in their number."""
        count = codes.shape[1] * 64 // CHUNK_BITS
        order = np.empty((count, len(codes)), np.uint32)
        starts = np.zeros((count, (1 << CHUNK_BITS) + 1), np.uint32)
        for chunk in range(count):
            values = _chunk(codes, chunk)
            # Of 16 bits, a stable sort is one by counting.
            order[chunk] = np.argsort(values, kind="stable")
            starts[chunk, 1:] = np.cumsum(np.bincount(values, minlength=1 << CHUNK_BITS))
        return cls(codes, order, starts, codes[order, 0] if codes.shape[1] == 1 else None)

    def search(self, queries: Codes, radius: int) -> tuple[Rows, Rows, Rows]:
        """Return what is within so many bits of each query, among that of which 16 bits agree but for one.

        Parameters
        ----------
        queries : (m, w) uint64
            One that is all 0 says nothing, and finds nothing.
        radius : int

        Returns
        -------
        query, row, bits : (k,) int64
            By query and row. Complete up to ``8 w - 1`` bits; beyond, a pair is found if the bits in which it differs are
            spread so, which depends on the pair alone.
        """
        asked = np.flatnonzero(queries.any(axis=1)) if len(self.codes) else np.zeros(0, np.int64)
        found = [(np.zeros(0, np.int64),) * 3]
        for chunk in range(len(self.order)):
            values = (_chunk(queries[asked], chunk).astype(np.int64)[:, None] ^ MASKS).ravel()
            starts = self.starts[chunk, values].astype(np.int64)
            counts = self.starts[chunk, values + 1] - starts
            for part in _parts(counts):
                slots = np.repeat(np.arange(part.start, part.stop), counts[part])
                before = np.cumsum(counts[part]) - counts[part]
                place = np.arange(len(slots)) + np.repeat(starts[part] - before, counts[part])
                found.append(self._near((queries, asked[slots // len(MASKS)]), chunk, place, radius))
        query, row, bits = (np.concatenate(column) for column in zip(*found, strict=True))
        _, first = np.unique(query * max(len(self.codes), 1) + row, return_index=True)
        return query[first], row[first], bits[first]

    def _near(self, asked: tuple[Codes, Rows], chunk: int, place: Rows, radius: int) -> tuple[Rows, Rows, Rows]:
        """Return those of the queries' candidates, by their places in the order of a chunk, that are near enough."""
        queries, query = asked
        if self.ordered is None:
            bits = bits_apart(queries[query], self.codes[self.order[chunk, place]])
        else:
            bits = np.bitwise_count(queries[query, 0] ^ self.ordered[chunk, place]).astype(np.int64)
        near = np.flatnonzero(bits <= radius)
        return query[near], self.order[chunk, place[near]].astype(np.int64), bits[near]


def _chunk(codes: Codes, chunk: int) -> NDArray[np.uint16]:
    word, place = divmod(chunk, 64 // CHUNK_BITS)
    return (codes[:, word] >> np.uint64(CHUNK_BITS * place)).astype(np.uint16)


def _parts(counts: Rows) -> list[slice]:
    """Return consecutive parts of the look-ups that have about as many candidates as are looked at together."""
    total = np.cumsum(counts)
    if not len(total) or not total[-1]:
        return []
    cuts = np.searchsorted(total, np.arange(TOGETHER, total[-1], TOGETHER), side="right")
    bounds = np.unique([0, *cuts.tolist(), len(total)]).tolist()
    return [slice(start, stop) for start, stop in pairwise(bounds)]
