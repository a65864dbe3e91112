"""Candidates for the nearest neighbours of all rows, from symmetric blocks of rounded comparisons."""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from brain_assets.methods.similarity.distances import Floats, Rows, Space

Progress: TypeAlias = Callable[[int, int], None]
# Candidates beyond the number wanted, so that rounding rarely leaves it open which ones are the nearest.
SPARE = 8
# Candidates that wait to be sorted out, at most.
MOST_WAITING = 2**21
WIDEST = 4
# Rows whose candidates are sorted out at once.
SETTLED_ROWS = 2**15
EVERYONE = slice(None)


def shortlist(space: Space, count: int, block: int = 1024, progress: Progress | None = None) -> tuple[Rows, Rows, Rows]:
    """Return pairs among which are the nearest neighbours of every row.

    Parameters
    ----------
    space : the rows
    count : number of neighbours wanted
    block : rows that are compared with as many others at once
    progress : called with the pairs of blocks done and their total

    Returns
    -------
    rows, candidates : (p,) int64, ascending rows with a little over ``count`` candidates each, where there are so many
    unsure : (u,) int64, rows for which rounding leaves open whether a neighbour is missing

    Examples
    --------
    >>> shortlist(Space.of(np.eye(2), "cosine"), 1)
    (array([0, 1]), array([1, 0]), array([], dtype=int64))
    """
    starts = range(0, len(space), block)
    shortlists = [Shortlist(space, np.arange(at, min(at + block, len(space))), count + SPARE) for at in starts]
    total = len(starts) * (len(starts) + 1) // 2
    for done, (first, second) in enumerate(_diagonals(shortlists), start=1):
        _compare(first, second)
        if progress is not None:
            progress(done, total)
    none = np.empty(0, np.int64)
    parts = [(none, none, none), *(each.candidates(count) for each in shortlists)]
    rows, candidates, unsure = (np.concatenate(column) for column in zip(*parts, strict=True))
    return rows, candidates, unsure


def candidates_of(space: Space, count: int, rows: range, block: int = 1024) -> tuple[Rows, Rows, Rows]:
    """Return what `shortlist` does for some neighbouring rows alone, each compared with all rows.

    Parameters
    ----------
    space : all rows
    count : number of neighbours wanted
    rows : positions without gaps
    block : rows that they are compared with at once

    Returns
    -------
    As `shortlist`.

    Examples
    --------
    >>> candidates_of(Space.of(np.eye(3), "cosine"), 2, range(1, 2))
    (array([1, 1]), array([0, 2]), array([], dtype=int64))
    """
    mine = Shortlist(space, np.arange(rows.start, rows.stop), count + SPARE)
    for start in range(0, len(space), block):
        others = np.arange(start, min(start + block, len(space)))
        closeness = mine.vectors.closeness(space[start : start + block])
        closeness[mine.rows[:, None] == others] = -np.inf
        row, column = where(closeness > mine.floor[:, None])
        mine.add(row, others[column], closeness[row, column])
    return mine.candidates(count)


