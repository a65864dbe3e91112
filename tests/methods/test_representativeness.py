"""Representativeness: high near a cluster's centre, incremental on frozen centres, and the peer's numbers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from brain_assets.methods.similarity.representativeness import (
    METHODS,
    assign,
    centrality,
    check_method,
    downweight,
    fit_centers,
    normalized,
    refit_due,
    representativeness_compat,
)
from tests.methods.ties import nudged

GOLDEN = Path(__file__).parent.parent / "golden" / "seed7"


@pytest.fixture(scope="module")
def inputs() -> dict[str, np.ndarray]:
    return dict(np.load(GOLDEN / "inputs.npz"))


@pytest.fixture(scope="module")
def outputs() -> dict[str, Any]:
    return json.loads((GOLDEN / "outputs.json").read_text())


def scores(vectors: np.ndarray) -> np.ndarray:
    assignment = assign(vectors, fit_centers(vectors))
    return normalized(centrality(assignment.distance), assignment.cluster)


def test_high_near_the_centre_where_the_peer_is_low(inputs: dict[str, np.ndarray], outputs: dict[str, Any]) -> None:
    vectors = inputs["embeddings"]
    assignment = assign(vectors, fit_centers(vectors))
    ours = normalized(centrality(assignment.distance), assignment.cluster)
    peer = np.array(outputs["representativeness.cluster-center"])
    assert np.corrcoef(ours, assignment.distance)[0, 1] < -0.8
    assert np.corrcoef(peer, assignment.distance)[0, 1] > 0.8
    for cluster in range(20):
        members = np.flatnonzero(assignment.cluster == cluster)
        assert ours[members].max() == 1
        assert members[ours[members].argmax()] == members[assignment.distance[members].argmin()]


def test_assigns_to_the_nearest_centre() -> None:
    rng = np.random.default_rng(0)
    vectors, centers = rng.normal(size=(5000, 8)).astype(np.float32), rng.normal(size=(7, 8)).astype(np.float32)
    distances = np.linalg.norm(vectors[:, None] - centers[None], axis=2)
    assignment = assign(vectors, centers)
    np.testing.assert_array_equal(assignment.cluster, distances.argmin(axis=1))
    np.testing.assert_allclose(assignment.distance, distances.min(axis=1), rtol=1e-5)


def test_new_samples_change_nothing_for_the_old_ones(inputs: dict[str, np.ndarray]) -> None:
    vectors = inputs["embeddings"].astype(np.float32)
    centers = fit_centers(vectors[:400])
    together = assign(vectors, centers)
    for rows in (slice(0, 400), slice(400, 500), slice(77, 78)):
        alone = assign(vectors[rows], centers)
        np.testing.assert_array_equal(alone.cluster, together.cluster[rows])
        np.testing.assert_array_equal(alone.distance, together.distance[rows])


def test_centres_are_those_of_scikit_learn(inputs: dict[str, np.ndarray]) -> None:
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    vectors = inputs["embeddings"].astype(np.float32)
    with threadpool_limits(1):
        expected = KMeans(n_clusters=20, random_state=1234).fit(vectors).cluster_centers_
    np.testing.assert_array_equal(fit_centers(vectors), expected)
    spaced = vectors[np.linspace(0, 499, 200).astype(int)]
    np.testing.assert_array_equal(fit_centers(vectors, max_fitted=200), fit_centers(spaced))


def test_many_samples_are_fitted_on_evenly_spaced_ones() -> None:
    vectors = np.arange(1000, dtype=np.float32)[:, None] % 10
    assert fit_centers(vectors, n_clusters=10, max_fitted=100).shape == (10, 1)
    assert assign(vectors, fit_centers(vectors, n_clusters=10)).distance.max() == 0


@pytest.mark.parametrize(("count", "clusters"), [(1, 1), (2, 1), (3, 1), (9, 1), (19, 3), (20, 4), (100, 20)])
def test_small_sets_have_fewer_clusters(count: int, clusters: int) -> None:
    vectors = np.random.default_rng(0).normal(size=(count, 4))
    assert fit_centers(vectors).shape == (clusters, 4)
    result = scores(vectors)
    assert np.isfinite(result).all()
    assert 0 < result.min() <= result.max() == 1


def test_empty_identical_and_invalid_sets() -> None:
    assert fit_centers(np.empty((0, 4))).shape == (0, 4)
    assert scores(np.empty((0, 4))).shape == (0,)
    assert scores(np.ones((60, 4))).tolist() == [1] * 60
    assert scores(np.zeros((60, 4), np.float32)).tolist() == [1] * 60
    vectors = np.random.default_rng(0).normal(size=(60, 4))
    vectors[7] = np.nan
    result = scores(vectors)
    assert np.flatnonzero(np.isnan(result)).tolist() == [7]
    np.testing.assert_array_equal(np.delete(result, 7), scores(np.delete(vectors, 7, axis=0)))
    nothing = assign(np.full((3, 4), np.nan), fit_centers(np.full((3, 4), np.nan)))
    assert nothing.cluster.tolist() == [-1] * 3


def test_constant_clusters_and_outliers_are_defined() -> None:
    vectors = np.concatenate([np.zeros((50, 2)), np.full((50, 2), 9.0), [[1000.0, 0.0]]])
    assert scores(vectors).tolist() == [1] * 101
    assert fit_centers(vectors).shape == (3, 2)


def test_the_same_on_every_number_of_threads(inputs: dict[str, np.ndarray]) -> None:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(2):
        two = fit_centers(inputs["embeddings"])
    with threadpool_limits(1):
        np.testing.assert_array_equal(two, fit_centers(inputs["embeddings"]))


@given(arrays(np.float64, st.tuples(st.integers(1, 30), st.integers(1, 3)), elements=st.sampled_from([-1, 0, 0.5, 2])))
def test_any_set_has_scores_in_the_unit_interval(vectors: np.ndarray) -> None:
    result = scores(vectors)
    assert ((result > 0) & (result <= 1)).all()


def visited_in_order(vectors: np.ndarray, score: np.ndarray, radius: float) -> np.ndarray:
    """The peer's procedure, step by step."""
    lowered, seen = score.copy(), set()
    for i in np.lexsort((np.arange(len(score)), -score)):
        seen.add(i)
        for j in range(len(score)):
            if j not in seen and np.linalg.norm(vectors[i] - vectors[j]) <= radius:
                lowered[j] *= 0.7
                seen.add(j)
    return lowered


