"""Nearest neighbours: a graph over all rows, kept current as rows come and go, and searches by vector.

The neighbours are the true ones of all rows or, where cells are given, of those rows that the cells say are compared.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brain_assets.methods.distinct import distinct
from brain_assets.methods.similarity.cells import Cells
from brain_assets.methods.similarity.distances import METRICS, Floats, Rows, Space, normalize
from brain_assets.methods.similarity.shortlists import Progress, shortlist, slots, where

__all__ = [
    "METRICS",
    "GraphUpdate",
    "NeighborGraph",
    "build_graph",
    "normalize",
    "radius_pairs",
    "reaches",
    "search",
    "update_graph",
]

Pairs: TypeAlias = tuple[Rows, Rows, Floats]
# Some rows, those they are compared with, and how close each is to each.
Block: TypeAlias = tuple[Rows, Rows, Floats]
TopK: TypeAlias = Callable[[Space, int, int, Progress | None], tuple[Rows, Rows, Rows]]
# Entries of one block of comparisons between some rows and all rows.
BLOCK_ENTRIES = 2**21
# So many times the width are more candidates for a list than differ by chance: look for copies among them.
CROWD = 4
# Rows whose lists are put in order at once.
RANKED = 2**15
LOWEST = np.finfo(np.float32).min


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

    def take(self, rows: Rows) -> "NeighborGraph":
        """Return the lists of some rows; their entries remain positions among all rows."""
        return NeighborGraph(self.neighbors[rows], self.distances[rows], self.valid[rows])

    def put(self, rows: Rows, lists: "NeighborGraph") -> None:
        """Replace the lists of some rows."""
        self.neighbors[rows] = lists.neighbors
        self.distances[rows] = lists.distances
        self.valid[rows] = lists.valid

    def last(self, rows: Rows) -> tuple[NDArray[np.int32], Floats]:
        """Return the last valid neighbour of some rows and its distance, -1 and inf where there is none."""
        slot = np.maximum(self.valid[rows] - 1, 0)
        return self.neighbors[rows, slot], self.distances[rows, slot]


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
    changed: Rows
    searched: int


def build_graph(  # noqa: PLR0913 - keywords, each with a default
    vectors: ArrayLike,
    order: ArrayLike,
    *,
    width: int = 32,
    metric: str = "cosine",
    block: int = 1024,
    progress: Progress | None = None,
    top_k: TopK = shortlist,
    cells: Cells | None = None,
) -> NeighborGraph:
    """Return the exact nearest neighbours of every row, of all rows or of those that it is compared with.

    Parameters
    ----------
    vectors : (n, d) float32; for cosine the result of ``normalize``
    order : (n,) int64, distinct ranks that decide between equal distances: the lower one is the nearer
    width : length of the lists; rows have ``min(width, n - 1)`` neighbours
    metric : cosine (1 - cosine, in [0, 2]), euclidean, dotproduct (minus the inner product) or manhattan
    block : rows that are compared at once; bounds the memory, and does not change the result
    progress : called with the blocks done and their total
    top_k : gives the candidates, as `shortlist` does; who makes them does not change the result
    cells : say which rows are compared (default: all); they give the candidates then

    Raises
    ------
    ValueError
        If the vectors are not finite, for cosine not of unit length, or do not fit ``order``, or the width is not
        positive.

    Examples
    --------
    >>> build_graph(normalize([[1, 0], [1, 0.1], [0, 1]]), [0, 1, 2], width=1).neighbors.ravel()
    array([1, 0, 1], dtype=int32)
    """
    if not 1 <= width < 2**15:
        raise ValueError(f"width must lie between 1 and {2**15 - 1}, not be {width}")
    space = Space.of(vectors, metric)
    if cells is not None:
        return _build_within(cells, space, _ranks(order, len(space)), width, progress)
    return _build(space, _ranks(order, len(space)), width, block, progress, top_k)


def update_graph(  # noqa: PLR0913 - keywords, each with a default
    graph: NeighborGraph,
    vectors: ArrayLike,
    order: ArrayLike,
    kept: ArrayLike,
    *,
    guaranteed: int = 20,
    metric: str = "cosine",
    cells: Cells | None = None,
) -> GraphUpdate:
    """Return the graph after some rows were removed and others added; a changed vector is both.

    Incremental: equal to ``build_graph`` on the new rows, to the bit, in the leading ``valid`` entries of each row; of
    these there are at least ``min(guaranteed, width, n - 1)``. Lists longer than that make most deletions free.

    Parameters
    ----------
    graph : the graph over the old rows
    vectors : (n, d) float32, all rows that now exist
    order : (n,) int64, tie-break ranks; old rows must keep their order among each other
    kept : (len(graph),) int64, the new position of each old row, -1 where it was removed; all other positions are new
    guaranteed : entries that every row needs; rows with fewer are searched again
    metric : the metric of the graph
    cells : those of the new rows, with the centres of the graph's; rows that are compared with too few keep short lists

    Raises
    ------
    ValueError
        As ``build_graph``, or if ``kept`` does not fit the graph or the vectors.

    Examples
    --------
    >>> rows = normalize([[1, 0], [1, 0.1], [1, 0.2], [0, 1]])
    >>> update = update_graph(build_graph(rows[:3], [0, 1, 2]), rows, [0, 1, 2, 3], [0, 1, 2])
    >>> update.graph.neighbors[:, :3].tolist(), update.searched
    ([[1, 2, 3], [2, 0, 3], [1, 0, 3], [2, 1, 0]], 1)
    """
    space = Space.of(vectors, metric)
    ranks = _ranks(order, len(space))
    positions = _positions(kept, len(graph), len(space))
    stays = positions[positions >= 0]
    added = np.setdiff1d(np.arange(len(space)), stays, assume_unique=True)
    current, lost = _without_removed(graph, positions, len(space))
    needed = min(guaranteed, graph.width, len(space) - 1)
    incomplete = np.count_nonzero(current.valid[stays] < min(needed, len(stays) - 1))
    if 2 * (len(added) + incomplete) > len(space):
        rebuilt = build_graph(vectors, order, width=graph.width, metric=metric, cells=cells)
        return GraphUpdate(rebuilt, np.arange(len(space)), len(space))
    reached = _insert(current, space, ranks, added, cells)
    short = np.flatnonzero(current.valid < needed)
    _search_into(current, space, ranks, short, cells)
    changed = distinct(np.concatenate([lost, added, reached, short]))
    return GraphUpdate(current, changed, len(added) + len(short))


def radius_pairs(
    vectors: ArrayLike,
    graph: NeighborGraph,
    radius: float,
    *,
    rows: ArrayLike | None = None,
    metric: str = "cosine",
) -> Pairs:
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
    >>> first.tolist(), second.tolist(), distances.round(3).tolist()
    ([0], [1], [0.004999999888241291])
    """
    space = Space.of(vectors, metric)
    asked = np.arange(len(space)) if rows is None else distinct(np.asarray(rows, dtype=np.int64))
    limit = np.float32(radius)
    complete = reaches(graph, asked, radius)
    parts = [_listed_pairs(graph, asked[complete], limit)]
    parts += _searched_pairs(space, asked[~complete], limit)
    source, target, distances = (np.concatenate(column) for column in zip(*parts, strict=True))
    keys = np.minimum(source, target) * len(space) + np.maximum(source, target)
    keys, index = np.unique(keys, return_index=True)
    return keys // max(len(space), 1), keys % max(len(space), 1), distances[index]


