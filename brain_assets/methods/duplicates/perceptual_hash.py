"""Pairs of pictures with nearly equal perceptual hashes, without comparing all with all."""

from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Hashes = NDArray[np.uint64]
CHUNKS, CHUNK_BITS = 4, 16
LARGEST_RADIUS = 19
# Pairs that are looked at together.
CANDIDATES = 1 << 16
UNKNOWN_BITS = 64


class HashPairs(NamedTuple):
    """Pairs within a Hamming radius, each once.

    Attributes
    ----------
    first, second : (m,) int64
        ``first < second``, sorted by first and second.
    hamming : (m,) int64
        Bits that differ, the smaller of plain and mirrored.
    """

    first: Rows
    second: Rows
    hamming: Rows


def hamming_distance(first: Hashes, second: Hashes) -> Rows:
    """Return the number of bits in which 64-bit hashes differ, element by element.

    Examples
    --------
    >>> hamming_distance(np.array([0, 7], np.uint64), np.array([0, 8], np.uint64))
    array([0, 4])
    """
    return np.bitwise_count(np.bitwise_xor(first, second)).astype(np.int64)


def pair_hamming(hashes: Hashes, mirrored: Hashes, first: Rows, second: Rows) -> Rows:
    """Return the bits in which each pair differs, as it is or with one of the two mirrored.

    Parameters
    ----------
    hashes, mirrored : (n,) uint64
        Of each picture and of its mirror image; 0 = says nothing (a blank picture).
    first, second : (m,) int64

    Returns
    -------
    (m,) int64 in [0, 64]
        64 where a hash says nothing.

    Examples
    --------
    >>> hashes, mirrored = np.array([1, 6, 0], np.uint64), np.array([4, 1, 0], np.uint64)
    >>> pair_hamming(hashes, mirrored, np.array([0, 0]), np.array([1, 2]))
    array([ 0, 64])
    """
    plain = hamming_distance(hashes[first], hashes[second])
    across = hamming_distance(hashes[first], mirrored[second])
    back = hamming_distance(mirrored[first], hashes[second])
    known = (hashes[first] != 0) & (hashes[second] != 0)
    return np.where(known, np.minimum(np.minimum(plain, across), back), UNKNOWN_BITS)


def hash_pairs(hashes: Hashes, mirrored: Hashes, radius: int = 10, rows: Rows | None = None) -> HashPairs:
    """Return the pairs of pictures whose hashes differ in at most ``radius`` bits, one of them mirrored or not.

    Parameters
    ----------
    hashes, mirrored : (n,) uint64
        Of each picture and of its mirror image; 0 = says nothing, and is in no pair.
    radius : int in [0, 19]
    rows : (m,) int64, optional
        Only pairs that touch one of these: after an insertion, the new ones.

    Returns
    -------
    HashPairs

    Raises
    ------
    ValueError
        If the radius is outside its range.

    Notes
    -----
    Multi-index hashing: of four 16-bit chunks one differs in at most ``radius // 4`` bits. M. Norouzi, A. Punjani and
    D. J. Fleet, "Fast search in Hamming space with multi-index hashing", 2012. Incremental: a pair depends on its two
    hashes only, so pairs that touch new rows are added to those that stay.

    Examples
    --------
    >>> hashes = np.array([0b1111, 0b1110, 0xFF00FF00FF00FF00], np.uint64)
    >>> hash_pairs(hashes, ~hashes, radius=2)
    HashPairs(first=array([0]), second=array([1]), hamming=array([1]))
    """
    if not 0 <= radius <= LARGEST_RADIUS:
        raise ValueError(f"the radius must be between 0 and {LARGEST_RADIUS} bits, not {radius}")
    known = np.flatnonzero(hashes)
    asked = known if rows is None else np.intersect1d(known, rows)
    plain, index = hashes[known], _Index.of(hashes[known])
    both = _Index.of(np.r_[plain, mirrored[known]])
    found = [_search(hashes[asked], both, radius)]
    if rows is not None:
        found.append(_search(mirrored[asked], index, radius))
    query, code, bits = (np.concatenate(column) for column in zip(*found, strict=True))
    return _distinct(asked[query], known[code % max(len(known), 1)], bits, len(hashes))


