"""Images, alone or in groups, that lie apart from the body of the dataset."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.incremental.calibrations import Calibration, Fitting, calibrated
from brain_assets.incremental.digests import Slice
from brain_assets.incremental.runs import model_of, runs_of, similarity_run, similarity_settings, with_parameters
from brain_assets.incremental.signal import Check, Issue, IssueQuery, MethodRun, PerSubject, Publication, Sheet, Signal
from brain_assets.incremental.subjects import PICTURED, SUBJECT
from brain_assets.incremental.update import Update, section_settings
from brain_assets.incremental.vectors import matrix_of, read_vectors
from brain_assets.incremental.words import Evidence, number, origin
from brain_assets.methods.similarity import outliers as method
from brain_assets.methods.similarity.queries import distances_between
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.settings.configuration import OutlierSettings, RunSettings

ISSUE = "outlier"
SCORES = """
    select outliers.brain_key, subject_id, raw, value as cut,
        if(value is null or raw is null, 0.0,
            0.5 + 0.5 * tanh((raw - value) / (evidence->>'scale')::double / 2)) as outlier_score,
        coalesce(raw > value, false) as is_outlier
    from outliers left join calibrations on calibrations.brain_key = outliers.brain_key and issue = 'outlier'"""
# Subjects that are measured at once.
BLOCK = 1024
# Where a dataset has grown or shrunk by this share, its references may be those of another body.
MOVED = 0.2


@dataclass(frozen=True)
class References:
    """The frozen contents that say where the body of the dataset is.

    Attributes
    ----------
    keys : sequence of str
        Their input keys, ascending.
    vectors : (m, d) float32
    between : (m, m) float64
        How far they are from each other.
    body : Body
    metric : str
    """

    keys: Sequence[str]
    vectors: NDArray[np.float32]
    between: NDArray[np.float64]
    body: method.Body
    metric: str

    @classmethod
    def of(cls, keys: Sequence[str], vectors: NDArray[np.float32], metric: str) -> "References":
        """Return references under a metric; a dot product, which is no distance, gives way to the cosine."""
        metric = "cosine" if metric == "dotproduct" else metric
        between = distances_between(vectors, vectors, metric)
        return cls(keys, vectors, between, method.body_of(between), metric)

    def remoteness(self, vectors: NDArray[np.float32], keys: Sequence[str]) -> NDArray[np.float64]:
        """Return how remote each content is that has such a vector and input key; a reference is not near to itself."""
        place = {key: column for column, key in enumerate(self.keys)}
        raw = np.empty(len(vectors))
        for start in range(0, len(vectors), BLOCK):
            block = slice(start, start + BLOCK)
            distances = distances_between(vectors[block], self.vectors, self.metric)
            own = [(row, place[key]) for row, key in enumerate(keys[block]) if key in place]
            distances[tuple(np.array(own, np.int64).reshape(-1, 2).T)] = np.inf
            raw[block] = method.remoteness(distances, self.body)
        return raw


def _inputs(update: Update) -> list[Slice]:
    """Choose references rarely; a subject is measured again when they, or its vector, are others."""
    subjects = _subjects(update)
    # Copies of one content are one reference.
    count = update.value(f"select count(distinct input_key) from ({subjects})")
    least = min(method.LEAST_REFERENCES, update.dataset.settings.calibration.min_samples)
    when = Fitting(count, least, lambda stored: _has_another_body(update, stored, count))
    standing = calibrated(update, ISSUE, lambda: _fit(update), (float("inf"), {}), when)
    if standing.evidence["origin"] != "fitted":
        return [Slice(subjects, "", None)]
    references = f"from outlier_references where brain_key = {update.key}"
    mark = update.value(f"select bit_xor(hash(hash(input_key, vector))) {references}")
    return [Slice(subjects, str(mark), _references(update))]


def _subjects(update: Update) -> str:
    members = f"select subject_id from neighbors where brain_key = {update.similarity}"
    contents = f"select subject_id, model_version, input_key from embeddings where brain_key = {update.embeddings}"
    return f"{contents} and subject_id in ({members})"


def judge_outliers(update: Update, rows: pa.Table, references: References | None) -> pa.Table:
    """Measure how far subjects are from the body of the dataset."""
    ordered = rows.sort_by("subject_id")
    update.dataset.store.connection.register("judged", ordered.select(["subject_id"]))
    raw = np.full(len(ordered), np.nan)
    if references and len(ordered):
        vectors = read_vectors(update, "subject_id in (select subject_id from judged)").matrix
        raw = references.remoteness(vectors, ordered.column("input_key").to_pylist())
    return pa.table({
        "brain_key": pa.array([update.run.brain_key] * len(raw), pa.string()),
        "subject_id": ordered.column("subject_id"),
        "raw": pa.array(raw, from_pandas=True),
    })  # fmt: skip


def _references(update: Update) -> References:
    rows = update.query(
        f"select input_key, vector from outlier_references where brain_key = {update.key} order by input_key"
    )
    vectors = rows.column("vector").combine_chunks()
    matrix = vectors.flatten().to_numpy().reshape(len(vectors), -1)
    return References.of(rows.column("input_key").to_pylist(), matrix, update.run.settings["metric"])


def _chosen(update: Update) -> tuple[list[str], NDArray[np.float32]]:
    """Return some contents of the run, chosen by their hash, in whatever order they came, with their vectors."""
    limit = update.dataset.settings.calibration.sample_size
    rows = update.query(f"""
        from (
            select input_key, min(node) as node from ({_subjects(update)}) join vectors using (model_version, input_key)
            group by input_key order by md5(input_key) limit {limit})
        order by input_key""")
    return rows.column("input_key").to_pylist(), matrix_of(update, rows.column("node").to_numpy())


def _fit(update: Update) -> tuple[float, Mapping[str, Any]]:
    """Choose and store the references, and return the cut."""
    keys, vectors = _chosen(update)
    references = References.of(keys, vectors, update.run.settings["metric"])
    raw = references.remoteness(vectors, keys)
    percentile = update.run.settings.get("OutlierSettings", {}).get("percentile")
    fitted = method.calibrate(raw, references.between, percentile and percentile / 100)
    update.commit(update.replace("outlier_references", _rows(update, references)))
    beyond = float(np.mean(method.is_outlier(raw, fitted)))
    evidence = {"scale": fitted.scale, "median": fitted.median, "measured": fitted.samples, "share_beyond": beyond}
    return fitted.cut, evidence


def _rows(update: Update, references: References) -> pa.Table:
    return pa.table({
        "brain_key": pa.array([update.run.brain_key] * len(references.keys), pa.string()),
        "input_key": pa.array(references.keys, pa.string()),
        "vector": pa.array(list(references.vectors), pa.list_(pa.float32())),
    })  # fmt: skip


def _has_another_body(update: Update, stored: Calibration, size: int) -> bool:
    """Return whether so much lies beyond the cut, and did not before, that it is a part of the body now."""
    fitted_on = stored.evidence["samples"]
    if abs(size - fitted_on) <= MOVED * fitted_on:
        return False
    keys, vectors = _chosen(update)
    raw = _references(update).remoteness(vectors, keys)
    beyond = np.mean(method.is_outlier(raw, method.OutlierCalibration(stored.value, 1.0)))
    return bool(beyond > max(method.BODY_SHARE, 2 * stored.evidence["share_beyond"]))


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
            **_said(with_parameters(dataset.settings.outliers, run)),
        },
    )


def _said(settings: OutlierSettings) -> dict[str, Any]:
    """Return what of the settings is other than usual: what is usual was never said, and nothing is to be fitted again for it."""
    said = settings.model_dump(exclude_defaults=True)
    return {"OutlierSettings": said} if said else {}


def _say(evidence: Evidence, labels: str, partner: str) -> str:
    if evidence.get("threshold") is None:
        return ""
    return (
        f"{number(evidence.get('distance'))} away from the body of the dataset,"
        f" beyond {number(evidence['threshold'])}{origin(evidence)}."
    )


OUTLIER = Issue(
    "outlier",
    100,
    "Outliers",
    "Alone, or in a small group, unlike the others in the dataset.",
    "Keep rare cases, drop what does not belong here.",
    _say,
    share=0.25,
)

OUTLIERS = Signal(
    name="outliers",
    description="Images, alone or in small groups, that lie apart from the body of the dataset: farther than a cut that is fitted"
    " to the dataset once.",
    group="similarity",
    reads=("neighbors", "embeddings", "vectors"),
    writes=("outliers", "outlier_references"),
    update=PerSubject("outliers", ("subject_id",), _inputs, judge_outliers),
    version="2",
    runs=_runs,
    options=frozenset({"parameters", "similarity", "where"}),
    parameters=lambda settings: settings.outliers,
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
                "raw": "Remoteness from the body of the dataset: the mean distance to the nearest ten of its references, or the"
                " links to it where these are longer; NULL with fewer than eight images.",
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
