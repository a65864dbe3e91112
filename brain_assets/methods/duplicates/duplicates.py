"""Which samples show the same thing: groups in which every member is near the sample that is kept."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from brain_assets.methods.distinct import without

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]
SortBy = Literal["distance", "count"]


class Pairs(NamedTuple):
    """Pairs of samples and how far apart they are, each unordered pair once.

    Attributes
    ----------
    first, second : (m,) int64
        Positions of the two samples, never equal.
    distance : (m,) float64, >= 0
        0 = copies. A pair that is absent is farther apart than the radius the pairs were searched with.
    """

    first: Rows
    second: Rows
    distance: NDArray[np.float64]

    def where(self, chosen: Mask) -> "Pairs":
        """Return the pairs for which ``chosen``, (m,) bool, holds."""
        return Pairs(self.first[chosen], self.second[chosen], self.distance[chosen])

    def within(self, threshold: float) -> "Pairs":
        """Return the pairs at most ``threshold`` apart."""
        return self.where(self.distance <= threshold)


class Cover(NamedTuple):
    """Who is kept, and whom each of the others duplicates.

    Attributes
    ----------
    keep : (n,) bool
    nearest : (n,) int64
        The nearest kept sample; a kept sample's own position.
    distance : (n,) float64
        To ``nearest``; 0 for a kept sample.
    dropped_by : (n,) int64
        The best ranked kept sample within the threshold, which is why the sample went; a kept sample's own position.
        It may differ from ``nearest``, and only it is sure to outrank the sample.
    """

    keep: Mask
    nearest: Rows
    distance: NDArray[np.float64]
    dropped_by: Rows


class Found(NamedTuple):
    """A cover and the threshold that led to it, NaN where none applies (all or nothing is kept)."""

    cover: Cover
    threshold: float


class Unique(NamedTuple):
    """The samples kept for a wanted count, and the threshold they all exceed; NaN where all or none are kept."""

    keep: Mask
    threshold: float


class DuplicatesView(NamedTuple):
    """Groups laid out one after another, each kept sample followed by its duplicates.

    Attributes
    ----------
    order : (m,) int64
    kind : (m,) str, "nearest" or "duplicate"
    nearest : (m,) int64
        The kept sample of the group.
    distance : (m,) float64
        To the kept sample; 0 for itself.
    """

    order: Rows
    kind: NDArray[np.str_]
    nearest: Rows
    distance: NDArray[np.float64]


def greedy_cover(pairs: Pairs, rank: Rows) -> Cover:
    """Return the samples to keep when visited from the best rank down, each dropping all that lie near it.

    Every dropped sample is within the pairs' threshold of its ``nearest``, no two kept samples are, and no chains form:
    of a - b - c with a kept and a, c apart, c is kept too.

    Parameters
    ----------
    pairs : Pairs
        Those within the threshold (``pairs.within``), inclusive.
    rank : (n,) int64
        A permutation of 0..n-1, 0 = keep first (``keep_policy.keep_rank``).

    Returns
    -------
    Cover
        Of equally near kept samples a duplicate joins the better ranked.

    Notes
    -----
    The lexicographically first maximal independent set, the rule of FiftyOne Brain's ``find_duplicates`` with index
    order as rank. Incremental: a connected component of the pairs is covered without looking at the others, so only
    ``touched`` ones need a new cover; equal to a rebuild exactly.

    Examples
    --------
    >>> pairs = Pairs(np.array([0, 1]), np.array([1, 2]), np.array([0.1, 0.05]))
    >>> greedy_cover(pairs, np.array([0, 1, 2])).keep
    array([ True, False,  True])
    >>> greedy_cover(pairs, np.array([0, 1, 2])).nearest
    array([0, 2, 2])
    """
    return _covered(pairs, _independent(pairs, rank), rank)


def _covered(pairs: Pairs, keep: Mask, rank: Rows) -> Cover:
    """Return whom each of the samples that are not kept duplicates."""
    own = np.arange(len(rank))
    member, kept, distance = _memberships(pairs, keep)
    nearest, dropped_by, to_nearest = own.copy(), own.copy(), np.zeros(len(rank))
    worst_first = np.lexsort((-rank[kept], -distance))
    nearest[member[worst_first]] = kept[worst_first]
    to_nearest[member[worst_first]] = distance[worst_first]
    by_rank = np.argsort(-rank[kept])
    dropped_by[member[by_rank]] = kept[by_rank]
    return Cover(keep, nearest, to_nearest, dropped_by)


def _independent(pairs: Pairs, rank: Rows) -> Mask:
    keep = np.ones(len(rank), np.bool_)
    first_better = rank[pairs.first] < rank[pairs.second]
    better = np.where(first_better, pairs.first, pairs.second)
    worse = np.where(first_better, pairs.second, pairs.first)
    order = np.argsort(rank[better])
    better, worse = better[order], worse[order]
    starts = np.flatnonzero(np.r_[True, better[1:] != better[:-1]]) if len(better) else np.empty(0, np.int64)
    stops = [*starts[1:].tolist(), len(better)]
    for row, start, stop in zip(better[starts].tolist(), starts.tolist(), stops, strict=False):
        if keep[row]:
            keep[worse[start:stop]] = False
    return keep


def _memberships(pairs: Pairs, keep: Mask) -> tuple[Rows, Rows, NDArray[np.float64]]:
    """Return (member, kept, distance) of the pairs between a dropped and a kept sample."""
    kept_first = keep[pairs.first] & ~keep[pairs.second]
    kept_second = keep[pairs.second] & ~keep[pairs.first]
    return (
        np.r_[pairs.second[kept_first], pairs.first[kept_second]],
        np.r_[pairs.first[kept_first], pairs.second[kept_second]],
        np.r_[pairs.distance[kept_first], pairs.distance[kept_second]],
    )


def cover_with_copies(pairs: Pairs, content: Rows, rank: Rows) -> Cover:
    """Return the cover of samples of which some are copies, from pairs of their distinct contents.

    Parameters
    ----------
    pairs : Pairs
        Of contents, within the threshold.
    content : (n,) int64 in [0, number of contents)
        Samples with equal numbers are copies, at distance 0.
    rank : (n,) int64
        A permutation, 0 = keep first. A content counts as its best sample.

    Returns
    -------
    Cover
        Of the n samples: what ``greedy_cover`` gives when all copies are written out as pairs, which k copies of one
        file would make k (k - 1) / 2 of.

    Examples
    --------
    >>> pairs = Pairs(np.array([0]), np.array([1]), np.array([0.1]))
    >>> greedy = cover_with_copies(pairs, content=np.array([0, 0, 1, 1]), rank=np.array([3, 0, 1, 2]))
    >>> greedy.nearest, greedy.distance
    (array([1, 1, 1, 1]), array([0. , 0. , 0.1, 0.1]))
    """
    by_rank = np.argsort(rank)
    contents, first = np.unique(content[by_rank], return_index=True)
    best = np.zeros(int(content.max(initial=-1)) + 1, np.int64)
    best[contents] = by_rank[first]
    content_rank = np.empty(len(best), np.int64)
    content_rank[np.argsort(rank[best] if len(rank) else best, kind="stable")] = np.arange(len(best))
    return told_of_copies(greedy_cover(pairs, content_rank), content, best)


def told_of_copies(cover: Cover, content: Rows, best: Rows) -> Cover:
    """Return the cover of samples of which some are copies, from that of their contents.

    Parameters
    ----------
    cover : Cover
        Of contents.
    content : (n,) int64
        The content of each sample.
    best : (c,) int64
        The sample that stands for each content; the others duplicate it.

    Examples
    --------
    >>> cover = greedy_cover(Pairs(np.array([0]), np.array([1]), np.array([0.1])), np.arange(2))
    >>> told_of_copies(cover, np.array([0, 0, 1]), np.array([1, 2])).nearest
    array([1, 1, 1])
    """
    keep = cover.keep[content] & (best[content] == np.arange(len(content)))
    return Cover(keep, best[cover.nearest[content]], cover.distance[content], best[cover.dropped_by[content]])


def connected_components(pairs: Pairs, count: int) -> Rows:
    """Return each sample's component: everything that a chain of pairs leads to.

    Parameters
    ----------
    pairs : Pairs
        Within the components' own threshold.
    count : int
        Number of samples.

    Returns
    -------
    (count,) int64
        The smallest position in the component; a sample without pairs is its own.

    Examples
    --------
    >>> connected_components(Pairs(np.array([3, 1]), np.array([1, 2]), np.zeros(2)), 5)
    array([0, 1, 1, 1, 4])
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components as label_components

    if count == 0:
        return np.empty(0, np.int64)
    graph = coo_array((np.ones(len(pairs.first), np.int8), (pairs.first, pairs.second)), shape=(count, count))
    labels = label_components(graph, directed=False)[1]
    smallest = np.unique(labels, return_index=True)[1]
    return np.asarray(smallest[labels], np.int64)


