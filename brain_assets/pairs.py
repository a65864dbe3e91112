"""Pairs of images that may be copies of each other: found by embedding or perceptual hash, judged on pixels."""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.incremental import Update, literal
from brain_assets.methods import similarity
from brain_assets.similarity import stored_graph, vectors_of
from resources.configuration import NearDuplicateSettings
from resources.store import Merge
from resources.threads import one_blas_thread

Rows = NDArray[np.int64]
VERIFIED_AT_ONCE = 8192
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
        Perceptual hashes of the image and its mirror image.
    previews : list of (offset, length) or None
    """

    hashes: list[str]
    nodes: Rows
    phash: NDArray[np.uint64]
    mirrored: NDArray[np.uint64]
    previews: list[tuple[int, int] | None]


def update_pairs(update: Update, settings: NearDuplicateSettings) -> Contents:
    """Commit the pairs that are candidates now; only pairs that were never measured are verified."""
    contents = _contents(update)
    first, second, embedding = _candidates(update, settings, contents)
    hamming = hamming_distance(contents, first, second)
    known = _measured(update, contents, first, second)
    todo = np.flatnonzero(np.isnan(known))
    update.notes |= {"candidate pairs": len(first), "verified pairs": len(todo)}
    known[todo] = _verified(update, contents, first[todo], second[todo])
    from brain_assets.methods.verification import duplicate_distance

    names = np.array(contents.hashes, dtype=object)
    columns = [
        pa.array([update.run.brain_key] * len(first), pa.string()),
        pa.array(names[first], pa.string()),
        pa.array(names[second], pa.string()),
        pa.array(embedding.astype(np.float64)),
        pa.array(hamming.astype(np.int32)),
        pa.array(known, from_pandas=True),
        pa.array(duplicate_distance(embedding, hamming, known)),
    ]
    update.commit(Merge("content_pairs", pa.table(columns, schema=PAIRS), within=f"brain_key = {update.key}"))
    return contents


def _contents(update: Update) -> Contents:
    rows = update.query(f"""
        select content_hash, any_value(node) as node, any_value(phash) as phash, any_value(phash_mirrored) as mirrored,
            any_value(preview_offset) as preview_offset, any_value(preview_length) as preview_length
        from neighbors join embeddings using (subject_id) join vectors using (model_version, input_key)
        join samples on samples.sample_id = embeddings.sample_id join media using (content_hash)
        where neighbors.brain_key = {literal(update.run.settings["similarity"])}
            and embeddings.brain_key = {literal(update.run.settings["embeddings"])}
        group by content_hash order by content_hash""")
    places = zip(rows.column("preview_offset").to_pylist(), rows.column("preview_length").to_pylist(), strict=True)
    return Contents(
        rows.column("content_hash").to_pylist(),
        rows.column("node").to_numpy(),
        rows.column("phash").to_numpy(),
        rows.column("mirrored").to_numpy(),
        [None if place[0] is None else place for place in places],
    )


def _candidates(
    update: Update, settings: NearDuplicateSettings, contents: Contents
) -> tuple[Rows, Rows, NDArray[np.float32]]:
    """Return the candidate pairs, lower position first, with their embedding distances."""
    metric = update.run.settings["metric"]
    graph, places = stored_graph(update, update.run.settings["similarity"], contents.nodes)
    vectors = vectors_of(update, contents.nodes, metric)
    near = graph.neighbors[:, : settings.candidates]
    listed = (near >= 0) & (graph.distances[:, : settings.candidates] <= settings.candidate_distance)
    source, slot = np.nonzero(listed)
    pairs = [np.stack([places[source], places[near[source, slot]]])]
    moved = _in_order(graph, places, len(contents.nodes))
    within = similarity.radius_pairs(vectors, moved, settings.radius, metric=metric)
    pairs.append(np.stack([within[0], within[1]]))
    pairs.append(_alike_by_hash(contents, settings.hash_bits))
    both = np.concatenate(pairs, axis=1)
    both = both[:, (both >= 0).all(axis=0)]
    keys = np.unique(both.min(axis=0) * len(contents.nodes) + both.max(axis=0))
    first, second = np.divmod(keys, max(len(contents.nodes), 1))
    return first, second, _distances(vectors, first, second)


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


def _distances(vectors: NDArray[np.float32], first: Rows, second: Rows) -> NDArray[np.float32]:
    """Return 1 - cosine of pairs, for any metric of the graph, so that one threshold has one meaning."""
    parts = []
    for at in range(0, len(first), VERIFIED_AT_ONCE):
        a, b = vectors[first[at : at + VERIFIED_AT_ONCE]], vectors[second[at : at + VERIFIED_AT_ONCE]]
        lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        cosine = np.einsum("ij,ij->i", a, b) / np.where(lengths > 0, lengths, 1)
        parts.append(np.clip(1 - cosine, 0, 2).round(6))
    return np.concatenate(parts).astype(np.float32) if parts else np.zeros(0, np.float32)


def _alike_by_hash(contents: Contents, bits: int) -> Rows:
    """Return (2, m): all pairs whose hashes, plain or mirrored, differ in at most ``bits``."""
    found = [np.zeros((2, 0), np.int64)]
    block = 512
    for at in range(0, len(contents.phash), block):
        rows = contents.phash[at : at + block, None]
        for other in (contents.phash, contents.mirrored):
            near = np.bitwise_count(rows ^ other[None, at:]) <= bits
            a, b = np.nonzero(near)
            found.append(np.stack([a + at, b + at])[:, a < b])
    return np.concatenate(found, axis=1)


def hamming_distance(contents: Contents, first: Rows, second: Rows) -> NDArray[np.int64]:
    """Return in how many bits the perceptual hashes of pairs differ, plain or mirrored, whichever is less."""
    plain = np.bitwise_count(contents.phash[first] ^ contents.phash[second])
    mirrored = np.bitwise_count(contents.phash[first] ^ contents.mirrored[second])
    nearer: NDArray[np.int64] = np.minimum(plain, mirrored).astype(np.int64)
    return nearer


def _measured(update: Update, contents: Contents, first: Rows, second: Rows) -> NDArray[np.float64]:
    """Return the verification of pairs where it is known, else NaN."""
    found = np.full(len(first), np.nan)
    if update.anew:
        return found
    rows = update.query(
        "select first_content, second_content, verification from content_pairs"
        f" where brain_key = {update.key} and verification is not null"
    )
    place = {content: position for position, content in enumerate(contents.hashes)}
    known = {
        (place.get(a, -1), place.get(b, -1)): value
        for a, b, value in zip(*(column.to_pylist() for column in rows.columns), strict=True)
    }
    for at, pair in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        found[at] = known.get(pair, np.nan)
    return found


def _verified(update: Update, contents: Contents, first: Rows, second: Rows) -> NDArray[np.float64]:
    """Return how far the pixels of pairs agree, NaN where a preview is missing."""
    from brain_assets.methods import verification

    scores = np.full(len(first), np.nan)
    for at in range(0, len(first), VERIFIED_AT_ONCE):
        a, b = first[at : at + VERIFIED_AT_ONCE], second[at : at + VERIFIED_AT_ONCE]
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
