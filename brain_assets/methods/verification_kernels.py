"""The inner loops of ``verification``, compiled by numba; import this module inside functions only."""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Motion = NDArray[np.float64]

SCALES = np.array([0.8, 0.9, 1.0, 1.12, 1.25])
SHIFT = 3
STARTS = 3
STEPS_COARSE, STEPS_FINE = 5, 4
HOPELESS = 0.25
LEAST_OVERLAP = 0.4
DAMPING = 1e-3


@numba.njit(cache=True, nogil=True, fastmath=True)
def verify(
    coarse: NDArray[np.int8], smooth: NDArray[np.uint8], detail: NDArray[np.int8], first: Any, second: Any
) -> NDArray[np.float32]:
    """Return (m, 2): agreement of details and overlap of the aligned pictures, for each pair of prints."""
    out = np.zeros((len(first), 2), np.float32)
    for pair in range(len(first)):
        a, b = first[pair], second[pair]
        motion, score = _search(coarse[a].astype(np.float32), coarse[b].astype(np.float32))
        if score < HOPELESS:
            continue
        target, source = smooth[a].astype(np.float32), smooth[b].astype(np.float32)
        best = _align(target, source, motion)
        out[pair, 0], out[pair, 1] = _agreement(detail[a].astype(np.float32), detail[b].astype(np.float32), best)
    return out


