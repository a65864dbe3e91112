"""Images that lie unusually far from even their nearest neighbours."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.incremental.calibrations import CHOSEN, calibrated
from brain_assets.incremental.digests import Slice
from brain_assets.incremental.runs import model_of, runs_of, similarity_run, similarity_settings
from brain_assets.incremental.signal import Check, Issue, IssueQuery, MethodRun, PerSubject, Publication, Sheet, Signal
from brain_assets.incremental.subjects import PICTURED, SUBJECT
from brain_assets.incremental.update import Update, section_settings
from brain_assets.incremental.words import Evidence, number, origin
from brain_assets.methods.similarity import outliers as method
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.settings.configuration import RunSettings

ISSUE = "outlier"
SCORES = """
    select outliers.brain_key, subject_id, raw, value as cut,
        if(value is null or raw is null, 0.0,
            0.5 + 0.5 * tanh((raw - value) / (evidence->>'scale')::double / 2)) as outlier_score,
        coalesce(raw > value, false) as is_outlier
    from outliers left join calibrations on calibrations.brain_key = outliers.brain_key and issue = 'outlier'"""


def _inputs(update: Update) -> list[Slice]:
    nearest = f"distances[1:{2 * method.N_NEIGHBORS}] as distances"
    return [Slice(f"select subject_id, {nearest} from neighbors where brain_key = {update.similarity}")]


def judge_outliers(update: Update, rows: pa.Table, _: None) -> pa.Table:
    """Measure how far subjects are from their neighbours that are no copies."""
    raw = method.neighbor_distance(_matrix(rows.column("distances")))
    return pa.table({
        "brain_key": pa.array([update.run.brain_key] * len(raw), pa.string()),
        "subject_id": rows.column("subject_id"),
        "raw": pa.array(raw.astype(np.float64), from_pandas=True),
    })  # fmt: skip


def fit_cut(update: Update) -> None:
    """Fit the cut where that is due: an input of the published scores, not of the distances."""
    calibrated(update, ISSUE, lambda: _fit(update), (float("inf"), {}))


def _matrix(lists: pa.ChunkedArray) -> NDArray[np.float32]:
    column = lists.combine_chunks()
    lengths = column.value_lengths().to_numpy(zero_copy_only=False)
    matrix = np.full((len(column), 2 * method.N_NEIGHBORS), np.nan, np.float32)
    matrix[np.arange(matrix.shape[1]) < lengths[:, None]] = column.flatten().to_numpy()
    return matrix


def _fit(update: Update) -> tuple[float, Mapping[str, Any]]:
    limit = update.dataset.settings.calibration.sample_size
    chosen = f"select sample_id from samples where content_hash in ({CHOSEN.format(limit=limit)})"
    raw = update.column(f"select raw from outliers where brain_key = {update.key} and subject_id in ({chosen})")
    fitted = method.calibrate(np.array(raw, np.float64))
    return fitted.cut, {"scale": fitted.scale, "median": fitted.median, "measured": fitted.samples}


def _runs(dataset: Dataset) -> list[MethodRun]:
    return [_run(dataset, run) for run in runs_of(dataset, "outliers", "outliers")]


def _run(dataset: Dataset, run: RunSettings) -> MethodRun:
    graph = similarity_run(dataset.settings, run.similarity)
    # A cut that was fitted to other distances says nothing of these.
    metric = similarity_settings(dataset.settings, run.similarity).metric
    return MethodRun(
        run.brain_key,
        {
            "similarity": run.similarity,
            "embeddings": graph.embeddings,
            "metric": metric,
            "model": model_of(dataset, graph.embeddings),
            **section_settings(dataset.settings.calibration),
        },
    )


def _say(evidence: Evidence, labels: str, partner: str) -> str:
    if evidence.get("threshold") is None:
        return ""
    return (
        f"{number(evidence.get('distance'))} away from the images most like it,"
        f" beyond {number(evidence['threshold'])}{origin(evidence)}."
    )


OUTLIER = Issue(
    "outlier",
    100,
    "Outliers",
    "Unlike all others in the dataset.",
    "Keep rare cases, drop what does not belong here.",
    _say,
)

OUTLIERS = Signal(
    name="outliers",
    description="Images unlike all others: the mean distance to their nearest neighbours that are not copies is above a cut"
    " that is fitted to the dataset once.",
    group="similarity",
    reads=("neighbors", "samples", "media", "embeddings"),
    writes=("outliers",),
    update=PerSubject("outliers", ("subject_id",), _inputs, judge_outliers, fit_cut),
    runs=_runs,
    options=frozenset({"similarity", "where"}),
    checks=(
        Check(
            "every_neighbor_list_has_a_distance",
            "select count(*) from neighbors where brain_key = {similarity}"
            " and subject_id not in (select subject_id from outliers where brain_key = {key})",
            "Each sample with neighbours was measured.",
        ),
    ),
    publishes=(
        Publication(
            "outliers",
            f"""
            select brain_key, {SUBJECT}, outlier_score, is_outlier, raw, cut
            from ({SCORES}) {PICTURED} order by outlier_score desc, raw desc, subject_id""",
            {
                "brain_key": "The run.",
                "subject_id": "The object for crops, else the sample.",
                "sample_id": "The sample.",
                "object_id": "The object for crops; NULL for whole images.",
                "outlier_score": "In [0, 1]; .5 at the cut; 0 while there is no cut.",
                "is_outlier": "Whether the distance is above the cut.",
                "raw": "Mean distance to the nearest ten neighbours that are not copies; NULL without any.",
                "cut": "The calibrated cut; NULL while the dataset is too small for one.",
            },
        ),
    ),
    issues=(
        IssueQuery(
            f"""
            select {SUBJECT}, 'outlier' as issue, brain_key as source,
                outlier_score as score, is_outlier as is_issue,
                json_object('distance', raw, 'threshold', cut, 'origin', 'calibrated') as evidence
            from ({SCORES}) {PICTURED}""",
            (OUTLIER,),
        ),
    ),
    chart=Sheet(
        "the farthest out", "select subject_id from outliers where brain_key = {default} order by raw desc, subject_id"
    ),
    view={"tab": "queue", "issue": OUTLIER.name},
)
