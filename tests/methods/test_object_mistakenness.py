"""Mistakenness of objects: matching against loops, the peer's numbers, and what each kind of error scores."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from sklearn.metrics import roc_auc_score

from brain_assets.methods.labels.detectors import DetectorProfile, Rates, calibrate
from brain_assets.methods.labels.matching import NONE, match
from brain_assets.methods.labels.mistakenness import certainty
from brain_assets.methods.labels.object_mistakenness import (
    Cuts,
    ObjectScores,
    PeerScores,
    image_count,
    image_maximum,
    object_scores,
    objects_to_add,
    peer_scores,
)
from brain_assets.methods.labels.objects import Objects
from tests.methods.object_batches import IMAGES, batch, box, matched_by_loop

GOLDEN = Path(__file__).parent.parent / "golden" / "seed7"


def judge(labels: list[tuple], predictions: list[tuple], **more: Any) -> ObjectScores:
    return object_scores(batch([labels]), batch([predictions], predicted=True), DetectorProfile.default(3), **more)


@given(IMAGES)
def test_an_image_is_judged_alone(images: list[tuple[list, list]]) -> None:
    labels, predictions = batch([image[0] for image in images]), batch([image[1] for image in images], predicted=True)
    together = peer_scores(labels, predictions)
    alone = [peer_scores(batch([given_]), batch([seen], predicted=True)) for given_, seen in images]
    for column in ("mistakenness", "mistakenness_loc", "possible_spurious", "possible_missing"):
        parts = [getattr(scores, column) for scores in alone]
        np.testing.assert_array_equal(getattr(together, column), np.concatenate(parts) if parts else [])


@pytest.mark.parametrize("images", [[], [([], [])]])
def test_no_objects_have_no_scores(images: list[tuple[list, list]]) -> None:
    labels, predictions = batch([image[0] for image in images]), batch([image[1] for image in images], predicted=True)
    scores = peer_scores(labels, predictions)
    assert scores.mistakenness.size == scores.possible_missing.size == 0
    assert np.isnan(image_maximum(scores.mistakenness, labels.offsets)).all()
    assert not image_count(scores.possible_spurious, labels.offsets).any()


class Golden:
    """The peer's inputs as flat arrays, and its outputs in the same order."""

    def __init__(self, copied: bool = False) -> None:
        self.images = json.loads((GOLDEN / "inputs.json").read_text())["detections"]
        self.labels, self.label_ids = self._side("gt", copied=copied)
        self.predictions, self.prediction_ids = self._side("pred")
        rows = [row for image in self.images for row in image["pred"] or []]
        self.certainty = certainty(np.array([row["logits"] for row in rows]))
        self.copied = np.array([uid.startswith("p") for _, uid in self.label_ids])

    def _side(self, side: str, *, copied: bool = False) -> tuple[Objects, list[tuple[int, str]]]:
        images = [image[side] or [] for image in self.images]
        if copied:
            images = [rows + self._missing(image) for rows, image in zip(images, self.images, strict=True)]
        rows = [[(row["box"], int(row["label"][1:]), row.get("confidence", 0), False) for row in i] for i in images]
        ids = [(number, row["uid"]) for number, image in enumerate(images) for row in image]
        return batch(rows, predicted=side == "pred", crowds=False), ids

    def _missing(self, image: dict[str, Any]) -> list[dict[str, Any]]:
        given_objects, seen = image["gt"] or [], image["pred"] or []
        labels = [(row["box"], 0, 0, False) for row in given_objects]
        matched = matched_by_loop(labels, [(row["box"], 0, row["confidence"], False) for row in seen], 0.5)
        return [row for row, label in zip(seen, matched, strict=True) if label < 0 and row["confidence"] > 0.95]

    def check(self, scores: PeerScores, outputs: dict[str, Any]) -> None:
        samples = outputs["samples"]
        for column in ("mistakenness", "mistakenness_loc", "possible_spurious"):
            theirs = [(samples[i]["gt"] or {}).get(uid, {}).get(column) for i, uid in self.label_ids]
            ours = getattr(scores, column).astype(float)
            empty = 0.0 if column == "possible_spurious" else np.nan
            np.testing.assert_allclose(ours, [empty if x is None else x for x in theirs], atol=1e-9)
        missing = image_count(scores.possible_missing, self.predictions.offsets).tolist()
        spurious = image_count(scores.possible_spurious, self.labels.offsets).tolist()
        assert missing == [sample["possible_missing"] for sample in samples]
        assert spurious == [sample["possible_spurious"] for sample in samples]

    def missing_flags(self, outputs: dict[str, Any]) -> list[bool]:
        predicted = [outputs["samples"][i]["pred"][uid] for i, uid in self.prediction_ids]
        return [row.get("possible_missing", False) for row in predicted]


