"""The compiled inner loops of map layouts. Imported only inside functions: numba takes its time."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])
Forces = tuple[np.float32, np.float32, np.float32]

TOWARDS, AWAY = 0, 1
ONE, TWO = np.float32(1), np.float32(2)
STEP_LIMIT = np.float32(4)
SOFTENING = np.float32(1e-3)
SMALLEST = np.float32(1e-8)
# The bits of 1.0 less what centres the error of the power below.
ONE_BITS = np.float32(0x3F780000)
# splitmix64: Steele, Lea and Flood, Fast splittable pseudorandom number generators, 2014.
WEYL, MIX_1, MIX_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
ROW, EPOCH = np.uint64(0xD1342543DE82EF95), np.uint64(0xA0761D6478BD642F)
SHIFT_1, SHIFT_2, SHIFT_3, HALF_WORD = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(32)
FAST = {"contract", "arcp", "nsz"}
INNER: dict[str, Any] = {"nogil": True, "fastmath": FAST, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def _inner(function: Function) -> Function:
    """Compile what compiled code alone calls, without what Python needs to call it, which takes time to compile."""
    return cast(Function, njit(**INNER)(function))


@_inner
def _drawn(state: np.uint64, count: np.uint64) -> np.int64:
    """Return a number below ``count`` from the state of the generator."""
    state = (state ^ (state >> SHIFT_1)) * MIX_1
    state = (state ^ (state >> SHIFT_2)) * MIX_2
    return np.int64((((state ^ (state >> SHIFT_3)) >> HALF_WORD) * count) >> HALF_WORD)


@_inner
def _move(point: NDArray[np.float32], other: NDArray[np.float32], forces: Forces, way: int) -> None:
    """Move a point towards another one, or away from it, by at most a step along each axis.

    A power is known to 6 %: the bits of a float are nearly its logarithm (Schraudolph, 1999).
    """
    rate, a, b = forces
    square = np.float32(0)
    for axis in range(3):
        square += (point[axis] - other[axis]) * (point[axis] - other[axis])
    square = max(square, SMALLEST)
    bits = np.float32(np.float32(square).view(np.int32)) - ONE_BITS
    power = a * np.int32(b * bits + ONE_BITS).view(np.float32)
    pull, push = -TWO * b * power / (square * (power + ONE)), TWO * b / ((SOFTENING + square) * (power + ONE))
    force = pull if way == TOWARDS else push
    for axis in range(3):
        step = force * (point[axis] - other[axis])
        step = step if step < STEP_LIMIT else STEP_LIMIT
        point[axis] += rate * (step if step > -STEP_LIMIT else -STEP_LIMIT)


@njit(cache=True, nogil=True, fastmath=FAST)
def epoch(
    moved: NDArray[np.float32],
    still: NDArray[np.float32],
    edges: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]],
    clock: tuple[int, NDArray[np.float32], NDArray[np.float32]],
    forces: Forces,
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
    negatives, seed = draws
    count = np.uint64(len(still))
    for q in range(len(rows)):
        i = rows[q]
        point = moved[i]
        for axis in range(3):
            point[axis] = still[i, axis]
        state = np.uint64(seed) * WEYL + np.uint64(i) * ROW + np.uint64(number) * EPOCH
        for e in range(bounds[q], bounds[q + 1]):
            if due[e] > number:
                continue
            due[e] += period[e]
            _move(point, still[columns[e]], forces, TOWARDS)
            for _ in range(negatives):
                state += WEYL
                j = _drawn(state, count)
                if j != i:
                    _move(point, still[j], forces, AWAY)
