"""Short codes by which a picture is known again among millions: what is kept of a vector, and how codes are searched."""

import hashlib
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Codes = NDArray[np.uint64]
# Queries and the row of each look-up among them; query, row and bits of what is found.
Asked = tuple[Codes, Rows]
Found = tuple[Rows, Rows, Rows]
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
        One of them may be a single code, (w,).

    Returns
    -------
    (n,) int64 in [0, 64 w]
    """
    differing = first ^ second
    # Word by word: to add up along so short an axis takes far longer.
    bits = np.bitwise_count(differing[..., 0]).astype(np.uint16)
    for word in range(1, differing.shape[-1]):
        bits += np.bitwise_count(differing[..., word])
    return np.asarray(bits, np.int64)


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

    def search(self, queries: Codes, radius: int) -> Found:
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
            lookups = np.flatnonzero(counts)
            starts, counts, query = starts[lookups], counts[lookups], asked[lookups // len(MASKS)]
            for part in _parts(counts):
                found.append(self._near((queries, query[part]), chunk, starts[part], counts[part], radius))
        query, row, bits = (np.concatenate(column) for column in zip(*found, strict=True))
        _, first = np.unique(query * max(len(self.codes), 1) + row, return_index=True)
        return query[first], row[first], bits[first]

    def _near(self, asked: Asked, chunk: int, starts: Rows, counts: Rows, radius: int) -> Found:
        """Return what is near enough among the candidates of look-ups, which lie one after the other in the order of a chunk."""
        (queries, query), ends = asked, np.cumsum(counts)
        # From each to the next it is one step, but for the first of a look-up.
        steps = np.ones(ends[-1], np.int64)
        steps[0], steps[ends[:-1]] = starts[0], starts[1:] - (starts + counts - 1)[:-1]
        place = np.cumsum(steps)
        bits = bits_apart(queries[query].repeat(counts, axis=0), self._listed(chunk, place))
        near = np.flatnonzero(bits <= radius)
        of = query[np.searchsorted(ends, near, side="right")]
        return of, self.order[chunk, place[near]].astype(np.int64), bits[near]

    def _listed(self, chunk: int, place: Rows) -> Codes:
        """Return the codes at places in the order of a chunk."""
        if self.ordered is None:
            return np.take(self.codes, np.take(self.order[chunk], place), axis=0)
        return np.take(self.ordered[chunk], place)[:, None]


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