def copies_of_copies(pairs: Pairs, threshold: float, count: int, largest: int) -> tuple[Rows, Rows]:
    """Return the pairs still to be measured because a third sample lies within the threshold of both.

    Parameters
    ----------
    pairs : Pairs
        All that were measured, ``first < second``.
    threshold : float
        Inclusive.
    count : int
        Number of samples.
    largest : int
        Connected components of more samples are left as they are.

    Returns
    -------
    first, second : (m,) int64, ``first < second``, ascending

    Notes
    -----
    Asked until nothing is left, samples that are all within the threshold of each other are all compared, however few
    pairs connected them at first, while a chain, in which neighbours are near but the next but one is not, stays one.
    The result depends on the set of pairs only, not on their order or on how it grew.

    Examples
    --------
    >>> pairs = Pairs(np.array([0, 1, 2]), np.array([1, 2, 3]), np.array([0.1, 0.1, 0.9]))
    >>> copies_of_copies(pairs, threshold=0.2, count=4, largest=10)
    (array([0]), array([2]))
    """
    from scipy.sparse import coo_array

    component, size, is_open = _crowds(pairs, threshold, count)
    inside = component[pairs.first] == component[pairs.second]
    near = pairs.where(inside & (is_open & (size <= largest))[component[pairs.first]]).within(threshold)
    ends = np.r_[near.first, near.second], np.r_[near.second, near.first]
    graph = coo_array((np.ones(len(ends[0]), np.float32), ends), shape=(count, count)).tocsr()
    steps = (graph @ graph).tocoo()
    first, second = (column.astype(np.int64) for column in steps.coords)
    keys = without((first * count + second)[first < second], pairs.first * count + pairs.second)
    return keys // max(count, 1), keys % max(count, 1)


