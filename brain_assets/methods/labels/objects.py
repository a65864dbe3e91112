"""Geometry of labelled objects: boxes, outlines, and the crops that stand for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]
Indices: TypeAlias = NDArray[np.intp]

SLABS = 64
"""Slices into which the overlap of two outlines is cut, beside one at each of their corners."""


@dataclass(frozen=True)
class Objects:
    """The objects of many images, as flat arrays.

    Attributes
    ----------
    boxes : (n, 4) float64, x, y, width, height
        In any unit that both sides of a comparison share; relative to the image, or pixels.
    classes : (n,) int64
    offsets : (images + 1,) int64
        Image i holds the objects ``offsets[i]`` to ``offsets[i + 1]``.
    confidence : (n,) float64 in [0, 1], or None for labels
    crowd : (n,) bool, or None where no box stands for a crowd
    outlines : n arrays as `polygon_edges` or `mask_edges` give them, in the unit of the boxes; None where unknown
    """

    boxes: Floats
    classes: NDArray[np.int64]
    offsets: NDArray[np.int64]
    confidence: Floats | None = None
    crowd: NDArray[np.bool_] | None = None
    outlines: tuple[Floats | None, ...] | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def images(self) -> Indices:
        """The image of each object."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    @property
    def is_crowd(self) -> NDArray[np.bool_]:
        """Whether each box stands for a crowd."""
        return np.zeros(len(self), dtype=bool) if self.crowd is None else self.crowd


@dataclass(frozen=True)
class Overlaps:
    """The pairs of objects that overlap at all: (m,) indices into both sides, and the IoU of each pair."""

    first: Indices
    second: Indices
    iou: Floats


def pairs(first: ArrayLike, second: ArrayLike) -> tuple[Indices, Indices]:
    """Return all pairs of objects that lie in the same image.

    Parameters
    ----------
    first, second : (images + 1,) int
        Offsets, as in `Objects`.

    Returns
    -------
    ((m,) int, (m,) int)
        Ascending by the first, then by the second.

    Examples
    --------
    >>> pairs([0, 1, 2], [0, 2, 3])
    (array([0, 0, 1]), array([0, 1, 2]))
    """
    left, right = np.asarray(first, dtype=np.intp), np.asarray(second, dtype=np.intp)
    partners = np.repeat(np.diff(right), np.diff(left))
    starts = np.repeat(right[:-1], np.diff(left))
    return np.repeat(np.arange(len(partners)), partners), _ranges(starts, partners)


def box_iou(first: ArrayLike, second: ArrayLike, crowd: ArrayLike | None = None) -> Floats:
    """Return the intersection over union of boxes, row by row.

    Parameters
    ----------
    first, second : (n, 4) float, x, y, width, height
    crowd : (n,) bool, optional
        Where the first stands for a crowd, the intersection is divided by the area of the second alone (COCO).

    Returns
    -------
    (n,) float64 in [0, 1]
        0 for boxes that do not touch, or without area.

    References
    ----------
    Lin et al., Microsoft COCO: Common Objects in Context, 2014; ``maskUtils.iou``.

    Examples
    --------
    >>> box_iou([[0, 0, 2, 2]] * 2, [[1, 0, 2, 2]] * 2, crowd=[False, True]).round(3)
    array([0.333, 0.5  ])
    """
    left, right = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    corner = np.maximum(left[:, :2], right[:, :2])
    sides = np.minimum(left[:, :2] + left[:, 2:], right[:, :2] + right[:, 2:]) - corner
    # A far corner is rounded: what is shared must not grow past a sliver's own side.
    sides = np.minimum(sides, np.minimum(left[:, 2:], right[:, 2:]))
    shared = np.where((sides > 0).all(axis=1), sides[:, 0] * sides[:, 1], 0.0)
    own = right[:, 2] * right[:, 3]
    union = left[:, 2] * left[:, 3] + own - shared
    return _ratio(shared, union if crowd is None else np.where(crowd, own, union))


def contained(first: ArrayLike, second: ArrayLike) -> Floats:
    """Return the share of the smaller of two boxes that lies in the other, row by row.

    Parameters
    ----------
    first, second : (n, 4) float, x, y, width, height

    Returns
    -------
    (n,) float64 in [0, 1]
        0 for boxes that do not touch, or without area.

    Examples
    --------
    >>> contained([[0, 0, 4, 4], [0, 0, 4, 4]], [[1, 1, 2, 2], [3, 0, 2, 2]])
    array([1. , 0.5])
    """
    whole = np.ones(len(np.asarray(first)), dtype=bool)
    return np.maximum(box_iou(first, second, whole), box_iou(second, first, whole))


