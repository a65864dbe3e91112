"""What became of what was given: how many samples have which split, read from the published tables."""

from collections.abc import Mapping

import duckdb

SPLITS = """
    select coalesce(split, 'none') as name, count(*) from samples where status <> 'dropped'
    group by name"""
ORDER = ("train", "val", "test")
SHOWN = 6


def split_counts(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Return how many samples are in each split, ``none`` for those without one; train, val and test come first."""
    return in_order(dict(connection.execute(SPLITS).fetchall()))


def in_order(counts: Mapping[str, int]) -> dict[str, int]:
    """Return counts of splits with train, val and test first, and what has none last."""
    known = (*ORDER, *sorted(counts.keys() - {*ORDER, "none"}), "none")
    return {name: counts[name] for name in known if name in counts}


def splits_told(counts: Mapping[str, int], split_from: str) -> str:
    """Return how many samples are in each split as a line; empty where none has one and none was asked for.

    Examples
    --------
    >>> splits_told({"train": 812, "val": 90, "none": 3}, "folder")
    'train 812, val 90, none 3'
    >>> splits_told({"none": 3}, "folder")
    'no sample has a split: no folder is called like one (split_from: folder), so there can be no leaks'
    """
    if set(counts) - {"none"}:
        shown = [f"{name} {count}" for name, count in counts.items()]
        return ", ".join([*shown[:SHOWN], *([f"{len(shown) - SHOWN} more splits"] if len(shown) > SHOWN else [])])
    if split_from == "none" or not counts:
        return ""
    missing = {"folder": "no folder is called like one", "column": "no column split says one"}[split_from]
    return f"no sample has a split: {missing} (split_from: {split_from}), so there can be no leaks"
