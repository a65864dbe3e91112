"""What a detector and the labels of objects disagree about."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brain_assets.methods.labels.detectors import DetectorProfile, log_odds
from brain_assets.methods.labels.label_noise import LIKELY
from brain_assets.methods.labels.matching import NONE, Matches, confidences, match
from brain_assets.methods.labels.objects import Floats, Indices, Objects, overlaps

CHANCE = 0.2
"""How often a spurious label meets a prediction that cannot be trusted at all."""
LEAST_FIT, WHOLE_FIT = 0.1, 0.7
"""Overlaps from which two boxes may be, and surely are, of one object."""
TINY = 1e-12
OTHER_CLASS = 0.8
"""How much a box of another class counts towards an object being there."""


@dataclass(frozen=True)
class PeerScores:
    """FiftyOne Brain's numbers for detections.

    Attributes
    ----------
    matches : Matches
    mistakenness, mistakenness_loc : (g,) float64 in [0, 1], NaN where nothing matched
    possible_spurious : (g,) bool
    possible_missing : (p,) bool
    """

    matches: Matches
    mistakenness: Floats
    mistakenness_loc: Floats
    possible_spurious: NDArray[np.bool_]
    possible_missing: NDArray[np.bool_]


def peer_scores(
    labels: Objects,
    predictions: Objects,
    *,
    certainty: ArrayLike | None = None,
    copied: ArrayLike | None = None,
    iou: float = 0.5,
    missing_confidence: float = 0.95,
) -> PeerScores:
    """Return the peer's scores: its COCO matching, hard cuts and formulas.

    Parameters
    ----------
    labels, predictions : Objects
        Of the same images; predictions with a confidence.
    certainty : (p,) float in [0, 1], optional
        Takes the place of the confidence in both mistakennesses (`mistakenness.certainty` of logits).
    copied : (g,) bool, optional
        Labels that an earlier run copied from predictions: they take part in matching and get no score.
    iou, missing_confidence : float
        A prediction without match is missing when its confidence is above, a label without match is always spurious.

    Returns
    -------
    PeerScores

    Notes
    -----
    Incremental: an image's rows depend on its own objects only; equal to a rebuild exactly.

    References
    ----------
    FiftyOne Brain's ``compute_mistakenness`` for detections.

    Examples
    --------
    >>> labels = Objects(np.array([[0.0, 0, 4, 4]]), np.array([0]), np.array([0, 1]))
    >>> seen = Objects(np.array([[0.0, 0, 4, 3]]), np.array([1]), np.array([0, 1]), np.array([0.9]))
    >>> peer_scores(labels, seen).mistakenness
    array([0.95])
    """
    confidence = confidences(predictions)
    sure = confidence if certainty is None else np.asarray(certainty, dtype=np.float64)
    old = np.zeros(len(labels), dtype=bool) if copied is None else np.asarray(copied, dtype=bool)
    matches = match(labels, predictions, iou)
    scored = (matches.prediction != NONE) & ~old
    partner = matches.prediction[scored]
    agree = labels.classes[scored] == predictions.classes[partner]
    far = (1 - matches.label_iou[scored]) / (1 - iou)
    return PeerScores(
        matches=matches,
        mistakenness=_filled(scored, (1 + np.where(agree, -1, 1) * sure[partner]) / 2),
        mistakenness_loc=_filled(scored, (1 + sure[partner] * (2 * far - 1)) / 2),
        possible_spurious=(matches.prediction == NONE) & ~old,
        possible_missing=(matches.label == NONE) & (confidence > missing_confidence),
    )


@dataclass(frozen=True)
class Cuts:
    """From where overlaps and scores count.

    Attributes
    ----------
    iou : float in (0, 1)
        Two boxes are of one object.
    missing, spurious : float in [0, 1]
        From this probability on, a prediction is possibly missing, a label possibly spurious.
    """

    iou: float = 0.5
    missing: float = LIKELY
    spurious: float = LIKELY


@dataclass(frozen=True)
class ObjectScores:
    """What is wrong with each label, and which predictions found something that no label holds.

    Attributes
    ----------
    matches : Matches
        Equal classes first.
    mistakenness : (g,) float64 in [0, 1]
        The probability that the class is wrong.
    mistakenness_loc : (g,) float64 in [0, 1]
        That the box is badly placed: how seldom boxes overlap the prediction that fits them best so little, by what that
        prediction can be trusted. The usual rate where there is none.
    placed_by : (g,) int
        That prediction, or -1.
    spurious_score : (g,) float64 in [0, 1]
        That there is no object, or that another label holds it already.
    duplicate_of : (g,) int
        The label of the same class that holds the same object, or -1.
    suggested : (g,) int64
        The class of the prediction that speaks most for another one, or -1.
    missing_score : (p,) float64 in [0, 1]
        That the prediction is an object without a label.
    possible_spurious : (g,) bool
    possible_missing : (p,) bool

    All scores of crowds are NaN.
    """

    matches: Matches
    mistakenness: Floats
    mistakenness_loc: Floats
    placed_by: Indices
    spurious_score: Floats
    duplicate_of: Indices
    suggested: NDArray[np.int64]
    missing_score: Floats
    possible_spurious: NDArray[np.bool_]
    possible_missing: NDArray[np.bool_]


def object_scores(
    labels: Objects,
    predictions: Objects,
    profile: DetectorProfile,
    cuts: Cuts | None = None,
    opinion: ArrayLike | None = None,
) -> ObjectScores:
    """Return how likely each label is of the wrong class, badly placed or superfluous, and each prediction unlabelled.

    Each number is a probability by Bayes' rule: how often labels have such an error (`Rates`), against how often the
    detector itself would be the one at fault, by its confidence, the class, the size of the object and how well its boxes
    usually fit. That an object was not seen says less the more often the detector misses its like. All scores are free of
    scale: nothing but overlaps and relative sizes enters.

    Parameters
    ----------
    labels, predictions : Objects
        Of the same images; predictions with a confidence.
    profile : DetectorProfile
    cuts : Cuts, optional
    opinion : (g,) float in [0, 1], optional
        The probability that the class is wrong by another view, such as `label_issues` on the neighbours of the crops;
        NaN where there is none. It joins the doubt about the class, and where no prediction shows
        that some object is there, the doubt about the object.

    Returns
    -------
    ObjectScores

    Notes
    -----
    Incremental: an image's rows depend on its own objects, on the profile, and on its opinions; equal to a rebuild
    exactly.

    References
    ----------
    The kinds of error are those of Tkachenko, Thyagarajan and Mueller, ObjectLab, 2023, and of FiftyOne Brain.

    Examples
    --------
    >>> labels = Objects(np.array([[0.0, 0, 4, 4]]), np.array([0]), np.array([0, 1]))
    >>> boxes = np.array([[0.0, 0, 4, 4], [8, 8, 2, 2]])
    >>> seen = Objects(boxes, np.array([1, 0]), np.array([0, 2]), np.array([0.9, 0.8]))
    >>> found = object_scores(labels, seen, DetectorProfile.default(2))
    >>> found.mistakenness.round(2), found.suggested, found.missing_score.round(2)
    (array([0.48]), array([1]), array([0.01, 0.21]))
    """
    cuts = cuts or Cuts()
    evidence = _evidence(labels, predictions, profile)
    duplicate_of, copied = _duplicates(labels, evidence, cuts.iou)
    wrong_class, suggested = _class_doubt(labels, predictions, evidence, profile)
    other_view = None if opinion is None else np.nan_to_num(log_odds(opinion) - profile.opinion)
    absent, support = _absence(labels, evidence, profile)
    superfluous = np.maximum(_second(absent, other_view, 1 - support), copied)
    unlabelled = _unlabelled(len(predictions), evidence, profile)
    misplaced, placed_by = _misplacement(len(labels), evidence, profile)
    return ObjectScores(
        matches=match(labels, predictions, cuts.iou, own_class_first=True),
        mistakenness=np.where(labels.is_crowd, np.nan, _second(wrong_class, other_view)),
        mistakenness_loc=np.where(labels.is_crowd, np.nan, misplaced),
        placed_by=placed_by,
        spurious_score=np.where(labels.is_crowd, np.nan, superfluous),
        duplicate_of=duplicate_of,
        suggested=np.where(labels.is_crowd, NONE, suggested),
        missing_score=unlabelled,
        possible_spurious=(superfluous >= cuts.spurious) & ~labels.is_crowd,
        possible_missing=unlabelled >= cuts.missing,
    )


def objects_to_add(candidates: Objects, score: ArrayLike, iou: float = 0.5) -> Indices:
    """Return which of the possibly missing objects to export as labels: each object once.

    Parameters
    ----------
    candidates : Objects
        Predictions that are possibly missing, of one model or of several.
    score : (n,) float
    iou : float in (0, 1)
        Of two candidates that overlap this much, the one with the higher score stands, the earlier of equals.

    Returns
    -------
    (m,) int
        Ascending positions. Nothing is added to any label.

    Examples
    --------
    >>> boxes = np.array([[0.0, 0, 4, 4], [0, 0, 4, 3]])
    >>> objects_to_add(Objects(boxes, np.array([0, 0]), np.array([0, 2])), [0.8, 0.9])
    array([1])
    """
    sure, found = np.asarray(score, dtype=np.float64), overlaps(candidates, candidates)
    first, second = found.first, found.second
    better = (sure[first] > sure[second]) | ((sure[first] == sure[second]) & (first < second))
    rivals = better & (found.iou >= iou)
    first, second = first[rivals], second[rivals]
    stands = np.ones(len(candidates), dtype=bool)
    for position in np.lexsort((first, -sure[first])).tolist():
        if stands[first[position]]:
            stands[second[position]] = False
    return np.flatnonzero(stands)


def image_maximum(values: ArrayLike, offsets: ArrayLike) -> Floats:
    """Return the highest value among the objects of each image.

    Parameters
    ----------
    values : (n,) float, NaN is left out
    offsets : (images + 1,) int, as in `Objects`

    Returns
    -------
    (images,) float64
        NaN for an image where no object has a value (the peer writes -1).

    Examples
    --------
    >>> image_maximum([0.2, 0.7, np.nan], [0, 2, 3])
    array([0.7, nan])
    """
    numbers, starts = np.asarray(values, dtype=np.float64), np.asarray(offsets, dtype=np.intp)
    known = ~np.isnan(numbers)
    image = np.repeat(np.arange(len(starts) - 1), np.diff(starts))[known]
    highest = np.full(len(starts) - 1, -np.inf)
    np.maximum.at(highest, image, numbers[known])
    return np.where(np.isinf(highest), np.nan, highest)


def image_count(flags: ArrayLike, offsets: ArrayLike) -> NDArray[np.int64]:
    """Return how many objects of each image carry a flag.

    Parameters
    ----------
    flags : (n,) bool
    offsets : (images + 1,) int, as in `Objects`

    Returns
    -------
    (images,) int64

    Examples
    --------
    >>> image_count([True, True, False], [0, 2, 2, 3])
    array([2, 0, 0])
    """
    running = np.concatenate([[0], np.cumsum(np.asarray(flags, dtype=bool))])
    return np.diff(running[np.asarray(offsets, dtype=np.intp)])


@dataclass(frozen=True)
class _Evidence:
    """Pairs of overlapping label and prediction: IoU, how well they fit, trust in the prediction, and equal classes."""

    label: Indices
    prediction: Indices
    iou: Floats
    fit: Floats
    trust: Floats
    same: NDArray[np.bool_]
    crowd: NDArray[np.bool_]
    all_trust: Floats

    @property
    def support(self) -> Floats:
        """How much a prediction shows that the label holds an object: its place says more than its confidence."""
        return self.fit * (1 - CHANCE * (1 - self.trust))

    @property
    def same_object(self) -> Floats:
        """How much one box shows that the other holds an object."""
        return self.fit * np.where(self.same, 1.0, OTHER_CLASS)


def _evidence(labels: Objects, predictions: Objects, profile: DetectorProfile) -> _Evidence:
    found = overlaps(labels, predictions)
    label, prediction = found.first, found.second
    trust = np.nan_to_num(profile.trust(predictions))
    same = labels.classes[label] == predictions.classes[prediction]
    fit = np.clip((found.iou - LEAST_FIT) / (WHOLE_FIT - LEAST_FIT), 0.0, 1.0)
    return _Evidence(label, prediction, found.iou, fit, trust[prediction], same, labels.is_crowd[label], trust)


def _highest(values: Floats, places: Indices, size: int) -> Floats:
    result = np.zeros(size)
    np.maximum.at(result, places, values)
    return result


def _unlabelled(size: int, evidence: _Evidence, profile: DetectorProfile) -> Floats:
    """Return how likely each prediction is an object without a label: none lies there, nor a crowd of its class.

    Otherwise it is no object, or one whose label lies a little off.
    """
    counts = evidence.same | ~evidence.crowd
    covered = _highest(evidence.same_object * counts, evidence.prediction, size)
    rate, trust = profile.rates.missing, evidence.all_trust
    unlabelled = rate * trust * (1 - covered)
    otherwise = (1 - trust) * (1 - covered) + (1 - rate) * trust * covered
    return unlabelled / np.maximum(unlabelled + otherwise, TINY)


def _absence(labels: Objects, evidence: _Evidence, profile: DetectorProfile) -> tuple[Floats, Floats]:
    """Return the probability that there is no object, and the support by predictions of whatever class."""
    of_class = _highest(evidence.support * np.where(evidence.same, 1.0, OTHER_CLASS), evidence.label, len(labels))
    support = _highest(evidence.trust * evidence.fit, evidence.label, len(labels))
    return profile.unseen(labels) * (1 - of_class), support


def _class_doubt(
    labels: Objects, predictions: Objects, evidence: _Evidence, profile: DetectorProfile
) -> tuple[Floats, NDArray[np.int64]]:
    """Return the probability that the class is wrong, and the class that the predictions would give.

    A prediction that fits another label of its own class speaks that much less for this one.
    """
    at_home = _highest(evidence.iou * evidence.same, evidence.prediction, len(predictions))
    blame = np.nan_to_num(profile.wrong_class(predictions))[evidence.prediction]
    against = blame * evidence.fit * ~evidence.same * (1 - at_home[evidence.prediction])
    same = _highest(evidence.support * evidence.same, evidence.label, len(labels))
    other = _highest(against, evidence.label, len(labels))
    suggested = np.full(len(labels), NONE, dtype=np.int64)
    order = np.flatnonzero(against)[np.argsort(against[against > 0], kind="stable")]
    suggested[evidence.label[order]] = predictions.classes[evidence.prediction[order]]
    contradicted = other * (1 - same)
    return contradicted + (1 - contradicted) * profile.rates.wrong_class * (1 - same), suggested


def _misplacement(size: int, evidence: _Evidence, profile: DetectorProfile) -> tuple[Floats, Indices]:
    """Return how likely each box is misplaced, by the prediction that fits it best and no other label better; and which."""
    best = _highest(evidence.iou, evidence.prediction, len(evidence.all_trust))[evidence.prediction]
    best_same = _highest(evidence.iou * evidence.same, evidence.prediction, len(evidence.all_trust))[
        evidence.prediction
    ]
    about_it = np.where(evidence.same, evidence.iou >= best_same, (evidence.iou >= best) & (evidence.iou > 0.3))
    usable = np.flatnonzero(about_it & (evidence.iou >= 0.05) & ~evidence.crowd)
    order = usable[np.argsort((evidence.trust * evidence.iou)[usable], kind="stable")]
    usual = profile.rates.misplaced
    doubt: Floats = np.full(size, usual)
    moved = profile.misplaced(evidence.iou[order])
    doubt[evidence.label[order]] += evidence.trust[order] * (moved - usual)
    placed_by = np.full(size, NONE, dtype=np.intp)
    placed_by[evidence.label[order]] = evidence.prediction[order]
    return doubt, placed_by


def _duplicates(labels: Objects, evidence: _Evidence, iou: float) -> tuple[Indices, Floats]:
    """Return, of two labels of one class on one object, which holds it, and how surely the other is one too many.

    The label that predictions fit better stands, the earlier of equals. Two that have a prediction each are two objects.
    """
    found = overlaps(labels, labels)
    one, other = found.first, found.second
    fit = _highest(evidence.trust * evidence.iou * evidence.same, evidence.label, len(labels))
    stands = (fit[one] > fit[other]) | ((fit[one] == fit[other]) & (one < other))
    alike = (labels.classes[one] == labels.classes[other]) & ~labels.is_crowd[one] & ~labels.is_crowd[other]
    pairs_ = np.flatnonzero(stands & alike & (found.iou >= iou))
    best = _highest(evidence.iou * evidence.same, evidence.prediction, len(evidence.all_trust))[evidence.prediction]
    own = _highest(
        evidence.trust * evidence.fit * (evidence.same & (evidence.iou >= best)), evidence.label, len(labels)
    )
    score = np.clip((found.iou[pairs_] - 0.5) / 0.4, 0, 1) * (1 - own[other[pairs_]])
    order = pairs_[np.argsort(score, kind="stable")]
    duplicate_of = np.full(len(labels), NONE, dtype=np.intp)
    duplicate_of[other[order]] = one[order]
    return duplicate_of, _highest(score, other[pairs_], len(labels))


def _second(doubt: Floats, opinion: Floats | None, weight: ArrayLike = 1.0) -> Floats:
    """Return the doubt after a second, independent opinion in log-odds, of which a weight is added; 0 for none."""
    if opinion is None:
        return doubt
    odds = log_odds(doubt) + np.asarray(weight) * opinion
    return np.asarray(1 / (1 + np.exp(-odds)), dtype=np.float64)


def _filled(where: NDArray[np.bool_], values: Floats) -> Floats:
    result = np.full(len(where), np.nan)
    result[where] = values
    return result