@given(
    arrays(np.float64, st.tuples(st.integers(1, 15), st.just(2)), elements=st.sampled_from([0, 0.25, 0.5, 1])),
    st.data(),
)
def test_downweight_equals_the_visits_of_the_peer(vectors: np.ndarray, data: st.DataObject) -> None:
    count = len(vectors)
    score = np.array(data.draw(st.lists(st.sampled_from([0.2, 0.4, 0.6]), min_size=count, max_size=count)))
    distances = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    neighbors = np.argsort(distances, axis=1, kind="stable")[:, : max(count - 1, 1)]
    got = downweight(score, neighbors, np.take_along_axis(distances, neighbors, axis=1), radius=0.5)
    np.testing.assert_allclose(got, visited_in_order(vectors, score, 0.5), rtol=1e-6)


def test_downweight_ignores_what_lies_beyond_the_valid_neighbours() -> None:
    score, missing = np.array([0.5, 0.9]), np.full((2, 3), -1)
    assert downweight(score, missing, np.full((2, 3), np.inf)).tolist() == pytest.approx([0.5, 0.9])
    assert downweight(score, missing, np.zeros((2, 3))).tolist() == pytest.approx([0.5, 0.9])
    assert downweight(np.empty(0), np.empty((0, 3), int), np.empty((0, 3))).shape == (0,)


