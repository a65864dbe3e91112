"""A small classifier on vectors that somebody else's model made: what the labels of others say of each sample.

Linear discriminant analysis on the strongest components of the vectors, one head per fold, each fitted without that
fold. It is closed: sums over samples and one decomposition, so that neither the order of samples nor an optimiser decides
anything, and a hundred thousand samples of a thousand classes take a minute.

Notes
-----
Given a fit, a sample's scores follow from its vector and its fold alone. The fit moves only when it is made anew.

References
----------
Friedman, Regularized Discriminant Analysis, 1989.
Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, 2017.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FOLDS = 5
COMPONENTS = 256
SHRINKAGES = (0.03, 0.1, 0.3, 0.6)
"""Shares of the covariance within classes that are replaced by a sphere of the same size; the likeliest one is chosen."""
TEMPERATURES = np.geomspace(0.05, 2.0, 30)
"""What scores are multiplied by: the discriminant takes components for more independent than they are."""
BLOCK = 4096
CELLS = 2_000_000
"""Samples times classes by which shrinkage and temperature are chosen."""
UNSEEN = -1e4
"""The bias of a class of which a head has seen no sample."""
NEGLIGIBLE = 1e-9
"""The share of the greatest variance below which a component is rounding."""
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class LinearProbe:
    """Heads on the strongest components of vectors of unit length, one per fold.

    Attributes
    ----------
    mean : (d,) float64
    axes : (d, p) float64
        Columns of unit length, the strongest component first.
    weights : (f, p, c) float64
        The head of each fold, which has seen none of its samples.
    biases : (f, c) float64
    shrinkage : float in [0, 1]
    temperature : float, > 0
        What scores of all heads were multiplied by.
    accuracy : float in [0, 1]
        Share of the labels that it was fitted to that heads name which have not seen them.
    """

    mean: Matrix
    axes: Matrix
    weights: Matrix
    biases: Matrix
    shrinkage: float
    temperature: float
    accuracy: float

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which classes the head of each fold has seen: (f, c) bool."""
        return np.asarray(self.biases > UNSEEN)


@dataclass(frozen=True)
class _Sums:
    """What a head is made of: per class the number of samples and their sum, and the products of all components."""

    counts: Matrix
    totals: Matrix
    products: Matrix

    def __sub__(self, other: "_Sums") -> "_Sums":
        return _Sums(self.counts - other.counts, self.totals - other.totals, self.products - other.products)


