"""The one pass over encoded images: each content is decoded, measured and embedded while it is in memory."""

import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa

from brain_assets.incremental.update import Update
from brain_assets.methods.images.image_quality import STATISTICS, statistics
from brain_assets.resources import progress
from brain_assets.resources.dataset import Dataset, limits_of
from brain_assets.resources.errors import BrainError, Refused
from brain_assets.resources.image_input import InputSpec
from brain_assets.resources.limits import Limits, is_outside, saturated
from brain_assets.resources.media.addresses import name_of_content, read_in_order, sequential
from brain_assets.resources.media.media_source import MediaSource, open_media
from brain_assets.resources.media.object_stores import CONNECTIONS, is_remote
from brain_assets.resources.settings.configuration import DatasetSettings
from brain_assets.resources.store.store import Merge
from brain_assets.resources.threads import one_blas_thread

# Decoders and models take long to import; most runs have nothing to decode.
if TYPE_CHECKING:
    from brain_assets.resources.decoding.decoding import Decoded, DecodeJob, Decoder
    from brain_assets.resources.engines.door import Work
    from brain_assets.resources.models.embedding_models import EmbeddingModel

    Looked = tuple[Decoded, np.ndarray[Any, Any] | None]

EMBED_BATCH = 16
# A commit compares its keys with all that are there. So that a million rows do not make every commit the larger part of the
# work, it waits until what is to be committed took so many times as long as the commit before; a kill loses no more than that.
COMMIT_ROWS, MOST_COMMIT_ROWS = 512, 4096
WORK_PER_COMMIT = 20
# Contents that a worker takes at once, and that are looked at again where it is lost.
BATCH = 64
# Larger members of a file that has to be read in its order are read one at a time, each by itself.
LARGE_FILE = 1 << 25
# Bytes that may be on their way, or wait to be decoded.
AHEAD_BYTES = 1 << 26
# Waits before what failed for a reason outside of the file is tried again; after the last it is given up, until a file of
# that content is new or touched. The first two tries come with the next runs.
WAITS = tuple(timedelta(hours=hours) for hours in (0, 0, 1, 6, 24, 168))
# Another version measures every content again.
STATISTICS_VERSION = "4"
# Another version decodes again what is transparent or deep, of which `decoding.colors` makes other pixels; nothing else.
COLORS_VERSION = 2
ODD_COLORS = "(transparency > 0 or bits > 8 or mode in ('I', 'F') or starts_with(mode, 'I;16'))"

MEDIA = pa.schema([
    ("content_hash", pa.string()),
    ("status", pa.string()),
    ("error", pa.string()),
    ("width", pa.int32()),
    ("height", pa.int32()),
    ("format", pa.string()),
    ("mode", pa.string()),
    ("channels", pa.int32()),
    ("bits", pa.int32()),
    ("frames", pa.int32()),
    ("animated", pa.bool_()),
    ("orientation", pa.int32()),
    ("taken_at", pa.timestamp("us")),
    ("transparency", pa.float64()),
    ("colors", pa.int32()),
    ("drafted", pa.bool_()),
    ("signature", pa.string()),
    ("phash", pa.uint64()),
    ("phash_mirrored", pa.uint64()),
    ("phash_turned", pa.list_(pa.uint64())),
    ("preview_offset", pa.int64()),
    ("preview_length", pa.int32()),
    ("attempts", pa.int32()),
    ("retry_at", pa.timestamp("us", "UTC")),
])  # fmt: skip
VECTORS = pa.schema([
    ("model_version", pa.string()),
    ("input_key", pa.string()),
    ("vector", pa.list_(pa.float32())),
    ("error", pa.string()),
])  # fmt: skip
CROPS = pa.schema([
    ("input_key", pa.string()),
    ("content_hash", pa.string()),
    ("rectangle", pa.list_(pa.int64())),
    ("phash", pa.uint64()),
    ("phash_mirrored", pa.uint64()),
    ("preview_offset", pa.int64()),
    ("preview_length", pa.int32()),
])  # fmt: skip
# What is kept of a crop's pixels, to see whether it is a copy of another.
KEPT = InputSpec("kept", 128, 128)
FACTS = set(MEDIA.names) - {
    "content_hash", "signature", "preview_offset", "preview_length", "attempts", "retry_at", "colors",
}  # fmt: skip


