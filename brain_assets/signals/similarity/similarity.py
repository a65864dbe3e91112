"""The graph of nearest neighbours, maintained over distinct contents and told per sample.

Up to ``similarity.exact_limit`` contents each is compared with all; above, with those that lie in or near the same cell,
and so it stays until a tenth fewer than the limit are left.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.incremental.runs import similarity_runs, with_parameters
from brain_assets.incremental.signal import Check, Histogram, MethodRun, Publication, Signal, Whole
from brain_assets.incremental.subjects import PICTURED, SUBJECT
from brain_assets.incremental.update import Update, literal
from brain_assets.incremental.vectors import in_place, matrix_of, refuse_what_does_not_fit
from brain_assets.methods.similarity.copies import Lists, Members, neighbors_of_samples
from brain_assets.methods.similarity.similarity import NeighborGraph, build_graph, normalize, update_graph
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.settings.configuration import RunSettings
from brain_assets.resources.store.store import Merge
from brain_assets.signals.similarity.cells import Standing, are_kept, are_needed, audit, cell_rows, fitted, stored_cells

# Lists are longer than what is guaranteed, so that deletions rarely need a new search.
SLACK = 12
GRAPH = pa.schema([
    ("brain_key", pa.string()),
    ("node", pa.int64()),
    ("neighbors", pa.list_(pa.int64())),
    ("distances", pa.list_(pa.float32())),
    ("valid", pa.int16()),
])  # fmt: skip


@dataclass(frozen=True)
class Subjects:
    """What has a vector now.

    Attributes
    ----------
    nodes : (n,) int64
        The distinct contents, ordered by their input key, which does not depend on when they came.
    ids : pyarrow.Array of str
        The subjects, ascending.
    contents : (m,) int64
        Position in ``nodes`` of each subject's content.
    fresh : (m,) bool
        Which subjects are new, by their arrival or by a condition that they meet now, or have another content than before.
    """

    nodes: NDArray[np.int64]
    ids: pa.Array
    contents: NDArray[np.int64]
    fresh: NDArray[np.bool_]


def update_similarity(update: Update) -> Iterator[Merge]:
    """Search neighbours of new contents only, repair the lists that lost too many, and tell every sample its own."""
    if update.anew:
        update.commit(*(update.drop(table) for table in ("graph", "cells", "near_cells")))
    subjects = _subjects(update)
    _refuse_beyond_memory(update, subjects.nodes)
    before = stored_cells(update, subjects.nodes)
    current = _current(update, subjects.nodes, before)
    yield update.put("graph", _graph_rows(update, current, subjects.nodes), without=_gone(update, subjects.nodes))
    yield from cell_rows(update, before, current.cells, subjects.nodes)
    yield from audit(update, current.graph, current.cells, current.vectors)
    # As much as all the rest, which nobody needs any more.
    current = replace(current, vectors=None)
    touched = _touched(update, subjects, current)
    members = Members.of(subjects.contents, len(subjects.nodes))
    lists = neighbors_of_samples(current.graph, members, subjects.contents, touched, update.run.settings["k"])
    yield update.put("neighbors", _neighbor_rows(update, subjects, touched, lists), without=_without_vector(update))


def _taking_part(update: Update) -> str:
    """Return the condition of rows of ``embeddings`` that take part in the run."""
    settings = update.run.settings
    condition = f"embeddings.brain_key = {literal(settings['embeddings'])}"
    if settings["where"]:
        condition += f" and embeddings.sample_id in (select sample_id from sample_facts where {settings['where']})"
    return condition


def _without_vector(update: Update) -> str:
    return f"subject_id not in (select subject_id from embeddings where {_taking_part(update)})"


def _subjects(update: Update) -> Subjects:
    import pyarrow.compute as pc

    vectors = f"from embeddings join vectors using (model_version, input_key) where {_taking_part(update)}"
    fresh = update.fresh(f"select subject_id, node {vectors}")
    rows = update.query(f"""
        select subject_id, node, dense_rank() over (order by input_key) - 1 as content {vectors} order by subject_id""")
    contents = rows.column("content").to_numpy()
    nodes = np.zeros(contents.max(initial=-1) + 1, np.int64)
    nodes[contents] = rows.column("node").to_numpy()
    ids = rows.column("subject_id").combine_chunks()
    return Subjects(nodes, ids, contents, pc.is_in(ids, fresh).to_numpy(zero_copy_only=False))


def _refuse_beyond_memory(update: Update, nodes: NDArray[np.int64]) -> None:
    if len(nodes):
        width = update.dataset.store.value("select len(vector) from vectors where node = ?", [int(nodes[0])])
        refuse_what_does_not_fit(update, len(nodes), width, update.run.settings["k"] + SLACK)


@dataclass(frozen=True)
class Current:
    """The graph over the contents that are there now.

    Attributes
    ----------
    graph : NeighborGraph
    changed : (c,) int64
        Contents whose lists differ from what is stored.
    cells : Standing or None
        Where not all contents are compared with all.
    vectors : (n, d) float32 or None
        Where they had to be read.
    """

    graph: NeighborGraph
    changed: NDArray[np.int64]
    cells: Standing | None
    vectors: NDArray[np.float32] | None = None


def _current(update: Update, nodes: NDArray[np.int64], before: Standing | None) -> Current:
    """Return the graph over ``nodes``: as stored where nothing came or went, maintained where little did, else built."""
    stored, kept = stored_graph(update, update.run.brain_key, nodes)
    new = len(nodes) - int((kept >= 0).sum())
    fits = _fits(update, before, len(nodes)) and new <= len(nodes) // 2
    if fits and new == 0 and len(kept) == len(nodes):
        update.notes["searched"] = 0
        return Current(_permuted(stored, kept), np.zeros(0, np.int64), before)
    vectors = vectors_of(update, nodes, update.run.settings["metric"])
    if not fits:
        return _built(update, vectors)
    maintained = _maintained(update, (stored, kept), vectors, before.given_to(vectors) if before else None)
    # Too few may be left in the cells near a content.
    return _built(update, vectors) if _is_short(update, maintained) else maintained


def _fits(update: Update, before: Standing | None, count: int) -> bool:
    """Return whether what is stored was made by the rule that holds for so many contents."""
    if before is None:
        return not are_needed(update, count)
    return are_kept(update, before, count) and not before.outgrown_by(count)


def _built(update: Update, vectors: NDArray[np.float32]) -> Current:
    width, metric = update.run.settings["k"] + SLACK, update.run.settings["metric"]
    everyone, now = np.arange(len(vectors)), fitted(update, vectors) if are_needed(update, len(vectors)) else None
    top_k, compared = update.dataset.engine.top_k, now.cells if now else None
    graph = build_graph(vectors, everyone, width=width, metric=metric, top_k=top_k, cells=compared)
    update.notes["searched"] = len(vectors)
    return Current(graph, everyone, now, vectors)


def _maintained(
    update: Update, stored: tuple[NeighborGraph, NDArray[np.int64]], vectors: NDArray[np.float32], now: Standing | None
) -> Current:
    (graph, kept), order = stored, np.arange(len(vectors))
    k, metric, compared = update.run.settings["k"], update.run.settings["metric"], now.cells if now else None
    result = update_graph(graph, vectors, order, kept, guaranteed=k, metric=metric, cells=compared)
    update.notes["searched"] = result.searched
    return Current(result.graph, result.changed, now, vectors)


def _is_short(update: Update, current: Current) -> bool:
    wanted = min(update.run.settings["k"], len(current.graph) - 1)
    return current.cells is not None and bool((current.graph.valid < wanted).any())


def stored_graph(update: Update, brain_key: str, nodes: NDArray[np.int64]) -> tuple[NeighborGraph, NDArray[np.int64]]:
    """Return the graph of a similarity run, its entries as rows of itself, and the place of each row in ``nodes`` (-1: gone)."""
    rows = update.query(
        f"select node, neighbors, distances, valid from graph where brain_key = {literal(brain_key)} order by node"
    )
    known = rows.column("node").to_numpy()
    width = update.run.settings["k"] + SLACK
    lengths = rows.column("valid").to_numpy().astype(np.int64)
    filled = np.arange(width) < lengths[:, None]
    neighbors = np.full((len(known), width), -1, np.int32)
    distances = np.full((len(known), width), np.inf, np.float32)
    row_of = np.zeros(known[-1] + 1 if len(known) else 0, np.int32)
    row_of[known] = np.arange(len(known))
    neighbors[filled] = row_of[_flat(rows.column("neighbors"))]
    distances[filled] = _flat(rows.column("distances"))
    return NeighborGraph(neighbors, distances, lengths.astype(np.int16)), _positions(known, nodes)


def _flat(lists: pa.ChunkedArray) -> NDArray[Any]:
    values: NDArray[Any] = lists.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return values


def _positions(wanted: NDArray[np.int64], among: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the position of each wanted node in ``among``, -1 where it is not there."""
    if not len(among):
        return np.full(len(wanted), -1, np.int64)
    by_value = np.argsort(among)
    found = by_value[np.searchsorted(among, wanted, sorter=by_value).clip(max=len(among) - 1)]
    return np.where(among[found] == wanted, found, -1)


