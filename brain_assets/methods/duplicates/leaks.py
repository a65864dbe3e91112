"""Samples of one split that show the same as a sample of another."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from brain_assets.methods.distinct import distinct
from brain_assets.methods.duplicates.duplicates import Pairs

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Splits(NamedTuple):
    """Which samples belong to which splits; a sample may be in none or in several.

    Attributes
    ----------
    sample : (m,) int64
        One entry per membership, ascending.
    split : (m,) int64
        Index into ``names``.
    names : tuple of str
    """

    sample: Rows
    split: Rows
    names: tuple[str, ...]


class Leaks(NamedTuple):
    """Every cross-split pair, in both directions.

    Attributes
    ----------
    sample, partner : (m,) int64
    split, partner_split : (m,) int64
        Index into the names of the splits; never equal.
    distance : (m,) float64
        0 for copies.
    exact : (m,) bool
        Whether the two are copies.
    """

    sample: Rows
    split: Rows
    partner: Rows
    partner_split: Rows
    distance: NDArray[np.float64]
    exact: Mask


def splits_from_labels(labels: Sequence[str | Iterable[str] | None]) -> Splits:
    """Return splits from a field: one label per sample, or several (tags, a list field), None or empty for none.

    Parameters
    ----------
    labels : (n,) of str, of iterables of str, or of None

    Returns
    -------
    Splits
        Names in alphabetical order.

    Examples
    --------
    >>> splits_from_labels(["train", ["val", "test"], None])
    Splits(sample=array([0, 1, 1]), split=array([1, 2, 0]), names=('test', 'train', 'val'))
    """
    named = [
        (row, name)
        for row, given in enumerate(labels)
        for name in ([given] if isinstance(given, str) else dict.fromkeys(given or ()))
        if name
    ]
    names, split = np.unique(np.array([name for _, name in named], np.str_), return_inverse=True)
    return Splits(np.array([row for row, _ in named], np.int64), split.astype(np.int64), tuple(names.tolist()))


def splits_from_tags(tags: Sequence[Iterable[str]], names: Iterable[str]) -> Splits:
    """Return splits from those tags that are named; other tags say nothing.

    Examples
    --------
    >>> splits_from_tags([["train", "blurry"], ["test"]], ["train", "test"]).names
    ('test', 'train')
    """
    wanted = set(names)
    return splits_from_labels([[tag for tag in given if tag in wanted] for given in tags])


def splits_from_mapping(members: Mapping[str, Iterable[int]]) -> Splits:
    """Return splits from their members, e.g. two views.

    Parameters
    ----------
    members : mapping of name -> positions

    Returns
    -------
    Splits
        Names in alphabetical order.

    Examples
    --------
    >>> splits_from_mapping({"old": [0, 2], "new": [1]})
    Splits(sample=array([0, 1, 2]), split=array([1, 0, 1]), names=('new', 'old'))
    """
    names = tuple(sorted(members))
    entries = sorted((row, code) for code, name in enumerate(names) for row in set(members[name]))
    table = np.array(entries, np.int64).reshape(-1, 2)
    return Splits(table[:, 0], table[:, 1], names)


def overlapping(splits: Splits) -> Rows:
    """Return the samples that lie in more than one split, ascending: they leak into themselves.

    Examples
    --------
    >>> overlapping(splits_from_labels(["train", ["train", "test"]]))
    array([1])
    """
    samples, count = np.unique(splits.sample, return_counts=True)
    return np.asarray(samples[count > 1], np.int64)


def find_leaks(pairs: Pairs, content: Rows, splits: Splits) -> Leaks:
    """Return every ordered pair of samples in different splits that are copies or within the threshold.

    Parameters
    ----------
    pairs : Pairs
        Of contents, within the threshold (``pairs.within``), complete for it.
    content : (n,) int64
        The content of each sample; samples with equal numbers are copies. Without copies: ``np.arange(n)``.
    splits : Splits

    Returns
    -------
    Leaks
        Sorted by sample, partner, split, partner split. A sample in two splits appears once for each; it is no partner
        of its own (``overlapping`` names such samples).

    Notes
    -----
    FiftyOne Brain's leaky splits compare a kept sample with its duplicates only, so pairs among the duplicates are
    lost. Incremental: a row depends on its two samples only.

    Examples
    --------
    >>> pairs = Pairs(np.array([0, 1]), np.array([1, 2]), np.array([0.1, 0.1]))
    >>> leaks = find_leaks(pairs, np.arange(3), splits_from_labels(["train", "train", "test"]))
    >>> leaks.sample, leaks.partner
    (array([1, 2]), array([2, 1]))
    """
    members = _members(content, splits)
    contents = distinct(members.content)
    first = np.r_[pairs.first, pairs.second, contents]
    second = np.r_[pairs.second, pairs.first, contents]
    distance = np.r_[pairs.distance, pairs.distance, np.zeros(len(contents))]
    pair, left, right = _crossing(members, first, second)
    return _sorted_leaks(members, left, right, distance[pair])


class _Members(NamedTuple):
    """Memberships sorted by content and split."""

    content: Rows
    split: Rows
    sample: Rows


def _members(content: Rows, splits: Splits) -> _Members:
    order = np.lexsort((splits.sample, splits.split, content[splits.sample]))
    sample = splits.sample[order]
    return _Members(content[sample], splits.split[order], sample)


def _crossing(members: _Members, first: Rows, second: Rows) -> tuple[Rows, Rows, Rows]:
    """Return (pair, left, right): all combinations of members of two contents that lie in different splits.

    Runs of members with equal content and split are paired before the members are, so that thousands of copies inside
    one split cost nothing.
    """
    starts = _run_starts(members)
    lengths = np.diff(np.r_[starts, len(members.sample)])
    pair, left, right = _product(members.content[starts], first, second)
    differ = members.split[starts[left]] != members.split[starts[right]]
    pair, left, right = pair[differ], left[differ], right[differ]
    item, place = _expand(lengths[left] * lengths[right])
    width = lengths[right[item]]
    left, right = starts[left[item]] + place // width, starts[right[item]] + place % width
    others = members.sample[left] != members.sample[right]
    return pair[item[others]], left[others], right[others]


def _run_starts(members: _Members) -> Rows:
    changes = (members.content[1:] != members.content[:-1]) | (members.split[1:] != members.split[:-1])
    return np.flatnonzero(np.r_[len(members.sample) > 0, changes])


def _product(ordered: Rows, first: Rows, second: Rows) -> tuple[Rows, Rows, Rows]:
    """Return (pair, left, right): for each pair of values all places of the one with all places of the other."""
    left_start, left_count = _span(ordered, first)
    right_start, right_count = _span(ordered, second)
    pair, place = _expand(left_count * right_count)
    width = right_count[pair]
    return pair, left_start[pair] + place // width, right_start[pair] + place % width


def _span(ordered: Rows, wanted: Rows) -> tuple[Rows, Rows]:
    start = np.searchsorted(ordered, wanted, side="left")
    return start, np.searchsorted(ordered, wanted, side="right") - start


def _expand(counts: Rows) -> tuple[Rows, Rows]:
    """Return for each of ``counts.sum()`` entries the item it belongs to and its place within the item."""
    item = np.repeat(np.arange(len(counts)), counts)
    start = np.cumsum(counts) - counts
    return item, np.arange(len(item)) - start[item]


def _sorted_leaks(members: _Members, left: Rows, right: Rows, distance: NDArray[np.float64]) -> Leaks:
    keys = members.split[right], members.split[left], members.sample[right], members.sample[left]
    order = np.lexsort(keys)
    left, right = left[order], right[order]
    return Leaks(
        sample=members.sample[left],
        split=members.split[left],
        partner=members.sample[right],
        partner_split=members.split[right],
        distance=distance[order],
        exact=members.content[left] == members.content[right],
    )


def leaky(leaks: Leaks, count: int) -> Mask:
    """Return (count,) bool: which samples have a partner in another split. Its inverse is the no-leaks view.

    Examples
    --------
    >>> pairs = Pairs(np.array([0]), np.array([1]), np.array([0.1]))
    >>> leaky(find_leaks(pairs, np.arange(3), splits_from_labels(["train", "test", "test"])), 3)
    array([ True,  True, False])
    """
    flags = np.zeros(count, np.bool_)
    flags[leaks.sample] = True
    return flags


def leaks_for_sample(leaks: Leaks, sample: int) -> Rows:
    """Return the sample's partners in other splits, nearest first.

    Examples
    --------
    >>> pairs = Pairs(np.array([0, 0]), np.array([1, 2]), np.array([0.1, 0.05]))
    >>> leaks = find_leaks(pairs, np.arange(3), splits_from_labels(["train", "test", "val"]))
    >>> leaks_for_sample(leaks, 0)
    array([2, 1])
    """
    start, stop = np.searchsorted(leaks.sample, [sample, sample + 1])
    partner, distance = leaks.partner[start:stop], leaks.distance[start:stop]
    order = np.lexsort((partner, distance))
    first = np.unique(partner[order], return_index=True)[1]
    return partner[order][np.sort(first)]