class _Index(NamedTuple):
    """Codes, and for each chunk their order by its value and where each value starts."""

    codes: Hashes
    order: Rows
    starts: Rows

    @classmethod
    def of(cls, codes: Hashes) -> "_Index":
        chunks = np.stack([_chunk(codes, chunk) for chunk in range(CHUNKS)])
        order = np.argsort(chunks, axis=1, kind="stable")
        counts = [np.bincount(chunk, minlength=1 << CHUNK_BITS) for chunk in chunks]
        starts = np.zeros((CHUNKS, (1 << CHUNK_BITS) + 1), np.int64)
        starts[:, 1:] = np.cumsum(counts, axis=1)
        return cls(codes, order, starts)


def _search(queries: Hashes, index: _Index, radius: int) -> tuple[Rows, Rows, Rows]:
    """Return (query, code, bits) within the radius; each is found once, by the first chunk that is near enough."""
    most = radius // CHUNKS
    found = [(np.empty(0, np.int64),) * 3]
    for chunk in range(CHUNKS):
        values = _chunk(queries, chunk)
        for mask in _masks(most):
            starts = index.starts[chunk, values ^ mask]
            counts = index.starts[chunk, (values ^ mask) + 1] - starts
            for part in _parts(counts):
                query = np.repeat(np.arange(part.start, part.stop), counts[part])
                before = np.cumsum(counts[part]) - counts[part]
                place = np.arange(len(query)) + np.repeat(starts[part] - before, counts[part])
                found.append(_near(queries, index, (query, index.order[chunk, place]), (chunk, radius)))
    query, code, bits = (np.concatenate(column) for column in zip(*found, strict=True))
    return query, code, bits


def _near(queries: Hashes, index: _Index, pairs: tuple[Rows, Rows], limits: tuple[int, int]) -> tuple[Rows, Rows, Rows]:
    """Return those of the pairs that are within the radius and that no earlier chunk finds."""
    (query, code), (chunk, radius) = pairs, limits
    difference = queries[query] ^ index.codes[code]
    bits = np.bitwise_count(difference)
    near = np.flatnonzero(bits <= radius)
    for earlier in range(chunk):
        near = near[np.bitwise_count(_chunk(difference[near], earlier)) > radius // CHUNKS]
    return query[near], code[near], bits[near].astype(np.int64)


def _chunk(codes: Hashes, chunk: int) -> Rows:
    return ((codes >> np.uint64(CHUNK_BITS * chunk)) & np.uint64((1 << CHUNK_BITS) - 1)).astype(np.int64)


def _parts(counts: Rows) -> list[slice]:
    """Return consecutive parts of the queries that have about as many candidates as fit near the processor."""
    total = np.cumsum(counts)
    if not len(total) or not total[-1]:
        return []
    cuts = np.searchsorted(total, np.arange(CANDIDATES, total[-1], CANDIDATES), side="right")
    bounds = np.unique([0, *cuts.tolist(), len(total)]).tolist()
    return [slice(start, stop) for start, stop in pairwise(bounds)]


def _masks(most: int) -> Rows:
    """Return all 16-bit numbers with at most ``most`` bits set."""
    chosen = [bits for size in range(most + 1) for bits in combinations(range(CHUNK_BITS), size)]
    return np.array([sum(1 << bit for bit in bits) for bits in chosen], np.int64)


def _distinct(a: Rows, b: Rows, bits: Rows, count: int) -> HashPairs:
    first, second = np.minimum(a, b), np.maximum(a, b)
    order = np.lexsort((bits, second, first))
    order = order[first[order] != second[order]]
    keys = first[order] * count + second[order]
    order = order[np.unique(keys, return_index=True)[1]]
    return HashPairs(first[order], second[order], bits[order])
