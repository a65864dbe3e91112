"""Pixels of pairs compared: each picture is looked at once, or a few times where not all looks fit into memory."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brain_assets.methods.distinct import without

if TYPE_CHECKING:
    from brain_assets.methods.duplicates import local_features, verification

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]
Previews = Iterator[NDArray[np.uint8]]
AT_ONCE = 2048
HELD = 4096
"""Looks that are kept for pairs to come; one takes 9 kB, 60 with the corners of a picture that is not tiny."""


@dataclass(frozen=True)
class Looks:
    """What is compared of n pictures."""

    prints: "verification.Prints"
    views: "list[local_features.View | None]"

    @classmethod
    def at(cls, previews: Previews) -> "Looks":
        """Return what is compared of previews, each looked at once."""
        from brain_assets.methods.duplicates import local_features, verification

        views: list[local_features.View | None] = []

        def seen() -> Previews:
            for preview in previews:
                views.append(local_features.view_of(preview))
                yield preview

        return cls(verification.prints_of(seen()), views)

    def of(self, rows: Rows) -> "Looks":
        """Return the looks of some of the pictures."""
        return Looks(type(self.prints)._make(column[rows] for column in self.prints), [self.views[row] for row in rows])

    def and_at(self, previews: Previews) -> "Looks":
        """Return these looks and behind them those at previews."""
        more = Looks.at(previews)
        pairs: Iterable[tuple[Any, Any]] = zip(self.prints, more.prints, strict=True)
        return Looks(type(self.prints)._make(map(np.concatenate, pairs)), self.views + more.views)

    def compared(self, first: Rows, second: Rows) -> tuple[Floats, Floats, Floats]:
        """Return agreement (m,), largest local difference (m,) and shared regions (m, 8) of pairs."""
        from brain_assets.methods.duplicates import geometry, verification

        change, regions = np.full(len(first), np.nan), np.full((len(first), 8), np.nan)
        row = np.cumsum([view is not None for view in self.views]) - 1
        described = np.array([view is not None for view in self.views], np.bool_)
        known = described[first] & described[second]
        detailed = np.where(known, 0.0, np.nan)
        places = np.flatnonzero(known)
        views = [view for view in self.views if view is not None]
        for pair, found in geometry.overlaps(views, row[first[places]], row[second[places]]).items():
            place = places[pair]
            detailed[place], change[place], regions[place] = found.agreement, found.change, found.regions.ravel()
        squashed = verification.verify(self.prints, first, second, known).astype(np.float64)
        return verification.settled(squashed, detailed), change, regions


def compared(
    previews: Callable[[Rows], Previews], first: Rows, second: Rows, held: int = HELD, at_once: int = AT_ONCE
) -> tuple[Floats, Floats, Floats]:
    """Return agreement (m,), largest local difference (m,) and shared regions (m, 8) of pairs.

    Parameters
    ----------
    previews : callable
        Returns the previews of some pictures, by their numbers.
    first, second : (m,) int64
        Numbers of pictures.
    held, at_once : int
        Looks kept for pairs to come, and pairs compared at once. Nothing depends on them but memory and time.
    """
    columns = np.full(len(first), np.nan), np.full(len(first), np.nan), np.full((len(first), 8), np.nan)
    if not len(first):
        return columns
    order = in_company(first, second)
    last = {}
    for place, pair in enumerate(order.tolist()):
        last[int(first[pair])] = last[int(second[pair])] = place
    looks, rows = Looks.at(iter(())), np.zeros(0, np.int64)
    for start in range(0, len(order), at_once):
        pairs = order[start : start + at_once]
        new = without(np.concatenate([first[pairs], second[pairs]]), rows)
        looks, rows = looks.and_at(previews(new)), np.concatenate([rows, new])
        sorter = np.argsort(rows)
        here, there = (sorter[np.searchsorted(rows, ends[pairs], sorter=sorter)] for ends in (first, second))
        for column, values in zip(columns, looks.compared(here, there), strict=True):
            column[pairs] = values
        needed = np.flatnonzero([last[row] >= start + at_once for row in rows.tolist()])
        needed = needed[max(len(needed) - held, 0) :]
        looks, rows = looks.of(needed), rows[needed]
    return columns


def in_company(first: Rows, second: Rows) -> Rows:
    """Return an order of pairs in which those of a picture, and of pictures like it, lie near each other.

    Parameters
    ----------
    first, second : (m,) int64

    Notes
    -----
    The pictures are put in an order in which those of a pair are near: E. Cuthill and J. McKee, "Reducing the bandwidth
    of sparse symmetric matrices", 1969.

    Examples
    --------
    >>> in_company(np.array([0, 1, 0, 1]), np.array([2, 3, 4, 5])).tolist()
    [2, 0, 3, 1]
    """
    if not len(first):
        return np.zeros(0, np.int64)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    numbers, places = np.unique(np.concatenate([first, second]), return_inverse=True)
    one, other = places[: len(first)], places[len(first) :]
    links = coo_array(
        (np.ones(2 * len(one), np.int8), (np.concatenate([one, other]), np.concatenate([other, one]))),
        (len(numbers), len(numbers)),
    ).tocsr()
    rank = np.empty(len(numbers), np.int64)
    rank[reverse_cuthill_mckee(links, symmetric_mode=True)] = np.arange(len(numbers))
    return np.lexsort([np.minimum(rank[one], rank[other]), np.maximum(rank[one], rank[other])])
