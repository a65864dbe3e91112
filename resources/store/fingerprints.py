"""What is kept of a picture's pixels to find copies: a signature for equal ones, a perceptual hash for similar ones."""

import hashlib
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Longest side of the picture that fingerprints are taken from, whatever else is made of it.
LONGEST = 256
HASH_SIDE, HASH_FREQUENCIES = 32, 8


@dataclass(frozen=True, kw_only=True)
class Fingerprints:
    """Fingerprints of one image.

    Attributes
    ----------
    signature : bytes
        16 bytes, equal for images of equal size and equal reduced pixels.
    phash, phash_mirrored : int
        64-bit perceptual hash of the image and of its mirror image.
    phash_turned : tuple of int
        Those of its six other orientations, as `oriented_hashes` has them.
    """

    signature: bytes
    phash: int
    phash_mirrored: int
    phash_turned: tuple[int, ...]


def fingerprints(small: Image.Image, width: int, height: int) -> Fingerprints:
    """Return the fingerprints of an image from its pixels, RGB and reduced to `LONGEST`, and its full size."""
    phash, phash_mirrored, *turned = oriented_hashes(small)
    return Fingerprints(
        signature=signature(small, width, height),
        phash=phash,
        phash_mirrored=phash_mirrored,
        phash_turned=tuple(turned),
    )


def signature(small: Image.Image, width: int, height: int) -> bytes:
    """Return 16 bytes that are equal for images with equal size and equal reduced pixels."""
    digest = hashlib.sha256(f"{width}x{height}".encode())
    digest.update(small.tobytes())
    return digest.digest()[:16]


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
    plain, mirrored, *_ = oriented_hashes(image)
    return plain, mirrored


def oriented_hashes(image: Image.Image) -> tuple[int, ...]:
    """Return the perceptual hashes of an RGB image in its eight orientations, as unsigned integers.

    They are those of the image, its mirror image, the image upside down, and turned by 180 degrees; then of these four with
    rows and columns exchanged, the last of them being what turns by 90 degrees make. No picture is turned for it: an
    orientation changes signs of the spectrum or exchanges its axes.

    Examples
    --------
    >>> slope = Image.linear_gradient("L").convert("RGB")
    >>> turned = slope.transpose(Image.Transpose.ROTATE_90)
    >>> oriented_hashes(turned)[0] in oriented_hashes(slope)[4:]
    True
    """
    grey = np.asarray(image.convert("L").resize((HASH_SIDE, HASH_SIDE), Image.Resampling.BILINEAR), np.float32)
    basis = _cosines()
    spectrum = basis @ (grey - grey.mean()) @ basis.T
    sides = (spectrum, spectrum * _MIRROR, spectrum * _MIRROR[:, None], spectrum * _MIRROR * _MIRROR[:, None])
    return tuple(_bits(one) for one in (*sides, *(side.T for side in sides)))


_MIRROR = np.where(np.arange(HASH_FREQUENCIES) % 2, -1, 1).astype(np.float32)


def _bits(spectrum: NDArray[np.float32]) -> int:
    """Compare with the median, rounded first so that flat images have no bits of rounding noise."""
    rounded = np.rint(spectrum.ravel() * 16)
    median = np.partition(rounded[1:], rounded.size // 2 - 1)[rounded.size // 2 - 1]
    return int.from_bytes(np.packbits(rounded > median).tobytes(), "big")


@cache
def _cosines() -> NDArray[np.float32]:
    """Return the lowest frequencies of the orthonormal cosine transform (DCT-II), shape (8, 32)."""
    frequency, position = np.arange(HASH_FREQUENCIES)[:, None], np.arange(HASH_SIDE)
    basis = np.sqrt(2 / HASH_SIDE) * np.cos(np.pi * (position + 0.5) * frequency / HASH_SIDE)
    basis[0] = np.sqrt(1 / HASH_SIDE)
    return np.asarray(basis, np.float32)