def reaches(graph: NeighborGraph, rows: Rows, radius: float) -> NDArray[np.bool_]:
    """Return which rows have a list that holds all neighbours at most ``radius`` away.

    Examples
    --------
    >>> graph = build_graph(normalize([[1, 0], [1, 0.1], [1, 0.2], [0, 1]]), [0, 1, 2, 3], width=2)
    >>> reaches(graph, np.arange(4), 0.1)
    array([False, False, False,  True])
    """
    limit = np.float32(radius)
    everyone, beyond = graph.valid[rows] >= len(graph) - 1, graph.last(rows)[1] > limit
    return np.asarray(everyone | ((graph.valid[rows] > 0) & beyond), np.bool_)


def search(
    vectors: ArrayLike,
    queries: ArrayLike,
    k: int,
    *,
    metric: str = "cosine",
    farthest: bool = False,
    subset: ArrayLike | None = None,
) -> tuple[Rows, Floats]:
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
    space, asked = Space.of(vectors, metric), Space.of(normalize(queries) if metric == "cosine" else queries, metric)
    chosen = np.arange(len(space)) if subset is None else distinct(np.asarray(subset, dtype=np.int64))
    space = space if subset is None else space[chosen]
    count = min(k, len(space))
    parts = [
        _search_queries(asked[part], space, count, farthest) for part in _batches(np.arange(len(asked)), len(space))
    ]
    lists = _stack([_empty_graph(0, count), *parts])
    return chosen[lists.neighbors], -lists.distances if farthest else lists.distances


