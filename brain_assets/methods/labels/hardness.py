"""How unsure a model is of what it predicts."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def softmax(logits: ArrayLike) -> NDArray[np.float64]:
    """Return the class probabilities that belong to logits.

    Parameters
    ----------
    logits : (n, c) float
        A log-probability is a logit too; ``-inf`` is probability 0.

    Returns
    -------
    (n, c) float64, each row summing to 1
        NaN throughout a row that holds a NaN or ``+inf``, or nothing but ``-inf``.

    Raises
    ------
    ValueError
        If ``logits`` is not two-dimensional.

    Examples
    --------
    >>> softmax([[0.0, 0.0], [0.0, -np.inf]])
    array([[0.5, 0.5],
           [1. , 0. ]])
    """
    values = np.asarray(logits, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(f"logits must have shape (samples, classes), got {values.shape}")
    if not values.size:
        return np.full(values.shape, np.nan)
    top = values.max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        weights = np.exp(values - np.where(np.isfinite(top), top, np.nan))
        probabilities: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return probabilities


def entropy(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Shannon entropy of each row, in nats.

    Parameters
    ----------
    probabilities : (n, c) float64, rows summing to 1

    Returns
    -------
    (n,) float64 in [0, ln c]
        NaN where the row holds a NaN, or where there is no class.

    References
    ----------
    Shannon, A Mathematical Theory of Communication, 1948.

    Examples
    --------
    >>> entropy(np.array([[1.0, 0.0], [0.5, 0.5]])).round(4)
    array([0.    , 0.6931])
    """
    if not probabilities.shape[1]:
        return np.full(len(probabilities), np.nan)
    logarithms = np.log(probabilities, out=np.zeros_like(probabilities), where=probabilities > 0)
    nats = np.maximum(-(probabilities * logarithms).sum(axis=1), 0.0)
    return np.asarray(nats, dtype=np.float64)


def hardness(logits: ArrayLike) -> NDArray[np.float64]:
    """Return how hard each sample is: the entropy of the softmax of its logits.

    Parameters
    ----------
    logits : (n, c) float
        One row per prediction. Log-probabilities give the same result.

    Returns
    -------
    (n,) float64, nats in [0, ln c]
        NaN where the logits are unknown (see `softmax`).

    Notes
    -----
    Incremental: each row depends on its own logits only; equal to a rebuild exactly.

    References
    ----------
    The formula of FiftyOne Brain's ``compute_hardness``.

    Examples
    --------
    >>> hardness([[0.0, 0.0], [100.0, 0.0]]).round(4)
    array([0.6931, 0.    ])
    """
    return entropy(softmax(logits))


def hardness_from_confidence(confidence: ArrayLike, classes: int) -> NDArray[np.float64]:
    """Return the hardness of predictions of which only the confidence is known.

    The fallback for predictions without logits: the largest entropy a distribution over ``classes`` can have when its
    largest entry is ``confidence``, the rest being spread evenly. It is an upper bound of `hardness`, ranks samples by
    confidence alone, and is comparable with `hardness` only in order.

    Parameters
    ----------
    confidence : (n,) float, probability of the predicted class in [0, 1]
        Below ``1 / classes`` no class could have been the largest: taken as ``1 / classes``.
    classes : int, at least 1

    Returns
    -------
    (n,) float64, nats in [0, ln classes]
        NaN where the confidence is NaN or outside [0, 1].

    Raises
    ------
    ValueError
        If ``classes`` is less than 1.

    Notes
    -----
    Incremental: each row depends on its own confidence and on the number of classes.

    Examples
    --------
    >>> hardness_from_confidence([1.0, 0.5, 0.1], classes=2).round(4)
    array([0.    , 0.6931, 0.6931])
    """
    if classes < 1:
        raise ValueError(f"classes must be at least 1, got {classes}")
    given = np.asarray(confidence, dtype=np.float64)
    known = np.where((given >= 0) & (given <= 1), given, np.nan)
    top = np.maximum(known, 1 / classes)
    rest = (1 - top) / max(classes - 1, 1)
    return _surprisal(top) + (classes - 1) * _surprisal(rest)


def _surprisal(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    logarithm = np.log(probability, out=np.zeros_like(probability), where=probability != 0)
    return np.asarray(-probability * logarithm + 0.0, dtype=np.float64)


def mean_over_models(values: ArrayLike, samples: ArrayLike, count: int) -> NDArray[np.float64]:
    """Return each sample's mean over the models that have a value for it.

    Parameters
    ----------
    values : (m,) float, one per sample and model; NaN is left out
    samples : (m,) int, the sample's position in [0, count)
    count : int, number of samples

    Returns
    -------
    (count,) float64
        NaN for a sample no model has a value for.

    Examples
    --------
    >>> mean_over_models([1.0, 3.0, np.nan], [0, 0, 1], count=2)
    array([ 2., nan])
    """
    numbers, positions = np.asarray(values, dtype=np.float64), np.asarray(samples, dtype=np.intp)
    known = ~np.isnan(numbers)
    total = np.bincount(positions[known], numbers[known], minlength=count)
    models = np.bincount(positions[known], minlength=count)
    mean: NDArray[np.float64] = np.divide(total, models, out=np.full(count, np.nan), where=models > 0)
    return mean
