"""Which pairs of images may be copies of each other, so that their pixels are compared.

Four rules, each of which depends on the images as they are, not on when they came:

1. the nearest neighbours of an image, followed down its list until so many in a row are no copies;
2. all within a small radius, and all whose perceptual hashes nearly agree;
3. of an image that resembles one, the ten nearest: how far they are tells what is usual;
4. copies of a copy, until there are no more: so a cluster of copies is compared all with all.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from brain_assets.incremental.update import Update
from brain_assets.methods.distinct import distinct
from brain_assets.methods.duplicates.duplicates import Pairs, copies_of_copies, crowds_left_open
from brain_assets.methods.duplicates.perceptual_hash import hash_pairs
from brain_assets.methods.duplicates.relations import LISTED, UNRELATED, related, usual_distance
from brain_assets.methods.similarity import similarity
from brain_assets.methods.similarity.distances import pair_distances
from brain_assets.resources.settings.configuration import NearDuplicateSettings
from brain_assets.signals.duplicates.pairs import DIGITS, MeasuredPairs, Rows, among, read_contents
from brain_assets.signals.similarity.similarity import stored_graph, vectors_of

Found = tuple[Rows, Rows, NDArray[np.floating] | None]
# A search reaches a little farther than it should and leaves the decision to the distance that is kept.
SLACK = 1e-5


@dataclass(frozen=True)
class Lists:
    """The neighbours of every content.

    Attributes
    ----------
    graph : similarity.NeighborGraph
        Its rows and entries are positions among the contents; -1, at its distance, stands for a vector that is no content's:
        that of a copy with a vector of its own.
    neighbors : (n, k) int64
        Those near enough to be candidates, the nearest first; -1 behind them.
    cosines : (n, k) float32
        How far they are by 1 - cosine, whatever the metric of the graph.
    """

    graph: similarity.NeighborGraph
    neighbors: Rows
    cosines: NDArray[np.float32]

    def first(self, rows: Rows, reach: Rows) -> Found:
        """Return each of ``rows`` with the first ``reach``, (r,) int64, of its list."""
        source, slot = np.nonzero((self.neighbors[rows] >= 0) & (np.arange(self.neighbors.shape[1]) < reach[:, None]))
        source = rows[source]
        return source, self.neighbors[source, slot], self.cosines[source, slot]


class Judged:
    """The candidates of a run, and which of them are copies.

    Attributes
    ----------
    measured : MeasuredPairs
    lists : Lists
    settings : NearDuplicateSettings
    """

    def __init__(self, measured: MeasuredPairs, lists: Lists, settings: NearDuplicateSettings) -> None:
        self.measured, self.lists, self.settings = measured, lists, settings
        self.asked = np.zeros(len(measured.contents), np.bool_)

    def usual(self) -> NDArray[np.float64]:
        """Return the usual distance of each candidate pair, the smaller of its two pictures'; NaN where none is near.

        The neighbours of a picture that resembles one are measured first, and so on for those that they resemble.
        """
        while len(rows := self._to_be_asked()):
            self.asked[rows] = True
            self.measured.add(*self.lists.first(rows, np.full(len(rows), LISTED)))
        usual, rows = np.full(len(self.asked), np.nan), np.flatnonzero(self.asked)
        if len(rows):
            listed = self.lists.neighbors[rows, :LISTED]
            distances = np.full((len(rows), LISTED), UNRELATED)
            distances[:, : listed.shape[1]] = np.minimum(self.measured.between(rows, listed), UNRELATED)
            usual[rows] = usual_distance(distances, len(self.asked))
        first, second, _ = self.measured.pairs
        return np.asarray(np.minimum(usual[first], usual[second]), np.float64)

    def _to_be_asked(self) -> Rows:
        evidence = self.measured.evidence
        near = self.measured.pairs.where((evidence.distance <= evidence.limit) | evidence.unchanged)
        rows = distinct(np.concatenate([near.first, near.second]))
        return np.asarray(rows[~self.asked[rows]], np.int64)

    def relations(self) -> NDArray[np.object_]:
        """Return the relation of each candidate pair."""
        usual = self.usual()
        return related(self.measured.evidence, usual)

    def linked(self) -> Pairs:
        """Return the candidates with 0 for those that are grouped as copies or linked as components, 1 for all others."""
        if self.settings.threshold is None:
            linked = np.isin(self.relations(), self.settings.wanted)
        else:
            linked = self.measured.distance <= self.settings.threshold
        linked |= self.measured.distance <= (self.settings.component_threshold or 0.0)
        return replace_distance(self.measured.pairs, linked)


def replace_distance(pairs: Pairs, linked: NDArray[np.bool_]) -> Pairs:
    """Return the pairs, those that are linked at distance 0 and the others at 1."""
    return pairs._replace(distance=np.where(linked, 0.0, 1.0))


def update_pairs(update: Update, settings: NearDuplicateSettings) -> None:
    """Commit the pairs that are candidates now, measuring those that are new, with what the two are to each other."""
    contents = read_contents(update)
    measured = MeasuredPairs(update, contents)
    lists = _lists(update, settings, measured)
    everyone = np.arange(len(contents))
    for found in (
        lists.first(everyone, np.full(len(contents), settings.candidates)),
        _known_within_radius(settings, measured),
        _fresh_within_radius(update, settings, measured, lists),
        _alike_by_hash(settings, measured),
    ):
        measured.add(*found)
    judged = Judged(measured, lists, settings)
    judged.usual()
    _follow(judged, settings.candidates)
    _join_crowds(judged, settings.crowd)
    usual = judged.usual()
    _tell_of_crowds(update, judged, settings.crowd)
    update.notes |= {"candidate pairs": len(measured.keys), "pairs verified in this run": measured.verified}
    update.commit(measured.merge(usual, related(measured.evidence, usual)))


def _lists(update: Update, settings: NearDuplicateSettings, measured: MeasuredPairs) -> Lists:
    nodes = measured.contents.nodes
    stored, places = stored_graph(update, update.run.settings["similarity"], nodes)
    graph = _in_order(stored, places, len(nodes))
    # What lies beyond the guaranteed length depends on what was deleted when.
    k = update.run.settings["k"]
    neighbors, distances = graph.neighbors[:, :k].astype(np.int64), graph.distances[:, :k]
    if update.run.settings["metric"] != "cosine":
        graph = replace(graph, valid=np.zeros_like(graph.valid))
        distances = _cosines(vectors_of(update, nodes, "cosine"), neighbors)
    neighbors = np.where(distances <= settings.candidate_distance, neighbors, -1)
    # No copy's vector takes the place of a neighbour that is to be compared.
    order = np.argsort(neighbors < 0, axis=1, kind="stable")
    return Lists(graph, np.take_along_axis(neighbors, order, 1), np.take_along_axis(distances, order, 1))


def _cosines(vectors: NDArray[np.float32], neighbors: Rows) -> NDArray[np.float32]:
    distances = np.full(neighbors.shape, np.inf, np.float32)
    source, slot = np.nonzero(neighbors >= 0)
    distances[source, slot] = pair_distances(vectors, source, neighbors[source, slot])
    return distances


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


def _known_within_radius(settings: NearDuplicateSettings, measured: MeasuredPairs) -> Found:
    return *measured.known(measured.stored.embedding <= settings.radius), None


def _fresh_within_radius(
    update: Update, settings: NearDuplicateSettings, measured: MeasuredPairs, lists: Lists
) -> Found:
    """Return the pairs of fresh contents within the radius; they are searched where lists do not reach so far."""
    fresh, radius = np.flatnonzero(measured.contents.fresh), settings.radius + SLACK
    listed = similarity.reaches(lists.graph, fresh, radius)
    rows = fresh[listed]
    source, slot = np.nonzero((lists.graph.neighbors[rows] >= 0) & (lists.graph.distances[rows] <= radius))
    source = rows[source]
    found = [(source, lists.graph.neighbors[source, slot].astype(np.int64), lists.graph.distances[source, slot])]
    if not listed.all():
        vectors = vectors_of(update, measured.contents.nodes, "cosine")
        found.append(similarity.radius_pairs(vectors, lists.graph, radius, rows=fresh[~listed]))
    first, second, distance = (np.concatenate(column) for column in zip(*found, strict=True))
    near = distance.astype(np.float64).round(DIGITS) <= settings.radius
    return first[near], second[near], distance[near]


def _alike_by_hash(settings: NearDuplicateSettings, measured: MeasuredPairs) -> Found:
    """Return all pairs whose hashes, plain or mirrored, nearly agree; only those of fresh contents are searched."""
    contents, known = measured.contents, measured.stored.hamming
    first, second = measured.known((known >= 0) & (known <= settings.hash_bits))
    fresh = np.flatnonzero(contents.fresh)
    if not len(fresh):
        return first, second, None
    asked = None if len(fresh) == len(contents) else fresh
    found = hash_pairs(contents.phash, contents.mirrored, settings.hash_bits, asked)
    return np.concatenate([first, found.first]), np.concatenate([second, found.second]), None


def _follow(judged: Judged, step: int) -> None:
    """Follow the lists of images that have copies until ``step`` in a row are none, or the list ends."""
    lists, near = judged.lists, judged.linked().within(0.0)
    rows = distinct(np.concatenate([near.first, near.second]))
    reach = np.full(len(rows), step)
    while len(rows):
        last = _last_copy(judged, rows, reach)
        farther = np.minimum(np.maximum(reach, last + step), lists.neighbors.shape[1])
        rows, reach = rows[farther > reach], farther[farther > reach]
        judged.measured.add(*lists.first(rows, reach))


def _last_copy(judged: Judged, rows: Rows, reach: Rows) -> Rows:
    """Return the rank of the last copy among the first ``reach`` of some lists, 0 where there is none."""
    listed, near = judged.lists.neighbors[rows], judged.linked().within(0.0)
    count = max(len(judged.asked), 1)
    keys = np.minimum(listed, rows[:, None]) * count + np.maximum(listed, rows[:, None])
    ranks = np.arange(1, listed.shape[1] + 1)
    copies = among(near.first * count + near.second, keys) & (listed >= 0) & (ranks <= reach[:, None])
    return np.asarray(np.where(copies, ranks, 0).max(axis=1, initial=0), np.int64)


def _join_crowds(judged: Judged, largest: int) -> None:
    """Compare copies of a copy with each other until there are no more."""
    count = len(judged.asked)
    first, second = copies_of_copies(judged.linked(), 0.0, count, largest)
    while len(first):
        judged.measured.add(first, second)
        first, second = copies_of_copies(judged.linked(), 0.0, count, largest)


def _tell_of_crowds(update: Update, judged: Judged, largest: int) -> None:
    """Note the clusters that are too large to be compared all with all: not every pair, and so not every leak, is reported."""
    sizes = crowds_left_open(judged.linked(), 0.0, len(judged.asked), largest)
    if len(sizes):
        update.notes["clusters not compared all with all"] = (
            f"{len(sizes)}, the largest of {sizes[-1]} images: near_duplicates.crowd is {largest}"
        )
