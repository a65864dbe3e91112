"""Outlines of objects that files give as masks, or as polygons of several rings."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_assets.methods.labels.objects import decode_rle, fill_rings, mask_rings
from brain_assets.resources.label_formats.annotations import around

MOST_PIXELS = 2**28
"""Of a mask: as many as the largest pictures have."""

Rings = list[list[float]]


def rings_of_mask(mask: NDArray[np.bool_], left: float = 0, top: float = 0) -> Rings:
    """Return the outline of a mask whose upper left corner lies at a point, in pixels."""
    return [(ring + np.array([left, top])).astype(float).ravel().tolist() for ring in mask_rings(mask)]


def rings_of_runs(mask: dict[str, Any]) -> Rings:
    """Return the outline of a mask as COCO writes it, ``size`` and ``counts``; raises an error where it is none."""
    height, width = (int(side) for side in mask["size"])
    if min(height, width) < 0 or height * width > MOST_PIXELS:
        raise ValueError(f"a mask of {height} x {width} pixels")
    return rings_of_mask(decode_rle(mask["counts"], height, width))


def rings_of_png(data: bytes, left: float, top: float) -> Rings:
    """Return the outline of a picture that marks its object: what is neither black nor transparent."""
    import io

    from PIL import Image

    with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
        if picture.width * picture.height > MOST_PIXELS:
            raise ValueError(f"a mask of {picture.height} x {picture.width} pixels")
        # What has an opacity is drawn by it; a palette by its number, 0 is the ground.
        band = picture.getchannel("A") if "A" in picture.getbands() else picture
        pixels = np.asarray(band)
    mask: NDArray[np.bool_] = np.asarray(pixels.reshape(*pixels.shape[:2], -1).any(axis=2))
    return rings_of_mask(mask, left, top)


def united(rings: Rings) -> Rings:
    """Return the outline of everything within any of several rings, as COCO means them.

    Inside, a ring in a ring is a hole: rings that overlap become the outline of the pixels within any of them.
    """
    filled = _filled(rings)
    if filled is None or not (filled[0] > 1).any():
        return rings
    return rings_of_mask(filled[0] > 0, *filled[1])


def overlap(rings: Rings) -> bool:
    """Tell whether any two rings share a pixel."""
    filled = _filled(rings)
    return filled is not None and bool((filled[0] > 1).any())


def _filled(rings: Rings) -> tuple[NDArray[np.int64], tuple[float, float]] | None:
    """Return how many rings each pixel lies in and where the first pixel is; None where no two can share any."""
    boxes = [around([ring]) for ring in rings]
    left, top, width, height = np.floor(around(rings))
    if not any(_touch(*pair) for pair in combinations(boxes, 2)) or width * height > MOST_PIXELS:
        return None
    shifted = [np.reshape(ring, (-1, 2)) - [left, top] for ring in rings]
    fills = [fill_rings([ring], int(height) + 2, int(width) + 2) for ring in shifted]
    return np.sum(fills, axis=0), (left, top)


def _touch(first: Sequence[float], second: Sequence[float]) -> bool:
    return all(
        first[axis] < second[axis] + second[axis + 2] and second[axis] < first[axis] + first[axis + 2]
        for axis in (0, 1)
    )