def overlaps(first: Objects, second: Objects) -> Overlaps:
    """Return every pair of objects of the same image that overlap, with their IoU.

    Outlines are compared where both objects have one, boxes otherwise. A crowd is a crowd on the first side only.

    Parameters
    ----------
    first, second : Objects
        Of the same images.

    Returns
    -------
    Overlaps
        Ascending by the first, then by the second; IoU in (0, 1].

    Raises
    ------
    ValueError
        If the two do not hold the same number of images.

    Examples
    --------
    >>> one = Objects(np.array([[0.0, 0, 2, 2]]), np.array([0]), np.array([0, 1]))
    >>> overlaps(one, one).iou
    array([1.])
    """
    if len(first.offsets) != len(second.offsets):
        raise ValueError(f"compare the same images: got {len(first.offsets) - 1} and {len(second.offsets) - 1}")
    left, right = pairs(first.offsets, second.offsets)
    iou = box_iou(first.boxes[left], second.boxes[right], first.is_crowd[left])
    touching = iou > 0
    left, right, iou = left[touching], right[touching], iou[touching]
    if first.outlines is not None and second.outlines is not None:
        iou = _outline_ious(first, second, (left, right, iou))
    return Overlaps(left[iou > 0], right[iou > 0], iou[iou > 0])


def polygon_edges(rings: Sequence[ArrayLike]) -> Floats:
    """Return the edges of a polygon, as outlines are compared.

    Parameters
    ----------
    rings : list of (v, 2) float, x, y
        Closed by themselves. A point is inside when it is inside an odd number of rings, so that a ring in a ring is a
        hole.

    Returns
    -------
    (m, 4) float64, x and y of the start, x and y of the end

    Examples
    --------
    >>> polygon_edges([[[0, 0], [1, 0], [0, 1]]])
    array([[0., 0., 1., 0.],
           [1., 0., 0., 1.],
           [0., 1., 0., 0.]])
    """
    points = [np.asarray(ring, dtype=np.float64).reshape(-1, 2) for ring in rings]
    edges = [np.hstack([ring, np.roll(ring, -1, axis=0)]) for ring in points]
    return np.concatenate(edges) if edges else np.empty((0, 4))


def mask_edges(mask: NDArray[np.bool_]) -> Floats:
    """Return the edges of a mask, as outlines are compared.

    Only those are kept that cross its columns: all that an area needs.

    Parameters
    ----------
    mask : (height, width) bool

    Returns
    -------
    (m, 4) float64, pixels

    Examples
    --------
    >>> mask_edges(np.array([[False], [True], [True]]))
    array([[0., 1., 1., 1.],
           [0., 3., 1., 3.]])
    """
    padded = np.pad(np.asarray(mask, dtype=np.int8), ((1, 1), (0, 0)))
    column, row = np.nonzero(np.diff(padded, axis=0).T)
    return np.stack([column, row, column + 1, row], axis=1).astype(np.float64)


