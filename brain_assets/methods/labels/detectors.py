"""How far an object detector can be trusted: by confidence, class and size, and how often the labels beside it are wrong."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brain_assets.methods.labels.matching import NONE, Matches, confidences, match
from brain_assets.methods.labels.objects import Floats, Objects, overlaps

PRIOR = 3.0
"""How many objects a class needs before its own figures outweigh those of all classes."""
USUAL_RATE = 0.05
"""The share of labels taken to have an error of one kind, until there is something to learn it from."""
LEAST_RATE, MOST_RATE = 0.01, 0.3
SUREST = 0.1
"""The share of objects, the easiest, from which rates of errors are learned: there the detector is hardly ever wrong."""
RATE_PRIOR = 20.0
"""How many of the easiest objects outweigh `USUAL_RATE`."""
MISSES, MOST_SPURIOUS = 0.7, 0.1
"""Of the easiest labels that no prediction finds, so many hold no object: a detector overlooks some of them, too."""
CAP = 0.98
"""No detector is trusted more than this."""
CERTAIN = 0.95
"""No label is surer to be of the wrong class than this."""
STEPS = 25
LEAST_SPREAD = 1e-6
"""Numbers that differ less are the same, and a curve over them is flat."""
NEARBY = 0.35
"""The overlap from which an object without a partner may be one that is misplaced rather than missing or spurious."""
USUAL_GAP = (-1.6, 0.6)
"""The `DetectorProfile.gap` of a fair detector."""
LEAST_GAP = 0.005
"""Two boxes never differ less than by this, as far as their places are concerned."""


@dataclass(frozen=True)
class Curve:
    """A share that rises with a number: the logistic of ``offset + slope * number``."""

    offset: float
    slope: float

    def at(self, number: ArrayLike, shift: ArrayLike = 0.0) -> Floats:
        """Return the share at some numbers; ``shift`` is added in log-odds."""
        odds = self.offset + self.slope * np.asarray(number, dtype=np.float64) + np.asarray(shift)
        return _logistic(odds)


@dataclass(frozen=True)
class Rates:
    """The shares of labels that are missing, of the wrong class, spurious, or misplaced; the last is not learned."""

    missing: float = USUAL_RATE
    wrong_class: float = USUAL_RATE
    spurious: float = USUAL_RATE
    misplaced: float = USUAL_RATE


@dataclass(frozen=True)
class DetectorProfile:
    """How far a detector can be trusted: the calibration of `object_scores`.

    Attributes
    ----------
    found : Curve
        The share of predictions that find a label, by the log-odds of their confidence.
    agreement : Curve
        The share of those that have its class, likewise.
    seen : Curve
        The share of labels that a prediction finds, by the logarithm of their area.
    class_found, class_agreement, class_seen : (c,) float64
        What each class adds to ``found``, ``agreement`` and ``seen``, in log-odds.
    gap : tuple of float
        Mean and standard deviation of the logarithm of one less the IoU of a label and its prediction.
    rates : Rates
    opinion : float
        The mean log-odds of a second opinion, so that it counts by what it says beyond that.
    """

    found: Curve
    agreement: Curve
    seen: Curve
    class_found: Floats
    class_agreement: Floats
    class_seen: Floats
    gap: tuple[float, float]
    rates: Rates
    opinion: float = 0.0

    @classmethod
    def default(cls, classes: int) -> "DetectorProfile":
        """Return what holds until there are labels to calibrate with: a fair detector that finds one object in two.

        Examples
        --------
        >>> DetectorProfile.default(2).class_seen
        array([0., 0.])
        """
        none = np.zeros(classes)
        return cls(Curve(0.0, 1.0), Curve(1.0, 0.5), Curve(0.0, 0.0), none, none, none, USUAL_GAP, Rates())

    def trust(self, predictions: Objects) -> Floats:
        """Return the probability that each prediction is an object, NaN where its confidence is unknown."""
        shares = self.found.at(log_odds(confidences(predictions)), self.class_found[predictions.classes])
        return np.minimum(shares / (1 - self.rates.missing), CAP)

    def wrong_class(self, predictions: Objects) -> Floats:
        """Return the probability that a label is of the wrong class where this prediction of another class fits it."""
        rate = self.rates.wrong_class
        agree = self.agreement.at(log_odds(confidences(predictions)), self.class_agreement[predictions.classes])
        return rate / np.maximum(1 - agree, rate / CERTAIN)

    def unseen(self, labels: Objects) -> Floats:
        """Return the probability that a label which no prediction finds holds no object."""
        seen = self.seen.at(log_areas(labels), self.class_seen[labels.classes])
        rate = self.rates.spurious
        return rate / (1 - np.minimum(seen, 1 - rate))

    def misplaced(self, iou: ArrayLike) -> Floats:
        """Return the probability that a box is misplaced whose own prediction overlaps it so far.

        By how few of the other boxes and their predictions overlap as little.
        """
        mean, deviation = self.gap
        gap = np.log(np.maximum(1 - np.asarray(iou, dtype=np.float64), LEAST_GAP))
        # The density of the usual overlaps, log-normal in the gap; beyond its top it goes on rising, as 1 / gap.
        beyond = (np.maximum(gap, mean - deviation**2) - mean) / deviation
        usual = np.exp(-(beyond**2) / 2 - gap) / (deviation * np.sqrt(2 * np.pi))
        rate = self.rates.misplaced
        return np.asarray(rate / (rate + (1 - rate) * usual), dtype=np.float64)


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
    >>> calibrate(labels, seen, classes=1).rates.missing < 0.05
    True
    """
    known = ~np.isnan(confidences(predictions))
    if not known.any() or not len(labels):
        return DetectorProfile.default(classes)
    matches = match(labels, predictions, iou, own_class_first=True)
    sure = log_odds(confidences(predictions))
    hits, partners = matches.label != NONE, matches.prediction != NONE
    found, class_found = _curve(sure[known], hits[known], predictions.classes[known], classes)
    matched = np.flatnonzero(known & hits)
    same = predictions.classes[matched] == labels.classes[matches.label[matched]]
    agreement, class_agreement = _curve(sure[matched], same, predictions.classes[matched], classes)
    areas = log_areas(labels)
    seen, class_seen = _curve(areas, partners, labels.classes, classes)
    near_label, near_prediction = _near(labels, predictions)
    return DetectorProfile(
        found=found,
        agreement=agreement,
        seen=seen,
        class_found=class_found,
        class_agreement=class_agreement,
        class_seen=class_seen,
        gap=_usual_gap(matches),
        rates=Rates(
            missing=_rate(sure[known] + class_found[predictions.classes[known]], ~(hits | near_label)[known]),
            wrong_class=_rate(sure[matched], ~same),
            spurious=min(
                MISSES * _rate(areas * seen.slope + class_seen[labels.classes], ~(partners | near_prediction)),
                MOST_SPURIOUS,
            ),
        ),
        opinion=0.0 if opinion is None else float(np.nan_to_num(log_odds(opinion)).mean()),
    )


