"""Outliers: how remote a sample is, alone or in a group, the cut, and sets that must not break it."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse.csgraph import connected_components

from brain_assets.methods.similarity.outliers import (
    DEFAULT,
    LEAST_REFERENCES,
    OutlierCalibration,
    body_of,
    calibrate,
    is_outlier,
    outlier_score,
    remoteness,
)
from brain_assets.methods.similarity.queries import distances_between


def measured(vectors: np.ndarray, references: np.ndarray | None = None) -> tuple[np.ndarray, OutlierCalibration]:
    """Return how remote each is and what is unusual; the references are some of the vectors, by default the first 300."""
    rows = np.arange(min(len(vectors), 300)) if references is None else references
    between = distances_between(vectors[rows], vectors[rows])
    distances = distances_between(vectors, vectors[rows])
    distances[rows, np.arange(len(rows))] = np.inf
    raw = remoteness(distances, body_of(between))
    return raw, calibrate(raw[rows], between)


def flagged(vectors: np.ndarray, references: np.ndarray | None = None) -> np.ndarray:
    return is_outlier(*measured(vectors, references))


def classes(count: int = 300, kinds: int = 6, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(kinds, 32))
    return centers[np.arange(count) % kinds] + 0.4 * rng.normal(size=(count, 32))


def apart(count: int, spread: float = 0.1, seed: int = 1) -> np.ndarray:
    """Return a tight group in directions of its own."""
    rng = np.random.default_rng(seed)
    return np.hstack([np.zeros((count, 32)), rng.normal(size=8) + spread * rng.normal(size=(count, 8))])


def wide(vectors: np.ndarray) -> np.ndarray:
    return np.pad(vectors, ((0, 0), (0, 8)))


@pytest.mark.parametrize("count", [1, 3, 15, 33])
def test_a_group_apart_is_found_whatever_its_size(count: int) -> None:
    vectors = np.concatenate([apart(count), wide(classes(300))])
    found = flagged(vectors, np.arange(300))
    assert found[:count].all()
    assert found[count:].mean() < 0.02


def test_single_foreign_samples_are_found_that_are_no_references() -> None:
    vectors = np.concatenate([classes(600), np.random.default_rng(1).normal(size=(8, 32))])
    found = flagged(vectors)
    assert found[-8:].all()
    assert found[:-8].mean() < 0.02


@pytest.mark.parametrize("kinds", [2, 20])
def test_classes_that_lie_equally_far_from_each_other_are_no_outliers(kinds: int) -> None:
    centers = np.eye(32)[:kinds]
    vectors = centers[np.arange(300) % kinds] + 0.02 * np.random.default_rng(0).normal(size=(300, 32))
    assert not flagged(vectors).any()


def test_a_burst_of_near_copies_within_the_body_is_no_group_apart() -> None:
    rng = np.random.default_rng(2)
    vectors = classes(270)
    burst = vectors[:1] + 0.003 * rng.normal(size=(30, 32))
    assert not flagged(np.concatenate([vectors, burst]))[-30:].any()


def test_an_outlier_and_its_copies_are_found() -> None:
    vectors = np.concatenate([np.repeat(apart(1), 12, axis=0), wide(classes(200))])
    assert flagged(vectors)[:12].all()


def test_levels_agree_with_components_at_every_distance() -> None:
    """A member of the body is at the distance at which it is first in a component of a fifth of all."""
    vectors = classes(40)
    distances = distances_between(vectors, vectors)
    np.fill_diagonal(distances, np.inf)
    near = np.sort(distances, axis=1)[:, :10].mean(axis=1)
    reach = np.maximum(np.maximum(distances, near), near[:, None])
    levels = body_of(distances).levels
    first = min(step for step in np.unique(reach) if np.bincount(connected_components(reach <= step)[1]).max() >= 8)
    assert levels.min() == pytest.approx(first, abs=2e-6)
    assert (levels >= near - 2e-6).all()


@given(st.integers(LEAST_REFERENCES, 24), st.integers(0, 5), st.randoms(use_true_random=False))
def test_the_order_does_not_matter(count: int, seed: int, chance: random.Random) -> None:
    vectors = np.round(np.random.default_rng(seed).normal(size=(count, 4)), 1)
    order = np.array(chance.sample(range(count), count))
    distances = distances_between(vectors, vectors, "manhattan")
    np.testing.assert_allclose(
        body_of(distances).levels[order], body_of(distances[np.ix_(order, order)]).levels, atol=2e-6
    )


def test_verdicts_of_old_samples_stay_when_new_ones_come() -> None:
    vectors = wide(classes(300))
    before, calibration = measured(vectors)
    after, _ = measured(np.concatenate([vectors, apart(100)]))
    np.testing.assert_allclose(after[:300], before, atol=1e-6)
    assert is_outlier(after, calibration)[300:].all()


@given(
    arrays(np.float32, st.integers(0, 40), elements=st.floats(0, 2, width=16) | st.just(math.nan)),
    st.floats(0, 2, allow_subnormal=False),
)
def test_scores_rise_with_remoteness_and_agree_with_the_verdict(raw: np.ndarray, usual: float) -> None:
    known = raw[~np.isnan(raw)]
    calibration = calibrate(known, np.full((len(known), len(known)), usual))
    score, verdict = outlier_score(raw, calibration), is_outlier(raw, calibration)
    assert ((score >= 0) & (score <= 1)).all()
    assert (score[verdict] >= 0.5).all()
    assert (score[~verdict] <= 0.5).all()
    assert (np.diff(outlier_score(np.sort(known), calibration)) >= 0).all()
    assert verdict.sum() <= len(known) / 2


@pytest.mark.parametrize("count", [LEAST_REFERENCES, 9, 19])
def test_small_sets_are_hardly_flagged(count: int) -> None:
    raw, calibration = measured(classes(count))
    assert np.isfinite(outlier_score(raw, calibration)).all()
    assert is_outlier(raw, calibration).sum() <= 0.1 * count


def test_too_few_have_no_outlier() -> None:
    assert calibrate(np.array([0.1, 0.1, 0.1, 0.9]), np.full((4, 4), 0.1)) == DEFAULT


def test_a_foreign_sample_among_a_dozen_is_found() -> None:
    assert np.flatnonzero(flagged(np.concatenate([wide(classes(12, kinds=1)), apart(1)]))).tolist() == [12]


def test_identical_samples_have_no_outlier_and_the_default_calibration() -> None:
    raw, calibration = measured(np.ones((50, 4)))
    assert calibration == DEFAULT
    assert outlier_score(raw, calibration).tolist() == [0] * 50


def test_evenly_spaced_samples_have_no_outlier() -> None:
    raw, between = np.full(400, 0.3), np.full((400, 400), 0.3)
    raw[-1] = 0.35
    assert not is_outlier(raw, calibrate(raw, between)).any()
    raw[-1] = 0.6
    assert np.flatnonzero(is_outlier(raw, calibrate(raw, between))).tolist() == [399]


@given(st.floats(0.01, 0.9), st.integers(10, 200))
def test_a_share_that_is_wanted_lies_above_the_cut(share: float, count: int) -> None:
    raw = np.random.default_rng(count).permutation(np.linspace(0.1, 1, count))
    above = int((raw > calibrate(raw, np.ones((count, count)), wanted_share=share).cut).sum())
    assert abs(above - share * count) <= 1
