"""Encoded images and jobs for the tests of decoding."""

import atexit
import io
import struct
import zlib
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from brain_assets.resources.decoding.decoding import Decoded, DecodeJob, Decoder


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


def png(width: int, height: int, pixels: bytes, *, depth: int = 8, colour: int = 0, interlaced: bool = False) -> bytes:
    """Return a PNG with any header and any filtered rows, whether or not they fit."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    palette = chunk(b"PLTE", bytes(range(6))) if colour == 3 else b""
    body = palette + chunk(b"IDAT", zlib.compress(pixels, 1)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body


def jobs(files: Mapping[str, bytes]) -> Iterable[DecodeJob]:
    return [DecodeJob(key, lambda data=data: data, len(data)) for key, data in files.items()]


@cache
def default_decoder() -> Decoder:
    """Return a decoder with all defaults, shared so that its worker processes start once."""
    decoder = Decoder()
    atexit.register(decoder.close)
    return decoder


def decode(files: Mapping[str, bytes], **options: Any) -> dict[str, Decoded]:
    """Return the rows of files by key, each exactly once."""
    decoder = Decoder(**options) if options else default_decoder()
    try:
        rows = list(decoder.decode(jobs(files)))
    finally:
        if options:
            decoder.close()
    assert sorted(row.key for row in rows) == sorted(files)
    return {row.key: row for row in rows}


def decode_one(data: bytes, **options: Any) -> Decoded:
    return decode({"one": data}, **options)["one"]


def pixel_hashes(files: Mapping[str, bytes]) -> dict[str, bytes | None]:
    return dict(default_decoder().pixel_hashes(jobs(files)))
