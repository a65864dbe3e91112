"""Label issues: each view, both together, unlabelled samples, and planted errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score

from brain_assets.methods.labels.label_issues import (
    FLOOR,
    SURE,
    LabelCalibration,
    LabelIssues,
    calibrate,
    label_issues,
    neighbor_votes,
)

COLUMNS = tuple(LabelIssues.__dataclass_fields__)


def votes_by_loop(distances: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    result = np.full((len(distances), classes), np.nan)
    for row, (spans, votes) in enumerate(zip(distances, labels, strict=True)):
        finite = [span for span in spans if np.isfinite(span)]
        weights = np.zeros(classes)
        for span, label in zip(spans, votes, strict=True):
            if np.isfinite(span) and label >= 0:
                width = (max(finite) - min(finite)) or 1.0
                weights[label] += np.exp(-2 * (span - min(finite)) / width)
        if weights.sum() > 0:
            result[row] = (weights + 1 / classes) / (weights.sum() + 1)
    return result


@given(
    arrays(np.float64, st.tuples(st.integers(0, 5), st.integers(0, 4)), elements=st.floats(0, 2) | st.just(np.inf)),
    st.data(),
)
def test_votes_are_those_of_the_loop(distances: np.ndarray, data: st.DataObject) -> None:
    distances = np.sort(distances, axis=1)
    labels = data.draw(arrays(np.int64, distances.shape, elements=st.integers(-1, 2)))
    votes = neighbor_votes(distances, labels, classes=3)
    np.testing.assert_allclose(votes, votes_by_loop(distances, labels, 3))
    known = ~np.isnan(votes).any(axis=1)
    np.testing.assert_allclose(votes[known].sum(axis=1), 1)


def test_a_neighbour_beyond_the_last_column_has_no_vote() -> None:
    distances, labels = np.linspace(0.1, 0.5, 40)[None], np.array([[0] * 32 + [1] * 8])
    assert neighbor_votes(distances, labels, 2)[0, 1] < 0.05


def test_votes_need_a_label_for_each_distance() -> None:
    with pytest.raises(ValueError, match="share a shape"):
        neighbor_votes([[0.1, 0.2]], [[0]], classes=2)


def planted(seed: int = 0, count: int = 1200, classes: int = 6) -> tuple[np.ndarray, ...]:
    """Labels of which 5 % are wrong, a model that errs often, and neighbours that often share the true class."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, count)
    labels = np.where(rng.random(count) < 0.05, (true + rng.integers(1, classes, count)) % classes, true)
    logits = rng.normal(size=(count, classes))
    logits[np.arange(count), true] += 2.0
    members = [np.flatnonzero(true == c) for c in range(classes)]
    anyone = rng.integers(0, count, (count, 32))
    alike = np.stack([rng.choice(members[c], 32) for c in true])
    neighbors = np.where(rng.random((count, 32)) < rng.choice([0.15, 0.7], (count, 1)), alike, anyone)
    distances = np.sort(rng.random((count, 32)), axis=1)
    return true, labels, logits, neighbors, distances


def precision(labels: np.ndarray, true: np.ndarray, predicted: np.ndarray | None, votes: np.ndarray | None) -> float:
    found = label_issues(labels, predicted, votes, calibrate(labels, predicted, votes))
    return float(average_precision_score(labels != true, found.score))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_either_view_finds_planted_errors_and_both_together_find_more(seed: int) -> None:
    true, labels, logits, neighbors, distances = planted(seed)
    votes = neighbor_votes(distances, labels[neighbors], 6)
    by_predictions, by_neighbors = precision(labels, true, logits, None), precision(labels, true, None, votes)
    assert min(by_predictions, by_neighbors) > 0.4
    assert precision(labels, true, logits, votes) > max(by_predictions, by_neighbors) + 0.05


