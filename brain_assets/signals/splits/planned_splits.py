"""Splits without leaks, kept as data arrives: what is planned stays, what is new joins what it belongs to."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.incremental.runs import runs_of, with_parameters
from brain_assets.incremental.signal import Check, MethodRun, Publication, Signal, Table, Whole
from brain_assets.incremental.update import Update
from brain_assets.methods.splits.planning import NOWHERE, Rows, leaking, plan, repaired
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.settings.configuration import RunSettings, SplitSettings
from brain_assets.resources.store.store import Merge
from brain_assets.signals.splits.members import CROSSING, STORE, Members, linked_by, read_members

ORDER = ("train", "val", "test")
TORN = "it belongs to samples of several splits"
PLANNED = "select sample_id, split, plan from planned_splits where brain_key = ?"
# Of a run, the pairs that must not be torn apart, as its last update had them.
LINKED = """
    (list_contains((select from_json(settings -> '$.splits.relations', '["varchar"]') from watermarks
            where asset = 'planned_splits' and brain_key = {key}), relation)
        or (decided is null and distance <= (select (settings ->> '$.threshold')::double from watermarks
            where asset = 'planned_splits' and brain_key = {key})))"""
LEAKS = CROSSING.format(
    planned="select * from planned_splits where brain_key = {key}",
    samples=STORE.samples,
    where="true",
    pairs=STORE.pairs,
    linked=LINKED,
)


@dataclass(frozen=True)
class Planned:
    """A plan, with what was asked for.

    Attributes
    ----------
    rows : pyarrow.Table
        As ``planned_splits`` has them.
    shares : mapping of str to float
        Of each split.
    split, given : (n,) int64
        Index of each sample's split now, and of the one it had before; -1 without one.
    leaking : int
        Samples that belong to others in another split, as what is kept leaks and is not to be moved.
    """

    rows: pa.Table
    shares: Mapping[str, float]
    split: Rows
    given: Rows
    leaking: int

    @property
    def moved(self) -> int:
        """Samples that were in a split and are in another now."""
        return int(((self.given != NOWHERE) & (self.split != self.given)).sum())

    @property
    def counts(self) -> dict[str, int]:
        """Samples in each split."""
        placed = np.bincount(self.split[self.split >= 0], minlength=len(self.shares))
        return dict(zip(self.shares, placed.tolist(), strict=True))

    @property
    def left_out(self) -> int:
        """Samples that would leak wherever they went."""
        return int((self.split == NOWHERE).sum())


def shares_of(settings: SplitSettings, given: Sequence[str | None]) -> dict[str, float]:
    """Return the share of each split: as asked for, or as the splits are that samples have.

    Raises
    ------
    ConfigurationError
        If there are no shares, or less than two splits.
    """
    if settings.folds:
        return {f"fold_{number}": 1 / settings.folds for number in range(1, settings.folds + 1)}
    shares = dict(settings.shares)
    if not shares and settings.given:
        named = [one for one in given if one]
        shares = {name: named.count(name) / len(named) for name in set(named)}
    if len(shares) < 2:
        there = f"all samples that have a split are in {next(iter(shares))}" if shares else "no sample has a split"
        raise ConfigurationError(
            f"splits: {there}, so that there is nothing to start from: say shares, such as {{train: 0.8, val: 0.1, test: 0.1}}"
            if settings.given and not settings.shares
            else "splits: name at least two splits, such as {train: 0.8, test: 0.2}"
        )
    names = [*(name for name in ORDER if name in shares), *sorted(shares.keys() - set(ORDER))]
    return {name: shares[name] for name in names}


def plan_name(settings: SplitSettings) -> str:
    """Return what names a plan: with other shares, folds or another seed nothing of it is kept."""
    return json.dumps({"shares": settings.shares, "folds": settings.folds, "seed": settings.seed}, sort_keys=True)


def planned(members: Members, settings: SplitSettings, before: Mapping[str, str | None]) -> Planned:
    """Return where samples go.

    Parameters
    ----------
    members : Members
    settings : SplitSettings
    before : mapping of str to str
        The splits that samples were given by the plan that is kept, by id.

    Raises
    ------
    ConfigurationError
        As `shares_of` does.
    """
    ids: list[str] = members.rows.column("sample_id").to_pylist()
    own: list[str | None] = members.rows.column("split").to_pylist()
    shares = shares_of(settings, own)
    place = {name: number for number, name in enumerate(shares)}
    starts = own if settings.given else [None] * len(ids)
    wanted = (before.get(one) or start for one, start in zip(ids, starts, strict=True))
    given = np.array([place.get(name or "", NOWHERE) for name in wanted], np.int64)
    kept = repaired(members.bonds, given, len(shares)) if settings.repair else given
    found = plan(members.bonds, members.classes, kept, list(shares.values()), _order(ids, settings.seed))
    names, size = np.array(ids, object), np.bincount(found.unit, minlength=len(ids))
    splits = [*shares, None]
    rows = {
        "sample_id": pa.array(ids, pa.string()),
        "split": pa.array([splits[one] for one in found.split.tolist()], pa.string()),
        "unit_id": pa.array(names[found.unit].tolist(), pa.string()),
        "unit_size": pa.array(size[found.unit].astype(np.int32)),
        "reason": pa.array([TORN if one == NOWHERE else None for one in found.split.tolist()], pa.string()),
        "plan": pa.array([plan_name(settings)] * len(ids), pa.string()),
    }
    return Planned(pa.table(rows), shares, found.split, given, len(leaking(members.bonds, found.split)))


def _order(ids: Sequence[str], seed: int) -> NDArray[np.uint64]:
    digests = b"".join(blake2b(f"{seed} {one}".encode(), digest_size=8).digest() for one in ids)
    return np.frombuffer(digests, ">u8").astype(np.uint64)


def update_planned_splits(update: Update) -> Iterator[Merge]:
    """Plan what is new; what is planned stays where it is, unless it leaks and is to be repaired."""
    settings = SplitSettings.model_validate(update.run.settings["splits"])
    linked = linked_by(settings.relations, update.run.settings["threshold"])
    members = read_members(update.query, STORE, linked, update.run.settings["where"])
    rows = update.query(PLANNED, [update.run.brain_key]).to_pylist()
    before = {row["sample_id"]: row["split"] for row in rows if row["plan"] == plan_name(settings)}
    found = planned(members, settings, before)
    update.notes |= {f"in {name}": count for name, count in found.counts.items()}
    update.notes |= {"left out": found.left_out, "moved": found.moved, "leaking": found.leaking}
    yield update.replace("planned_splits", found.rows)


def _runs(dataset: Dataset) -> list[MethodRun]:
    section = dataset.settings.splits
    default = "planned_splits" if section.wanted else None
    return [_run(dataset, run) for run in runs_of(dataset, "planned_splits", default)]


def _run(dataset: Dataset, run: RunSettings) -> MethodRun:
    section = with_parameters(dataset.settings.splits, run)
    if not section.wanted:
        raise ConfigurationError(f"dataset.yaml: run {run.brain_key}: give shares, folds or given among its parameters")
    settings = {
        "splits": section.model_dump(),
        "where": run.where,
        "threshold": dataset.settings.near_duplicates.threshold,
    }
    return MethodRun(run.brain_key, settings)


COLUMNS = {
    "sample_id": ("varchar", "The sample."),
    "split": ("varchar", "Where it is to be; NULL where it would leak whatever its split."),
    "unit_id": ("varchar", "Smallest id among the samples that it belongs together with, its own included."),
    "unit_size": ("integer", "How many these are."),
    "reason": ("varchar", "Why it is in no split."),
    "plan": ("varchar", "What was asked for, as JSON; with other shares, folds or seed all samples are planned anew."),
}

PLANNED_SPLITS = Signal(
    name="planned_splits",
    description="Splits that cannot leak, where dataset.yaml asks for them: copies, same scenes, frames of a video and members"
    " of a group stay together, classes keep their shares, and samples that are planned stay where they are as others arrive.",
    group="duplicates",
    reads=("samples", "media", "content_pairs", "said_pairs", "exact_duplicates", "ground_truth", "objects"),
    tables=(Table("planned_splits", COLUMNS, key=("sample_id",)),),
    update=Whole(update_planned_splits),
    runs=_runs,
    options=frozenset({"parameters", "where"}),
    parameters=lambda settings: settings.splits,
    checks=(Check("planned_splits_do_not_leak", LEAKS, "Nothing that belongs together is planned into two splits."),),
    publishes=(
        Publication(
            "planned_splits",
            """
            select brain_key, sample_id, split, unit_id, unit_size, reason, plan, sample_id as subject_id,
                null::varchar as object_id
            from planned_splits order by brain_key, sample_id""",
            {
                "brain_key": "The run.",
                **{name: meaning for name, (_, meaning) in COLUMNS.items()},
                "subject_id": "The sample.",
                "object_id": "NULL.",
            },
        ),
    ),
    metrics={
        "planned_leaks": LEAKS,
        # Of all runs, so that it is asked, and numbers are taken again, where there was none before.
        "planned_left_out": "select count(*) from planned_splits where split is null",
    },
)
