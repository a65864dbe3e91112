"""How well objects are detected, in COCO's numbers."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from brain_assets.methods.distinct import distinct
from brain_assets.methods.labels.matching import NONE, confidences, match
from brain_assets.methods.labels.objects import Floats, Indices, Objects, overlaps

IOUS = np.linspace(0.5, 0.95, 10)
"""The overlaps that COCO's AP is the mean over."""
RECALLS = np.linspace(0, 1, 101)
MOST_DETECTIONS = 100
"""So many of an image's most confident predictions of a class count."""


def average_precision(labels: Objects, predictions: Objects, count: int, ious: Floats = IOUS) -> Floats:
    """Return the average precision of each class, at each overlap.

    Parameters
    ----------
    labels, predictions : Objects
        Of the same images, with boxes in one unit and classes from 0 to ``count`` - 1; predictions with a confidence. Boxes
        are compared, never outlines.
    count : int
        Number of classes.
    ious : (t,) float in (0, 1]
        Overlaps from which on a prediction is right.

    Returns
    -------
    (t, count) float64 in [0, 1]
        Mean precision at 101 recalls, where precision is the highest at that recall or above; NaN for classes without labels.

    Notes
    -----
    What a prediction shares with a crowd of its class is neither right nor wrong. Of an image's predictions of a class the
    hundred most confident count.

    References
    ----------
    Lin et al., COCO API, ``COCOeval`` with ``iouType="bbox"``.

    Examples
    --------
    >>> labels = Objects(np.array([[0.0, 0, 4, 4], [9, 9, 4, 4]]), np.array([0, 0]), np.array([0, 2]))
    >>> found = Objects(np.array([[0.0, 0, 4, 4]]), np.array([0]), np.array([0, 1]), np.array([0.9]))
    >>> average_precision(labels, found, 1, np.array([0.5])).round(3)
    array([[0.505]])
    """
    labels, predictions = _by_class(labels, predictions, count)
    predictions = _most_confident(predictions)
    confidence = np.nan_to_num(confidences(predictions), nan=-np.inf)
    order = np.lexsort((-confidence, predictions.classes))
    ends = np.searchsorted(predictions.classes[order], np.arange(count + 1))
    positives = np.bincount(labels.classes[~labels.is_crowd], minlength=count)
    found = overlaps(labels, predictions)
    precisions = np.full((len(ious), count), np.nan)
    for place, iou in enumerate(ious):
        partner = match(labels, predictions, iou, found=found).label[order]
        counts = ~((partner != NONE) & labels.is_crowd[partner]) if len(labels) else np.ones(len(partner), bool)
        for one in np.flatnonzero(positives):
            own = slice(ends[one], ends[one + 1])
            right = (partner[own] != NONE)[counts[own]]
            precisions[place, one] = _mean_precision(right, int(positives[one]))
    return precisions


def _mean_precision(right: NDArray[np.bool_], positives: int) -> float:
    hits = np.cumsum(right)
    precision = hits / np.arange(1, len(right) + 1)
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(hits / positives, RECALLS, side="left")
    return float(np.append(highest, 0.0)[places].mean())


def _by_class(labels: Objects, predictions: Objects, count: int) -> tuple[Objects, Objects]:
    """Return both sides with the objects of each class in an image as if they were an image of their own."""
    keys = [side.images * count + side.classes for side in (labels, predictions)]
    known = distinct(np.concatenate(keys))
    first, second = (
        _grouped(side, np.searchsorted(known, key), len(known))
        for side, key in zip((labels, predictions), keys, strict=True)
    )
    return first, second


def _grouped(objects: Objects, group: Indices, count: int) -> Objects:
    order = np.argsort(group, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(group, minlength=count))]).astype(np.int64)
    return replace(_taken(objects, order), offsets=offsets)


def _taken(objects: Objects, places: Indices) -> Objects:
    confidence = None if objects.confidence is None else objects.confidence[places]
    crowd = None if objects.crowd is None else objects.crowd[places]
    return Objects(objects.boxes[places], objects.classes[places], objects.offsets, confidence, crowd)


def _most_confident(predictions: Objects) -> Objects:
    sizes = np.diff(predictions.offsets)
    if (sizes <= MOST_DETECTIONS).all():
        return predictions
    images = predictions.images
    order = np.lexsort((-np.nan_to_num(confidences(predictions), nan=-np.inf), images))
    turn = np.arange(len(order)) - predictions.offsets[images[order]]
    kept = np.sort(order[turn < MOST_DETECTIONS])
    offsets = np.concatenate([[0], np.cumsum(np.minimum(sizes, MOST_DETECTIONS))]).astype(np.int64)
    return replace(_taken(predictions, kept), offsets=offsets)
