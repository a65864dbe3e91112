"""How much an image differs from those most like it."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.incremental.digests import Slice
from brain_assets.incremental.runs import runs_of, with_parameters
from brain_assets.incremental.signal import Check, Histogram, MethodRun, PerSubject, Publication, Signal
from brain_assets.incremental.subjects import PICTURED, SUBJECT
from brain_assets.incremental.update import Update
from brain_assets.incremental.vectors import read_vectors
from brain_assets.methods.similarity.uniqueness import uniqueness, uniqueness_compat
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.settings.configuration import RunSettings


def _inputs(update: Update) -> list[Slice]:
    """Compat scores all at once, as its space moves with every sample."""
    lists = f"select subject_id, distances[1:3] as distances from neighbors where brain_key = {update.similarity}"
    if update.run.settings["mode"] == "compat":
        contents = f"select subject_id, model_version, input_key from embeddings where brain_key = {update.embeddings}"
        members = f"select subject_id from neighbors where brain_key = {update.similarity}"
        return [update.together(f"{contents} and subject_id in ({members})")]
    return [Slice(lists)]


def judge_uniqueness(update: Update, rows: pa.Table, _: None) -> pa.Table:
    """Score subjects by the distances to their nearest three neighbours."""
    if update.run.settings["mode"] == "compat":
        return _compat(update, rows)
    nearest = np.full((rows.num_rows, 3), np.nan, np.float32)
    lists = rows.column("distances").combine_chunks()
    filled = np.arange(3) < lists.value_lengths().to_numpy()[:, None]
    nearest[filled] = lists.flatten().to_numpy()
    return _rows(update, rows.column("subject_id"), uniqueness(nearest))


def _compat(update: Update, members: pa.Table) -> pa.Table:
    update.dataset.store.connection.register("compared", members)
    vectors = read_vectors(update, "subject_id in (select subject_id from compared)")
    return _rows(update, pa.chunked_array([vectors.ids]), uniqueness_compat(vectors.matrix))


def _rows(update: Update, subjects: pa.ChunkedArray, raw: NDArray[np.floating]) -> pa.Table:
    return pa.table({
        "brain_key": pa.array([update.run.brain_key] * len(raw), pa.string()),
        "subject_id": subjects,
        "raw": pa.array(raw.astype(np.float64), from_pandas=True),
    })  # fmt: skip


def _runs(dataset: Dataset) -> list[MethodRun]:
    return [_run(dataset, run) for run in runs_of(dataset, "uniqueness", "uniqueness")]


def _run(dataset: Dataset, run: RunSettings) -> MethodRun:
    section = with_parameters(dataset.settings.uniqueness, run)
    return MethodRun(run.brain_key, {"similarity": run.similarity, "embeddings": run.embeddings, "mode": section.mode})


UNIQUENESS = Signal(
    name="uniqueness",
    description="How much each image differs from the three most like it: copies score near 0, the oddest image scores 1."
    " The least unique are redundant, the most unique are worth a look.",
    group="similarity",
    reads=("neighbors", "embeddings", "vectors"),
    writes=("uniqueness",),
    update=PerSubject("uniqueness", ("subject_id",), _inputs, judge_uniqueness),
    runs=_runs,
    options=frozenset({"embeddings", "parameters", "similarity", "where"}),
    parameters=lambda settings: settings.uniqueness,
    checks=(
        Check(
            "every_neighbor_list_has_a_score",
            "select count(*) from neighbors where brain_key = {similarity}"
            " and subject_id not in (select subject_id from uniqueness where brain_key = {key})",
            "Each sample with neighbours has a score.",
        ),
        Check(
            "no_score_without_a_sample",
            "select count(*) from uniqueness where subject_id not in (select sample_id from samples)"
            " and subject_id not in (select object_id from objects)",
            "No score is left of a sample that is gone.",
        ),
    ),
    publishes=(
        Publication(
            "uniqueness",
            f"""
            select brain_key, {SUBJECT},
                coalesce(raw / nullif(max(raw) over (partition by brain_key), 0), if(raw is null, 1.0, 0.0)) as uniqueness, raw
            from uniqueness {PICTURED} order by uniqueness desc, subject_id""",
            {
                "brain_key": "The run.",
                "subject_id": "The object for crops, else the sample.",
                "sample_id": "The sample.",
                "object_id": "The object for crops; NULL for whole images.",
                "uniqueness": "raw divided by the largest of the dataset: 1 is the most unique; 1 for a sample alone.",
                "raw": "Weighted mean (.6, .3, .1) of the distances to the nearest three; NULL without neighbours.",
            },
        ),
    ),
    metrics={"mean_uniqueness_raw": "select coalesce(avg(raw), 0) from uniqueness where brain_key = {key}"},
    chart=Histogram("raw uniqueness", "select raw from uniqueness where brain_key = {default}"),
    view={"colour": "uniqueness", "sort": "uniqueness"},
)