@dataclass
class _Batch:
    """Rows that wait to be committed together."""

    media: list[dict[str, Any]] = field(default_factory=list)
    measured: list["Decoded"] = field(default_factory=list)
    vectors: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Looking:
    """Decodes, measures and embeds contents; opened by whoever carries that, here or in another process.

    Attributes
    ----------
    settings : DatasetSettings
        Where the contents lie, and what one file may cost.
    source : MediaSource
        What they are read from; another process opens it for itself.
    journal : Path, optional
        Where to note what is in work; it stays with the process whose end it would tell of.
    model : EmbeddingModel, optional
        Whether, and by what, to embed.
    facts : bool
        Whether to measure.
    crops : bool
        Whether the rows have ``rectangles`` and ``input_keys`` of crops, which are then embedded instead.
    """

    settings: DatasetSettings
    source: MediaSource
    journal: Path | None = None
    model: "EmbeddingModel | None" = None
    facts: bool = False
    crops: bool = False

    @classmethod
    def of(cls, dataset: Dataset, model: "EmbeddingModel | None" = None, **what: bool) -> "Looking":
        """Return what looks at contents of a dataset."""
        used = model if model and model.input else None
        return cls(dataset.settings, dataset.source, dataset.paths.journal, used, **what)

    def __reduce__(self) -> tuple[Any, ...]:
        return _elsewhere, (self.settings, self.model, self.facts, self.crops)

    @property
    def limits(self) -> Limits:
        """What one file may cost."""
        return limits_of(self.settings)

    @contextmanager
    def __call__(self, threads: int, *, careful: bool) -> "Iterator[Work]":
        """Open decoder and model."""
        with one_blas_thread(), self.decoder(threads, careful=careful) as decoder:
            yield lambda rows: self._look(decoder, threads, rows)

    def decoder(self, threads: int | None = None, *, careful: bool = False) -> "Decoder":
        """Return a decoder with the dataset's limits, which for crops gives also what is kept of them."""
        from brain_assets.resources.decoding.decoding import Decoder

        inputs = [self.model.input] if self.model and self.model.input else []
        inputs += [KEPT] if self.crops else []
        return Decoder(
            inputs=inputs,
            preview_size=self.settings.decoding.preview_size,
            limits=self.limits,
            measure=statistics if self.facts else None,
            threads=threads,
            journal=self.journal,
            careful=careful,
        )

    def _look(self, decoder: "Decoder", threads: int, rows: Iterable[dict[str, Any]]) -> "Iterator[Looked]":
        """Yield what was decoded of each content, or of each of its crops, with its vector."""
        names: dict[str, list[str]] = {}
        decoded = decoder.decode(jobs(self, _noting(rows, names) if self.crops else rows))
        if self.crops:
            decoded = (crop for row in decoded for crop in _crops(row, names.pop(row.key)))
        return _embedded(decoded, self.model, threads)


def _elsewhere(settings: DatasetSettings, model: "EmbeddingModel | None", *what: bool) -> Looking:
    """Return what looks at contents of a dataset in another process."""
    return Looking(settings, open_media(settings, limits_of(settings)), None, model, *what)


def _noting(rows: Iterable[dict[str, Any]], names: dict[str, list[str]]) -> Iterator[dict[str, Any]]:
    """Yield the rows, and note how the crops of each are called."""
    for row in rows:
        names[row["content_hash"]] = row["input_keys"]
        yield row


