"""Maps: every image as a point, look-alikes side by side, recognisable from one day to the next."""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.incremental.runs import runs_of, with_parameters
from brain_assets.incremental.signal import Check, MethodRun, Publication, Scatter, Signal, Whole
from brain_assets.incremental.subjects import PICTURED, SUBJECT
from brain_assets.incremental.update import Update
from brain_assets.incremental.vectors import in_place, matrix_of, unit_rows
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.media.media_source import read_table
from brain_assets.resources.settings.configuration import RunSettings, VisualizationSettings
from brain_assets.resources.store.store import Merge

TRUST_NEIGHBORS = 15
# Lists whose names are looked up at once.
LISTS = 1 << 17
VECTORS = "select subject_id, model_version || ' ' || input_key as vector from embeddings"
OF_TSNE = {"perplexity", "learning_rate", "iterations", "pca_dims"}
FIT = pa.schema([
    ("brain_key", pa.string()),
    ("fitted_on", pa.int64()),
    ("joined", pa.int64()),
    ("trustworthiness", pa.float64()),
    ("axes", pa.list_(pa.list_(pa.float32()))),
])  # fmt: skip


@dataclass
class Map:
    """A map in the making.

    Attributes
    ----------
    ids, vectors : pyarrow.Array of str
        The subjects, ascending, and the name of each one's vector.
    stored, positions : (n, dims) float
        Where the map has each subject, and where it shall be; NaN where it has no position of this vector yet.
    neighbors, distances : (n, k) int32 and float32
        The graph among the subjects, -1 and inf beyond the valid ones.
    fitted_on, joined : int
        Points of the last fit, and those that joined it.
    """

    ids: pa.Array
    vectors: pa.Array
    stored: NDArray[np.floating]
    positions: NDArray[np.floating]
    neighbors: NDArray[np.int32]
    distances: NDArray[np.float32]
    fitted_on: int
    joined: int

    @property
    def new(self) -> NDArray[np.int64]:
        """Subjects that have no position yet."""
        return np.flatnonzero(np.isnan(self.positions[:, 0])) if len(self.ids) else np.zeros(0, np.int64)


def update_visualization(update: Update) -> Iterator[Merge]:
    """Let new points join the map; refit it, from its current positions, when too many have joined."""
    from brain_assets.methods.similarity import layout

    settings = VisualizationSettings.model_validate(update.run.settings["settings"])
    if settings.method == "manual":
        yield _given(update, settings)
        return
    present = _read(update, settings)
    new = len(present.new)
    if len(present.ids) and (
        update.anew or layout.refit_due(present.fitted_on, present.joined + new, max_share=settings.refit_share)
    ):
        yield _fit(update, settings, present)
    elif new:
        _join(update, settings, present)
        yield _fit_row(update, "joined", present.joined + new)
    update.notes["joined"] = new
    yield _positions(update, present)


def _read(update: Update, settings: VisualizationSettings) -> Map:
    """Return the subjects of the run with their graph and the positions they have; changed images lose theirs."""
    rows = update.query(f"""
        select subject_id, x, y, z, named.vector, coalesce(visualization.vector = named.vector, false) as placed
        from neighbors join ({VECTORS} where brain_key = {update.embeddings}) named using (subject_id)
        left join (select * from visualization where brain_key = {update.key}) visualization using (subject_id)
        where neighbors.brain_key = {update.similarity} order by subject_id""")
    ids, vectors = (rows.column(name).combine_chunks() for name in ("subject_id", "vector"))
    axes = ["x", "y", "z"][: settings.dimensions]
    stored = np.column_stack([rows.column(axis).to_numpy().astype(np.float64) for axis in axes])
    placed = rows.column("placed").to_numpy()
    stored[~placed | update.anew] = np.nan
    neighbors, distances = _graph(update, ids, settings.n_neighbors)
    fits = update.dataset.store.rows(f"select fitted_on, joined from map_fits where brain_key = {update.key}")
    fitted_on, joined = fits[0] if fits else (0, 0)
    return Map(ids, vectors, stored, stored.copy(), neighbors, distances, fitted_on, joined)


