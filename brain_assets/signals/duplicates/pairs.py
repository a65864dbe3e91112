"""Pairs of images, each measured once: how far apart by embedding, by perceptual hash, and on pixels."""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.incremental.signal import MethodRun
from brain_assets.incremental.update import Update, literal
from brain_assets.methods.duplicates.duplicates import Pairs
from brain_assets.methods.duplicates.perceptual_hash import hamming_distance, pair_hamming
from brain_assets.methods.duplicates.relations import Evidence
from brain_assets.methods.labels.objects import contained
from brain_assets.methods.similarity.distances import pair_distances
from brain_assets.resources.store.store import Merge
from brain_assets.resources.threads import one_blas_thread
from brain_assets.signals.duplicates.looks import compared
from brain_assets.signals.similarity.similarity import vectors_of

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]
DIGITS = 6
SAME_PIXELS = 0.5
"""Share of the smaller of two crops of one image that lies in the other: from here on they are the same pixels twice."""
PAIRS = pa.schema([
    ("brain_key", pa.string()),
    ("first_content", pa.string()),
    ("second_content", pa.string()),
    ("embedding_distance", pa.float64()),
    ("hamming", pa.int32()),
    ("verification", pa.float64()),
    ("distance", pa.float64()),
    ("change", pa.float64()),
    ("region", pa.list_(pa.float64())),
    ("partner_region", pa.list_(pa.float64())),
    ("usual_distance", pa.float64()),
    ("relation", pa.string()),
])  # fmt: skip

# Settings that what is measured of a pair follows from, and those by which the pairs of a fresh picture are searched. All
# others only decide what is made of the pairs that are known.
MEASURED_BY = frozenset({"embeddings", "similarity", "k", "metric", "model", "preview_size"})
SEARCHED_BY = frozenset({"radius", "hash_bits"})
# What every picture of the compared vectors looks like, and where it lies in the graph.
CONTENTS = """
    select picture, arg_min(node, subject_id) as node, any_value(coalesce(phash, 0)) as phash,
        any_value(coalesce(phash_mirrored, 0)) as mirrored, any_value(coalesce(preview_offset, -1)) as preview_offset,
        any_value(coalesce(preview_length, -1))::bigint as preview_length,
        any_value(content_hash) as image, any_value(rectangle) as rectangle
    from neighbors join depicted using (subject_id) join vectors using (model_version, input_key)
    join pictures using (picture)
    where neighbors.brain_key = {similarity} and depicted.brain_key = {embeddings}
    group by picture"""


@dataclass(frozen=True)
class Contents:
    """The distinct pictures of a similarity run, whole images or crops of them, ordered by name.

    Attributes
    ----------
    names : list of str
        Content hashes, or the input keys of crops.
    nodes : (n,) int64
        Their nodes in the graph.
    phash, mirrored : (n,) uint64
        Perceptual hashes of the image and its mirror image; 0 says nothing.
    previews : (n, 2) int64
        Offset and length of each preview, -1 where there is none.
    fresh : (n,) bool
        Which may be new, or have another vector or hash than the last run saw.
    images : (n,) int64
        A number for the image that each is a crop of.
    boxes : (n, 4) int64, x, y, width, height
        In pixels of that image.
    """

    names: list[str]
    nodes: Rows
    phash: NDArray[np.uint64]
    mirrored: NDArray[np.uint64]
    previews: Rows
    fresh: NDArray[np.bool_]
    images: Rows
    boxes: Rows

    def __len__(self) -> int:
        return len(self.names)

    def apart(self, first: Rows, second: Rows) -> NDArray[np.bool_]:
        """Return which pairs are not the same pixels twice: crops of one image, of which the smaller lies half in the other."""
        shared = np.zeros(len(first))
        same = np.flatnonzero(self.images[first] == self.images[second])
        shared[same] = contained(self.boxes[first[same]], self.boxes[second[same]])
        return shared < SAME_PIXELS


