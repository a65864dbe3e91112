"""The compiled inner loops of map layouts. Imported only inside functions: numba takes its time."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])
Point = tuple[np.float32, np.float32, np.float32]

ONE, TWO = np.float32(1), np.float32(2)
STEP_LIMIT = np.float32(4)
SOFTENING = np.float32(1e-3)
SMALLEST = np.float32(1e-8)
# The bits of 1.0 less what centres the error of the power below.
ONE_BITS = np.float32(0x3F780000)
BISECTIONS = 64
NARROWEST = 1e-3
# splitmix64: Steele, Lea and Flood, Fast splittable pseudorandom number generators, 2014.
WEYL, MIX_1, MIX_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
ROW, EPOCH = np.uint64(0xD1342543DE82EF95), np.uint64(0xA0761D6478BD642F)
SHIFT_1, SHIFT_2, SHIFT_3, HALF_WORD = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(32)


def _compiled(function: Function) -> Function:
    return cast(Function, njit(cache=True, nogil=True, fastmath={"contract", "arcp", "nsz"})(function))


@_compiled
def _strength(distance: float, nearest: float, width: float) -> float:
    return float(np.exp(-max(distance - nearest, 0.0) / width))


@_compiled
def _width(distances: NDArray[np.float32], nearest: float, target: float) -> float:
    """Return the width at which the strengths of a row's neighbours sum to the target, by bisection."""
    low, high, width = 0.0, np.inf, 1.0
    for _ in range(BISECTIONS):
        reached = 0.0
        for distance in distances:
            reached += _strength(distance, nearest, width)
        if abs(reached - target) < 1e-5:
            break
        if reached > target:
            high = width
        else:
            low = width
        width = width * 2 if high == np.inf else (low + high) / 2
    return max(width, NARROWEST * float(distances.mean()), 1e-12)


@_compiled
def memberships(distances: NDArray[np.float32], target: float) -> NDArray[np.float32]:
    """Return how strongly each neighbour belongs to a row's surroundings: exp(-(distance - nearest) / width).

    Parameters
    ----------
    distances : (n, k) float32, each row ascending, inf beyond the valid ones
    target : float
        Every row's width is the one at which its strengths sum to this.

    Returns
    -------
    (n, k) float32 in [0, 1], 0 beyond the valid ones
    """
    result = np.zeros(distances.shape, np.float32)
    for i in range(len(distances)):
        row = distances[i][np.isfinite(distances[i])]
        different = row[row > 0]
        if len(row):
            nearest = float(different[0]) if len(different) else 0.0
            width = _width(row, nearest, target)
            for k in range(len(row)):
                result[i, k] = _strength(row[k], nearest, width)
    return result


@_compiled
def _power(base: np.float32, exponent: np.float32) -> np.float32:
    """Return base ** exponent to 6 %: the bits of a float are nearly its logarithm (Schraudolph, 1999)."""
    bits = np.float32(np.float32(base).view(np.int32)) - ONE_BITS
    return np.int32(exponent * bits + ONE_BITS).view(np.float32)


@_compiled
def _pull(square: np.float32, a: np.float32, b: np.float32) -> np.float32:
    power = a * _power(square, b)
    return -TWO * b * power / (square * (power + ONE))


@_compiled
def _push(square: np.float32, a: np.float32, b: np.float32) -> np.float32:
    return TWO * b / ((SOFTENING + square) * (a * _power(square, b) + ONE))


@_compiled
def _offset(point: Point, others: NDArray[np.float32], j: int | np.integer) -> tuple[Point, np.float32]:
    x, y, z = point[0] - others[j, 0], point[1] - others[j, 1], point[2] - others[j, 2]
    return (x, y, z), max(x * x + y * y + z * z, SMALLEST)


@_compiled
def _limited(step: np.float32) -> np.float32:
    return min(STEP_LIMIT, max(-STEP_LIMIT, step))


@_compiled
def _shifted(point: Point, offset: Point, force: np.float32, rate: np.float32) -> Point:
    return (
        point[0] + _limited(force * offset[0]) * rate,
        point[1] + _limited(force * offset[1]) * rate,
        point[2] + _limited(force * offset[2]) * rate,
    )


@_compiled
def _drawn(state: np.uint64, count: np.uint64) -> np.int64:
    """Return a number below ``count`` from the state of the generator."""
    state = (state ^ (state >> SHIFT_1)) * MIX_1
    state = (state ^ (state >> SHIFT_2)) * MIX_2
    return np.int64((((state ^ (state >> SHIFT_3)) >> HALF_WORD) * count) >> HALF_WORD)


@_compiled
def epoch(
    moved: NDArray[np.float32],
    still: NDArray[np.float32],
    edges: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]],
    clock: tuple[int, NDArray[np.float32], NDArray[np.float32]],
    forces: tuple[np.float32, np.float32, np.float32],
    draws: tuple[int, int],
) -> None:
    """Move every given row once: towards the ends of its edges that are due, away from random others.

    All others are read from a snapshot and a row writes only itself, so that the result does not depend on who
    computes which rows.

    Parameters
    ----------
    moved : (n, 3) float32, positions that are written
    still : (n, 3) float32, the snapshot that is read
    edges : the (m,) rows that may move, (m + 1,) bounds and (e,) columns; ``rows[q]`` is drawn to
        ``columns[bounds[q]:bounds[q + 1]]``
    clock : the number of this epoch; per edge the epochs from one use to the next, and the epoch of the next use,
        which is written
    forces : the learning rate, and a and b of the curve 1 / (1 + a d^2b)
    draws : how many random others per edge used, and the seed that they come from
    """
    rows, bounds, columns = edges
    number, period, due = clock
    rate, a, b = forces
    negatives, seed = draws
    count = np.uint64(len(still))
    for q in range(len(rows)):
        i = rows[q]
        point = (still[i, 0], still[i, 1], still[i, 2])
        state = np.uint64(seed) * WEYL + np.uint64(i) * ROW + np.uint64(number) * EPOCH
        for e in range(bounds[q], bounds[q + 1]):
            if due[e] > number:
                continue
            due[e] += period[e]
            offset, square = _offset(point, still, columns[e])
            point = _shifted(point, offset, _pull(square, a, b), rate)
            for _ in range(negatives):
                state += WEYL
                j = _drawn(state, count)
                if j != i:
                    offset, square = _offset(point, still, j)
                    point = _shifted(point, offset, _push(square, a, b), rate)
        moved[i, 0], moved[i, 1], moved[i, 2] = point
