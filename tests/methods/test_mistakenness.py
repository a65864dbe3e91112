"""Mistakenness of class labels: the formula, what the peer gets wrong, and the peer's numbers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brain_assets.methods.labels.mistakenness import (
    LabelSets,
    certainty,
    mistakenness,
    multilabel_confidence,
    multilabel_mistakenness,
)

GOLDEN = Path(__file__).parent.parent / "golden" / "seed7"
SETS = st.lists(st.lists(st.integers(0, 4), max_size=3), max_size=6)


@pytest.fixture(scope="module")
def inputs() -> dict[str, Any]:
    return {**np.load(GOLDEN / "inputs.npz"), **json.loads((GOLDEN / "inputs.json").read_text())}


@pytest.fixture(scope="module")
def outputs() -> dict[str, Any]:
    return json.loads((GOLDEN / "outputs.json").read_text())


def codes(labels: np.ndarray, missing: list[int]) -> np.ndarray:
    labels = labels.copy()
    labels[missing] = -1
    return labels


@pytest.mark.parametrize("kind", ["conf", "logits"])
def test_agrees_with_the_peer(inputs: dict[str, Any], outputs: dict[str, Any], kind: str) -> None:
    confidence = inputs["conf"] if kind == "conf" else certainty(inputs["logits"])
    given, predicted = codes(inputs["gt"], inputs["no_gt"]), codes(inputs["pred"], inputs["no_pred"])
    ours = mistakenness(given, predicted, confidence, mode="compat")
    theirs = np.array(outputs[f"mistakenness.class.{kind}"], dtype=float)
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_agrees_with_the_peer_on_several_labels(inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
    given, predicted = LabelSets.of(inputs["ml_gt"]), LabelSets.of(inputs["ml_pred"])
    for mode in ("compat", "default"):
        ours = multilabel_mistakenness(given, predicted, certainty(inputs["ml_logits"]), mode=mode)
        np.testing.assert_allclose(ours, outputs["mistakenness.multilabel.logits"], atol=1e-12)


def test_default_differs_from_the_peer_only_where_something_is_missing(inputs: dict[str, Any]) -> None:
    given, predicted = codes(inputs["gt"], inputs["no_gt"]), codes(inputs["pred"], inputs["no_pred"])
    ours = mistakenness(given, predicted, inputs["conf"])
    compat = mistakenness(given, predicted, inputs["conf"], mode="compat")
    both = (given != -1) & (predicted != -1)
    np.testing.assert_array_equal(ours[both], compat[both])
    unlabelled = (given == -1) & (predicted != -1)
    np.testing.assert_allclose(ours[unlabelled], 1 - compat[unlabelled])
    assert np.isnan(ours[predicted == -1]).all()


def test_an_unlabelled_sample_ranks_with_the_confidence_of_its_prediction() -> None:
    scores = mistakenness([-1, -1, 2], [2, 2, 2], [0.99, 0.6, 0.99])
    assert scores.argsort().tolist() == [2, 1, 0]


@given(st.integers(-1, 3), st.integers(-1, 3), st.floats(0, 1))
def test_a_sure_disagreement_is_the_surest_mistake(label: int, guess: int, confidence: float) -> None:
    score = mistakenness([label], [guess], [confidence])[0]
    if guess == -1:
        assert np.isnan(score)
    else:
        assert score == pytest.approx((1 + (confidence if label != guess else -confidence)) / 2)


def test_an_unknown_confidence_is_an_unknown_mistake() -> None:
    assert np.isnan(mistakenness([0, 1], [0, 0], [np.nan, np.nan])).all()


def test_no_samples_give_no_scores() -> None:
    assert mistakenness([], [], []).shape == (0,)
    empty = LabelSets.of([])
    assert multilabel_mistakenness(empty, empty, []).shape == (0,)


@given(SETS, st.data())
def test_sets_are_compared_as_sets(given_sets: list[list[int]], data: st.DataObject) -> None:
    labels = st.lists(st.integers(0, 4), max_size=3)
    guesses = data.draw(st.lists(labels, min_size=len(given_sets), max_size=len(given_sets)))
    scores = multilabel_mistakenness(
        LabelSets.of(given_sets), LabelSets.of(guesses), np.full(len(guesses), 0.8), mode="compat"
    )
    assert scores == pytest.approx([0.1 if set(a) == set(b) else 0.9 for a, b in zip(given_sets, guesses, strict=True)])


def test_an_unlabelled_sample_with_predicted_labels_is_a_likely_mistake() -> None:
    given, predicted = LabelSets.of([[], [1], []]), LabelSets.of([[0], [], []])
    np.testing.assert_allclose(multilabel_mistakenness(given, predicted, [0.9, np.nan, np.nan]), [0.95, np.nan, np.nan])


@given(SETS, st.data())
def test_confidence_is_that_of_the_label_in_dispute(guesses: list[list[int]], data: st.DataObject) -> None:
    guesses = [sorted(set(labels)) for labels in guesses]
    labels = st.lists(st.integers(0, 4), max_size=3)
    given_sets = data.draw(st.lists(labels, min_size=len(guesses), max_size=len(guesses)))
    size = sum(map(len, guesses))
    confidence = np.array(data.draw(st.lists(st.floats(0, 1), min_size=size, max_size=size)))
    expected, start = [], 0
    for true, guess in zip(given_sets, guesses, strict=True):
        values = dict(zip(guess, confidence[start:], strict=False))
        extra = [values[label] for label in guess if label not in true]
        expected.append(max(extra) if extra else np.mean([*values.values()]) if values else np.nan)
        start += len(guess)
    actual = multilabel_confidence(LabelSets.of(given_sets), LabelSets.of(guesses), confidence)
    np.testing.assert_allclose(actual, expected)


def test_several_labels_by_confidence_need_no_logits() -> None:
    given, predicted = LabelSets.of([[0], [0], [0]]), LabelSets.of([[0], [0, 1], [0, 1]])
    confidence = multilabel_confidence(given, predicted, [0.9, 0.9, 0.95, 0.9, 0.5])
    np.testing.assert_allclose(multilabel_mistakenness(given, predicted, confidence), [0.05, 0.975, 0.75])
