"""Matching of predictions and labels, against a loop over one image at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brain_assets.methods.labels.matching import match
from tests.methods.object_batches import IMAGES, batch, box, matched_by_loop


@given(IMAGES, st.sampled_from([0.2, 0.5]))
def test_matches_are_those_of_the_loop(images: list[tuple[list, list]], threshold: float) -> None:
    labels, predictions = batch([image[0] for image in images]), batch([image[1] for image in images], predicted=True)
    expected, start = [], 0
    for given_objects, predicted in images:
        expected += [m if m < 0 else m + start for m in matched_by_loop(given_objects, predicted, threshold)]
        start += len(given_objects)
    matches = match(labels, predictions, threshold)
    # A tie between crowds may go to either.
    crowd = labels.is_crowd
    for ours, theirs in zip(matches.label.tolist(), expected, strict=True):
        assert ours == theirs or (crowd[ours] and crowd[theirs])


@given(IMAGES)
def test_both_sides_of_a_match_agree(images: list[tuple[list, list]]) -> None:
    labels = batch([image[0] for image in images], crowds=False)
    predictions = batch([image[1] for image in images], predicted=True)
    matches = match(labels, predictions)
    for prediction, label in enumerate(matches.label.tolist()):
        if label >= 0:
            assert matches.prediction[label] == prediction
            assert matches.label_iou[label] == matches.prediction_iou[prediction] >= 0.5
    assert (matches.label >= 0).sum() == (matches.prediction >= 0).sum()
    assert np.isnan(matches.label_iou[matches.prediction < 0]).all()


def test_a_crowd_takes_many_of_its_class_and_no_other() -> None:
    crowd = ((0, 0, 10, 10), 0, 0, True)
    seen = [((0, 0, 2, 2), 0, 0.9, False), ((4, 4, 2, 2), 0, 0.8, False), ((7, 7, 2, 2), 1, 0.7, False)]
    matches = match(batch([[crowd]]), batch([seen], predicted=True))
    assert matches.label.tolist() == [0, 0, -1]
    assert matches.prediction.tolist() == [1]


def test_predictions_need_confidences() -> None:
    labels = batch([[((0, 0, 1, 1), 0, 0, False)]])
    with pytest.raises(ValueError, match="need a confidence"):
        match(labels, labels)


def test_equal_classes_match_first() -> None:
    labels = [box(0, 0, 10, category=1), box(1, 0, 10, category=0)]
    seen = [box(0.1, 0, 10, category=0)]
    sides = batch([labels]), batch([seen], predicted=True)
    assert match(*sides, own_class_first=True).label.tolist() == [1]
    assert match(*sides).label.tolist() == [0]
