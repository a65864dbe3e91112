"""Average precision against pycocotools."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brain_assets.methods.labels.average_precision import IOUS, average_precision
from brain_assets.methods.labels.objects import Objects

SIDE = 100


def objects(random: np.random.Generator, counts: list[int], classes: int, *, labels: bool) -> Objects:
    """Return boxes of few sizes and places, so that many overlap, some by the same share, and confidences that repeat."""
    total = sum(counts)
    boxes = np.hstack([random.integers(0, 12, (total, 2)), random.integers(4, 12, (total, 2))]).astype(float)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    confidence = None if labels else random.integers(0, 20, total) / 20
    crowd = random.random(total) < 0.15 if labels else None
    return Objects(boxes, random.integers(0, classes, total), offsets, confidence, crowd)


def expected(labels: Objects, predictions: Objects, count: int) -> np.ndarray:
    """Return what pycocotools says, NaN where it says -1."""
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools judges what COCO means")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    truth, images = coco.COCO(), len(labels.offsets) - 1
    given = zip(labels.images, labels.classes, labels.boxes, labels.is_crowd, strict=True)
    rows = [
        {"id": place, "image_id": int(image), "category_id": int(one), "bbox": list(box), "area": box[2] * box[3]}
        | {"iscrowd": int(crowd)}
        for place, (image, one, box, crowd) in enumerate(given, 1)
    ]
    truth.dataset = {
        "images": [{"id": image, "height": SIDE, "width": SIDE} for image in range(images)],
        "annotations": rows,
        "categories": [{"id": one} for one in range(count)],
    }
    found = np.column_stack([predictions.images, predictions.boxes, predictions.confidence, predictions.classes])
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        judge = evaluation.COCOeval(truth, truth.loadRes(found), "bbox")
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"][:, :, :, 0, 2].mean(axis=1)
    return np.where(precision < 0, np.nan, precision)


@given(
    seed=st.integers(0, 2**32 - 1),
    given_counts=st.lists(st.integers(0, 6), min_size=1, max_size=6),
    found_counts=st.lists(st.integers(0, 8), min_size=6, max_size=6),
    classes=st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_it_is_cocos(seed: int, given_counts: list[int], found_counts: list[int], classes: int) -> None:
    random = np.random.default_rng(seed)
    labels = objects(random, given_counts, classes, labels=True)
    predictions = objects(
        random, [max(1, found_counts[0]), *found_counts[1:]][: len(given_counts)], classes, labels=False
    )
    found = average_precision(labels, predictions, classes)
    np.testing.assert_allclose(found, expected(labels, predictions, classes), atol=1e-9)


def test_of_a_crowded_image_the_hundred_most_confident_count() -> None:
    random = np.random.default_rng(0)
    labels = objects(random, [30, 5], 1, labels=True)
    predictions = objects(random, [300, 20], 1, labels=False)
    np.testing.assert_allclose(average_precision(labels, predictions, 1), expected(labels, predictions, 1), atol=1e-9)


def test_nothing_labelled_and_nothing_found() -> None:
    nothing = Objects(np.empty((0, 4)), np.empty(0, np.int64), np.zeros(3, np.int64), np.empty(0))
    one = Objects(np.array([[0.0, 0, 2, 2]]), np.array([1]), np.array([0, 1, 1]))
    assert np.isnan(average_precision(nothing, nothing, 2)).all()
    found = average_precision(one, nothing, 2)
    assert found.shape == (len(IOUS), 2)
    assert np.isnan(found[:, 0]).all()
    assert (found[:, 1] == 0).all()
