"""Splits that cannot leak: what belongs together stays together, classes keep their shares, and what is planned stays."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]
NOWHERE = -1


class Bonds(NamedTuple):
    """What keeps samples together: they share keys, and keys are linked.

    A key stands for a content, a group of copies, a video or a patient; a link for two contents that are copies.

    Attributes
    ----------
    sample, key : (m,) int64
        One entry for each key that a sample has.
    first, second : (l,) int64
        Linked keys.
    samples, keys : int
        How many there are.
    """

    sample: Rows
    key: Rows
    first: Rows
    second: Rows
    samples: int
    keys: int


class Plan(NamedTuple):
    """Where samples go.

    Attributes
    ----------
    split : (n,) int64
        Index of the split; -1 for a sample that would leak wherever it went.
    unit : (n,) int64
        Smallest position among the samples that belong together.
    """

    split: Rows
    unit: Rows


def units_of(bonds: Bonds, among: NDArray[np.bool_] | None = None) -> Rows:
    """Return the smallest position of each sample's unit: all that chains of shared and linked keys lead to.

    Parameters
    ----------
    bonds : Bonds
    among : (n,) bool, optional
        Samples that count; the others are units of their own and pass nothing on, nor do keys that they alone have.

    Returns
    -------
    (n,) int64

    Examples
    --------
    >>> one = np.array([0, 1, 2], np.int64)
    >>> units_of(Bonds(one, one, np.array([2]), np.array([0]), 3, 3))
    array([0, 1, 0])
    """
    counts = np.ones(bonds.samples, np.bool_) if among is None else among
    shown = counts[bonds.sample]
    held = np.zeros(bonds.keys, np.bool_)
    held[bonds.key[shown]] = True
    linked = held[bonds.first] & held[bonds.second]
    one = np.r_[bonds.sample[shown], bonds.samples + bonds.first[linked]]
    other = bonds.samples + np.r_[bonds.key[shown], bonds.second[linked]]
    return _components(one, other, bonds.samples + bonds.keys)[: bonds.samples]


def repaired(bonds: Bonds, given: Rows, splits: int) -> Rows:
    """Return the splits of samples after the fewest moves that end all leaks between them.

    Parameters
    ----------
    bonds : Bonds
    given : (n,) int64
        Index of each sample's split, -1 without one.
    splits : int
        Their number.

    Returns
    -------
    (n,) int64
        As ``given``, but of what belongs together all are where most are; of several such splits in the last, so that with
        splits in the order of training, validation and test, what was tested on is not trained on.

    Notes
    -----
    Units do not touch each other, so that what is fewest for each is fewest for all.
    """
    placed = given >= 0
    unit = units_of(bonds, placed)
    counts = np.zeros((bonds.samples, splits), np.int64)
    np.add.at(counts, (unit[placed], given[placed]), 1)
    most = splits - 1 - np.argmax(counts[:, ::-1], axis=1)
    return np.where(placed, most[unit], NOWHERE).astype(np.int64)


def leaking(bonds: Bonds, split: Rows) -> Rows:
    """Return the positions of samples of which something that belongs to them is in another split, ascending.

    Samples in no split count for nothing.
    """
    placed = split >= 0
    unit = units_of(bonds, placed)
    least, most = np.full(bonds.samples, np.iinfo(np.int64).max), np.full(bonds.samples, NOWHERE)
    np.minimum.at(least, unit[placed], split[placed])
    np.maximum.at(most, unit[placed], split[placed])
    return np.flatnonzero(placed & (least[unit] != most[unit]))


def plan(
    bonds: Bonds, classes: tuple[Rows, Rows], kept: Rows, shares: Sequence[float], order: NDArray[np.uint64]
) -> Plan:
    """Return where samples go, those that are planned already staying where they are.

    Parameters
    ----------
    bonds : Bonds
    classes : (m,) int64, (m,) int64
        Sample and class, one entry for each class that a sample has.
    kept : (n,) int64
        Index of the split where a sample is already, -1 for a new one.
    shares : sequence of float
        Of each split; positive, and 1 together.
    order : (n,) uint64
        A hash of each sample, by which ties are broken.

    Returns
    -------
    Plan
        A new sample goes where what it belongs to is; one that belongs to several splits goes nowhere, and so do the new
        samples that belong to it. Units that are wholly new are dealt out, the largest first, each where it brings the
        counts of all its classes nearest to their shares.

    Notes
    -----
    What a key of a kept sample stands for is settled: it passes its split on to new samples, and does not join them to
    each other, so that one new copy of a test image does not cost all new images of a patient who is trained on.
    """
    component = _components_of_new(bonds, kept)
    least, most = _splits_beside(bonds, kept, component)
    unit = component[: bonds.samples]
    split = np.where(kept >= 0, kept, np.where(least == most, most, NOWHERE)[unit])
    waiting = (kept < 0) & (most[unit] == NOWHERE)
    split[waiting] = _dealt_out(_Counts(classes, split, waiting), unit, shares, order)[waiting]
    return Plan(split.astype(np.int64), units_of(bonds))


def _components_of_new(bonds: Bonds, kept: Rows) -> Rows:
    """Return the component of each sample, and then of each key, among new samples and keys that no kept sample has."""
    settled = _settled(bonds, kept)
    free = (kept[bonds.sample] < 0) & ~settled[bonds.key]
    linked = ~settled[bonds.first] & ~settled[bonds.second]
    one = np.r_[bonds.sample[free], bonds.samples + bonds.first[linked]]
    other = bonds.samples + np.r_[bonds.key[free], bonds.second[linked]]
    return _components(one, other, bonds.samples + bonds.keys)


def _settled(bonds: Bonds, kept: Rows) -> NDArray[np.bool_]:
    settled = np.zeros(bonds.keys, np.bool_)
    settled[bonds.key[kept[bonds.sample] >= 0]] = True
    return settled


def _splits_beside(bonds: Bonds, kept: Rows, component: Rows) -> tuple[Rows, Rows]:
    """Return the least and the largest split of kept samples that each component of new ones touches; -1 where none."""
    none = np.iinfo(np.int64).max
    lows, highs = np.full(bonds.keys, none), np.full(bonds.keys, NOWHERE)
    held = kept[bonds.sample] >= 0
    np.minimum.at(lows, bonds.key[held], kept[bonds.sample[held]])
    np.maximum.at(highs, bonds.key[held], kept[bonds.sample[held]])
    least, most = np.full(len(component), none), np.full(len(component), NOWHERE)
    keys = component[bonds.samples :]
    touching = [(component[bonds.sample[~held]], bonds.key[~held])]
    touching += [(keys[one], other) for one, other in ((bonds.first, bonds.second), (bonds.second, bonds.first))]
    settled = highs >= 0
    for place, beside in touching:
        passed = settled[beside]
        np.minimum.at(least, place[passed], lows[beside[passed]])
        np.maximum.at(most, place[passed], highs[beside[passed]])
    return np.where(most == NOWHERE, NOWHERE, least), most


class _Counts:
    """How many samples of each class there are to deal out, and where those are that are placed."""

    def __init__(self, classes: tuple[Rows, Rows], split: Rows, waiting: NDArray[np.bool_]) -> None:
        # All samples are one more class, so that the sizes of splits are right as well.
        samples = len(split)
        self.sample = np.r_[classes[0], np.arange(samples)]
        number = int(classes[1].max(initial=-1)) + 1
        self.kind = np.r_[classes[1], np.full(samples, number)]
        self.kinds, self.split, self.waiting = number + 1, split, waiting

    def placed(self, splits: int) -> Floats:
        """Return the samples of each class, in rows, in each split."""
        counts = np.zeros((self.kinds, splits))
        there = self.split[self.sample] >= 0
        np.add.at(counts, (self.kind[there], self.split[self.sample[there]]), 1)
        return counts

    def of_units(self, unit: Rows) -> tuple[Rows, Rows, Rows]:
        """Return unit, class and count for each class of each unit that waits, by unit."""
        waits = self.waiting[self.sample]
        keys, counts = np.unique(unit[self.sample[waits]] * self.kinds + self.kind[waits], return_counts=True)
        return keys // self.kinds, keys % self.kinds, counts


def _dealt_out(counts: _Counts, unit: Rows, shares: Sequence[float], order: NDArray[np.uint64]) -> Rows:
    """Return the split of each waiting sample's unit, (n,) int64."""
    units, kinds, numbers = counts.of_units(unit)
    placed = counts.placed(len(shares))
    wanted = placed.sum(axis=1)
    np.add.at(wanted, kinds, numbers)
    starts = np.flatnonzero(np.r_[True, units[1:] != units[:-1]]) if len(units) else np.zeros(0, np.int64)
    ends = np.r_[starts[1:], len(units)] if len(units) else starts
    # The last class of a unit is that of all samples.
    sequence = _sequence(counts, unit, units[starts], numbers[ends - 1], order)
    content = list(zip(kinds.tolist(), numbers.tolist(), strict=True))
    each = ((int(units[starts[one]]), content[starts[one] : ends[one]]) for one in sequence)
    found = np.full(len(unit), NOWHERE)
    for place, split in _greedy(each, placed, wanted[:, None] * np.asarray(shares)):
        found[place] = split
    return found[unit]