def _permuted(graph: NeighborGraph, positions: NDArray[np.int64]) -> NeighborGraph:
    moved = np.append(positions, -1).astype(np.int32)
    neighbors, distances, valid = (
        np.empty_like(graph.neighbors),
        np.empty_like(graph.distances),
        np.empty_like(graph.valid),
    )
    neighbors[positions], distances[positions], valid[positions] = moved[graph.neighbors], graph.distances, graph.valid
    return NeighborGraph(neighbors, distances, valid)


def vectors_of(update: Update, nodes: NDArray[np.int64], metric: str) -> NDArray[np.float32]:
    """Return the vectors of ``nodes``, unit rows for cosine."""
    matrix = matrix_of(update, nodes)
    return in_place(normalize, matrix) if metric == "cosine" else matrix


def _graph_rows(update: Update, current: Current, nodes: NDArray[np.int64]) -> pa.Table:
    graph, changed = current.graph, current.changed
    valid = graph.valid[changed].astype(np.int64)
    filled = np.arange(graph.neighbors.shape[1]) < valid[:, None]
    offsets = np.concatenate([[0], np.cumsum(valid)]).astype(np.int32)
    columns = [
        pa.array([update.run.brain_key] * len(changed), pa.string()),
        pa.array(nodes[changed]),
        pa.ListArray.from_arrays(offsets, nodes[graph.neighbors[changed][filled]]),
        pa.ListArray.from_arrays(offsets, graph.distances[changed][filled]),
        pa.array(valid.astype(np.int16)),
    ]
    return pa.table(columns, schema=GRAPH)