@pytest.fixture(scope="module")
def outputs() -> dict[str, Any]:
    return json.loads((GOLDEN / "outputs.json").read_text())


@pytest.mark.parametrize("kind", ["conf", "logits", "copy_missing"])
def test_agrees_with_the_peer(outputs: dict[str, Any], kind: str) -> None:
    golden, theirs = Golden(), outputs[f"mistakenness.det.{kind}"]
    scores = peer_scores(golden.labels, golden.predictions, certainty=golden.certainty if kind == "logits" else None)
    golden.check(scores, theirs)
    assert scores.possible_missing.tolist() == golden.missing_flags(theirs)
    highest = image_maximum(scores.mistakenness, golden.labels.offsets)
    peers = [sample["mistakenness"] for sample in theirs["samples"]]
    np.testing.assert_allclose(np.nan_to_num(highest, nan=-1), peers, atol=1e-9)


def test_copies_are_those_of_the_peer(outputs: dict[str, Any]) -> None:
    golden = Golden()
    scores = peer_scores(golden.labels, golden.predictions)
    copies = [golden.prediction_ids[i] for i in np.flatnonzero(scores.possible_missing)]
    samples = outputs["mistakenness.det.copy_missing"]["samples"]
    theirs = [(i, uid) for i, sample in enumerate(samples) for uid in sample["gt"] or {} if uid.startswith("p")]
    assert copies == theirs
    assert copies


def test_copies_are_left_alone_when_scored_again(outputs: dict[str, Any]) -> None:
    golden, theirs = Golden(copied=True), outputs["mistakenness.det.copy_missing_twice"]
    assert golden.copied.sum() == sum(s["possible_missing"] for s in outputs["mistakenness.det.conf"]["samples"])
    # Their second run counts no missing object, though the flags of the first stay on its predictions.
    scores = peer_scores(golden.labels, golden.predictions, copied=golden.copied)
    golden.check(scores, theirs)
    assert not scores.possible_missing.any()
    assert any(golden.missing_flags(theirs))


def test_a_first_image_without_match_does_not_truncate_the_others(outputs: dict[str, Any]) -> None:
    golden = Golden()
    scores = peer_scores(golden.labels, golden.predictions)
    golden.check(scores, outputs["mistakenness.det.empty_first"])
    highest = image_maximum(scores.mistakenness, golden.labels.offsets)
    assert np.isnan(highest[0])
    truncated = [sample["mistakenness"] for sample in outputs["mistakenness.det.empty_first"]["samples"]]
    assert set(truncated) == {-1, 0}
    assert ((highest[1:] > 0) & (highest[1:] < 1)).sum() > 100


@given(IMAGES)
def test_scores_are_probabilities_and_images_are_judged_alone(images: list[tuple[list, list]]) -> None:
    labels, predictions = batch([image[0] for image in images]), batch([image[1] for image in images], predicted=True)
    profile = calibrate(labels, predictions, classes=2)
    together = object_scores(labels, predictions, profile)
    alone = [object_scores(batch([a]), batch([b], predicted=True), profile) for a, b in images]
    for column in ("mistakenness", "mistakenness_loc", "spurious_score", "missing_score", "suggested"):
        values, parts = getattr(together, column), [getattr(scores, column) for scores in alone]
        np.testing.assert_allclose(values, np.concatenate(parts) if parts else [], atol=1e-12)
        known = values[~np.isnan(values)]
        assert column == "suggested" or ((known >= 0) & (known <= 1)).all()


@given(IMAGES)
def test_scores_do_not_depend_on_scale(images: list[tuple[list, list]]) -> None:
    labels, predictions = batch([image[0] for image in images]), batch([image[1] for image in images], predicted=True)
    factor = np.array([2**-6, 2**-2, 2**-6, 2**-2])  # exact, lest an overlap fall just below a half
    small = [
        Objects(side.boxes * factor, side.classes, side.offsets, side.confidence, side.crowd)
        for side in (labels, predictions)
    ]
    default = DetectorProfile.default(2)
    for profiles in ((default, default), (calibrate(labels, predictions, 2), calibrate(small[0], small[1], 2))):
        ours, theirs = (
            object_scores(*sides, profile)
            for sides, profile in zip(((labels, predictions), small), profiles, strict=True)
        )
        for column in ("mistakenness", "mistakenness_loc", "spurious_score", "missing_score"):
            np.testing.assert_allclose(getattr(ours, column), getattr(theirs, column), atol=1e-9)


def test_a_perfect_prediction_clears_its_label() -> None:
    scores = judge([box(0, 0)], [box(0, 0, confidence=1.0)])
    assert scores.missing_score[0] == 0
    assert max(scores.mistakenness[0], scores.mistakenness_loc[0], scores.spurious_score[0]) < 0.005


