"""Which few samples to look at, or to label, next.

Every selection is a ranking: its first m entries are what the same call with ``count=m`` gives.
"""

from heapq import heapify, heappop, heapreplace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NONE = np.empty(0, np.int64)
BLOCK = 4096
SLACK = 1e-4
"""Of the squared lengths: more than the rounding of products in single precision."""
UNIT = 2**24


class Selection(NamedTuple):
    """Samples in the order in which they were chosen.

    Attributes
    ----------
    position : (m,) int64, m <= count; rank 1 comes first
    gain : (m,) float64, what each one adds, given those before it
    """

    position: NDArray[np.int64]
    gain: NDArray[np.float64]


def most_unique(uniqueness: NDArray[np.floating], count: int, exclude: NDArray[np.integer] = NONE) -> Selection:
    """Return the samples of highest uniqueness; of equal ones the lower position comes first.

    Parameters
    ----------
    uniqueness : (n,) float, raw or normalised
        NaN, a sample without any neighbour, ranks first.
    count : int
    exclude : (e,) int, positions
        Never chosen.

    Returns
    -------
    Selection
        The gain is the uniqueness.

    Examples
    --------
    >>> most_unique(np.array([0.1, 0.9, 0.5]), 2).position.tolist()
    [1, 2]
    """
    candidate = _candidates(len(uniqueness), count, exclude)
    rows = np.flatnonzero(candidate)
    descending = -np.where(np.isnan(uniqueness), np.inf, uniqueness)
    position = rows[np.argsort(descending[rows], kind="stable")][:count]
    return Selection(position, np.asarray(uniqueness[position], np.float64))


def k_center(
    vectors: NDArray[np.floating],
    count: int,
    labeled: NDArray[np.integer] = NONE,
    exclude: NDArray[np.integer] = NONE,
) -> Selection:
    """Return the samples that farthest-first traversal visits.

    Parameters
    ----------
    vectors : (n, d) float
        Unit vectors, if cosine distance is meant. Rows that are not finite are never chosen.
    count : int
    labeled : (l,) int, positions
        Centres that are there already. Without any, the sample nearest to the mean comes first.
    exclude : (e,) int, positions
        Never chosen.

    Returns
    -------
    Selection
        The gain is the Euclidean distance to the nearest centre chosen before, inf for the first of all: it falls from
        rank to rank, and all samples lie within the last one of some centre. Equally far samples go by position.

    Notes
    -----
    Gonzalez, Clustering to minimize the maximum intercluster distance, 1985: the radius is at most twice the best
    possible. Sener and Savarese, Active learning for convolutional neural networks: a core-set approach, 2018.

    Examples
    --------
    >>> k_center(np.array([[0.0], [1.0], [5.0], [2.0]]), 3)
    Selection(position=array([3, 2, 0]), gain=array([inf,  3.,  2.]))
    """
    finite = np.isfinite(vectors).all(axis=1)
    cover = _Cover(np.where(finite[:, None], vectors, 0))
    cover.extend(np.asarray(labeled, np.int64)[finite[labeled]])
    candidate = _candidates(len(vectors), count, exclude) & finite
    candidate[labeled] = False
    return _ranked(cover, candidate, count)


def _candidates(total: int, count: int, exclude: NDArray[np.integer]) -> NDArray[np.bool_]:
    if count < 0:
        raise ValueError(f"count must not be negative, got {count}")
    candidate = np.ones(total, np.bool_)
    candidate[exclude] = False
    return candidate


def _ranked(cover: "_Cover", candidate: NDArray[np.bool_], count: int) -> Selection:
    chosen: list[int] = []
    gain: list[float] = []
    while len(chosen) < count and candidate.any():
        center = cover.farthest(candidate)
        chosen.append(center)
        gain.append(float(cover.reach[center]))
        candidate[center] = False
        cover.add(center)
    return Selection(np.array(chosen, np.int64), np.array(gain, np.float64))


class _Cover:
    """How far every point lies from its nearest centre, kept current as centres are added.

    Matrix products only find the points for which a centre may be the nearest one, with enough slack for their
    rounding; the distances themselves come from the vectors, so that copies are at distance 0.
    """

    def __init__(self, vectors: NDArray[np.floating]) -> None:
        self.points = np.asarray(vectors, np.float32)
        self.squares = np.einsum("ij,ij->i", self.points, self.points)
        self.reach = np.full(len(vectors), np.inf)
        self.empty = True

    def extend(self, centers: NDArray[np.int64]) -> None:
        """Add many centres at once."""
        targets, halves = self.points[centers].T, self.squares[centers] / 2
        for start in range(0, len(self.points) if len(centers) else 0, BLOCK):
            block = slice(start, start + BLOCK)
            closeness = self.points[block] @ targets - halves
            slack = SLACK * (self.squares[block] + halves.max())
            row, nearest = np.nonzero(closeness >= (closeness.max(axis=1) - slack)[:, None])
            np.minimum.at(self.reach, start + row, _length(self.points[start + row] - self.points[centers[nearest]]))
        self.empty = self.empty and len(centers) == 0

    def add(self, center: int) -> None:
        total = self.squares + self.squares[center]
        estimate = total - 2 * (self.points @ self.points[center])
        rows = np.flatnonzero(estimate <= self.reach**2 + SLACK * total)
        self.reach[rows] = np.minimum(self.reach[rows], _length(self.points[rows] - self.points[center]))
        self.empty = False

    def farthest(self, candidate: NDArray[np.bool_]) -> int:
        """Return the first of the farthest candidates; without any centre, the first of those nearest to the mean."""
        rows = np.flatnonzero(candidate)
        if not self.empty:
            return int(rows[np.argmax(self.reach[rows])])
        offset = self.points[rows] - self.points[rows].mean(axis=0, dtype=np.float64).astype(np.float32)
        return int(rows[np.argmin(_length(offset))])