def _gone(update: Update, nodes: NDArray[np.int64]) -> str:
    update.dataset.store.connection.register("live_nodes", pa.table({"node": nodes}))
    return "node not in (from live_nodes)"


def _touched(update: Update, subjects: Subjects, current: Current) -> NDArray[np.int64]:
    """Return the subjects whose neighbours may differ: of a changed list, beside a fresh subject, or of one that left."""
    import pyarrow.compute as pc

    is_fresh = np.zeros(len(subjects.nodes) + 1, np.bool_)
    is_fresh[subjects.contents[subjects.fresh]] = True
    lists_fresh = is_fresh[current.graph.neighbors].any(axis=1)
    concerned = is_fresh[:-1] | lists_fresh
    concerned[current.changed] = True
    listed_gone = update.query(f"""
        with moved as (
            select subject_id from neighbors where brain_key = {update.key} and {_without_vector(update)}
            union select subject from outdated)
        select distinct subject_id from (
            select subject_id, unnest(neighbor_ids) as neighbor_id from neighbors where brain_key = {update.key}) listed
        where neighbor_id in (select subject_id from moved)""")
    found = pc.is_in(subjects.ids, listed_gone.column(0)).to_numpy(zero_copy_only=False)
    return np.flatnonzero(concerned[subjects.contents] | found)


