"""What people do to pictures without making them others: edits that every rule for copies has to see through."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
LEAST_SIDE = 64


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
