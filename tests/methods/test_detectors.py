"""The profile of a detector: what its confidences and classes are worth."""

import numpy as np
import pytest

from brain_assets.methods.labels.detectors import DetectorProfile, calibrate
from tests.methods.object_batches import batch, box


def test_a_profile_knows_how_often_confidences_and_classes_are_right() -> None:
    hit = ([box(0, 0, category=0), box(5, 5, category=1)], [box(0, 0, category=0, confidence=0.9)])
    miss = ([box(0, 0, category=0)], [box(5, 5, category=1, confidence=0.2)])
    images = [hit] * 40 + [miss] * 40
    labels, predictions = batch([image[0] for image in images]), batch([image[1] for image in images], predicted=True)
    profile = calibrate(labels, predictions, classes=3)
    trust = profile.trust(predictions)
    assert trust[:40].min() > 0.8
    assert trust[40:].max() < 0.2
    assert profile.class_recall.argsort().tolist() == [1, 2, 0]
    assert (np.diff(profile.precision) >= 0).all()


@pytest.mark.parametrize("images", [[], [([], [])], [([box(0, 0)], [])], [([], [box(0, 0)])]])
def test_too_little_to_calibrate_gives_the_default(images: list[tuple[list, list]]) -> None:
    labels, predictions = batch([image[0] for image in images]), batch([image[1] for image in images], predicted=True)
    profile = calibrate(labels, predictions, classes=3)
    np.testing.assert_array_equal(profile.precision, DetectorProfile.default(3).precision)
