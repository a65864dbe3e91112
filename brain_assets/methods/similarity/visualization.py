"""Maps of a dataset in two or three dimensions, one point per sample, and how far they can be trusted.

Maps from a neighbour graph, which samples can join later, are in ``layout``; here are those from vectors.
"""

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from brain_assets.methods.similarity.distances import finite_rows

METHODS = ("umap", "tsne", "pca", "manual")
SEED = 51
# Rows that are read at once: of all of a million vectors a second matrix would be gigabytes.
ROWS = 1 << 14
# Distances below so much of what they are the difference of may be rounding.
ROUNDING = 1e-5
# Directions that are followed beside those that are wanted, and how often.
SPARE_AXES, POWER_STEPS = 10, 10
Blocks: TypeAlias = Iterator[NDArray[np.floating]]
FEWEST_FOR_TSNE = 5
FEWEST_FOR_UMAP = 6


class Projection(NamedTuple):
    """Principal axes; a fitted state that places new samples without moving old ones.

    Attributes
    ----------
    mean : (d,) float
    components : (dims, d) float, orthonormal rows, by falling variance; rows of zeros where there are not so many
    """

    mean: NDArray[np.floating]
    components: NDArray[np.floating]


@dataclass(frozen=True)
class TsneSettings:
    """How a t-SNE map is made.

    Attributes
    ----------
    perplexity : float, lowered to a third of the other samples where it is more
    learning_rate : float, a 48th of the number of samples where None (Belkina et al., 2019), good for small sets too
    iterations : int
    pca_dims : int, principal components that stand for the vectors
    metric : str, of scikit-learn
    seed : int
    """

    perplexity: float = 30.0
    learning_rate: float | None = None
    iterations: int = 1000
    pca_dims: int = 50
    metric: str = "euclidean"
    seed: int = SEED


@dataclass(frozen=True)
class UmapSettings:
    """How umap-learn makes a map.

    Attributes
    ----------
    n_neighbors : int, a sample itself included; lowered to the number of samples where it is more
    min_dist : float
    metric : str, of umap-learn
    seed : int
    further : mapping, parameters by umap-learn's own names
    """

    n_neighbors: int = 15
    min_dist: float = 0.1
    metric: str = "cosine"
    seed: int = SEED
    further: Mapping[str, Any] = field(default_factory=dict)


PEER_TSNE = TsneSettings(learning_rate=200.0)


def check_dims(dims: int) -> None:
    """Raise ValueError unless a map of so many dimensions can be shown.

    Examples
    --------
    >>> check_dims(3)
    """
    if dims not in (2, 3):
        raise ValueError(f"a map has 2 or 3 dimensions, got {dims}")


def fit_pca(vectors: NDArray[np.floating], dims: int = 2, seed: int = SEED) -> Projection:
    """Return the mean and the first principal axes.

    Parameters
    ----------
    vectors : (n, d) float
        Rows that are not finite are left out.
    dims : int
    seed : int
        Of the randomised decomposition (Halko, Martinsson and Tropp, 2011; scikit-learn).

    Returns
    -------
    Projection
        Each axis points where its largest loading is positive. The same for any number of threads.

    Examples
    --------
    >>> fit_pca(np.array([[0.0, 5.0], [-2.0, 5.0], [2.0, 5.0]])).components.round(2)[0].tolist()
    [1.0, 0.0]
    """
    from threadpoolctl import threadpool_limits

    known = finite_rows(vectors)
    count = int(np.count_nonzero(known))
    mean = _mean(vectors, known)
    components = np.zeros((dims, vectors.shape[1]), np.float64)
    available = min(dims, count, vectors.shape[1])
    if available:
        with threadpool_limits(1):
            axes = _principal_axes(partial(_centered_blocks, vectors, known, mean), vectors.shape[1], available, seed)
        largest = np.abs(axes).argmax(axis=1)
        components[: len(axes)] = axes * np.sign(axes[np.arange(len(axes)), largest])[:, None]
    return Projection(mean, components)


def _principal_axes(blocks: Callable[[], Blocks], width: int, wanted: int, seed: int) -> NDArray[np.float64]:
    """Return the axes of largest variance of centred rows, (wanted, width), that are read once a step; none where there is none.

    Subspace iteration from random directions, a few more than are wanted (Halko, Martinsson and Tropp, 2011, section 4.5).
    """
    basis = np.random.default_rng(seed).normal(size=(width, min(wanted + SPARE_AXES, width)))
    for _ in range(POWER_STEPS):
        image = np.zeros_like(basis)
        for block in blocks():
            image += block.T @ (block @ basis.astype(block.dtype))
        if not image.any():
            return np.zeros((0, width))
        basis = np.linalg.qr(image)[0]
    spread = np.zeros((basis.shape[1], basis.shape[1]))
    for block in blocks():
        along = block @ basis.astype(block.dtype)
        spread += along.T @ along
    # Ascending by variance.
    return np.ascontiguousarray((basis @ np.linalg.eigh(spread)[1][:, ::-1][:, :wanted]).T)


