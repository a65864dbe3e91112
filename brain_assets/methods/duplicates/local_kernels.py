"""The loops over corners of ``local_features``, compiled by numba; import this module inside functions only."""

import math

import numba
import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Codes = NDArray[np.uint64]
Places = NDArray[np.float64]
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
def vote(corners: Places, ends: Rows, pairs: Rows, matches: Matches, counts: Rows, voters: NDArray[np.bool_]) -> None:
    """Mark the matches of each pair that agree with the similarity that most agree with; drop all where these are too few.

    Parameters
    ----------
    corners : (4, c) float64
        x and y of the corners of all pictures in pixels, and their scale along x and y of their direction.
    ends, pairs, matches
        As ``match`` takes and leaves them.
    counts : (m,) int64, set to 0 where matches are dropped
    voters : (m, n) bool, written
    """
    most = matches.shape[1]
    agreed, known = np.empty(most, np.bool_), np.empty((6, most), np.float64)
    mine_x, mine_y, theirs_x, theirs_y, along, across = known
    for k in range(pairs.shape[1]):
        count, most_votes = counts[k], FEWEST_VOTES - 1
        for i in range(count):
            one, other = ends[pairs[0, k]] + matches[k, i, 0], ends[pairs[1, k]] + matches[k, i, 1]
            mine_x[i], mine_y[i], theirs_x[i], theirs_y[i] = (
                corners[0, one],
                corners[1, one],
                corners[0, other],
                corners[1, other],
            )
            a, b, c, d = corners[2, one], corners[3, one], corners[2, other], corners[3, other]
            along[i], across[i] = (a * c + b * d) / (c * c + d * d), (b * c - a * d) / (c * c + d * d)
        for i in range(count):
            votes = 0
            for j in range(count):
                way_x, way_y = mine_x[j] - mine_x[i], mine_y[j] - mine_y[i]
                from_x, from_y = theirs_x[j] - theirs_x[i], theirs_y[j] - theirs_y[i]
                error_x = along[i] * from_x - across[i] * from_y - way_x
                error_y = across[i] * from_x + along[i] * from_y - way_y
                reach = NEAR + DRIFT * math.sqrt(way_x * way_x + way_y * way_y)
                turn_x, turn_y = along[j] - along[i], across[j] - across[i]
                like = LIKE * LIKE * (along[i] * along[i] + across[i] * across[i])
                agreed[j] = error_x * error_x + error_y * error_y < reach * reach
                agreed[j] &= turn_x * turn_x + turn_y * turn_y < like
                votes += agreed[j]
            if votes > most_votes:
                most_votes = votes
                for j in range(count):
                    voters[k, j] = agreed[j]
        if most_votes < FEWEST_VOTES:
            counts[k] = 0