@numba.njit(cache=True, nogil=True, fastmath=True)
def _search(target: Plane, source: Plane) -> tuple[Motion, float]:
    """Return the best (STARTS, 4) motions over flips, scales and shifts, and the best correlation.

    A motion is (x scale, y scale, x shift, y shift) about the centre, in units of half the side.
    """
    n = target.shape[0]
    ways = 2 * len(SCALES)
    motions, scores, plain = np.zeros((ways, 4)), np.full(ways, -2.0), np.zeros(4)
    for way in range(ways):
        plain[1] = SCALES[way // 2]
        plain[0] = -plain[1] if way % 2 else plain[1]
        warped, inside = _warp(source, plain)
        for dy in range(-SHIFT, SHIFT + 1):
            for dx in range(-SHIFT, SHIFT + 1):
                score = _shifted_correlation(target, warped, inside, dy, dx)
                if score > scores[way]:
                    scores[way] = score
                    motions[way, 0], motions[way, 1] = plain[0], plain[1]
                    motions[way, 2], motions[way, 3] = 2.0 * dx * plain[0] / n, 2.0 * dy * plain[1] / n
    return _best(motions, scores), scores.max()


@numba.njit(cache=True, nogil=True)
def _best(motions: Motion, scores: NDArray[np.float64]) -> Motion:
    """Return the (STARTS, 4) motions with the highest scores; the first of equals first."""
    left, chosen = scores.copy(), np.empty((STARTS, 4))
    for start in range(STARTS):
        place = left.argmax()
        for axis in range(4):
            chosen[start, axis] = motions[place, axis]
        left[place] = -np.inf
    return chosen


@numba.njit(cache=True, nogil=True, fastmath=True)
def _shifted_correlation(target: Plane, warped: Plane, inside: Plane, dy: int, dx: int) -> float:
    n = target.shape[0]
    both, one, other, count = np.float32(0.0), np.float32(0.0), np.float32(0.0), np.float32(0.0)
    for y in range(max(0, -dy), min(n, n - dy)):
        for x in range(max(0, -dx), min(n, n - dx)):
            value, shifted, weight = target[y, x], warped[y + dy, x + dx], inside[y + dy, x + dx]
            both += value * shifted
            one += value * value * weight
            other += shifted * shifted
            count += weight
    if count < LEAST_OVERLAP * n * n:
        return -2.0
    return float(both / np.sqrt(one * other + 1e-3) * (count / (n * n)) ** 0.15)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _warp(source: Plane, motion: Motion) -> tuple[Plane, Plane]:
    """Return the source as the target sees it, 0 outside, and where it is inside."""
    n = source.shape[0]
    warped, inside = np.zeros((n, n), np.float32), np.zeros((n, n), np.float32)
    half, centre = n / 2.0, (n - 1) / 2.0
    for y in range(n):
        v = centre + motion[1] * (y - centre) + motion[3] * half
        for x in range(n):
            u = centre + motion[0] * (x - centre) + motion[2] * half
            if -0.5 <= u <= n - 0.5 and -0.5 <= v <= n - 0.5:
                inside[y, x] = 1.0
                warped[y, x] = _sample(source, v, u)[0]
    return warped, inside


@numba.njit(cache=True, nogil=True, fastmath=True, inline="always")
def _sample(plane: Plane, v: float, u: float) -> tuple[float, float, float]:
    """Return value, x slope and y slope at a place between pixels; the edge is repeated half a pixel outwards."""
    n = plane.shape[0]
    u, v = min(max(u, 0.0), n - 1.0), min(max(v, 0.0), n - 1.0)
    x, y = min(int(u), n - 2), min(int(v), n - 2)
    fx, fy = np.float32(u - x), np.float32(v - y)
    one = np.float32(1.0)
    a, b, c, d = plane[y, x], plane[y, x + 1], plane[y + 1, x], plane[y + 1, x + 1]
    top, bottom = a + (b - a) * fx, c + (d - c) * fx
    return top + (bottom - top) * fy, (b - a) * (one - fy) + (d - c) * fy, bottom - top


@numba.njit(cache=True, nogil=True, fastmath=True)
def _align(target: Plane, source: Plane, motions: Motion) -> Motion:
    """Return the motion that a coarse refinement of every start, and a fine one of the best, lead to."""
    small_target, small_source = _halve(target), _halve(source)
    best, score = motions[0].copy(), -2.0
    for start in range(len(motions)):
        motion = _refine(small_target, small_source, motions[start].copy(), STEPS_COARSE)
        reached = _correlation(small_target, small_source, motion)
        if reached > score:
            best, score = motion, reached
    return _refine(target, source, best, STEPS_FINE)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _halve(plane: Plane) -> Plane:
    n = plane.shape[0] // 2
    half = np.empty((n, n), np.float32)
    for y in range(n):
        for x in range(n):
            half[y, x] = (
                plane[2 * y, 2 * x] + plane[2 * y, 2 * x + 1] + plane[2 * y + 1, 2 * x] + plane[2 * y + 1, 2 * x + 1]
            ) / np.float32(4.0)
    return half


@numba.njit(cache=True, nogil=True, fastmath=True)
def _refine(target: Plane, source: Plane, start: Motion, steps: int) -> Motion:
    """Return the motion after Gauss-Newton steps on the residual of gain x warped source + bias, outliers damped."""
    motion, gain, bias, spread = start.copy(), 1.0, 0.0, 1e9
    normal, right = np.zeros((6, 6)), np.zeros(6)
    for step in range(steps):
        normal[:], right[:] = 0.0, 0.0
        seen, residual = _accumulate(target, source, motion, (gain, bias, spread), normal, right)
        if seen < LEAST_OVERLAP * target.size / 4:
            return start
        _damp(normal)
        solution = _solve(normal, right)
        if solution[0] < 0.1:
            return start
        gain, bias = solution[0], solution[1]
        for axis in range(4):
            motion[axis] += min(max(solution[2 + axis] / gain, -0.12), 0.12)
        if step > 0:
            spread = max(1.5 * residual / seen, 1e-3)
    return motion


@numba.njit(cache=True, nogil=True, fastmath=True)
def _accumulate(  # type: ignore[no-untyped-def]
    target: Plane, source: Plane, motion: Motion, fit, normal: Motion, right: Motion
) -> tuple[int, float]:
    """Add up the normal equations over every other row and column; return the count and the sum of residuals."""
    gain, bias, spread = fit
    n = target.shape[0]
    half, centre = n / 2.0, (n - 1) / 2.0
    row = np.empty(6)
    seen, residual = 0, 0.0
    for y in range(0, n, 2):
        v = centre + motion[1] * (y - centre) + motion[3] * half
        for x in range(0, n, 2):
            u = centre + motion[0] * (x - centre) + motion[2] * half
            if not (-0.5 <= u <= n - 0.5 and -0.5 <= v <= n - 0.5):
                continue
            value, slope_x, slope_y = _sample(source, v, u)
            error = target[y, x] - gain * value - bias
            weight = 1.0 / (1.0 + (error / spread) ** 2)
            seen, residual = seen + 1, residual + abs(error)
            row[0], row[1] = value, 1.0
            row[2], row[3] = slope_x * (x - centre), slope_y * (y - centre)
            row[4], row[5] = slope_x * half, slope_y * half
            for i in range(6):
                right[i] += weight * row[i] * target[y, x]
                for j in range(i + 1):
                    normal[i, j] += weight * row[i] * row[j]
    return seen, residual


@numba.njit(cache=True, nogil=True, fastmath=True)
def _damp(normal: Motion) -> None:
    """Keep motions that change nothing from drifting: along a stripe, or within a picture one pixel high."""
    strongest = max(max(normal[2, 2], normal[3, 3]), max(normal[4, 4], normal[5, 5]))
    for axis in range(6):
        normal[axis, axis] += 1e-6 * (normal[axis, axis] + 1.0)
        if axis >= 2:
            normal[axis, axis] += DAMPING * strongest


@numba.njit(cache=True, nogil=True, fastmath=True)
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


@numba.njit(cache=True, nogil=True, fastmath=True)
def _correlation(target: Plane, source: Plane, motion: Motion) -> float:
    warped, inside = _warp(source, motion)
    count, a, b, aa, bb, ab = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for y in range(target.shape[0]):
        for x in range(target.shape[1]):
            if inside[y, x] > 0:
                p, q = target[y, x], warped[y, x]
                count, a, b = count + 1, a + p, b + q
                aa, bb, ab = aa + p * p, bb + q * q, ab + p * q
    if count < LEAST_OVERLAP * target.size:
        return -2.0
    variance = (aa - a * a / count) * (bb - b * b / count)
    return float((ab - a * b / count) / np.sqrt(max(variance, 0.0) + 1e-3))


@numba.njit(cache=True, nogil=True, fastmath=True)
def _agreement(target: Plane, source: Plane, motion: Motion) -> tuple[float, float]:
    """Return the correlation of the aligned details, at least 0, and the share of the larger view that both show."""
    _, inside = _warp(source, motion)
    overlap = inside.sum() / inside.size
    shared = min(overlap, overlap * abs(motion[0] * motion[1]))
    return max(_correlation(target, source, motion), 0.0), shared
