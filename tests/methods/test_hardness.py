"""Hardness: the entropy of the softmax, its fallback from confidence, and the peer's numbers."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from brain_assets.methods.labels.hardness import entropy, hardness, hardness_from_confidence, mean_over_models, softmax

GOLDEN = Path(__file__).parent.parent / "golden" / "seed7"
LOGITS = arrays(np.float64, st.tuples(st.integers(0, 8), st.integers(1, 6)), elements=st.floats(-700, 700))


@pytest.fixture(scope="module")
def inputs() -> dict[str, np.ndarray]:
    return dict(np.load(GOLDEN / "inputs.npz"))


@pytest.fixture(scope="module")
def outputs() -> dict[str, Any]:
    return json.loads((GOLDEN / "outputs.json").read_text())


@given(LOGITS)
def test_is_the_entropy_of_the_softmax(logits: np.ndarray) -> None:
    probabilities = scipy.special.softmax(logits, axis=1)
    np.testing.assert_allclose(softmax(logits), probabilities, atol=1e-12)
    np.testing.assert_allclose(hardness(logits), scipy.stats.entropy(probabilities, axis=1), atol=1e-12)


@given(LOGITS)
def test_lies_between_zero_and_the_logarithm_of_the_class_count(logits: np.ndarray) -> None:
    scores = hardness(logits)
    assert ((scores >= 0) & (scores <= math.log(logits.shape[1]) + 1e-12)).all()


@given(LOGITS, st.floats(-50, 50))
def test_does_not_depend_on_a_constant_added_to_the_logits(logits: np.ndarray, shift: float) -> None:
    np.testing.assert_allclose(hardness(logits + shift), hardness(logits), atol=1e-9)


def test_log_probabilities_give_the_same_as_probabilities() -> None:
    probabilities = np.array([[0.7, 0.3, 0.0], [1.0, 0.0, 0.0]])
    with np.errstate(divide="ignore"):
        assert hardness(np.log(probabilities)) == pytest.approx(entropy(probabilities))


@pytest.mark.parametrize("row", [[np.nan, 0.0], [np.inf, 0.0], [-np.inf, -np.inf]])
def test_an_unusable_row_is_unknown_and_leaves_the_others_alone(row: list[float]) -> None:
    scores = hardness([[0.0, 0.0], row])
    assert scores[0] == pytest.approx(math.log(2))
    assert np.isnan(scores[1])


@pytest.mark.parametrize("shape", [(0, 3), (0, 0)])
def test_no_samples_have_no_hardness(shape: tuple[int, int]) -> None:
    assert hardness(np.empty(shape)).shape == (0,)


def test_without_classes_hardness_is_unknown() -> None:
    assert np.isnan(hardness(np.empty((2, 0)))).all()


def test_flat_logits_are_refused() -> None:
    with pytest.raises(ValueError, match="samples, classes"):
        hardness([0.0, 1.0])


@given(st.floats(0, 1), st.integers(1, 50))
def test_the_fallback_is_the_entropy_of_the_flattest_distribution(confidence: float, classes: int) -> None:
    top = max(confidence, 1 / classes)
    rest = [(1 - top) / (classes - 1)] * (classes - 1) if classes > 1 else []
    expected = scipy.stats.entropy([top, *rest]) if classes > 1 else hardness_from_confidence([top], 1)[0]
    assert hardness_from_confidence([confidence], classes)[0] == pytest.approx(expected, abs=1e-12)


@given(LOGITS)
def test_the_fallback_bounds_the_hardness_from_above(logits: np.ndarray) -> None:
    confidence = softmax(logits).max(axis=1, initial=0)
    assert (hardness_from_confidence(confidence, logits.shape[1]) >= hardness(logits) - 1e-9).all()


@pytest.mark.parametrize("confidence", [np.nan, -0.1, 1.1])
def test_the_fallback_of_an_impossible_confidence_is_unknown(confidence: float) -> None:
    assert np.isnan(hardness_from_confidence([confidence], 10)[0])


def test_the_fallback_needs_a_class() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        hardness_from_confidence([0.5], 0)


def test_the_mean_over_models_leaves_out_what_is_unknown() -> None:
    means = mean_over_models([1.0, np.nan, 3.0, 5.0, np.nan], [2, 2, 2, 0, 1], count=4)
    np.testing.assert_array_equal(means, [5, np.nan, 2, np.nan])


def test_agrees_with_the_peer(inputs: dict[str, np.ndarray], outputs: dict[str, Any]) -> None:
    theirs = np.array(outputs["hardness.pred"], dtype=float)
    predicted = ~np.isnan(theirs)
    np.testing.assert_allclose(hardness(inputs["logits"])[predicted], theirs[predicted], atol=1e-12)
    np.testing.assert_allclose(hardness(inputs["ml_logits"]), outputs["hardness.multilabel"], atol=1e-12)