def fit(
    vectors: NDArray[np.floating], labels: NDArray[np.int64], folds: NDArray[np.int64], classes: int
) -> LinearProbe:
    """Return a probe of labelled vectors.

    Parameters
    ----------
    vectors : (n, d) float
        Of any length; they are compared by direction. Of many, shrinkage and temperature are chosen by the first: give them
        in an order that has to do with nothing.
    labels : (n,) int64, in [0, classes)
    folds : (n,) int64, in [0, `FOLDS`)
        Copies belong into one fold.
    classes : int, 2 or more

    Returns
    -------
    LinearProbe
        A class that no other fold has is excluded by that fold's head, which knows nothing of it.

    Raises
    ------
    ValueError
        If there is no sample, or lengths differ.

    Examples
    --------
    >>> vectors = np.repeat([[1.0, 0.1], [0.1, 1.0]], 10, axis=0) + np.arange(20)[:, None] % 5 / 50
    >>> labels, folds = np.repeat([0, 1], 10), np.arange(20) % FOLDS
    >>> probe = fit(vectors, labels, folds, 2)
    >>> bool((scores(probe, vectors, folds).argmax(axis=1) == labels).all())
    True
    """
    if not len(vectors) or not len(vectors) == len(labels) == len(folds):
        raise ValueError(f"{len(vectors)} vectors, {len(labels)} labels and {len(folds)} folds")
    mean, axes = _components(vectors)
    projected = _projected(vectors, mean, axes)
    parts = [_sums(projected[folds == fold], labels[folds == fold], classes) for fold in range(FOLDS)]
    whole = _sums(projected, labels, classes)
    rows = slice(max(CELLS // classes, FOLDS))
    held_out = projected[rows], labels[rows], folds[rows]
    candidates = [[_head(whole - part, share) for part in parts] for share in SHRINKAGES]
    losses = [_best_temperature(heads, *held_out) for heads in candidates]
    best = min(range(len(SHRINKAGES)), key=lambda place: losses[place])
    temperature = losses[best][1]
    weights, biases = (np.stack(part) for part in zip(*candidates[best], strict=True))
    named = _raw(held_out[0], held_out[2], weights, biases).argmax(axis=1)
    accuracy = float((named == held_out[1]).mean())
    scaled = np.where(biases > UNSEEN, biases * temperature, UNSEEN)
    return LinearProbe(mean, axes, weights * temperature, scaled, SHRINKAGES[best], temperature, accuracy)


def scores(probe: LinearProbe, vectors: NDArray[np.floating], folds: NDArray[np.int64]) -> Matrix:
    """Return log-probabilities of the classes, by the head that has not seen the sample's fold.

    Parameters
    ----------
    probe : LinearProbe
    vectors : (n, d) float
    folds : (n,) int64, in [0, `FOLDS`)

    Returns
    -------
    (n, c) float64, <= 0
    """
    return _normalized(_raw(_projected(vectors, probe.mean, probe.axes), folds, probe.weights, probe.biases))


def _components(vectors: NDArray[np.floating]) -> tuple[Matrix, Matrix]:
    """Return the mean direction, and the strongest components of what directions differ by."""
    count, width = vectors.shape
    mean = sum((rows.sum(axis=0) for rows in _unit_blocks(vectors)), np.zeros(width)) / count
    products = np.zeros((width, width))
    for rows in _unit_blocks(vectors):
        products += (rows - mean).T @ (rows - mean)
    variances, axes = np.linalg.eigh(products)
    # A quarter of the samples: more components than that are fitted to chance.
    kept = min(COMPONENTS, max(count // 4, 1), max(int((variances > NEGLIGIBLE * variances[-1]).sum()), 1))
    return mean, np.ascontiguousarray(axes[:, ::-1][:, :kept])


def _unit_blocks(vectors: NDArray[np.floating]) -> Iterator[Matrix]:
    """Yield vectors of unit length in double precision, a block at a time; one without direction stays zero."""
    for first in range(0, len(vectors), BLOCK):
        rows = vectors[first : first + BLOCK].astype(np.float64)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        yield np.divide(rows, lengths, out=rows, where=lengths > 0)


def _projected(vectors: NDArray[np.floating], mean: Matrix, axes: Matrix) -> Matrix:
    return np.concatenate([np.zeros((0, axes.shape[1])), *((rows - mean) @ axes for rows in _unit_blocks(vectors))])


def _sums(projected: Matrix, labels: NDArray[np.int64], classes: int) -> _Sums:
    totals = np.zeros((classes, projected.shape[1]))
    np.add.at(totals, labels, projected)
    return _Sums(np.bincount(labels, minlength=classes).astype(np.float64), totals, projected.T @ projected)


def _head(sums: _Sums, shrinkage: float) -> tuple[Matrix, Matrix]:
    """Return weights and biases of the discriminant."""
    count, width = max(sums.counts.sum(), 1.0), sums.totals.shape[1]
    means = sums.totals / np.maximum(sums.counts, 1)[:, None]
    within = (sums.products - sums.totals.T @ means) / count
    sphere = max(np.trace(within) / width, np.finfo(np.float64).tiny)
    covariance = (1 - shrinkage) * within + shrinkage * sphere * np.eye(width)
    weights = np.linalg.solve(covariance, means.T)
    biases = np.log(np.maximum(sums.counts, 1) / count) - 0.5 * (means.T * weights).sum(axis=0)
    return weights, np.where(sums.counts > 0, biases, UNSEEN)


def _raw(projected: Matrix, folds: NDArray[np.int64], weights: Matrix, biases: Matrix) -> Matrix:
    found = np.empty((len(projected), biases.shape[1]))
    for fold in range(FOLDS):
        members = folds == fold
        found[members] = projected[members] @ weights[fold] + biases[fold]
    return found


def _normalized(raw: Matrix) -> Matrix:
    falling = raw - raw.max(axis=1, keepdims=True)
    normed: Matrix = falling - np.log(np.exp(falling).sum(axis=1, keepdims=True))
    return normed


def _best_temperature(
    heads: list[tuple[Matrix, Matrix]], projected: Matrix, labels: NDArray[np.int64], folds: NDArray[np.int64]
) -> tuple[float, float]:
    """Return how unlikely the labels are to heads that have not seen them, at the temperature where least, and it."""
    weights, biases = (np.stack(part) for part in zip(*heads, strict=True))
    fair = np.flatnonzero((biases > UNSEEN)[folds, labels])
    raw = _raw(projected[fair], folds[fair], weights, biases)
    if not len(fair):
        return 0.0, 1.0
    own = np.arange(len(fair)), labels[fair]
    return min((float(-_normalized(raw * factor)[own].mean()), float(factor)) for factor in TEMPERATURES)
