"""Where an issue begins to be flagged, and how many would be flagged from elsewhere on: counted from stored values."""

from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from brain_assets.incremental.signal import Cutoff
from brain_assets.review.methods import Methods
from brain_assets.review.refusal import Refused
from brain_assets.review.sets import OpenSet
from brain_assets.review.subjects import Row, fetch
from brain_assets.review.wire import pack
from brain_assets.signals.registry import issue_named

# So many of the worst are counted one by one, and of the others so many are marks.
EXACT, MARKS = 10_000, 1000
Values = NDArray[np.float64]


def cutoff_of(issue: str) -> Cutoff:
    """Return where an issue begins; raises Refused (404) where that is no single number."""
    found = issue_named(issue).cutoff
    if found is None:
        raise Refused(404, f"{issue} has no threshold that is one number")
    return found


def threshold_message(opened: OpenSet, issue: str, methods: Methods | None) -> bytes:
    """Return what a threshold is compared with, as a message of `brain_assets.review.wire`.

    The header has ``setting``, ``worse``, ``counted``, ``judged`` (how many have a value), ``fitted`` (the threshold that
    holds, None where something else decides), and of the dataset's file, where the page may write to it, ``said``, ``origin``
    and ``description``. ``values`` has the values, the worst first, and ``ranks`` how many are as bad or worse: each of
    the worst ten thousand, and a thousand marks among the others.
    """
    cutoff = cutoff_of(issue)
    values, ranks = thinned(values_of(opened, cutoff), cutoff.worse)
    header: Row = {name: getattr(cutoff, name) for name in ("setting", "worse", "counted")}
    header |= {
        "judged": int(ranks[-1]) if len(ranks) else 0,
        "fitted": _fitted(opened, issue),
        "writes": methods is not None,
    }
    if methods is not None:
        setting = methods.setting(opened.paths.name, cutoff.setting)
        header |= {"said": setting.value, "origin": setting.origin, "description": setting.description}
    return pack(header, {"values": values, "ranks": ranks})


def values_of(opened: OpenSet, cutoff: Cutoff) -> Values:
    """Return the values that a threshold is compared with, those left out that cannot be judged or were not published."""
    try:
        columns = opened.cursor().execute(cutoff.query).fetchnumpy()
    except (duckdb.CatalogException, duckdb.BinderException):
        # A set that holds little, or that an older version published, may lack a table or a column.
        return np.zeros(0)
    measured = cutoff.measure(
        {name: np.ma.filled(column.astype(np.float64), np.nan) for name, column in columns.items()}
    )
    return measured[~np.isnan(measured)]


def thinned(values: Values, worse: str) -> tuple[Values, NDArray[np.uint32]]:
    """Return values, the worst first, and how many are as bad as each or worse; all of the worst, and marks among the others.

    Examples
    --------
    >>> values, ranks = thinned(np.array([0.2, 0.9, 0.5, 0.5]), "above")
    >>> values.tolist(), ranks.tolist()
    ([0.9, 0.5, 0.2], [1, 3, 4])
    """
    distinct, counts = np.unique(values, return_counts=True)
    if worse == "above":
        distinct, counts = distinct[::-1], counts[::-1]
    ranks = np.cumsum(counts).astype(np.uint32)
    if len(distinct) > EXACT + MARKS:
        kept = np.r_[:EXACT, np.linspace(EXACT, len(distinct) - 1, MARKS).astype(np.int64)]
        distinct, ranks = distinct[kept], ranks[kept]
    return np.ascontiguousarray(distinct), ranks


def _fitted(opened: OpenSet, issue: str) -> Any:
    if not opened.has("calibrations", "issue", "value"):
        return None
    rows = fetch(opened, "select value from calibrations where issue = ? order by fitted_at desc limit 1", [issue])
    return rows[0]["value"] if rows else None