def mask_rings(mask: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Return the outline of a mask along the edges of its pixels.

    Parameters
    ----------
    mask : (height, width) bool

    Returns
    -------
    list of (v, 2) int64, x and y of the corners, pixels
        Rings as `polygon_edges` takes them, outer ones and holes.

    Examples
    --------
    >>> mask_rings(np.array([[False, True], [False, True]]))
    [array([[1, 0],
           [2, 0],
           [2, 2],
           [1, 2]])]
    """
    onward = _borders(np.asarray(mask, dtype=bool))
    rings = []
    while onward:
        start = next(iter(onward))
        ring, at = [start], _step(onward, start)
        while at != start:
            ring.append(at)
            at = _step(onward, at)
        points = np.array(ring, dtype=np.int64)
        turns = (np.roll(points, -1, axis=0) - points != points - np.roll(points, 1, axis=0)).any(axis=1)
        rings.append(points[turns])
    return rings


def _borders(mask: NDArray[np.bool_]) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Return the steps along borders from each corner of a pixel, the mask to their right."""
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    sides = [
        (padded[:-2, 1:-1], (0, 0), (1, 0)),
        (padded[1:-1, 2:], (1, 0), (1, 1)),
        (padded[2:, 1:-1], (1, 1), (0, 1)),
        (padded[1:-1, :-2], (0, 1), (0, 0)),
    ]
    onward: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for beside, first, second in sides:
        rows, columns = np.nonzero(inside & ~beside)
        for x, y in zip(columns.tolist(), rows.tolist(), strict=True):
            onward.setdefault((x + first[0], y + first[1]), []).append((x + second[0], y + second[1]))
    return onward


def _step(onward: dict[tuple[int, int], list[tuple[int, int]]], at: tuple[int, int]) -> tuple[int, int]:
    ends = onward[at]
    end = ends.pop()
    if not ends:
        del onward[at]
    return end


def decode_rle(counts: str | bytes | list[int], height: int, width: int) -> NDArray[np.bool_]:
    """Return the mask that COCO's run-length encoding stands for.

    Parameters
    ----------
    counts : str, bytes or list of int
        Lengths of the runs, column by column, the first of background; or the same in COCO's compressed form.
    height, width : int, pixels

    Returns
    -------
    (height, width) bool

    Raises
    ------
    ValueError
        If the runs do not cover the image exactly.

    References
    ----------
    Lin et al., COCO API, ``rleFrString``.

    Examples
    --------
    >>> decode_rle([1, 2, 1], height=2, width=2)
    array([[False,  True],
           [ True, False]])
    """
    runs = np.asarray(counts if isinstance(counts, list) else _decompressed(counts), dtype=np.int64)
    if (runs < 0).any() or runs.sum() != height * width:
        raise ValueError(f"the runs of a mask cover {runs.sum()} pixels, its image has {height} x {width}")
    values = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return values.reshape(width, height).T


def encode_rle(mask: NDArray[np.bool_]) -> str:
    """Return a mask in COCO's compressed run-length encoding.

    Parameters
    ----------
    mask : (height, width) bool

    Returns
    -------
    str
        What `decode_rle` reads.

    References
    ----------
    Lin et al., COCO API, ``rleToString``: from the third run on the difference to the one before the last, five bits a
    character, lowest first.

    Examples
    --------
    >>> encode_rle(np.array([[False, True], [True, False]]))
    '121'
    """
    flat = np.asarray(mask, dtype=np.int8).T.ravel()
    turns = np.flatnonzero(np.diff(flat, prepend=0))
    runs = np.diff(turns, prepend=0, append=flat.size)
    steps = runs.copy()
    steps[3:] -= runs[1:-2]
    return "".join(map(_compressed, steps.tolist()))


def _compressed(number: int) -> str:
    """Return a whole number, five bits a character; the last one's highest bit is its sign."""
    text = ""
    while True:
        bits, number = number & 31, number >> 5
        last = number == (-1 if bits & 16 else 0)
        text += chr(48 + bits + (0 if last else 32))
        if last:
            return text


def fill_rings(rings: Sequence[ArrayLike], height: int, width: int) -> NDArray[np.bool_]:
    """Return the pixels whose centre lies within rings.

    Parameters
    ----------
    rings : list of (v, 2) float, x and y, pixels
        As `polygon_edges` takes them: a ring in a ring is a hole.
    height, width : int, pixels

    Returns
    -------
    (height, width) bool
        Of the outline of a mask that very mask.

    Examples
    --------
    >>> fill_rings([[[0, 0], [3, 0], [3, 3], [0, 3]], [[1, 1], [2, 1], [2, 2], [1, 2]]], 3, 3).sum()
    np.int64(8)
    """
    x0, y0, x1, y1 = polygon_edges(rings).T
    first = np.clip(np.ceil(np.minimum(y0, y1) - 0.5), 0, height).astype(np.int64)
    last = np.clip(np.ceil(np.maximum(y0, y1) - 0.5), 0, height).astype(np.int64)
    edge = np.repeat(np.arange(len(x0)), last - first)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(last - first) - last, last - first)
    with np.errstate(invalid="ignore", divide="ignore"):
        x = x0[edge] + (row + 0.5 - y0[edge]) * ((x1 - x0) / (y1 - y0))[edge]
    column = np.clip(np.ceil(x - 0.5), 0, width).astype(np.int64)
    turns = np.zeros((height, width + 1), dtype=np.int32)
    np.add.at(turns, (row, column), 1)
    inside: NDArray[np.bool_] = np.cumsum(turns, axis=1)[:, :-1] % 2 == 1
    return inside


