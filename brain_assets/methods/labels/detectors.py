"""How far an object detector can be trusted, by confidence and class."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from brain_assets.methods.labels.matching import NONE, confidences, match
from brain_assets.methods.labels.objects import Floats, Objects

PRIOR = 3.0
"""How many objects a class needs before its own figures outweigh those of all classes."""


@dataclass(frozen=True)
class DetectorProfile:
    """How far a detector can be trusted: the calibration of `object_scores`.

    Attributes
    ----------
    confidence, precision : (k,) float64, both ascending
        The share of predictions that find a label, at some confidences; between them it is interpolated.
    class_trust : (c,) float64
        How much more often, or less, predictions of each class find a label than their confidence says.
    class_recall : (c,) float64 in (0, 1)
        The share of the labels of each class that the detector finds.
    opinion : float
        The mean log-odds of a second opinion, so that it counts by what it says beyond that.
    """

    confidence: Floats
    precision: Floats
    class_trust: Floats
    class_recall: Floats
    opinion: float = 0.0

    @classmethod
    def default(cls, classes: int) -> "DetectorProfile":
        """Return what holds until there are labels to calibrate with: a fair detector that finds one object in two.

        Examples
        --------
        >>> DetectorProfile.default(2).class_recall
        array([0.5, 0.5])
        """
        knots = np.array([0.0, 0.5, 1.0])
        return cls(knots, np.array([0.0, 0.75, 1.0]), np.ones(classes), np.full(classes, 0.5))

    def trust(self, predictions: Objects) -> Floats:
        """Return the probability that each prediction is an object, NaN where its confidence is unknown."""
        precision = np.interp(confidences(predictions), self.confidence, self.precision)
        return np.clip(precision * self.class_trust[predictions.classes], 0.0, 1.0)


def calibrate(
    labels: Objects, predictions: Objects, classes: int, iou: float = 0.5, opinion: ArrayLike | None = None
) -> DetectorProfile:
    """Return a detector's profile from images that have both labels and predictions.

    Every share is drawn towards that of all classes together, as if `PRIOR` more objects had been seen, so that a rare
    class does not stand on one object.

    Parameters
    ----------
    labels, predictions : Objects
        Of the same images; predictions with a confidence.
    classes : int
    iou : float in (0, 1)
        From where a prediction finds a label.
    opinion : (g,) float in [0, 1], optional
        As for `object_scores`.

    Returns
    -------
    DetectorProfile

    Notes
    -----
    An input of `object_scores`: stored, and redone only on request or when the set has doubled. It shifts little with a
    few wrong labels, and scores of all images then compare.

    Examples
    --------
    >>> labels = Objects(np.array([[0.0, 0, 4, 4]]), np.array([0]), np.array([0, 1]))
    >>> seen = Objects(np.array([[0.0, 0, 4, 3]]), np.array([0]), np.array([0, 1]), np.array([0.9]))
    >>> calibrate(labels, seen, classes=1).precision.round(2)
    array([0.67])
    """
    matches = match(labels, predictions, iou)
    right, found = (matches.label != NONE).astype(float), (matches.prediction != NONE).astype(float)
    known = np.flatnonzero(~np.isnan(confidences(predictions)))
    if not len(known) or not len(labels):
        return DetectorProfile.default(classes)
    confidence, precision = _precision_curve(confidences(predictions)[known], right[known])
    expected = np.interp(confidences(predictions)[known], confidence, precision)
    kinds = predictions.classes[known]
    hits, hoped = np.bincount(kinds, right[known], classes), np.bincount(kinds, expected, classes)
    every = (found.sum() + 1) / (len(found) + 2)
    seen, all_ = np.bincount(labels.classes, found, classes), np.bincount(labels.classes, minlength=classes)
    return DetectorProfile(
        confidence=confidence,
        precision=precision,
        class_trust=(hits + PRIOR) / (hoped + PRIOR),
        class_recall=(seen + PRIOR * every) / (all_ + PRIOR),
        opinion=0.0 if opinion is None else float(np.nan_to_num(log_odds(opinion)).mean()),
    )


def _precision_curve(confidence: Floats, right: Floats) -> tuple[Floats, Floats]:
    """Return mean confidence and share of right ones in up to eight groups of equal size, never falling."""
    order = np.argsort(confidence, kind="stable")
    groups = np.array_split(order, max(1, min(8, len(order) // 10)))
    shares = np.array([(right[group].sum() + 1) / (len(group) + 2) for group in groups])
    return np.array([confidence[group].mean() for group in groups]), np.maximum.accumulate(shares)


def log_odds(probability: ArrayLike) -> Floats:
    """Return log-odds, as if no probability were below .01 or above .99.

    Parameters
    ----------
    probability : (n,) float in [0, 1]

    Returns
    -------
    (n,) float64 in [-4.6, 4.6], NaN where unknown

    Examples
    --------
    >>> log_odds([0.5, 1.0]).round(2)
    array([0. , 4.6])
    """
    bounded = np.clip(np.asarray(probability, dtype=np.float64), 0.01, 0.99)
    return np.asarray(np.log(bounded / (1 - bounded)), dtype=np.float64)