def _mean(vectors: NDArray[np.floating], known: NDArray[np.bool_]) -> NDArray[np.floating]:
    """Return the mean of the rows that are known, zeros where none is."""
    total = np.zeros(vectors.shape[1])
    for block in _centered_blocks(vectors, known, 0.0):
        total += block.sum(axis=0, dtype=np.float64)
    mean: NDArray[np.floating] = (total / max(int(known.sum()), 1)).astype(vectors.dtype)
    return mean


def _centered_blocks(
    vectors: NDArray[np.floating], known: NDArray[np.bool_], mean: NDArray[np.floating] | float
) -> Blocks:
    """Yield the rows that are known without their mean, so many as are held at once."""
    for start in range(0, len(vectors), ROWS):
        part = slice(start, start + ROWS)
        yield vectors[part][known[part]] - mean


def project(vectors: NDArray[np.floating], projection: Projection) -> NDArray[np.float64]:
    """Return the coordinates of vectors along the axes of a projection.

    Parameters
    ----------
    vectors : (n, d) float
    projection : Projection

    Returns
    -------
    (n, dims) float64
        NaN for vectors that are not finite.

    Raises
    ------
    ValueError
        If the dimensions differ, as after a change of the embedding model.

    Examples
    --------
    >>> project(np.array([[3.0, 4.0]]), Projection(np.ones(2), np.eye(2))).tolist()
    [[2.0, 3.0]]
    """
    if vectors.shape[1] != len(projection.mean):
        axes = len(projection.mean)
        raise ValueError(f"vectors have {vectors.shape[1]} dimensions but the projection {axes}: refit it")
    known = finite_rows(vectors)
    points = np.full((len(vectors), len(projection.components)), np.nan)
    along = [block @ projection.components.T for block in _centered_blocks(vectors, known, projection.mean)]
    points[known] = np.concatenate([np.zeros((0, points.shape[1])), *along])
    return points


def tsne(vectors: NDArray[np.floating], dims: int = 2, settings: TsneSettings | None = None) -> NDArray[np.float32]:
    """Return a t-SNE map (van der Maaten and Hinton, 2008; Barnes-Hut, by scikit-learn).

    Parameters
    ----------
    vectors : (n, d) float
    dims : int, 2 or 3
    settings : TsneSettings, optional

    Returns
    -------
    (n, dims) float32
        NaN for vectors that are not finite; principal components for fewer than five samples, or if all coincide.
        With ``PEER_TSNE`` and at least 91 samples, the numbers of FiftyOne Brain. One thread.

    Examples
    --------
    >>> tsne(np.zeros((3, 8))).tolist()
    [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    """
    check_dims(dims)
    chosen = settings or TsneSettings()
    finite = np.isfinite(vectors).all(axis=1)
    points = np.full((len(vectors), dims), np.nan, np.float32)
    usable = vectors[finite]
    if len(usable) < FEWEST_FOR_TSNE or not (usable != usable[0]).any():
        points[finite] = project(usable, fit_pca(usable, dims, chosen.seed))
    else:
        points[finite] = _tsne(usable, dims, chosen)
    return points


def _tsne(vectors: NDArray[np.floating], dims: int, settings: TsneSettings) -> NDArray[np.float32]:
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    reduced = min(settings.pca_dims, *vectors.shape)
    with threadpool_limits(1):
        if reduced >= dims:
            reducer = PCA(reduced, svd_solver="randomized", random_state=settings.seed)
            vectors = reducer.fit_transform(vectors)
        model = TSNE(
            n_components=dims,
            perplexity=min(settings.perplexity, (len(vectors) - 1) / 3),
            learning_rate=settings.learning_rate or len(vectors) / 48,
            max_iter=settings.iterations,
            init="pca" if vectors.shape[1] >= dims else "random",
            metric=settings.metric,
            random_state=settings.seed,
        )
        return np.asarray(model.fit_transform(vectors.astype(np.float32)), np.float32)


