"""Which few samples to look at, or to label, next: as declared runs, and as a question about what is published."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from brain_assets.incremental.runs import runs_of, with_parameters
from brain_assets.incremental.signal import MethodRun, Publication, Signal, Whole
from brain_assets.incremental.subjects import PICTURED, SUBJECT
from brain_assets.incremental.update import Update, literal
from brain_assets.incremental.vectors import unit_rows
from brain_assets.methods.similarity.selections import Selection, facility_location, k_center, most_unique
from brain_assets.methods.similarity.uniqueness import uniqueness
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.errors import BrainError
from brain_assets.resources.settings.configuration import RunSettings, Section
from brain_assets.resources.store.store import Merge

Rows = Callable[[str], pa.Table]


class SelectionSettings(Section):
    """What a run of selections may set."""

    method: Literal["unique", "k-center", "facility-location"] = Field(
        "unique",
        description="unique: least like any other; k-center: covers the dataset's extent; facility-location: its bulk.",
    )
    count: int = Field(100, ge=1, le=100_000, description="Samples to select.")
    labeled: str | None = Field(
        None,
        description="SQL condition on samples that are labelled already: they count as chosen, and are never selected.",
    )


@dataclass(frozen=True)
class Choice:
    """What to select from: the keys of the runs that are read, and the condition that candidates meet."""

    settings: SelectionSettings
    embeddings: str = "embeddings"
    similarity: str = "neighbors"
    where: str | None = None


@dataclass(frozen=True)
class Source:
    """Where subjects, vectors and neighbours are read; queries that give the same columns in the store and published."""

    samples: str
    subjects: str
    vectors: str
    neighbors: str


STORE = Source(
    samples="sample_facts",
    subjects="embeddings",
    vectors="embeddings join vectors using (model_version, input_key)",
    neighbors="neighbors",
)
PUBLISHED_VECTORS = "(select *, coalesce(object_id, sample_id) as subject_id from embeddings)"
PUBLISHED = Source(
    samples="samples",
    subjects=PUBLISHED_VECTORS,
    vectors=PUBLISHED_VECTORS,
    neighbors="""(select brain_key, subject_id, list(neighbor_id order by rank) as neighbor_ids,
        list(distance order by rank) as distances from neighbors group by brain_key, subject_id)""",
)


@dataclass(frozen=True)
class Members:
    """The subjects that take part, ascending: candidates, and what is labelled already."""

    ids: pa.Array
    labeled: NDArray[np.int64]
    exclude: NDArray[np.int64]


def select(rows: Rows, source: Source, choice: Choice) -> pa.Table:
    """Return the selected subjects in order.

    Parameters
    ----------
    rows : callable
        Runs a query.
    source : Source
        The tables that it sees.
    choice : Choice

    Returns
    -------
    pyarrow.Table
        ``rank`` (from 1), ``subject_id`` and ``gain``, whose unit is that of the method.
    """
    members = _members(rows, source, choice)
    chosen = METHODS[choice.settings.method](rows, source, choice, members)
    return pa.table({
        "rank": pa.array(range(1, len(chosen.position) + 1), pa.int32()),
        "subject_id": members.ids.take(pa.array(chosen.position)),
        "gain": pa.array(chosen.gain),
    })  # fmt: skip


def select_published(connection: duckdb.DuckDBPyConnection, choice: Choice) -> pa.Table:
    """Return the samples selected from what is published: rank, subject_id, sample_id, filepath and gain.

    Raises
    ------
    BrainError
        If a condition is not SQL over ``samples``, in one line.
    """
    try:
        selected = select(lambda query: connection.sql(query).to_arrow_table(), PUBLISHED, choice)
        connection.register("selected", selected)
        return connection.sql(f"""
            select rank, subject_id, sample_id, filepath, gain from selected
            join (select subject_id, sample_id from {PUBLISHED.subjects} where brain_key = {literal(choice.embeddings)})
                using (subject_id)
            join samples using (sample_id) order by rank""").to_arrow_table()
    except duckdb.Error as error:
        raise BrainError(f"SQL: {' '.join(str(error).split())}") from None


def _members(rows: Rows, source: Source, choice: Choice) -> Members:
    wanted, labeled = _of(source, choice.where or "true"), _of(source, choice.settings.labeled or "false")
    found = rows(f"""
        select subject_id, {wanted} as wanted, {labeled} as labeled from {source.subjects}
        where brain_key = {literal(choice.embeddings)} and ({wanted} or {labeled}) order by subject_id""")
    outside = ~found.column("wanted").to_numpy(zero_copy_only=False).astype(np.bool_)
    known = found.column("labeled").to_numpy(zero_copy_only=False).astype(np.bool_)
    return Members(found.column("subject_id").combine_chunks(), np.flatnonzero(known), np.flatnonzero(outside))


def _of(source: Source, condition: str) -> str:
    return f"(sample_id in (select sample_id from {source.samples} where {condition}))"


def _unique(rows: Rows, source: Source, choice: Choice, members: Members) -> Selection:
    _, distances = _neighbors(rows, source, choice, members, 3)
    return most_unique(
        uniqueness(distances.astype(np.float32)), choice.settings.count, np.union1d(members.labeled, members.exclude)
    )


def _k_center(rows: Rows, source: Source, choice: Choice, members: Members) -> Selection:
    found = rows(f"""
        select vector from {source.vectors} where brain_key = {literal(choice.embeddings)}
            and ({_of(source, choice.where or "true")} or {_of(source, choice.settings.labeled or "false")})
        order by subject_id""")
    values = found.column("vector").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    matrix = values.reshape(found.num_rows, -1) if found.num_rows else np.zeros((0, 1), np.float32)
    return k_center(unit_rows(matrix), choice.settings.count, members.labeled, members.exclude)


def _facility_location(rows: Rows, source: Source, choice: Choice, members: Members) -> Selection:
    neighbors, distances = _neighbors(rows, source, choice, members)
    return facility_location(neighbors, distances, choice.settings.count, members.labeled, members.exclude)


METHODS = {"unique": _unique, "k-center": _k_center, "facility-location": _facility_location}


def _neighbors(
    rows: Rows, source: Source, choice: Choice, members: Members, width: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the lists of the members: positions (-1 for others and beyond the end) and distances (NaN beyond the end)."""
    import pyarrow.compute as pc

    cut = f"[1:{width}]" if width else ""
    found = rows(f"""
        select subject_id, neighbor_ids{cut} as neighbor_ids, distances{cut} as distances from {source.neighbors}
        where brain_key = {literal(choice.similarity)}""")
    places = pc.index_in(found.column("subject_id").combine_chunks(), members.ids)
    found = found.filter(places.is_valid())
    place = places.drop_null().to_numpy(zero_copy_only=False)
    lists = found.column("neighbor_ids").combine_chunks()
    lengths = lists.value_lengths().to_numpy(zero_copy_only=False)
    filled = np.arange(max(lengths, default=0)) < lengths[:, None]
    shape = (len(members.ids), filled.shape[1] if width is None else width)
    neighbors, distances = np.full(shape, -1, np.int64), np.full(shape, np.nan)
    row, slot = np.nonzero(filled)
    known = pc.index_in(lists.flatten(), members.ids).fill_null(-1)
    neighbors[place[row], slot] = known.to_numpy(zero_copy_only=False)
    distances[place[row], slot] = found.column("distances").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return neighbors, distances


