"""Which class labels are wrong or missing, by out-of-fold predictions and by the labels of the neighbours.

Three views of a sample each give a distribution over its classes: models that did not train on it, its nearest
neighbours in embedding space, and a linear probe of the vectors that has not seen it. The views are joined as a weighted
product, one that errs more often counting for less, and the product tells how likely the label is wrong. Each view works
alone. A view doubts labels only with classes that it tells apart: what a model or an embedding says little about
contradicts every label, and proves nothing.

Notes
-----
Incremental: a sample's row depends on its own label and prediction, on its neighbours, their distances and labels, and
on the calibration; nothing else. The calibration is an input: a weight for each view and thresholds of the classes,
stored, and redone only on request or when the set has doubled. Given the same one, updates equal a rebuild exactly.

References
----------
Northcutt, Jiang and Chuang, Confident Learning: Estimating Uncertainty in Dataset Labels, 2021.
Heskes, Selecting weighting factors in logarithmic opinion pools, 1998.
Cohen, A Coefficient of Agreement for Nominal Scales, 1960.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brain_assets.methods.labels import label_noise
from brain_assets.methods.labels.hardness import softmax
from brain_assets.methods.labels.label_noise import LIKELY, LabelNoise

NONE = -1
"""The class number of a sample without label, and of a suggestion where there is none."""
NEIGHBORS = 32
SURE = 0.95
"""The probability that is enough to take a class to be there, however much surer a model usually is."""
UNFITTED = 0.5
"""The threshold of a class for which there are no samples to calibrate with."""
RARE = 0.2
"""The share of labels taken to be wrong before anything is known of them: a label is evidence of its own."""
FLOOR = 1e-6
"""The least probability a view may give a class, so that no single view is ever beyond doubt."""

PREDICTIONS, EMBEDDINGS, BUILTIN = 0, 1, 2
"""The views."""
VIEWS = 3
NO_VIEW, BOTH = -1, 2
"""Which views a sample has: a bit for each, less one, so that 0 and 1 are the first two alone and 2 is both."""


@dataclass(frozen=True)
class LabelCalibration:
    """What the judgement of one sample needs to know about the dataset.

    Attributes
    ----------
    weights : (3,) float64 in (0, 1]
        Of predictions, neighbours and the builtin model where a sample has several.
    thresholds : (7, c) float64 in [0, 1]
        The probability from which a class is confidently there, by each set of views that a sample may have. 1, which no
        probability reaches, for a class that the views do not know.
    noise : LabelNoise or None
        How labels come to be wrong; None while there are too few to tell.
    """

    weights: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    noise: LabelNoise | None = None

    @classmethod
    def default(cls, classes: int) -> "LabelCalibration":
        """Return what holds until there are samples to calibrate with: equal weights, and thresholds of one half.

        Examples
        --------
        >>> LabelCalibration.default(2).thresholds.shape
        (7, 2)
        """
        return cls(np.ones(VIEWS), np.full((2**VIEWS - 1, classes), UNFITTED))


@dataclass(frozen=True)
class LabelIssues:
    """The judgement of every label.

    Attributes
    ----------
    score : (n,) float64 in [0, 1]
        The probability that the label is wrong, by the noise of the calibration; without one that the suggested class is
        right, if either it or the given label is. For an unlabelled sample the probability of the suggested class. NaN where
        nothing is known.
    is_issue : (n,) bool
        The label is likely wrong, and the suggested class one that the views tell apart. Without a noise, and for an
        unlabelled sample: another class is confidently there, and outweighs the label, by Bayes, if one in five is wrong.
    suggested : (n,) int64
        The most probable class other than the given one; -1 where nothing is known.
    given_probability, suggested_probability : (n,) float64 in [0, 1], NaN where there is none
    view : (n,) int64
        Which views there are, a bit for each, less one: 0 predictions, 1 neighbours, 2 both, ..., -1 none.
    by_predictions, by_neighbors, by_builtin : (n,) bool
        Whether that view alone finds the suggested class likelier than the given one.
    """

    score: NDArray[np.float64]
    is_issue: NDArray[np.bool_]
    suggested: NDArray[np.int64]
    given_probability: NDArray[np.float64]
    suggested_probability: NDArray[np.float64]
    view: NDArray[np.int64]
    by_predictions: NDArray[np.bool_]
    by_neighbors: NDArray[np.bool_]
    by_builtin: NDArray[np.bool_]


def has_view(view: NDArray[np.int64], which: ArrayLike) -> NDArray[np.bool_]:
    """Return which samples have a view, by their sets of views.

    Examples
    --------
    >>> has_view(np.array([0, 1, 2, -1]), EMBEDDINGS)
    array([False,  True,  True, False])
    """
    return np.asarray((view + 1) >> np.asarray(which) & 1, dtype=bool)


def neighbor_votes(distances: ArrayLike, labels: ArrayLike, classes: int) -> NDArray[np.float64]:
    """Return the class distribution among the neighbours of each sample.

    A neighbour's vote falls with its distance, from 1 for the nearest to ``exp(-2)`` for the last. One more vote in all
    is spread over the classes, so that a class without vote is unlikely rather than impossible.

    Parameters
    ----------
    distances : (n, k) float, each row ascending, self excluded
        NaN or inf where a sample has fewer neighbours. Columns beyond the `NEIGHBORS`-th are ignored.
    labels : (n, k) int
        The given class of each neighbour; -1 where it has none.
    classes : int

    Returns
    -------
    (n, classes) float64, rows summing to 1
        NaN for a sample without a labelled neighbour.

    Raises
    ------
    ValueError
        If the shapes differ.

    Notes
    -----
    Incremental: a row changes with its neighbours and their labels.

    Examples
    --------
    >>> neighbor_votes([[0.1, 0.2]], [[0, 1]], classes=2).round(3)
    array([[0.702, 0.298]])
    """
    spans, votes_of = np.asarray(distances, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    if spans.shape != votes_of.shape or spans.ndim != 2:
        raise ValueError(f"distances and labels must share a shape (n, k), got {spans.shape} and {votes_of.shape}")
    spans, votes_of = spans[:, :NEIGHBORS], votes_of[:, :NEIGHBORS]
    weights = np.where(votes_of == NONE, 0.0, _kernel(spans))
    keys = np.arange(len(spans))[:, None] * classes + np.maximum(votes_of, 0)
    votes = np.bincount(keys.ravel(), weights.ravel(), minlength=len(spans) * classes).reshape(len(spans), classes)
    total = weights.sum(axis=1, keepdims=True)
    return np.where(total > 0, (votes + 1 / max(classes, 1)) / (total + 1), np.nan)


def from_confidence(labels: ArrayLike, confidence: ArrayLike, classes: int) -> NDArray[np.float64]:
    """Return the distributions of predictions of which only the class and its confidence are known.

    What the confidence leaves is spread evenly over the other classes, none of which becomes likelier than the predicted.

    Parameters
    ----------
    labels : (n,) int, the predicted classes
    confidence : (n,) float in [0, 1]
    classes : int

    Returns
    -------
    (n, classes) float64, rows summing to 1
        NaN where the confidence is.

    Examples
    --------
    >>> from_confidence([0, 1], [0.8, 0.1], classes=3).round(2)
    array([[0.8 , 0.1 , 0.1 ],
           [0.33, 0.33, 0.33]])
    """
    sure = np.maximum(np.asarray(confidence, dtype=np.float64), FLOOR)
    others = np.minimum((1 - sure) / max(classes - 1, 1), sure * (1 - FLOOR))
    spread = np.repeat(others[:, None], classes, axis=1)
    spread[np.arange(len(spread)), np.asarray(labels, dtype=np.int64)] = sure
    normed: NDArray[np.float64] = spread / spread.sum(axis=1, keepdims=True)
    return normed


def pooled(probabilities: ArrayLike, samples: ArrayLike, count: int) -> NDArray[np.float64]:
    """Return the mean log-probabilities of all predictions of each sample.

    Parameters
    ----------
    probabilities : (m, c) float, one row per prediction
    samples : (m,) int
        The sample of each prediction.
    count : int
        How many samples there are.

    Returns
    -------
    (count, c) float64, not normalised
        NaN for a sample without prediction.

    Examples
    --------
    >>> np.exp(pooled([[0.9, 0.1], [0.4, 0.6]], [0, 0], count=2)).round(2)
    array([[0.6 , 0.24],
           [ nan,  nan]])
    """
    rows, places = np.asarray(probabilities, dtype=np.float64), np.asarray(samples, dtype=np.int64)
    total, members = np.zeros((count, rows.shape[1])), np.bincount(places, minlength=count)
    np.add.at(total, places, np.log(np.maximum(rows, FLOOR)))
    return np.divide(total, members[:, None], out=np.full_like(total, np.nan), where=members[:, None] > 0)


def calibrate(
    given: ArrayLike, predicted: ArrayLike | None, votes: ArrayLike | None, builtin: ArrayLike | None = None
) -> LabelCalibration:
    """Return the weights of the views and the thresholds of the classes, from samples that have a label.

    A view's weight is inverse to how often its first choice differs from the given label; the best one has weight 1.
    A class' threshold is its mean probability among the samples that carry its label, `SURE` at most, or that from
    which on the samples do carry it more often than not, beyond chance, whichever is higher; .5 where none carries it. By
    as much as labels are taken to be wrong, they need to agree less often.

    Parameters
    ----------
    given : (n,) int, -1 where there is none
    predicted, builtin : (n, c) float, logits or log-probabilities of models that did not train on the sample, or None
        NaN where a sample has no prediction.
    votes : (n, c) float, from `neighbor_votes`, or None

    Returns
    -------
    LabelCalibration

    Raises
    ------
    ValueError
        If no view is given, or their shapes differ.

    Examples
    --------
    >>> votes = neighbor_votes([[0.1, 0.2]] * 10, [[0, 0]] * 5 + [[1, 1]] * 5, classes=2)
    >>> calibrate([0] * 5 + [1] * 5, None, votes).thresholds[1].round(3)
    array([0.766, 0.766])
    >>> calibrate([0, 1] * 5, None, votes).thresholds[1]
    array([1., 1.])
    """
    labels = np.asarray(given, dtype=np.int64)
    views = _views(predicted, votes, builtin)
    errors = [_error_rate(labels, view) for view in views]
    weights = np.array([min(errors) / error for error in errors])
    sets = [
        np.flatnonzero([has_view(np.array([views_]), one)[0] for one in range(VIEWS)]) for views_ in range(2**VIEWS - 1)
    ]
    probability, view = _join(views, weights)
    counted = (labels != NONE) & (view != NO_VIEW)
    noise = label_noise.fit(probability[counted], labels[counted])
    joined = (_join(_only(views, chosen), weights)[0] for chosen in sets)
    right = 1 - noise.share if noise else 1.0
    return LabelCalibration(weights, np.stack([_thresholds(labels, one, right) for one in joined]), noise)


def label_issues(
    given: ArrayLike,
    predicted: ArrayLike | None,
    votes: ArrayLike | None,
    calibration: LabelCalibration,
    builtin: ArrayLike | None = None,
) -> LabelIssues:
    """Return how likely each label is wrong, what it should be, and why.

    Parameters
    ----------
    given : (n,) int, class numbers; -1 where a sample has no label
    predicted, votes, builtin : (n, c) float or None, as for `calibrate`
    calibration : LabelCalibration

    Returns
    -------
    LabelIssues

    Raises
    ------
    ValueError
        If no view is given, or their shapes differ.

    Examples
    --------
    >>> found = label_issues([0, 0], np.log([[0.1, 0.9], [0.9, 0.1]]), None, LabelCalibration.default(2))
    >>> found.score.round(2), found.is_issue, found.suggested
    (array([0.9, 0.1]), array([ True, False]), array([1, 1]))
    """
    labels = np.asarray(given, dtype=np.int64)
    views = _views(predicted, votes, builtin)
    probability, view = _join(views, calibration.weights)
    own = _pick(probability, labels)
    suggested = _best_other(probability, labels)
    best = _pick(probability, suggested)
    confident = np.where(probability >= calibration.thresholds[view], probability, -1.0)
    score = np.where(labels == NONE, best, _odds(best, own))
    outweighed = (labels == NONE) | (score > 1 - RARE)
    is_issue = (confident.max(axis=1) >= 0) & (confident.argmax(axis=1) != labels) & outweighed
    if calibration.noise:
        score = np.where(labels == NONE, best, calibration.noise.wrong(probability, labels))
        told_apart = calibration.thresholds[view, suggested] < 1
        is_issue = np.where(labels == NONE, is_issue, (score >= LIKELY) & told_apart)
    by_predictions, by_neighbors, by_builtin = (_prefers(one, suggested, labels) for one in views)
    return LabelIssues(
        score=score,
        is_issue=is_issue,
        suggested=suggested,
        given_probability=own,
        suggested_probability=best,
        view=view,
        by_predictions=by_predictions,
        by_neighbors=by_neighbors,
        by_builtin=by_builtin,
    )


Views = tuple[NDArray[np.float64], ...]
"""Log-probabilities by each view, NaN where it says nothing."""


def _kernel(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a weight from 1 for the nearest of each row to ``exp(-2)`` for the last, 0 where there is none."""
    known = np.isfinite(distances)
    far = np.where(known, distances, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
    near = np.where(known, distances, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    span = np.where(far > near, far - near, 1.0)
    return np.where(known, np.exp(-2 * (np.where(known, distances, far) - near) / span), 0.0)


def _views(predicted: ArrayLike | None, votes: ArrayLike | None, builtin: ArrayLike | None) -> Views:
    """Return the log-probabilities by predictions, neighbours and the builtin model."""
    scored = [None if view is None else softmax(view) for view in (predicted, builtin)]
    shares = None if votes is None else np.asarray(votes, dtype=np.float64)
    found = (scored[0], shares, scored[1])
    shapes = {view.shape for view in found if view is not None}
    if len(shapes) != 1:
        raise ValueError(f"give predictions or votes of the same shape (n, c), got {sorted(shapes)}")
    unknown = np.full(shapes.pop(), np.nan)
    return tuple(unknown if view is None else np.log(np.maximum(view, FLOOR)) for view in found)


def _only(views: Views, chosen: NDArray[np.intp]) -> Views:
    """Return the chosen views; of a sample that lacks one of them, nothing is known."""
    unknown = np.any([np.isnan(views[place]).any(axis=1) for place in chosen], axis=0)
    return tuple(np.where(unknown[:, None] | (place not in chosen), np.nan, view) for place, view in enumerate(views))


def _join(views: Views, weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the probabilities of all views together, and which views a sample has."""
    known = np.stack([~np.isnan(view).any(axis=1) for view in views])
    several = known.sum(axis=0) > 1
    total = np.zeros(views[0].shape)
    for weight, view in zip(weights, views, strict=True):
        total += np.where(several, weight, 1.0)[:, None] * np.nan_to_num(view)
    joined = softmax(total)
    joined[~known.any(axis=0)] = np.nan
    return joined, np.asarray((known * (1 << np.arange(VIEWS))[:, None]).sum(axis=0) - 1, dtype=np.int64)


def _error_rate(labels: NDArray[np.int64], view: NDArray[np.float64]) -> float:
    """Return how often a view's first choice differs from the label, as if one in two more had differed."""
    counted = (labels != NONE) & ~np.isnan(view).any(axis=1)
    wrong = int((view[counted].argmax(axis=1) != labels[counted]).sum())
    return (wrong + 1) / (int(counted.sum()) + 2)


def _thresholds(labels: NDArray[np.int64], probability: NDArray[np.float64], right: float) -> NDArray[np.float64]:
    counted = (labels != NONE) & ~np.isnan(probability).any(axis=1)
    carries = labels[counted, None] == np.arange(probability.shape[1])
    known = probability[counted]
    usual = (known * carries).sum(axis=0) / np.maximum(carries.sum(axis=0), 1)
    fitted = np.maximum(np.minimum(usual, SURE), _believed_from(carries, known, right))
    thresholds: NDArray[np.float64] = np.where(carries.any(axis=0), fitted, UNFITTED)
    return thresholds


def _believed_from(carries: NDArray[np.bool_], probability: NDArray[np.float64], right: float) -> NDArray[np.float64]:
    """Return the probability of each class from which on more than half of what chance leaves carry it; 1 for none.

    Chance is the share of all samples that carry the class. One in two more samples is taken to, as for `_error_rate`. Where
    only a share of the labels is right, no more than that share of the half is asked for.
    """
    order = np.argsort(-probability, axis=0, kind="stable")
    falling = np.take_along_axis(probability, order, axis=0)
    count = np.arange(1, len(order) + 1)[:, None]
    hits = np.take_along_axis(carries, order, axis=0).cumsum(axis=0)
    chance = hits[-1:] / max(len(order), 1)
    last_of_equals = np.diff(falling, axis=0, append=-1.0) < 0
    believed = last_of_equals & ((hits + right) / (count + 2) > chance + right * (1 - chance) / 2)
    lowest: NDArray[np.float64] = np.where(believed, falling, 1.0).min(axis=0, initial=1.0)
    return lowest


def _pick(values: NDArray[np.float64], classes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return each row's value of one class, NaN where the class is -1."""
    picked = np.take_along_axis(values, np.maximum(classes, 0)[:, None], axis=1)[:, 0]
    return np.where(classes == NONE, np.nan, picked)


def _best_other(probability: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the most probable class other than the given one, -1 where nothing is known."""
    others = np.where(np.arange(probability.shape[1]) == labels[:, None], -1.0, probability)
    unknown = np.isnan(probability).any(axis=1) | (others.max(axis=1) < 0)
    return np.where(unknown, NONE, others.argmax(axis=1))


def _odds(best: NDArray[np.float64], own: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of the best other class in both; 0 where there is no other class."""
    other = np.where(np.isnan(best), 0.0, best)
    odds: NDArray[np.float64] = other / (other + own)
    return odds


def _prefers(view: NDArray[np.float64], suggested: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether a view alone finds the suggested class likelier than the given one, or any for an unlabelled."""
    own = np.where(labels == NONE, -np.inf, _pick(view, labels))
    return np.asarray(_pick(view, suggested) > own, dtype=bool)
