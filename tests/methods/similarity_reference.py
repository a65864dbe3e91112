"""Neighbours from the definition, row by row in double precision."""

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def distance_matrix(vectors: NDArray[np.floating], others: NDArray[np.floating], metric: str) -> Matrix:
    rows = [_distances(row, others.astype(float), metric) for row in vectors.astype(float)]
    return np.array(rows).reshape(len(vectors), len(others))


def _distances(row: Matrix, others: Matrix, metric: str) -> Matrix:
    if metric == "dotproduct":
        return -(others @ row)
    if metric == "manhattan":
        return np.abs(others - row).sum(axis=1)
    if metric == "euclidean":
        return np.linalg.norm(others - row, axis=1)
    lengths = np.linalg.norm(others, axis=1) * np.linalg.norm(row)
    return 1 - others @ row / np.where(lengths > 0, lengths, np.inf)


def nearest(matrix: Matrix, count: int) -> tuple[NDArray[np.int64], Matrix]:
    """Return the columns of the smallest entries of each row, and these entries."""
    ids = np.argsort(matrix, axis=1, kind="stable")[:, :count]
    return ids, np.take_along_axis(matrix, ids, axis=1)


def neighbors(vectors: NDArray[np.floating], count: int, metric: str) -> tuple[NDArray[np.int64], Matrix]:
    """Return the nearest other rows of each row."""
    matrix = distance_matrix(vectors, vectors, metric)
    np.fill_diagonal(matrix, np.inf)
    return nearest(matrix, max(min(count, len(vectors) - 1), 0))
