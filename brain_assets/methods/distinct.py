"""Whole numbers as sets: the distinct ones of an array, and those that another has not."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", bound=np.integer)


def distinct(values: NDArray[Number]) -> NDArray[Number]:
    """Return the distinct values of an array of whole numbers, ascending.

    As ``np.unique`` does, which from NumPy 2.3 on puts them into a hash table first: of a million random keys that takes a
    hundred times as long as to sort them.

    Parameters
    ----------
    values : ndarray
        Of any shape.

    Examples
    --------
    >>> distinct(np.array([3, 1, 3]))
    array([1, 3])
    """
    found = np.sort(values, axis=None)
    is_first = np.ones(len(found), np.bool_)
    np.not_equal(found[1:], found[:-1], out=is_first[1:])
    return found[is_first]


def without(values: NDArray[Number], others: NDArray[Number]) -> NDArray[Number]:
    """Return the distinct values of an array that another has not, ascending, as ``np.setdiff1d`` does.

    Examples
    --------
    >>> without(np.array([3, 1, 3, 2]), np.array([2]))
    array([1, 3])
    """
    found, known = distinct(values), np.sort(others, axis=None)
    if not len(known):
        return found
    place = np.searchsorted(known, found).clip(max=len(known) - 1)
    left: NDArray[Number] = found[known[place] != found]
    return left
