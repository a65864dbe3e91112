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
    assert profile.class_seen.argsort().tolist() == [1, 2, 0]
    assert profile.rates.spurious < profile.rates.misplaced
    assert np.diff(profile.found.at(np.linspace(-4, 4))).min() > 0


@pytest.mark.parametrize("images", [[], [([], [])], [([box(0, 0)], [])], [([], [box(0, 0)])]])
def test_too_little_to_calibrate_gives_the_default(images: list[tuple[list, list]]) -> None:
    labels, predictions = batch([image[0] for image in images]), batch([image[1] for image in images], predicted=True)
    profile = calibrate(labels, predictions, classes=3)
    default = DetectorProfile.default(3)
    assert (profile.found, profile.rates) == (default.found, default.rates)


def test_rates_of_errors_are_learned_where_the_detector_is_surest() -> None:
    rng = np.random.default_rng(0)
    images = []
    for _ in range(400):
        boxes = [box(8 * i + rng.normal(0, 0.1), 0, 4, int(rng.integers(2))) for i in range(4)]
        seen = [box(*row[0][:2], 4, row[1], confidence=rng.uniform(0.8, 1)) for row in boxes if rng.random() < 0.9]
        renamed = [(row[0], 1 - row[1], *row[2:]) if rng.random() < 0.15 else row for row in boxes]
        images.append(([row for row in renamed if rng.random() > 0.2], seen))
    labels, predictions = batch([image[0] for image in images]), batch([image[1] for image in images], predicted=True)
    rates = calibrate(labels, predictions, classes=2).rates
    assert rates.missing == pytest.approx(0.2, abs=0.06)
    assert rates.wrong_class == pytest.approx(0.15, abs=0.06)


def test_a_large_object_that_nobody_sees_is_the_more_suspect() -> None:
    found = ([box(0, 0, 8), box(20, 20, 1)], [box(0, 0, 8)])
    images = [found] * 60 + [([box(0, 0, 8), box(20, 20, 1)], [])]
    labels, predictions = batch([image[0] for image in images]), batch([image[1] for image in images], predicted=True)
    large, small = calibrate(labels, predictions, classes=1).unseen(labels)[-2:]
    assert large > 2 * small