class MeasuredPairs:
    """The candidates of a run, each with what was measured of it, now or by an earlier run.

    Attributes
    ----------
    keys : (m,) int64, ascending
        Position of the first content times the number of contents, plus that of the second, which is larger.
    embedding, verification, distance : (m,) float64
        Cosine distance; agreement of the pixels, NaN without previews; how far apart the two are.
    hamming : (m,) int64
    change : (m,) float64, regions : (m, 8) float64
        Largest local difference inside the shared region, and where it lies; NaN where corners showed none.
    verified : int
        Pairs whose pixels were compared by this run.
    """

    def __init__(self, update: Update, contents: Contents) -> None:
        self.update, self.contents = update, contents
        self.keys, self.hamming = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self.embedding, self.verification, self.distance = np.zeros(0), np.zeros(0), np.zeros(0)
        self.change, self.regions = np.zeros(0), np.zeros((0, 8))
        self.verified = 0
        self.stored = _stored(update, contents)

    def add(self, first: Rows, second: Rows, embedding: NDArray[np.floating] | None = None) -> None:
        """Make pairs candidates; what is not known of them, their cosine distances perhaps, is measured."""
        count = max(len(self.contents), 1)
        keys, place = np.unique(np.minimum(first, second) * count + np.maximum(first, second), return_index=True)
        is_new = ~among(self.keys, keys) & self.contents.apart(*np.divmod(keys, count))
        keys, place = keys[is_new], place[is_new]
        known = self._known(keys)
        if embedding is not None:
            known.embedding[:] = embedding[place].astype(np.float64).round(DIGITS)
        self._measure(known)
        if not len(self.keys):
            # The first are millions at once, of which no second copy is made.
            self.keys, self.embedding, self.hamming = keys, known.embedding, known.hamming
            self.verification, self.distance = known.verification, known.distance()
            self.change, self.regions = known.change, known.regions
            return
        order = np.argsort(np.concatenate([self.keys, keys]), kind="stable")
        self.keys = np.concatenate([self.keys, keys])[order]
        self.embedding = np.concatenate([self.embedding, known.embedding])[order]
        self.hamming = np.concatenate([self.hamming, known.hamming])[order]
        self.verification = np.concatenate([self.verification, known.verification])[order]
        self.distance = np.concatenate([self.distance, known.distance()])[order]
        self.change = np.concatenate([self.change, known.change])[order]
        self.regions = np.concatenate([self.regions, known.regions])[order]

    def _known(self, keys: Rows) -> "Measurements":
        """Return what earlier runs have measured of pairs; NaN and -1 where they have not."""
        found = Measurements.unknown(keys)
        known = np.flatnonzero(among(self.stored.keys, keys))
        place = np.searchsorted(self.stored.keys, keys[known])
        found.embedding[known], found.hamming[known] = self.stored.embedding[place], self.stored.hamming[place]
        found.verification[known] = self.stored.verification[place]
        found.change[known], found.regions[known] = self.stored.change[place], self.stored.regions[place]
        found.usual[known], found.relation[known] = self.stored.usual[place], self.stored.relation[place]
        return found

    def _measure(self, pairs: "Measurements") -> None:
        """Fill in what is not known, in place."""
        first, second = np.divmod(pairs.keys, max(len(self.contents), 1))
        todo = np.flatnonzero(np.isnan(pairs.embedding))
        pairs.embedding[todo] = self._cosine_distances(first[todo], second[todo])
        todo = np.flatnonzero(pairs.hamming < 0)
        hashes, mirrored = self.contents.phash, self.contents.mirrored
        pairs.hamming[todo] = pair_hamming(hashes, mirrored, first[todo], second[todo])
        todo = np.flatnonzero(np.isnan(pairs.verification))
        looked = _looked_at(self.update, self.contents, first[todo], second[todo])
        pairs.verification[todo], pairs.change[todo], pairs.regions[todo] = looked
        self.verified += len(todo)

    def _cosine_distances(self, first: Rows, second: Rows) -> Floats:
        """Return 1 - cosine, for any metric of the graph, so that one threshold has one meaning."""
        used, places = np.unique(np.concatenate([first, second]), return_inverse=True)
        vectors = vectors_of(self.update, self.contents.nodes[used], "cosine")
        first, second = places[: len(first)], places[len(first) :]
        return pair_distances(vectors, first, second).astype(np.float64).round(DIGITS)

    def known(self, chosen: NDArray[np.bool_]) -> tuple[Rows, Rows]:
        """Return those stored pairs for which ``chosen`` holds."""
        first, second = np.divmod(self.stored.keys[chosen], max(len(self.contents), 1))
        return first, second

    @property
    def pairs(self) -> Pairs:
        """All candidates and how far apart they are."""
        return Pairs(*np.divmod(self.keys, max(len(self.contents), 1)), self.distance)

    @property
    def evidence(self) -> Evidence:
        """What was found of all candidates."""
        first, second, distance = self.pairs
        bits = hamming_distance(self.contents.phash[first], self.contents.phash[second])
        return Evidence(distance, self.verification, self.change, self.regions, bits)

    def between(self, rows: Rows, others: Rows) -> Floats:
        """Return the distances of rows, (r,) int64, to others, (r, k) int64; inf where a pair is no candidate."""
        keys = np.minimum(rows[:, None], others) * len(self.contents) + np.maximum(rows[:, None], others)
        place = np.searchsorted(self.keys, keys).clip(max=max(len(self.keys) - 1, 0))
        return np.where(among(self.keys, keys) & (others >= 0), self.distance[place], np.inf)

    def merge(self, usual: Floats, relations: NDArray[np.object_]) -> Merge:
        """Return the rows of ``content_pairs`` that are new or other than before, in place of those that are no candidates now.

        Parameters
        ----------
        usual : (m,) float64
            The usual distance of each candidate, NaN where nothing is near.
        relations : (m,) object
        """
        names = pa.array(self.contents.names, pa.string())
        other = np.flatnonzero(~self._unchanged(usual, relations))
        first, second = (places[other] for places in self.pairs[:2])
        columns = [
            pa.array([self.update.run.brain_key] * len(other), pa.string()),
            names.take(pa.array(first)),
            names.take(pa.array(second)),
            pa.array(self.embedding[other]),
            pa.array(self.hamming[other].astype(np.int32)),
            pa.array(self.verification[other], from_pandas=True),
            pa.array(self.distance[other]),
            pa.array(self.change[other], from_pandas=True),
            *(_boxes(self.regions[other, at : at + 4]) for at in (0, 4)),
            pa.array(usual[other], from_pandas=True),
            pa.array(relations[other], pa.string()),
        ]
        kept = self.known(among(self.keys, self.stored.keys))
        self.update.dataset.store.connection.register(
            "kept_pairs", pa.table([names.take(pa.array(end)) for end in kept], ["first_content", "second_content"])
        )
        gone = "(first_content, second_content) not in (select (first_content, second_content) from kept_pairs)"
        return self.update.put("content_pairs", pa.table(columns, schema=PAIRS), without=gone)

    def _unchanged(self, usual: Floats, relations: NDArray[np.object_]) -> NDArray[np.bool_]:
        """Return which candidates are stored as they are now."""
        known = self._known(self.keys)
        same = (known.embedding == self.embedding) & (known.hamming == self.hamming)
        for before, now in ((known.verification, self.verification), (known.usual, usual)):
            same &= (before == now) | (np.isnan(before) & np.isnan(now))
        return np.asarray(same & (known.relation == relations), np.bool_)


