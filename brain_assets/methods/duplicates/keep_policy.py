"""Which of several near duplicates to keep, and why, in words."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Criterion:
    """One reason to prefer a sample; criteria are asked in order until one of them tells two samples apart.

    Attributes
    ----------
    name : str
    values : (n,) float64
        The larger wins; NaN = unknown, which loses against anything known.
    describe : callable
        Makes of two positions, the winner's and the loser's, the reason in words.
    """

    name: str
    values: NDArray[np.float64]
    describe: Callable[[int, int], str]


def kept_exactly(is_copy: NDArray[np.bool_]) -> Criterion:
    """Return the criterion that prefers images of which no exact copy was kept instead; ``is_copy`` is (n,) bool.

    Examples
    --------
    >>> kept_exactly(np.array([False, True])).describe(0, 1)
    'it is the one kept of exact copies'
    """
    return Criterion("exact", (~is_copy).astype(np.float64), lambda winner, loser: "it is the one kept of exact copies")


def protected_splits(splits: Sequence[str | None], protected: Sequence[str]) -> Criterion:
    """Return the criterion that prefers samples of the protected splits, the first named most.

    Examples
    --------
    >>> criterion = protected_splits(["train", "test"], ["test", "val"])
    >>> criterion.describe(1, 0)
    'it is in the protected split test'
    """
    worth = {split: len(protected) - place for place, split in enumerate(protected)}
    values = np.array([worth.get(split or "", 0) for split in splits], np.float64)
    return Criterion("protected_split", values, lambda winner, _: f"it is in the protected split {splits[winner]}")


def labelled(has_label: NDArray[np.bool_]) -> Criterion:
    """Return the criterion that prefers samples with a label; ``has_label`` is (n,) bool.

    Examples
    --------
    >>> labelled(np.array([True, False])).describe(0, 1)
    'it has a label'
    """
    return Criterion("labelled", has_label.astype(np.float64), lambda winner, loser: "it has a label")


def resolution(width: Rows, height: Rows) -> Criterion:
    """Return the criterion that prefers more pixels; ``width`` and ``height`` are (n,), 0 = unknown.

    Examples
    --------
    >>> resolution(np.array([640, 320]), np.array([480, 240])).describe(0, 1)
    'it has a higher resolution (640x480 against 320x240)'
    """
    values = np.asarray(width, np.float64) * height

    def describe(winner: int, loser: int) -> str:
        return f"it has a higher resolution ({width[winner]}x{height[winner]} against {width[loser]}x{height[loser]})"

    return Criterion("resolution", values, describe)


def file_size(size: Rows) -> Criterion:
    """Return the criterion that prefers larger files; ``size`` is (n,) bytes.

    Examples
    --------
    >>> file_size(np.array([90_000, 12_000])).describe(0, 1)
    'its file is larger (90000 against 12000 bytes)'
    """
    return Criterion(
        "bytes",
        np.asarray(size, np.float64),
        lambda winner, loser: f"its file is larger ({size[winner]} against {size[loser]} bytes)",
    )


def age(taken_at: NDArray[np.datetime64]) -> Criterion:
    """Return the criterion that prefers the older; ``taken_at`` is (n,) datetime64, NaT = unknown.

    Examples
    --------
    >>> age(np.array(["2020-01-01", "2021-06-30"], "datetime64[D]")).describe(0, 1)
    'it is older (2020-01-01 against 2021-06-30)'
    """
    seconds = taken_at.astype("datetime64[s]")
    values = np.where(np.isnat(seconds), np.nan, -seconds.astype(np.int64).astype(np.float64))

    def describe(winner: int, loser: int) -> str:
        later = taken_at[loser]
        return f"it is older ({taken_at[winner]} against {'unknown' if np.isnat(later) else later})"

    return Criterion("age", values, describe)


def keep_rank(criteria: Sequence[Criterion], ids: Sequence[str]) -> Rows:
    """Return each sample's place in the order of keeping: a total order.

    Parameters
    ----------
    criteria : sequence of Criterion, each over n samples
        The first decides; the next is asked where it ties.
    ids : (n,) distinct str
        Decide last: the smaller id is kept.

    Returns
    -------
    (n,) int64
        A permutation, 0 = keep first.

    Notes
    -----
    Incremental: how two samples compare depends on these two only, so a component's order never changes with the rest.

    Examples
    --------
    >>> keep_rank([labelled(np.array([False, True, True]))], ["a", "b", "c"])
    array([2, 0, 1])
    """
    by_id = np.empty(len(ids), np.int64)
    by_id[np.argsort(np.asarray(ids, np.str_), kind="stable")] = np.arange(len(ids))
    keys = [by_id, *(_descending(criterion.values) for criterion in reversed(criteria))]
    rank = np.empty(len(ids), np.int64)
    rank[np.lexsort(keys)] = np.arange(len(ids))
    return rank


def _descending(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isnan(values), np.inf, -values)


def keep_reason(criteria: Sequence[Criterion], winner: int, loser: int) -> str:
    """Return why ``winner`` is kept rather than ``loser``, in words that follow its id.

    Parameters
    ----------
    criteria : sequence of Criterion
        As given to ``keep_rank``.
    winner, loser : int
        Positions; for a dropped sample the winner is its ``dropped_by``.

    Returns
    -------
    str

    Examples
    --------
    >>> criteria = [labelled(np.array([True, True])), file_size(np.array([10, 20]))]
    >>> keep_reason(criteria, 1, 0)
    'its file is larger (20 against 10 bytes)'
    >>> keep_reason(criteria[:1], 0, 1)
    'all else is equal and its id comes first'
    """
    for criterion in criteria:
        first, second = _descending(criterion.values[[winner, loser]])
        if first != second:
            return criterion.describe(winner, loser)
    return "all else is equal and its id comes first"