def crowds_left_open(pairs: Pairs, threshold: float, count: int, largest: int) -> Rows:
    """Return the sizes of those components that ``copies_of_copies`` leaves as they are though pairs are missing.

    Parameters
    ----------
    pairs, threshold, count, largest
        As given to ``copies_of_copies``.

    Returns
    -------
    (c,) int64, ascending

    Examples
    --------
    >>> pairs = Pairs(np.array([0, 1, 2]), np.array([1, 2, 3]), np.array([0.1, 0.1, 0.9]))
    >>> crowds_left_open(pairs, threshold=0.2, count=4, largest=2).tolist()
    [3]
    """
    _, size, is_open = _crowds(pairs, threshold, count)
    return np.sort(size[is_open & (size > largest)])


def _crowds(pairs: Pairs, threshold: float, count: int) -> tuple[Rows, Rows, NDArray[np.bool_]]:
    """Return each sample's component, and of each component its size and whether pairs inside it were not measured."""
    component = connected_components(pairs.within(threshold), count)
    inside = component[pairs.first] == component[pairs.second]
    size = np.bincount(component, minlength=count)
    measured = np.bincount(component[pairs.first[inside]], minlength=count)
    return component, size, measured < size * (size - 1) // 2


def touched(components: Rows, rows: Rows) -> Mask:
    """Return the samples whose group may change when ``rows`` do: all that share a component with one of them.

    Parameters
    ----------
    components : (n,) int64
        From ``connected_components``; ask once with the pairs before the change and once with those after it.
    rows : (m,) int64
        Positions that were added, deleted or changed, in content, pairs or rank.

    Returns
    -------
    (n,) bool

    Examples
    --------
    >>> touched(np.array([0, 1, 1, 3]), np.array([2]))
    array([False,  True,  True, False])
    """
    return np.asarray(np.isin(components, components[rows]), np.bool_)


