"""Exact nearest neighbours: a graph over all rows, kept current under insertion and deletion, and searches by vector.

Matrix products only choose candidates, with enough slack for their rounding. Every distance that is returned is then
computed from its two vectors alone, so that it is the same bits whichever search found the pair.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

METRICS = ("cosine", "euclidean", "dotproduct", "manhattan")
CHUNK = 64

Floats = NDArray[np.float32]
Integers = NDArray[np.integer]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class NeighborGraph:
    """The nearest neighbours of every row, the row itself excluded.

    Attributes
    ----------
    neighbors : (n, width) int32, positions by rising (distance, order); -1 beyond ``valid``
    distances : (n, width) float32, ascending; inf beyond ``valid``
    valid : (n,) int16, how many leading entries are known to be the true nearest
    """

    neighbors: NDArray[np.int32]
    distances: Floats
    valid: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.valid)

    @property
    def width(self) -> int:
        """The longest list a row can have."""
        return int(self.neighbors.shape[1])


@dataclass(frozen=True)
class GraphUpdate:
    """A graph brought up to date, and what that took.

    Attributes
    ----------
    graph : the graph over the new rows
    changed : (c,) int64, ascending positions of rows that are new or whose list has gained or lost an entry
    searched : number of rows that were compared with all others: the new ones, and those that had lost too many
    """

    graph: NeighborGraph
    changed: NDArray[np.int64]
    searched: int


def normalize(vectors: ArrayLike) -> Floats:
    """Return the rows scaled to unit length, each from its own values alone.

    A zero row has no direction and stays zero: its cosine distance to every other row, another zero row included, is 1.
    Rows that already have unit length to single precision are returned unchanged, so that normalizing twice is safe.

    Parameters
    ----------
    vectors : (n, d) real numbers

    Returns
    -------
    (n, d) float32

    Raises
    ------
    ValueError
        If a row holds NaN or infinity; the message names the first such rows.

    Examples
    --------
    >>> normalize([[3.0, 4.0], [0.0, 0.0]])
    array([[0.6, 0.8],
           [0. , 0. ]], dtype=float32)
    """
    rows = _matrix(vectors)
    unit = np.empty(rows.shape, np.float32)
    for start in range(0, len(rows), CHUNK):
        unit[start : start + CHUNK] = _unit_rows(rows[start : start + CHUNK])
    _require_finite(unit)
    return unit


def _unit_rows(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    if not np.isfinite(rows).all():
        return np.where(np.isfinite(rows).all(axis=1, keepdims=True), 0, np.nan) + np.zeros_like(rows)
    peak = np.abs(rows).max(axis=1, keepdims=True, initial=0.0).astype(np.float64)
    scaled = rows / np.where(peak > 0, peak, 1.0)
    length = np.sqrt(np.square(scaled).sum(axis=1, keepdims=True))
    is_unit = np.abs(length * peak - 1.0) <= 2.0**-23
    return np.where(is_unit, rows, scaled / np.where(length > 0, length, 1.0))


def _matrix(vectors: ArrayLike) -> NDArray[np.floating]:
    rows = np.asarray(vectors)
    if rows.ndim != 2:
        raise ValueError(f"vectors must be a matrix with one row per item, not an array of shape {rows.shape}")
    return rows if rows.dtype in (np.float32, np.float64) else rows.astype(np.float32)


def _require_finite(rows: NDArray[np.floating]) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        broken = np.flatnonzero(~np.isfinite(np.einsum("ij->i", rows)))
    broken = broken[~np.isfinite(rows[broken]).all(axis=1)]
    if broken.size:
        named = ", ".join(map(str, broken[:5])) + (", ..." if broken.size > 5 else "")
        raise ValueError(f"{broken.size} vectors hold NaN or infinity (rows {named}): leave these rows out")


@dataclass(frozen=True)
class _Space:
    """Vectors under a metric; ``size`` is what rounding errors grow with: half the square, or the absolute sum."""

    vectors: Floats
    size: Floats
    metric: str

    @classmethod
    def of(cls, vectors: ArrayLike, metric: str) -> "_Space":
        if metric not in METRICS:
            raise ValueError(f"unknown metric {metric!r}: choose one of {', '.join(METRICS)}")
        rows = np.ascontiguousarray(_matrix(vectors), dtype=np.float32)
        _require_finite(rows)
        size = _absolute_sum(rows) if metric == "manhattan" else np.float32(0.5) * _inner(rows, rows)
        if metric == "cosine":
            _require_unit(size)
        return cls(rows, size, metric)

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, rows: Integers | slice) -> "_Space":
        return _Space(self.vectors[rows], self.size[rows], self.metric)

    @property
    def slack(self) -> Floats:
        """A bound, for each row, on twice the error of its closeness to any other row of the same space."""
        return self.slack_to(self)

    def slack_to(self, other: "_Space") -> Floats:
        """Return a bound, for each row, on twice the error of its closeness to any row of another space.

        An inner product of length d is off by at most d u |x| |y|, u = 2**-24 (Higham, Accuracy and Stability of
        Numerical Algorithms, section 3.1), in whatever order it is summed.
        """
        relative = np.float32((3 * self.vectors.shape[1] + 64) * 2.0**-24)
        bound: Floats = relative * (self.size + other.size.max(initial=0.0))
        return bound

    def closeness(self, other: "_Space") -> Floats:
        """Return a matrix that is fast to compute, larger where nearer, and rounded.

        The inner product for cosine and dotproduct, minus half the squared distance for euclidean, minus the distance
        for manhattan.
        """
        if self.metric == "manhattan":
            return -np.array([_absolute_sum(other.vectors - row) for row in self.vectors], np.float32)
        product: Floats = self.vectors @ other.vectors.T
        if self.metric == "euclidean":
            product -= self.size[:, None]
            product -= other.size
        return product

    def closeness_at(self, distances: ArrayLike) -> Floats:
        """Return the closeness that belongs to a distance."""
        values = np.asarray(distances, np.float32)
        if self.metric == "euclidean":
            return np.float32(-0.5) * np.square(values)
        return np.subtract(1 if self.metric == "cosine" else 0, values, dtype=np.float32)

    def distances(self, rows: Integers, other: "_Space", other_rows: Integers) -> Floats:
        """Return the definitive distance of each pair, a symmetric function of its two vectors alone."""
        result = np.empty(len(rows), np.float32)
        for start in range(0, len(rows), CHUNK):
            chunk = slice(start, start + CHUNK)
            result[chunk] = self[rows[chunk]]._elementwise(other[other_rows[chunk]])
        return result

    def _elementwise(self, other: "_Space") -> Floats:
        if self.metric == "dotproduct":
            return -_inner(self.vectors, other.vectors)
        difference = self.vectors - other.vectors
        if self.metric == "manhattan":
            return _absolute_sum(difference)
        squared = _inner(difference, difference)
        if self.metric == "euclidean":
            return np.sqrt(squared)
        squared[(self.size == 0) | (other.size == 0)] = 2
        return np.minimum(squared / 2, 2)


def _inner(left: Floats, right: Floats) -> Floats:
    """Return the inner product of each pair of rows; unlike a matrix product, its bits depend on these rows only."""
    products: Floats = np.einsum("ij,ij->i", left, right)
    return products


def _absolute_sum(rows: Floats) -> Floats:
    total: Floats = np.abs(rows).sum(axis=1)
    return total


def _require_unit(half_squares: Floats) -> None:
    broken = np.flatnonzero((np.abs(half_squares - 0.5) > 1e-5) & (half_squares != 0))
    if broken.size:
        raise ValueError(f"cosine needs unit or zero rows, and row {broken[0]} is neither: pass normalize(vectors)")


def build_graph(
    vectors: ArrayLike,
    order: ArrayLike,
    *,
    width: int = 32,
    metric: str = "cosine",
    block: int = 1024,
    progress: Progress | None = None,
) -> NeighborGraph:
    """Return the exact nearest neighbours of every row.

    Parameters
    ----------
    vectors : (n, d) float32; for cosine the result of ``normalize``
    order : (n,) int64, distinct ranks that decide between equal distances: the lower one is the nearer
    width : length of the lists; rows have ``min(width, n - 1)`` neighbours
    metric : cosine (1 - cosine, in [0, 2]), euclidean, dotproduct (minus the inner product) or manhattan
    block : rows that are compared at once; bounds the memory, and does not change the result
    progress : called with (rows done, rows in all)

    Raises
    ------
    ValueError
        If the vectors are not finite, for cosine not of unit length, or do not fit ``order``.

    Examples
    --------
    >>> build_graph(normalize([[1, 0], [1, 0.1], [0, 1]]), [0, 1, 2], width=1).neighbors.ravel()
    array([1, 0, 1], dtype=int32)
    """
    space = _Space.of(vectors, metric)
    ranks = _ranks(order, len(space))
    return _search_rows(space, ranks, np.arange(len(space)), width, block)


def _ranks(order: ArrayLike, count: int) -> NDArray[np.int64]:
    ranks = np.asarray(order, dtype=np.int64)
    if ranks.shape != (count,):
        raise ValueError(f"order must hold one rank for each of the {count} vectors, not shape {ranks.shape}")
    return ranks


def _search_rows(
    space: _Space, ranks: NDArray[np.int64], rows: NDArray[np.int64], width: int, block: int = 256
) -> NeighborGraph:
    """Compare some rows with all rows; the result has one list for each of ``rows``."""
    parts = [_search_block(space, ranks, rows[at : at + block], width) for at in range(0, len(rows), block)]
    return _stack([_empty_graph(0, width), *parts])


def _search_block(space: _Space, ranks: NDArray[np.int64], rows: NDArray[np.int64], width: int) -> NeighborGraph:
    return _nearest(space, ranks, rows, space[rows].closeness(space), width)


def _nearest(
    space: _Space, ranks: NDArray[np.int64], rows: NDArray[np.int64], closeness: Floats, width: int
) -> NeighborGraph:
    """Return the lists of ``rows``, given their closeness to all rows."""
    closeness[np.arange(len(rows)), rows] = -np.inf
    kept = min(width, len(space) - 1)
    if kept <= 0:
        return _empty_graph(len(rows), width)
    last = np.partition(closeness, -kept, axis=1)[:, -kept]
    source, target = _where(closeness >= (last - space[rows].slack_to(space))[:, None])
    return _ranked(source, target, space.distances(rows[source], space, target), ranks, (len(rows), width))


def _where(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return what np.nonzero does, which is slow for two dimensions."""
    return np.divmod(np.flatnonzero(mask), mask.shape[1])


