"""How typical an image is of the cluster it belongs to."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.incremental.digests import Slice
from brain_assets.incremental.runs import model_of, runs_of, similarity_settings, with_parameters
from brain_assets.incremental.signal import Check, Histogram, MethodRun, PerSubject, Publication, Signal
from brain_assets.incremental.subjects import PICTURED, SUBJECT
from brain_assets.incremental.update import Update, literal
from brain_assets.incremental.vectors import (
    Vectors,
    in_place,
    mostly_replaced,
    read_vectors,
    remembered,
    taking_part,
    unit_rows,
)
from brain_assets.methods.similarity import representativeness as method
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.settings.configuration import RepresentativenessSettings, RunSettings


def _inputs(update: Update) -> list[Slice]:
    """Centres are fitted rarely; a subject is assigned again when they, or its vector, are others."""
    settings = _settings(update)
    subjects = f"select subject_id, model_version, input_key from embeddings where {taking_part(update)}"
    if settings.mode == "compat":
        _require_enough(update, settings, update.value(f"select count(*) from ({subjects})"))
        return [update.together(subjects)]
    _refit(update, settings)
    centers = update.value(
        f"select bit_xor(hash(hash(cluster, center))) from cluster_centers where brain_key = {update.key}"
    )
    if settings.method == DOWNWEIGHT:
        _require_cosine(update)
        listed = f"select subject_id, neighbor_ids, distances from neighbors where brain_key = {update.similarity}"
        return [
            update.together(
                f"select *, {centers or 0} as centers from ({subjects}) left join ({listed}) using (subject_id)"
            )
        ]
    return [Slice(subjects, str(centers))]


def _settings(update: Update) -> RepresentativenessSettings:
    return RepresentativenessSettings.model_validate(update.run.settings["settings"])


def _require_enough(update: Update, settings: RepresentativenessSettings, count: int) -> None:
    if count < settings.clusters:
        raise ConfigurationError(
            f"run {update.run.brain_key}: mode compat needs at least {settings.clusters} samples with a vector, there are"
            f" {count}: add samples, lower clusters, or use mode default"
        )


def _require_cosine(update: Update) -> None:
    if update.run.settings["metric"] != "cosine":
        raise ConfigurationError(
            f"run {update.run.brain_key}: {DOWNWEIGHT} needs neighbours by cosine, and {update.run.settings['similarity']!r}"
            f" has them by {update.run.settings['metric']}: name another similarity run"
        )


def judge_representativeness(update: Update, rows: pa.Table, _: None) -> pa.Table:
    """Score subjects by how near they are to the centre of their cluster."""
    settings = _settings(update)
    update.dataset.store.connection.register("judged", rows.select(["subject_id"]))
    vectors = read_vectors(update, "subject_id in (select subject_id from judged)")
    if settings.mode == "compat":
        order, values = _by_path(update, vectors), np.empty(len(vectors))
        values[order] = method.representativeness_compat(vectors.matrix[order], settings.method, settings.clusters)
        return _rows(update, vectors, np.full(len(vectors), -1), values)
    assigned = method.assign(in_place(unit_rows, vectors.matrix), _centers(update))
    raw = method.centrality(assigned.distance)
    if settings.method == DOWNWEIGHT:
        # Those that have a more central one nearby are lowered.
        raw = method.downweight(raw, *_listed(update, vectors.ids))
    return _rows(update, vectors, assigned.cluster, raw)


def _listed(update: Update, ids: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return neighbours as positions among ``ids``, -1 where there are none, and their distances."""
    rows = update.query(
        "select subject_id, neighbor_ids, distances from neighbors"
        f" where brain_key = {literal(update.run.settings['similarity'])}"
    )
    lists, distances = (rows.column(name).combine_chunks() for name in ("neighbor_ids", "distances"))
    lengths = lists.value_lengths().to_numpy(zero_copy_only=False)
    owner = np.repeat(_places(rows.column("subject_id"), ids), lengths)
    slot = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    known = owner >= 0
    neighbors = np.full((len(ids), int(lengths.max(initial=1))), -1, np.int64)
    near = np.full(neighbors.shape, np.inf, np.float32)
    neighbors[owner[known], slot[known]] = _places(lists.flatten(), ids)[known]
    near[owner[known], slot[known]] = distances.flatten().to_numpy(zero_copy_only=False)[known]
    return neighbors, near


def _places(wanted: pa.Array | pa.ChunkedArray, ids: pa.Array) -> NDArray[np.int64]:
    from pyarrow.compute import index_in

    found: NDArray[np.int64] = index_in(wanted, ids).fill_null(-1).to_numpy().astype(np.int64)
    return found


DOWNWEIGHT = "cluster-center-downweight"


