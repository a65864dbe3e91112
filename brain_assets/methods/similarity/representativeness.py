"""How typical a sample is of the cluster it lies in.

The centres are a fitted state: ``fit_centers`` makes them, the caller keeps them, and samples that arrive are assigned
to the nearest one, which moves nobody else. ``refit_due`` says when they are refitted.
"""

import warnings
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from brain_assets.methods.distinct import distinct
from brain_assets.methods.similarity.distances import finite_rows

METHODS = ("cluster-center", "cluster-center-downweight")
N_CLUSTERS = 20
SEED = 1234
MIN_CLUSTER_SIZE = 5
MAX_FITTED = 10_000
BLOCK = 4096
ROUNDING = 1e-12


class Assignment(NamedTuple):
    """The cluster of every sample, and how far it lies from its centre.

    Attributes
    ----------
    cluster : (n,) int32, row of the nearest centre; -1 for a vector that is not finite
    distance : (n,) float32, Euclidean; NaN for a vector that is not finite
    """

    cluster: NDArray[np.int32]
    distance: NDArray[np.float32]


def check_method(method: str) -> None:
    """Raise ValueError unless ``method`` is one of ``METHODS``.

    Examples
    --------
    >>> check_method("cluster-center")
    """
    if method not in METHODS:
        raise ValueError(f"representativeness method {method!r} is not supported: use one of {', '.join(METHODS)}")


