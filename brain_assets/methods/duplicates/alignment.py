"""How far two square pictures agree once one is laid over the other.

A motion is (x scale, y scale, x shift, y shift) about the centre, in units of half the side. It turns nothing, so rows and
columns are placed apart from each other. Only the two loops over pixels are compiled: compiling more takes longer than it
saves. No result depends on which pairs are computed together, so products of matrices are taken pair by pair; they are
small enough for BLAS to start no threads, whose waiting costs more than the work.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Planes = NDArray[np.float32]
Motions = NDArray[np.float64]

SCALES = np.array([0.8, 0.9, 1.0, 1.12, 1.25])
COARSE_SIDE, SHIFT = 16, 3
STARTS = 3
STEPS_COARSE, STEPS_FINE = 5, 4
LEAST_OVERLAP = 0.4
LEAST_GAIN = 0.1
DAMPING = 1e-3
LONGEST_STEP = 0.12


class Places(NamedTuple):
    """Where rows and columns of the target come from, for m motions: (m, 2, side) each, along x and along y.

    Attributes
    ----------
    before : uint32
        The row or column of the source before the wanted place.
    way : float32 in [0, 1]
        How far from there to the next one.
    inside : float32
        1 within the source, 0 outside.
    """

    before: NDArray[np.uint32]
    way: Planes
    inside: Planes


class _Shifts(NamedTuple):
    """What the search on the coarse grid knows beforehand; shifts are ordered along x, then along y.

    Attributes
    ----------
    rows : (5 * 16, 16), columns : (5, 16, 32)
        Scale a picture down, and across, plain and mirrored.
    seen : (5, 7, 16)
        The rows, or columns, of the target that see the source.
    reach : (256, 49)
        The pixels of the warped source that the target sees.
    weights : (5, 49)
        A little less where the overlap is small; 0 where it is too small.
    """

    rows: Planes
    columns: Planes
    seen: Planes
    reach: Planes
    weights: Planes


def agreement(
    views: tuple[NDArray[np.int8], NDArray[np.uint8], NDArray[np.int8]], first: Rows, second: Rows, least: Planes
) -> Planes:
    """Return the agreement of details and the overlap of the aligned pictures, for each pair of prints.

    Parameters
    ----------
    views : (n, 16, 16) int8, (n, 64, 64) uint8, (n, 64, 64) int8
        ``coarse``, ``smooth`` and ``detail`` of the prints.
    first, second : (m,) int64
        Rows of these.
    least : (m,) float32
        Agreement of the coarse views below which a pair is not looked at further.

    Returns
    -------
    (m, 2) float32 in [0, 1]
        The correlation, and the share of the larger view that both show; 0 for pairs of which the coarse views agree
        nowhere as far as that.
    """
    coarse, smooth, detail = views
    out = np.zeros((len(first), 2), np.float32)
    motions, score = _search(coarse[first].astype(np.float32), coarse[second].astype(np.float32))
    hopeful = np.flatnonzero(score >= least)
    if len(hopeful):
        one, other = first[hopeful], second[hopeful]
        best = _align(smooth[one].astype(np.float32), smooth[other].astype(np.float32), motions[hopeful])
        out[hopeful] = _agreement(detail[one].astype(np.float32), detail[other].astype(np.float32), best)
    return out


def _search(targets: Planes, sources: Planes) -> tuple[Motions, Planes]:
    """Return the best (m, STARTS, 4) motions over flips, scales and shifts, and the best correlation."""
    known, count = _shifts(), len(targets)
    warped = (known.rows @ sources).reshape(count, len(SCALES), COARSE_SIDE, COARSE_SIDE) @ known.columns
    warped = warped.reshape(count, len(SCALES), COARSE_SIDE, 2, COARSE_SIDE).swapaxes(2, 3)
    warped = np.ascontiguousarray(warped).reshape(count, 2 * len(SCALES), -1)
    ours = (known.seen.reshape(-1, COARSE_SIDE) @ np.square(targets)).reshape(count, *known.seen.shape)
    ours = (ours @ known.seen.swapaxes(1, 2)).swapaxes(2, 3).reshape(count, len(SCALES), 1, -1)
    theirs = (np.square(warped) @ known.reach).reshape(count, len(SCALES), 2, -1)
    both = (warped @ _shifted(targets).swapaxes(1, 2)).reshape(theirs.shape)
    scores = both / np.sqrt(ours * theirs + np.float32(1e-3)) * known.weights[:, None]
    scores = np.where(known.weights[:, None] > 0, scores, np.float32(-2)).reshape(count, 2 * len(SCALES), -1)
    return _best(scores), scores.max(axis=(1, 2), initial=-2)


@cache
def _shifts() -> _Shifts:
    scales = np.stack([SCALES, SCALES, 0 * SCALES, 0 * SCALES], axis=1)
    before, way, inside = (part[:, 0] for part in places(scales, COARSE_SIDE, 1))
    scaled = np.zeros((len(SCALES), COARSE_SIDE, COARSE_SIDE), np.float32)
    ways, across = np.ogrid[: len(SCALES), :COARSE_SIDE]
    scaled[ways, across, before] = (1 - way) * inside
    scaled[ways, across, before + 1] = way * inside
    columns = np.concatenate([scaled, scaled[:, ::-1]], axis=1).swapaxes(1, 2)
    margins, grid = inside.argmax(axis=1)[:, None, None], np.arange(COARSE_SIDE)
    moved = grid + np.arange(-SHIFT, SHIFT + 1)[:, None]
    back = grid - np.arange(-SHIFT, SHIFT + 1)[:, None]
    within = (back >= 0) & (back < COARSE_SIDE)
    reach = np.einsum("iy,jx->yxji", within, within).reshape(COARSE_SIDE**2, -1).astype(np.float32)
    seen = (moved >= margins) & (moved < COARSE_SIDE - margins)
    share = (seen.mean(axis=2)[:, :, None] * seen.mean(axis=2)[:, None, :]).reshape(len(SCALES), -1)
    weights = np.where(share >= LEAST_OVERLAP, share**0.15, 0).astype(np.float32)
    return _Shifts(
        scaled.reshape(-1, COARSE_SIDE), np.ascontiguousarray(columns), seen.astype(np.float32), reach, weights
    )


def _shifted(targets: Planes) -> Planes:
    """Return (m, shifts, 256) targets as shifted sources see them, 0 outside."""
    padded = np.pad(targets, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT)))
    views = sliding_window_view(padded, (COARSE_SIDE, COARSE_SIDE), axis=(1, 2))[:, ::-1, ::-1]
    return views.swapaxes(1, 2).reshape(len(targets), -1, COARSE_SIDE**2)


def _best(scores: Planes) -> Motions:
    """Return the motions of the best shift of the best ways, the first of equals first."""
    best = np.argsort(-scores.max(axis=2), axis=1, kind="stable")[:, :STARTS]
    shift = np.take_along_axis(scores.argmax(axis=2), best, axis=1)
    scale = SCALES[best // 2]
    motions = np.stack([np.where(best % 2, -scale, scale), scale, shift // (2 * SHIFT + 1), shift % (2 * SHIFT + 1)], 2)
    motions[:, :, 2:] = 2 * (motions[:, :, 2:] - SHIFT) * motions[:, :, :2] / COARSE_SIDE
    return motions


def places(motions: Motions, side: int, stride: int) -> Places:
    """Return where every ``stride``-th row and column comes from; the edge is repeated half a pixel outwards."""
    centre, steps = (side - 1) / 2, np.arange(0, side, stride)
    wanted = centre + motions[:, :2, None] * (steps - centre) + motions[:, 2:, None] * (side / 2)
    inside = (wanted >= -0.5) & (wanted <= side - 0.5)
    wanted = wanted.clip(0, side - 1)
    before = np.minimum(wanted.astype(np.uint32), np.uint32(side - 2))
    return Places(before, (wanted - before).astype(np.float32), inside.astype(np.float32))


def _align(targets: Planes, sources: Planes, starts: Motions) -> Motions:
    """Return the motion that a coarse refinement of every start, and a fine one of the best, lead to."""
    small, pairs = (_halved(targets), _halved(sources)), np.repeat(np.arange(len(targets)), STARTS)
    reached = _refined(*small, pairs, starts.reshape(-1, 4), STEPS_COARSE)
    scores = _correlation(*small, pairs, reached).reshape(-1, STARTS)
    best = reached.reshape(-1, STARTS, 4)[np.arange(len(targets)), scores.argmax(axis=1)]
    best = np.where(scores.max(axis=1, keepdims=True) > -2, best, starts[:, 0])
    return _refined(targets, sources, np.arange(len(targets)), best, STEPS_FINE)


def _halved(planes: Planes) -> Planes:
    halved: Planes = planes[:, ::2, ::2] + planes[:, ::2, 1::2] + planes[:, 1::2, ::2] + planes[:, 1::2, 1::2]
    halved /= np.float32(4)
    return halved


def _refined(targets: Planes, sources: Planes, pairs: Rows, starts: Motions, steps: int) -> Motions:
    """Return motions after Gauss-Newton steps on the residual of gain x warped source + bias, outliers damped.

    A motion that leads out of the picture, or to no likeness, stays where it started.
    """
    from brain_assets.methods.duplicates.alignment_kernels import changes, products

    motions, lost = starts.copy(), np.zeros(len(starts), np.bool_)
    light = np.tile(np.array([1, 0, 1e-9]), (len(starts), 1))
    planes = targets[:, ::2, ::2].reshape(len(targets), -1), sources, pairs
    columns = np.empty((len(pairs), 9, planes[0].shape[1]), np.float32)
    sums = np.empty((len(pairs), 7, 7), np.float32)
    for step in range(steps):
        where = places(motions, targets.shape[1], 2)
        changes(planes, where, light.astype(np.float32), columns)
        seen = where.inside.sum(axis=2, dtype=np.float64).prod(axis=1)
        products(columns, sums)
        solution = _solved(sums)
        lost |= ~((seen >= LEAST_OVERLAP * columns.shape[2]) & (solution[:, 0] >= LEAST_GAIN))
        gain = np.where(lost, 1, solution[:, 0])
        motions += np.clip(solution[:, 2:] / gain[:, None], -LONGEST_STEP, LONGEST_STEP)
        motions[lost] = starts[lost]
        light[:, :2] = solution[:, :2]
        if step > 0:
            light[:, 2] = 1 / np.maximum(1.5 * sums[:, 0, 0] / np.maximum(seen, 1), 1e-3)
        light[lost] = 1, 0, 1e-9
    return motions


def _solved(sums: Planes) -> Motions:
    """Return (m, 6) gain, bias, scales and shifts that solve the damped normal equations.

    The damping keeps motions that change nothing from drifting: along a stripe, or within a picture one pixel high.
    """
    normal, axes = sums[:, 1:, 1:].astype(np.float64), np.arange(6)
    diagonal = normal[:, axes, axes]
    strongest = diagonal[:, 2:].max(axis=1, keepdims=True)
    normal[:, axes, axes] += 1e-6 * (diagonal + 1) + np.where(axes >= 2, DAMPING * strongest, 0)
    return np.asarray(np.linalg.solve(normal, sums[:, 1:, :1])[:, :, 0])


def _correlation(targets: Planes, sources: Planes, pairs: Rows, motions: Motions) -> Planes:
    """Return the correlation of targets and moved sources where both are seen, -2 where that is too little."""
    from brain_assets.methods.duplicates.alignment_kernels import moments

    sums = np.empty((len(pairs), 6), np.float32)
    moments((targets, sources, pairs), places(motions, targets.shape[1], 1), sums)
    seen, a, b, aa, bb, ab = sums.T
    count = np.maximum(seen, np.float32(1))
    variance = (aa - a * a / count) * (bb - b * b / count)
    found = (ab - a * b / count) / np.sqrt(np.maximum(variance, np.float32(0)) + np.float32(1e-3))
    return np.where(seen < LEAST_OVERLAP * targets[0].size, np.float32(-2), found)


def _agreement(targets: Planes, sources: Planes, motions: Motions) -> NDArray[Any]:
    """Return the correlation of the aligned details, at least 0, and the share of the larger view that both show."""
    found = _correlation(targets, sources, np.arange(len(targets)), motions)
    overlap = places(motions, targets.shape[1], 1).inside.mean(axis=2, dtype=np.float64).prod(axis=1)
    shared = overlap * np.minimum(np.abs(motions[:, 0] * motions[:, 1]), 1)
    return np.stack([np.maximum(found, 0), shared], axis=1)