def _ranked(
    source: Integers, target: Integers, distances: Floats, ranks: NDArray[np.int64], shape: tuple[int, int]
) -> NeighborGraph:
    """Return, for each source row, its targets by rising (distance, rank), cut to the width."""
    by_rank = np.lexsort((ranks[target], distances, source))
    source = source[by_rank]
    slot = np.arange(len(source)) - np.searchsorted(source, source)
    fits = slot < shape[1]
    graph = _empty_graph(*shape)
    graph.neighbors[source[fits], slot[fits]] = target[by_rank][fits]
    graph.distances[source[fits], slot[fits]] = distances[by_rank][fits]
    graph.valid[:] = np.bincount(source[fits], minlength=shape[0])
    return graph


def _empty_graph(count: int, width: int) -> NeighborGraph:
    return NeighborGraph(
        neighbors=np.full((count, width), -1, np.int32),
        distances=np.full((count, width), np.inf, np.float32),
        valid=np.zeros(count, np.int16),
    )


def _stack(graphs: list[NeighborGraph]) -> NeighborGraph:
    return NeighborGraph(
        neighbors=np.concatenate([graph.neighbors for graph in graphs]),
        distances=np.concatenate([graph.distances for graph in graphs]),
        valid=np.concatenate([graph.valid for graph in graphs]),
    )


