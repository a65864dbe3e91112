"""Selections against naive greedy loops, with ties, labelled sets and odd sets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from brain_assets.methods.similarity.selections import Selection, facility_location, k_center, most_unique

NOBODY = np.empty(0, np.int64)
POINTS = arrays(np.float64, st.tuples(st.integers(1, 14), st.just(2)), elements=st.sampled_from([0, 0.25, 1, 3, 4]))


@st.composite
def labelled_points(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    vectors = draw(POINTS)
    rows = st.lists(st.integers(0, len(vectors) - 1), max_size=3, unique=True)
    return vectors, np.array(draw(rows), np.int64), np.array(draw(rows), np.int64)


def farthest_first(vectors: np.ndarray, count: int, labeled: np.ndarray, exclude: np.ndarray) -> Selection:
    distances = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    centers, chosen, gain = list(labeled), [], []
    while len(chosen) < count:
        left = [i for i in range(len(vectors)) if i not in centers and i not in exclude]
        if not left:
            break
        reach = {i: min((distances[i, c] for c in centers), default=np.inf) for i in left}
        best = max(left, key=lambda i: (reach[i], -i))
        if not centers:
            mean = vectors[left].mean(axis=0)
            best = min(left, key=lambda i: (round(float(np.linalg.norm(vectors[i] - mean)), 5), i))
        chosen.append(best)
        gain.append(reach[best])
        centers.append(best)
    return Selection(np.array(chosen, np.int64), np.array(gain))


def neighbor_graph(vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    distances = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    neighbors = np.argsort(distances, axis=1, kind="stable")[:, :k]
    found = np.take_along_axis(distances, neighbors, axis=1)
    neighbors[np.isinf(found)] = -1
    return neighbors, found


def best_served(similarity: np.ndarray, count: int, labeled: np.ndarray, exclude: np.ndarray) -> Selection:
    served = similarity[labeled].max(axis=0, initial=0)
    chosen, gain = [], []
    for _ in range(count):
        left = [i for i in range(len(similarity)) if i not in chosen and i not in labeled and i not in exclude]
        if not left:
            break
        gains = {i: float(np.maximum(similarity[i] - served, 0).sum()) for i in left}
        best = max(left, key=lambda i: (round(gains[i], 5), -i))
        chosen.append(best)
        gain.append(gains[best])
        served = np.maximum(served, similarity[best])
    return Selection(np.array(chosen, np.int64), np.array(gain))


def symmetric(neighbors: np.ndarray, distances: np.ndarray, reach: float) -> np.ndarray:
    similarity = np.eye(len(neighbors))
    for i, row in enumerate(neighbors):
        for j, distance in zip(row, distances[i], strict=True):
            if j >= 0:
                value = max(0.0, 1 - distance / reach)
                similarity[i, j] = similarity[j, i] = max(similarity[i, j], value)
    return similarity


@given(labelled_points(), st.integers(0, 16))
def test_k_center_equals_farthest_first_traversal(case: tuple[np.ndarray, np.ndarray, np.ndarray], count: int) -> None:
    vectors, labeled, exclude = case
    got, expected = k_center(vectors, count, labeled, exclude), farthest_first(vectors, count, labeled, exclude)
    np.testing.assert_allclose(got.gain, expected.gain, rtol=1e-6)
    np.testing.assert_array_equal(got.position, expected.position)


def test_k_center_equals_the_slow_loop_on_clusters() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(12, 16))[rng.integers(12, size=300)] + 0.2 * rng.normal(size=(300, 16))
    labeled, exclude = np.array([3, 50, 200]), np.array([7, 8])
    got, expected = k_center(vectors, 60, labeled, exclude), farthest_first(vectors, 60, labeled, exclude)
    np.testing.assert_array_equal(got.position, expected.position)
    np.testing.assert_allclose(got.gain, expected.gain, rtol=1e-5)


@given(labelled_points(), st.integers(0, 16), st.sampled_from([0.5, 1.0, 6.0]))
def test_facility_location_equals_naive_greedy(
    case: tuple[np.ndarray, np.ndarray, np.ndarray], count: int, reach: float
) -> None:
    vectors, labeled, exclude = case
    neighbors, distances = neighbor_graph(vectors, 4)
    got = facility_location(neighbors, distances, count, labeled, exclude, reach)
    expected = best_served(symmetric(neighbors, distances, reach), count, labeled, exclude)
    np.testing.assert_array_equal(got.position, expected.position)
    np.testing.assert_allclose(got.gain, expected.gain, atol=1e-5)


def test_facility_location_serves_every_cluster_before_any_twice() -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(8, size=200)
    vectors = 10 * rng.normal(size=(8, 6))[label] + 0.1 * rng.normal(size=(200, 6))
    selection = facility_location(*neighbor_graph(vectors, 60), 16, reach=2.0)
    assert sorted(label[selection.position[:8]]) == list(range(8))
    assert label[selection.position[0]] == np.bincount(label).argmax()
    done = np.flatnonzero(label < 6)
    rest = facility_location(
        *neighbor_graph(vectors, 60), 2, labeled=done[np.unique(label[done], return_index=True)[1]], reach=2.0
    )
    assert sorted(label[rest.position]) == [6, 7]


@given(arrays(np.float64, st.integers(0, 20), elements=st.sampled_from([0, 0.5, 1, np.nan])), st.integers(0, 25))
def test_most_unique_is_a_stable_ranking(uniqueness: np.ndarray, count: int) -> None:
    selection = most_unique(uniqueness, count, exclude=np.arange(len(uniqueness))[:2])
    left = range(2, len(uniqueness))
    order = sorted(left, key=lambda i: (-np.inf if np.isnan(uniqueness[i]) else -uniqueness[i], i))[:count]
    assert selection.position.tolist() == order
    np.testing.assert_array_equal(selection.gain, uniqueness[order])


def test_a_longer_selection_begins_with_the_shorter_one() -> None:
    vectors = np.random.default_rng(0).normal(size=(60, 5))
    for shorter, longer in (
        (k_center(vectors, 5), k_center(vectors, 40)),
        (facility_location(*neighbor_graph(vectors, 8), 5), facility_location(*neighbor_graph(vectors, 8), 40)),
    ):
        np.testing.assert_array_equal(shorter.position, longer.position[:5])
        assert (np.diff(longer.gain[1:]) <= 0).all()


@pytest.mark.parametrize("total", [0, 1, 2, 3, 19])
def test_small_and_identical_sets_are_ranked_in_full(total: int) -> None:
    for vectors in (np.ones((total, 3)), np.zeros((total, 3))):
        neighbors, distances = np.full((total, 5), -1), np.full((total, 5), np.inf)
        for selection in (
            k_center(vectors, 30),
            facility_location(neighbors, distances, 30),
            most_unique(np.zeros(total), 30),
        ):
            assert selection.position.tolist() == list(range(total))
            assert selection.gain.shape == (total,)


def test_vectors_that_are_not_finite_are_never_centres() -> None:
    vectors = np.array([[0.0, 0], [np.nan, 1], [5, 5], [np.inf, 0]])
    assert k_center(vectors, 4).position.tolist() == [0, 2]
    assert k_center(vectors, 4, labeled=np.array([1])).position.tolist() == [0, 2]
    assert k_center(vectors, 4, labeled=np.array([0, 1])).gain == pytest.approx([50**0.5])


def test_a_negative_count_is_one_clear_line() -> None:
    with pytest.raises(ValueError, match="count must not be negative, got -1"):
        most_unique(np.zeros(3), -1)