def decode(update: Update, contents: pa.Table, *, facts: bool, model: "EmbeddingModel | None") -> None:
    """Decode contents and commit what was found, batch by batch.

    Parameters
    ----------
    update : Update
        Rows are committed in its name; it is marked incomplete where a file could not be read this time.
    contents : pyarrow.Table
        Columns ``content_hash``, ``uri``, ``bytes``.
    facts : bool
        Whether to write the rows of ``media`` and ``quality_statistics``, and the previews.
    model : EmbeddingModel, optional
        Whether, and by what, to embed.
    """
    if not contents.num_rows:
        return
    dataset = update.dataset
    looked = dataset.engine.map_batches(Looking.of(dataset, model, facts=facts), _batches(contents))
    with progress.bar("decode", contents.num_rows) as bar:
        for group in _paced(looked):
            _commit(update, group, model, facts=facts)
            bar.update(len(group))


def embed_crops(update: Update, contents: pa.Table, model: "EmbeddingModel") -> None:
    """Decode contents once each and commit the vectors of all their crops and what is kept of these, batch by batch.

    Parameters
    ----------
    update : Update
        Vectors are committed in its name; it is marked incomplete where a file could not be read this time.
    contents : pyarrow.Table
        Columns ``content_hash``, ``uri``, ``bytes``, and lists of equal length: ``rectangles`` (left, top, right, bottom
        in displayed pixels) and ``input_keys``, which name the crops and their vectors.
    model : EmbeddingModel
    """
    places = {key: place for row in contents.to_pylist() for key, place in _places(row)}
    dataset = update.dataset
    looked = dataset.engine.map_batches(Looking.of(dataset, model, crops=True), _batches(contents))
    with progress.bar("embed objects", len(places)) as bar:
        for group in _paced(looked):
            _commit_crops(update, [row for row, _ in group], places)
            _commit(update, group, model, facts=False)
            bar.update(len(group))


def _batches(contents: pa.Table) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows in batches that workers take as wholes; a file that has to be read in its order is not divided."""
    batch: list[dict[str, Any]] = []
    last = None
    for part in contents.sort_by("uri").to_batches(COMMIT_ROWS):
        for row in part.to_pylist():
            container = sequential(row["uri"])
            if len(batch) >= BATCH and (container is None or container != last):
                yield batch
                batch = []
            batch.append(row)
            last = container
    if batch:
        yield batch


def _places(row: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name of each crop of an image, with where it is."""
    for key, rectangle in zip(row["input_keys"], row["rectangles"], strict=True):
        yield key, {"input_key": key, "content_hash": row["content_hash"], "rectangle": rectangle}


def _commit_crops(update: Update, crops: "list[Decoded]", places: Mapping[str, dict[str, Any]]) -> None:
    """Commit what copies are found by: hashes, and a small picture."""
    from PIL import Image

    from brain_assets.resources.decoding.decoding import encode_preview
    from brain_assets.resources.store.fingerprints import perceptual_hashes

    found = []
    for crop in crops:
        if crop.status == "ok":
            picture = Image.fromarray(crop.inputs[KEPT.name])
            offset, length = update.dataset.previews.append(encode_preview(picture, lossless=False))
            plain, mirrored = perceptual_hashes(picture)
            hashes = {"phash": plain, "phash_mirrored": mirrored}
            found.append(places[crop.key] | hashes | {"preview_offset": offset, "preview_length": length})
    update.dataset.previews.sync()
    update.commit(Merge("crops", pa.Table.from_pylist(found, schema=CROPS)))


def _crops(row: "Decoded", keys: list[str]) -> "Iterator[Decoded]":
    """Yield each crop of an image as if it were one; an image that could not be decoded as it is."""
    from brain_assets.resources.decoding.decoding import Decoded

    if row.status != "ok":
        yield row
    for key, inputs in zip(keys, row.crops, strict=False):
        yield Decoded(key=key, status="ok", inputs=inputs)


def _job(row: dict[str, Any], read: Callable[[], bytes]) -> "DecodeJob":
    """Return the job that decodes one content, given its row and what reads it."""
    from brain_assets.resources.decoding.decoding import DecodeJob

    return DecodeJob(row["content_hash"], read, row["bytes"], row.get("rectangles", ()))