def fit_centers(
    vectors: NDArray[np.floating], n_clusters: int = N_CLUSTERS, seed: int = SEED, max_fitted: int = MAX_FITTED
) -> NDArray[np.float32]:
    """Return k-means centres (Lloyd's algorithm after k-means++, scikit-learn).

    Parameters
    ----------
    vectors : (n, d) float
        Rows in the order of their sample ids; rows that are not finite are left out.
    n_clusters : int
        At most so many; fewer where there are not five samples for each, or not so many distinct ones.
    seed : int
        Of k-means++.
    max_fitted : int
        Of more rows than this, so many evenly spaced ones are fitted.

    Returns
    -------
    (c, d) float32, 1 <= c <= n_clusters
        No rows if no vector is finite. The same for any number of threads.

    Raises
    ------
    ValueError
        If ``n_clusters`` is not positive.

    Examples
    --------
    >>> sorted(fit_centers(np.array([[0.0]] * 5 + [[8.0]] * 5), n_clusters=2).ravel().tolist())
    [0.0, 8.0]
    """
    if n_clusters < 1:
        raise ValueError(f"n_clusters must be at least 1, got {n_clusters}")
    finite = np.flatnonzero(finite_rows(vectors))
    if len(finite) == 0:
        return np.empty((0, vectors.shape[1]), np.float32)
    spaced = distinct(np.linspace(0, len(finite) - 1, min(len(finite), max_fitted)).astype(np.int64))
    wanted = min(n_clusters, max(1, len(finite) // MIN_CLUSTER_SIZE))
    centers, labels = _kmeans(np.asarray(vectors[finite[spaced]], np.float32), wanted, seed)
    return centers[np.unique(labels)].astype(np.float32)


def _kmeans(
    vectors: NDArray[np.floating], n_clusters: int, seed: int
) -> tuple[NDArray[np.floating], NDArray[np.integer]]:
    """Return the centres and the labels; clusters beyond the number of distinct vectors stay empty."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    model = KMeans(n_clusters=n_clusters, random_state=seed)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(vectors)
    return model.cluster_centers_, model.labels_


def assign(vectors: NDArray[np.floating], centers: NDArray[np.floating]) -> Assignment:
    """Return the nearest centre of every vector, the first of several equally near, and the distance to it.

    Parameters
    ----------
    vectors : (n, d) float
    centers : (c, d) float
        From ``fit_centers``.

    Returns
    -------
    Assignment

    Raises
    ------
    ValueError
        If the two have different dimensions, as after a change of the embedding model.

    Notes
    -----
    Incremental: a row depends on its own vector and the centres only.

    Examples
    --------
    >>> assign(np.array([[1.0], [7.0], [np.nan]]), np.array([[0.0], [8.0]]))
    Assignment(cluster=array([ 0,  1, -1], dtype=int32), distance=array([ 1.,  1., nan], dtype=float32))
    """
    if vectors.shape[1] != centers.shape[1]:
        raise ValueError(f"vectors have {vectors.shape[1]} dimensions but the centers {centers.shape[1]}: refit them")
    cluster = np.full(len(vectors), -1, np.int32)
    distance = np.full(len(vectors), np.nan, np.float32)
    exact = centers.astype(np.float64)
    for start in range(0, len(vectors) if len(centers) else 0, BLOCK):
        rows = start + np.flatnonzero(np.isfinite(vectors[start : start + BLOCK]).all(axis=1))
        cluster[rows], distance[rows] = _nearest(vectors[rows].astype(np.float64), exact)
    return Assignment(cluster, distance)


def _nearest(
    vectors: NDArray[np.float64], centers: NDArray[np.float64]
) -> tuple[NDArray[np.integer], NDArray[np.float64]]:
    halves = np.einsum("ij,ij->i", centers, centers) / 2
    apart = halves - vectors @ centers.T
    # How a product is rounded differs between processors: of what is equal but for that, the first centre counts.
    rounding = ROUNDING * (np.einsum("ij,ij->i", vectors, vectors) + halves.max())
    cluster = np.argmax(apart <= (apart.min(axis=1) + rounding)[:, None], axis=1)
    offset = vectors - centers[cluster]
    return cluster, np.sqrt(np.einsum("ij,ij->i", offset, offset))


def centrality(distance: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the raw score 1 / (1 + distance), high near the centre.

    Parameters
    ----------
    distance : (n,) float, >= 0
        Euclidean, to the own centre; NaN is kept.

    Returns
    -------
    (n,) float32 in (0, 1]

    Notes
    -----
    The score that the documentation of FiftyOne Brain's ``compute_representativeness`` promises.

    Examples
    --------
    >>> centrality(np.array([0.0, 1.0])).tolist()
    [1.0, 0.5]
    """
    return np.asarray(1 / (1 + np.asarray(distance, np.float64)), np.float32)


def downweight(
    score: NDArray[np.floating],
    neighbors: NDArray[np.integer],
    distances: NDArray[np.floating],
    radius: float = 0.125,
    factor: float = 0.7,
) -> NDArray[np.float32]:
    """Return the raw scores, lowered wherever a more central sample lies nearby.

    Parameters
    ----------
    score : (n,) float
        From ``centrality``.
    neighbors : (n, k) int, positions, -1 beyond the valid ones
    distances : (n, k) float, in the unit of the metric
    radius : float
        Inclusive. The default is the cosine distance of unit vectors that are .5 apart, the peer's radius.
    factor : float in [0, 1]
        What a score is multiplied by, once.

    Returns
    -------
    (n,) float32

    Notes
    -----
    FiftyOne Brain's ``cluster-center-downweight`` visits samples by falling score and lowers the unvisited ones in a
    ball around each. As lowered samples are visited as well, a sample is lowered exactly if one that is visited before
    lies within the radius. Of equal scores the lower position comes first.
    Incremental: a row depends on its own listed neighbours and their scores only.

    Examples
    --------
    >>> downweight(np.array([0.5, 0.8]), np.array([[1], [0]]), np.array([[0.1], [0.1]])).round(2).tolist()
    [0.349..., 0.800...]
    """
    rows = np.arange(len(score))[:, None]
    theirs, ours = score[neighbors], score[:, None]
    near = (neighbors >= 0) & (distances <= radius)
    shaded = (near & ((theirs > ours) | ((theirs == ours) & (neighbors < rows)))).any(axis=1)
    return np.where(shaded, score * factor, score).astype(np.float32)


def normalized(
    score: NDArray[np.floating], cluster: NDArray[np.integer], scope: Literal["local", "global"] = "local"
) -> NDArray[np.float64]:
    """Return raw scores divided by the largest of their cluster, or of all.

    Parameters
    ----------
    score : (n,) float, > 0 or NaN
    cluster : (n,) int, -1 for none
    scope : "local" or "global"

    Returns
    -------
    (n,) float64 in (0, 1], 1 = most representative
        NaN where ``score`` is.

    Examples
    --------
    >>> normalized(np.array([0.2, 0.4, 0.8]), np.array([0, 0, 1])).tolist()
    [0.5, 1.0, 1.0]
    """
    group = cluster + 1 if scope == "local" else np.zeros(len(score), np.int64)
    largest = np.zeros(int(group.max(initial=0)) + 1)
    known = ~np.isnan(score)
    np.maximum.at(largest, group[known], score[known])
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, score, np.nan) / largest[group], np.float64)


