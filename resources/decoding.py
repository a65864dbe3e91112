"""The one decode pass: encoded bytes in, one row per file out, whatever the file holds.

Plain JPEG, PNG, WebP, GIF and BMP decode in threads of this process; everything else, and large or suspicious files of
those formats, in worker processes that can be killed. A row depends on the file's bytes alone, never on what else is in
the batch. What is being decoded in this process is noted in a journal, so that after a crash the same files are decoded
in workers and the one to blame becomes an error row.

>>> import io
>>> from PIL import Image
>>> encoded = io.BytesIO()
>>> Image.new("RGB", (40, 30), "red").save(encoded, "PNG")
>>> with Decoder() as decoder:
...     jobs = [DecodeJob("good", encoded.getvalue), DecodeJob("bad", lambda: b"<html>")]
...     for row in sorted(decoder.decode(jobs), key=lambda row: row.key):
...         print(row.key, row.status, row.width, row.error)
bad error None not_an_image: the content is HTML
good ok 40 None
"""

import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from resources.decoding_workers import Task, WorkerPool
from resources.fingerprints import encode_preview, perceptual_hashes, shrink, signature
from resources.formats import THREADED, sniff
from resources.image_input import InputSpec
from resources.journal import Journal
from resources.limits import Limits, Refused, check_bytes, check_size, reason_of
from resources.pictures import (
    Facts,
    Inputs,
    Needs,
    Picture,
    Rectangle,
    model_input,
    open_image,
    pixel_hash,
    read_crops,
    read_picture,
    reduction,
)

Statistic = float | int | str | None
Measure = Callable[[NDArray[np.uint8], Mapping[str, Any]], Mapping[str, Statistic]]
Item = TypeVar("Item")
Row = TypeVar("Row")

# Above these a file is decoded alone, in a worker: memory stays bounded, and a decoder cannot hang in a thread.
LIGHT_PIXELS = 1 << 24
LIGHT_BYTES = 1 << 25
LIGHT_SCANS = 64
START_OF_SCAN = b"\xff\xda"


@dataclass(frozen=True)
class DecodeJob:
    """One file to decode.

    Attributes
    ----------
    key : str
        Names the row; the content hash.
    load : callable
        Returns the encoded bytes; called once, in a thread, when the file's turn comes.
    size : int or None
        Encoded size in bytes where known, so that a file that is too large is not even loaded.
    rectangles : sequence of (left, top, right, bottom)
        Crops to make as well, in displayed pixels of the full image.
    """

    key: str
    load: Callable[[], bytes]
    size: int | None = None
    rectangles: Sequence[Rectangle] = ()


@dataclass(frozen=True, kw_only=True)
class Decoded(Facts):
    """One row per job: what is known of an image, and what is made of it.

    Attributes
    ----------
    key : str
        The job's.
    status : {"ok", "error"}
        Whether the image could be decoded to its end.
    error : str or None
        The reason, ``code: line`` (see `resources.limits`).
    signature : bytes or None
        Two images of equal size whose pixels are equal have equal signatures, unless exactly one of them is `drafted`;
        for such a pair the perceptual hashes differ in at most `DRAFT_DISTANCE` bits. `Decoder.pixel_hashes` confirms.
    phash, phash_mirrored : int or None
        64-bit perceptual hash of the image, and of its mirror image.
    preview : bytes or None
        PNG (small images, lossless) or JPEG.
    inputs : dict
        For each `InputSpec` by name a (height, width, 3) uint8 array.
    crops : list of dict
        The same for each of the job's rectangles.
    statistics : dict
        What ``measure`` returned.
    """

    key: str
    status: Literal["ok", "error"]
    error: str | None = None
    signature: bytes | None = None
    phash: int | None = None
    phash_mirrored: int | None = None
    preview: bytes | None = None
    inputs: Inputs = field(default_factory=dict)
    crops: list[Inputs] = field(default_factory=list)
    statistics: Mapping[str, Statistic] = field(default_factory=dict)


DRAFT_DISTANCE = 8


