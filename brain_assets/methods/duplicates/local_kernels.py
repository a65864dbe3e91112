"""The loops over corners of ``local_features``, compiled by numba; import this module inside functions only."""

import numba
import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Codes = NDArray[np.uint64]
Points = NDArray[np.complex128]
Matches = NDArray[np.int16]

NEAREST_BITS, AMBIGUOUS = 64, 0.85
FEWEST_VOTES = 4
NEAR, DRIFT, LIKE = 4.0, 0.15, 0.5
# Bits are summed by two, four and eight, then across a word of 64; no type is wider or has a sign, so that loops are vectors.
TWOS, FOURS, EIGHTS = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333), np.uint64(0x0F0F0F0F0F0F0F0F)
SIXTEENS, LOWEST = np.uint64(0x00FF00FF00FF00FF), np.uint64(0xFFFF)
ONE, TWO, FOUR, EIGHT, SIXTEEN, HALF = (np.uint64(1 << power) for power in range(6))
FARTHEST = np.uint64(257 << 16)


@numba.njit(cache=True, nogil=True)
def match(codes: Codes, ends: Rows, pairs: Rows, matches: Matches, counts: Rows) -> None:
    """Write which corners of two pictures look alike: each of the first's with the one it resembles most.

    Parameters
    ----------
    codes : (4, c) uint64
        What the corners of all pictures look like.
    ends : (v + 1,) int64
        Where the corners of each picture begin, and the last ones end.
    pairs : (2, m) int64
        Pictures.
    matches : (m, n, 2) int16, counts : (m,) int64, written
        Corners of the first and of the second picture, and how many; n is the largest number of corners.
    """
    # Bits that differ, and behind them the corner.
    named = np.empty(matches.shape[1], np.uint64)
    for k in range(pairs.shape[1]):
        start, begin, end = ends[pairs[0, k]], ends[pairs[1, k]], ends[pairs[1, k] + 1]
        w, x, y, z = codes[0][begin:end], codes[1][begin:end], codes[2][begin:end], codes[3][begin:end]
        counts[k] = 0
        for i in range(ends[pairs[0, k] + 1] - start):
            a, b, c, d = codes[0, start + i], codes[1, start + i], codes[2, start + i], codes[3, start + i]
            for j in range(len(w)):
                total = np.uint64(0)
                for word in (a ^ w[j], b ^ x[j], c ^ y[j], d ^ z[j]):
                    pairwise = word - ((word >> ONE) & TWOS)
                    fours = (pairwise & FOURS) + ((pairwise >> TWO) & FOURS)
                    total += (fours + (fours >> FOUR)) & EIGHTS
                total = (total & SIXTEENS) + ((total >> EIGHT) & SIXTEENS)
                total += total >> SIXTEEN
                named[j] = (((total + (total >> HALF)) & LOWEST) << SIXTEEN) + np.uint64(j)
            best, second = FARTHEST, FARTHEST
            for j in range(len(w)):
                second = min(second, max(best, named[j]))
                best = min(best, named[j])
            if best >> SIXTEEN < NEAREST_BITS and best >> SIXTEEN < AMBIGUOUS * (second >> SIXTEEN):
                matches[k, counts[k], 0], matches[k, counts[k], 1] = i, best & LOWEST
                counts[k] += 1


@numba.njit(cache=True, nogil=True)
def vote(
    corners: tuple[Points, Points], ends: Rows, pairs: Rows, matches: Matches, counts: Rows, voters: NDArray[np.bool_]
) -> None:
    """Mark the matches of each pair that agree with the similarity that most agree with; drop all where these are too few.

    Parameters
    ----------
    corners : twice (c,) complex128
        Where the corners of all pictures lie, x + iy in pixels; their scale times the direction.
    ends, pairs, matches
        As ``match`` takes and leaves them.
    counts : (m,) int64, set to 0 where matches are dropped
    voters : (m, n) bool, written
    """
    places, turns = corners
    most = matches.shape[1]
    mine, theirs, turned = np.empty(most, np.complex128), np.empty(most, np.complex128), np.empty(most, np.complex128)
    agreed = np.empty(most, np.bool_)
    for k in range(pairs.shape[1]):
        start, begin = ends[pairs[0, k]], ends[pairs[1, k]]
        count, most_votes = counts[k], FEWEST_VOTES - 1
        for i in range(count):
            one, other = start + matches[k, i, 0], begin + matches[k, i, 1]
            mine[i], theirs[i], turned[i] = places[one], places[other], turns[one] / turns[other]
        for i in range(count if count > most_votes else 0):
            votes = 0
            for j in range(count):
                way = mine[j] - mine[i]
                error = abs(turned[i] * (theirs[j] - theirs[i]) - way)
                agreed[j] = error < NEAR + DRIFT * abs(way) and abs(turned[j] / turned[i] - 1) < LIKE
                votes += agreed[j]
            if votes > most_votes:
                most_votes = votes
                voters[k, :count] = agreed[:count]
        if most_votes < FEWEST_VOTES:
            counts[k] = 0