def contents_of(run: MethodRun) -> str:
    """Return the query of the pictures that a run compares."""
    return CONTENTS.format(**{name: literal(run.settings[name]) for name in ("similarity", "embeddings")})


def read_contents(update: Update) -> Contents:
    """Return the contents of the similarity and embeddings runs that ``update.run`` names."""
    import pyarrow.compute as pc

    update.keep("compared_contents", contents_of(update.run))
    rules = update.run.settings["settings"]
    followed = {name: value for name, value in update.run.settings.items() if name in MEASURED_BY}
    followed |= {name: value for name, value in rules.items() if name in SEARCHED_BY}
    fresh = update.fresh("select picture, node, phash, mirrored from compared_contents", "picture", followed)
    rows = update.query("from compared_contents order by picture")
    names = rows.column("picture")
    corners = rows.column("rectangle").combine_chunks().flatten().to_numpy().reshape(-1, 4)
    return Contents(
        names.to_pylist(),
        rows.column("node").to_numpy(),
        rows.column("phash").to_numpy().astype(np.uint64),
        rows.column("mirrored").to_numpy().astype(np.uint64),
        np.stack([rows.column(name).to_numpy() for name in ("preview_offset", "preview_length")], axis=1),
        pc.is_in(names, fresh).to_numpy(),
        rows.column("image").combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64),
        np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]]),
    )


@dataclass(frozen=True)
class Measurements:
    """What was measured of pairs, by ascending key; NaN, and -1 bits, where nothing holds."""

    keys: Rows
    embedding: Floats
    hamming: Rows
    verification: Floats
    change: Floats
    regions: Floats
    usual: Floats
    relation: NDArray[np.object_]

    @classmethod
    def unknown(cls, keys: Rows) -> "Measurements":
        """Return what is known of pairs that nobody has looked at."""
        count = len(keys)
        embedding, verification, change, usual = np.full((4, count), np.nan)
        regions, relation = np.full((count, 8), np.nan), np.full(count, None, object)
        return cls(keys, embedding, np.full(count, -1), verification, change, regions, usual, relation)

    def distance(self) -> Floats:
        """Return what the threshold is compared with."""
        from brain_assets.methods.duplicates.verification import duplicate_distance

        return duplicate_distance(self.embedding, self.hamming, self.verification)