def _length(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", rows, rows)), np.float64)


def facility_location(
    neighbors: NDArray[np.integer],
    distances: NDArray[np.floating],
    count: int,
    labeled: NDArray[np.integer] = NONE,
    exclude: NDArray[np.integer] = NONE,
    reach: float = 1.0,
) -> Selection:
    """Return the samples that greedily maximise how similar every sample is to the most similar chosen one.

    Parameters
    ----------
    neighbors : (n, k) int, positions, -1 beyond the valid ones
    distances : (n, k) float, in the unit of the metric
        The graph counts as symmetric; samples that it does not link have nothing in common.
    count : int
    labeled : (l,) int, positions
        Chosen already: what is similar to them is served.
    exclude : (e,) int, positions
        Never chosen, but to be served.
    reach : float, > 0
        The distance at which similarity, 1 - distance / reach, has fallen to 0.

    Returns
    -------
    Selection
        The gain is the rise of the sum over all samples of the largest similarity to a chosen one. It falls from rank
        to rank; equal gains go by position.

    Notes
    -----
    Greedy reaches at least 1 - 1/e of the optimum: Nemhauser, Wolsey and Fisher, An analysis of approximations for
    maximizing submodular set functions, 1978. Gains only fall, so that an outdated one is an upper bound: Minoux,
    Accelerated greedy algorithms, 1978.

    Examples
    --------
    >>> facility_location(np.array([[1], [0], [1]]), np.array([[0.5], [0.5], [0.25]]), 2)
    Selection(position=array([1, 0]), gain=array([2.25, 0.5 ]))
    """
    graph = _Similarity(neighbors, distances, reach)
    for row in np.asarray(labeled, np.int64):
        graph.serve(row)
    candidate = _candidates(len(neighbors), count, exclude)
    candidate[labeled] = False
    losses = -graph.gains()
    heap = [(loss, row) for row, loss in enumerate(losses.tolist()) if candidate[row]]
    heapify(heap)
    chosen: list[tuple[int, int]] = []
    while heap and len(chosen) < count:
        row = heap[0][1]
        current = (-graph.gain(row), row)
        heapreplace(heap, current)
        if heap[0] == current:
            chosen.append(heappop(heap))
            graph.serve(row)
    return Selection(
        np.array([row for _, row in chosen], np.int64), np.array([-loss / UNIT for loss, _ in chosen], np.float64)
    )


class _Similarity:
    """The graph as rows of similar samples, in integer units so that sums are exact and ties are ties."""

    def __init__(self, neighbors: NDArray[np.integer], distances: NDArray[np.floating], reach: float) -> None:
        count = len(neighbors)
        rows, slots = np.nonzero((neighbors >= 0) & (distances < reach))
        others, selves = neighbors[rows, slots].astype(np.int64), np.arange(count)
        similarity = np.rint((1 - distances[rows, slots].astype(np.float64) / reach) * UNIT).astype(np.int64)
        # Each link in both directions and each sample with itself; of a link that is listed twice the larger value.
        keys = np.concatenate([rows * count + others, others * count + rows, selves * count + selves])
        values = np.concatenate([similarity, similarity, np.full(count, UNIT)])
        order = np.lexsort((values, keys))
        keys, values = keys[order], values[order]
        last = np.diff(keys, append=count * count) > 0
        keys, self.values = keys[last], values[last]
        self.columns = keys % max(count, 1)
        self.bounds: list[int] = np.searchsorted(keys, np.arange(count + 1) * count).tolist()
        self.served = np.zeros(count, np.int64)

    def gains(self) -> NDArray[np.int64]:
        rise = np.maximum(self.values - self.served[self.columns], 0)
        return np.add.reduceat(rise, self.bounds[:-1]) if len(rise) else rise

    def gain(self, row: int) -> int:
        """Return by how much the samples similar to this one would be served better."""
        entries = slice(self.bounds[row], self.bounds[row + 1])
        rise = self.values[entries] - self.served[self.columns[entries]]
        return int(rise[rise > 0].sum())

    def serve(self, row: int) -> None:
        entries = slice(self.bounds[row], self.bounds[row + 1])
        columns = self.columns[entries]
        self.served[columns] = np.maximum(self.served[columns], self.values[entries])
