"""Filters of one plane for `detail`, compiled by numba; import this module inside functions only.

Each filter runs over a few rows at a time, which stay in the fastest memory, and leaves out what lies beyond the sides.
"""

import numba
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
# Sums may be taken in any order, as vectors of partial sums.
FAST = {"reassoc", "contract", "nsz"}


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def convolve(plane: Plane, weights: Plane) -> Plane:
    """Return the plane filtered by the same odd number of weights down and across, and smaller by as many less one."""
    taps, width = len(weights), plane.shape[1]
    filtered = np.zeros((len(plane) - taps + 1, width - taps + 1), np.float32)
    down = np.empty(width, np.float32)
    for row in range(len(filtered)):
        down[:] = 0
        for tap in range(taps):
            for column in range(width):
                down[column] += weights[tap] * plane[row + tap, column]
        for tap in range(taps):
            for column in range(filtered.shape[1]):
                filtered[row, column] += weights[tap] * down[column + tap]
    return filtered


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def slope(plane: Plane) -> Plane:
    """Return the squared gradient by central differences, a pixel per side smaller."""
    squared = np.empty((len(plane) - 2, plane.shape[1] - 2), np.float32)
    for row in range(len(squared)):
        above, here, below = plane[row], plane[row + 1], plane[row + 2]
        for column in range(squared.shape[1]):
            across, down = here[column + 2] - here[column], below[column + 1] - above[column + 1]
            squared[row, column] = np.float32(0.25) * (across * across + down * down)
    return squared


@numba.njit(cache=True, nogil=True)
def structure_tensor(plane: Plane, where: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the sum over some pixels of the products of the gradient with itself: (2, 2), down and across.

    ``where`` is a pixel per side smaller than the plane.
    """
    tensor = np.zeros((2, 2))
    for row in range(len(where)):
        for column in range(where.shape[1]):
            if where[row, column]:
                down = 0.5 * (plane[row + 2, column + 1] - plane[row, column + 1])
                across = 0.5 * (plane[row + 1, column + 2] - plane[row + 1, column])
                tensor[0, 0] += down * down
                tensor[0, 1] += down * across
                tensor[1, 1] += across * across
    tensor[1, 0] = tensor[0, 1]
    return tensor


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def laplacian_variance(plane: Plane) -> float:
    """Return the variance of the Laplacian, from its sums row by row."""
    total, squares = 0.0, 0.0
    for row in range(1, len(plane) - 1):
        above, here, below = plane[row - 1], plane[row], plane[row + 1]
        for column in range(1, plane.shape[1] - 1):
            value = above[column] + below[column] + here[column - 1] + here[column + 1] - np.float32(4) * here[column]
            total += value
            squares += value * value
    count = (len(plane) - 2) * (plane.shape[1] - 2)
    return float(max(squares / count - (total / count) ** 2, 0.0))


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def block_means(plane: Plane, size: int) -> Plane:
    """Return the means of square blocks; what does not fill a block at the far sides is left out."""
    rows, columns = len(plane) // size, plane.shape[1] // size
    means, sums = np.empty((rows, columns), np.float32), np.empty(columns * size, np.float32)
    for row in range(rows):
        sums[:] = 0
        for inner in range(row * size, (row + 1) * size):
            sums += plane[inner, : sums.size]
        for column in range(columns):
            means[row, column] = sums[column * size : (column + 1) * size].sum() / np.float32(size * size)
    return means


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def roughness(plane: Plane, size: int) -> Plane:
    """Return the mean of |x| over square blocks, where x is the plane under Immerkær's mask, a pixel per side smaller."""
    rows, columns = (len(plane) - 2) // size, (plane.shape[1] - 2) // size
    means, rough = np.zeros((rows, columns), np.float32), np.empty(columns * size, np.float32)
    two = np.float32(2)
    for row in range(rows):
        rough[:] = 0
        for inner in range(row * size, (row + 1) * size):
            above, here, below = plane[inner], plane[inner + 1], plane[inner + 2]
            for column in range(rough.size):
                left = above[column] - two * here[column] + below[column]
                middle = above[column + 1] - two * here[column + 1] + below[column + 1]
                right = above[column + 2] - two * here[column + 2] + below[column + 2]
                rough[column] += abs(left - two * middle + right)
        for column in range(columns):
            means[row, column] = rough[column * size : (column + 1) * size].sum() / np.float32(size * size)
    return means