def update_graph(
    graph: NeighborGraph,
    vectors: ArrayLike,
    order: ArrayLike,
    kept: ArrayLike,
    *,
    guaranteed: int = 20,
    metric: str = "cosine",
) -> GraphUpdate:
    """Return the graph after some rows were removed and others added; a changed vector is both.

    Equal to ``build_graph`` on the new rows, to the bit, in the leading ``valid`` entries of each row; of these there
    are at least ``min(guaranteed, n - 1)``. Lists longer than that make most deletions free.

    Parameters
    ----------
    graph : the graph over the old rows
    vectors : (n, d) float32, all rows that now exist
    order : (n,) int64, tie-break ranks; old rows must keep their order among each other
    kept : (len(graph),) int64, the new position of each old row, -1 where it was removed; all other positions are new
    guaranteed : entries that every row needs; rows with fewer are searched again
    metric : the metric of the graph

    Examples
    --------
    >>> rows = normalize([[1, 0], [1, 0.1], [0, 1]])
    >>> update = update_graph(build_graph(rows[:2], [0, 1]), rows, [0, 1, 2], [0, 1])
    >>> update.graph.neighbors[:, :2].tolist(), update.searched
    ([[1, 2], [0, 2], [1, 0]], 1)
    """
    space = _Space.of(vectors, metric)
    ranks = _ranks(order, len(space))
    positions = _positions(kept, len(graph), len(space))
    current, changed = _without_removed(graph, positions, len(space))
    is_new = np.ones(len(space), np.bool_)
    is_new[positions[positions >= 0]] = False
    added = np.flatnonzero(is_new)
    changed |= _insert(current, space, ranks, added)
    short = np.flatnonzero((current.valid < min(guaranteed, graph.width, len(space) - 1)) & ~is_new)
    _assign(current, short, _search_rows(space, ranks, short, graph.width))
    changed[short] = True
    return GraphUpdate(current, np.flatnonzero(changed), len(added) + len(short))