def test_most_of_what_is_flagged_is_wrong_and_the_suggestion_is_right() -> None:
    true, labels, logits, neighbors, distances = planted()
    votes = neighbor_votes(distances, labels[neighbors], 6)
    found = label_issues(labels, logits, votes, calibrate(labels, logits, votes))
    flagged, wrong = found.is_issue, labels != true
    assert wrong[flagged].mean() > 0.9
    assert flagged[wrong].mean() > 0.5
    assert (found.suggested[flagged & wrong] == true[flagged & wrong]).mean() > 0.95


def test_an_unlabelled_sample_is_judged_by_the_class_it_should_have() -> None:
    sure, unsure = np.log([0.98, 0.01, 0.01]), np.log([0.4, 0.3, 0.3])
    found = label_issues([-1, -1, 0], np.array([sure, unsure, sure]), None, LabelCalibration.default(3))
    np.testing.assert_allclose(found.score, [0.98, 0.4, 0.01 / 0.99], atol=1e-9)
    assert found.is_issue.tolist() == [True, False, False]
    assert found.suggested.tolist()[:2] == [0, 0]
    assert np.isnan(found.given_probability[0])


def test_the_reason_names_the_views_that_contradict_the_label() -> None:
    predicted = np.log([[0.1, 0.9], [0.1, 0.9], [0.4, 0.6]])
    votes = np.array([[0.1, 0.9], [0.6, 0.4], [np.nan, np.nan]])
    found = label_issues([0, 0, 0], predicted, votes, LabelCalibration.default(2))
    assert found.by_predictions.tolist() == [True, True, True]
    assert found.by_neighbors.tolist() == [True, False, False]
    assert found.view.tolist() == [2, 2, 0]
    assert found.suggested.tolist() == [1, 1, 1]


def test_a_sample_that_nothing_is_known_of_is_no_issue() -> None:
    unknown = np.full((3, 2), np.nan)
    found = label_issues([0, -1, 1], unknown, unknown, LabelCalibration.default(2))
    assert np.isnan(found.score).all()
    assert not found.is_issue.any()
    assert found.suggested.tolist() == found.view.tolist() == [-1, -1, -1]


def test_the_weaker_view_counts_for_less() -> None:
    _, labels, logits, neighbors, distances = planted()
    noisy = neighbor_votes(distances, np.random.default_rng(0).permutation(labels)[neighbors], 6)
    weights = calibrate(labels, logits, noisy).weights
    assert weights[0] == 1
    assert weights[1] < 0.4


def test_thresholds_are_mean_probabilities_of_the_own_class() -> None:
    predicted = np.repeat([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7]], 9, axis=0)
    thresholds = calibrate(np.repeat([0, 0, 1], 9), np.log(predicted), None).thresholds
    np.testing.assert_allclose(thresholds[0], [0.7, 0.7])


def test_no_threshold_is_above_what_is_sure() -> None:
    predicted = np.repeat([[0.999, 0.001], [0.5, 0.5], [0.001, 0.999]], [20, 2, 20], axis=0)
    thresholds = calibrate(np.repeat([0, 1], 21), np.log(predicted), None).thresholds
    np.testing.assert_allclose(thresholds[0], SURE)


def test_a_class_that_no_sample_carries_has_the_default_threshold() -> None:
    thresholds = calibrate([0, 0, 0], np.log([[0.2, 0.8]] * 3), None).thresholds
    assert thresholds[:, 1].tolist() == [0.5] * 7


def test_a_class_is_believed_from_where_samples_carry_it_more_often_than_not_beyond_chance() -> None:
    sure, unsure = np.log([[0.9, 0.1], [0.7, 0.3]])
    labels = [0] * 20 + [1] * 10 + [0] * 10 + [1] * 20
    predicted = np.array([sure] * 20 + [unsure] * 20 + [np.flip(sure)] * 20)
    np.testing.assert_allclose(calibrate(labels, predicted, None).thresholds[0, 0], 0.9)
    assert calibrate(np.arange(60) % 2, predicted, None).thresholds[0].tolist() == [1, 1]


