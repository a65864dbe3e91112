"""One scan over the pixels for `image_quality`, compiled by numba; import this module inside functions only.

Loops without branches over planes in memory order: the compiler makes vector instructions of them.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from brain_assets.methods.images.detail_kernels import FAST


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def scan(channels: NDArray[np.uint8]) -> Any:
    """Return what all tones and colours are computed from.

    The luma is that of ITU-R BT.601, the perceived brightness sqrt(.241 R² + .691 G² + .068 B²) is that of Finley's HSP
    colour model.

    Parameters
    ----------
    channels : (3, n) uint8

    Returns
    -------
    luma, chroma : (n,) float32
        Luma, and red less green.
    levels : (4, n) uint8
        Luma, perceived brightness, largest channel, and difference of the largest and the smallest channel.
    saturation : float
        Sum of the HSV saturation.
    """
    red, green, blue = channels
    luma, chroma = np.empty(red.size, np.float32), np.empty(red.size, np.float32)
    levels, saturation = np.empty((4, red.size), np.uint8), np.float32(0)
    for pixel in range(red.size):
        r, g, b = np.float32(red[pixel]), np.float32(green[pixel]), np.float32(blue[pixel])
        luma[pixel] = np.float32(0.299) * r + np.float32(0.587) * g + np.float32(0.114) * b
        chroma[pixel] = r - g
        levels[0, pixel] = np.int32(luma[pixel] + np.float32(0.5))
        perceived = np.sqrt(np.float32(0.241) * r * r + np.float32(0.691) * g * g + np.float32(0.068) * b * b)
        levels[1, pixel] = np.int32(perceived + np.float32(0.5))
    for pixel in range(red.size):
        largest = max(max(red[pixel], green[pixel]), blue[pixel])
        difference = largest - min(min(red[pixel], green[pixel]), blue[pixel])
        levels[2, pixel], levels[3, pixel] = largest, difference
        saturation += np.float32(difference) / max(np.float32(largest), np.float32(1))
    return luma, chroma, levels, saturation


@numba.njit(cache=True, nogil=True)
def histograms(levels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return how often each of the 256 levels occurs in each plane: (planes, 256), from (planes, n)."""
    counts = np.zeros((len(levels), 256), np.int64)
    for pixel in range(levels.shape[1]):
        for plane in range(len(levels)):
            counts[plane, levels[plane, pixel]] += 1
    return counts


@numba.njit(cache=True, nogil=True)
def products(channels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the sums of the products of channels with each other: (3, 3), from (3, n)."""
    sums = np.zeros((3, 3), np.int64)
    for one in range(3):
        for other in range(3):
            first, second, total = channels[one], channels[other], np.int64(0)
            for pixel in range(first.size):
                total += np.int64(first[pixel]) * np.int64(second[pixel])
            sums[one, other] = total
    return sums
