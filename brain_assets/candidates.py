"""Which pairs of images may be copies of each other, so that their pixels are compared.

Three rules, each of which depends on the images as they are, not on when they came:

1. the nearest neighbours of an image, followed down its list until so many in a row are no copies;
2. all within a small radius, and all whose perceptual hashes nearly agree;
3. copies of a copy, until there are no more: so a crowd of copies is compared all with all.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from brain_assets.incremental import Update
from brain_assets.methods import similarity
from brain_assets.methods.duplicates import Pairs, copies_of_copies
from brain_assets.methods.perceptual_hash import hash_pairs
from brain_assets.pairs import Contents, MeasuredPairs, Rows, among, read_contents
from brain_assets.similarity import stored_graph
from resources.configuration import NearDuplicateSettings
from resources.store import Merge

# A search reaches a little farther than it should and leaves the decision to the distance that is kept.
SLACK = 1e-5


@dataclass(frozen=True)
class Lists:
    """The neighbours of every content.

    Attributes
    ----------
    graph : similarity.NeighborGraph
        Its rows and entries are positions among the contents.
    neighbors : (n, k) int64
        Those near enough to be candidates, the nearest first; -1 elsewhere.
    """

    graph: similarity.NeighborGraph
    neighbors: Rows

    def first(self, rows: Rows, reach: Rows) -> tuple[Rows, Rows]:
        """Return each of ``rows`` with the first ``reach``, (r,) int64, of its list."""
        listed = self.neighbors[rows]
        source, slot = np.nonzero((listed >= 0) & (np.arange(listed.shape[1]) < reach[:, None]))
        return rows[source], listed[source, slot]


def update_pairs(
    update: Update, settings: NearDuplicateSettings, threshold_of: Callable[[Contents, Pairs], float]
) -> float:
    """Commit the pairs that are candidates now, measuring those that are new; return the threshold.

    Parameters
    ----------
    update : Update
    settings : NearDuplicateSettings
    threshold_of : callable
        Gives the threshold, which may be fitted to the pairs that neighbours, radius and hashes have found.
    """
    contents = read_contents(update)
    measured = MeasuredPairs(update, contents)
    lists = _lists(update, settings, measured)
    everyone = np.arange(len(contents))
    for found in (
        lists.first(everyone, np.full(len(contents), settings.candidates)),
        _within_radius(update, settings, measured, lists),
        _alike_by_hash(settings, measured),
    ):
        measured.add(*found)
    threshold = threshold_of(contents, measured.pairs)
    farthest = max(threshold, settings.component_threshold or 0.0)
    _follow(measured, lists, settings.candidates, farthest)
    _join_crowds(measured, settings.crowd, farthest)
    update.notes |= {"candidate pairs": len(measured.keys), "verified pairs": measured.verified}
    update.commit(Merge("content_pairs", measured.table(), within=f"brain_key = {update.key}"))
    return threshold


def _lists(update: Update, settings: NearDuplicateSettings, measured: MeasuredPairs) -> Lists:
    nodes = measured.contents.nodes
    stored, places = stored_graph(update, update.run.settings["similarity"], nodes)
    graph = _in_order(stored, places, len(nodes))
    # What lies beyond the guaranteed length depends on what was deleted when.
    k = update.run.settings["k"]
    neighbors, distances = graph.neighbors[:, :k].astype(np.int64), graph.distances[:, :k]
    if update.run.settings["metric"] != "cosine":
        source, slot = np.nonzero(neighbors >= 0)
        distances[source, slot] = measured.cosine_distances(source, neighbors[source, slot])
        graph = similarity.NeighborGraph(graph.neighbors, graph.distances, np.zeros_like(graph.valid))
    return Lists(graph, np.where(distances <= settings.candidate_distance, neighbors, -1))


def _in_order(graph: similarity.NeighborGraph, places: Rows, count: int) -> similarity.NeighborGraph:
    """Return the graph with its rows in the order of the contents."""
    neighbors = np.full((count, graph.neighbors.shape[1]), -1, np.int32)
    distances = np.full(neighbors.shape, np.inf, np.float32)
    valid = np.zeros(count, np.int16)
    kept = places >= 0
    moved = np.append(places, -1).astype(np.int32)
    neighbors[places[kept]], distances[places[kept]] = moved[graph.neighbors[kept]], graph.distances[kept]
    valid[places[kept]] = graph.valid[kept]
    return similarity.NeighborGraph(neighbors, distances, valid)


def _within_radius(
    update: Update, settings: NearDuplicateSettings, measured: MeasuredPairs, lists: Lists
) -> tuple[Rows, Rows]:
    """Return all pairs within the radius: those known to be, and those of fresh contents, which are searched."""
    first, second = measured.known(measured.stored.embedding <= settings.radius)
    fresh = np.flatnonzero(measured.contents.fresh)
    if not len(fresh):
        return first, second
    a, b, _ = similarity.radius_pairs(measured.vectors, lists.graph, settings.radius + SLACK, rows=fresh)
    near = measured.cosine_distances(a, b) <= settings.radius
    return np.concatenate([first, a[near]]), np.concatenate([second, b[near]])


def _alike_by_hash(settings: NearDuplicateSettings, measured: MeasuredPairs) -> tuple[Rows, Rows]:
    """Return all pairs whose hashes, plain or mirrored, nearly agree; only those of fresh contents are searched."""
    contents = measured.contents
    standing = ~np.isnan(measured.stored.embedding) & (measured.stored.hamming <= settings.hash_bits)
    first, second = measured.known(standing)
    fresh = np.flatnonzero(contents.fresh)
    if not len(fresh):
        return first, second
    found = hash_pairs(contents.phash, contents.mirrored, settings.hash_bits, fresh)
    return np.concatenate([first, found.first]), np.concatenate([second, found.second])


def _follow(measured: MeasuredPairs, lists: Lists, step: int, threshold: float) -> None:
    """Follow the lists of images that have copies until ``step`` in a row are none, or the list ends."""
    near = measured.pairs.within(threshold)
    rows = np.unique(np.concatenate([near.first, near.second]))
    reach = np.full(len(rows), step)
    while len(rows):
        last = _last_copy(measured, lists.neighbors[rows], rows, reach, threshold)
        farther = np.minimum(np.maximum(reach, last + step), lists.neighbors.shape[1])
        rows, reach = rows[farther > reach], farther[farther > reach]
        measured.add(*lists.first(rows, reach))


def _last_copy(measured: MeasuredPairs, listed: Rows, rows: Rows, reach: Rows, threshold: float) -> Rows:
    """Return the rank of the last copy among the first ``reach`` of some lists, 0 where there is none."""
    near = measured.keys[measured.pairs.distance <= threshold]
    count = max(len(measured.contents), 1)
    keys = np.minimum(listed, rows[:, None]) * count + np.maximum(listed, rows[:, None])
    ranks = np.arange(1, listed.shape[1] + 1)
    copies = among(near, keys) & (listed >= 0) & (ranks <= reach[:, None])
    return np.asarray(np.where(copies, ranks, 0).max(axis=1, initial=0), np.int64)


def _join_crowds(measured: MeasuredPairs, largest: int, threshold: float) -> None:
    """Compare copies of a copy with each other until there are no more."""
    first, second = copies_of_copies(measured.pairs, threshold, len(measured.contents), largest)
    while len(first):
        measured.add(first, second)
        first, second = copies_of_copies(measured.pairs, threshold, len(measured.contents), largest)