class Reader(Protocol):
    """What contents are read by: where they lie, and what one file may cost."""

    @property
    def source(self) -> MediaSource: ...  # noqa: D102
    @property
    def limits(self) -> Limits: ...  # noqa: D102


def jobs(reader: Reader, rows: Iterable[dict[str, Any]]) -> "Iterator[DecodeJob]":
    """Yield the jobs that decode some contents, given their ``content_hash``, ``uri`` and ``bytes``.

    What lies far away is fetched ahead; what lies in a file that has to be read in its order comes in that.
    """
    far: list[dict[str, Any]] = []
    passed: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        small = row["bytes"] <= LARGE_FILE
        if small and (container := sequential(row["uri"])):
            passed.setdefault(container, []).append(row)
        elif small and is_remote(row["uri"]):
            far.append(row)
        else:
            yield _job(row, partial(load, reader, row["uri"], row["content_hash"]))
    yield from _fetched(reader, far)
    for container, members in passed.items():
        yield from _pass(reader, container, {row["uri"]: row for row in members})


def _fetched(reader: Reader, rows: list[dict[str, Any]]) -> "Iterator[DecodeJob]":
    """Yield the jobs of objects far away; while some are decoded, the next are on their way."""
    with ThreadPoolExecutor(CONNECTIONS, "fetch") as pool:
        ahead: deque[tuple[dict[str, Any], Future[bytes]]] = deque()
        for row in rows:
            ahead.append((row, pool.submit(load, reader, row["uri"], row["content_hash"])))
            while len(ahead) > CONNECTIONS or sum(one["bytes"] for one, _ in ahead) > AHEAD_BYTES:
                first, fetched = ahead.popleft()
                yield _job(first, fetched.result)
        for row, fetched in ahead:
            yield _job(row, fetched.result)


def _pass(reader: Reader, container: str, wanted: dict[str, dict[str, Any]]) -> "Iterator[DecodeJob]":
    """Yield the jobs of members as one pass over their file comes to them, and failing ones for those that are missing."""
    problem = OSError("the file changed while it was being read")
    try:
        for uri, key, data in read_in_order(container, list(wanted), reader.limits):
            if uri in wanted and key == wanted[uri]["content_hash"]:
                yield _job(wanted.pop(uri), partial(_given, data))
            if not wanted:
                return
    except (OSError, Refused) as error:
        # What is behind the damage may be read another time, or elsewhere: this says nothing of the content.
        problem = OSError(str(error))
    for row in wanted.values():
        yield _job(row, partial(_given, problem))


def _given(data: bytes | Exception) -> bytes:
    if isinstance(data, Exception):
        raise data
    return data


def load(reader: Reader, uri: str, expected: str) -> bytes:
    """Return a file's bytes; raises OSError when they are no longer those that were hashed."""
    data = reader.source.read(uri)
    if name_of_content(uri, data) != expected:
        raise OSError("the file changed while it was being read")
    return data


def _embedded(decoded: "Iterable[Decoded]", model: "EmbeddingModel | None", threads: int) -> "Iterator[Looked]":
    """Yield each decoded image with its vector; as many batches are embedded at once as there are threads."""
    if model is None:
        yield from ((row, None) for row in decoded)
        return
    pending: list[Future[list[Looked]]] = []
    with ThreadPoolExecutor(threads, "embed") as pool:
        for group in _groups(decoded, EMBED_BATCH):
            pending.append(pool.submit(_embed, group, model))
            if len(pending) > threads:
                yield from pending.pop(0).result()
        for future in pending:
            yield from future.result()


def _embed(rows: "list[Decoded]", model: "EmbeddingModel") -> "list[Looked]":
    good = [row for row in rows if row.status == "ok"]
    bad: list[Looked] = [(row, None) for row in rows if row.status != "ok"]
    if not good or model.input is None:
        return bad
    # The pixels have served: what is kept of a row need not hold them.
    images = np.stack([row.inputs.pop(model.input.name) for row in good])
    try:
        vectors = model.embed(images)
    except Exception as error:
        line = " ".join("".join(traceback.format_exception_only(error)).split())
        raise BrainError(f"the model {model.name} failed on {len(good)} images: {line}") from error
    return bad + list(zip(good, vectors, strict=True))


