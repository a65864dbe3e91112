"""What became of what was given: the splits of samples, and every row of labels and predictions.

A row is *used*, *waits* for its sample to arrive, or is *rejected* for a reason. One count of these stands behind the
lines of commands, report, review page and sensor, the metadata of runs, the numbers of health and the gates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import duckdb

from brain_assets.incremental.signal import Publication
from brain_assets.ingest.input_rows import REJECTED_ROWS

Role = Literal["labels", "predictions"]
ROLES: tuple[Role, ...] = ("labels", "predictions")
WAITS = "no_sample"
REASONS_SHOWN, LONGEST_EXAMPLE = 3, 80
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


@dataclass(frozen=True)
class Reason:
    """Why rows are not used, how many, and the first of them."""

    reason: str
    rows: int
    file: str
    line: int | None
    detail: str

    def __str__(self) -> str:
        place = f"{self.file} line {self.line}" if self.line else self.file
        detail = self.detail if len(self.detail) <= LONGEST_EXAMPLE else f"{self.detail[:LONGEST_EXAMPLE]}..."
        return f"{self.rows} {self.reason}, as {place}" + (f": {detail}" if detail else "")


@dataclass(frozen=True)
class Account:
    """What became of the rows of one role.

    Attributes
    ----------
    role : {"labels", "predictions"}
    files : int
        Files that were read.
    used : int
        Labels or predictions that count: of whole images, of objects, and images that are said to hold none.
    reasons : sequence of Reason
        Why the others do not, the commonest first; ``no_sample`` waits, all others are rejected.
    strangers : sequence of str
        Models that share no class with the labels, in words: nothing is judged by their predictions.
    """

    role: Role
    files: int
    used: int
    reasons: Sequence[Reason] = field(default_factory=tuple)
    strangers: Sequence[str] = ()

    @property
    def waiting(self) -> int:
        """Rows whose sample is not there yet."""
        return sum(one.rows for one in self.reasons if one.reason == WAITS)

    @property
    def rejected(self) -> int:
        """Rows, and whole files, that cannot be used."""
        return sum(one.rows for one in self.reasons if one.reason != WAITS)

    @property
    def is_lost(self) -> bool:
        """Whether something was given and nothing of it is used."""
        return not self.used and bool(self.files or self.reasons)

    @property
    def is_lossy(self) -> bool:
        """Whether somebody should look: rows are rejected, or nothing is used."""
        return bool(self.rejected) or self.is_lost

    def __str__(self) -> str:
        counts = [f"{self.used or 'none'} used" if self.is_lost or self.used else ""]
        counts += [f"{self.waiting} wait for their sample"] if self.waiting else []
        counts += [f"{self.rejected} rejected"] if self.rejected else []
        shown = "; ".join(str(one) for one in self.reasons[:REASONS_SHOWN])
        told = f"{self.role}: {', '.join(one for one in counts if one)}" + (f" ({shown})" if shown else "")
        return "; ".join([told, *self.strangers])


# The tables as they are published, and the same in the store; what is counted is said once, below.
PUBLISHED = {
    "rejected": "rejected_rows",
    "objects": "select source as owner from objects",
    "images": "select source as owner, objects from object_images",
    "predictions": "select 1 from predictions where position = 0 and model <> 'builtin'",
    "files": "select role from input_files",
}
STORED = {
    "rejected": f"({REJECTED_ROWS})",
    "objects": "select model as owner from objects",
    "images": "select model as owner, objects from object_images",
    "predictions": "select 1 from predictions",
    "files": "select role from input_files",
}
USED = {
    "labels": """
        (select count(*) from ground_truth) + (select count(*) from ({objects}) where owner = 'ground_truth')
        + (select count(*) from ({images}) where owner = 'ground_truth' and objects = 0)""",
    "predictions": """
        (select count(*) from ({predictions})) + (select count(*) from ({objects}) where owner <> 'ground_truth')
        + (select count(*) from ({images}) where owner <> 'ground_truth' and objects = 0)""",
}
REASONS = """
    select reason, count(*) as rows, arg_min(struct_pack(file, line, detail), (file, coalesce(line, 0), detail)) as first
    from {rejected} where role = ? group by reason order by rows desc, reason"""


STRANGERS = """
    select model, array_to_string(label_examples[:3], ', '), array_to_string(prediction_examples[:3], ', ') from class_overlaps
    where not comparable order by all"""


def accounts(connection: duckdb.DuckDBPyConnection) -> list[Account]:
    """Return what became of labels and of predictions, where any were given, as the published tables say it.

    A set that an older version published has fewer tables; what these would count is not counted.
    """
    views = {
        name for (name,) in connection.execute("select view_name from duckdb_views() where not internal").fetchall()
    }
    if not {"rejected_rows", "ground_truth", "predictions", "objects", "object_images"} <= views:
        return []
    known = dict(PUBLISHED)
    if "input_files" not in views:
        known["files"] = "select '' as role where false"
    found = [_account(connection, role, known) for role in ROLES]
    return [one for one in found if one.files or one.used or one.reasons]


def _account(connection: duckdb.DuckDBPyConnection, role: Role, tables: Mapping[str, str]) -> Account:
    def number(query: str) -> int:
        return int(connection.execute(query).fetchall()[0][0])

    reasons = [
        Reason(reason, rows, first["file"] or "", first["line"], first["detail"] or "")
        for reason, rows, first in connection.execute(REASONS.format(**tables), [role]).fetchall()
    ]
    files = number(f"select count(*) from ({tables['files']}) where role = '{role}'")
    strangers = [] if role == "labels" else _strangers(connection)
    return Account(role, files, number(f"select {USED[role].format(**tables)}"), reasons, strangers)


def _strangers(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Return of each model that speaks of other classes than the labels that it does; an older set does not tell."""
    columns = connection.execute(
        "select column_name from duckdb_columns() where table_name = 'class_overlaps'"
    ).fetchall()
    if ("label_examples",) not in columns:
        return []
    return [
        f"nothing is judged by {model}, which has no class in common with the labels ({labelled} against {predicted}):"
        " name the classes in the order of its numbers (classes in dataset.yaml)"
        for model, labelled, predicted in connection.execute(STRANGERS).fetchall()
    ]


