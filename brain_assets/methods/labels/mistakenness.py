"""How likely a label is wrong, by the confidence with which a model contradicts it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brain_assets.methods.distinct import distinct
from brain_assets.methods.labels.hardness import hardness

Mode = Literal["default", "compat"]

NONE = -1
"""The class number of a sample that has no label, or no prediction."""


@dataclass(frozen=True)
class LabelSets:
    """Several labels per sample, as one flat array.

    Attributes
    ----------
    classes : (m,) int64, class numbers from 0
    offsets : (n + 1,) int64
        Sample i holds ``classes[offsets[i]:offsets[i + 1]]``; none is an empty range.
    """

    classes: NDArray[np.int64]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, sets: list[list[int]]) -> "LabelSets":
        """Return the same sets as flat arrays.

        Examples
        --------
        >>> LabelSets.of([[3], [], [1, 2]]).offsets
        array([0, 1, 1, 3])
        """
        classes = np.array([label for labels in sets for label in labels], dtype=np.int64)
        return cls(classes, np.cumsum([0, *map(len, sets)], dtype=np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def sizes(self) -> NDArray[np.int64]:
        """The number of labels of each sample."""
        return np.diff(self.offsets)

    @property
    def samples(self) -> NDArray[np.intp]:
        """The sample of each label."""
        return np.repeat(np.arange(len(self)), self.sizes)


def certainty(logits: ArrayLike) -> NDArray[np.float64]:
    """Return how sure a model is, from the whole distribution: the exponential of the negative entropy.

    Parameters
    ----------
    logits : (n, c) float

    Returns
    -------
    (n,) float64 in [1 / c, 1]
        NaN where the logits are unknown.

    Examples
    --------
    >>> certainty([[0.0, 0.0], [100.0, 0.0]]).round(4)
    array([0.5, 1. ])
    """
    return np.exp(-hardness(logits))


def mistakenness(
    given: ArrayLike, predicted: ArrayLike, confidence: ArrayLike, *, mode: Mode = "default"
) -> NDArray[np.float64]:
    """Return how likely each label is wrong, judged by one model's prediction.

    ``(1 + confidence) / 2`` where the model disagrees, ``(1 - confidence) / 2`` where it agrees.

    Parameters
    ----------
    given, predicted : (n,) int, class numbers; -1 where there is none
    confidence : (n,) float in [0, 1], or `certainty` of the logits
    mode : {"default", "compat"}
        A sample without a label that the model does predict disagrees by default; in "compat" it counts as agreement.
        A sample without prediction is NaN by default (nothing speaks against its label) and 1 in "compat".

    Returns
    -------
    (n,) float64 in [0, 1]
        NaN where neither a label nor a prediction exists, or where the confidence is unknown.

    Notes
    -----
    Incremental: each row depends on its own label and prediction only; equal to a rebuild exactly.

    References
    ----------
    FiftyOne Brain's ``compute_mistakenness`` for classification, reproduced by "compat".

    Examples
    --------
    >>> mistakenness([0, 0, -1, 0], [0, 1, 1, -1], [0.9, 0.9, 0.9, np.nan])
    array([0.05, 0.95, 0.95,  nan])
    """
    label, guess = np.asarray(given), np.asarray(predicted)
    compat = mode == "compat"
    agree = (label == guess) | (compat & (label == NONE))
    return _resolve(agree, (label != NONE, guess != NONE), np.asarray(confidence, dtype=np.float64), compat=compat)


def multilabel_mistakenness(
    given: LabelSets, predicted: LabelSets, confidence: ArrayLike, *, mode: Mode = "default"
) -> NDArray[np.float64]:
    """Return `mistakenness` for samples with several labels: a prediction agrees when both sets are equal.

    Parameters
    ----------
    given, predicted : LabelSets, n samples each
    confidence : (n,) float in [0, 1]
        `multilabel_confidence`, or `certainty` of the sample's logits.
    mode : {"default", "compat"}
        As for `mistakenness`; an empty set counts as none by default, and as a set like any other in "compat".

    Returns
    -------
    (n,) float64 in [0, 1], NaN as in `mistakenness`

    Examples
    --------
    >>> multilabel_mistakenness(LabelSets.of([[0, 1], [2]]), LabelSets.of([[1, 0], [2, 3]]), [0.8, 0.8])
    array([0.1, 0.9])
    """
    differ = np.zeros(len(given), dtype=bool)
    differ[_differences(given, predicted)] = True
    compat = mode == "compat"
    present = (np.array(True), np.array(True)) if compat else (given.sizes > 0, predicted.sizes > 0)
    return _resolve(~differ, present, np.asarray(confidence, dtype=np.float64), compat=compat)


def multilabel_confidence(given: LabelSets, predicted: LabelSets, confidence: ArrayLike) -> NDArray[np.float64]:
    """Return the confidence behind each sample's agreement or disagreement.

    The highest confidence among the labels that are predicted but not given; where there is none, the mean confidence
    of the predicted labels.

    Parameters
    ----------
    given, predicted : LabelSets, n samples each
    confidence : (m,) float in [0, 1], one per predicted label

    Returns
    -------
    (n,) float64 in [0, 1]
        NaN for a sample without predicted labels.

    Examples
    --------
    >>> given, predicted = LabelSets.of([[0], [0, 1]]), LabelSets.of([[0, 2], [0]])
    >>> multilabel_confidence(given, predicted, [0.9, 0.6, 0.7])
    array([0.6, 0.7])
    """
    values = np.asarray(confidence, dtype=np.float64)
    sizes = predicted.sizes
    total = np.bincount(predicted.samples, values, minlength=len(predicted))
    result = np.divide(total, sizes, out=np.full(len(predicted), np.nan), where=sizes > 0)
    given_keys, predicted_keys, _ = _keys(given, predicted)
    extra = ~np.isin(predicted_keys, given_keys)
    highest = np.full(len(predicted), -np.inf)
    np.maximum.at(highest, predicted.samples[extra], values[extra])
    return np.where(np.isinf(highest), result, highest)


def _resolve(
    agree: NDArray[np.bool_],
    present: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    confidence: NDArray[np.float64],
    *,
    compat: bool,
) -> NDArray[np.float64]:
    labelled, predicted = present
    score = (1 + np.where(agree, -confidence, confidence)) / 2
    unpredicted = np.where(labelled & compat, 1.0, np.nan)
    return np.where(predicted, score, unpredicted)


def _keys(given: LabelSets, predicted: LabelSets) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Return one number per (sample, class), the same in both collections, and the number of classes."""
    width = 1 + max((int(each.classes.max()) for each in (given, predicted) if each.classes.size), default=0)
    return given.samples * width + given.classes, predicted.samples * width + predicted.classes, width


def _differences(given: LabelSets, predicted: LabelSets) -> NDArray[np.intp]:
    """Return the samples whose two sets differ."""
    given_keys, predicted_keys, width = _keys(given, predicted)
    return distinct(np.setxor1d(distinct(given_keys), distinct(predicted_keys), assume_unique=True) // width)