def test_normalized_by_cluster_or_by_all() -> None:
    score, cluster = np.array([0.1, 0.2, 0.4, np.nan]), np.array([0, 0, 1, -1])
    assert normalized(score, cluster)[:3].tolist() == [0.5, 1, 1]
    assert normalized(score, cluster, "global")[:3].tolist() == [0.25, 0.5, 1]
    assert np.isnan(normalized(score, cluster)[3])


def test_refits_when_doubled_or_halved() -> None:
    refits, fitted = [], 0
    for present in range(101):
        if refit_due(fitted, present):
            fitted = present
            refits.append(present)
    assert refits == [1, 2, 4, 8, 16, 32, 64]
    assert refit_due(100, 0)


@pytest.mark.parametrize("case", ["cluster-center", "cluster-center-downweight"])
def test_compat_equals_the_peer(inputs: dict[str, np.ndarray], outputs: dict[str, Any], case: str) -> None:
    small = np.load(GOLDEN / "outputs.npz")["rep_small_input"]
    for vectors, suffix in ((inputs["embeddings"], ""), (small, ".small")):
        for given_vectors in (vectors, nudged(vectors)):
            got = representativeness_compat(given_vectors, case)
            expected = np.array(outputs[f"representativeness.{case}{suffix}"])
            if case == "cluster-center":
                np.testing.assert_allclose(got, expected, atol=1e-9)
            else:
                assert_peers_visits(vectors, got, expected)


def assert_peers_visits(vectors: np.ndarray, got: np.ndarray, expected: np.ndarray) -> None:
    """Assert that two results are the same but for the order in which equally scored samples in one ball are visited."""
    score = representativeness_compat(vectors)
    near = np.linalg.norm(vectors[:, None] - vectors[None], axis=2) <= 0.5
    np.fill_diagonal(near, 0)
    apart = score[None] - score[:, None]
    equal = near & (np.abs(apart) <= 1e-9)
    free = equal.any(axis=1) & ~(near & (apart > 1e-9)).any(axis=1)
    np.testing.assert_allclose(got[~free], expected[~free], atol=1e-9)
    for result in (got, expected):
        whole = np.isclose(result, score, atol=1e-9)
        assert np.isclose(result[free & ~whole], 0.7 * score[free & ~whole], atol=1e-9).all()
        assert not (equal & (whole & free)[:, None] & (whole & free)).any(), "one of two equals lowers the other"


def test_compat_visits_equally_scored_samples_by_position() -> None:
    """Two clusters, each of two samples half a unit apart and equally far from their centre."""
    vectors = np.array([[0.0], [0.5], [100.0], [100.5]])
    assert representativeness_compat(vectors, METHODS[1], n_clusters=2).tolist() == [1.0, 0.7, 1.0, 0.7]


def test_compat_equals_the_peer_on_regions(inputs: dict[str, np.ndarray], outputs: dict[str, Any]) -> None:
    regions = np.split(inputs["patch_embeddings"], np.cumsum(inputs["npatch"])[:-1])
    vectors = np.stack([region.mean(axis=0) for region in regions])
    np.testing.assert_allclose(representativeness_compat(vectors), outputs["representativeness.roi_dict"], atol=1e-9)


def test_wrong_use_is_one_clear_line(inputs: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match="n_samples=10 should be >= n_clusters=20"):
        representativeness_compat(inputs["embeddings"][:10])
    with pytest.raises(
        ValueError, match="'nope' is not supported: use one of cluster-center, cluster-center-downweight"
    ):
        representativeness_compat(inputs["embeddings"], "nope")
    with pytest.raises(ValueError, match="'nope' is not supported"):
        check_method("nope")
    with pytest.raises(ValueError, match="4 dimensions but the centers 5"):
        assign(np.zeros((2, 4)), np.zeros((1, 5)))
    with pytest.raises(ValueError, match="at least 1, got 0"):
        fit_centers(np.zeros((2, 4)), n_clusters=0)