def _stored(update: Update, contents: Contents) -> Measurements:
    connection = update.dataset.store.connection
    place = pa.table({"content": contents.names, "place": np.arange(len(contents))})
    connection.register("content_places", place.cast(pa.schema([("content", pa.string()), ("place", pa.int64())])))
    # Sorted here: of millions of pairs the database would hold all in memory to sort them.
    rows = update.streamed(f"""
        select a.place * {len(contents)} + b.place as key, embedding_distance, hamming::bigint as hamming, verification,
            change, usual_distance, relation, region, partner_region
        from content_pairs join content_places a on a.content = first_content
        join content_places b on b.content = second_content where brain_key = {update.key}""")
    connection.unregister("content_places")
    order = np.argsort(rows.column("key").to_numpy())
    key, embedding, hamming, verification, change, usual, relation = (
        column.to_numpy()[order] for column in rows.columns[:7]
    )
    first, second = np.divmod(key, max(len(contents), 1))
    moved = contents.fresh[first] | contents.fresh[second]
    embedding = np.where(moved, np.nan, embedding.astype(np.float64))
    hamming = np.where(moved, -1, hamming.astype(np.int64))
    stands = not update.anew or _previews_stand(update)
    verification = verification.astype(np.float64) if stands else np.full(len(key), np.nan)
    regions = np.hstack([_corners(column) for column in rows.columns[7:]])[order]
    change, usual = change.astype(np.float64), usual.astype(np.float64)
    return Measurements(
        key.astype(np.int64), embedding, hamming, verification, change, regions, usual, relation.astype(object)
    )


def _boxes(regions: Floats) -> pa.Array:
    """Return boxes, (m, 4), as lists, NULL where there is none."""
    boxes: list[list[float] | None] = [None] * len(regions)
    for place in np.flatnonzero(~np.isnan(regions[:, 0])).tolist():
        boxes[place] = regions[place].tolist()
    return pa.array(boxes, pa.list_(pa.float64()))


def _corners(boxes: pa.ChunkedArray) -> Floats:
    """Return lists as boxes, (m, 4), NaN where there is none."""
    found = np.full((len(boxes), 4), np.nan)
    known = boxes.is_valid().to_numpy()
    found[known] = np.array(boxes.drop_null().to_pylist(), np.float64).reshape(-1, 4)
    return found


def _previews_stand(update: Update) -> bool:
    """Return whether what stands was measured by this code on previews of this size, whatever else was set."""
    query = "select code_version, settings ->> '$.preview_size' from watermarks where asset = ? and brain_key = ?"
    known = update.dataset.store.rows(query, list(update.owner))
    return known == [(update.signal.version, str(update.run.settings["preview_size"]))]


def among(sorted_keys: Rows, wanted: Rows) -> NDArray[np.bool_]:
    """Return which of the wanted keys are there."""
    if not len(sorted_keys):
        return np.zeros(len(wanted), np.bool_)
    place = np.searchsorted(sorted_keys, wanted).clip(max=len(sorted_keys) - 1)
    return np.asarray(sorted_keys[place] == wanted, np.bool_)


def _looked_at(update: Update, contents: Contents, first: Rows, second: Rows) -> tuple[Floats, Floats, Floats]:
    """Return agreement, largest local difference and shared regions of pairs; NaN where there is nothing to compare."""
    shown = contents.previews[:, 0] >= 0
    both = np.flatnonzero(shown[first] & shown[second])
    with one_blas_thread():
        found = compared(lambda wanted: _previews(update, contents, wanted), first[both], second[both])
    for values in found:
        values.round(DIGITS, out=values)
    if len(both) == len(first):
        return found
    columns = np.full(len(first), np.nan), np.full(len(first), np.nan), np.full((len(first), 8), np.nan)
    for column, values in zip(columns, found, strict=True):
        column[both] = values
    return columns


def _previews(update: Update, contents: Contents, positions: Rows) -> Iterator[NDArray[np.uint8]]:
    for offset, length in contents.previews[positions].tolist():
        yield preview_pixels(update.dataset.previews.read(offset, length))


def preview_pixels(preview: bytes) -> NDArray[np.uint8]:
    """Return the (height, width, 3) uint8 pixels of a preview."""
    from PIL import Image

    with Image.open(io.BytesIO(preview)) as image:
        return np.asarray(image.convert("RGB"))
