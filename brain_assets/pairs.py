"""Pairs of images, each measured once: how far apart by embedding, by perceptual hash, and on pixels."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.incremental import Update, literal
from brain_assets.methods.duplicates import Pairs
from brain_assets.methods.perceptual_hash import pair_hamming
from brain_assets.similarity import vectors_of
from resources.threads import one_blas_thread

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]
AT_ONCE = 8192
DIGITS = 6
PAIRS = pa.schema([
    ("brain_key", pa.string()),
    ("first_content", pa.string()),
    ("second_content", pa.string()),
    ("embedding_distance", pa.float64()),
    ("hamming", pa.int32()),
    ("verification", pa.float64()),
    ("distance", pa.float64()),
])  # fmt: skip


@dataclass(frozen=True)
class Contents:
    """The distinct contents of a similarity run, ordered by content hash.

    Attributes
    ----------
    hashes : list of str
    nodes : (n,) int64
        Their nodes in the graph.
    phash, mirrored : (n,) uint64
        Perceptual hashes of the image and its mirror image; 0 says nothing.
    previews : list of (offset, length) or None
    fresh : (n,) bool
        Which may be new, or have another vector or hash than the last run saw.
    """

    hashes: list[str]
    nodes: Rows
    phash: NDArray[np.uint64]
    mirrored: NDArray[np.uint64]
    previews: list[tuple[int, int] | None]
    fresh: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.hashes)


class MeasuredPairs:
    """The candidates of a run, each with what was measured of it, now or by an earlier run.

    Attributes
    ----------
    keys : (m,) int64, ascending
        Position of the first content times the number of contents, plus that of the second, which is larger.
    embedding, verification : (m,) float64
        Cosine distance; agreement of the pixels, NaN without previews.
    hamming : (m,) int64
    verified : int
        Pairs whose pixels were compared by this run.
    """

    def __init__(self, update: Update, contents: Contents) -> None:
        self.update, self.contents = update, contents
        self.keys, self.hamming = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self.embedding, self.verification = np.zeros(0), np.zeros(0)
        self.verified = 0
        self.stored = _stored(update, contents)

    def add(self, first: Rows, second: Rows) -> None:
        """Make pairs candidates; what is not known of them is measured."""
        count = max(len(self.contents), 1)
        keys = np.unique(np.minimum(first, second) * count + np.maximum(first, second))
        keys = keys[~among(self.keys, keys)]
        embedding, hamming, verification = self._known(keys)
        first, second = np.divmod(keys, count)
        todo = np.flatnonzero(np.isnan(embedding))
        embedding[todo] = self.cosine_distances(first[todo], second[todo])
        hamming[todo] = pair_hamming(self.contents.phash, self.contents.mirrored, first[todo], second[todo])
        todo = np.flatnonzero(np.isnan(verification))
        verification[todo] = _verified(self.update, self.contents, first[todo], second[todo])
        self.verified += len(todo)
        order = np.argsort(np.concatenate([self.keys, keys]), kind="stable")
        self.keys = np.concatenate([self.keys, keys])[order]
        self.embedding = np.concatenate([self.embedding, embedding])[order]
        self.hamming = np.concatenate([self.hamming, hamming])[order]
        self.verification = np.concatenate([self.verification, verification])[order]

    def _known(self, keys: Rows) -> tuple[Floats, Rows, Floats]:
        """Return what earlier runs have measured of pairs; NaN where they have not."""
        embedding, verification = np.full(len(keys), np.nan), np.full(len(keys), np.nan)
        hamming = np.zeros(len(keys), np.int64)
        known = np.flatnonzero(among(self.stored.keys, keys))
        place = np.searchsorted(self.stored.keys, keys[known])
        embedding[known], hamming[known] = self.stored.embedding[place], self.stored.hamming[place]
        verification[known] = self.stored.verification[place]
        return embedding, hamming, verification

    def cosine_distances(self, first: Rows, second: Rows) -> Floats:
        """Return 1 - cosine, for any metric of the graph, so that one threshold has one meaning."""
        found = np.zeros(len(first))
        for at in range(0, len(first), AT_ONCE):
            a, b = first[at : at + AT_ONCE], second[at : at + AT_ONCE]
            found[at : at + len(a)] = 1 - np.einsum("ij,ij->i", self.vectors[a], self.vectors[b])
        return np.clip(found, 0, 2).round(DIGITS)

    @cached_property
    def vectors(self) -> NDArray[np.float32]:
        """Unit vectors of all contents, read when they are asked for."""
        return vectors_of(self.update, self.contents.nodes, "cosine")

    def known(self, chosen: NDArray[np.bool_]) -> tuple[Rows, Rows]:
        """Return those stored pairs for which ``chosen`` holds."""
        first, second = np.divmod(self.stored.keys[chosen], max(len(self.contents), 1))
        return first, second

    @property
    def pairs(self) -> Pairs:
        """All candidates and how far apart they are."""
        from brain_assets.methods.verification import duplicate_distance

        first, second = np.divmod(self.keys, max(len(self.contents), 1))
        return Pairs(first, second, duplicate_distance(self.embedding, self.hamming, self.verification))

    def table(self) -> pa.Table:
        """Return the rows of ``content_pairs``."""
        names = pa.array(self.contents.hashes, pa.string())
        first, second, distance = self.pairs
        columns = [
            pa.array([self.update.run.brain_key] * len(first), pa.string()),
            names.take(pa.array(first)),
            names.take(pa.array(second)),
            pa.array(self.embedding),
            pa.array(self.hamming.astype(np.int32)),
            pa.array(self.verification, from_pandas=True),
            pa.array(distance),
        ]
        return pa.table(columns, schema=PAIRS)


def read_contents(update: Update) -> Contents:
    """Return the contents of the similarity and embeddings runs that ``update.run`` names."""
    rows = update.query(f"""
        select content_hash, any_value(node) as node, any_value(coalesce(phash, 0)) as phash,
            any_value(coalesce(phash_mirrored, 0)) as mirrored, any_value(preview_offset) as preview_offset,
            any_value(preview_length) as preview_length,
            max(greatest(embeddings.changed, samples.changed, media.changed)) > {update.since} as fresh
        from neighbors join embeddings using (subject_id) join vectors using (model_version, input_key)
        join samples on samples.sample_id = embeddings.sample_id join media using (content_hash)
        where neighbors.brain_key = {literal(update.run.settings["similarity"])}
            and embeddings.brain_key = {literal(update.run.settings["embeddings"])}
        group by content_hash order by content_hash""")
    places = zip(rows.column("preview_offset").to_pylist(), rows.column("preview_length").to_pylist(), strict=True)
    return Contents(
        rows.column("content_hash").to_pylist(),
        rows.column("node").to_numpy(),
        rows.column("phash").to_numpy().astype(np.uint64),
        rows.column("mirrored").to_numpy().astype(np.uint64),
        [None if place[0] is None else place for place in places],
        rows.column("fresh").to_numpy(zero_copy_only=False),
    )


@dataclass(frozen=True)
class Stored:
    """What earlier runs have measured, by ascending key; NaN where that no longer holds."""

    keys: Rows
    embedding: Floats
    hamming: Rows
    verification: Floats


def _stored(update: Update, contents: Contents) -> Stored:
    connection = update.dataset.store.connection
    place = pa.table({"content": contents.hashes, "place": np.arange(len(contents))})
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
    stands = not update.anew or _previews_stand(update)
    verification = verification.astype(np.float64) if stands else np.full(len(key), np.nan)
    return Stored(key.astype(np.int64), embedding, hamming.astype(np.int64), verification)


def _previews_stand(update: Update) -> bool:
    """Return whether what stands was measured by this code on previews of this size, whatever else was set."""
    query = "select fingerprint from watermarks where asset = ? and brain_key = ?"
    known = update.dataset.store.value(query, [update.derivation.name, update.run.brain_key])
    version, settings, _ = json.loads(known or "[null, {}, null]")
    return bool(
        version == update.derivation.version and settings.get("preview_size") == update.run.settings["preview_size"]
    )


def among(sorted_keys: Rows, wanted: Rows) -> NDArray[np.bool_]:
    """Return which of the wanted keys are there."""
    if not len(sorted_keys):
        return np.zeros(len(wanted), np.bool_)
    place = np.searchsorted(sorted_keys, wanted).clip(max=len(sorted_keys) - 1)
    return np.asarray(sorted_keys[place] == wanted, np.bool_)


def _verified(update: Update, contents: Contents, first: Rows, second: Rows) -> Floats:
    """Return how far the pixels of pairs agree, NaN where a preview is missing."""
    from brain_assets.methods import verification

    scores = np.full(len(first), np.nan)
    for at in range(0, len(first), AT_ONCE):
        a, b = first[at : at + AT_ONCE], second[at : at + AT_ONCE]
        used = np.unique(np.concatenate([a, b]))
        has_preview = np.array([contents.previews[position] is not None for position in used], bool)
        shown = used[has_preview]
        with one_blas_thread():
            prints = verification.prints_of(_previews(update, contents, shown))
        row = np.full(len(contents.hashes), -1, np.int64)
        row[shown] = np.arange(len(shown))
        both = (row[a] >= 0) & (row[b] >= 0)
        if both.any():
            scores[at : at + len(a)][both] = (
                verification.verify(prints, row[a[both]], row[b[both]]).astype(np.float64).round(6)
            )
    return scores


def _previews(update: Update, contents: Contents, positions: Rows) -> Iterator[NDArray[np.uint8]]:
    for position in positions.tolist():
        place = contents.previews[position]
        if place is not None:
            yield preview_pixels(update.dataset.previews.read(*place))


def preview_pixels(preview: bytes) -> NDArray[np.uint8]:
    """Return the (height, width, 3) uint8 pixels of a preview."""
    from PIL import Image

    with Image.open(io.BytesIO(preview)) as image:
        return np.asarray(image.convert("RGB"))
