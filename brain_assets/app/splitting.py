"""Splits that cannot leak, planned from what is published: rows, a proof of what was checked, and files for training."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import yaml
from pydantic import ValidationError

from brain_assets.report.writing import write_file
from brain_assets.resources.errors import BrainError, ConfigurationError, MissingError
from brain_assets.resources.settings.configuration import DatasetSettings, SplitSettings
from brain_assets.resources.settings.validation import where, wrong
from brain_assets.resources.tabular import read_table
from brain_assets.signals.splits.members import CROSSING, PUBLISHED, Members, linked_by, read_members
from brain_assets.signals.splits.planned_splits import Planned, planned

Connection = duckdb.DuckDBPyConnection
NEEDED = ("samples", "pairs", "exact_duplicates", "ground_truth", "objects")
FORMS = {".csv": "csv", ".parquet": "parquet"}
CLUSTERS = """
    union all select sample_id, 'cluster:' || cluster from representativeness
    where brain_key = 'representativeness' and object_id is null and cluster >= 0"""
KEPT = "select sample_id, split from planned_splits where brain_key = 'planned_splits'"
ROWS = """
    select filepath, sample_id, planned.split, samples.split as given_split, unit_id, unit_size, planned.reason, uri
    from planned join samples using (sample_id) order by filepath, sample_id"""


@dataclass(frozen=True)
class Question:
    """What is to be planned.

    Attributes
    ----------
    settings : SplitSettings
    where : str, optional
        SQL condition on samples: only these are planned.
    previous : Path, optional
        A table of ``sample_id`` or ``filepath``, and ``split``: what is planned there stays.
    by_cluster : bool
        Whether the clusters of similar images keep their shares, too, as classes do.
    """

    settings: SplitSettings
    where: str | None = None
    previous: Path | None = None
    by_cluster: bool = False


@dataclass(frozen=True)
class SplitPlan:
    """Splits that were planned.

    Attributes
    ----------
    table : pyarrow.Table
        ``filepath``, ``sample_id``, ``split`` (NULL where it would leak whatever it is), ``given_split`` (the source's),
        ``unit_id``, ``unit_size``, ``reason`` and ``uri``, by path.
    proof : mapping
        What was asked for, checked and found, as JSON values.
    class_names : list of str
        The classes of the field of labels that is written for YOLO.
    """

    table: pa.Table
    proof: Mapping[str, Any]
    class_names: list[str]

    def df(self) -> Any:
        """Return the rows as a pandas frame."""
        return self.table.to_pandas()

    @cached_property
    def splits(self) -> dict[str, list[str]]:
        """The ids of each split's samples."""
        found: dict[str, list[str]] = {name: [] for name in self.proof["splits"]}
        columns = (self.table.column(name).to_pylist() for name in ("sample_id", "split"))
        for sample, split in zip(*columns, strict=True):
            if split is not None:
                found[split].append(sample)
        return found

    def write(self, path: str | Path, form: str | None = None, *, force: bool = False) -> list[Path]:
        """Write the plan, and its proof beside it.

        Parameters
        ----------
        path : str or Path
            A file, or for YOLO a folder that gets a list for each split, and ``data.yaml``.
        form : {"csv", "parquet", "yolo"}, optional
            By default that of the suffix, and YOLO where there is none.
        force : bool
            Whether files that are there are replaced.

        Returns
        -------
        list of Path
            What was written, the proof last.

        Raises
        ------
        BrainError
            In one line, if a file is there, cannot be written, or YOLO could not read an image where it lies.
        """
        path = Path(path).expanduser()
        form = form or FORMS.get(path.suffix.lower(), "" if path.suffix else "yolo")
        if form not in {*FORMS.values(), "yolo"}:
            raise ConfigurationError(
                f"{path}: splits are written as .csv or .parquet, or into a folder as YOLO's lists"
            )
        files = self._lists(path) if form == "yolo" else {path: _encoded(self.table.drop_columns(["uri"]), form)}
        beside = path / "splits.proof.json" if form == "yolo" else path.with_suffix(".proof.json")
        files[beside] = (json.dumps(self.proof, indent=2, ensure_ascii=False) + "\n").encode()
        for one in files:
            if one.exists() and not force:
                raise ConfigurationError(
                    f"{one} is there already: go on from it with --previous, or replace it with --force"
                )
        for one, content in files.items():
            one.parent.mkdir(parents=True, exist_ok=True)
            write_file(one, content, "plan")
        return list(files)

    def _lists(self, folder: Path) -> dict[Path, bytes]:
        if folder.is_file():
            raise ConfigurationError(f"{folder} is a file: YOLO's lists are written into a folder")
        lists: dict[str, list[str]] = {name: [] for name in self.proof["splits"]}
        columns = (self.table.column(name).to_pylist() for name in ("uri", "split"))
        for uri, split in zip(*columns, strict=True):
            if split is not None:
                lists[split].append(uri)
        if far := next((uri for uris in lists.values() for uri in uris if not Path(uri).is_file()), None):
            raise BrainError(f"{far} is no file on this machine, as YOLO's lists need it: write .csv or .parquet")
        files = {folder / f"{name}.txt": "".join(f"{uri}\n" for uri in uris).encode() for name, uris in lists.items()}
        return files | {folder / "data.yaml": self._data(folder, list(lists)).encode()}

    def _data(self, folder: Path, names: list[str]) -> str:
        said = {"path": str(folder.absolute()), **{name: f"{name}.txt" for name in names}}
        return yaml.safe_dump({**said, "names": dict(enumerate(self.class_names))}, sort_keys=False, allow_unicode=True)

    def __str__(self) -> str:
        return "\n".join(_told(self.proof))


def asked_for(kept: SplitSettings, shares: Mapping[str, float], said: Mapping[str, Any]) -> SplitSettings:
    """Return what is asked for: what is not said is as the plan that is kept has it, unless that is of another kind.

    Parameters
    ----------
    kept : SplitSettings
        Those of the dataset.
    shares : mapping of str to float
    said : mapping
        ``folds``, ``given``, ``repair``, ``relations`` and ``seed``; a repair starts from the splits that samples have.

    Raises
    ------
    ConfigurationError
        In one line, if a setting is unknown or wrong, or nothing is asked for.
    """
    said = {**said, "given": True} if said.get("repair") else dict(said)
    anew = {"shares": dict(shares), "folds": None, "given": False, "repair": False}
    try:
        settings = SplitSettings.model_validate(
            kept.model_dump() | (anew if shares or said.keys() & {"folds", "given"} else {}) | said
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigurationError(f"splits: {where(first)}: {wrong(first, SplitSettings.model_fields)}") from None
    if not settings.wanted:
        raise ConfigurationError(
            "say how to split: --train .8 --val .1 --test .1, --folds 5, or --repair what there is"
            " (in Python, shares, folds or repair)"
        )
    return settings


def split(connection: Connection, settings: DatasetSettings, question: Question) -> SplitPlan:
    """Plan splits, and check them once more by a query that does not know how they were made.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        Sees the published tables.
    settings : DatasetSettings
    question : Question

    Raises
    ------
    BrainError
        In one line, if copies are not known yet, the condition is no SQL over samples, or the previous plan cannot be read.
    """
    _check(connection, question)
    linked = linked_by(question.settings.relations, settings.near_duplicates.threshold)
    source = replace(PUBLISHED, classes=PUBLISHED.classes + CLUSTERS) if question.by_cluster else PUBLISHED
    members = read_members(lambda query: connection.sql(query).to_arrow_table(), source, linked, question.where)
    if not members.rows.num_rows:
        raise MissingError(
            "there are no samples to split" + (f" of which holds: {question.where}" if question.where else "")
        )
    found = planned(members, question.settings, _before(connection, question))
    connection.register("planned", found.rows)
    try:
        table = connection.sql(ROWS).to_arrow_table()
        leaks = connection.execute(_crossing(linked, question.where)).fetchall()[0][0]
    finally:
        connection.unregister("planned")
    return SplitPlan(table, _proof(settings, question, members, found, leaks), _classes(settings, members))


def _check(connection: Connection, question: Question) -> None:
    there = {row[0] for row in connection.execute("select view_name from duckdb_views()").fetchall()}
    needed = (*NEEDED, "representativeness") if question.by_cluster else NEEDED
    if missing := [name for name in needed if name not in there]:
        raise MissingError(
            f"the table {missing[0]} is not published yet: run 'brain materialize', which finds copies first"
        )
    if question.where is not None:
        try:
            connection.execute(f"select 1 from samples where ({question.where}) limit 0")
        except duckdb.Error as error:
            raise ConfigurationError(
                f"--where is no condition over samples: {str(error).partition(chr(10))[0]}"
            ) from None


def _before(connection: Connection, question: Question) -> dict[str, str | None]:
    """Return the splits that were planned before, by sample."""
    if question.previous is None:
        there = connection.execute("select 1 from duckdb_views() where view_name = 'planned_splits'").fetchall()
        return dict(connection.execute(KEPT).fetchall()) if there and _is_kept(connection, question) else {}
    path = question.previous
    rows = read_table(path, path.suffix[1:].lower())
    key = next((name for name in ("sample_id", "filepath") if name in rows.table.column_names), None)
    if rows.rejected or key is None or "split" not in rows.table.column_names:
        reason = rows.rejected[0].detail if rows.rejected else "it needs the columns split, and sample_id or filepath"
        raise ConfigurationError(f"{path} is no plan to go on from: {reason}")
    connection.register("previous", rows.table.select([key, "split"]))
    query = f"select sample_id, previous.split from previous join samples using ({key})"
    found = dict(connection.execute(query).fetchall())
    connection.unregister("previous")
    return found


def _is_kept(connection: Connection, question: Question) -> bool:
    """Return whether the plan that is kept as data arrives is the one that is asked for."""
    from brain_assets.signals.splits.planned_splits import plan_name

    kept = connection.execute(
        "select any_value(plan) from planned_splits where brain_key = 'planned_splits'"
    ).fetchall()
    return bool(kept[0][0] == plan_name(question.settings))


def _crossing(linked: str, where: str | None) -> str:
    return CROSSING.format(
        planned="select * from planned",
        samples=PUBLISHED.samples,
        where=where or "true",
        pairs=PUBLISHED.pairs,
        linked=linked,
    )


def _classes(settings: DatasetSettings, members: Members) -> list[str]:
    """Return the classes in the order of their numbers: as declared, else by name."""
    named = {name.partition(":")[2] for name in members.class_names if name.startswith("ground_truth:")}
    return [*settings.classes, *sorted(named - set(settings.classes))]


def _proof(
    settings: DatasetSettings, question: Question, members: Members, found: Planned, leaks: int
) -> dict[str, Any]:
    units, sizes = np.unique(np.array(found.rows.column("unit_id").to_pylist(), object), return_counts=True)
    largest = int(np.argmax(sizes))
    return {
        "asked": question.settings.model_dump(),
        "where": question.where,
        "previous": str(question.previous) if question.previous else None,
        "by_cluster": question.by_cluster,
        "model": settings.embeddings.model,
        "near_duplicates": settings.near_duplicates.model_dump(),
        "samples": members.rows.num_rows,
        "units": len(units),
        "largest_unit": {"unit_id": units[largest], "samples": int(sizes[largest])},
        "kept_together": dict(members.together),
        "pairs": dict(members.pairs),
        "splits": _shares(found, members),
        "classes": _class_counts(found, members),
        "moved": found.moved,
        "left_out": found.left_out,
        "checked": {"bonds": len(members.bonds.sample), "pairs": len(members.bonds.first)},
        "leaks": int(leaks),
        "leaking_samples": found.leaking,
    }


def _shares(found: Planned, members: Members) -> dict[str, dict[str, float]]:
    counts = found.counts
    total = max(sum(counts.values()), 1)
    classes = _class_table(found, members)
    each = classes.sum(axis=1, keepdims=True)
    apart = abs(classes / np.maximum(each, 1) - np.array(list(found.shares.values())))
    largest = apart.max(axis=0, initial=0.0)
    return {
        name: {
            "samples": counts[name],
            "share": counts[name] / total,
            "wanted": share,
            "class_deviation": float(largest[number]),
        }
        for number, (name, share) in enumerate(found.shares.items())
    }


def _class_table(found: Planned, members: Members) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the samples of each class, in rows, in each split."""
    sample, kind = members.classes
    counts = np.zeros((len(members.class_names), len(found.shares)), np.int64)
    there = found.split[sample] >= 0
    np.add.at(counts, (kind[there], found.split[sample[there]]), 1)
    return counts


def _class_counts(found: Planned, members: Members) -> dict[str, dict[str, int]]:
    table = _class_table(found, members).tolist()
    return {
        name: dict(zip(found.shares, row, strict=True)) for name, row in zip(members.class_names, table, strict=True)
    }


def _encoded(table: pa.Table, form: str) -> bytes:
    buffer = io.BytesIO()
    if form == "parquet":
        from pyarrow import parquet

        parquet.write_table(table, buffer)
    else:
        from pyarrow import csv

        csv.write_csv(table, buffer, csv.WriteOptions(quoting_style="needed"))
    return buffer.getvalue()


def _told(proof: Mapping[str, Any]) -> list[str]:
    """Return what is said of a plan, a line each."""
    width = max(len(name) for name in proof["splits"])
    lines = [
        f"{name:{width}}  {one['samples']:>8}  {one['share']:7.2%} (wanted {one['wanted']:.2%})"
        + (f", no class off by more than {one['class_deviation']:.2%}" if proof["classes"] else "")
        for name, one in proof["splits"].items()
    ]
    together = [f"{one['groups']} by {kind} ({one['samples']} samples)" for kind, one in proof["kept_together"].items()]
    together += [f"{count} pairs {relation}" for relation, count in proof["pairs"].items()]
    largest = proof["largest_unit"]
    units = f"{proof['units']} units, the largest of {largest['samples']} samples ({largest['unit_id']})"
    lines.append(f"{units}; kept together: {', '.join(together) or 'nothing'}")
    if proof["left_out"]:
        lines.append(f"left out {proof['left_out']}, as they belong to samples of several splits (split is empty)")
    if proof["moved"]:
        lines.append(f"moved {proof['moved']} to another split")
    if proof["leaks"]:
        lines.append(
            f"leaks: {proof['leaks']}, of {proof['leaking_samples']} samples that stay where they were: --repair moves them"
        )
    else:
        lines.append(f"leaks: 0 of {proof['checked']['bonds']} bonds and {proof['checked']['pairs']} pairs")
    smallest = min(proof["splits"].values(), key=lambda one: one["wanted"])
    if largest["samples"] > smallest["wanted"] * proof["samples"] and largest["samples"] > 1:
        lines.append(
            "the largest unit is larger than the smallest split: look at it with SQL on unit_id, or leave scenes out"
            " (--relations same,edited)"
        )
    return lines