def _graph(update: Update, ids: pa.Array, width: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the first ``width`` neighbours of each subject; the names in the lists are held for some of them at a time."""
    import pyarrow.compute as pc

    graph = np.full((len(ids), width), -1, np.int32)
    apart = np.full((len(ids), width), np.inf, np.float32)
    longest = 0
    lists = f"""
        select subject_id, neighbor_ids[:{width}] as names, distances[:{width}] as distances from neighbors
        where brain_key = {update.similarity} and subject_id in (
            select subject_id from embeddings where brain_key = {update.embeddings})"""
    for batch in update.dataset.store.stream(lists, LISTS):
        names, lengths = batch.column("names"), pc.list_value_length(batch.column("names")).to_numpy()
        longest = max(longest, int(lengths.max(initial=0)))
        owner = np.repeat(pc.index_in(batch.column("subject_id"), ids).to_numpy(zero_copy_only=False), lengths)
        slot = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        graph[owner, slot] = pc.index_in(names.flatten(), ids).to_numpy(zero_copy_only=False)
        apart[owner, slot] = batch.column("distances").flatten().to_numpy()
    return graph[:, :longest], apart[:, :longest]


def _fit(update: Update, settings: VisualizationSettings, present: Map) -> Merge:
    """Fit the map to everything that is there, and return the record of it."""
    from brain_assets.methods.similarity import layout
    from brain_assets.methods.similarity import visualization as method

    vectors = _of_subjects(update, present)
    ours = settings.method == "umap" and settings.implementation == "own"
    warm = present.fitted_on > 0 and not update.anew and ours
    before = present.positions.copy()
    axes = None
    if ours:
        how = _layout_settings(settings)
        if warm:
            present.positions = layout.refit(before, present.neighbors, present.distances, how)
        else:
            start = method.project(vectors, method.fit_pca(vectors, settings.dimensions, settings.seed))
            present.positions = layout.umap(present.neighbors, present.distances, start, how)
    elif settings.method == "pca":
        projection = method.fit_pca(vectors, settings.dimensions, settings.seed)
        present.positions = method.project(vectors, projection)
        axes = [projection.mean, *projection.components]
    elif settings.method == "custom":
        present.positions = method.custom(_reducer(settings.reducer), vectors, settings.dimensions, settings.seed)
    else:
        present.positions = layout.align(_of_library(update, settings, present, vectors), before)
    trust = method.trustworthiness(vectors, present.positions, TRUST_NEIGHBORS)
    made_by = settings.implementation if settings.method == "umap" else settings.method
    update.notes |= {"fitted on": len(present.ids), "made by": made_by, "trustworthiness": float(trust)}
    row = [[update.run.brain_key], [len(present.ids)], [0], [None if np.isnan(trust) else float(trust)], [axes]]
    return Merge("map_fits", pa.table(row, schema=FIT))


def _of_library(
    update: Update, settings: VisualizationSettings, present: Map, vectors: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the map that scikit-learn or umap-learn makes of the vectors; it is turned to lie on the one before."""
    from brain_assets.methods.similarity import visualization as method

    if settings.method == "tsne":
        numbers = settings.model_dump(include={*OF_TSNE, "seed"})
        return method.tsne(vectors, settings.dimensions, method.TsneSettings(**numbers))
    chosen = method.UmapSettings(settings.n_neighbors, settings.min_dist, settings.metric, settings.seed, settings.umap)
    try:
        return method.umap_learn(_of_subjects(update, present, unit=False), settings.dimensions, chosen)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"umap-learn does not take visualization.umap {settings.umap}: {error}") from error


def _join(update: Update, settings: VisualizationSettings, present: Map) -> None:
    """Give positions to new points; the others do not move."""
    from brain_assets.methods.similarity import layout
    from brain_assets.methods.similarity import visualization as method

    new = present.new
    if settings.method == "pca":
        stored = update.column(f"select axes from map_fits where brain_key = {update.key}")[0]
        axes = np.array(stored, np.float32)
        present.positions[new] = method.project(
            _of_subjects(update, present)[new], method.Projection(axes[0], axes[1:])
        )
        return
    neighbors, distances = present.neighbors[new], present.distances[new]
    present.positions[new] = layout.join(present.positions, new, neighbors, distances, _layout_settings(settings))


def _layout_settings(settings: VisualizationSettings) -> Any:
    from brain_assets.methods.similarity.layout import LayoutSettings

    return LayoutSettings(n_neighbors=settings.n_neighbors, min_dist=settings.min_dist, seed=settings.seed)


def _of_subjects(update: Update, present: Map, *, unit: bool = True) -> NDArray[np.float32]:
    import pyarrow.compute as pc

    rows = update.query(f"""
        select subject_id, node from embeddings join vectors using (model_version, input_key)
        where brain_key = {update.embeddings}""")
    found = pc.index_in(present.ids, rows.column("subject_id").combine_chunks())
    matrix = matrix_of(update, rows.column("node").take(found).to_numpy())
    return in_place(unit_rows, matrix) if unit else matrix


def _fit_row(update: Update, column: str, value: int) -> Merge:
    return Merge(
        "map_fits",
        f"select * exclude (changed) replace ({value} as {column}) from map_fits where brain_key = {update.key}",
    )


def _positions(update: Update, present: Map) -> Merge:
    moved = np.flatnonzero((present.positions != present.stored).any(axis=1))
    columns: dict[str, Any] = {"brain_key": pa.array([update.run.brain_key] * len(moved), pa.string())}
    columns |= {"subject_id": present.ids.take(moved), "vector": present.vectors.take(moved)}
    for number, axis in enumerate("xyz"):
        known = number < present.positions.shape[1]
        values = present.positions[moved, number] if known else np.full(len(moved), np.nan)
        columns[axis] = pa.array(values.astype(np.float64), from_pandas=True)
    gone = f"subject_id not in (select subject_id from neighbors where brain_key = {update.similarity})"
    return update.put("visualization", pa.table(columns), without=gone)


