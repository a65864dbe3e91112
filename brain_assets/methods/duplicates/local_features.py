"""Corners of a picture and what they look like, so that a part of it is found again turned, flipped, scaled or cropped."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
LONGEST = 192
SMALLEST = 64
"""Pictures with fewer pixels along their longest side have no corners worth describing."""
CORNERS, LEVELS, LEVEL = 150, 4, 1.4
CONTRAST, MARGIN = 12, 16
FEWEST = 5
NEAREST_BITS, AMBIGUOUS = 64, 0.85


class Corners(NamedTuple):
    """Corners of one picture, or of its mirror image.

    Attributes
    ----------
    places : (n, 2) float64, x, y
        In pixels of the grey view.
    scales : (n,) float64
        Diameter of what is described.
    angles : (n,) float64
        Direction in radians.
    codes : (n, 32) uint8
        256 bits of what the corner looks like, turned upright.
    """

    places: NDArray[np.float64]
    scales: NDArray[np.float64]
    angles: NDArray[np.float64]
    codes: NDArray[np.uint8]

    def of(self, rows: NDArray[np.integer]) -> "Corners":
        """Return the corners at ``rows``."""
        return Corners(*(column[rows] for column in self))


class View(NamedTuple):
    """What geometry needs of a picture.

    Attributes
    ----------
    grey : (height, width) uint8
        Its longest side has 192 pixels.
    plain, mirrored : Corners
        Corners of the view, and of its mirror image.
    """

    grey: Grey
    plain: Corners
    mirrored: Corners


def view_of(preview: NDArray[np.uint8]) -> View | None:
    """Return the view of a preview, None where it is too small or too plain to be found again by its corners.

    Parameters
    ----------
    preview : (height, width, 3) uint8, RGB

    Notes
    -----
    Oriented FAST corners with rotated BRIEF: E. Rublee, V. Rabaud, K. Konolige and G. Bradski, "ORB: an efficient
    alternative to SIFT or SURF", 2011; by OpenCV.

    Examples
    --------
    >>> view_of(np.zeros((200, 200, 3), np.uint8)) is None
    True
    """
    import cv2

    height, width = preview.shape[:2]
    scale = LONGEST / max(height, width)
    size = round(width * scale), round(height * scale)
    if max(height, width) < SMALLEST or min(size) <= 2 * MARGIN:
        return None
    grey = cv2.resize(cv2.cvtColor(preview, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
    plain = _corners(*_detector().detectAndCompute(grey, None))
    if len(plain.scales) < FEWEST:
        return None
    mirrored = _corners(*_detector().detectAndCompute(np.ascontiguousarray(grey[:, ::-1]), None))
    return View(np.asarray(grey, np.uint8), plain, mirrored)


@cache
def _detector() -> Any:
    import cv2

    # One thread: waiting for others costs more than the work on such small pictures.
    cv2.setNumThreads(1)
    # The stubs of some versions leave it out.
    make: Any = vars(cv2)["ORB_create"]
    return make(CORNERS, scaleFactor=LEVEL, nlevels=LEVELS, edgeThreshold=MARGIN, fastThreshold=CONTRAST)


def _corners(corners: Any, codes: Any) -> Corners:
    rows = np.array([(*corner.pt, corner.size, corner.angle) for corner in corners]).reshape(-1, 4)
    packed = np.zeros((0, 32), np.uint8) if codes is None else np.asarray(codes, np.uint8)
    return Corners(rows[:, :2], rows[:, 2], np.deg2rad(rows[:, 3]), packed)


def matched(first: Corners, second: Corners) -> tuple[Corners, Corners]:
    """Return the corners of two pictures that look alike, row by row: each of the first's with the one it resembles most.

    A corner that resembles two of the other picture's about as much says nothing and is left out.
    """
    import cv2

    if min(len(first.codes), len(second.codes)) < FEWEST:
        nothing = np.zeros(0, np.int64)
        return first.of(nothing), second.of(nothing)
    bits, nearest = cv2.batchDistance(first.codes, second.codes, cv2.CV_32S, normType=cv2.NORM_HAMMING, K=2)
    sure = np.flatnonzero((bits[:, 0] < NEAREST_BITS) & (bits[:, 0] < AMBIGUOUS * bits[:, 1]))
    return first.of(sure), second.of(nearest[sure, 0])
