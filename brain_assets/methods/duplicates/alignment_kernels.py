"""The loops over pixels of ``alignment``, compiled by numba; import this module inside functions only.

Plain loops that allocate nothing and call nothing: each function that another calls is optimised once more with it, and
each of numpy's functions is compiled, too.
"""

import numba
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Rows = NDArray[np.int64]
Before = NDArray[np.uint32]
ONE = np.float32(1)
NEXT = np.uint32(1)


@numba.njit(cache=True, nogil=True, fastmath=True)
def changes(
    planes: tuple[Plane, Plane, Rows], places: tuple[Before, Plane, Plane], light: Plane, columns: Plane
) -> None:
    """Write what a Gauss-Newton step works with, at every other row and column.

    Parameters
    ----------
    planes : (n, side²/4) and (n, side, side) float32, and (m,) int64
        Every other row and column of the targets, the sources, and the motions' rows of these.
    places : (m, 2, side/2), the ``Places`` of every other row and column
    light : (m, 3) float32, gain, bias, and 1 / the residual from which a pixel counts as an outlier
    columns : (m, 9, side²/4) float32, written
        The target, the moved source, 1, what x scale, y scale, x shift and y shift change of it; the weight of the pixel,
        and its residual where both are seen.
    """
    targets, sources, pairs = planes
    before, way, inside = places
    side, half = sources.shape[1], sources.shape[1] // 2
    middle, reach = np.float32((side - 1) / 2), np.float32(side / 2)
    row, steep = np.empty(side, np.float32), np.empty(side, np.float32)
    for k in range(len(pairs)):
        target, source, column = targets[pairs[k]], sources[pairs[k]], columns[k]
        for y in range(half):
            upper, lower = source[before[k, 1, y]], source[before[k, 1, y] + NEXT]
            for x in range(side):
                steep[x] = lower[x] - upper[x]
                row[x] = upper[x] + way[k, 1, y] * steep[x]
            here, across = y * half, (np.float32(2 * y) - middle) / reach
            for x in range(half):
                left, along = before[k, 0, x], way[k, 0, x]
                slope_x = row[left + NEXT] - row[left]
                slope_y = steep[left] + along * (steep[left + NEXT] - steep[left])
                column[1, here + x] = row[left] + along * slope_x
                column[5, here + x] = slope_x * reach
                column[6, here + x] = slope_y * reach
            for x in range(half):
                column[3, here + x] = column[5, here + x] * ((np.float32(2 * x) - middle) / reach)
                column[4, here + x] = column[6, here + x] * across
                column[7, here + x] = inside[k, 1, y] * inside[k, 0, x]
        for place in range(half * half):
            residual = abs(target[place] - light[k, 0] * column[1, place] - light[k, 1])
            off = residual * light[k, 2]
            column[0, place], column[2, place] = target[place], ONE
            column[8, place] = column[7, place] * residual
            column[7, place] /= ONE + off * off


@numba.njit(cache=True, nogil=True, fastmath=True)
def products(columns: Plane, sums: Plane) -> None:
    """Write the weighted sums of the products of columns with each other, and the sum of residuals.

    Parameters
    ----------
    columns : (m, 9, p) float32, from ``changes``
    sums : (m, 7, 7) float32, written; the first row holds the sum of residuals alone
    """
    for k in range(len(columns)):
        column, weighted = columns[k], columns[k, 7]
        for i in range(7):
            for j in range(i + 1):
                total = np.float32(0)
                for place in range(len(weighted)):
                    total += weighted[place] * column[i, place] * column[j, place]
                sums[k, i, j] = total
                sums[k, j, i] = total
        total = np.float32(0)
        for place in range(len(weighted)):
            total += column[8, place]
        sums[k, 0, 0] = total


@numba.njit(cache=True, nogil=True, fastmath=True)
def moments(planes: tuple[Plane, Plane, Rows], places: tuple[Before, Plane, Plane], sums: Plane) -> None:
    """Write what a correlation is made of, over the pixels that both planes show.

    Parameters
    ----------
    planes : twice (n, side, side) float32, and (m,) int64, targets, sources, and the motions' rows of these
    places : (m, 2, side), the ``Places`` of every row and column
    sums : (m, 6) float32, written: the count, the sums of target and of moved source, of their squares, of their product
    """
    targets, sources, pairs = planes
    before, way, inside = places
    side = sources.shape[1]
    row = np.empty(side, np.float32)
    for k in range(len(pairs)):
        target, source = targets[pairs[k]], sources[pairs[k]]
        count, a, b = np.float32(0), np.float32(0), np.float32(0)
        aa, bb, ab = np.float32(0), np.float32(0), np.float32(0)
        for y in range(side):
            above, down, inside_y = before[k, 1, y], way[k, 1, y], inside[k, 1, y]
            for x in range(side):
                row[x] = source[above, x] + down * (source[above + NEXT, x] - source[above, x])
            for x in range(side):
                left, within = before[k, 0, x], inside_y * inside[k, 0, x]
                p = target[y, x] * within
                q = (row[left] + way[k, 0, x] * (row[left + NEXT] - row[left])) * within
                count += within
                a += p
                b += q
                aa += p * p
                bb += q * q
                ab += p * q
        sums[k, 0], sums[k, 1], sums[k, 2], sums[k, 3], sums[k, 4], sums[k, 5] = count, a, b, aa, bb, ab