def _ranks(order: ArrayLike, count: int) -> Rows:
    ranks = np.asarray(order, dtype=np.int64)
    if ranks.shape != (count,):
        raise ValueError(f"order must hold one rank for each of the {count} vectors, not shape {ranks.shape}")
    return ranks


def _build(
    space: Space,
    ranks: Rows,
    width: int,
    block: int = 1024,
    progress: Progress | None = None,
    top_k: TopK = shortlist,
) -> NeighborGraph:
    source, target, unsure = top_k(space, width, block, progress)
    graph = _ranked(source, target, space.pair_distances(source, target), ranks, (len(space), width))
    _search_into(graph, space, ranks, unsure)
    return graph


def _build_within(cells: Cells, space: Space, ranks: Rows, width: int, progress: Progress | None) -> NeighborGraph:
    graph, found, unsure = _empty_graph(len(space), width), cells.shortlist(space, width, progress), []
    for start in range(0, len(space), RANKED):
        rows = np.arange(start, min(start + RANKED, len(space)))
        source, target, open_ = found.candidates(width, slice(start, start + RANKED))
        distances = space.distances(source, space, target)
        graph.put(rows, _ranked(source - start, target, distances, ranks, (len(rows), width)))
        unsure.append(open_)
    # What nobody needs any more is as large as the graph.
    del found
    _search_into(graph, space, ranks, np.concatenate(unsure), cells)
    return graph


def _search_into(graph: NeighborGraph, space: Space, ranks: Rows, rows: Rows, cells: Cells | None = None) -> None:
    """Compare some rows with all that they are compared with, and put their lists into the graph."""
    listable = cache(partial(_listable, space, ranks, graph.width))
    for part, others, closeness in _comparisons(space, rows, cells):
        graph.put(part, _nearest(space, ranks, (part, others, closeness), graph.width, listable))


def _comparisons(space: Space, rows: Rows, cells: Cells | None) -> Iterator[Block]:
    """Yield some rows in parts, each with the rows that it is compared with and their closeness, -inf where they are not."""
    if cells is None:
        everyone = np.arange(len(space))
        for part in _batches(rows, len(space)):
            yield part, everyone, space[part].closeness(space)
        return
    for part, others, apart in cells.comparisons(rows):
        closeness = space[part].closeness(space[others])
        closeness[apart] = -np.inf
        yield part, others, closeness