def _sequence(counts: _Counts, unit: Rows, units: Rows, sizes: Rows, order: NDArray[np.uint64]) -> Iterable[int]:
    """Return the places of units, the largest first, ties by the smallest hash of a member."""
    smallest = np.full(len(unit), np.iinfo(np.uint64).max)
    waiting = np.flatnonzero(counts.waiting)
    np.minimum.at(smallest, unit[waiting], order[waiting])
    found: list[int] = np.lexsort((smallest[units], -sizes)).tolist()
    return found


def _greedy(
    units: Iterable[tuple[int, Sequence[tuple[int, int]]]], placed: Floats, wanted: Floats
) -> Iterator[tuple[int, int]]:
    """Yield each unit's split: where the sum of ``(count - wanted)^2 / wanted`` over its classes grows least."""
    have, want = placed.tolist(), wanted.tolist()
    splits = range(placed.shape[1])
    for unit, content in units:
        costs = [
            sum(count * (2 * (have[kind][one] - want[kind][one]) + count) / want[kind][one] for kind, count in content)
            for one in splits
        ]
        best = costs.index(min(costs))
        for kind, count in content:
            have[kind][best] += count
        yield unit, best


def _components(one: Rows, other: Rows, count: int) -> Rows:
    """Return the smallest node of each node's component."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if count == 0:
        return np.empty(0, np.int64)
    graph = coo_array((np.ones(len(one), np.int8), (one, other)), shape=(count, count))
    labels = connected_components(graph, directed=False)[1]
    smallest = np.unique(labels, return_index=True)[1]
    return np.asarray(smallest[labels], np.int64)