def _positions(kept: ArrayLike, before: int, after: int) -> NDArray[np.int64]:
    positions = np.asarray(kept, dtype=np.int64)
    if positions.shape != (before,):
        raise ValueError(f"kept must hold one position for each of the {before} old rows, not shape {positions.shape}")
    live = positions[positions >= 0]
    if live.max(initial=-1) >= after or len(np.unique(live)) < len(live):
        raise ValueError(f"kept must hold distinct positions below {after}, or -1 for removed rows")
    return positions


def _without_removed(
    graph: NeighborGraph, positions: NDArray[np.int64], count: int
) -> tuple[NeighborGraph, NDArray[np.bool_]]:
    """Return the old lists at their new positions without removed rows, and which of them have lost an entry."""
    moved = np.append(positions, -1).astype(np.int32)
    stays = positions >= 0
    neighbors = moved[graph.neighbors[stays]]
    distances = np.where(neighbors >= 0, graph.distances[stays], np.float32(np.inf))
    valid = (neighbors >= 0).sum(axis=1)
    lost = np.flatnonzero(valid < graph.valid[stays])
    front = np.argsort(neighbors[lost] < 0, axis=1, kind="stable")
    neighbors[lost] = np.take_along_axis(neighbors[lost], front, axis=1)
    distances[lost] = np.take_along_axis(distances[lost], front, axis=1)
    current, changed = _empty_graph(count, graph.width), np.zeros(count, np.bool_)
    _assign(current, positions[stays], NeighborGraph(neighbors, distances, valid.astype(np.int16)))
    changed[positions[stays][lost]] = True
    return current, changed


def _assign(graph: NeighborGraph, rows: NDArray[np.int64], lists: NeighborGraph) -> None:
    graph.neighbors[rows] = lists.neighbors
    graph.distances[rows] = lists.distances
    graph.valid[rows] = lists.valid