def test_a_wrong_class_is_contradicted_by_the_prediction_that_fits() -> None:
    right, wrong = judge([box(0, 0)], [box(0, 0)]), judge([box(0, 0)], [box(0, 0, category=2)])
    assert wrong.mistakenness[0] > 0.25
    assert right.mistakenness[0] < 0.02
    assert wrong.suggested.tolist() == [2]
    assert right.suggested.tolist() == [-1]
    assert not wrong.possible_missing.any()
    assert not wrong.possible_spurious.any()


def test_two_objects_of_other_classes_in_one_place_are_no_contradiction() -> None:
    person, sofa = box(0, 0, 10, category=0), box(0, 1, 10, category=1)
    both = judge([person, sofa], [person, sofa])
    alone = judge([sofa], [person])
    assert both.mistakenness.max() < 0.02
    assert alone.mistakenness[0] > 0.25


def test_an_unlabelled_object_scores_by_how_much_the_prediction_is_trusted() -> None:
    scores = judge([box(0, 0)], [box(0, 0), box(5, 5, confidence=0.9), box(8, 8, confidence=0.3)])
    assert scores.missing_score[0] == 0
    assert scores.missing_score[1] > scores.missing_score[2] > 0
    assert scores.possible_missing.tolist() == [False, True, False]


def test_a_label_nobody_sees_is_the_more_suspect_the_better_the_detector_knows_its_class() -> None:
    seen = [([box(0, 0, category=0), box(5, 5, category=1)], [box(0, 0, category=0)]) for _ in range(9)]
    images = [*seen, ([box(0, 0, category=0), box(5, 5, category=1)], [])]
    labels, predictions = batch([image[0] for image in images]), batch([image[1] for image in images], predicted=True)
    scores = object_scores(labels, predictions, calibrate(labels, predictions, classes=2))
    found, known, unknown = scores.spurious_score[0], *scores.spurious_score[-2:]
    assert known > unknown > found


def test_a_box_is_the_worse_placed_the_further_it_is_from_its_object() -> None:
    shifts = (0.0, 0.1, 0.2, 0.4, 0.6, 1.0, 1.6)
    scores = [judge([box(shift, 0)], [box(0, 0, confidence=1.0)]).mistakenness_loc[0] for shift in shifts]
    assert scores == sorted(scores)
    assert scores[0] < 0.01
    assert scores[-1] > 0.5


def test_a_box_without_prediction_is_as_well_placed_as_usual() -> None:
    scores = judge([box(0, 0)], [box(7, 7)])
    assert (scores.mistakenness_loc.tolist(), scores.placed_by.tolist()) == ([Rates().misplaced], [NONE])


def test_a_place_is_told_by_the_prediction_that_fits_best_and_no_other_label_better() -> None:
    scores = judge([box(0, 0), box(0.5, 0)], [box(1.2, 0, confidence=0.9), box(0.2, 0, confidence=0.9)])
    assert scores.placed_by.tolist() == [1, 0]


def test_of_two_labels_on_one_object_the_worse_is_one_too_many() -> None:
    scores = judge([box(0.2, 0), box(0, 0)], [box(0, 0)])
    assert scores.duplicate_of.tolist() == [1, -1]
    assert scores.spurious_score[0] > 0.7
    assert scores.possible_spurious.tolist() == [True, False]
    equal = judge([box(0, 0), box(0, 0)], [])
    assert equal.duplicate_of.tolist() == [-1, 0]


def test_two_objects_that_overlap_are_not_duplicates_of_each_other() -> None:
    scores = judge([box(0, 0, 10), box(2, 0, 10)], [box(0, 0, 10, confidence=0.99), box(2, 0, 10, confidence=0.99)])
    assert scores.spurious_score.max() < 0.05


def test_labels_of_other_classes_are_never_duplicates() -> None:
    assert judge([box(0, 0), box(0, 0, category=1)], [box(0, 0)]).duplicate_of.tolist() == [-1, -1]


def test_a_crowd_has_no_score_and_hides_what_it_holds() -> None:
    crowd = box(0, 0, 10, crowd=True)
    scores = judge([crowd], [box(1, 1), box(6, 6), box(6, 1, category=1)])
    assert np.isnan([scores.mistakenness[0], scores.mistakenness_loc[0], scores.spurious_score[0]]).all()
    assert not scores.possible_spurious.any()
    assert scores.possible_missing.tolist() == [False, False, True]


def test_cuts_are_parameters() -> None:
    labels, seen = [box(0, 0), box(4, 0)], [box(0, 0, confidence=0.2), box(8, 8, confidence=0.2)]
    assert not judge(labels, seen).possible_missing.any()
    low = judge(labels, seen, cuts=Cuts(missing=0.01, spurious=0.05))
    assert low.possible_missing.tolist() == [False, True]
    assert low.possible_spurious.tolist() == [False, True]
    assert judge([box(0.9, 0)], [box(0, 0)], cuts=Cuts(iou=0.3)).matches.label.tolist() == [0]
    assert judge([box(0.9, 0)], [box(0, 0)], cuts=Cuts(iou=0.5)).matches.label.tolist() == [-1]


