"""Pixels brought to a given size: what models are given, and what is shown."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from brain_assets.resources.image_input import InputSpec

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
Rectangle = tuple[int, int, int, int]
Box = tuple[float, float, float, float]
Inputs = dict[str, NDArray[np.uint8]]


def model_input(image: Image.Image, spec: InputSpec, rectangle: Rectangle | None = None) -> NDArray[np.uint8]:
    """Resample an RGB image, or a rectangle of it, to what a model wants, antialiased.

    Returns
    -------
    ndarray of shape (spec.height, spec.width, 3), uint8

    Raises
    ------
    ValueError
        When the rectangle is empty or reaches beyond the image.

    Examples
    --------
    >>> model_input(Image.new("RGB", (400, 300)), InputSpec("model", 224, 160)).shape
    (224, 160, 3)
    """
    box = _box(rectangle or (0, 0, *image.size), spec)
    return np.asarray(image.resize((spec.width, spec.height), FILTERS[spec.interpolation], box=box))


def _box(rectangle: Rectangle, spec: InputSpec) -> Box:
    left, top, right, bottom = rectangle
    if spec.resize == "squash" or right <= left or bottom <= top:
        return rectangle
    scale = min((right - left) / spec.width, (bottom - top) / spec.height)
    x, y = (right - left - scale * spec.width) / 2, (bottom - top - scale * spec.height) / 2
    return max(left, left + x), max(top, top + y), min(right, right - x), min(bottom, bottom - y)


def shrink(image: Image.Image, longest: int) -> Image.Image:
    """Return an RGB image whose longest side is at most ``longest`` pixels; a smaller one is returned as it is."""
    scale = longest / max(image.size)
    if scale >= 1:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BILINEAR)
