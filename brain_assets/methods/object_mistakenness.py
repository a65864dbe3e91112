"""What a detector and the labels of objects disagree about."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brain_assets.methods.objects import Floats, Indices, Objects, overlaps

NONE = -1


@dataclass(frozen=True)
class Matches:
    """Which prediction goes with which label.

    Attributes
    ----------
    label : (p,) int, the label that each prediction matched, or -1
    prediction : (g,) int, the prediction that each label matched, or -1
        For a crowd, which may match many, the least confident of them.
    label_iou : (g,) float64, NaN where nothing matched
    prediction_iou : (p,) float64, NaN where nothing matched
    """

    label: Indices
    prediction: Indices
    label_iou: Floats
    prediction_iou: Floats


def match(labels: Objects, predictions: Objects, iou: float = 0.5) -> Matches:
    """Return COCO's matching of predictions and labels, whatever their classes.

    By falling confidence, each prediction takes the label it overlaps most among those still free, if their IoU is at
    least ``iou``. One that finds none may join a crowd of its own class, which many may do.

    Parameters
    ----------
    labels, predictions : Objects
        Of the same images; predictions with a confidence. Of equal confidences the first goes first; of equal overlaps
        the last label is taken.
    iou : float in (0, 1]

    Returns
    -------
    Matches

    Notes
    -----
    Incremental: an image's matches depend on its own objects only.

    References
    ----------
    Lin et al., COCO API, ``COCOeval.evaluateImg``; FiftyOne's ``evaluate_detections(classwise=False)``.

    Examples
    --------
    >>> labels = Objects(np.array([[0.0, 0, 4, 4]]), np.array([0]), np.array([0, 1]))
    >>> boxes = np.array([[0.0, 0, 4, 3], [0, 0, 4, 4]])
    >>> match(labels, Objects(boxes, np.array([0, 0]), np.array([0, 2]), np.array([0.9, 0.8]))).label
    array([ 0, -1])
    """
    found = overlaps(labels, predictions)
    close = found.iou >= iou
    label, prediction, overlap = found.first[close], found.second[close], found.iou[close]
    order = np.lexsort((-label, -overlap, _ranks(predictions)[prediction], labels.is_crowd[label]))
    label, prediction, overlap = label[order], prediction[order], overlap[order]
    single = np.flatnonzero(~labels.is_crowd[label])
    taken = single[_first_come(label[single], prediction[single])]
    free = ~np.isin(prediction, prediction[taken])
    joins = free & labels.is_crowd[label] & (labels.classes[label] == predictions.classes[prediction])
    joined = np.flatnonzero(joins)[np.unique(prediction[joins], return_index=True)[1]]
    chosen = np.concatenate([taken, np.sort(joined)])
    return _matches((label[chosen], prediction[chosen], overlap[chosen]), (len(labels), len(predictions)))


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
    confidence = _confidence(predictions)
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


def _confidence(predictions: Objects) -> Floats:
    if predictions.confidence is None:
        raise ValueError("predictions of objects need a confidence each")
    return predictions.confidence


def _ranks(predictions: Objects) -> Indices:
    """Return the turn of each prediction: by falling confidence, the unknown last."""
    confidence = _confidence(predictions)
    order = np.argsort(-np.nan_to_num(confidence, nan=-np.inf), kind="stable")
    ranks = np.empty(len(order), dtype=np.intp)
    ranks[order] = np.arange(len(order))
    return ranks


def _first_come(first: Indices, second: Indices) -> Indices:
    """Return which pairs are kept when each takes both its members for itself, in the given order.

    A pair that is the first left for both its members is kept whatever happens to the others, so all such pairs are
    taken at once; two or three rounds do.
    """
    kept, left = [], np.arange(len(first))
    while left.size:
        earliest = [np.full(members.max() + 1, len(first)) for members in (first, second)]
        for turns, members in zip(earliest, (first, second), strict=True):
            turns[members[left[::-1]]] = left[::-1]
        accepted = left[(earliest[0][first[left]] == left) & (earliest[1][second[left]] == left)]
        kept.append(accepted)
        left = left[~np.isin(first[left], first[accepted]) & ~np.isin(second[left], second[accepted])]
    return np.sort(np.concatenate(kept)) if kept else left


def _matches(chosen: tuple[Indices, Indices, Floats], sizes: tuple[int, int]) -> Matches:
    label, prediction, overlap = chosen
    of_prediction, of_label = np.full(sizes[1], NONE, dtype=np.intp), np.full(sizes[0], NONE, dtype=np.intp)
    label_iou, prediction_iou = np.full(sizes[0], np.nan), np.full(sizes[1], np.nan)
    of_prediction[prediction], of_label[label] = label, prediction
    prediction_iou[prediction], label_iou[label] = overlap, overlap
    return Matches(of_prediction, of_label, label_iou, prediction_iou)


def _filled(where: NDArray[np.bool_], values: Floats) -> Floats:
    result = np.full(len(where), np.nan)
    result[where] = values
    return result
