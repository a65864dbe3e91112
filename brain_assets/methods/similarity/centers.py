"""Centres of cells: fitted to some rows, and as near to each row as it takes for most true neighbours to be compared."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brain_assets.methods.similarity.cells import Cells
from brain_assets.methods.similarity.distances import Rows
from brain_assets.methods.similarity.similarity import NeighborGraph, search

# Rows per cell that the centres are fitted to, and how often each is moved: further rounds gain less than another cell.
FITTED_TO, ROUNDS = 48, 4
# A cell has at least as many of the rows that it was fitted to, so that a few cells hold more neighbours than are listed.
FEWEST = 4
# Cells near a row, to choose from.
CHOICES = (2, 3, 4, 6, 8, 12, 16, 24, 32)


def fit_centers(vectors: ArrayLike, cells: int, seed: int = 0) -> NDArray[np.float32]:
    """Return the centres of cells: k-means (scikit-learn) over evenly spaced rows, without the cells that hardly any row is in.

    Parameters
    ----------
    vectors : (n, d) float32
    cells : number of cells wanted
    seed : of the first centres

    Returns
    -------
    (c, d) float32, ``c <= cells``

    Examples
    --------
    >>> sorted(fit_centers(np.repeat([[0.0], [9.0]], 20, axis=0), 2).ravel().tolist())
    [0.0, 9.0]
    """
    from sklearn.cluster import KMeans

    rows = np.asarray(vectors, np.float32)
    chosen = rows[spaced(len(rows), cells * FITTED_TO)]
    distinct = np.unique(chosen, axis=0)
    model = KMeans(min(cells, len(distinct)), init="random", n_init=1, max_iter=ROUNDS, random_state=seed).fit(chosen)
    sizes = np.bincount(model.labels_, minlength=len(model.cluster_centers_))
    large = sizes >= min(FEWEST, sizes.max())
    return np.ascontiguousarray(model.cluster_centers_[large], np.float32)


def spaced(count: int, wanted: int) -> Rows:
    """Return up to ``wanted`` positions among ``count``, evenly spaced.

    Examples
    --------
    >>> spaced(10, 5), spaced(2, 5)
    (array([0, 2, 4, 6, 8]), array([0, 1]))
    """
    wanted = min(wanted, count)
    return np.arange(wanted, dtype=np.int64) * count // max(wanted, 1)


def nearest_cells(vectors: ArrayLike, centers: ArrayLike, count: int) -> Cells:
    """Return the cells whose centres are nearest to each row, by the Euclidean distance of the vectors.

    Examples
    --------
    >>> nearest_cells([[0.0], [8.0]], [[9.0], [1.0]], 1).near.tolist()
    [[1], [0]]
    """
    near, _ = search(centers, vectors, count, metric="euclidean")
    return Cells(near.astype(np.int32), len(np.asarray(centers)))


def cells_needed(
    vectors: NDArray[np.float32], centers: NDArray[np.float32], pairs: tuple[Rows, Rows], recall: float
) -> int:
    """Return how many cells have to be near a row so that a share of some pairs is compared.

    Parameters
    ----------
    vectors : (n, d) float32
    centers : (c, d) float32
    pairs : two (m,) int64, positions of rows that are neighbours in truth
    recall : the share, in (0, 1]

    Returns
    -------
    int
        One of `CHOICES`, at most the number of centres; the largest where none is enough.

    Examples
    --------
    >>> line = np.arange(8, dtype=np.float32)[:, None]
    >>> cells_needed(line, line[::2], (np.array([1, 2]), np.array([2, 3])), 1.0)
    2
    """
    rows, place = np.unique(np.concatenate(pairs), return_inverse=True)
    first, second = np.split(place, 2)
    choices = [count for count in CHOICES if count < len(centers)] or [len(centers)]
    near = nearest_cells(vectors[rows], centers, choices[-1]).near
    for count in choices:
        if Cells(near[:, :count], len(centers)).compared(first, second).mean() >= recall:
            return count
    return choices[-1]


def true_neighbors(
    vectors: NDArray[np.float32], asked: Rows, k: int, metric: str = "cosine"
) -> tuple[Rows, NDArray[np.float32]]:
    """Return the nearest of all other rows for some rows, and how far they are.

    Returns
    -------
    neighbors : (q, min(k, n - 1)) int64
    distances : (q, min(k, n - 1)) float32, ascending

    Examples
    --------
    >>> true_neighbors(np.eye(3, dtype=np.float32)[[0, 0, 1]], np.array([1]), 1)[0]
    array([[0]])
    """
    found, distances = search(vectors, vectors[asked], k + 1, metric=metric)
    # Of many at no distance the row itself may not be among the first: then the last of them makes room.
    extra = (found == asked[:, None]).argmax(axis=1)
    extra[~(found == asked[:, None]).any(axis=1)] = found.shape[1] - 1
    others = np.arange(found.shape[1]) != extra[:, None]
    shape = (len(asked), found.shape[1] - 1)
    return found[others].reshape(shape), distances[others].reshape(shape)


def recall_of(graph: NeighborGraph, asked: Rows, distances: NDArray[np.float32]) -> float:
    """Return which share of the true neighbours of some rows a graph lists; of equally distant ones it may list any.

    Parameters
    ----------
    graph : over all rows
    asked : (q,) int64
    distances : (q, k) float32, those of their true neighbours, ascending

    Returns
    -------
    float
        In [0, 1]; 1 where there is nobody to be listed.
    """
    if not distances.size:
        return 1.0
    listed = graph.distances[asked, : distances.shape[1]] <= distances[:, -1:]
    return float(listed.mean())
