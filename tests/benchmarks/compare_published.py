"""Compare what two versions published of a dataset: ``python -m tests.benchmarks.compare_published OLD NEW``.

OLD and NEW are folders of published Parquet files (``HOME/datasets/NAME/published/current``). Run each version's
``brain materialize`` on the same media, labels and predictions first, each in a home of its own. What differs is printed column
by column, with the reason why it does; the exit code is 1 where a difference has none.
"""

import argparse
import json
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
# Why version 0.2 publishes something else than commit 9ef5d64, by table and column.
COPIES = "copies are told by corners that lie alike and pixels that agree inside what both show, no longer by a fitted distance"
REMOTE = "outliers are told by how remote they are from the body of the dataset, with a cut from eight images on"
DOUBT = "the score is the probability that a label is wrong, fitted to the set, and the builtin model counts, too"
FEW = "thresholds of image quality fit the dataset from eight images on, and three of its rules are new"
BUILTIN = "a small model, builtin, is fitted to the labels, and judges as those of files do"
RENAMED = "columns whose names can be written without quotes, beside the former ones"
FINDING = "issues follow the signals that raise them: labels, outliers and copies are judged in other ways"
REASONS: dict[tuple[str, str], str] = {
    ("box_faults", TABLE): "faults of labelled boxes are a signal that is new",
    ("class_overlaps", TABLE): "what models and labels have in common is told where they have nothing",
    ("expected_issues", TABLE): "how many flagged labels are expected to be wrong",
    ("input_files", TABLE): "files of labels and predictions are told of",
    ("vector_indexes", TABLE): "vectors may be kept in an index outside of the dataset",
    ("decisions", COLUMNS): RENAMED,
    ("tags", COLUMNS): RENAMED,
    ("tag_history", COLUMNS): RENAMED,
    ("embeddings", COLUMNS): "subject_id, as other tables with a brain_key have it",
    ("image_quality", COLUMNS): "what stands on an even ground is measured without the ground",
    ("image_quality", "edge_density"): "of a gradient that is the limit itself, numpy rounds the last bit otherwise",
    ("issues", COLUMNS): "the score where it is a probability",
    ("label_issues", COLUMNS): DOUBT,
    ("objects", COLUMNS): "whether a file or a reviewer says so",
    ("rejected_rows", COLUMNS): "the rejected line itself",
    ("samples", COLUMNS): "when a file is tried again that could not be read for an outer reason",
    ("pairs", COLUMNS): COPIES,
    ("near_duplicates", COLUMNS): COPIES,
    ("leaks", COLUMNS): COPIES,
    ("calibrations", ROWS): f"{FEW}; {COPIES}",
    ("calibrations", "value"): f"{FEW}; {REMOTE}",
    ("calibrations", "evidence"): f"{FEW}; {REMOTE}",
    ("components", ROWS): COPIES,
    ("components", "threshold"): COPIES,
    ("near_duplicates", ROWS): COPIES,
    ("near_duplicates", "distance"): COPIES,
    ("pairs", ROWS): "of an image that resembles one the ten nearest are compared, too: they tell what is usual",
    ("pairs", "distance"): COPIES,
    ("pairs", "verification"): COPIES,
    ("outliers", "cut"): REMOTE,
    ("outliers", "is_outlier"): REMOTE,
    ("outliers", "outlier_score"): REMOTE,
    ("outliers", "raw"): REMOTE,
    ("hardness", ROWS): BUILTIN,
    ("mistakenness", ROWS): BUILTIN,
    ("predictions", ROWS): BUILTIN,
    **{("label_issues", column): DOUBT for column in (
        "by_neighbors", "by_predictions", "given_probability", "is_issue", "neighbors_suggested", "score", "suggested",
        "suggested_probability",
    )},
    **{("issues", what): FINDING for what in (ROWS, "evidence", "is_issue", "score")},
}  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """What differs in a column of a table, in its rows, its columns, or in there being a table."""

    table: str
    what: str
    told: str

    @property
    def reason(self) -> str | None:
        """Why it does, None where nobody has said so."""
        return REASONS.get((self.table, self.what))

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
        return connection.sql(f"from read_parquet('{pattern}')").to_arrow_table().to_pydict()


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
    """Return whether two values agree, numbers within the tolerance of the methods, in JSON as well."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=CLOSE, abs_tol=CLOSE) or (math.isnan(one) and math.isnan(other))
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(close, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(close(one[name], other[name]) for name in one)
    if isinstance(one, str) and isinstance(other, str) and one.startswith("{") and one != other:
        return close(json.loads(one), json.loads(other))
    return one == other


if __name__ == "__main__":
    main()
