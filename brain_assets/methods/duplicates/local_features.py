"""Corners of a picture and what they look like, so that a part of it is found again turned, flipped, scaled or cropped."""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
Rows = NDArray[np.int64]
LONGEST = 192
SMALLEST = 64
"""Pictures with fewer pixels along their longest side have no corners worth describing."""
CORNERS, LEVELS, LEVEL = 150, 4, 1.4
CONTRAST, MARGIN = 12, 16
FEWEST = 5


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


class Matches(NamedTuple):
    """Corners of m pairs of pictures that look alike, the second picture plain and mirrored.

    Attributes
    ----------
    corners : (m, 2, n, 2) int16
        For each pair and way, row by row, corners of the first and of the second picture.
    counts : (m, 2) int64
        How many rows count; 0 where fewer than four agree on where they lie.
    voters : (m, 2, n) bool
        Those that agree with the similarity that most agree with.
    """

    corners: NDArray[np.int16]
    counts: Rows
    voters: NDArray[np.bool_]


def matched(views: Sequence[View], first: Rows, second: Rows) -> Matches:
    """Return which corners of pairs of pictures look alike, where several lie alike, too.

    Each corner of the first picture is matched with the one of the second that it resembles most; one that resembles two
    about as much says nothing. Each match proposes a similarity, which the others vote on: with so few there is nothing to
    draw by chance.

    Parameters
    ----------
    views : sequence of View
    first, second : (m,) int64
        Rows of ``views``.
    """
    from brain_assets.methods.duplicates.local_kernels import match, vote

    corners = [one for view in views for one in (view.plain, view.mirrored)]
    sizes = [len(one.scales) for one in corners]
    most, ways = max(sizes, default=0), 2 * len(first)
    matches, counts, voters = (
        np.zeros((ways, most, 2), np.int16),
        np.zeros(ways, np.int64),
        np.zeros((ways, most), np.bool_),
    )
    if len(first):
        codes, places, scales, angles = (
            np.concatenate([getattr(one, name) for one in corners]) for name in ("codes", "places", "scales", "angles")
        )
        ends = np.cumsum([0, *sizes])
        pairs = np.stack([np.repeat(2 * first, 2), (2 * second[:, None] + np.arange(2)).ravel()])
        match(np.ascontiguousarray(codes.view(np.uint64).T), ends, pairs, matches, counts)
        turns = scales * np.cos(angles), scales * np.sin(angles)
        vote(np.stack([*places.T, *turns]), ends, pairs, matches, counts, voters)
    shape = len(first), 2
    return Matches(matches.reshape(*shape, most, 2), counts.reshape(shape), voters.reshape(*shape, most))
