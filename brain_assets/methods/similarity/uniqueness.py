"""How much a sample differs from those most like it."""

import numpy as np
from numpy.typing import NDArray

WEIGHTS = (0.6, 0.3, 0.1)


def uniqueness(distances: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the weighted mean distance to the three nearest neighbours, raw.

    Parameters
    ----------
    distances : (n, k) float32, in the unit of the metric (cosine: [0, 2])
        Self excluded, each row ascending; inf or NaN where a sample has fewer than k neighbours. Columns beyond the
        third are ignored; weights of neighbours that do not exist are given to those that do.

    Returns
    -------
    (n,) float32, >= 0
        0 for a sample with three copies (with one, if it is alone with it); NaN for one without any neighbour.

    Raises
    ------
    ValueError
        If ``distances`` is not two-dimensional.

    Notes
    -----
    Weights .6, .3, .1 as in FiftyOne Brain's ``compute_uniqueness``. Incremental: a row changes only with its three
    nearest distances; what depends on all samples, the scaling, is ``normalized`` and belongs to a view.

    Examples
    --------
    >>> uniqueness(np.array([[0.0, 0.5, 1.0], [0.2, np.nan, np.nan]], dtype=np.float32))
    array([0.25, 0.2 ], dtype=float32)
    """
    if distances.ndim != 2:
        raise ValueError(f"distances must have shape (n, k), got {distances.shape}")
    nearest = np.asarray(distances[:, : len(WEIGHTS)], np.float64)
    known = np.isfinite(nearest)
    weights = np.where(known, WEIGHTS[: nearest.shape[1]], 0.0)
    total = (weights * np.where(known, nearest, 0.0)).sum(axis=1)
    raw = np.full(len(nearest), np.nan)
    np.divide(total, weights.sum(axis=1), out=raw, where=known.any(axis=1))
    return raw.astype(np.float32)


def normalized(raw: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return raw uniqueness divided by its maximum over the dataset.

    Parameters
    ----------
    raw : (n,) float
        Raw uniqueness, NaN where a sample has no neighbour.

    Returns
    -------
    (n,) float64 in [0, 1], 1 = most unique
        1 where ``raw`` is NaN; 0 everywhere else if all are copies of one another.

    Examples
    --------
    >>> normalized(np.array([0.25, 0.5, np.nan]))
    array([0.5, 1. , 1. ])
    """
    known = np.isfinite(raw)
    largest = float(np.max(raw, where=known, initial=0.0))
    scaled = np.where(known, raw, 1.0).astype(np.float64)
    scaled[known] /= largest or 1.0
    return scaled


def uniqueness_compat(vectors: NDArray[np.floating], metric: str = "cosine") -> NDArray[np.float64]:
    """Return the numbers of FiftyOne Brain's ``compute_uniqueness``, its off-by-one included.

    Parameters
    ----------
    vectors : (n, d) float
        One per sample (for regions of interest: the plain mean of a sample's region vectors). Not modified.
    metric : str
        A metric of ``sklearn.metrics.pairwise_distances``, taken after centring.

    Returns
    -------
    (n,) float64 in [0, 1]
        Ones for n <= 3; NaN for n = 4 and where all samples coincide.

    Notes
    -----
    The peer asks for four neighbours and drops the first as the sample itself, which its index had already left out:
    these are neighbours 2 to 4.

    Examples
    --------
    >>> uniqueness_compat(np.array([[0.0], [1.0], [3.0], [7.0], [12.0]]), metric="euclidean")
    array([0.51515152, 0.41414141, 0.39393939, 0.55555556, 1.        ])
    """
    from sklearn.metrics import pairwise_distances

    n = len(vectors)
    if n <= 3:
        return np.ones(n)
    if n == 4:
        return np.full(n, np.nan)
    distances = np.asarray(pairwise_distances(vectors - vectors.mean(axis=0, keepdims=True), metric=metric))
    np.fill_diagonal(distances, np.inf)
    neighbors = np.sort(distances, axis=1)[:, 1:4]
    raw = (neighbors * WEIGHTS).mean(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray(raw / raw.max(), np.float64)
