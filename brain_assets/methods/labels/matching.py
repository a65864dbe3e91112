"""Which prediction goes with which label of an object."""

from dataclasses import dataclass

import numpy as np

from brain_assets.methods.labels.objects import Floats, Indices, Objects, Overlaps, overlaps

NONE = -1
"""The partner of an object that matched nothing."""


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


def match(
    labels: Objects,
    predictions: Objects,
    iou: float = 0.5,
    *,
    own_class_first: bool = False,
    found: Overlaps | None = None,
) -> Matches:
    """Return COCO's matching of predictions and labels, whatever their classes.

    By falling confidence, each prediction takes the label it overlaps most among those still free, if their IoU is at
    least ``iou``. One that finds none may join a crowd of its own class, which many may do.

    Parameters
    ----------
    labels, predictions : Objects
        Of the same images; predictions with a confidence. Of equal confidences the first goes first; of equal overlaps
        the last label is taken.
    iou : float in (0, 1]
    own_class_first : bool
        Match equal classes before unequal ones, so that a chair before a table does not take the table's box.
    found : Overlaps, optional
        What `overlaps` found of the two, where several matchings are made of them.

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
    found = found or overlaps(labels, predictions)
    close = found.iou >= iou
    label, prediction, overlap = found.first[close], found.second[close], found.iou[close]
    late = own_class_first & (labels.classes[label] != predictions.classes[prediction])
    order = np.lexsort((-label, -overlap, _ranks(predictions)[prediction], late, labels.is_crowd[label]))
    label, prediction, overlap = label[order], prediction[order], overlap[order]
    single = np.flatnonzero(~labels.is_crowd[label])
    taken = single[_first_come(label[single], prediction[single])]
    free = ~np.isin(prediction, prediction[taken])
    joins = free & labels.is_crowd[label] & (labels.classes[label] == predictions.classes[prediction])
    joined = np.flatnonzero(joins)[np.unique(prediction[joins], return_index=True)[1]]
    chosen = np.concatenate([taken, np.sort(joined)])
    return _matches((label[chosen], prediction[chosen], overlap[chosen]), (len(labels), len(predictions)))


def confidences(predictions: Objects) -> Floats:
    """Return the confidence of each prediction.

    Raises
    ------
    ValueError
        If the objects are labels, which have none.
    """
    if predictions.confidence is None:
        raise ValueError("predictions of objects need a confidence each")
    return predictions.confidence


def _ranks(predictions: Objects) -> Indices:
    """Return the turn of each prediction: by falling confidence, the unknown last."""
    confidence = confidences(predictions)
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
