"""Outliers: the distance, its calibration, and sets that must not break it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.neighbors import NearestNeighbors

from brain_assets.methods.similarity.outliers import (
    DEFAULT,
    OutlierCalibration,
    calibrate,
    is_outlier,
    neighbor_distance,
    outlier_score,
)


def nearest(vectors: np.ndarray, k: int = 32) -> np.ndarray:
    """Cosine distances to the nearest others, inf beyond the last."""
    found = np.full((len(vectors), k), np.inf)
    valid = min(k, len(vectors) - 1)
    if valid > 0:
        model = NearestNeighbors(n_neighbors=valid, metric="cosine").fit(vectors)
        found[:, :valid] = model.kneighbors()[0]
    return np.where(found < 1e-9, 0, found)


def clusters(count: int = 600, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(6, 32))
    return centers[rng.integers(6, size=count)] + 0.4 * rng.normal(size=(count, 32))


def flagged(vectors: np.ndarray) -> np.ndarray:
    raw = neighbor_distance(nearest(vectors))
    return is_outlier(raw, calibrate(raw))


def reference(distances: np.ndarray, copy_distance: float) -> list[float]:
    different = [[d for d in row if np.isfinite(d) and d > copy_distance][:10] for row in distances]
    return [float(np.mean(row)) if row else np.nan for row in different]


@given(
    arrays(np.float32, st.tuples(st.integers(0, 9), st.integers(1, 14)), elements=st.floats(0, 2, width=16)),
    st.sampled_from([0.0, 0.1]),
    st.data(),
)
def test_distance_is_the_mean_of_the_neighbours_that_are_no_copies(
    distances: np.ndarray, copy_distance: float, data: st.DataObject
) -> None:
    distances = np.sort(distances, axis=1)
    for row in distances:
        row[data.draw(st.integers(0, len(row))) :] = data.draw(st.sampled_from([np.inf, np.nan]))
    got = neighbor_distance(distances, copy_distance=copy_distance)
    np.testing.assert_allclose(got, reference(distances, copy_distance), rtol=1e-5)


def test_planted_outliers_are_found_and_few_others() -> None:
    vectors = clusters()
    planted = np.random.default_rng(1).normal(size=(8, 32))
    found = flagged(np.concatenate([vectors, planted]))
    assert found[-8:].all()
    assert found[:-8].mean() < 0.02


def test_an_outlier_and_its_copy_are_both_found() -> None:
    planted = np.random.default_rng(1).normal(size=(1, 32))
    assert flagged(np.concatenate([clusters(), planted, planted]))[-2:].all()


@pytest.mark.parametrize("copies", [2, 6, 12])
def test_duplicates_do_not_make_the_rest_outliers(copies: int) -> None:
    vectors = clusters(240)
    planted = np.random.default_rng(1).normal(size=(3, 32))
    found = flagged(np.concatenate([np.repeat(vectors[:160], copies, axis=0), vectors[160:], planted]))
    assert found[-3:].all()
    assert found[:-3].mean() < 0.02
    assert found[-83:-3].mean() <= 0.05


def test_near_copies_do_not_make_the_rest_outliers() -> None:
    rng = np.random.default_rng(2)
    frames = np.repeat(clusters(20), 35, axis=0) + 0.003 * rng.normal(size=(700, 32))
    distances = nearest(np.concatenate([frames, clusters(200, seed=3)]))
    raw = neighbor_distance(distances)
    assert is_outlier(raw, calibrate(raw)).mean() <= 0.05
    raw = neighbor_distance(distances, copy_distance=0.01)
    assert np.isnan(raw[:700]).all()
    assert is_outlier(raw, calibrate(raw)).mean() < 0.01


def test_verdicts_of_old_samples_stay_when_new_ones_come() -> None:
    vectors = clusters(300)
    raw = neighbor_distance(nearest(vectors))
    calibration = calibrate(raw)
    more = np.concatenate([raw, np.full(100, 1.5, np.float32)])
    np.testing.assert_array_equal(outlier_score(more, calibration)[:300], outlier_score(raw, calibration))
    assert is_outlier(more, calibration)[300:].all()


@given(arrays(np.float32, st.integers(0, 40), elements=st.floats(0, 2, width=16) | st.just(math.nan)))
def test_scores_rise_with_distance_and_agree_with_the_verdict(raw: np.ndarray) -> None:
    calibration = calibrate(raw)
    score, verdict = outlier_score(raw, calibration), is_outlier(raw, calibration)
    assert ((score >= 0) & (score <= 1)).all()
    assert (score[verdict] >= 0.5).all()
    assert (score[~verdict] <= 0.5).all()
    known = raw[~np.isnan(raw)]
    assert (np.diff(outlier_score(np.sort(known), calibration)) >= 0).all()
    assert verdict.sum() <= 0.05 * len(known)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 19])
def test_small_sets_are_defined(count: int) -> None:
    raw = neighbor_distance(nearest(clusters(count)))
    for calibration in (DEFAULT, calibrate(raw)):
        score = outlier_score(raw, calibration)
        assert score.shape == (count,)
        assert np.isfinite(score).all()
        assert is_outlier(raw, calibration).sum() <= 0.05 * count
    assert calibrate(raw) == DEFAULT or count > 1


def test_identical_samples_have_no_outlier_and_the_default_calibration() -> None:
    raw = neighbor_distance(nearest(np.ones((50, 4))))
    assert calibrate(raw) == DEFAULT
    assert not is_outlier(raw).any()
    assert outlier_score(raw).tolist() == [0] * 50


def test_evenly_spaced_samples_have_no_outlier() -> None:
    raw = np.full(1000, 0.3, np.float32)
    raw[-1] = 0.35
    assert not is_outlier(raw, calibrate(raw)).any()
    raw[-1] = 0.6
    assert np.flatnonzero(is_outlier(raw, calibrate(raw))).tolist() == [999]


def test_a_cut_set_by_hand_is_kept() -> None:
    assert is_outlier(np.array([0.2, 0.21]), OutlierCalibration(cut=0.2, scale=0.01)).tolist() == [False, True]


def test_wrong_shape_is_one_clear_line() -> None:
    with pytest.raises(ValueError, match=r"shape \(n, k\), got \(3,\)"):
        neighbor_distance(np.zeros(3))