def update_selections(update: Update) -> Iterator[Merge]:
    """Select anew, as one more sample may change every choice."""
    settings = update.run.settings
    choice = Choice(
        SelectionSettings.model_validate(settings["settings"]),
        settings["embeddings"],
        settings["similarity"],
        settings["where"],
    )
    selected = select(update.query, STORE, choice)
    keys = pa.array([update.run.brain_key] * selected.num_rows, pa.string())
    yield update.replace("selections", selected.append_column("brain_key", keys))


def _runs(dataset: Dataset) -> list[MethodRun]:
    return [_run(run) for run in runs_of(dataset, "selections")]


def _run(run: RunSettings) -> MethodRun:
    section = with_parameters(SelectionSettings(), run)
    settings = {"embeddings": run.embeddings, "similarity": run.similarity, "where": run.where}
    return MethodRun(run.brain_key, settings | {"settings": section.model_dump()})


SELECTIONS = Signal(
    name="selections",
    description="The samples to look at, or to label, next, in order: the most unique ones, or those that best cover the"
    " dataset. Only for runs that dataset.yaml declares.",
    group="similarity",
    reads=("neighbors", "embeddings", "vectors", "samples", "media"),
    writes=("selections",),
    update=Whole(update_selections),
    runs=_runs,
    options=frozenset({"embeddings", "parameters", "similarity", "where"}),
    parameters=lambda _: SelectionSettings(),
    publishes=(
        Publication(
            "selections",
            f"""
            select brain_key, rank, {SUBJECT}, gain
            from selections {PICTURED} order by brain_key, rank""",
            {
                "brain_key": "The run.",
                "rank": "1 is the first to look at.",
                "subject_id": "The object for crops, else the sample.",
                "sample_id": "The sample.",
                "object_id": "The object for crops; NULL for whole images.",
                "gain": "What it adds, given those before it: uniqueness, distance to the nearest chosen, or similarity served.",
            },
        ),
    ),
)
