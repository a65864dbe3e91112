"""How typical an image is of the cluster it belongs to."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.incremental import (
    Check,
    Derivation,
    MethodRun,
    Publication,
    Update,
    declared_runs,
    literal,
    with_parameters,
)
from brain_assets.methods import representativeness as method
from brain_assets.subjects import PICTURED, SUBJECT
from brain_assets.vectors import Vectors, gone_from, read_vectors, unit_rows
from resources.configuration import RepresentativenessSettings, RunSettings
from resources.dataset import Dataset
from resources.errors import ConfigurationError
from resources.store import Merge


def update_representativeness(update: Update) -> Iterator[Merge]:
    """Assign new samples to frozen centres; fit the centres anew when the dataset has doubled or halved since."""
    settings = RepresentativenessSettings.model_validate(update.run.settings["settings"])
    if settings.mode == "compat":
        vectors = read_vectors(update)
        values = method.representativeness_compat(vectors.matrix, settings.method, settings.clusters)
        yield _merge(update, vectors, np.full(len(vectors), -1), values, whole=True)
        return
    if settings.method != "cluster-center":
        raise ConfigurationError(f"representativeness.method {settings.method} needs mode: compat")
    refitted = _refit(update, settings)
    since = -1 if update.anew or refitted else update.since
    vectors = read_vectors(update, f"embeddings.changed > {since}")
    if len(vectors):
        assigned = method.assign(unit_rows(vectors.matrix), _centers(update))
        raw = method.centrality(assigned.distance).astype(np.float64)
        update.commit(_merge(update, vectors, assigned.cluster, raw, whole=False))
    yield Merge(
        "representativeness",
        NONE,
        within=gone_from(update, "embeddings", update.run.settings["embeddings"]) + _outside(update),
    )


NONE = "select * exclude (changed) from representativeness where false"


def _outside(update: Update) -> str:
    where = update.run.settings["where"]
    if not where:
        return ""
    return f" or (brain_key = {update.key} and subject_id not in (select sample_id from sample_facts where {where}))"


def _merge(
    update: Update, vectors: Vectors, cluster: NDArray[np.integer], raw: NDArray[np.floating], *, whole: bool
) -> Merge:
    rows = {
        "brain_key": pa.array([update.run.brain_key] * len(vectors), pa.string()),
        "subject_id": vectors.ids,
        "cluster": pa.array(cluster.astype(np.int32)),
        "raw": pa.array(np.asarray(raw, np.float64), from_pandas=True),
    }
    return Merge("representativeness", pa.table(rows), within=f"brain_key = {update.key}" if whole else None)


def _refit(update: Update, settings: RepresentativenessSettings) -> bool:
    """Fit and commit the centres where that is due; return whether it was."""
    fitted_on = update.dataset.store.value(
        f"select coalesce(max(fitted_on), 0) from cluster_centers where brain_key = {update.key}"
    )
    present = len(
        update.column(f"select 1 from embeddings where brain_key = {literal(update.run.settings['embeddings'])}")
    )
    if not update.anew and not method.refit_due(fitted_on, present):
        return False
    centers = method.fit_centers(unit_rows(read_vectors(update).matrix), settings.clusters)
    rows = pa.table({
        "brain_key": pa.array([update.run.brain_key] * len(centers), pa.string()),
        "cluster": pa.array(range(len(centers)), pa.int32()),
        "center": pa.array(list(centers), pa.list_(pa.float32())),
        "fitted_on": pa.array([present] * len(centers), pa.int64()),
    })  # fmt: skip
    update.commit(Merge("cluster_centers", rows, within=f"brain_key = {update.key}"))
    update.notes["refitted on"] = present
    return True


def _centers(update: Update) -> NDArray[np.float32]:
    rows = update.column(f"select center from cluster_centers where brain_key = {update.key} order by cluster")
    return np.array(rows, np.float32) if rows else np.zeros((0, 1), np.float32)


def _runs(dataset: Dataset) -> list[MethodRun]:
    default = RunSettings(brain_key="representativeness", method="representativeness")
    return [_run(dataset, run) for run in (default, *declared_runs(dataset, "representativeness"))]


def _run(dataset: Dataset, run: RunSettings) -> MethodRun:
    section = with_parameters(dataset.settings.representativeness, run)
    return MethodRun(
        run.brain_key, {"embeddings": run.embeddings, "where": run.where, "settings": section.model_dump()}
    )


REPRESENTATIVENESS = Derivation(
    name="representativeness",
    description="How typical each image is: 1 at the heart of its cluster, low at the rim. Cluster centres are fitted once and"
    " frozen, and fitted anew when the dataset has doubled or halved.",
    group="similarity",
    reads=("embeddings", "samples", "media"),
    writes=("representativeness", "cluster_centers"),
    update=update_representativeness,
    runs=_runs,
    kinds=("python", "scikitlearn", "duckdb"),
    checks=(
        Check(
            "every_vector_has_a_representativeness",
            "select count(*) from embeddings where brain_key = 'embeddings'"
            " and subject_id not in (select subject_id from representativeness where brain_key = 'representativeness')",
            "Each sample with a vector has a score.",
        ),
    ),
    publishes=(
        Publication(
            "representativeness",
            f"""
            select brain_key, {SUBJECT},
                if(cluster < 0, raw, raw / max(raw) over (partition by brain_key, cluster)) as representativeness, cluster, raw
            from representativeness {PICTURED} order by brain_key, cluster, representativeness desc, subject_id""",
            ("representativeness",),
            {
                "brain_key": "The run.",
                "subject_id": "The object for crops, else the sample.",
                "sample_id": "The sample.",
                "object_id": "The object for crops; NULL for whole images.",
                "representativeness": "raw divided by the largest of the cluster: 1 is the most representative.",
                "cluster": "Number of the cluster; -1 in compat mode.",
                "raw": "1 / (1 + distance to the cluster's centre), of unit vectors.",
            },
        ),
    ),
)