def manual(points: NDArray[np.floating] | None, count: int) -> NDArray[np.float64]:
    """Return the points that the user gives, once they are known to be a map.

    Parameters
    ----------
    points : (n, 2) or (n, 3) float
    count : int
        Samples.

    Returns
    -------
    (n, dims) float64

    Raises
    ------
    ValueError
        If they are missing, not one row per sample, not of two or three columns, or not finite.

    Examples
    --------
    >>> manual(np.array([[1, 2]]), 1).tolist()
    [[1.0, 2.0]]
    """
    if points is None:
        raise ValueError("method 'manual' needs points: give one row of 2 or 3 coordinates per sample")
    return _checked(points, count, "points")


def _checked(points: Any, count: int, name: str) -> NDArray[np.float64]:
    found = np.asarray(points, np.float64)
    if found.ndim != 2 or len(found) != count or found.shape[1] not in (2, 3):
        raise ValueError(f"{name} must have shape ({count}, 2) or ({count}, 3), got {found.shape}")
    if not np.isfinite(found).all():
        raise ValueError(f"{name} must be finite, but row {np.flatnonzero(~np.isfinite(found).all(axis=1))[0]} is not")
    return found


def custom(
    reducer: Callable[..., Any], vectors: NDArray[np.floating], dims: int = 2, seed: int = SEED
) -> NDArray[np.float64]:
    """Return the map of a reducer that the user names.

    Parameters
    ----------
    reducer : callable
        A class with ``fit_transform`` in the manner of scikit-learn, made with ``n_components`` and, if it takes one,
        ``random_state``; an object of such a class, used as it is; or a function of (vectors, dims), or of the vectors
        alone.
    vectors : (n, d) float
    dims : int, 2 or 3
    seed : int

    Returns
    -------
    (n, dims) float64
        NaN for vectors that are not finite; the reducer does not see them.

    Raises
    ------
    ValueError
        If the reducer does not return one finite row of ``dims`` numbers per vector.

    Examples
    --------
    >>> custom(lambda vectors, dims: vectors[:, :dims], np.array([[1.0, 2.0, 3.0]])).tolist()
    [[1.0, 2.0]]
    """
    check_dims(dims)
    finite = np.isfinite(vectors).all(axis=1)
    points = np.full((len(vectors), dims), np.nan)
    if finite.any():
        name = f"what {getattr(reducer, '__name__', reducer)} returns"
        found = _checked(_reduced(reducer, vectors[finite], dims, seed), int(finite.sum()), name)
        if found.shape[1] != dims:
            raise ValueError(f"{name} must have {dims} columns, got {found.shape[1]}")
        points[finite] = found
    return points


def _reduced(reducer: Callable[..., Any], vectors: NDArray[np.floating], dims: int, seed: int) -> Any:
    if not hasattr(reducer, "fit_transform"):
        return reducer(vectors, dims) if _takes_two(reducer) else reducer(vectors)
    if not isinstance(reducer, type):
        return reducer.fit_transform(vectors)
    seeded = {"random_state": seed} if "random_state" in inspect.signature(reducer).parameters else {}
    return reducer(n_components=dims, **seeded).fit_transform(vectors)


