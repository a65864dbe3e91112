"""Filters of one plane for ``detail``; each leaves out what lies beyond the sides."""

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]


def blur(plane: Plane, times: int) -> Plane:
    """Return the plane under so many binomial filters (1 2 1) / 4 down and across, twice as many pixels smaller."""
    for _ in range(2 * times):
        plane = plane[1:] + plane[:-1]
    for _ in range(2 * times):
        plane = plane[:, 1:] + plane[:, :-1]
    return plane * np.float32(1 / 16**times)


def slope(plane: Plane) -> Plane:
    """Return the squared gradient by central differences, a pixel per side smaller."""
    across, down = plane[1:-1, 2:] - plane[1:-1, :-2], plane[2:, 1:-1] - plane[:-2, 1:-1]
    across *= across
    down *= down
    across += down
    across *= np.float32(0.25)
    return across


def structure_tensor(plane: Plane, where: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the sum over some pixels of the products of the gradient with itself: (2, 2), down and across.

    ``where`` is a pixel per side smaller than the plane.
    """
    rows, columns = np.nonzero(where)
    down = plane[rows + 2, columns + 1] - plane[rows, columns + 1]
    across = plane[rows + 1, columns + 2] - plane[rows + 1, columns]
    gradient = 0.5 * np.stack([down, across]).astype(np.float64)
    return np.asarray(gradient @ gradient.T)


def laplacian(plane: Plane) -> Plane:
    """Return the sum of the four neighbours less four times the pixel, a pixel per side smaller."""
    answer: Plane = plane[1:-1, 1:-1] * np.float32(-4)
    for neighbors in (plane[:-2, 1:-1], plane[2:, 1:-1], plane[1:-1, :-2], plane[1:-1, 2:]):
        answer += neighbors
    return answer


def block_means(plane: Plane, size: int) -> Plane:
    """Return the means of square blocks; what does not fill a block at the far sides is left out."""
    rows, columns = len(plane) // size, plane.shape[1] // size
    sums = plane[: rows * size, : columns * size].reshape(rows, size, columns * size).sum(axis=1)
    means: Plane = sums.reshape(rows, columns, size).sum(axis=2)
    means /= np.float32(size * size)
    return means


def roughness(plane: Plane, size: int) -> Plane:
    """Return the mean of |x| over square blocks, where x is the plane under Immerkær's mask, a pixel per side smaller."""
    down = np.diff(plane, n=2, axis=0)
    answer = np.diff(down, n=2, axis=1)
    return block_means(np.abs(answer, out=answer), size)
