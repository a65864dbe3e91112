"""How much an image differs from those most like it."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.incremental.signal import Check, MethodRun, Publication, Signal, Whole
from brain_assets.incremental.subjects import PICTURED, SUBJECT
from brain_assets.incremental.update import Update, declared_runs, literal, with_parameters
from brain_assets.methods.similarity.uniqueness import uniqueness, uniqueness_compat
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.settings.configuration import RunSettings
from brain_assets.resources.store.store import Merge


def update_uniqueness(update: Update) -> Iterator[Merge]:
    """Score the samples whose nearest three neighbours changed; compat scores all, as its space moves with every sample."""
    if update.run.settings["mode"] == "compat":
        rows = _compat(update)
        yield Merge("uniqueness", rows, within=f"brain_key = {update.key}")
        return
    source = literal(update.run.settings["similarity"])
    since = -1 if update.anew else update.since
    changed = update.query(
        f"select subject_id, distances[1:3] as distances from neighbors where brain_key = {source} and changed > {since}"
    )
    nearest = np.full((changed.num_rows, 3), np.nan, np.float32)
    lists = changed.column("distances").combine_chunks()
    filled = np.arange(3) < lists.value_lengths().to_numpy()[:, None]
    nearest[filled] = lists.flatten().to_numpy()
    yield Merge("uniqueness", _rows(update, changed.column("subject_id"), uniqueness(nearest)))
    gone = (
        f"brain_key = {update.key} and subject_id not in (select subject_id from neighbors where brain_key = {source})"
    )
    yield Merge("uniqueness", "select * exclude (changed) from uniqueness where false", within=gone)


def _compat(update: Update) -> pa.Table:
    rows = update.query(f"""
        select subject_id, vector from neighbors join embeddings using (subject_id) join vectors using (model_version, input_key)
        where neighbors.brain_key = {literal(update.run.settings["similarity"])}
            and embeddings.brain_key = {literal(update.run.settings["embeddings"])} order by subject_id""")
    values = rows.column("vector").combine_chunks().flatten().to_numpy()
    matrix = values.reshape(rows.num_rows, -1) if rows.num_rows else np.zeros((0, 1), np.float32)
    return _rows(update, rows.column("subject_id"), uniqueness_compat(matrix))


def _rows(update: Update, subjects: pa.ChunkedArray, raw: NDArray[np.floating]) -> pa.Table:
    return pa.table({
        "brain_key": pa.array([update.run.brain_key] * len(raw), pa.string()),
        "subject_id": subjects,
        "raw": pa.array(raw.astype(np.float64), from_pandas=True),
    })  # fmt: skip


def _runs(dataset: Dataset) -> list[MethodRun]:
    default = RunSettings(brain_key="uniqueness", method="uniqueness")
    return [_run(dataset, run) for run in (default, *declared_runs(dataset, "uniqueness"))]


def _run(dataset: Dataset, run: RunSettings) -> MethodRun:
    section = with_parameters(dataset.settings.uniqueness, run)
    return MethodRun(run.brain_key, {"similarity": run.similarity, "embeddings": run.embeddings, "mode": section.mode})


UNIQUENESS = Signal(
    name="uniqueness",
    description="How much each image differs from the three most like it: copies score near 0, the oddest image scores 1."
    " The least unique are redundant, the most unique are worth a look.",
    group="similarity",
    reads=("neighbors",),
    writes=("uniqueness",),
    update=Whole(update_uniqueness),
    runs=_runs,
    checks=(
        Check(
            "every_neighbor_list_has_a_score",
            "select count(*) from neighbors where brain_key = 'neighbors'"
            " and subject_id not in (select subject_id from uniqueness where brain_key = 'uniqueness')",
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
    metrics={"mean_uniqueness_raw": "select coalesce(avg(raw), 0) from uniqueness where brain_key = 'uniqueness'"},
)
