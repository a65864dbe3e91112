"""Compare what two versions published of a dataset: ``python -m tests.benchmarks.compare_published OLD NEW``.

OLD and NEW are folders of published Parquet files (``HOME/datasets/NAME/published/current``). Run each version's
``brain materialize`` on the same media, labels and predictions first, each in a home of its own. What differs is printed column
by column, with the reason why it does; the exit code is 1 where a difference has none.
"""

import argparse
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

# When, by which run and where: another computation of the same rows differs in these.
HISTORY = {
    "run_id", "added_at", "changed_at", "recorded_at", "fitted_at", "started_at", "finished_at", "at", "uri", "pack",
    "preview_offset",
}  # fmt: skip
BOOKKEEPING = {"runs", "health"}
CLOSE = 1e-5
# What names a row, of these columns those that a table has.
IDENTIFYING = (
    "brain_key", "calibration_id", "sample_id", "subject_id", "object_id", "content_hash", "issue", "source", "label_field",
    "model", "position", "rank", "tag", "decision_id", "metric", "name", "file", "line",
)  # fmt: skip
PARTNERED = {"pairs", "leaks"}
ROWS, COLUMNS, TABLE = "rows", "columns", "table"
# Why version 0.2 publishes something else than commit 9ef5d64, by table and column; "*" holds of all tables.
REASONS: dict[tuple[str, str], str] = {}


@dataclass(frozen=True)
class Difference:
    """What differs in a column of a table, in its rows, its columns, or in there being a table."""

    table: str
    what: str
    told: str

    @property
    def reason(self) -> str | None:
        """Why it does, None where nobody has said so."""
        return REASONS.get((self.table, self.what), REASONS.get(("*", self.what)))

    def __str__(self) -> str:
        return f"{self.table}: {self.told}: {self.reason or 'NO REASON IS KNOWN'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    arguments = parser.parse_args()
    before, after = tables(arguments.old), tables(arguments.new)
    found = [one for name in sorted(before.keys() | after.keys()) for one in differences(name, before, after)]
    print(*found, sep="\n")
    changed = {one.table for one in found if one.what != COLUMNS}
    print("equal:", ", ".join(sorted((before.keys() & after.keys()) - changed - BOOKKEEPING)))
    unexplained = sum(one.reason is None for one in found)
    print(f"{len(found)} differences, {unexplained} without a reason")
    raise SystemExit(unexplained > 0)


def tables(folder: Path) -> dict[str, str]:
    """Return the pattern of each table's files."""
    found = {path.stem: str(path) for path in folder.glob("*.parquet")}
    return found | {path.name: str(path / "*.parquet") for path in folder.iterdir() if path.is_dir()}


def differences(table: str, before: dict[str, str], after: dict[str, str]) -> Iterator[Difference]:
    """Yield what differs of a table."""
    if table in BOOKKEEPING:
        return
    if table not in before or table not in after:
        yield Difference(table, TABLE, "only in the new" if table in after else "only in the old")
        return
    old, new = _rows(before[table]), _rows(after[table])
    shared = sorted((old.keys() & new.keys()) - HISTORY)
    if gone := sorted(old.keys() - new.keys() - HISTORY):
        yield Difference(table, "columns gone", f"without {', '.join(gone)}")
    if added := sorted(new.keys() - old.keys() - HISTORY):
        yield Difference(table, COLUMNS, f"with {', '.join(added)}")
    keys = [name for name in (*IDENTIFYING, *(["partner_id"] if table in PARTNERED else [])) if name in shared]
    yield from _compared(table, _keyed(old, keys), _keyed(new, keys), [name for name in shared if name not in keys])


def _rows(pattern: str) -> dict[str, list[Any]]:
    with duckdb.connect() as connection:
        return connection.execute(f"from read_parquet('{pattern}')").to_arrow_table().to_pydict()


def _keyed(columns: dict[str, list[Any]], keys: list[str]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Return rows by what names them, and their number among those of one name."""
    found, seen = {}, Counter[tuple[Any, ...]]()
    for values in zip(*columns.values(), strict=True):
        row = dict(zip(columns, values, strict=True))
        key = tuple(row[name] for name in keys)
        found[*key, seen[key]] = row
        seen[key] += 1
    return found


def _compared(
    table: str,
    old: dict[tuple[Any, ...], dict[str, Any]],
    new: dict[tuple[Any, ...], dict[str, Any]],
    columns: list[str],
) -> Iterator[Difference]:
    gone, come = sorted(old.keys() - new.keys(), key=repr), sorted(new.keys() - old.keys(), key=repr)
    if gone or come:
        told = f"of {len(old)} rows {len(gone)} are gone, {len(come)} have come, such as {(gone or come)[0]}"
        yield Difference(table, ROWS, told)
    common = old.keys() & new.keys()
    for name in columns:
        wrong = sorted((key for key in common if not close(old[key][name], new[key][name])), key=repr)
        if wrong:
            one = wrong[0]
            told = f"{name} of {len(wrong)} rows of {len(common)}, such as {old[one][name]!r}, now {new[one][name]!r}"
            yield Difference(table, name, told)


def close(one: object, other: object) -> bool:
    """Return whether two values agree, numbers within the tolerance of the methods."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=CLOSE, abs_tol=CLOSE) or (math.isnan(one) and math.isnan(other))
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(close, one, other))
    return one == other


if __name__ == "__main__":
    main()