def _batches(rows: Rows, count: int) -> Iterator[Rows]:
    """Yield the rows in parts whose comparisons with ``count`` rows take bounded memory."""
    size = max(1, BLOCK_ENTRIES // max(count, 1))
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _nearest(
    space: Space, ranks: Rows, block: Block, width: int, listable: Callable[[], NDArray[np.bool_]]
) -> NeighborGraph:
    """Return the lists of the rows of a block of comparisons, in which that of each with itself is overwritten."""
    rows, others, closeness = block
    closeness[np.arange(len(rows)), np.searchsorted(others, rows)] = -np.inf
    index, place = _closest(closeness, min(width, len(others) - 1), space[rows].slack(space))
    target = others[place]
    if len(target) > CROWD * width * len(rows):
        matters = np.flatnonzero(listable()[target])
        index, target = index[matters], target[matters]
    return _ranked(index, target, space.distances(rows[index], space, target), ranks, (len(rows), width))


def _listable(space: Space, ranks: Rows, width: int) -> NDArray[np.bool_]:
    """Return which rows can be in a list at all: of identical ones, the ``width`` of lowest rank and one for self."""
    by_rank = np.argsort(ranks)
    _, first, place = np.unique(space.signatures()[by_rank], return_index=True, return_inverse=True)
    crowded = np.flatnonzero(np.bincount(place)[place] > width + 1)
    copies = crowded[space.identical(by_rank[crowded], by_rank[first[place[crowded]]])]
    surplus = copies[slots(place[copies], len(first)) > width]
    listable = np.ones(len(space), np.bool_)
    listable[by_rank[surplus]] = False
    return listable


def _search_queries(asked: Space, space: Space, count: int, farthest: bool) -> NeighborGraph:  # noqa: FBT001
    sign = -1 if farthest else 1
    index, target = _closest(sign * asked.closeness(space), count, asked.slack(space))
    distances = sign * asked.distances(index, space, target)
    return _ranked(index, target, distances, np.arange(len(space)), (len(asked), count))


def _closest(closeness: Floats, count: int, slack: Floats) -> tuple[Rows, Rows]:
    """Return for each row the columns that may be among its ``count`` closest, in spite of rounding."""
    if count <= 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    last = np.partition(closeness, -count, axis=1)[:, -count]
    return where(closeness >= np.maximum(last - slack, LOWEST)[:, None])


def _ranked(source: Rows, target: Rows, distances: Floats, ranks: Rows, shape: tuple[int, int]) -> NeighborGraph:
    """Return, for each source row, its targets by rising (distance, rank), cut to the width."""
    slot = slots(source, shape[0])
    longest = max(shape[1], slot.max(initial=-1) + 1)
    lists = _empty_graph(shape[0], longest)
    lists.neighbors[source, slot] = target
    lists.distances[source, slot] = distances
    rank = np.full((shape[0], longest), np.iinfo(np.int64).max)
    rank[source, slot] = ranks[target]
    best = np.lexsort((rank, lists.distances), axis=1)[:, : shape[1]]
    return NeighborGraph(
        neighbors=np.take_along_axis(lists.neighbors, best, axis=1),
        distances=np.take_along_axis(lists.distances, best, axis=1),
        valid=np.minimum(np.bincount(source, minlength=shape[0]), shape[1]).astype(np.int16),
    )


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


def _positions(kept: ArrayLike, before: int, after: int) -> Rows:
    positions = np.asarray(kept, dtype=np.int64)
    if positions.shape != (before,):
        raise ValueError(f"kept must hold one position for each of the {before} old rows, not shape {positions.shape}")
    stays = positions[positions >= 0]
    if stays.max(initial=-1) >= after or len(distinct(stays)) < len(stays):
        raise ValueError(f"kept must hold distinct positions below {after}, or -1 for removed rows")
    return positions


def _without_removed(graph: NeighborGraph, positions: Rows, count: int) -> tuple[NeighborGraph, Rows]:
    """Return the old lists at their new positions without removed rows, and which of them have lost an entry."""
    moved = np.append(positions, -1).astype(np.int32)
    old = np.flatnonzero(positions >= 0)
    lists = graph.take(old)
    neighbors = moved[lists.neighbors]
    valid = np.count_nonzero(neighbors >= 0, axis=1)
    lost = np.flatnonzero(valid < lists.valid)
    front = np.argsort(neighbors[lost] < 0, axis=1, kind="stable")
    neighbors[lost] = np.take_along_axis(neighbors[lost], front, axis=1)
    lists.distances[lost] = np.take_along_axis(lists.distances[lost], front, axis=1)
    lists.distances[neighbors < 0] = np.inf
    current = _empty_graph(count, graph.width)
    current.put(positions[old], NeighborGraph(neighbors, lists.distances, valid.astype(np.int16)))
    return current, positions[old][lost]


def _insert(graph: NeighborGraph, space: Space, ranks: Rows, added: Rows, cells: Cells | None) -> Rows:
    """Give the added rows their lists and enter them into the lists of the old rows, in place; return the latter."""
    is_old = np.ones(len(space), np.bool_)
    is_old[added] = False
    present, reached = len(space) - len(added), [np.empty(0, np.int64)]
    slack = space.slack(space)
    listable = cache(partial(_listable, space, ranks, graph.width))
    for rows, others, closeness in _comparisons(space, added, cells):
        # Of cells nobody knows whether a list that is short holds all whom its row is compared with.
        complete = is_old[others] & (graph.valid[others] >= present - 1) & (cells is None)
        floor = np.where(is_old[others], _floor(graph, space, others, slack, complete), np.float32(np.inf))
        index, place = where(closeness >= floor)
        reached.append(_enter(graph, space, ranks, complete[place], (rows[index], others[place])))
        graph.put(rows, _nearest(space, ranks, (rows, others, closeness), graph.width, listable))
        present += len(rows)
    return np.concatenate(reached)


def _floor(graph: NeighborGraph, space: Space, rows: Rows, slack: Floats, complete: NDArray[np.bool_]) -> Floats:
    """Return the closeness below which a newcomer cannot enter a list: nothing is known beyond its last valid entry."""
    _, distance = graph.last(rows)
    floor = np.where(graph.valid[rows] > 0, space.closeness_at(distance) - slack[rows], np.float32(np.inf))
    return np.where(complete, np.float32(-np.inf), floor)


def _enter(
    graph: NeighborGraph, space: Space, ranks: Rows, complete: NDArray[np.bool_], candidates: tuple[Rows, Rows]
) -> Rows:
    """Merge newcomers into the lists of old rows, in place, and return the rows that have changed.

    ``complete`` says of each candidate whether the list that it may enter holds every row there is.
    """
    added, target = candidates
    distances = space.distances(added, space, target)
    last, distance = graph.last(target)
    precedes = (distances < distance) | ((distances == distance) & (ranks[added] < ranks[last]))
    enters = np.flatnonzero(complete | precedes)
    reached, index = np.unique(target[enters], return_inverse=True)
    lists = graph.take(reached)
    holder, slot = where(lists.neighbors >= 0)
    merged = _ranked(
        np.concatenate([holder, index]),
        np.concatenate([lists.neighbors[holder, slot], added[enters]]),
        np.concatenate([lists.distances[holder, slot], distances[enters]]),
        ranks,
        (len(reached), graph.width),
    )
    graph.put(reached, merged)
    return reached


def _listed_pairs(graph: NeighborGraph, rows: Rows, limit: np.float32) -> Pairs:
    index, slot = where((graph.distances[rows] <= limit) & (graph.neighbors[rows] >= 0))
    source = rows[index]
    return source, graph.neighbors[source, slot].astype(np.int64), graph.distances[source, slot]


def _searched_pairs(space: Space, rows: Rows, limit: np.float32) -> Iterator[Pairs]:
    """Yield the pairs of some rows with all rows, those among the former once."""
    searched = np.zeros(len(space), np.bool_)
    searched[rows] = True
    for part in _batches(rows, len(space)):
        floor = space.closeness_at(limit) - space[part].slack(space)
        index, target = where(space[part].closeness(space) >= floor[:, None])
        source = part[index]
        once = np.flatnonzero((source != target) & ~(searched[target] & (target < source)))
        source, target = source[once], target[once]
        distances = space.distances(source, space, target)
        within = distances <= limit
        yield source[within], target[within], distances[within]