def _by_path(update: Update, vectors: Vectors) -> list[int]:
    """Return the places of subjects by the paths of their images, which is how the peer lists a folder.

    Where its clusters begin depends on the order of the vectors.
    """
    rows = update.query("select subject_id, filepath from embeddings join samples using (sample_id)")
    paths = dict(zip(rows.column(0).to_pylist(), rows.column(1).to_pylist(), strict=True))
    names = vectors.ids.to_pylist()
    return sorted(range(len(names)), key=lambda place: (paths[names[place]], names[place]))


def _rows(update: Update, vectors: Vectors, cluster: NDArray[np.integer], raw: NDArray[np.floating]) -> pa.Table:
    return pa.table({
        "brain_key": pa.array([update.run.brain_key] * len(vectors), pa.string()),
        "subject_id": vectors.ids,
        "cluster": pa.array(cluster.astype(np.int32)),
        "raw": pa.array(np.asarray(raw, np.float64), from_pandas=True),
    })  # fmt: skip


def _refit(update: Update, settings: RepresentativenessSettings) -> bool:
    """Fit and commit the centres where that is due; return whether it was."""
    fitted_on = update.dataset.store.value(
        f"select coalesce(max(fitted_on), 0) from cluster_centers where brain_key = {update.key}"
    )
    present = len(
        update.column(f"select 1 from embeddings where brain_key = {literal(update.run.settings['embeddings'])}")
    )
    due = method.refit_due(fitted_on, present) or mostly_replaced(update, _fitted_to(update))
    if not update.anew and not due:
        return False
    centers = method.fit_centers(in_place(unit_rows, read_vectors(update).matrix), settings.clusters)
    rows = pa.table({
        "brain_key": pa.array([update.run.brain_key] * len(centers), pa.string()),
        "cluster": pa.array(range(len(centers)), pa.int32()),
        "center": pa.array(list(centers), pa.list_(pa.float32())),
        "fitted_on": pa.array([present] * len(centers), pa.int64()),
        "fitted_to": pa.array([remembered(update)] * len(centers), pa.list_(pa.string())),
    })  # fmt: skip
    update.commit(update.replace("cluster_centers", rows))
    update.notes["refitted on"] = present
    return True


def _fitted_to(update: Update) -> list[str]:
    """Return what is remembered of the vectors that the centres were fitted to."""
    found = update.column(f"select fitted_to from cluster_centers where brain_key = {update.key} limit 1")
    return (found and found[0]) or []


def _centers(update: Update) -> NDArray[np.float32]:
    rows = update.column(f"select center from cluster_centers where brain_key = {update.key} order by cluster")
    return np.array(rows, np.float32) if rows else np.zeros((0, 1), np.float32)


def _runs(dataset: Dataset) -> list[MethodRun]:
    return [_run(dataset, run) for run in runs_of(dataset, "representativeness", "representativeness")]


def _run(dataset: Dataset, run: RunSettings) -> MethodRun:
    section = with_parameters(dataset.settings.representativeness, run)
    settings = {
        "embeddings": run.embeddings,
        "model": model_of(dataset, run.embeddings),
        "where": run.where,
        "settings": section.model_dump(),
    }
    if section.mode == "default" and section.method == DOWNWEIGHT:
        graph = similarity_settings(dataset.settings, run.similarity)
        settings |= {"similarity": run.similarity, "metric": graph.metric}
    return MethodRun(run.brain_key, settings)


REPRESENTATIVENESS = Signal(
    name="representativeness",
    description="How typical each image is: 1 at the heart of its cluster, low at the rim. Cluster centres are fitted once and"
    " frozen, and refitted when the dataset has doubled, or half of what they were fitted to has left or changed.",
    group="similarity",
    reads=("embeddings", "samples", "media", "neighbors", "vectors"),
    writes=("representativeness", "cluster_centers"),
    update=PerSubject("representativeness", ("subject_id",), _inputs, judge_representativeness),
    version="2",
    runs=_runs,
    options=frozenset({"embeddings", "parameters", "similarity", "where"}),
    parameters=lambda settings: settings.representativeness,
    kinds=("python", "scikitlearn", "duckdb"),
    checks=(
        Check(
            "every_vector_has_a_representativeness",
            "select count(*) from embeddings join sample_facts using (sample_id) where brain_key = {embeddings} and ({where})"
            " and subject_id not in (select subject_id from representativeness where brain_key = {key})",
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
            {
                "brain_key": "The run.",
                "subject_id": "The object for crops, else the sample.",
                "sample_id": "The sample.",
                "object_id": "The object for crops; NULL for whole images.",
                "representativeness": "raw divided by the largest of the cluster: 1 is the most representative.",
                "cluster": "Number of the cluster; -1 in compat mode.",
                "raw": "1 / (1 + distance to the cluster's centre), of unit vectors; lowered to .7 of it where"
                " cluster-center-downweight is set and a more central sample is among the neighbours within .125.",
            },
        ),
    ),
    chart=Histogram(
        "distance to the cluster's centre", "select raw from representativeness where brain_key = {default}"
    ),
    view={"colour": "representativeness", "sort": "representativeness"},
)
