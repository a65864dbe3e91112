"""Images as the pipeline sees them, for benchmarks on real data: vectors, perceptual hashes and previews, cached."""

import hashlib
import io
import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from brain_assets.resources.decoding.decoding import Decoded, DecodeJob, Decoder
from brain_assets.resources.image_input import InputSpec
from brain_assets.resources.models.embedding_models import load_model

CACHE = Path(os.environ.get("BRAIN_BENCHMARK_CACHE", Path(tempfile.gettempdir()) / "brain-benchmarks"))
BATCH = 64


@dataclass(frozen=True)
class EmbeddedImages:
    """What the pipeline keeps of n images.

    Attributes
    ----------
    names : list of str
    vectors : (n, d) float32, unit length
    hashes, mirrored : (n,) uint64
    previews : list of (height, width, 3) uint8
    """

    names: list[str]
    vectors: np.ndarray
    hashes: np.ndarray
    mirrored: np.ndarray
    previews: list[np.ndarray]


def embed(name: str, files: Sequence[tuple[str, bytes]]) -> EmbeddedImages:
    """Return the images of encoded files, computed once per name and content."""
    digest = hashlib.sha256(b"".join(hashlib.sha256(data).digest() for _, data in files)).hexdigest()[:12]
    folder = CACHE / f"{name}-{digest}"
    if not (folder / "vectors.npy").exists():
        _compute(folder, files)
    hashes = np.load(folder / "hashes.npy")
    packed = np.load(folder / "previews.npz")
    previews = [packed[str(place)] for place in range(len(files))]
    return EmbeddedImages([n for n, _ in files], np.load(folder / "vectors.npy"), hashes[0], hashes[1], previews)


def _compute(folder: Path, files: Sequence[tuple[str, bytes]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    model = load_model("builtin:efficientnet-lite0", cache=CACHE)
    hashes, vectors = np.zeros((2, len(files)), np.uint64), np.zeros((len(files), model.dimension), np.float32)
    previews = {}
    for rows in _batches(_decoded(model.input, files)):
        places = [int(row.key) for row in rows]
        hashes[:, places] = np.array([(row.phash, row.phash_mirrored) for row in rows], np.uint64).T
        vectors[places] = model.embed(np.stack([row.inputs[model.input.name] for row in rows]))
        previews |= {row.key: np.asarray(Image.open(io.BytesIO(row.preview)).convert("RGB")) for row in rows}
    np.savez(folder / "previews.npz", **previews)
    np.save(folder / "hashes.npy", hashes)
    np.save(folder / "vectors.npy", vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _decoded(spec: InputSpec, files: Sequence[tuple[str, bytes]]) -> Iterator[Decoded]:
    jobs = [DecodeJob(str(place), lambda data=data: data) for place, (_, data) in enumerate(files)]
    with Decoder(inputs=[spec], threads=1) as decoder:
        for row in decoder.decode(jobs):
            assert row.status == "ok", f"{files[int(row.key)][0]}: {row.error}"
            yield row


def _batches(rows: Iterable[Decoded]) -> Iterator[list[Decoded]]:
    remaining = iter(rows)
    while batch := list(itertools.islice(remaining, BATCH)):
        yield batch