def find_duplicates(pairs: Pairs, rank: Rows, threshold: float | None = None, fraction: float | None = None) -> Found:
    """Return the cover at a threshold, or one that calls a given fraction duplicates.

    Parameters
    ----------
    pairs : Pairs
        Within a radius not below the threshold that is given or sought.
    rank : (n,) int64
        A permutation, 0 = keep first.
    threshold : float, optional
        Inclusive.
    fraction : float, optional
        Share of the samples to drop, in [0, 1], rounded to a number of samples; exactly one of the two is given. The
        smallest distance that drops at least as many is the threshold; of those farthest from the kept ones, the best
        ranked are kept after all, so that equal distances do not drop more.

    Returns
    -------
    Found

    Raises
    ------
    ValueError
        If both or none of threshold and fraction are given, or if the pairs do not reach far enough for the fraction.

    Examples
    --------
    >>> pairs = Pairs(np.array([0, 0, 1]), np.array([1, 2, 2]), np.array([0.1, 0.3, 0.2]))
    >>> find_duplicates(pairs, np.arange(3), fraction=1 / 3).threshold
    0.1
    """
    if (threshold is None) == (fraction is None):
        raise ValueError("find_duplicates needs either a threshold or a fraction, not both")
    if fraction is None:
        return Found(greedy_cover(pairs.within(float(threshold or 0.0)), rank), float(threshold or 0.0))
    target = round((1.0 - min(max(fraction, 0.0), 1.0)) * len(rank))
    return _cover_of_size(pairs, rank, target)


def find_unique(pairs: Pairs, rank: Rows, count: int) -> Unique:
    """Return ``count`` samples of which no two are near, at about the largest threshold that leaves so many.

    Parameters
    ----------
    pairs : Pairs
        Up to a radius at which no more than ``count`` samples would be kept.
    rank : (n,) int64
        A permutation, 0 = keep first.
    count : int
        Wanted number; at most n are returned.

    Returns
    -------
    Unique
        Exactly ``min(count, n)`` samples, any two of them farther apart than the threshold.

    Raises
    ------
    ValueError
        If the pairs do not reach far enough.

    Examples
    --------
    >>> pairs = Pairs(np.array([0, 0, 1]), np.array([1, 2, 2]), np.array([0.1, 0.3, 0.2]))
    >>> find_unique(pairs, np.arange(3), 2)
    Unique(keep=array([ True, False,  True]), threshold=0.2)
    """
    if count <= 0 or count >= len(rank):
        return Unique(np.full(len(rank), count > 0), np.nan)
    _check_reach(pairs, rank, count)
    distances = np.r_[-1.0, np.unique(pairs.distance)]
    step = _last_step_keeping(pairs, rank, distances, count)
    keep = _independent(pairs.within(distances[step]), rank)
    order = np.argsort(rank)
    keep[order[np.cumsum(keep[order]) > count]] = False
    return Unique(keep, max(float(distances[step]), 0.0))


def neighbors_map(cover: Cover) -> dict[int, list[tuple[int, float]]]:
    """Return for each kept sample its duplicates, nearest first.

    Parameters
    ----------
    cover : Cover

    Returns
    -------
    dict
        Position of a kept sample -> (position, distance) of those that duplicate it. Kept samples without duplicates
        do not appear.

    Examples
    --------
    >>> pairs = Pairs(np.array([0, 1]), np.array([1, 2]), np.array([0.1, 0.05]))
    >>> neighbors_map(greedy_cover(pairs, np.arange(3)))
    {2: [(1, 0.05)]}
    """
    dropped = np.flatnonzero(~cover.keep)
    dropped = dropped[np.lexsort((dropped, cover.distance[dropped], cover.nearest[dropped]))]
    groups: dict[int, list[tuple[int, float]]] = {}
    for row, kept, distance in zip(dropped.tolist(), cover.nearest[dropped], cover.distance[dropped], strict=True):
        groups.setdefault(int(kept), []).append((row, float(distance)))
    return groups