def outline_iou(first: Floats, second: Floats, *, crowd: bool = False) -> float:
    """Return the intersection over union of two outlines.

    Both are cut into vertical slabs at every corner and `SLABS` more places; within a slab, the lengths of the slices
    are taken at its middle. Exact where no two edges cross inside a slab (boxes, masks), within about .0005 otherwise.

    Parameters
    ----------
    first, second : (m, 4) float64
        Edges, from `polygon_edges` or `mask_edges`.
    crowd : bool
        Divide by the area of the second alone.

    Returns
    -------
    float in [0, 1]
        0 for an outline without area.

    Examples
    --------
    >>> square = polygon_edges([[[0, 0], [2, 0], [2, 2], [0, 2]]])
    >>> triangle = polygon_edges([[[0, 0], [2, 0], [0, 2]]])
    >>> round(outline_iou(square, triangle), 6)
    0.5
    """
    cuts = _cuts(first, second)
    column, height, owner = _crossings(np.concatenate([first, second]), len(first), cuts)
    order = np.lexsort((height, column))
    column, height, owner = column[order], height[order], owner[order]
    inside_second, inside_first = np.cumsum(owner) % 2 == 1, np.cumsum(~owner) % 2 == 1
    area = np.diff(height, append=0.0) * np.diff(cuts)[column]
    shared = area[inside_first & inside_second].sum()
    total = area[inside_second if crowd else inside_first | inside_second].sum()
    return float(np.clip(_ratio(shared, total), 0.0, 1.0))


def expand_boxes(boxes: ArrayLike, alpha: float | tuple[float, float] = 0.0, margin: ArrayLike = 0.0) -> Floats:
    """Return boxes with both sides scaled by ``1 + alpha`` about their centres, then widened by a margin, cut off at the image.

    Parameters
    ----------
    boxes : (n, 4) float, x, y, width, height relative to the image
    alpha : float or (float, float), at least -1
        .1 for a tenth more on either side together, negative to shrink; of two the first is of widths, the other of heights.
    margin : float or (n, 2) float, at least 0, optional
        What is added on either side, in parts of the image's width and height.

    Returns
    -------
    (n, 4) float64 within [0, 1]

    Raises
    ------
    ValueError
        If ``alpha`` is below -1.

    References
    ----------
    The meaning of ``alpha`` in FiftyOne's patch embeddings.

    Examples
    --------
    >>> expand_boxes([[0.4, 0.0, 0.2, 0.2]], alpha=0.5)
    array([[0.35, 0.  , 0.3 , 0.25]])
    """
    if np.min(alpha) < -1:
        raise ValueError(f"alpha must be at least -1, got {alpha}")
    given = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    wider = given[:, 2:] * np.asarray(alpha) / 2 + np.asarray(margin)
    low = np.clip(given[:, :2] - wider, 0.0, 1.0)
    high = np.maximum(np.clip(given[:, :2] + given[:, 2:] + wider, 0.0, 1.0), low)
    return np.hstack([low, high - low])


def crop_rectangles(boxes: ArrayLike, sizes: ArrayLike, *, force_square: bool = False) -> NDArray[np.int64]:
    """Return the pixels that a crop of each box holds.

    Parameters
    ----------
    boxes : (n, 4) float, x, y, width, height relative to the image
    sizes : (n, 2) int, width and height of the image in pixels
    force_square : bool
        Widen the shorter side evenly (an odd pixel goes to the far side), shifted inward at the edge of the image;
        where the image is too small for that, the longer side is cut evenly.

    Returns
    -------
    (n, 4) int64, left, top, right, bottom in pixels, the last two exclusive
        At least one pixel on either side, within the image.

    References
    ----------
    The meaning of ``force_square`` in FiftyOne's patch embeddings.

    Examples
    --------
    >>> crop_rectangles([[0.5, 0.5, 0.1, 0.3]], [[100, 100]], force_square=True)
    array([[40, 50, 70, 80]])
    """
    given, limits = np.asarray(boxes, dtype=np.float64).reshape(-1, 4), np.asarray(sizes, dtype=np.int64)
    scaled = np.clip(
        np.stack([given[:, :2], given[:, :2] + given[:, 2:]], axis=1) * limits[:, None], 0, limits[:, None]
    )
    low, high = scaled.astype(np.int64).transpose(1, 0, 2)
    low = np.minimum(low, limits - 1)
    high = np.maximum(high, low + 1)
    if force_square:
        low, high = _squared(low, high, limits)
    return np.hstack([low, high])