def rows_told(found: Sequence[Account]) -> str:
    """Return what became of labels and predictions as one line; empty where none were given."""
    return "; ".join(str(one) for one in found)


def losses_told(found: Sequence[Account]) -> str:
    """Return the same of those alone of which rows are not used."""
    return rows_told([one for one in found if one.reasons or one.is_lost])


def as_metadata(found: Sequence[Account]) -> dict[str, Any]:
    """Return the numbers for machines, by name."""
    shown: dict[str, Any] = {}
    for one in found:
        shown |= {
            f"{one.role} used": one.used,
            f"{one.role} waiting": one.waiting,
            f"{one.role} rejected": one.rejected,
        }
        shown |= {f"{one.role} {reason.reason}": str(reason) for reason in one.reasons[:REASONS_SHOWN]}
    return shown


def _share(role: Role) -> str:
    rejected = f"select count(*) from {STORED['rejected']} where role = '{role}' and reason <> '{WAITS}'"
    return f"""select coalesce(rejected / nullif(rejected + used, 0), 0)
        from (select ({rejected}) as rejected, {USED[role].format(**STORED)} as used)"""


def _lost(role: Role) -> str:
    """Return the query of 1 where files were given, images are there, and nothing of the files is used; else of 0."""
    given = f"exists (from ({STORED['files']}) where role = '{role}') and exists (from live_samples)"
    return f"select ({given} and ({USED[role].format(**STORED)}) = 0)::int"


METRICS: Mapping[str, str] = {
    **{f"rejected_{role}_share": _share(role) for role in ROLES},
    **{f"unused_{role}": _lost(role) for role in ROLES},
}
INPUT_FILES = Publication(
    "input_files",
    "select role, file, bytes, rows_read as rows from input_files order by role, source, file",
    {
        "role": "labels or predictions.",
        "file": "The file, below the address that the dataset declares.",
        "bytes": "Its size.",
        "rows": "Rows, objects and images that were read in it, whether they are used or wait.",
    },
)