def _groups(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    group: list[Any] = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _paced(items: Iterable[Any]) -> Iterator[list[Any]]:
    """Yield the items in groups to be committed, the larger the longer the commit before took."""
    group: list[Any] = []
    ended, took = time.monotonic(), 0.0
    for item in items:
        group.append(item)
        worked = time.monotonic() - ended >= WORK_PER_COMMIT * took
        if len(group) == MOST_COMMIT_ROWS or (worked and len(group) >= COMMIT_ROWS):
            begun = time.monotonic()
            yield group
            ended = time.monotonic()
            took, group = ended - begun, []
    if group:
        yield group


def _commit(update: Update, group: list[Any], model: "EmbeddingModel | None", *, facts: bool) -> None:
    batch = _Batch()
    for row, vector in group:
        if row.status == "error" and is_outside(row.error):
            _postpone(update, row, batch, facts=facts)
        elif facts:
            batch.media.append(_media_row(update.dataset, row))
            batch.measured += [row] if row.statistics else []
        if model is not None and vector is not None:
            batch.vectors.append(vector_row(model.version, row.key, vector))
    merges = [Merge("vectors", pa.Table.from_pylist(batch.vectors, schema=VECTORS))]
    if facts:
        update.dataset.previews.sync()
        merges.append(Merge("media", pa.Table.from_pylist(batch.media, schema=MEDIA)))
        merges.append(Merge("quality_statistics", _statistics_table(batch.measured)))
    update.commit(*merges)
    update.notes["embedded"] = update.notes.get("embedded", 0) + len(batch.vectors)


def _postpone(update: Update, row: "Decoded", batch: _Batch, *, facts: bool) -> None:
    """Note when to try again what failed for a reason outside of the file; what is known of a content stays."""
    update.notes["to try again"] = update.notes.get("to try again", 0) + 1
    known = update.dataset.store.rows("select status, attempts from media where content_hash = ?", [row.key])
    if not facts or (known and known[0][0] == "ok"):
        update.incomplete = True
        return
    attempts = (known[0][1] or 0) if known else 0
    due = datetime.now(UTC) + WAITS[attempts] if attempts < len(WAITS) else None
    batch.media.append(_media_row(update.dataset, row) | {"attempts": attempts + 1, "retry_at": due})


def vector_row(version: str, key: str, vector: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Return a row of ``vectors``; one that holds NaN or infinity is kept as an error."""
    if not np.isfinite(vector).all():
        return {"model_version": version, "input_key": key, "vector": None, "error": "the vector holds NaN or infinity"}
    return {"model_version": version, "input_key": key, "vector": vector, "error": None}


def _media_row(dataset: Dataset, row: "Decoded") -> dict[str, Any]:
    facts = {name: _held(getattr(row, name), MEDIA.field(name).type) for name in FACTS}
    place = dataset.previews.append(row.preview) if row.preview else (None, None)
    signature = row.signature.hex() if row.signature else None
    return facts | {
        "content_hash": row.key,
        "signature": signature,
        "colors": COLORS_VERSION,
        "preview_offset": place[0],
        "preview_length": place[1],
    }


def _held(value: Any, kind: pa.DataType) -> Any:
    """Return what a file says of itself, which is anything, as its column holds it."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, int) and pa.types.is_signed_integer(kind):
        return saturated(value, kind.bit_width)
    return value


def _statistics_table(rows: "list[Decoded]") -> pa.Table:
    """Return the statistics with NULL where an image cannot say."""
    columns = {name: np.array([row.statistics[name] for row in rows], np.float64) for name in STATISTICS}
    return pa.table(
        {
            "content_hash": pa.array([row.key for row in rows], pa.string()),
            **{name: pa.array(values, from_pandas=True) for name, values in columns.items()},
        }
    )