def _neighbor_rows(update: Update, subjects: Subjects, touched: NDArray[np.int64], lists: Lists) -> pa.Table:
    offsets = lists.offsets.astype(np.int32)
    # The database writes the names out, where it can read them: of a million images, they are twenty million texts.
    named = pa.DictionaryArray.from_arrays(lists.neighbors.astype(np.int32), subjects.ids)
    named = named if len(named) else named.dictionary_decode()
    return pa.table({
        "brain_key": pa.array([update.run.brain_key] * len(touched), pa.string()),
        "subject_id": subjects.ids.take(touched),
        "neighbor_ids": pa.ListArray.from_arrays(offsets, named),
        "distances": pa.ListArray.from_arrays(offsets, lists.distances),
    })  # fmt: skip


def _limits(dataset: Dataset, _: MethodRun) -> str:
    """Return what decides whether contents are compared with all others: no part of the run, as it seldom matters."""
    section = dataset.settings.similarity
    return f"{section.exact_limit} {section.recall:g}"


def _runs(dataset: Dataset) -> list[MethodRun]:
    return [_run(dataset, run) for run in similarity_runs(dataset.settings)]


def _run(dataset: Dataset, run: RunSettings) -> MethodRun:
    section = with_parameters(dataset.settings.similarity, run)
    settings = {"embeddings": run.embeddings, "where": run.where, "k": section.k, "metric": section.metric}
    return MethodRun(run.brain_key, settings)


SIMILARITY = Signal(
    name="similarity",
    description="The nearest neighbours of every image by its vector, exact up to similarity.exact_limit images. A new image is"
    " compared once with all others; nothing else is searched again unless a deletion left its list too short.",
    group="similarity",
    reads=("embeddings", "samples", "media", "vectors"),
    writes=("graph", "neighbors", "cells", "near_cells", "neighbor_recall"),
    update=Whole(update_similarity),
    runs=_runs,
    outside=_limits,
    options=frozenset({"embeddings", "parameters", "where"}),
    parameters=lambda settings: settings.similarity,
    checks=(
        Check(
            "every_vector_has_its_neighbors",
            "select count(*) from embeddings join sample_facts using (sample_id) where brain_key = {embeddings} and ({where})"
            " and subject_id not in (select subject_id from neighbors where brain_key = {key})",
            "Each sample with a vector has a list of neighbours.",
        ),
        Check(
            "lists_are_long_enough",
            "select count(*) from neighbors where brain_key = {key} and len(neighbor_ids) <"
            " least((select count(*) - 1 from neighbors where brain_key = {key}), (select max(len(neighbor_ids))"
            " from neighbors where brain_key = {key}))",
            "Each list has k neighbours, or all others where there are fewer.",
        ),
    ),
    publishes=(
        Publication(
            "neighbors",
            f"""
            select {SUBJECT}, brain_key,
                unnest(range(1, len(neighbor_ids) + 1))::integer as rank, unnest(neighbor_ids) as neighbor_id,
                unnest(distances) as distance
            from (from neighbors order by brain_key, subject_id) neighbors {PICTURED}""",
            {
                "subject_id": "The object for crops, else the sample.",
                "sample_id": "The sample.",
                "object_id": "The object for crops; NULL for whole images.",
                "brain_key": "The run.",
                "rank": "1 is the nearest; the subject itself is not listed.",
                "neighbor_id": "Subject id of the neighbour.",
                "distance": "Distance of the vectors: 1 - cosine unless configured.",
            },
        ),
        Publication(
            "neighbor_recall",
            "select brain_key, contents, cells, near, sampled, recall from neighbor_recall order by brain_key",
            {
                "brain_key": "The run.",
                "contents": "Distinct contents in the graph.",
                "cells": "Cells that they are divided into above similarity.exact_limit; NULL where all are compared with all.",
                "near": "Cells near each content, with which it is compared.",
                "sampled": "Contents that were compared with all others to find the recall.",
                "recall": "Share of the true k nearest neighbours that the lists hold.",
            },
        ),
    ),
    metrics={"neighbor_recall": "select coalesce(min(recall), 1) from neighbor_recall where brain_key = {key}"},
    chart=Histogram("distance to the nearest", "select distances[1] from neighbors where brain_key = {default}"),
)
