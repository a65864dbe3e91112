"""Pairs of images, each measured once: how far apart by embedding, by perceptual hash, and on pixels."""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.incremental.update import Update, literal
from brain_assets.methods.duplicates.duplicates import Pairs
from brain_assets.methods.duplicates.perceptual_hash import pair_hamming
from brain_assets.methods.labels.objects import contained
from brain_assets.methods.similarity.distances import pair_distances
from brain_assets.resources.store.store import Merge
from brain_assets.resources.threads import one_blas_thread
from brain_assets.signals.similarity.similarity import vectors_of

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]
AT_ONCE = 8192
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
])  # fmt: skip

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
        Cosine distance; agreement of the pixels, NaN without previews; what the threshold is compared with.
    hamming : (m,) int64
    verified : int
        Pairs whose pixels were compared by this run.
    """

    def __init__(self, update: Update, contents: Contents) -> None:
        self.update, self.contents = update, contents
        self.keys, self.hamming = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self.embedding, self.verification, self.distance = np.zeros(0), np.zeros(0), np.zeros(0)
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
        order = np.argsort(np.concatenate([self.keys, keys]), kind="stable")
        self.keys = np.concatenate([self.keys, keys])[order]
        self.embedding = np.concatenate([self.embedding, known.embedding])[order]
        self.hamming = np.concatenate([self.hamming, known.hamming])[order]
        self.verification = np.concatenate([self.verification, known.verification])[order]
        self.distance = np.concatenate([self.distance, known.distance()])[order]

    def _known(self, keys: Rows) -> "Measurements":
        """Return what earlier runs have measured of pairs; NaN and -1 where they have not."""
        found = Measurements(keys, np.full(len(keys), np.nan), np.full(len(keys), -1), np.full(len(keys), np.nan))
        known = np.flatnonzero(among(self.stored.keys, keys))
        place = np.searchsorted(self.stored.keys, keys[known])
        found.embedding[known], found.hamming[known] = self.stored.embedding[place], self.stored.hamming[place]
        found.verification[known] = self.stored.verification[place]
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
        pairs.verification[todo] = _verified(self.update, self.contents, first[todo], second[todo])
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

    def merge(self) -> Merge:
        """Return the rows of ``content_pairs`` that are new or measured again, in place of those that are no candidates now."""
        names = pa.array(self.contents.names, pa.string())
        other = np.flatnonzero(~self._unchanged())
        first, second = (places[other] for places in self.pairs[:2])
        columns = [
            pa.array([self.update.run.brain_key] * len(other), pa.string()),
            names.take(pa.array(first)),
            names.take(pa.array(second)),
            pa.array(self.embedding[other]),
            pa.array(self.hamming[other].astype(np.int32)),
            pa.array(self.verification[other], from_pandas=True),
            pa.array(self.distance[other]),
        ]
        kept = self.known(among(self.keys, self.stored.keys))
        self.update.dataset.store.connection.register(
            "kept_pairs", pa.table([names.take(pa.array(end)) for end in kept], ["first_content", "second_content"])
        )
        gone = "(first_content, second_content) not in (select (first_content, second_content) from kept_pairs)"
        return self.update.put("content_pairs", pa.table(columns, schema=PAIRS), without=gone)

    def _unchanged(self) -> NDArray[np.bool_]:
        """Return which candidates are stored as they are now."""
        known = self._known(self.keys)
        same = (known.embedding == self.embedding) & (known.hamming == self.hamming)
        unverified = np.isnan(known.verification) & np.isnan(self.verification)
        return np.asarray(same & ((known.verification == self.verification) | unverified), np.bool_)


def read_contents(update: Update) -> Contents:
    """Return the contents of the similarity and embeddings runs that ``update.run`` names."""
    query = CONTENTS.format(**{name: literal(update.run.settings[name]) for name in ("similarity", "embeddings")})
    fresh = update.fresh(f"select picture, node, phash, mirrored from ({query})", "picture")
    rows = update.query(f"{query} order by picture")
    names = rows.column("picture")
    corners = rows.column("rectangle").combine_chunks().flatten().to_numpy().reshape(-1, 4)
    return Contents(
        names.to_pylist(),
        rows.column("node").to_numpy(),
        rows.column("phash").to_numpy().astype(np.uint64),
        rows.column("mirrored").to_numpy().astype(np.uint64),
        np.stack([rows.column(name).to_numpy() for name in ("preview_offset", "preview_length")], axis=1),
        pa.compute.is_in(names, fresh).to_numpy(),
        np.unique(np.array(rows.column("image").to_pylist(), np.str_), return_inverse=True)[1],
        np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]]),
    )


@dataclass(frozen=True)
class Measurements:
    """What was measured of pairs, by ascending key; NaN, and -1 bits, where nothing holds."""

    keys: Rows
    embedding: Floats
    hamming: Rows
    verification: Floats

    def distance(self) -> Floats:
        """Return what the threshold is compared with."""
        from brain_assets.methods.duplicates.verification import duplicate_distance

        return duplicate_distance(self.embedding, self.hamming, self.verification)


def _stored(update: Update, contents: Contents) -> Measurements:
    connection = update.dataset.store.connection
    place = pa.table({"content": contents.names, "place": np.arange(len(contents))})
    connection.register("content_places", place.cast(pa.schema([("content", pa.string()), ("place", pa.int64())])))
    rows = update.query(f"""
        select a.place * {len(contents)} + b.place as key, embedding_distance, hamming::bigint as hamming, verification
        from content_pairs join content_places a on a.content = first_content
        join content_places b on b.content = second_content where brain_key = {update.key} order by key""")
    connection.unregister("content_places")
    key, embedding, hamming, verification = (column.to_numpy() for column in rows.columns)
    first, second = np.divmod(key, max(len(contents), 1))
    moved = contents.fresh[first] | contents.fresh[second]
    embedding = np.where(moved, np.nan, embedding.astype(np.float64))
    hamming = np.where(moved, -1, hamming.astype(np.int64))
    stands = not update.anew or _previews_stand(update)
    verification = verification.astype(np.float64) if stands else np.full(len(key), np.nan)
    return Measurements(key.astype(np.int64), embedding, hamming, verification)


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


def _verified(update: Update, contents: Contents, first: Rows, second: Rows) -> Floats:
    """Return how far the pixels of pairs agree, NaN where a preview is missing."""
    from brain_assets.methods.duplicates import verification

    scores = np.full(len(first), np.nan)
    for at in range(0, len(first), AT_ONCE):
        a, b = first[at : at + AT_ONCE], second[at : at + AT_ONCE]
        used = np.unique(np.concatenate([a, b]))
        shown = used[contents.previews[used, 0] >= 0]
        with one_blas_thread():
            prints = verification.prints_of(_previews(update, contents, shown))
        row = np.full(len(contents.names), -1, np.int64)
        row[shown] = np.arange(len(shown))
        both = (row[a] >= 0) & (row[b] >= 0)
        if both.any():
            scores[at : at + len(a)][both] = (
                verification.verify(prints, row[a[both]], row[b[both]]).astype(np.float64).round(6)
            )
    return scores


def _previews(update: Update, contents: Contents, positions: Rows) -> Iterator[NDArray[np.uint8]]:
    for offset, length in contents.previews[positions].tolist():
        yield preview_pixels(update.dataset.previews.read(offset, length))


def preview_pixels(preview: bytes) -> NDArray[np.uint8]:
    """Return the (height, width, 3) uint8 pixels of a preview."""
    from PIL import Image

    with Image.open(io.BytesIO(preview)) as image:
        return np.asarray(image.convert("RGB"))