def test_a_second_opinion_raises_and_lowers_the_doubt() -> None:
    labels = [box(0, 0), box(4, 4), box(8, 8)]
    base = judge(labels, [])
    told = judge(labels, [], opinion=[0.95, 0.05, np.nan])
    for column in ("mistakenness", "spurious_score"):
        before, after = getattr(base, column), getattr(told, column)
        assert after[0] > before[0]
        assert after[1] < before[1]
        assert after[2] == pytest.approx(before[2])
    np.testing.assert_array_equal(base.mistakenness_loc, told.mistakenness_loc)


def test_an_opinion_counts_by_what_it_says_beyond_the_usual() -> None:
    labels, predictions = batch([[box(0, 0)]]), batch([[]], predicted=True)
    profile = DetectorProfile.default(3)
    usual = replace(profile, opinion=float(np.log(4)))
    told = object_scores(labels, predictions, usual, opinion=[0.8])
    np.testing.assert_allclose(told.mistakenness, object_scores(labels, predictions, profile).mistakenness)


def test_a_prediction_without_confidence_says_nothing() -> None:
    scores = judge([box(0, 0)], [box(0, 0, confidence=np.nan), box(5, 5, confidence=np.nan)])
    assert scores.missing_score.tolist() == [0, 0]
    assert scores.mistakenness_loc.tolist() == [Rates().misplaced]


def test_each_missing_object_is_exported_once() -> None:
    seen = [
        box(0, 0, confidence=0.9),
        box(0.2, 0, confidence=0.95),
        box(5, 5, confidence=0.95),
        box(8, 8, confidence=0.1),
    ]
    predictions = batch([seen, seen], predicted=True)
    labels = batch([[box(5, 5)], []])
    scores = object_scores(labels, predictions, DetectorProfile.default(3))
    assert scores.possible_missing.tolist() == [True, True, False, False, True, True, True, False]
    candidates = batch([seen[:2], seen[:3]], predicted=True)
    assert objects_to_add(candidates, scores.missing_score[scores.possible_missing]).tolist() == [1, 3, 4]
    assert objects_to_add(batch([[], []], predicted=True), []).tolist() == []


def planted(kind: str, seed: int) -> tuple[Objects, Objects, np.ndarray]:
    """Sixty images of five objects that a detector mostly finds, with errors of one kind in every tenth label."""
    rng = np.random.default_rng(seed)
    labels, predictions, wrong = [], [], []
    for _ in range(60):
        places = rng.permutation(25)[:10]
        real = [
            (20.0 * (p % 5) + rng.uniform(0, 4), 20.0 * (p // 5) + rng.uniform(0, 4), rng.integers(3)) for p in places
        ]
        seen = [box(x + rng.normal(0, 0.5), y + rng.normal(0, 0.5), 10, c, rng.uniform(0.5, 1)) for x, y, c in real[:5]]
        predictions.append([row for row in seen if rng.random() < 0.85])
        hit = rng.random(5) < 0.1
        marked = [
            damaged(kind, spot, spare) if h else box(*spot[:2], 10, spot[2])
            for h, spot, spare in zip(hit, real, real[5:], strict=False)
        ]
        labels.append([row for row in marked if row is not None])
        wrong.append(hit)
    return batch(labels, crowds=False), batch(predictions, predicted=True), np.concatenate(wrong)


def damaged(kind: str, spot: tuple, spare: tuple) -> tuple | None:
    x, y, category = spot
    return {
        "missing": None,
        "spurious": box(*spare[:2], 10, category),
        "shifted": box(x + 4, y + 3, 10, category),
        "renamed": box(x, y, 10, (category + 1) % 3),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "column", "least"),
    [
        ("spurious", "spurious_score", 0.85),
        ("shifted", "mistakenness_loc", 0.9),
        ("renamed", "mistakenness", 0.93),
    ],
)
def test_planted_errors_rank_high(kind: str, column: str, least: float) -> None:
    labels, predictions, wrong = planted(kind, seed=0)
    scores = object_scores(labels, predictions, calibrate(labels, predictions, classes=3))
    assert roc_auc_score(wrong, getattr(scores, column)) > least


def test_dropped_labels_leave_predictions_that_rank_high() -> None:
    labels, predictions, _ = planted("missing", seed=0)
    whole, _, _ = planted("missing", seed=0)
    scores = object_scores(labels, predictions, calibrate(labels, predictions, classes=3))
    matched = match(whole, predictions).label >= 0
    assert roc_auc_score(~matched, scores.missing_score) > 0.95