def duplicates_view(cover: Cover, sort_by: SortBy = "distance", *, reverse: bool = False) -> DuplicatesView:
    """Return the groups of two and more, the closest or the smallest first.

    Parameters
    ----------
    cover : Cover
    sort_by : {"distance", "count"}
        Order groups by their smallest distance or by their number of duplicates; ties by the kept position.
    reverse : bool
        Largest first; inside a group the kept sample still leads and the nearest follow.

    Returns
    -------
    DuplicatesView

    Raises
    ------
    ValueError
        If ``sort_by`` is neither.

    Examples
    --------
    >>> pairs = Pairs(np.array([0, 1]), np.array([1, 2]), np.array([0.1, 0.05]))
    >>> duplicates_view(greedy_cover(pairs, np.arange(3))).order
    array([2, 1])
    """
    if sort_by not in {"distance", "count"}:
        raise ValueError(f"sort_by is 'distance' or 'count', not {sort_by!r}")
    groups = neighbors_map(cover)
    size = (lambda group: group[0][1]) if sort_by == "distance" else len
    ordered = sorted(groups.items(), key=lambda item: ((-1 if reverse else 1) * size(item[1]), item[0]))
    order = np.array([row for kept, group in ordered for row in (kept, *(member for member, _ in group))], np.int64)
    kind = np.where(cover.keep[order], "nearest", "duplicate")
    return DuplicatesView(order, kind, cover.nearest[order], cover.distance[order])


def duplicate_kinds(cover: Cover) -> NDArray[np.str_]:
    """Return (n,) str: "unique", "nearest" (kept, with duplicates) or "duplicate", to colour a scatter plot by.

    Examples
    --------
    >>> pairs = Pairs(np.array([0]), np.array([1]), np.array([0.1]))
    >>> duplicate_kinds(greedy_cover(pairs, np.arange(3))).tolist()
    ['nearest', 'duplicate', 'unique']
    """
    has_duplicates = np.isin(np.arange(len(cover.keep)), cover.nearest[~cover.keep])
    return np.where(cover.keep, np.where(has_duplicates, "nearest", "unique"), "duplicate")


def distance_histogram(distances: NDArray[np.floating], bins: int = 100) -> tuple[Rows, NDArray[np.float64]]:
    """Return how many samples have their nearest neighbour how far away, to choose a threshold by.

    Parameters
    ----------
    distances : (n,) float
        Each sample's distance to its nearest neighbour; NaN and inf (no neighbour) are left out.
    bins : int
        Number of equal bins from 0 to the largest distance.

    Returns
    -------
    counts : (bins,) int64
    edges : (bins + 1,) float64

    Examples
    --------
    >>> distance_histogram(np.array([0.0, 0.1, 0.4, np.nan]), bins=2)
    (array([2, 1]), array([0. , 0.2, 0.4]))
    """
    known = distances[np.isfinite(distances)]
    counts, edges = np.histogram(known, bins=bins, range=(0.0, float(known.max(initial=0.0)) or 1.0))
    return counts.astype(np.int64), edges.astype(np.float64)


def _cover_of_size(pairs: Pairs, rank: Rows, target: int) -> Found:
    own, zeros = np.arange(len(rank)), np.zeros(len(rank))
    if target <= 0 or target >= len(rank):
        return Found(Cover(np.full(len(rank), target > 0), own, zeros, own), np.nan)
    _check_reach(pairs, rank, target)
    distances = np.r_[-1.0, np.unique(pairs.distance)]
    step = _last_step_keeping(pairs, rank, distances, target + 1) + 1
    near = pairs.within(distances[step])
    cover = greedy_cover(near, rank)
    dropped = np.flatnonzero(~cover.keep)
    farthest_first = dropped[np.lexsort((rank[dropped], -cover.distance[dropped]))]
    keep = cover.keep.copy()
    keep[farthest_first[: target - int(keep.sum())]] = True
    return Found(_covered(near, keep, rank), float(distances[step]))


def _check_reach(pairs: Pairs, rank: Rows, target: int) -> None:
    kept = int(_independent(pairs, rank).sum())
    if kept > target:
        reach = float(pairs.distance.max(initial=0.0))
        raise ValueError(f"pairs up to {reach:.4g} leave {kept} of {len(rank)} samples: give pairs of a larger radius")


def _last_step_keeping(pairs: Pairs, rank: Rows, distances: NDArray[np.float64], count: int) -> int:
    """Return a step of ``distances`` at which at least ``count`` are kept, and fewer at the next if there is one."""
    low, high = 0, len(distances)
    while high - low > 1:
        middle = (low + high) // 2
        if int(_independent(pairs.within(distances[middle]), rank).sum()) >= count:
            low = middle
        else:
            high = middle
    return low
