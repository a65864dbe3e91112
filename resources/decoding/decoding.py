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

import io
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from brain_assets.resources.decoding.decoding_workers import Budget, Task, WorkerPool
from brain_assets.resources.decoding.formats import THREADED, sniff
from brain_assets.resources.decoding.pictures import (
    Facts,
    Needs,
    Picture,
    open_image,
    pixel_hash,
    read_crops,
    read_picture,
    standard_reduction,
)
from brain_assets.resources.decoding.resampling import Inputs, Rectangle, model_input, shrink
from brain_assets.resources.decoding.streams import START_OF_SCAN, check_scans
from brain_assets.resources.errors import BrainError
from brain_assets.resources.image_input import InputSpec
from brain_assets.resources.limits import LIGHT, Limits, Refused, check_bytes, check_size, cost, is_outside, reason_of
from brain_assets.resources.store.fingerprints import LONGEST as FINGERPRINT_LONGEST
from brain_assets.resources.store.fingerprints import fingerprints
from brain_assets.resources.store.journal import Journal

Statistic = float | int | str | None
Measure = Callable[[NDArray[np.uint8], Mapping[str, Any]], Mapping[str, Statistic]]
Item = TypeVar("Item")
Row = TypeVar("Row")

# Files above this are loaded one at a time, and decoded by workers.
LARGE_FILE = 1 << 25
# Progressive JPEG with more scans keeps a decoder busy for seconds.
PLAIN_SCANS = 64
PREVIEW_QUALITY, PREVIEW_COMPRESSION = 90, 3
# Perceptual hashes of the same pixels, decoded in full and drafted, differ in at most so many bits.
DRAFT_DISTANCE = 8


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
        The reason, ``code: line`` (see `brain_assets.resources.limits`).
    signature : bytes or None
        Two images of equal size whose pixels are equal have equal signatures, unless exactly one of them is `drafted`;
        for such a pair the perceptual hashes differ in at most `DRAFT_DISTANCE` bits. `Decoder.pixel_hashes` confirms.
    phash, phash_mirrored : int or None
        64-bit perceptual hash of the image, and of its mirror image.
    phash_turned : tuple of int or None
        Those of its six other orientations.
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
    phash_turned: tuple[int, ...] | None = None
    preview: bytes | None = None
    inputs: Inputs = field(default_factory=dict)
    crops: list[Inputs] = field(default_factory=list)
    statistics: Mapping[str, Statistic] = field(default_factory=dict)


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
        ``measure(rgb, facts)`` returns statistics of the (height, width, 3) uint8 image as displayed, its longest side
        reduced to at most 256 pixels; ``facts`` holds the fields of `Facts` and ``bytes``. It runs in threads of this
        process.
    threads : int or None
        Default: one per core.
    journal : Path or None
        Where to note what is being decoded; see `brain_assets.resources.store.journal.suspects`.
    plugins : sequence of str
        Modules that register further Pillow formats, imported in worker processes only.
    careful : bool
        Whether to decode in worker processes alone, as files that ended a process are.
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
        careful: bool = False,
    ) -> None:
        self._careful = careful
        self._needs = Needs(preview_size, tuple(inputs))
        self._limits = limits or Limits()
        self._measure = measure
        self._threads = threads or os.cpu_count() or 1
        self._workers = WorkerPool(self._limits, Budget(self._limits.memory), plugins)
        self._journal = Journal(journal)
        self._large_file = threading.Lock()

    def __enter__(self) -> Self:
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
        """Yield each job's key and the hash of its pixels in full resolution, None where it cannot be decoded.

        What fails for a reason outside of the file is left out.
        """
        return (row for row in self._map(self._hash, jobs) if row)

    def _map(self, function: Callable[[Item], Row], items: Iterable[Item]) -> Iterator[Row]:
        _prepare_pillow()
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
        kind = None
        try:
            with self._turn(job):
                data = self._load(job)
                kind = sniff(data)
                picture, crops = self._read(job, data)
        except BrainError:
            raise
        except Exception as error:  # noqa: BLE001 - decoders raise anything, and every bad file is a row
            return Decoded(key=job.key, status="error", error=reason_of(error), format=kind)
        try:
            return self._row(job.key, picture, crops, len(data))
        except Exception as error:  # noqa: BLE001 - one odd image must not end the run
            line = f"internal: {type(error).__name__}: {error}"
            return Decoded(key=job.key, status="error", error=line, format=kind)

    def _hash(self, job: DecodeJob) -> tuple[str, bytes | None] | None:
        try:
            with self._turn(job):
                return job.key, self._run(job.key, self._load(job), pixel_hash)
        except BrainError:
            raise
        except Exception as error:  # noqa: BLE001 - as above; the reason is in the row of `decode`
            return None if is_outside(reason_of(error)) else (job.key, None)

    def _turn(self, job: DecodeJob) -> AbstractContextManager[Any]:
        return self._large_file if (job.size or 0) > LARGE_FILE else nullcontext()

    def _load(self, job: DecodeJob) -> bytes:
        if job.size is not None:
            check_bytes(job.size, self._limits)
        try:
            data = job.load()
        except Refused:
            raise
        except Exception as error:
            raise Refused(f"missing: {type(error).__name__}: {error}") from error
        check_bytes(len(data), self._limits)
        return data

    def _read(self, job: DecodeJob, data: bytes) -> tuple[Picture, list[Inputs]]:
        needs = self._needs
        picture: Picture = self._run(job.key, data, partial(read_picture, needs=needs), reduced=True)
        crops: list[Inputs] = []
        if job.rectangles:
            task = partial(read_crops, rectangles=tuple(job.rectangles), specs=needs.inputs)
            crops = self._run(job.key, data, task)
        return picture, crops

    def _run(self, key: str, data: bytes, task: Task, *, reduced: bool = False) -> Any:
        """Return ``task`` of an image, in this thread where that is safe, else in a worker process."""
        kind = sniff(data)
        if kind == "JPEG":
            check_scans(data)
        if kind in THREADED and not self._careful and key not in self._journal.suspects:
            # Pillow's own idea of a bomb is left to the worker, which knows our limit only; so is what finds no memory
            # here, among others.
            left = suppress(Image.DecompressionBombError, MemoryError)
            with self._journal.working_on(key), left, open_image(data, [kind]) as image:
                check_size(*image.size, self._limits)
                if self._is_plain(image, data, reduced=reduced):
                    return task(image, data)
        try:
            return self._workers.run(task, data)
        finally:
            self._journal.clear(key)

    def _is_plain(self, image: Image.Image, data: bytes, *, reduced: bool) -> bool:
        needed = cost(image)
        if image.format not in {"JPEG", "MPO"}:
            return needed <= LIGHT and len(data) <= LARGE_FILE
        if reduced and "progressive" not in image.info:
            needed //= min(standard_reduction(*image.size), 8) ** 2
        return needed <= LIGHT and data.count(START_OF_SCAN) <= PLAIN_SCANS

    def _row(self, key: str, picture: Picture, crops: list[Inputs], count: int) -> Decoded:
        facts, size = vars(picture.facts), picture.size
        small = shrink(picture.standard, FINGERPRINT_LONGEST)
        return Decoded(
            **facts,
            **vars(fingerprints(small, *size)),
            key=key,
            status="ok",
            preview=self._preview(picture, small),
            inputs=self._inputs(picture),
            crops=crops,
            statistics=self._measure(np.asarray(small), facts | {"bytes": count}) if self._measure else {},
        )

    def _inputs(self, picture: Picture) -> Inputs:
        needs = self._needs
        reductions = {spec.name: needs.for_input(spec, *picture.size) for spec in needs.inputs}
        return {spec.name: model_input(picture.at_least(reductions[spec.name]), spec) for spec in needs.inputs}

    def _preview(self, picture: Picture, small: Image.Image) -> bytes:
        longest = self._needs.longest
        if longest == FINGERPRINT_LONGEST:
            return encode_preview(small, lossless=max(picture.size) <= longest)
        source = picture.at_least(self._needs.for_preview(*picture.size))
        return encode_preview(shrink(source, longest), lossless=max(picture.size) <= longest)


def encode_preview(image: Image.Image, *, lossless: bool) -> bytes:
    """Return an RGB image as PNG where it must be lossless, else as JPEG with full colour resolution."""
    encoded = io.BytesIO()
    if lossless:
        image.save(encoded, "PNG", compress_level=PREVIEW_COMPRESSION)
    else:
        image.save(encoded, "JPEG", quality=PREVIEW_QUALITY, subsampling=0)
    return encoded.getvalue()


def _prepare_pillow() -> None:
    """Make Pillow strict about truncation, and silent: a file's oddities are no warnings of the program."""
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    warnings.filterwarnings("ignore", module=r"PIL\.")
