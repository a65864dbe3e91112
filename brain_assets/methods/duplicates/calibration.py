"""Where to draw the line between a copy and another picture, for this dataset and this model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
DEFAULT_THRESHOLD = 0.25
EDIT_SHARE, OTHER_SHARE = 0.95, 0.01
LEAST_EDITS, LEAST_OTHERS = 50, 20
LEAST_SIDE = 64
FARTHEST = 1.0


@dataclass(frozen=True)
class Calibration:
    """A threshold on distances, and what it was derived from.

    Attributes
    ----------
    threshold : float
        Pairs at most this far apart are duplicates.
    edits : float
        Distance within which 95 % of the mild edits stay from their originals; NaN where none were measured.
    others : float
        Distance beyond which 99 % of the samples have their nearest other sample, real duplicates (within ``edits``)
        left out; NaN where none were measured.
    is_default : bool
        Whether too little was measured, so that the documented default holds.
    """

    threshold: float
    edits: float
    others: float
    is_default: bool


def calibrate(edits: NDArray[np.floating], others: NDArray[np.floating]) -> Calibration:
    """Return the threshold half way between mild edits and nearest other samples.

    Parameters
    ----------
    edits : (m,) float
        Distances of mild edits to their originals.
    others : (n,) or (n, k) float
        Distances of each calibration sample to its nearest, or its k nearest, other samples in any order; inf where
        there are no more candidates, NaN where unknown. Of each sample the nearest counts that is no real duplicate.

    Returns
    -------
    Calibration
        The default of .25 with fewer than 50 edits, or fewer than 20 samples with an other that is no duplicate.

    Raises
    ------
    ValueError
        If ``edits`` or ``others`` has another shape.

    Notes
    -----
    An input to what follows, not an output: computed once from the samples with the smallest hash of their content
    hash, then kept. Distances are stored raw, so that another threshold is a filter.

    Examples
    --------
    >>> calibrate(np.linspace(0.0, 0.2, 101), np.linspace(0.5, 1.0, 101)).threshold
    0.3475
    >>> calibrate(np.array([]), np.array([])).is_default
    True
    """
    if edits.ndim != 1:
        raise ValueError(f"edits must have shape (m,), got {edits.shape}")
    if others.ndim not in (1, 2):
        raise ValueError(f"others must have shape (n,) or (n, k), got {others.shape}")
    edits = edits[np.isfinite(edits)]
    if len(edits) < LEAST_EDITS:
        return Calibration(DEFAULT_THRESHOLD, np.nan, np.nan, is_default=True)
    near = float(np.quantile(edits, EDIT_SHARE))
    distinct = _nearest_beyond(near, others)
    if len(distinct) < LEAST_OTHERS:
        return Calibration(DEFAULT_THRESHOLD, near, np.nan, is_default=True)
    far = float(np.quantile(distinct, OTHER_SHARE))
    return Calibration(round((near + far) / 2, 6), near, far, is_default=False)


def may_decide(least: NDArray[np.floating], most: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return the edits whose distance ``calibrate`` needs to know, when that of each lies between two limits.

    The others lie on one side of the 95 % whatever their distance is: any value within the limits does for them.

    Parameters
    ----------
    least, most : (m,) float
        Limits of each edit's distance, inclusive.

    Returns
    -------
    (m,) bool

    Examples
    --------
    >>> may_decide(np.array([0.0, 0.5, 0.7, 0.9]), np.array([0.1, 0.8, 0.8, 0.9]))
    array([False,  True,  True,  True])
    """
    if not len(least):
        return np.zeros(0, np.bool_)
    lowest = np.quantile(least, EDIT_SHARE, method="lower")
    highest = np.quantile(most, EDIT_SHARE, method="higher")
    return np.asarray((most >= lowest) & (least <= highest), np.bool_)


def _nearest_beyond(near: float, others: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the smallest distance above ``near`` of each sample that has one, at most ``FARTHEST``."""
    rows = others if others.ndim == 2 else others[:, None]
    beyond = rows > near
    nearest = np.min(rows, axis=1, where=beyond, initial=np.inf)
    return np.asarray(np.minimum(nearest[beyond.any(axis=1)], FARTHEST))


def mild_edits(image: Image) -> Mapping[str, Image]:
    """Return what people do to pictures without making them others, each applied to one image.

    Parameters
    ----------
    image : (height, width, 3) uint8

    Returns
    -------
    dict of name -> (h, w, 3) uint8
        A crop of 90 %, the mirror image, brighter and darker light, a blur, a stamp, and half the size where that
        leaves 64 pixels a side: what verification looks at.

    Examples
    --------
    >>> mild_edits(np.zeros((200, 150, 3), np.uint8))["smaller"].shape
    (100, 75, 3)
    """
    large = min(image.shape[:2]) >= 2 * LEAST_SIDE
    return {name: edit(image) for name, edit in EDITS.items() if large or name != "smaller"}


def _crop(image: Image) -> Image:
    height, width = image.shape[:2]
    top, left = round(0.07 * height), round(0.03 * width)
    return image[top : top + max(1, round(0.9 * height)), left : left + max(1, round(0.9 * width))]


def _brighter(image: Image) -> Image:
    return np.asarray(np.clip(image * 1.3, 0, 255), np.uint8)


def _darker(image: Image) -> Image:
    return np.asarray(image * 0.7, np.uint8)


def _smaller(image: Image) -> Image:
    height, width = (side // 2 for side in image.shape[:2])
    blocks = image[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 3)
    return np.asarray(blocks.mean(axis=(1, 3)), np.uint8)


def _blurred(image: Image) -> Image:
    """Return the image under a box as wide as 2 % of its shorter side, at least a light 3 x 3 blur."""
    radius = max(1, round(0.01 * min(image.shape[:2])))
    blurred = image.astype(np.float32)
    for axis in (0, 1):
        padded = np.pad(blurred, [(radius, radius) if at == axis else (0, 0) for at in range(3)], mode="edge")
        shifts = (np.take(padded, range(s, s + image.shape[axis]), axis=axis) for s in range(2 * radius + 1))
        mean = sum(shifts) / (2 * radius + 1)
        blurred = mean if radius > 1 else (mean + blurred) / 2
    return np.asarray(blurred, np.uint8)


def _stamped(image: Image) -> Image:
    """Return the image with letter-like bars over its middle, half transparent."""
    height, width = image.shape[:2]
    stamped = image.astype(np.float32)
    top, bottom = round(0.45 * height), max(round(0.55 * height), round(0.45 * height) + 1)
    bars = (np.arange(width) * 24 // max(width, 1)) % 3 != 2
    stamped[top:bottom, bars] = (stamped[top:bottom, bars] + 255) / 2
    return np.asarray(stamped, np.uint8)


EDITS: Mapping[str, Callable[[Image], Image]] = {
    "crop": _crop,
    "mirror": lambda image: np.ascontiguousarray(image[:, ::-1]),
    "brighter": _brighter,
    "darker": _darker,
    "smaller": _smaller,
    "blurred": _blurred,
    "stamped": _stamped,
}
