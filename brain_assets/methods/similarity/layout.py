"""Maps from a neighbour graph: a fit from scratch, new points that join, and a refit that stays recognisable.

The curve, the graph and the forces are those of UMAP (McInnes, Healy and Melville, 2018); the descent reads a snapshot
of all positions per epoch, so that the same input gives the same map on any number of threads.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

EXTENT = 10.0
JITTER = 1e-3
SMALL = 10_000
JOIN_EPOCHS, JOIN_RATE = 100, 0.25
REFIT_EPOCHS, REFIT_RATE = 50, 0.25
ANCHORS = 10
GRID = {2: 32, 3: 10}
THINNED = 2000
BISECTIONS, CLOSE, NARROWEST = 64, 1e-5, 1e-3


@dataclass(frozen=True)
class LayoutSettings:
    """How a map is laid out.

    Attributes
    ----------
    n_neighbors : int, >= 2, the point itself included; fewer are used where the graph has fewer
    min_dist : float, in [0, spread], how close similar points may come
    spread : float, > 0, the scale of the map
    negatives : int, random others per edge from which a point is pushed away
    seed : int
    threads : int, changes the time and nothing else
    """

    n_neighbors: int = 15
    min_dist: float = 0.1
    spread: float = 1.0
    negatives: int = 5
    seed: int = 51
    threads: int = 1

    def __post_init__(self) -> None:
        if self.n_neighbors < 2:
            raise ValueError(f"n_neighbors must be at least 2, got {self.n_neighbors}")
        if not 0 <= self.min_dist <= self.spread:
            raise ValueError(f"min_dist must lie in [0, spread = {self.spread}], got {self.min_dist}")


DEFAULTS = LayoutSettings()


class _Edges(NamedTuple):
    """Of every row that may move, where it is drawn to: columns[bounds[q]:bounds[q + 1]] for rows[q]."""

    rows: NDArray[np.int64]
    bounds: NDArray[np.int64]
    columns: NDArray[np.int32]
    weights: NDArray[np.float32]


def umap(
    neighbors: NDArray[np.integer],
    distances: NDArray[np.floating],
    start: NDArray[np.floating],
    settings: LayoutSettings = DEFAULTS,
    epochs: int | None = None,
) -> NDArray[np.float32]:
    """Return a map in which the neighbours of a point lie near it.

    Parameters
    ----------
    neighbors : (n, k) int, positions by rising distance, self excluded, -1 beyond the valid ones
    distances : (n, k) float, in the unit of the metric, inf beyond the valid ones
    start : (n, 2) or (n, 3) float
        Where the points begin, usually their first principal components. NaN for a sample without a usable vector.
    settings : LayoutSettings
    epochs : int, optional
        500 up to 10 000 points, 200 above, as in umap-learn.

    Returns
    -------
    (n, 2) or (n, 3) float32
        NaN where ``start`` is. The same for any number of threads.

    Examples
    --------
    >>> neighbors = np.array([[1], [0], [3], [2]])
    >>> points = umap(neighbors, np.full((4, 1), 0.1), np.array([[0, 0], [0, 1], [9, 0], [9, 1.0]]))
    >>> near, far = np.linalg.norm(points[0] - points[1]), np.linalg.norm(points[0] - points[2])
    >>> bool(near < far)
    True
    """
    _check_graph(neighbors, distances, start)
    known = np.isfinite(start).all(axis=1)
    points = np.full(start.shape, np.nan, np.float32)
    total = epochs or (500 if known.sum() <= SMALL else 200)
    edges = _fuzzy_union(*_restricted(neighbors, distances, known), settings)
    points[known] = _descend(_scaled(start[known], settings.seed), edges, (total, 1.0), settings)
    return points


def place(
    positions: NDArray[np.floating], rows: NDArray[np.integer], neighbors: NDArray[np.integer]
) -> NDArray[np.float32]:
    """Return first positions for new points: the coordinate median of up to ten neighbours that have one.

    Parameters
    ----------
    positions : (n, dims) float
        NaN in the rows that have no position.
    rows : (m,) int
        The new points.
    neighbors : (m, k) int
        Theirs, as rows of ``positions``, -1 beyond the valid ones.

    Returns
    -------
    (m, dims) float32
        Points that reach the map only through other new ones follow those. Points that do not reach it at all, a
        cluster never seen before, go to the emptiest place of the map, or to the origin if the map is empty.

    Examples
    --------
    >>> old = np.array([[0.0, 0.0], [2.0, 4.0], [np.nan, np.nan]])
    >>> place(old, np.array([2]), np.array([[0, 1]])).tolist()
    [[1.0, 2.0]]
    """
    points = np.append(np.asarray(positions, np.float32), np.full((1, positions.shape[1]), np.nan, np.float32), axis=0)
    points[rows] = np.nan
    empty_place = _emptiest(points[~np.isnan(points[:, 0])])
    waiting = np.arange(len(rows))
    while len(waiting):
        near = points[neighbors[waiting]]
        reached = ~np.isnan(near[:, :, 0]).all(axis=1) if near.shape[1] else np.zeros(len(waiting), np.bool_)
        if not reached.any():
            points[rows[waiting]] = empty_place
            break
        points[rows[waiting[reached]]] = _median_of_first(near[reached])
        waiting = waiting[~reached]
    return np.asarray(points[rows], np.float32)


def _median_of_first(near: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the coordinate median over the first ``ANCHORS`` entries of each row that are not NaN."""
    known = ~np.isnan(near[:, :, 0])
    first = known & (np.cumsum(known, axis=1) <= ANCHORS)
    ordered = np.sort(np.where(first[:, :, None], near, np.inf), axis=1)
    count, rows = first.sum(axis=1), np.arange(len(near))
    return np.asarray((ordered[rows, (count - 1) // 2] + ordered[rows, count // 2]) / 2, np.float32)


def _emptiest(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the place of a grid over the map and a margin around it that lies farthest from (a thinning of) it."""
    count, dims = points.shape
    if count == 0:
        return np.zeros(dims, np.float32)
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.1 * (high - low).max() + 1
    axes = np.linspace(low - margin, high + margin, GRID[dims]).T
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 1, dims)
    thinned = points[:: count // THINNED + 1]
    return np.asarray(grid[((grid - thinned) ** 2).sum(axis=2).min(axis=1).argmax(), 0], np.float32)


def join(
    positions: NDArray[np.floating],
    rows: NDArray[np.integer],
    neighbors: NDArray[np.integer],
    distances: NDArray[np.floating],
    settings: LayoutSettings = DEFAULTS,
) -> NDArray[np.float32]:
    """Return positions for new points in a map whose other points do not move.

    Parameters
    ----------
    positions : (n, dims) float
        NaN in the rows that have no position.
    rows : (m,) int
        The new points.
    neighbors, distances : (m, k) int and float
        Theirs, among all n rows, new ones included: edges among new points are what keeps clusters together that
        nobody has seen before.
    settings : LayoutSettings

    Returns
    -------
    (m, dims) float32

    Notes
    -----
    From where ``place`` puts them, 100 epochs in which the new points alone move. Cost follows m, not n. A joined map
    depends on what joined when; ``umap`` of the whole graph is the canonical one.

    Examples
    --------
    >>> old = np.array([[0.0, 0.0], [8.0, 8.0], [np.nan, np.nan]])
    >>> new = join(old, np.array([2]), np.array([[1]]), np.array([[0.1]]))
    >>> bool(np.abs(new - old[1]).max() < 4)
    True
    """
    _check_graph(neighbors, distances, rows[:, None])
    points = np.array(positions, np.float32)
    points[rows] = place(points, rows, neighbors)
    points[rows] += _jitter((len(rows), points.shape[1]), settings.seed)
    known = np.asarray(np.isfinite(points).all(axis=1))
    moving = np.asarray(rows, np.int64)
    columns = np.where((neighbors >= 0) & known[neighbors], neighbors, -1)
    edges = _one_way(np.cumsum(known)[moving] - 1, _renumbered(columns, known), distances, settings)
    points[known] = _descend(points[known], edges, (JOIN_EPOCHS, JOIN_RATE), settings)
    return np.asarray(points[rows], np.float32)


def refit(
    positions: NDArray[np.floating],
    neighbors: NDArray[np.integer],
    distances: NDArray[np.floating],
    settings: LayoutSettings = DEFAULTS,
) -> NDArray[np.float32]:
    """Return a map refitted to the whole graph that starts from, and is aligned to, the one that exists.

    Parameters
    ----------
    positions : (n, dims) float
        NaN in rows that have no position yet: they join first.
    neighbors, distances : (n, k) int and float
        As for ``umap``.
    settings : LayoutSettings

    Returns
    -------
    (n, dims) float32

    Notes
    -----
    50 epochs at a quarter of the learning rate, from positions that are not scaled: scaling them, as umap-learn does
    with any start, would move every point.

    Examples
    --------
    >>> old = np.array([[0.0, 0.0], [0.0, 1.0], [9.0, 0.0], [9.0, 1.0]])
    >>> new = refit(old, np.array([[1], [0], [3], [2]]), np.full((4, 1), 0.1))
    >>> bool(np.linalg.norm(new - old, axis=1).max() < 3)
    True
    """
    _check_graph(neighbors, distances, positions)
    points = np.array(positions, np.float32)
    rows = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if len(rows):
        points[rows] = join(points, rows, neighbors[rows], distances[rows], settings)
    everyone = np.ones(len(points), np.bool_)
    edges = _fuzzy_union(*_restricted(neighbors, distances, everyone), settings)
    return align(_descend(points, edges, (REFIT_EPOCHS, REFIT_RATE), settings), positions)


def refit_due(
    fitted: int,
    joined: int,
    quality: tuple[float, float] | None = None,
    max_share: float = 0.1,
    max_loss: float = 0.02,
) -> bool:
    """Return whether a map should be refitted.

    Parameters
    ----------
    fitted : int
        Points of the map's last fit.
    joined : int
        Points that have joined it since.
    quality : (float, float), optional
        Trustworthiness after the last fit, and now.
    max_share : float
        Refit when ``joined`` exceeds this share of ``fitted``,
    max_loss : float
        or when the quality has fallen by more than this.

    Examples
    --------
    >>> refit_due(1000, 100), refit_due(1000, 101), refit_due(1000, 5, quality=(0.97, 0.94)), refit_due(0, 1)
    (False, True, True, True)
    """
    return joined > max_share * fitted or (quality is not None and quality[0] - quality[1] > max_loss)


def align(positions: NDArray[np.floating], reference: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return positions turned, mirrored and moved, but not scaled, to lie as near as possible to a reference.

    Parameters
    ----------
    positions, reference : (n, dims) float
        Rows that are NaN in either do not count.

    Returns
    -------
    (n, dims) float32

    Notes
    -----
    Orthogonal Procrustes: Schoenemann, A generalized solution of the orthogonal Procrustes problem, 1966.

    Examples
    --------
    >>> align(np.array([[0.0, 1.0], [0.0, 3.0]]), np.array([[5.0, 0.0], [7.0, 0.0]])).round(4).tolist()
    [[5.0, 0.0], [7.0, 0.0]]
    """
    common = np.isfinite(positions).all(axis=1) & np.isfinite(reference).all(axis=1)
    if not common.any():
        return np.asarray(positions, np.float32)
    moved, fixed = np.asarray(positions, np.float64), np.asarray(reference, np.float64)
    center, target = moved[common].mean(axis=0), fixed[common].mean(axis=0)
    left, _, right = np.linalg.svd((moved[common] - center).T @ (fixed[common] - target))
    return np.asarray((moved - center) @ (left @ right) + target, np.float32)


def _check_graph(
    neighbors: NDArray[np.integer], distances: NDArray[np.floating], positions: NDArray[np.generic]
) -> None:
    if neighbors.shape != distances.shape or len(neighbors) != len(positions):
        shapes = f"{neighbors.shape}, {distances.shape} and {positions.shape}"
        raise ValueError(f"neighbors, distances and positions must belong to the same rows, got shapes {shapes}")


def _renumbered(neighbors: NDArray[np.integer], known: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return neighbours as positions among the known rows only, -1 for the others."""
    index = np.where(known, np.cumsum(known) - 1, -1).astype(np.int32)
    return np.where(neighbors >= 0, np.append(index, np.int32(-1))[neighbors], np.int32(-1))


def _restricted(
    neighbors: NDArray[np.integer], distances: NDArray[np.floating], known: NDArray[np.bool_]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    columns = _renumbered(neighbors[known], known)
    return columns, np.where(columns >= 0, distances[known], np.inf).astype(np.float32)


def _memberships(distances: NDArray[np.floating], n_neighbors: int) -> NDArray[np.float64]:
    nearest = np.asarray(distances[:, : n_neighbors - 1], np.float32)
    return memberships(nearest, float(np.log2(n_neighbors))).astype(np.float64)


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
    beyond = distances.astype(np.float64)
    valid = np.isfinite(beyond)
    nearest = np.where(valid & (beyond > 0), beyond, np.inf).min(axis=1, initial=np.inf, keepdims=True)
    mean = np.where(valid, beyond, 0).sum(axis=1) / np.maximum(valid.sum(axis=1), 1)
    beyond = np.where(valid, np.maximum(beyond - np.where(np.isfinite(nearest), nearest, 0), 0), np.inf)
    widths = np.maximum(_widths(beyond, target), np.maximum(NARROWEST * mean, 1e-12))
    return np.asarray(np.exp(-beyond / widths[:, None]), np.float32)


def _widths(beyond: NDArray[np.float64], target: float) -> NDArray[np.float64]:
    """Return the width at which the strengths of each row's neighbours sum to the target, by bisection."""
    widths, bounds = np.ones(len(beyond)), np.tile([0, np.inf], (len(beyond), 1))
    rows = np.arange(len(beyond))
    for _ in range(BISECTIONS):
        reached = np.exp(-beyond[rows] / widths[rows, None]).sum(axis=1)
        open_, excess = np.abs(reached - target) >= CLOSE, reached > target
        rows, excess = rows[open_], excess[open_]
        if not len(rows):
            break
        bounds[rows, excess.astype(np.int64)] = widths[rows]
        low, high = bounds[rows].T
        widths[rows] = np.where(np.isinf(high), 2 * widths[rows], (low + high) / 2)
    return widths


def _fuzzy_union(neighbors: NDArray[np.int32], distances: NDArray[np.float32], settings: LayoutSettings) -> _Edges:
    """Return the edges of all rows, in both directions, of weight 1 - (1 - w_ij) (1 - w_ji)."""
    count = len(neighbors)
    weights = _memberships(distances, settings.n_neighbors)
    rows, slots = np.nonzero((neighbors[:, : weights.shape[1]] >= 0) & (weights > 0))
    columns, weights = neighbors[rows, slots].astype(np.int64), weights[rows, slots]
    keys = np.concatenate([rows * count + columns, columns * count + rows])
    order = np.argsort(keys, kind="stable")
    keys, absent = keys[order], np.concatenate([1 - weights, 1 - weights])[order]
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    union = 1 - np.multiply.reduceat(absent, first) if len(first) else absent
    bounds = np.searchsorted(keys[first], np.arange(count + 1) * count)
    columns = keys[first] % max(count, 1)
    return _Edges(np.arange(count), bounds, columns.astype(np.int32), union.astype(np.float32))


def _one_way(
    rows: NDArray[np.int64], neighbors: NDArray[np.int32], distances: NDArray[np.floating], settings: LayoutSettings
) -> _Edges:
    """Return the edges from rows to their neighbours."""
    weights = _memberships(np.where(neighbors >= 0, distances, np.inf), settings.n_neighbors)
    used = (neighbors[:, : weights.shape[1]] >= 0) & (weights > 0)
    bounds = np.append(0, np.cumsum(used.sum(axis=1)))
    return _Edges(rows, bounds, neighbors[:, : weights.shape[1]][used], weights[used].astype(np.float32))


def _scaled(start: NDArray[np.floating], seed: int) -> NDArray[np.float32]:
    """Return the start stretched to the usual extent of a map, coincident points a little apart."""
    if len(start) == 0:
        return np.asarray(start, np.float32)
    low, high = start.min(axis=0), start.max(axis=0)
    extent = np.where(high > low, high - low, 1.0)
    return np.asarray(EXTENT * (start - low) / extent + _jitter(start.shape, seed), np.float32)


def _jitter(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(scale=JITTER, size=shape).astype(np.float32)


def _descend(
    points: NDArray[np.float32], edges: _Edges, schedule: tuple[int, float], settings: LayoutSettings
) -> NDArray[np.float32]:
    """Return the points after so many epochs at a learning rate that falls to 0."""
    from brain_assets.methods.similarity.layout_kernels import epoch

    if len(edges.weights) == 0:
        return points
    epochs, rate = schedule
    a, b = curve(settings.min_dist, settings.spread)
    moved = np.zeros((len(points), 3), np.float32)
    moved[:, : points.shape[1]] = points
    still, chunks = moved.copy(), _chunks(len(edges.rows), settings.threads)
    # An edge whose weight rounds to 0 is never due.
    period = np.asarray(edges.weights.max() / np.maximum(edges.weights, np.finfo(np.float32).tiny), np.float32)
    due = period.copy()

    def move(chunk: slice) -> None:
        part = edges.rows[chunk], edges.bounds[chunk.start : chunk.stop + 1], edges.columns
        epoch(moved, still, part, (number, period, due), forces, (settings.negatives, settings.seed))

    with ThreadPoolExecutor(settings.threads) as pool:
        for number in range(epochs):
            forces = (np.float32(rate * (1 - number / epochs)), np.float32(a), np.float32(b))
            list(pool.map(move, chunks))
            still[edges.rows] = moved[edges.rows]
    return moved[:, : points.shape[1]]


def _chunks(count: int, parts: int) -> list[slice]:
    bounds = np.linspace(0, count, parts + 1).astype(int).tolist()
    return [slice(start, stop) for start, stop in pairwise(bounds)]


@lru_cache
def curve(min_dist: float, spread: float) -> tuple[float, float]:
    """Return a and b of the curve 1 / (1 + a d^2b) nearest to one that is flat up to min_dist and then decays.

    Parameters
    ----------
    min_dist, spread : float
        The decay is exp(-(d - min_dist) / spread); least squares on [0, 3 spread], by Levenberg and Marquardt.

    Returns
    -------
    (float, float)

    Examples
    --------
    >>> [round(value, 3) for value in curve(0.1, 1.0)]
    [1.577, 0.895]
    """
    x = np.linspace(0, 3, 300)
    target = np.exp(-np.maximum(x - min_dist / spread, 0))
    logarithm = np.log(np.maximum(x, 1e-12))
    found, damping = np.ones(2), 1.0
    fitted = 1 / (1 + x**2)
    for _ in range(100):
        slope = (1 - fitted) * fitted
        jacobian = -slope[:, None] * np.stack([np.full_like(x, 1 / found[0]), 2 * logarithm], axis=1)
        normal = jacobian.T @ jacobian + damping * np.eye(2)
        proposed = found + np.linalg.solve(normal, jacobian.T @ (target - fitted))
        refitted = 1 / (1 + max(proposed[0], 1e-6) * x ** (2 * max(proposed[1], 1e-6)))
        if ((refitted - target) ** 2).sum() < ((fitted - target) ** 2).sum():
            found, fitted, damping = np.maximum(proposed, 1e-6), refitted, damping / 10
        else:
            damping *= 10
    return float(found[0] / spread ** (2 * found[1])), float(found[1])
