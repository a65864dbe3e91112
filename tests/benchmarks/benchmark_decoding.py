"""What one decode pass costs: a photo of 500x375 and one of 12 megapixels, beside a bare Pillow decode in the same run.

Run as ``python -m tests.benchmarks.benchmark_decoding``. Everything but the embedding model is included: decoding,
fingerprints, preview, and the 224x224 input of a model; then with statistics, and with the default model too, beside that
model alone, with the peak of memory at the end.
"""

import io
import os
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from PIL import Image

from brain_assets.ingest.decode_pass import EMBED_BATCH
from brain_assets.ingest.decode_pass import _embedded as embedded
from brain_assets.methods.images.image_quality import statistics
from brain_assets.resources.decoding.decoding import DecodeJob, Decoder, encode_preview
from brain_assets.resources.decoding.resampling import model_input, shrink
from brain_assets.resources.image_input import InputSpec
from brain_assets.resources.models.embedding_models import EmbeddingModel, load_model
from brain_assets.resources.store.fingerprints import fingerprints
from tests.conftest import SHARED
from tests.resources.images import photo

SPEC = InputSpec("model", 224, 224)
REPEATS = 3


def photos(width: int, height: int, count: int) -> list[bytes]:
    """Return real photos where there are some, scaled to one size, as JPEG of quality 88."""
    paths = sorted((SHARED / "clothing").rglob("*.jpg"))[: 100 * count : 7][:count]
    images = [Image.open(path).convert("RGB") for path in paths] or [photo(800, 600, seed) for seed in range(count)]
    return [_jpeg(image.resize((width, height), Image.Resampling.BICUBIC)) for image in images]


def _jpeg(image: Image.Image) -> bytes:
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=88)
    return encoded.getvalue()


def bare(data: bytes) -> Image.Image:
    """Decode as cheaply as Pillow can to no less than what the model needs."""
    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (int(SPEC.width * 1.5), int(SPEC.height * 1.5)))
        image.load()
        return image.copy()


def decoded(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def milliseconds(work: Callable[[], object], count: int) -> float:
    """Return CPU milliseconds per image, the best of some repeats."""
    best = float("inf")
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return 1000 * best / count


def embedded_pass(files: Sequence[bytes], model: EmbeddingModel) -> float:
    """Return what everything costs: statistics, hashes, preview and vector, as a run of the pipeline does it."""
    assert model.input is not None
    with Decoder(inputs=[model.input], measure=statistics) as decoder:

        def run() -> None:
            jobs = [DecodeJob(str(number), partial(bytes, data)) for number, data in enumerate(files)]
            assert all(vector is not None for _, vector in embedded(decoder.decode(jobs), model, os.cpu_count() or 1))

        run()
        return milliseconds(run, len(files))


def bare_model(model: EmbeddingModel, count: int) -> float:
    assert model.input is not None
    images = np.zeros((EMBED_BATCH, model.input.height, model.input.width, 3), np.uint8)
    return milliseconds(lambda: [model.embed(images) for _ in range(-(-count // EMBED_BATCH))], count)


def whole_pass(files: Sequence[bytes], *, measured: bool) -> float:
    with Decoder(inputs=[SPEC], measure=statistics if measured else None) as decoder:

        def run() -> None:
            jobs = [DecodeJob(str(number), lambda data=data: data) for number, data in enumerate(files)]
            assert all(row.status == "ok" for row in decoder.decode(jobs))

        return milliseconds(run, len(files))


def parts(files: Sequence[bytes]) -> dict[str, float]:
    """Return what each product costs by itself."""
    reduced = [bare(data) for data in files]
    small = [shrink(image, 256) for image in reduced]
    works: dict[str, Callable[[], object]] = {
        "224x224 input": lambda: [model_input(image, SPEC) for image in reduced],
        "256 pixel preview": lambda: [shrink(image, 256) for image in reduced],
        "preview as JPEG": lambda: [encode_preview(image, lossless=False) for image in small],
        "fingerprints": lambda: [fingerprints(image, 1, 1) for image in small],
    }
    return {name: milliseconds(work, len(files)) for name, work in works.items()}


def report(width: int, height: int, count: int, model: EmbeddingModel) -> None:
    files = photos(width, height, count)
    reference = milliseconds(lambda: [bare(data) for data in files], count)
    full = milliseconds(lambda: [decoded(data).size for data in files], count)
    plain, measured = (whole_pass(files, measured=value) for value in (False, True))
    kilobytes = sum(map(len, files)) / count / 1000
    print(f"{width}x{height}, {kilobytes:.0f} kB, CPU ms per image")
    for name, value in (("bare draft decode", reference), ("bare full decode", full), *parts(files).items()):
        print(f"  {name:22}{value:8.2f}")
    print(f"  {'whole pass':22}{plain:8.2f}  = {plain / reference:.2f} x bare draft decode")
    print(f"  {'with statistics':22}{measured:8.2f}  = {measured / reference:.2f} x bare draft decode")
    alone, everything = bare_model(model, count), embedded_pass(files, model)
    print(f"  {'model alone':22}{alone:8.2f}")
    print(f"  {'with embedding':22}{everything:8.2f}  = {everything / (full + alone):.2f} x bare full decode and model")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        model = load_model("builtin:efficientnet-lite0", device="cpu", runtime=None, cache=Path(folder))
        report(500, 375, 96, model)
        report(4000, 3000, EMBED_BATCH, model)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
