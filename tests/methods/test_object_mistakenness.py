"""Mistakenness of objects: matching against loops, the peer's numbers, and what each kind of error scores."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brain_assets.methods.matching import match
from brain_assets.methods.mistakenness import certainty
from brain_assets.methods.object_mistakenness import PeerScores, image_count, image_maximum, peer_scores
from brain_assets.methods.objects import Objects, box_iou

GOLDEN = Path(__file__).parent.parent / "golden" / "seed7"
# A coarse grid makes equal overlaps and equal confidences common.
OBJECT = st.tuples(
    st.tuples(*[st.integers(0, 3)] * 2, *[st.integers(1, 3)] * 2),
    st.integers(0, 1),
    st.sampled_from([0.3, 0.6, 0.9]),
    st.booleans(),
)
IMAGES = st.lists(st.tuples(st.lists(OBJECT, max_size=4), st.lists(OBJECT, max_size=4)), max_size=3)


def batch(images: list[list[tuple]], *, predicted: bool = False, crowds: bool = True) -> Objects:
    rows = [row for image in images for row in image]
    return Objects(
        boxes=np.array([row[0] for row in rows], dtype=float).reshape(-1, 4),
        classes=np.array([row[1] for row in rows], dtype=np.int64),
        offsets=np.cumsum([0, *map(len, images)]),
        confidence=np.array([row[2] for row in rows], dtype=float) if predicted else None,
        crowd=np.array([row[3] for row in rows], dtype=bool) if crowds and not predicted else None,
    )


def matched_by_loop(labels: list[tuple], predictions: list[tuple], threshold: float) -> list[int]:
    """COCO's matching of one image, one prediction after the other."""
    result, taken = [-1] * len(predictions), set()
    for turn in sorted(range(len(predictions)), key=lambda p: -predictions[p][2]):
        box, category, *_ = predictions[turn]
        best = (threshold, -1)
        for wanted in (False, True):
            for position, (label_box, label_category, _, crowd) in enumerate(labels):
                allowed = category == label_category if crowd else position not in taken
                overlap = box_iou([label_box], [box], [crowd])[0]
                if crowd is wanted and allowed and overlap >= best[0]:
                    best = (overlap, position)
            if best[1] >= 0:
                break
        result[turn] = best[1]
        taken.add(best[1])
    return result


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


@given(IMAGES)
def test_an_image_is_judged_alone(images: list[tuple[list, list]]) -> None:
    labels, predictions = batch([image[0] for image in images]), batch([image[1] for image in images], predicted=True)
    together = peer_scores(labels, predictions)
    alone = [peer_scores(batch([given_]), batch([seen], predicted=True)) for given_, seen in images]
    for column in ("mistakenness", "mistakenness_loc", "possible_spurious", "possible_missing"):
        parts = [getattr(scores, column) for scores in alone]
        np.testing.assert_array_equal(getattr(together, column), np.concatenate(parts) if parts else [])


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
