"""The inner loops of ``verification``, compiled by numba; import this module inside functions only.

A motion is (x scale, y scale, x shift, y shift) about the centre, in units of half the side. It turns nothing, so rows and
columns are placed apart from each other; sums run over whole planes with a weight of 0 outside, which vectorizes. Loops are
written out: an expression over two arrays brings code along that words an error, which takes seconds to compile.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])
Plane = NDArray[np.float32]
Motion = NDArray[np.float64]

SCALES = np.array([0.8, 0.9, 1.0, 1.12, 1.25])
COARSE_SIDE, SHIFT = 16, 3
STARTS = 3
STEPS_COARSE, STEPS_FINE = 5, 4
HOPELESS = 0.25
LEAST_OVERLAP = 0.4
DAMPING = 1e-3
LONGEST_STEP = 0.12

# For what compiled code alone calls: what Python needs to call a function takes time to compile, too.
INNER: dict[str, Any] = {"nogil": True, "fastmath": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def _inner(function: Function) -> Function:
    return cast(Function, numba.njit(**INNER)(function))


@numba.njit(cache=True, nogil=True, fastmath=True)
def verify(
    coarse: NDArray[np.int8], smooth: NDArray[np.uint8], detail: NDArray[np.int8], first: Any, second: Any
) -> NDArray[np.float32]:
    """Return (m, 2): agreement of details and overlap of the aligned pictures, for each pair of prints."""
    out = np.zeros((len(first), 2), np.float32)
    for pair in range(len(first)):
        a, b = first[pair], second[pair]
        motions, score = _search(coarse[a].astype(np.float32), coarse[b].astype(np.float32))
        if score < HOPELESS:
            continue
        best = _align(smooth[a].astype(np.float32), smooth[b].astype(np.float32), motions)
        out[pair, 0], out[pair, 1] = _agreement(detail[a].astype(np.float32), detail[b].astype(np.float32), best)
    return out


@_inner
def _search(target: Plane, source: Plane) -> tuple[Motion, float]:
    """Return the best (STARTS, 4) motions over flips, scales and shifts, and the best correlation."""
    ways = 2 * len(SCALES)
    motions, scores, plain = np.zeros((ways, 4)), np.full(ways, -2.0), np.zeros(4)
    energy = _summed_squares(target)
    for way in range(ways):
        plain[1] = SCALES[way // 2]
        plain[0] = -plain[1] if way % 2 else plain[1]
        warped, inside = _warp(source, plain)
        scores[way], dy, dx = _best_shift(target, warped, energy, int(inside[COARSE_SIDE // 2].argmax()))
        motions[way, 0], motions[way, 1] = plain[0], plain[1]
        motions[way, 2], motions[way, 3] = 2.0 * dx * plain[0] / COARSE_SIDE, 2.0 * dy * plain[1] / COARSE_SIDE
    return _best(motions, scores), scores.max()


@_inner
def _best_shift(target: Plane, warped: Plane, energy: Motion, margin: int) -> tuple[float, int, int]:
    """Return the best correlation about 0 over shifts, less where the overlap is small, and its shift along y and x.

    ``energy`` holds the squares of the target, summed; the warped source is 0 up to ``margin`` from its edges.
    """
    theirs, best, at_y, at_x = _summed_squares(warped), -2.0, 0, 0
    padded = np.zeros((COARSE_SIDE + 2 * SHIFT, COARSE_SIDE + 2 * SHIFT), np.float32)
    for y in range(COARSE_SIDE):
        for x in range(COARSE_SIDE):
            padded[y + SHIFT, x + SHIFT] = warped[y, x]
    for dx in range(-SHIFT, SHIFT + 1):
        left, right = max(0, margin - dx), min(COARSE_SIDE, COARSE_SIDE - margin - dx)
        rows = padded[:, dx + SHIFT : dx + SHIFT + COARSE_SIDE].copy().ravel()
        for dy in range(-SHIFT, SHIFT + 1):
            top, bottom = max(0, margin - dy), min(COARSE_SIDE, COARSE_SIDE - margin - dy)
            share = (bottom - top) * (right - left) / COARSE_SIDE**2
            one = _within(energy, top, bottom, left, right)
            other = _within(theirs, top + dy, bottom + dy, left + dx, right + dx)
            both = _dot(target.ravel(), rows[(dy + SHIFT) * COARSE_SIDE :])
            score = both / np.sqrt(max(one * other, 0.0) + 1e-3) * share**0.15
            if score > best and share >= LEAST_OVERLAP:
                best, at_y, at_x = score, dy, dx
    return best, at_y, at_x


@_inner
def _summed_squares(plane: Plane) -> Motion:
    """Return (n + 1, n + 1) sums of the squares of all that lies above and left."""
    n = len(plane)
    sums = np.zeros((n + 1, n + 1))
    for y in range(n):
        row = 0.0
        for x in range(n):
            row += plane[y, x] * plane[y, x]
            sums[y + 1, x + 1] = sums[y, x + 1] + row
    return sums


@_inner
def _within(sums: Motion, top: int, bottom: int, left: int, right: int) -> float:
    return float(sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left])


@_inner
def _best(motions: Motion, scores: NDArray[np.float64]) -> Motion:
    """Return the (STARTS, 4) motions with the highest scores; the first of equals first."""
    left, chosen = scores.copy(), np.empty((STARTS, 4))
    for start in range(STARTS):
        place = left.argmax()
        for axis in range(4):
            chosen[start, axis] = motions[place, axis]
        left[place] = -np.inf
    return chosen


@_inner
def _places(scale: float, shift: float, n: int, stride: int) -> tuple[Any, Plane, Plane]:
    """Return where every ``stride``-th row or column comes from: the one before, how far to the next, and whether inside.

    The edge is repeated half a pixel outwards.
    """
    before, way = np.empty(n // stride, np.uint32), np.empty(n // stride, np.float32)
    inside = np.empty(n // stride, np.float32)
    centre = (n - 1) / 2.0
    for place in range(n // stride):
        wanted = centre + scale * (stride * place - centre) + shift * n / 2.0
        inside[place] = 1.0 if -0.5 <= wanted <= n - 0.5 else 0.0
        wanted = min(max(wanted, 0.0), n - 1.0)
        before[place] = min(int(wanted), n - 2)
        way[place] = wanted - before[place]
    return before, way, inside


@_inner
def _warp(source: Plane, motion: Motion) -> tuple[Plane, Plane]:
    """Return the source as the target sees it, 0 outside, and where it is inside."""
    n = len(source)
    above, down, inside_y = _places(motion[1], motion[3], n, 1)
    before, along, inside_x = _places(motion[0], motion[2], n, 1)
    warped, inside = np.empty((n, n), np.float32), np.empty((n, n), np.float32)
    row = np.empty(n, np.float32)
    for y in range(n):
        upper, lower = source[above[y]], source[above[y] + np.uint32(1)]
        for x in range(n):
            row[x] = upper[x] + down[y] * (lower[x] - upper[x])
        for x in range(n):
            left, right = row[before[x]], row[before[x] + np.uint32(1)]
            inside[y, x] = inside_y[y] * inside_x[x]
            warped[y, x] = (left + along[x] * (right - left)) * inside[y, x]
    return warped, inside


@_inner
def _align(target: Plane, source: Plane, motions: Motion) -> Motion:
    """Return the motion that a coarse refinement of every start, and a fine one of the best, lead to."""
    small_target, small_source = _halve(target), _halve(source)
    best, score = motions[0].copy(), -2.0
    for start in range(len(motions)):
        motion = _refine(small_target, small_source, motions[start], STEPS_COARSE)
        reached = _correlation(small_target, *_warp(small_source, motion))
        if reached > score:
            best, score = motion, reached
    return _refine(target, source, best, STEPS_FINE)


@_inner
def _halve(plane: Plane) -> Plane:
    n = len(plane) // 2
    half = np.empty((n, n), np.float32)
    for y in range(n):
        for x in range(n):
            half[y, x] = (
                plane[2 * y, 2 * x] + plane[2 * y, 2 * x + 1] + plane[2 * y + 1, 2 * x] + plane[2 * y + 1, 2 * x + 1]
            ) / np.float32(4.0)
    return half


@_inner
def _refine(target: Plane, source: Plane, start: Motion, steps: int) -> Motion:
    """Return the motion after Gauss-Newton steps on the residual of gain x warped source + bias, outliers damped."""
    wanted = _every_other(target)
    error, weight, every = np.empty_like(wanted), np.empty_like(wanted), np.ones_like(wanted)
    motion, gain, bias, spread = start.copy(), 1.0, 0.0, 1e9
    for step in range(steps):
        columns, inside = _columns(source, motion)
        seen = _dot(inside, every)
        if seen < LEAST_OVERLAP * len(wanted):
            return start
        scale, offset, narrow = np.float32(gain), np.float32(bias), np.float32(1 / spread)
        for place in range(len(wanted)):
            error[place] = abs(wanted[place] - scale * columns[0, place] - offset)
            off = error[place] * narrow
            weight[place] = inside[place] / (np.float32(1.0) + off * off)
        normal, right = _normal_equations(columns, wanted, weight)
        _damp(normal)
        solution = _solve(normal, right)
        if solution[0] < 0.1:
            return start
        gain, bias = solution[0], solution[1]
        for axis in range(4):
            motion[axis] += min(max(solution[2 + axis] / gain, -LONGEST_STEP), LONGEST_STEP)
        if step > 0:
            spread = max(1.5 * _dot(error, inside) / seen, 1e-3)
    return motion


@_inner
def _every_other(plane: Plane) -> Plane:
    n = len(plane) // 2
    chosen = np.empty(n * n, np.float32)
    for y in range(n):
        for x in range(n):
            chosen[y * n + x] = plane[2 * y, 2 * x]
    return chosen


@_inner
def _columns(source: Plane, motion: Motion) -> tuple[Plane, Plane]:
    """Return (6, m) what gain, bias, scales and shifts change in every other row and column, and which are inside."""
    n = len(source)
    above, down, inside_y = _places(motion[1], motion[3], n, 2)
    before, along, inside_x = _places(motion[0], motion[2], n, 2)
    columns, inside = np.empty((6, n // 2, n // 2), np.float32), np.empty((n // 2, n // 2), np.float32)
    row, steep = np.empty(n, np.float32), np.empty(n, np.float32)
    half, centre = np.float32(n / 2), np.float32((n - 1) / 2)
    columns[1] = 1.0
    for y in range(n // 2):
        upper, lower = source[above[y]], source[above[y] + np.uint32(1)]
        for x in range(n):
            steep[x] = lower[x] - upper[x]
            row[x] = upper[x] + down[y] * steep[x]
        for x in range(n // 2):
            left, right = before[x], before[x] + np.uint32(1)
            slope_x = row[right] - row[left]
            slope_y = steep[left] + along[x] * (steep[right] - steep[left])
            columns[0, y, x] = row[left] + along[x] * slope_x
            columns[2, y, x], columns[3, y, x] = slope_x * (2 * x - centre), slope_y * (2 * y - centre)
            columns[4, y, x], columns[5, y, x] = slope_x * half, slope_y * half
            inside[y, x] = inside_y[y] * inside_x[x]
    return columns.reshape(6, -1), inside.ravel()


@_inner
def _normal_equations(columns: Plane, wanted: Plane, weight: Plane) -> tuple[Motion, Motion]:
    normal, right, weighted = np.zeros((6, 6)), np.zeros(6), np.empty_like(weight)
    for i in range(6):
        for place in range(len(weight)):
            weighted[place] = columns[i, place] * weight[place]
        right[i] = _dot(weighted, wanted)
        for j in range(i + 1):
            normal[i, j] = _dot(weighted, columns[j])
    return normal, right


@_inner
def _dot(one: Plane, other: Plane) -> float:
    total = np.float32(0.0)
    for place in range(len(one)):
        total += one[place] * other[place]
    return float(total)


@_inner
def _damp(normal: Motion) -> None:
    """Keep motions that change nothing from drifting: along a stripe, or within a picture one pixel high."""
    strongest = max(max(normal[2, 2], normal[3, 3]), max(normal[4, 4], normal[5, 5]))
    for axis in range(6):
        normal[axis, axis] += 1e-6 * (normal[axis, axis] + 1.0)
        if axis >= 2:
            normal[axis, axis] += DAMPING * strongest


@_inner
def _solve(normal: Motion, right: Motion) -> Motion:
    """Return the solution of the positive system of which the lower triangle is given, by Cholesky's method."""
    n = len(right)
    factor, solution = np.zeros((n, n)), right.copy()
    for i in range(n):
        for j in range(i + 1):
            rest = normal[i, j]
            for k in range(j):
                rest -= factor[i, k] * factor[j, k]
            factor[i, j] = np.sqrt(max(rest, 1e-9)) if i == j else rest / factor[j, j]
    for i in range(n):
        for k in range(i):
            solution[i] -= factor[i, k] * solution[k]
        solution[i] /= factor[i, i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            solution[i] -= factor[k, i] * solution[k]
        solution[i] /= factor[i, i]
    return solution


@_inner
def _correlation(target: Plane, warped: Plane, inside: Plane) -> float:
    """Return the correlation of two planes where both are seen, -2 where that is too little."""
    count, a, b = np.float32(0.0), np.float32(0.0), np.float32(0.0)
    aa, bb, ab = np.float32(0.0), np.float32(0.0), np.float32(0.0)
    for y in range(len(target)):
        for x in range(len(target)):
            p, q = target[y, x] * inside[y, x], warped[y, x]
            count, a, b = count + inside[y, x], a + p, b + q
            aa, bb, ab = aa + p * p, bb + q * q, ab + p * q
    if count < LEAST_OVERLAP * target.size:
        return -2.0
    variance = (aa - a * a / count) * (bb - b * b / count)
    return float((ab - a * b / count) / np.sqrt(max(variance, np.float32(0.0)) + np.float32(1e-3)))


@_inner
def _agreement(target: Plane, source: Plane, motion: Motion) -> tuple[float, float]:
    """Return the correlation of the aligned details, at least 0, and the share of the larger view that both show."""
    warped, inside = _warp(source, motion)
    overlap = inside.sum() / inside.size
    shared = min(overlap, overlap * abs(motion[0] * motion[1]))
    return max(_correlation(target, warped, inside), 0.0), shared
