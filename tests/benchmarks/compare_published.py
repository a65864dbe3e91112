"""Compare what two versions published of a dataset, by table: ``python -m tests.benchmarks.compare_published OLD NEW``.

OLD and NEW are folders of published Parquet files (``HOME/datasets/NAME/published/current``). Run each version's
``brain materialize`` on the same media, labels and predictions first, each in a home of its own.
"""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

import duckdb

# When, by which run and where: another computation of the same rows differs in these.
HISTORY = {
    "run_id",
    "added_at",
    "changed_at",
    "recorded_at",
    "fitted_at",
    "started_at",
    "finished_at",
    "at",
    "uri",
    "pack",
}
BOOKKEEPING = {"runs", "health"}
CLOSE = 1e-5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    arguments = parser.parse_args()
    for line in differences(arguments.old, arguments.new):
        print(line)


def differences(old: Path, new: Path) -> Iterator[str]:
    """Yield a line for every table: equal, or what differs."""
    before, after = tables(old), tables(new)
    for name in sorted(before.keys() | after.keys()):
        if name in BOOKKEEPING:
            continue
        if name not in before or name not in after:
            yield f"{name}: only in {'new' if name in after else 'old'}"
            continue
        yield f"{name}: {compared(before[name], after[name])}"


def tables(folder: Path) -> dict[str, str]:
    """Return the pattern of each table's files."""
    found = {path.stem: str(path) for path in folder.glob("*.parquet")}
    return found | {path.name: str(path / "*.parquet") for path in folder.iterdir() if path.is_dir()}


def compared(old: str, new: str) -> str:
    """Return in words how two tables differ."""
    with duckdb.connect() as connection:
        connection.execute(f"create view old as from read_parquet('{old}')")
        connection.execute(f"create view new as from read_parquet('{new}')")
        columns = [{row[0] for row in connection.execute(f"describe {side}").fetchall()} for side in ("old", "new")]
        shared = sorted((columns[0] & columns[1]) - HISTORY)
        listed = ", ".join(f'"{name}"' for name in shared)
        rows = [connection.execute(f"select {listed} from {side} order by all").fetchall() for side in ("old", "new")]
    words = []
    if gone := sorted(columns[0] - columns[1]):
        words.append(f"columns gone {gone}")
    if added := sorted(columns[1] - columns[0]):
        words.append(f"columns added {added}")
    if len(rows[0]) != len(rows[1]):
        words.append(f"{len(rows[0])} rows, now {len(rows[1])}")
    elif wrong := [pair for pair in zip(*rows, strict=True) if not all(map(close, *pair))]:
        words.append(f"{len(wrong)} of {len(rows[0])} rows differ, such as {wrong[0][0]} and {wrong[0][1]}")
    return "; ".join(words) or f"equal ({len(rows[0])} rows)"


def close(one: object, other: object) -> bool:
    """Return whether two values agree, numbers within the tolerance of the methods."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=CLOSE, abs_tol=CLOSE) or (math.isnan(one) and math.isnan(other))
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(close, one, other))
    return one == other


if __name__ == "__main__":
    main()
