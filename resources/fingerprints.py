"""What is kept of a picture's pixels: a small preview, a perceptual hash, and a signature that finds exact copies."""

import hashlib
import io
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PREVIEW_QUALITY = 90
HASH_SIDE, HASH_FREQUENCIES = 32, 8


def shrink(image: Image.Image, longest: int) -> Image.Image:
    """Return an RGB image whose longest side is at most ``longest`` pixels; a smaller one is returned as it is."""
    scale = longest / max(image.size)
    if scale >= 1:
        return image
    return image.resize(
        (max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.BILINEAR
    )


def encode_preview(image: Image.Image, *, lossless: bool) -> bytes:
    """Return a preview as PNG where it must be lossless, else as JPEG with full colour resolution."""
    encoded = io.BytesIO()
    if lossless:
        image.save(encoded, "PNG", compress_level=3)
    else:
        image.save(encoded, "JPEG", quality=PREVIEW_QUALITY, subsampling=0)
    return encoded.getvalue()


def signature(image: Image.Image, width: int, height: int) -> bytes:
    """Return 16 bytes that are equal for pictures with equal size and equal reduced pixels."""
    digest = hashlib.blake2b(f"{width}x{height}".encode(), digest_size=16)
    digest.update(image.tobytes())
    return digest.digest()


def perceptual_hashes(image: Image.Image) -> tuple[int, int]:
    """Return the 64-bit perceptual hash of an RGB image and of its mirror image, as unsigned integers.

    The 8 x 8 lowest frequencies of the cosine transform of a 32 x 32 grey image, each compared with their median
    (the constant one left out of it). Mirroring changes the sign of the odd horizontal frequencies.

    References
    ----------
    C. Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010 (``pHash``).

    Examples
    --------
    >>> slope = Image.linear_gradient("L").convert("RGB")
    >>> plain, mirrored = perceptual_hashes(slope)
    >>> plain == mirrored
    True
    """
    grey = np.asarray(image.convert("L").resize((HASH_SIDE, HASH_SIDE), Image.Resampling.BILINEAR), np.float32)
    basis = _cosines()
    spectrum = basis @ (grey - grey.mean()) @ basis.T
    return _bits(spectrum), _bits(spectrum * _MIRROR)


_MIRROR = np.where(np.arange(HASH_FREQUENCIES) % 2, -1, 1).astype(np.float32)


def _bits(spectrum: NDArray[np.float32]) -> int:
    rounded = np.rint(spectrum.ravel() * 16)
    return int.from_bytes(np.packbits(rounded > np.median(rounded[1:])).tobytes(), "big")


@cache
def _cosines() -> NDArray[np.float32]:
    """Return the lowest frequencies of the orthonormal cosine transform (DCT-II), shape (8, 32)."""
    frequency, position = np.arange(HASH_FREQUENCIES)[:, None], np.arange(HASH_SIDE)
    basis = np.sqrt(2 / HASH_SIDE) * np.cos(np.pi * (position + 0.5) * frequency / HASH_SIDE)
    basis[0] = np.sqrt(1 / HASH_SIDE)
    return np.asarray(basis, np.float32)
