"""Encoded images and jobs for the tests of decoding."""

import io
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from PIL import Image

from resources.decoding import Decoded, DecodeJob, Decoder


def photo(width: int = 200, height: int = 150, seed: int = 0) -> Image.Image:
    """Return a smooth colourful image with edges and a little noise, as photos have."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 256, (7, 9, 3), np.uint8))
    pixels = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    pixels = pixels + generator.integers(-6, 7, pixels.shape)
    pixels[height // 3 : height // 2, width // 4 : width // 2] = generator.integers(0, 256, 3)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def encode(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    encoded = io.BytesIO()
    image.save(encoded, format, **options)
    return encoded.getvalue()


def jobs(files: Mapping[str, bytes]) -> Iterable[DecodeJob]:
    return [DecodeJob(key, lambda data=data: data, len(data)) for key, data in files.items()]


def decode(files: Mapping[str, bytes], **options: Any) -> dict[str, Decoded]:
    """Return the rows of files by key, each exactly once."""
    with Decoder(**options) as decoder:
        rows = list(decoder.decode(jobs(files)))
    assert sorted(row.key for row in rows) == sorted(files)
    return {row.key: row for row in rows}


def decode_one(data: bytes, **options: Any) -> Decoded:
    return decode({"one": data}, **options)["one"]