def region_means(vectors: ArrayLike, offsets: ArrayLike) -> NDArray[np.floating]:
    """Return the mean vector of each image's regions.

    Parameters
    ----------
    vectors : (n, d) float, one per region
    offsets : (images + 1,) int, as in `Objects`

    Returns
    -------
    (images, d) float of the same dtype
        NaN for an image without regions (its whole stands in for them).

    Notes
    -----
    Incremental: an image's row depends on its own regions only.

    Examples
    --------
    >>> region_means(np.array([[0.0, 2.0], [2.0, 4.0]]), [0, 2, 2])
    array([[ 1.,  3.],
           [nan, nan]])
    """
    rows, starts = np.asarray(vectors), np.asarray(offsets, dtype=np.intp)
    counts = np.diff(starts)
    means = np.full((len(counts), rows.shape[1]), np.nan, dtype=rows.dtype)
    filled = counts > 0
    if filled.any():
        means[filled] = np.add.reduceat(rows, starts[:-1][filled], axis=0) / counts[filled, None]
    return means


def _ranges(starts: Indices, sizes: Indices) -> Indices:
    """Return the ranges ``starts[i]`` to ``starts[i] + sizes[i]``, one after the other."""
    ends = np.cumsum(sizes)
    return np.arange(sizes.sum()) + np.repeat(starts - ends + sizes, sizes)


def _ratio(part: ArrayLike, whole: ArrayLike) -> Floats:
    whole = np.asarray(whole, dtype=np.float64)
    ratio: Floats = np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)
    return ratio


def _outline_ious(first: Objects, second: Objects, candidates: tuple[Indices, Indices, Floats]) -> Floats:
    """Return the IoU of outlines where both objects of a pair have one, and the given IoU elsewhere."""
    left, right, iou = candidates
    assert first.outlines is not None
    assert second.outlines is not None
    crowd, result = first.is_crowd, iou.copy()
    for position, (one, other) in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
        mine, theirs = first.outlines[one], second.outlines[other]
        if mine is not None and theirs is not None:
            result[position] = outline_iou(mine, theirs, crowd=bool(crowd[one]))
    return result


def _cuts(first: Floats, second: Floats) -> Floats:
    corners = np.concatenate([first[:, [0, 2]].ravel(), second[:, [0, 2]].ravel()])
    if not corners.size:
        return np.zeros(1)
    return np.unique(np.concatenate([corners, np.linspace(corners.min(), corners.max(), SLABS)]))


def _crossings(edges: Floats, first: int, cuts: Floats) -> tuple[Indices, Floats, NDArray[np.bool_]]:
    """Return slab, height, and whether it is of the second outline, for every edge in every slab that it crosses."""
    edges = np.where(edges[:, :1] <= edges[:, 2:3], edges, edges[:, [2, 3, 0, 1]])
    start, stop = np.searchsorted(cuts, edges[:, 0]), np.searchsorted(cuts, edges[:, 2])
    edge, slab = np.repeat(np.arange(len(edges)), stop - start), _ranges(start, stop - start)
    middle = (cuts[slab] + cuts[slab + 1]) / 2
    x0, y0, x1, y1 = edges[edge].T
    return slab, y0 + (y1 - y0) * _ratio(middle - x0, x1 - x0), edge >= first


def _decompressed(counts: str | bytes) -> list[int]:
    """Return the runs in a compressed string: six bits a character, five of value, and differences from two before."""
    text = counts.encode("ascii") if isinstance(counts, str) else counts
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = character - 48
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (1 << shift) if bits & 16 else 0
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs


def _squared(
    low: NDArray[np.int64], high: NDArray[np.int64], limits: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    sides = high - low
    side = np.minimum(sides.max(axis=1), limits.min(axis=1))[:, None]
    start = np.where(side >= sides, low - (side - sides) // 2, low + (sides - side) // 2)
    start = np.clip(start, 0, limits - side)
    return start, start + side