class Shortlist:
    """The candidates for a range of rows: those of largest closeness among the rows they were compared with."""

    def __init__(self, space: Space, rows: Rows, length: int) -> None:
        self.rows, self.length = rows, length
        self.vectors = space[rows[0] : rows[-1] + 1] if len(rows) else space[:0]
        self.slack = self.vectors.slack(space)
        self.closeness = np.full((len(rows), length), -np.inf, np.float32)
        self.ids = np.full((len(rows), length), -1, np.int32)
        self.floor = np.full(len(rows), -np.inf, np.float32)
        self.waiting: list[tuple[Rows, Rows, Floats]] = []

    def add(self, index: Rows, ids: Rows, closeness: Floats) -> None:
        """Enter candidates above the floor; they are sorted out once they are as many as the lists hold."""
        self.waiting.append((index, ids, closeness))
        if sum(len(entry[0]) for entry in self.waiting) >= min(self.ids.size, MOST_WAITING):
            self.settle()

    def raise_floor(self, index: Rows, closeness: Floats) -> None:
        """Raise the floor of some rows to what a block of comparisons, to be entered next, has for them."""
        if closeness.shape[1] > self.length:
            floor = np.partition(closeness, -self.length, axis=1)[:, -self.length]
            self.floor[index] = np.maximum(self.floor[index], np.nextafter(floor, np.float32(-np.inf)))

    def settle(self) -> None:
        """Keep the best of each row and raise the floor accordingly."""
        if not any(len(entry[0]) for entry in self.waiting):
            return
        index, ids, closeness = (np.concatenate(column) for column in zip(*self.waiting, strict=True))
        self.waiting = []
        lengths = np.bincount(index, minlength=len(self.rows))
        if lengths.max() > WIDEST * self.length:
            # One row of very many would make the block below as wide for all.
            best = np.lexsort((-closeness, index))
            best = best[slots(index[best], len(self.rows)) < self.length]
            index, ids, closeness = index[best], ids[best], closeness[best]
            lengths = np.minimum(lengths, self.length)
        order = np.argsort(index.astype(np.min_scalar_type(len(self.rows))), kind="stable")
        ids, closeness = ids[order], closeness[order]
        # Of many rows only those that anything waits for, and so many at once as are held beside the lists.
        touched = np.flatnonzero(lengths)
        ends = np.cumsum(lengths[touched])
        for first in range(0, len(touched), SETTLED_ROWS):
            rows = touched[first : first + SETTLED_ROWS]
            waiting = slice(ends[first] - lengths[rows[0]], ends[first + len(rows) - 1])
            self._keep_best(rows, lengths[rows], ids[waiting], closeness[waiting])

    def _keep_best(self, rows: Rows, lengths: Rows, ids: Rows, closeness: Floats) -> None:
        """Settle what waits for some rows: so many for each, one row after the other."""
        row = np.repeat(np.arange(len(rows)), lengths)
        slot = self.length + np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        added = ((0, 0), (0, int(lengths.max())))
        all_closeness = np.pad(self.closeness[rows], added, constant_values=-np.inf)
        all_ids = np.pad(self.ids[rows], added, constant_values=-1)
        all_closeness[row, slot], all_ids[row, slot] = closeness, ids
        best = np.argpartition(all_closeness, -self.length, axis=1)[:, -self.length :]
        self.closeness[rows] = np.take_along_axis(all_closeness, best, axis=1)
        self.ids[rows] = np.take_along_axis(all_ids, best, axis=1)
        self.floor[rows] = self.closeness[rows].min(axis=1)

    def candidates(self, count: int, part: slice = EVERYONE) -> tuple[Rows, Rows, Rows]:
        """Return pairs that hold all the nearest, and the rows whose last ones are too alike to tell for sure.

        Of very many rows a ``part`` can be asked for at a time.
        """
        self.settle()
        rows, ids, closeness, floor = self.rows[part], self.ids[part], self.closeness[part], self.floor[part]
        limit = np.partition(closeness, -count, axis=1)[:, -count] - self.slack[part]
        index, slot = where((closeness >= limit[:, None]) & (ids >= 0))
        unsure = np.isfinite(floor) & (floor >= limit)
        return rows[index], ids[index, slot].astype(np.int64), rows[unsure]


def _diagonals(shortlists: list[Shortlist]) -> Iterator[tuple[Shortlist, Shortlist]]:
    """Yield each pair of blocks once, in an order in which the floors of all blocks rise early."""
    for step in range(len(shortlists)):
        yield from zip(shortlists, shortlists[step:], strict=False)


def _compare(first: Shortlist, second: Shortlist) -> None:
    """Enter the rows of two blocks into each other's shortlists: one matrix product serves both."""
    closeness = first.vectors.closeness(second.vectors)
    if first is second:
        np.fill_diagonal(closeness, -np.inf)
        first.raise_floor(np.arange(len(closeness)), closeness)
    else:
        row, column = where(closeness > second.floor)
        second.add(column, first.rows[row], closeness[row, column])
    row, column = where(closeness > first.floor[:, None])
    first.add(row, second.rows[column], closeness[row, column])


def where(mask: NDArray[np.bool_]) -> tuple[Rows, Rows]:
    """Return what np.nonzero does, faster."""
    return np.divmod(np.flatnonzero(mask), mask.shape[1])


def slots(source: Rows, count: int) -> Rows:
    """Return the place of each entry among those of the same source, which is below ``count``."""
    lengths = np.bincount(source, minlength=count)
    # Small integers are sorted by counting.
    by_source = np.argsort(source.astype(np.min_scalar_type(count)), kind="stable")
    slots = np.empty(len(source), np.int64)
    slots[by_source] = np.arange(len(source)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return slots
