"""Whether two pictures show the same pixels, up to a crop, a scale, a mirror image, light, blur or a stamp."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from brain_assets.methods.duplicates import alignment

Rows = NDArray[np.int64]
Floats = NDArray[np.float32]

SIDE, COARSE_SIDE = 64, 16
# Standard deviations in units of 1/32 of the side, so that a picture of 32 pixels and one of 4000 are treated alike.
FINE, BROAD, COARSE = 0.35, 0.7, 4.0
FLAT = 0.5
FLAT_COLOUR = 32.0
PIXEL_WEIGHT = 0.8
UNRELATED_BITS = 32
# Pairs that are aligned at once; their planes stay in memory near the processor.
BATCH = 96
CERTAIN = 0.8
"""From here on the small squashed views decide although the details of larger ones are known."""
HOPELESS, UNCERTAIN = 0.4, 0.58
"""Agreement of the coarsest views below which two pictures are given up: in general, and where only a certain agreement
counts. Of 541 pairs of tiny pictures that agree by .7 and more one lies below the first, of 392 pairs of photos that agree
certainly none below the second."""


class Prints(NamedTuple):
    """What verification needs of n pictures, 8.5 kB each: grey views squashed to squares.

    Attributes
    ----------
    coarse : (n, 16, 16) int8
        Without the lowest frequencies; finds the flip, scale and shift to start from.
    smooth : (n, 64, 64) uint8
        Is aligned.
    detail : (n, 64, 64) int8
        What ``smooth`` has lost; is compared. Most of a natural picture's contrast lies in low frequencies, where
        unrelated ones agree by chance.
    contrast : (n,) float32
        Standard deviation of the details in grey levels; the three views are scaled to their full range.
    colour : (n, 3) float32
        Mean red, green and blue in [0, 255].
    """

    coarse: NDArray[np.int8]
    smooth: NDArray[np.uint8]
    detail: NDArray[np.int8]
    contrast: Floats
    colour: Floats


def prints_of(previews: Iterable[NDArray[np.uint8]]) -> Prints:
    """Return the prints of previews, each from its own pixels alone.

    Parameters
    ----------
    previews : iterable of (height, width, 3) uint8
        RGB of any size and shape; about 64 pixels a side are used.

    Returns
    -------
    Prints

    Examples
    --------
    >>> prints_of([np.zeros((48, 32, 3), np.uint8)]).contrast
    array([0.], dtype=float32)
    """
    rows = [_print_of(preview) for preview in previews]
    count = len(rows)
    prints = Prints(
        np.empty((count, COARSE_SIDE, COARSE_SIDE), np.int8),
        np.empty((count, SIDE, SIDE), np.uint8),
        np.empty((count, SIDE, SIDE), np.int8),
        np.empty(count, np.float32),
        np.empty((count, 3), np.float32),
    )
    columns: tuple[NDArray[Any], ...] = tuple(prints)
    for place, row in enumerate(rows):
        for column, value in zip(columns, row, strict=True):
            column[place] = value
    return prints


def _print_of(preview: NDArray[np.uint8]) -> tuple[Any, ...]:
    import cv2

    height, width = preview.shape[:2]
    grey: Floats = np.asarray(cv2.cvtColor(preview, cv2.COLOR_RGB2GRAY), np.float32)
    square: Floats = np.asarray(_resampling(height) @ grey @ _resampling(width).T, np.float32)
    smooth = _blur(square, BROAD)
    detail = _blur(square, FINE) - smooth
    coarse = square.reshape(COARSE_SIDE, SIDE // COARSE_SIDE, COARSE_SIDE, SIDE // COARSE_SIDE).mean(axis=(1, 3))
    coarse -= _blur(coarse, COARSE)
    low, high = smooth.min(), smooth.max()
    scaled = np.rint((smooth - low) * (255 / max(high - low, 1.0)))
    return _signed(coarse), scaled, _signed(detail), detail.std(), cv2.mean(preview)[:3]


def _signed(values: Floats) -> Floats:
    return np.asarray(np.rint(values * (127 / max(float(np.abs(values).max()), 1.0))), np.float32)


@lru_cache(maxsize=512)
def _resampling(size: int) -> Floats:
    """Return the (64, size) matrix that resamples with a triangle as wide as needed to lose no pixel."""
    scale = size / SIDE
    centres = (np.arange(SIDE) + 0.5) * scale - 0.5
    weights = np.maximum(1.0 - np.abs(np.arange(size) - centres[:, None]) / max(scale, 1.0), 0.0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def _blur(square: Floats, deviation: float) -> Floats:
    side = len(square)
    blur = _gaussian(side, deviation * side / 32)
    return np.asarray(blur @ square @ blur.T, np.float32)


@lru_cache(maxsize=8)
def _gaussian(side: int, deviation: float) -> Floats:
    """Return the (side, side) matrix of a Gaussian blur that repeats the edge outwards."""
    reach = int(np.ceil(4 * deviation))
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (offsets / deviation) ** 2)
    blur = np.zeros((side, side))
    rows = np.repeat(np.arange(side), len(offsets))
    columns = np.clip(np.add.outer(np.arange(side), offsets).ravel(), 0, side - 1)
    np.add.at(blur, (rows, columns), np.tile(weights / weights.sum(), side))
    return blur.astype(np.float32)


def verify(prints: Prints, first: Rows, second: Rows, known: NDArray[np.bool_] | None = None) -> Floats:
    """Return how far the pixels of each pair of pictures agree.

    The second picture is laid over the first: the best of 490 flips, scales and shifts on a coarse grid, refined by
    Gauss-Newton steps over the two scales and two shifts with outliers damped. The correlation of their details then
    counts, times the square root of the share of the picture that both show. Gain and offset of the light do not
    matter; colours do not, except between pictures without any detail. Most pairs agree so little on the coarse grid that
    they are given up there.

    Parameters
    ----------
    prints : Prints
    first, second : (m,) int64
        Rows of ``prints``; always the same way round for the same pair, as the two ways differ by rounding of pixels.
    known : (m,) bool, optional
        Pairs whose details are known from larger views, so that only an agreement of .8 and more counts.

    Returns
    -------
    (m,) float32 in [0, 1], 1 = the same pixels, 0 where given up
        Of two pictures without any detail (blank ones): 1 for equal colours, 0 from a difference of 32 of 255 on.

    Notes
    -----
    Damped Gauss-Newton registration: G. D. Hager and P. N. Belhumeur, "Efficient region tracking with parametric models
    of geometry and illumination", 1998. Incremental: a pair's score depends on its two pictures only.

    Examples
    --------
    >>> picture = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    >>> verify(prints_of([picture, picture[:, ::-1]]), np.array([0]), np.array([1])).round(2)
    array([1.], dtype=float32)
    """
    agreement = np.zeros((len(first), 2), np.float32)
    least = np.full(len(first), HOPELESS, np.float32)
    if known is not None:
        least[known] = UNCERTAIN
    for start in range(0, len(first), BATCH):
        pairs = slice(start, start + BATCH)
        agreement[pairs] = alignment.agreement(prints[:3], first[pairs], second[pairs], least[pairs])
    scores = agreement[:, 0] * np.sqrt(agreement[:, 1])
    blank = (prints.contrast[first] < FLAT) & (prints.contrast[second] < FLAT)
    difference = np.abs(prints.colour[first[blank]] - prints.colour[second[blank]]).max(axis=1, initial=0.0)
    scores[blank] = np.maximum(1.0 - difference / FLAT_COLOUR, 0.0)
    return np.asarray(scores, np.float32).clip(0.0, 1.0)


def duplicate_distance(
    distance: NDArray[np.floating], hamming: NDArray[np.integer], verification: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return one distance from what embedding, perceptual hash and pixels say of a pair.

    1 - (.8 verification + .2 closeness), where closeness is the better of the cosine similarity and 1 - hamming / 32:
    embeddings miss blur and stamps, hashes miss crops, pixels decide.

    Parameters
    ----------
    distance : (m,) float
        Cosine distance of the embeddings.
    hamming : (m,) int
        Bits in which the perceptual hashes differ, the smaller of plain and mirrored; 64 where unknown.
    verification : (m,) float in [0, 1]
        From ``verify``; NaN where there are no pixels to compare: then the embedding's distance alone counts.

    Returns
    -------
    (m,) float64 in [0, 1], or the embedding's distance where nothing was verified

    Examples
    --------
    >>> duplicate_distance(np.array([0.5, 0.1]), np.array([0, 64]), np.array([1.0, np.nan]))
    array([0. , 0.1])
    """
    closeness = np.clip(np.maximum(1.0 - distance, 1.0 - hamming / UNRELATED_BITS), 0.0, 1.0)
    verified = 1.0 - PIXEL_WEIGHT * verification - (1.0 - PIXEL_WEIGHT) * closeness
    return np.where(np.isnan(verification), distance, np.maximum(verified, 0.0)).astype(np.float64)


def settled(squashed: NDArray[np.float64], detailed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return one agreement of pixels from that of squashed views and that of details where corners lie alike.

    Squashed to 64 pixels, two shirts before one wall agree halfway. Where both pictures have corners, their details were
    compared at 192 pixels and say more.

    Parameters
    ----------
    squashed : (m,) float64
        From ``verify``.
    detailed : (m,) float64
        From ``geometry.overlap``, 0 where no corners lie alike; NaN for pictures too small or too plain to have some.

    Examples
    --------
    >>> settled(np.array([0.6, 0.9, 0.6]), np.array([0.0, 0.0, np.nan]))
    array([0. , 0.9, 0.6])
    """
    certain = np.where(squashed >= CERTAIN, squashed, 0.0)
    return np.where(np.isnan(detailed), squashed, np.maximum(np.nan_to_num(detailed), certain))