def _given(update: Update, settings: VisualizationSettings) -> Merge:
    """Return the points of a file, for the samples, or objects with vectors, that it names."""
    if not settings.points:
        raise ConfigurationError(
            "visualization.method manual needs visualization.points, a file with filepath, x, y (and z)"
        )
    table = read_table(Path(settings.points).expanduser())
    key = next((name for name in ("object_id", "sample_id") if name in table.column_names), "filepath")
    missing = {key, "x", "y"} - set(table.column_names)
    if missing:
        raise ConfigurationError(f"{settings.points} lacks the columns {', '.join(sorted(missing))}")
    update.dataset.store.connection.register("points_given", table)
    z = "z" if "z" in table.column_names else "null"
    named = f"select sample_id as subject_id, {key} from samples where not dropped"
    if key == "object_id":
        named = f"select subject_id, subject_id as object_id from embeddings where brain_key = {update.embeddings}"
    rows = f"""
        select {update.key} as brain_key, subject_id, null as vector, points_given.x::double as x,
            points_given.y::double as y, {z}::double as z
        from points_given join ({named}) using ({key})
        qualify row_number() over (partition by subject_id) = 1"""
    return update.replace("visualization", rows)


def _reducer(name: str | None) -> Any:
    """Return the callable that a dotted name means; raises ConfigurationError."""
    module, colon, attribute = (name or "").partition(":")
    if not colon:
        raise ConfigurationError(f"visualization.reducer must be MODULE:CALLABLE, got {name!r}")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"visualization.reducer {name!r} cannot be imported: {error}") from None


def _runs(dataset: Dataset) -> list[MethodRun]:
    return [_run(dataset, run) for run in runs_of(dataset, "visualization", "visualization")]


def _unused(section: VisualizationSettings) -> set[str]:
    """Return the settings on which a map does not depend, so that no map is made again for them."""
    theirs = section.method == "umap" and section.implementation == "umap-learn"
    unused = set() if theirs else {"implementation", "metric"}
    # At their defaults these say what held before there were such settings.
    defaults = VisualizationSettings()
    used = OF_TSNE if section.method == "tsne" else {"umap"}
    told = {name for name in used if getattr(section, name) != getattr(defaults, name)}
    return unused | ({*OF_TSNE, "umap"} - told)


def _run(dataset: Dataset, run: RunSettings) -> MethodRun:
    section = with_parameters(dataset.settings.visualization, run)
    settings: dict[str, Any] = {
        "embeddings": run.embeddings,
        "similarity": run.similarity,
        "settings": section.model_dump(exclude=_unused(section)),
    }
    if section.points and Path(section.points).expanduser().exists():
        settings["points_modified"] = Path(section.points).expanduser().stat().st_mtime_ns
    return MethodRun(run.brain_key, settings)


VISUALIZATION = Signal(
    name="visualization",
    description="A map of all images: look-alikes are side by side. New images join without moving the others; when too many"
    " have joined, the map is refitted from its current positions, so that it stays recognisable.",
    group="similarity",
    reads=("neighbors", "embeddings", "vectors", "samples"),
    writes=("visualization", "map_fits"),
    update=Whole(update_visualization),
    runs=_runs,
    options=frozenset({"embeddings", "parameters", "similarity", "where"}),
    parameters=lambda settings: settings.visualization,
    kinds=("python", "numba", "duckdb"),
    checks=(
        Check(
            "every_neighbor_list_is_on_the_map",
            "select count(*) from neighbors where brain_key = {similarity}"
            " and subject_id not in (select subject_id from visualization where brain_key = {key})"
            " and exists (select 1 from map_fits where brain_key = {key})",
            "Each sample with neighbours has a place on the map.",
        ),
    ),
    publishes=(
        Publication(
            "visualization",
            f"""
            select brain_key, {SUBJECT}, x, y, z
            from visualization {PICTURED} order by brain_key, subject_id""",
            {
                "brain_key": "The run.",
                "subject_id": "The object for crops, else the sample.",
                "sample_id": "The sample.",
                "object_id": "The object for crops; NULL for whole images.",
                "x": "Position.",
                "y": "Position.",
                "z": "Position; NULL in two dimensions.",
            },
        ),
    ),
    metrics={
        "map_trustworthiness": "select coalesce(any_value(trustworthiness), 0) from map_fits where brain_key = {key}"
    },
    chart=Scatter(
        "map",
        "select x, y from visualization where brain_key = {default} and isfinite(x) and isfinite(y)"
        " order by hash(subject_id)",
    ),
    view={},
)