@pytest.mark.parametrize("shares", [[0.25, 0.25, 0.25, 0.25], [0.85, 0.05, 0.05, 0.05]])
def test_neighbours_that_know_nothing_doubt_no_label(shares: list[float]) -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(4, 2000, p=shares)
    votes = neighbor_votes(np.sort(rng.random((2000, 24)), axis=1), labels[rng.integers(0, 2000, (2000, 24))], 4)
    assert label_issues(labels, None, votes, calibrate(labels, None, votes)).is_issue.mean() < 0.01


def test_a_class_that_is_a_little_likelier_does_not_outweigh_the_label() -> None:
    predicted = np.log([[0.15, 0.55, 0.3], [0.13, 0.57, 0.3]])
    assert label_issues([0, 0], predicted, None, LabelCalibration.default(3)).is_issue.tolist() == [False, True]


def test_nearly_half_of_the_labels_may_be_wrong() -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 6, 1200)
    labels = np.where(rng.random(1200) < 0.4, rng.integers(0, 6, 1200), true)
    logits = np.where(np.arange(6) == true[:, None], 4.0, rng.normal(size=(1200, 6)))
    flagged = label_issues(labels, logits, None, calibrate(labels, logits, None)).is_issue
    assert flagged[labels != true].mean() > 0.7
    assert (labels != true)[flagged].mean() > 0.9


@given(st.integers(1, 12), st.integers(1, 4), st.data())
def test_rows_are_judged_alone_and_scores_are_probabilities(count: int, classes: int, data: st.DataObject) -> None:
    odd = st.floats(-30, 30) | st.just(np.nan) | st.just(-np.inf)
    logits = data.draw(arrays(np.float64, (count, classes), elements=odd))
    labels = data.draw(arrays(np.int64, count, elements=st.integers(-1, classes - 1)))
    distances = np.sort(data.draw(arrays(np.float64, (count, 3), elements=st.floats(0, 1) | st.just(np.inf))), axis=1)
    votes = neighbor_votes(
        distances, data.draw(arrays(np.int64, (count, 3), elements=st.integers(-1, classes - 1))), classes
    )
    calibration = calibrate(labels, logits, votes)
    assert ((calibration.thresholds >= 0) & (calibration.thresholds <= 1 + 1e-9)).all()
    together = label_issues(labels, logits, votes, calibration)
    known = ~np.isnan(together.score)
    assert ((together.score[known] >= -1e-9) & (together.score[known] <= 1 + 1e-9)).all()
    alone = [label_issues(labels[i : i + 1], logits[i : i + 1], votes[i : i + 1], calibration) for i in range(count)]
    for column in COLUMNS:
        parts = np.concatenate([getattr(found, column) for found in alone])
        np.testing.assert_allclose(getattr(together, column), parts, atol=1e-12)


def test_no_view_is_beyond_doubt() -> None:
    logits, votes = np.array([[1000.0, 0.0]]), np.array([[0.2, 0.8]])
    found = label_issues([1], logits, votes, LabelCalibration.default(2))
    assert found.score[0] == pytest.approx(1 - FLOOR * 0.8 / (FLOOR * 0.8 + 0.2))


@pytest.mark.parametrize("classes", [1, 3])
def test_no_samples_give_no_issues(classes: int) -> None:
    empty = np.empty((0, classes))
    found = label_issues([], empty, None, calibrate([], empty, None))
    assert all(len(getattr(found, column)) == 0 for column in COLUMNS)


def test_one_class_cannot_be_mistaken() -> None:
    logits = np.zeros((3, 1))
    found = label_issues([0, 0, -1], logits, None, calibrate([0, 0, -1], logits, None))
    assert found.score.tolist() == [0, 0, 1]
    assert found.is_issue.tolist() == [False, False, True]


def test_a_view_is_needed_and_views_share_their_classes() -> None:
    with pytest.raises(ValueError, match="predictions or votes"):
        label_issues([0], None, None, LabelCalibration.default(2))
    with pytest.raises(ValueError, match="same shape"):
        calibrate([0], np.zeros((1, 2)), np.zeros((1, 3)))
