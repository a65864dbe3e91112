"""What of a picture is ground, and what is shown on it: white-ground photos, pages, and halves that never arrived."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

# Of a ground, so much of the border has its colour, to within so many levels.
BORDER_SHARE, TOLERANCE = 0.9, 6
# Less ground than that is none, and less than that beside it is no subject.
GROUND_LEAST, SUBJECT_LEAST = 0.1, 0.005
# A row is blank if its levels differ by at most so much; it is no sky.
BLANK = 2
# A band ends where so many of its columns change by so many levels at once, within this share of the picture's height.
ACROSS, STEP, REACH = 0.9, 8, 0.06
# From this level on a channel has no room left.
CLIPPED = 253
# Percentile of the brightness that tells whether anything is dark.
DARKEST = 5
UNKNOWN = (np.nan,) * 4


class Ground(NamedTuple):
    """The even ground of a picture, and what stands on it.

    Attributes
    ----------
    share : float in [0, 1]
        Share of the pixels that have the colour of the border and are reached from a side in a straight line; 0 where the
        border has several colours.
    brightness, darkest : float in [0, 1]
        Perceived brightness of the others: mean, and percentile 5.
    clipped : float in [0, 1]
        Share of the others of which a channel has no room left.
    entropy : float
        Shannon entropy of the luma of the others, in bits.
    """

    share: float
    brightness: float
    darkest: float
    clipped: float
    entropy: float


def ground(rgb: Pixels, luma: NDArray[np.float32], perceived: NDArray[np.float32]) -> Ground:
    """Return how much of a picture is even ground, and what the rest of it is like.

    Parameters
    ----------
    rgb : (height, width, 3) uint8
    luma, perceived : (height, width) float32, in [0, 255]
        Its luma, and its perceived brightness.

    Returns
    -------
    Ground
        Of a picture without a ground, or without anything on it, what is said of the others is NaN.

    Examples
    --------
    >>> page = np.full((40, 40, 3), 250, np.uint8)
    >>> page[10:30, 10:30] = 80
    >>> gray = page[..., 0].astype(np.float32)
    >>> found = ground(page, gray, gray)
    >>> found.share, round(found.brightness, 2), found.entropy
    (0.75, 0.31, 0.0)
    """
    color = _border_color(rgb)
    if color is None:
        return Ground(0.0, *UNKNOWN)
    even = (np.abs(rgb.astype(np.int16) - color) <= TOLERANCE).all(axis=2)
    subject = ~_reached(even)
    share = 1 - float(subject.mean())
    if share < GROUND_LEAST:
        return Ground(0.0, *UNKNOWN)
    if 1 - share < SUBJECT_LEAST:
        return Ground(share, *UNKNOWN)
    brightness = perceived[subject] / 255
    clipped = float((rgb[subject].max(axis=1) >= CLIPPED).mean())
    darkest = float(np.percentile(brightness, DARKEST))
    return Ground(share, float(brightness.mean()), darkest, clipped, _entropy(luma[subject]))


def _border_color(rgb: Pixels) -> NDArray[np.int16] | None:
    """Return the colour of the border, or None where it has several."""
    border = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]]).astype(np.int16)
    color = np.median(border, axis=0).astype(np.int16)
    share = (np.abs(border - color) <= TOLERANCE).all(axis=1).mean()
    return color if share >= BORDER_SHARE else None


def _reached(even: Mask) -> Mask:
    """Return the pixels to which a straight line from a side crosses only even ones."""
    down, across = np.logical_and.accumulate(even, axis=0), np.logical_and.accumulate(even, axis=1)
    up = np.logical_and.accumulate(even[::-1], axis=0)[::-1]
    back = np.logical_and.accumulate(even[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(down | up | across | back)


def _entropy(levels: NDArray[np.float32]) -> float:
    counts = np.bincount(np.rint(levels).astype(np.int64), minlength=256)
    shares = counts[counts > 0] / counts.sum()
    return float(abs((shares * np.log2(shares)).sum()))


def blank_share(rgb: Pixels) -> float:
    """Return which share of a picture is bands of one colour along its sides: a half that never arrived, or bars.

    A band is rows, or columns, of one exact colour up to a step across the whole picture. The ground of a photo ends at
    its subject only, a sky changes from row to row.

    Parameters
    ----------
    rgb : (height, width, 3) uint8

    Returns
    -------
    float in [0, 1)
        Of the bands at two opposite sides together, the larger sum; 0 for a picture of one colour.

    Examples
    --------
    >>> photo = np.arange(40 * 40 * 3, dtype=np.uint32).reshape(40, 40, 3) * 2654435761 >> 24
    >>> photo = (photo % 256).astype(np.uint8)
    >>> photo[30:] = 128
    >>> blank_share(photo)
    0.25
    """
    turned = rgb.transpose(1, 0, 2)
    sums = [_band(view) + _band(view[::-1]) for view in (rgb, turned)]
    return max(sums)


def _band(rgb: Pixels) -> float:
    """Return the share of a band at the upper side."""
    height = len(rgb)
    first = rgb[0].astype(np.int16)
    if (first.max(axis=0) - first.min(axis=0) > BLANK).any():
        return 0.0
    color = np.median(first, axis=0).astype(np.int16)
    apart = np.abs(rgb.astype(np.int16) - color).max(axis=2)
    blank = (apart <= BLANK).all(axis=1)
    rows = height if blank.all() else int(blank.argmin())
    ends = apart[rows : rows + max(2, round(REACH * height))] > STEP
    return rows / height if ends.size and (ends.mean(axis=1) >= ACROSS).any() else 0.0