def log_areas(objects: Objects) -> Floats:
    """Return the logarithms of the areas of boxes, (n,) float64."""
    sides = np.maximum(objects.boxes[:, 2:], 1e-6)
    return np.asarray(np.log(sides[:, 0] * sides[:, 1]), dtype=np.float64)


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


def _logistic(odds: ArrayLike) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(odds, -50, 50))), dtype=np.float64)


def _curve(numbers: Floats, hits: NDArray[np.bool_], groups: NDArray[np.int64], count: int) -> tuple[Curve, Floats]:
    """Fit a curve by maximum likelihood with a weak prior, and what each group adds to it."""
    center, spread = (float(numbers.mean()), float(numbers.std())) if len(numbers) else (0.0, 0.0)
    spread = spread if spread > LEAST_SPREAD else np.inf
    scaled, target = (numbers - center) / spread, hits.astype(float)
    offset, slope = 0.0, 1.0
    for _ in range(STEPS):  # Newton; the prior is one hit and one miss at the mean, and a slope of about 1
        share = _logistic(offset + slope * scaled)
        weight, middle = share * (1 - share), float(_logistic(offset))
        gradient = np.array([
            (target - share).sum() + 1 - 2 * middle, ((target - share) * scaled).sum() + (1 - slope),
        ])  # fmt: skip
        cross = (weight * scaled).sum()
        curvature = np.array([
            [weight.sum() + 2 * middle * (1 - middle), cross], [cross, (weight * scaled**2).sum() + 1],
        ])  # fmt: skip
        step = np.clip(np.linalg.solve(curvature, gradient), -2, 2)
        offset, slope = offset + float(step[0]), max(slope + float(step[1]), 0.0)
    expected = np.bincount(groups, _logistic(offset + slope * scaled), count)
    seen, size = np.bincount(groups, target, count), np.bincount(groups, minlength=count)
    usual = (expected.sum() + 0.5) / (size.sum() + 1)
    added = log_odds((seen + PRIOR * usual) / (size + PRIOR)) - log_odds((expected + PRIOR * usual) / (size + PRIOR))
    slope /= spread
    return Curve(offset - slope * center, slope), added


def _rate(ease: Floats, faulty: NDArray[np.bool_]) -> float:
    """Return the share of faulty ones among the easiest, drawn towards `USUAL_RATE`."""
    size = min(len(ease), max(int(RATE_PRIOR), int(SUREST * len(ease))))
    easiest = np.argsort(-ease, kind="stable")[:size]
    rate = (faulty[easiest].sum() + USUAL_RATE * RATE_PRIOR) / (size + RATE_PRIOR)
    return float(np.clip(rate, LEAST_RATE, MOST_RATE))


def _near(labels: Objects, predictions: Objects) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which predictions have a label nearby, and which labels a prediction, whether they are partners or not."""
    close = overlaps(labels, predictions)
    reach = close.iou >= NEARBY
    near_label, near_prediction = np.zeros(len(predictions), bool), np.zeros(len(labels), bool)
    near_label[close.second[reach]] = True
    near_prediction[close.first[reach]] = True
    return near_label, near_prediction


def _usual_gap(matches: Matches) -> tuple[float, float]:
    """Return middle and spread of the gaps between partners, which the few that are misplaced do not move."""
    gaps = np.log(np.maximum(1 - matches.label_iou[matches.prediction != NONE], LEAST_GAP))
    if len(gaps) < RATE_PRIOR:
        return USUAL_GAP
    middle = float(np.median(gaps))
    return middle, float(np.clip(1.4826 * np.median(np.abs(gaps - middle)), 0.2, 1.0))