def _takes_two(reducer: Callable[..., Any]) -> bool:
    """Return whether a function can be called with vectors and dims; compiled ones that do not say are taken to."""
    try:
        inspect.signature(reducer).bind(None, None)
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def trustworthiness(
    vectors: NDArray[np.floating],
    positions: NDArray[np.floating],
    n_neighbors: int = 15,
    max_rows: int = 1000,
) -> float:
    """Return how far neighbours in the map are neighbours among the vectors as well.

    Parameters
    ----------
    vectors : (n, d) float
        Compared by Euclidean distance: give unit vectors if cosine distance is meant.
    positions : (n, dims) float
        Rows that are not finite in either are left out.
    n_neighbors : int
        Fewer than half of the samples are used.
    max_rows : int
        Of more samples than this, so many evenly spaced ones are looked at.

    Returns
    -------
    float in [0, 1], 1 = entirely
        1 for fewer than four samples, where no order can be wrong.

    Notes
    -----
    Venna and Kaski, Neighborhood preservation in nonlinear projection methods, 2001; on all rows the number of
    scikit-learn's ``trustworthiness``.

    Examples
    --------
    >>> vectors = np.arange(12.0)[:, None]
    >>> trustworthiness(vectors, np.hstack([vectors, -vectors]), n_neighbors=3)
    1.0
    """
    known = finite_rows(vectors) & finite_rows(positions)
    if not known.all():
        vectors, positions = vectors[known], positions[known]
    count = len(vectors)
    k = min(n_neighbors, (count - 1) // 2)
    if k < 1 or count < 4:
        return 1.0
    rows = np.unique(np.linspace(0, count - 1, min(count, max_rows)).astype(np.int64))
    excess = np.maximum(_ranks(vectors, rows, _nearest_on_map(positions, rows, k)) - k, 0).sum()
    return float(1 - 2 * excess / (len(rows) * k * (2 * count - 3 * k - 1)))


def _nearest_on_map(positions: NDArray[np.floating], rows: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Return the ``k`` nearest of some points, (r, k), themselves left out."""
    from scipy.spatial import KDTree

    found = KDTree(positions).query(positions[rows], k + 1)[1]
    # Where more points than are asked for lie in one place, a point need not be among its own nearest.
    order = np.argsort(found == rows[:, None], axis=1, kind="stable")
    return np.asarray(np.take_along_axis(found, order, axis=1)[:, :k], np.int64)


def _ranks(vectors: NDArray[np.floating], rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return by how many vectors, itself included, each of ``others``, (r, k), is among the nearest of its row; from 1."""
    everyone = np.ones(len(vectors), np.bool_)
    mean = _mean(vectors, everyone)
    asked = vectors[rows] - mean
    length = _lengths(asked)
    near = np.empty(others.shape, vectors.dtype)
    for slot, listed in enumerate(others.T):
        there = vectors[listed] - mean
        apart = _lengths(there - asked)
        near[:, slot] = np.where(apart <= ROUNDING * (length + _lengths(there)), 0, apart)
    # Of the others themselves the order is known; they are not counted once more below, where distances are rounded otherwise.
    ranks: NDArray[np.int64] = 1 + (near[:, None, :] < near[:, :, None]).sum(axis=2, dtype=np.int64)
    for number, block in enumerate(_centered_blocks(vectors, everyone, mean)):
        start = number * ROWS
        totals = length[:, None] + _lengths(block)
        squares = totals - 2 * (asked @ block.T)
        squares[squares <= ROUNDING * totals] = 0
        for known in (rows[:, None], others):
            row, column = np.nonzero((known >= start) & (known < start + len(block)))
            squares[row, known[row, column] - start] = np.inf
        for slot in range(others.shape[1]):
            ranks[:, slot] += np.count_nonzero(squares < near[:, slot, None], axis=1)
    return ranks


def _lengths(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the squared length of each row."""
    return np.asarray(np.einsum("ij,ij->i", vectors, vectors))


def umap_learn(
    vectors: NDArray[np.floating], dims: int = 2, settings: UmapSettings | None = None
) -> NDArray[np.float32]:
    """Return the map that umap-learn makes (McInnes, Healy and Melville, 2018).

    Parameters
    ----------
    vectors : (n, d) float
    dims : int, 2 or 3
    settings : UmapSettings, optional

    Returns
    -------
    (n, dims) float32
        NaN for vectors that are not finite; principal components for fewer than six samples, or if all coincide.

    Notes
    -----
    Slow to import and to compile, in every process: ``layout.umap`` makes a map from neighbours that are known.

    Examples
    --------
    >>> umap_learn(np.zeros((3, 8))).tolist()
    [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    """
    check_dims(dims)
    chosen = settings or UmapSettings()
    finite = np.isfinite(vectors).all(axis=1)
    points = np.full((len(vectors), dims), np.nan, np.float32)
    usable = vectors[finite]
    if len(usable) < FEWEST_FOR_UMAP or not (usable != usable[0]).any():
        points[finite] = project(usable, fit_pca(usable, dims, chosen.seed))
    else:
        options: dict[str, Any] = {"min_dist": chosen.min_dist, "metric": chosen.metric, "random_state": chosen.seed}
        options |= chosen.further
        points[finite] = umap_compat(usable, dims, n_neighbors=min(chosen.n_neighbors, len(usable)), **options)
    return points


def umap_compat(
    vectors: NDArray[np.floating], dims: int = 2, joining: NDArray[np.floating] | None = None, **options: Any
) -> NDArray[np.float32]:
    """Return the map of umap-learn with FiftyOne Brain's settings.

    Parameters
    ----------
    vectors : (n, d) float
    dims : int
    joining : (m, d) float, optional
        Placed afterwards by ``transform``.
    **options
        Of ``umap.UMAP``; else 15 neighbours, Euclidean distance, min_dist .1.

    Returns
    -------
    (n + m, dims) float32

    Notes
    -----
    Slow to import and to compile, in every process.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from umap import UMAP

        settings = {"n_neighbors": 15, "metric": "euclidean", "min_dist": 0.1, "random_state": SEED, "n_jobs": 1}
        model = UMAP(n_components=dims, **(settings | options)).fit(vectors)
        joined = [] if joining is None else [model.transform(joining)]
    return np.concatenate([np.asarray(model.embedding_, np.float32), *joined])
