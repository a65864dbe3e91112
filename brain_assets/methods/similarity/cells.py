"""Which rows are compared, where all with all would be too much: those of a cell with those that have it among their nearest.

An inverted file that is asked both ways (Jegou, Douze, Schmid, *Product quantization for nearest neighbor search*, 2011,
section 4, asks it from one side). Which pairs are compared depends on the centres and the two rows alone, so that a graph of the
nearest among them is maintained as the exact one is, and does not depend on the order in which rows came.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brain_assets.methods.distinct import distinct
from brain_assets.methods.similarity.distances import Floats, Rows, Space
from brain_assets.methods.similarity.shortlists import SPARE, Progress, Shortlist, where

# Rows and columns of one block of comparisons.
BLOCK, ACROSS = 1024, 4096


@dataclass(frozen=True)
class Cells:
    """The cells near every row.

    Attributes
    ----------
    near : (n, p) int32, cells by rising distance of their centres; the first is where the row is at home
    count : number of cells
    """

    near: NDArray[np.int32]
    count: int

    def __len__(self) -> int:
        return len(self.near)

    @property
    def home(self) -> NDArray[np.int32]:
        """The cell of every row."""
        return self.near[:, 0]

    def compared(self, first: ArrayLike, second: ArrayLike) -> NDArray[np.bool_]:
        """Return which pairs of rows are compared: one of the two is at home in a cell that is near the other.

        Examples
        --------
        >>> Cells(np.array([[0, 1], [1, 2], [2, 1]], np.int32), 3).compared([0, 0, 1], [1, 2, 2])
        array([ True, False,  True])
        """
        one, other = np.asarray(first, np.int64), np.asarray(second, np.int64)
        return self._knows(one, self.home[other]) | self._knows(other, self.home[one])

    def _knows(self, rows: Rows, cells: NDArray[np.int32]) -> NDArray[np.bool_]:
        return np.asarray((self.near[rows] == cells[:, None]).any(axis=1), np.bool_)

    def _are_near(self, rows: Rows) -> NDArray[np.bool_]:
        """Return for some rows which of all cells are near each."""
        near = np.zeros((len(rows), self.count), np.bool_)
        np.put_along_axis(near, self.near[rows].astype(np.int64), values=True, axis=1)
        return near

    @cached_property
    def _members(self) -> tuple[Rows, Rows]:
        return _by_cell(self.home, self.count)

    @cached_property
    def _visitors(self) -> tuple[NDArray[np.int32], Rows]:
        places, starts = _by_cell(self.near.ravel(), self.count)
        places //= self.near.shape[1]
        # Of a million rows with 32 cells each, half of what it is in long numbers.
        return places.astype(np.int32), starts

    def members(self, cell: int) -> Rows:
        """Return the rows at home in a cell, ascending."""
        rows, starts = self._members
        return rows[starts[cell] : starts[cell + 1]]

    def visitors(self, cell: int) -> Rows:
        """Return the rows that have a cell among their nearest, those at home in it included, ascending."""
        rows, starts = self._visitors
        return rows[starts[cell] : starts[cell + 1]].astype(np.int64)

    def comparisons(self, rows: Rows) -> Iterator[tuple[Rows, Rows, NDArray[np.bool_]]]:
        """Yield some rows in parts, each with all rows that any of them is compared with.

        Yields
        ------
        part : (r,) int64, of ``rows``
        others : (m,) int64, ascending
        apart : (r, m) bool, the pairs that are not compared
        """
        order = rows[np.argsort(self.home[rows], kind="stable")]
        for same_home in np.split(order, np.flatnonzero(np.diff(self.home[order])) + 1):
            for start in range(0, len(same_home), BLOCK):
                part = same_home[start : start + BLOCK]
                if len(part):
                    yield part, *self._partners(part)

    def _partners(self, part: Rows) -> tuple[Rows, NDArray[np.bool_]]:
        """Return whom rows of one cell are compared with, and which of the pairs are not."""
        cell = int(self.home[part[0]])
        known = self._are_near(part)
        asked = [self.members(int(near)) for near in np.flatnonzero(known.any(axis=0))]
        others = distinct(np.concatenate([self.visitors(cell), *asked]))
        return others, ~(known[:, self.home[others]] | self._knows(others, np.full(len(others), cell, np.int32)))

    def shortlist(self, space: Space, count: int, progress: Progress | None = None) -> Shortlist:
        """Return for every row what holds its nearest ``count`` of those that it is compared with.

        Parameters are those of `shortlists.shortlist`.
        """
        best = Shortlist(space, np.arange(len(space)), count + SPARE)
        # Neighbours at home in the same cell are the nearest, as a rule: with them the floors are high for all that follows.
        for cell in range(self.count):
            _compare_members(best, space, self.members(cell))
        for cell in range(self.count):
            self._compare_visitors(best, space, cell)
            if progress is not None:
                progress(cell + 1, self.count)
        return best

    def _compare_visitors(self, best: Shortlist, space: Space, cell: int) -> None:
        members, visitors = self.members(cell), self.visitors(cell)
        guests = visitors[self.home[visitors] != cell]
        known = self._are_near(members)
        # A pair of which each knows the other's home is met there, too.
        known[:, cell:] = False
        for first, rows in _parts(members, BLOCK):
            for _, others in _parts(guests, ACROSS):
                closeness = space[rows].closeness(space[others])
                closeness[known[first : first + len(rows)][:, self.home[others]]] = -np.inf
                _enter(best, rows, others, closeness)


def _by_cell(cells: NDArray[np.int32], count: int) -> tuple[Rows, Rows]:
    """Return places by rising (cell, place), and where each cell begins among them."""
    starts = np.concatenate([[0], np.cumsum(np.bincount(cells, minlength=count))])
    return np.argsort(cells.astype(np.min_scalar_type(count)), kind="stable"), starts


def _parts(rows: Rows, size: int) -> Iterator[tuple[int, Rows]]:
    for start in range(0, len(rows), size):
        yield start, rows[start : start + size]


def _compare_members(best: Shortlist, space: Space, members: Rows) -> None:
    for first, rows in _parts(members, BLOCK):
        for second, others in _parts(members[first:], BLOCK):
            closeness = space[rows].closeness(space[others])
            if second == 0:
                np.fill_diagonal(closeness, -np.inf)
                best.raise_floor(rows, closeness)
            _enter(best, rows, others, closeness, both=second > 0)


def _enter(best: Shortlist, rows: Rows, others: Rows, closeness: Floats, *, both: bool = True) -> None:
    """Enter the rows of a block into each other's lists."""
    row, column = where(closeness > best.floor[rows][:, None])
    best.add(rows[row], others[column], closeness[row, column])
    if both:
        row, column = where(closeness > best.floor[others])
        best.add(others[column], rows[row], closeness[row, column])