def refit_due(fitted_on: int, present: int, factor: float = 2.0) -> bool:
    """Return whether the set has grown or shrunk by ``factor`` since the centres were fitted.

    Parameters
    ----------
    fitted_on : int
        Samples when the centres were fitted; 0 if they never were.
    present : int
        Samples now.
    factor : float, > 1

    Examples
    --------
    >>> refit_due(100, 199), refit_due(100, 200), refit_due(100, 50), refit_due(0, 1), refit_due(0, 0)
    (False, True, True, True, False)
    """
    return present != fitted_on and (present >= factor * fitted_on or factor * present <= fitted_on)


def representativeness_compat(
    vectors: NDArray[np.floating],
    method: str = "cluster-center",
    n_clusters: int = N_CLUSTERS,
    radius: float = 0.5,
    factor: float = 0.7,
) -> NDArray[np.float64]:
    """Return the numbers of FiftyOne Brain's ``compute_representativeness``, which are high far from the centres.

    Parameters
    ----------
    vectors : (n, d) float
        One per sample (for regions of interest: the plain mean of a sample's region vectors).
    method : str
        One of ``METHODS``.
    n_clusters, radius, factor : int, float, float
        The peer's constants; the radius is Euclidean.

    Returns
    -------
    (n,) float64 in [0, 1]
        NaN where all members of a cluster coincide.

    Raises
    ------
    ValueError
        If the method is unknown, there are fewer samples than clusters, or a vector is not finite.

    Examples
    --------
    >>> representativeness_compat(np.array([[0.0], [1.0], [5.0]]), n_clusters=1).round(2).tolist()
    [0.67, 0.33, 1.0]
    """
    check_method(method)
    if len(vectors) < n_clusters:
        raise ValueError(
            f"n_samples={len(vectors)} should be >= n_clusters={n_clusters}: add samples or use mode default"
        )
    centers, labels = _kmeans(vectors, n_clusters, SEED)
    score = normalized(np.linalg.norm(vectors - centers[labels], axis=1), labels)
    if method == "cluster-center":
        return score
    weighted = _downweight_compat(vectors, score, radius, factor)
    return np.asarray(weighted / weighted.max(), np.float64)


def _downweight_compat(
    vectors: NDArray[np.floating], score: NDArray[np.float64], radius: float, factor: float
) -> NDArray[np.float64]:
    from scipy.spatial import cKDTree

    visited = np.empty(len(score), np.int64)
    # The peer's sort leaves the order of equal scores to the processor; here the lower position comes first.
    visited[np.argsort(-score, kind="stable")] = np.arange(len(score))
    pairs = cKDTree(vectors).query_pairs(radius, output_type="ndarray")
    first, second = pairs[:, 0], pairs[:, 1]
    shaded = distinct(np.where(visited[first] < visited[second], second, first))
    score = score.copy()
    score[shaded] *= factor
    return score