def _insert(
    graph: NeighborGraph, space: _Space, ranks: NDArray[np.int64], added: NDArray[np.int64], block: int = 256
) -> NDArray[np.bool_]:
    """Give the added rows their lists and enter them into the lists of the old rows, in place; return who changed."""
    is_old = np.ones(len(space), np.bool_)
    is_old[added] = False
    changed = ~is_old
    for start in range(0, len(added), block):
        rows = added[start : start + block]
        closeness = space[rows].closeness(space)
        present = len(space) - len(added) + start
        complete = is_old & (graph.valid >= present - 1)
        limit = np.where(is_old, _limit(graph, space, complete), np.inf)
        changed[_enter(graph, space, ranks, complete, (rows, *_where(closeness >= limit)))] = True
        _assign(graph, rows, _nearest(space, ranks, rows, closeness, graph.width))
    return changed


def _limit(graph: NeighborGraph, space: _Space, complete: NDArray[np.bool_]) -> Floats:
    """Return the closeness below which a newcomer cannot enter a list: nothing is known beyond its last valid entry."""
    last = graph.distances[np.arange(len(graph)), graph.valid - 1]
    limit = np.where(graph.valid > 0, space.closeness_at(last) - space.slack, np.inf)
    return np.where(complete, -np.inf, limit).astype(np.float32)


def _enter(
    graph: NeighborGraph,
    space: _Space,
    ranks: NDArray[np.int64],
    complete: NDArray[np.bool_],
    candidates: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
) -> NDArray[np.int64]:
    rows, index, target = candidates
    added = rows[index]
    distances = space.distances(added, space, target)
    enters = complete[target] | _precedes(graph, ranks, target, added, distances)
    added, target, distances = added[enters], target[enters], distances[enters]
    reached, source = np.unique(target, return_inverse=True)
    holder, slot = np.nonzero(graph.neighbors[reached] >= 0)
    merged = _ranked(
        np.concatenate([source, holder]),
        np.concatenate([added, graph.neighbors[reached][holder, slot]]),
        np.concatenate([distances, graph.distances[reached][holder, slot]]),
        ranks,
        (len(reached), graph.width),
    )
    _assign(graph, reached, merged)
    return reached


def _precedes(
    graph: NeighborGraph,
    ranks: NDArray[np.int64],
    target: NDArray[np.int64],
    added: NDArray[np.int64],
    distances: Floats,
) -> NDArray[np.bool_]:
    """Return which newcomers come before the last valid entry of the list they want to enter."""
    last = graph.valid[target] - 1
    distance, rank = graph.distances[target, last], ranks[graph.neighbors[target, last]]
    return np.less(distances, distance) | (np.equal(distances, distance) & (ranks[added] < rank))