class Decoder:
    """Decodes files in parallel; a context manager that owns threads, worker processes and the journal.

    Parameters
    ----------
    inputs : sequence of InputSpec
        What embedding models want.
    preview_size : int
        Longest side of the preview in pixels.
    limits : Limits
        What one file may cost.
    measure : callable or None
        ``measure(rgb, facts)`` returns statistics of the reduced (height, width, 3) uint8 image as displayed; ``facts``
        holds the fields of `Facts` and ``bytes``. It runs in threads of this process.
    threads : int or None
        Default: one per core.
    journal : Path or None
        Where to note what is being decoded; see `resources.journal.suspects`.
    plugins : sequence of str
        Modules that register further Pillow formats, imported in worker processes only.
    """

    def __init__(  # noqa: PLR0913 - keywords, each with a default
        self,
        *,
        inputs: Sequence[InputSpec] = (),
        preview_size: int = 256,
        limits: Limits | None = None,
        measure: Measure | None = None,
        threads: int | None = None,
        journal: Path | None = None,
        plugins: Sequence[str] = (),
    ) -> None:
        self._needs = Needs(preview_size, tuple(inputs))
        self._limits = limits or Limits()
        self._measure = measure
        self._threads = threads or os.cpu_count() or 1
        self._workers = WorkerPool(self._limits, plugins)
        self._journal = Journal(journal)
        self._alone = threading.RLock()

    def __enter__(self) -> Self:
        _prepare_pillow()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the worker processes and close the journal."""
        self._workers.close()
        self._journal.close()

    def decode(self, jobs: Iterable[DecodeJob]) -> Iterator[Decoded]:
        """Yield exactly one row per job, in the order in which they are done; looks only a few jobs ahead."""
        return self._map(self._decode, jobs)

    def pixel_hashes(self, jobs: Iterable[DecodeJob]) -> Iterator[tuple[str, bytes | None]]:
        """Yield each job's key and the hash of its pixels in full resolution, None where it cannot be decoded."""
        return self._map(self._hash, jobs)

    def _map(self, function: Callable[[Item], Row], items: Iterable[Item]) -> Iterator[Row]:
        pending: set[Future[Row]] = set()
        with ThreadPoolExecutor(self._threads, "decode") as pool:
            try:
                for item in items:
                    pending.add(pool.submit(function, item))
                    if len(pending) >= 2 * self._threads:
                        done, pending = wait(pending, return_when=FIRST_COMPLETED)
                        yield from (future.result() for future in done)
                while pending:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            finally:
                for future in pending:
                    future.cancel()

    def _decode(self, job: DecodeJob) -> Decoded:
        try:
            return self._row(job)
        except Exception as error:  # noqa: BLE001 - decoders raise anything, and every bad file is a row
            return Decoded(key=job.key, status="error", error=reason_of(error))

    def _row(self, job: DecodeJob) -> Decoded:
        with self._turn(job.size or 0):
            data = self._load(job)
            picture: Picture = self._run(job.key, data, partial(read_picture, needs=self._needs))
            crops = self._crops(job, data) if job.rectangles else []
        return self._finish(job.key, picture, crops, len(data))

    def _crops(self, job: DecodeJob, data: bytes) -> list[Inputs]:
        task = partial(read_crops, rectangles=tuple(job.rectangles), specs=self._needs.inputs)
        crops: list[Inputs] = self._run(job.key, data, task, in_full=True)
        return crops

    def _hash(self, job: DecodeJob) -> tuple[str, bytes | None]:
        try:
            with self._turn(job.size or 0):
                return job.key, self._run(job.key, self._load(job), pixel_hash, in_full=True)
        except Exception:  # noqa: BLE001 - as above; the reason is known from the row
            return job.key, None

    def _turn(self, size: int) -> Any:
        return self._alone if size > LIGHT_BYTES else nullcontext()

    def _load(self, job: DecodeJob) -> bytes:
        if job.size is not None:
            check_bytes(job.size, self._limits)
        try:
            data = job.load()
        except Exception as error:
            raise Refused(f"missing: {type(error).__name__}: {error}") from error
        check_bytes(len(data), self._limits)
        return data

    def _run(self, key: str, data: bytes, task: Task, *, in_full: bool = False) -> Any:
        """Return ``task`` of an image, in this thread where that is safe, else in a worker process."""
        kind = sniff(data)
        if kind in THREADED and key not in self._journal.suspects:
            with self._journal.working_on(key), open_image(data, [kind]) as image:
                check_size(*image.size, self._limits)
                if self._is_light(image, data, in_full=in_full):
                    return task(image)
        return self._isolated(key, data, task)

    def _isolated(self, key: str, data: bytes, task: Task) -> Any:
        with self._journal.working_on(key):
            return self._workers.run(task, data)

    def _is_light(self, image: Image.Image, data: bytes, *, in_full: bool) -> bool:
        pixels = image.width * image.height
        if image.format in {"JPEG", "MPO"} and "progressive" not in image.info and not in_full:
            pixels //= reduction(*image.size, self._needs) ** 2
        return pixels <= LIGHT_PIXELS and data.count(START_OF_SCAN) <= LIGHT_SCANS

    def _finish(self, key: str, picture: Picture, crops: list[Inputs], count: int) -> Decoded:
        image, facts = picture.image, vars(picture.facts)
        small = shrink(image, self._needs.longest)
        phash, phash_mirrored = perceptual_hashes(small)
        return Decoded(
            **facts,
            key=key,
            status="ok",
            signature=signature(small, facts["width"], facts["height"]),
            phash=phash,
            phash_mirrored=phash_mirrored,
            preview=encode_preview(small, lossless=small is image),
            inputs={spec.name: model_input(image, spec) for spec in self._needs.inputs},
            crops=crops,
            statistics=self._measure(np.asarray(image), facts | {"bytes": count}) if self._measure else {},
        )


def _prepare_pillow() -> None:
    """Make Pillow strict about truncation, and silent: a file's oddities are no warnings of the program."""
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    warnings.filterwarnings("ignore", module=r"PIL\.")