def radius_pairs(
    vectors: ArrayLike,
    graph: NeighborGraph,
    radius: float,
    *,
    rows: ArrayLike | None = None,
    metric: str = "cosine",
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Return every unordered pair of rows at most ``radius`` apart.

    Lists that reach beyond the radius are complete for it; the other rows are searched.

    Parameters
    ----------
    vectors : (n, d) float32, those of the graph
    graph : their neighbour graph
    radius : the largest distance, inclusive
    rows : positions; only pairs that touch one of these are returned (default: all)
    metric : the metric of the graph

    Returns
    -------
    first, second : (p,) int64 positions, ``first < second``, ascending
    distances : (p,) float32

    Examples
    --------
    >>> rows = normalize([[1, 0], [1, 0.1], [0, 1]])
    >>> first, second, distances = radius_pairs(rows, build_graph(rows, [0, 1, 2]), 0.01)
    >>> first.tolist(), second.tolist(), distances.round(4).tolist()
    ([0], [1], [0.004999999888241291])
    """
    space = _Space.of(vectors, metric)
    asked = np.arange(len(space)) if rows is None else np.unique(np.asarray(rows, dtype=np.int64))
    limit = np.float32(radius)
    last = graph.distances[asked, graph.valid[asked] - 1]
    complete = (graph.valid[asked] >= len(space) - 1) | ((graph.valid[asked] > 0) & (last > limit))
    parts = [_listed_pairs(graph, asked[complete], limit)]
    searched = asked[~complete]
    parts += [_searched_pairs(space, searched[at : at + 256], limit) for at in range(0, len(searched), 256)]
    source, target, distances = (np.concatenate(column) for column in zip(*parts, strict=True))
    keys = np.minimum(source, target) * len(space) + np.maximum(source, target)
    keys, index = np.unique(keys, return_index=True)
    return (*np.divmod(keys, max(len(space), 1)), distances[index])


Pairs = tuple[NDArray[np.int64], NDArray[np.int64], Floats]


def _listed_pairs(graph: NeighborGraph, rows: NDArray[np.int64], limit: np.float32) -> Pairs:
    index, slot = np.nonzero((graph.distances[rows] <= limit) & (graph.neighbors[rows] >= 0))
    source = rows[index]
    return source, graph.neighbors[source, slot].astype(np.int64), graph.distances[source, slot]


def _searched_pairs(space: _Space, rows: NDArray[np.int64], limit: np.float32) -> Pairs:
    closeness = space[rows].closeness(space)
    closeness[np.arange(len(rows)), rows] = -np.inf
    index, target = _where(closeness >= (space.closeness_at(limit) - space[rows].slack_to(space))[:, None])
    source = rows[index]
    distances = space.distances(source, space, target)
    within = distances <= limit
    return source[within], target[within], distances[within]


def search(
    vectors: ArrayLike,
    queries: ArrayLike,
    k: int,
    *,
    metric: str = "cosine",
    farthest: bool = False,
    subset: ArrayLike | None = None,
) -> tuple[NDArray[np.int64], Floats]:
    """Return the rows that are nearest to, or farthest from, each query vector.

    Parameters
    ----------
    vectors : (n, d) float32; for cosine the result of ``normalize``
    queries : (q, d) real numbers of any length
    k : number of rows wanted; fewer are returned where there are fewer
    metric : cosine, euclidean, dotproduct or manhattan
    farthest : whether to start with the farthest row
    subset : positions to choose from (default: all)

    Returns
    -------
    positions : (q, min(k, n)) int64, equal distances by rising position
    distances : (q, min(k, n)) float32

    Examples
    --------
    >>> search(normalize([[1, 0], [1, 1], [0, 1]]), [[5, 1]], k=1)
    (array([[0]]), array([[0.01941...]], dtype=float32))
    """
    space, asked = _Space.of(vectors, metric), _Space.of(normalize(queries) if metric == "cosine" else queries, metric)
    chosen = np.arange(len(space)) if subset is None else np.unique(np.asarray(subset, dtype=np.int64))
    space = space if subset is None else space[chosen]
    sign = -1 if farthest else 1
    parts = [_search_queries(asked[at : at + 256], space, min(k, len(space)), sign) for at in range(0, len(asked), 256)]
    empty = np.empty((0, min(k, len(space))))
    positions, distances = (np.concatenate(column) for column in zip((empty, empty), *parts, strict=True))
    return chosen[positions.astype(np.int64)], distances.astype(np.float32)


def _search_queries(asked: _Space, space: _Space, count: int, sign: int) -> tuple[NDArray[np.int32], Floats]:
    if count == 0:
        return np.empty((len(asked), 0), np.int32), np.empty((len(asked), 0), np.float32)
    closeness = sign * asked.closeness(space)
    last = np.partition(closeness, -count, axis=1)[:, -count]
    source, target = _where(closeness >= (last - asked.slack_to(space))[:, None])
    distances = sign * asked.distances(source, space, target)
    lists = _ranked(source, target, distances, np.arange(len(space)), (len(asked), count))
    return lists.neighbors, sign * lists.distances
