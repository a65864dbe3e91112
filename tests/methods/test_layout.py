"""Maps from a graph: quality, determinism, joining without moving others, refits that stay recognisable, odd sets."""

import warnings

import numpy as np
import pytest
from scipy.optimize import curve_fit
from sklearn.neighbors import NearestNeighbors

from brain_assets.methods.similarity.layout import (
    LayoutSettings,
    align,
    curve,
    join,
    memberships,
    place,
    refit,
    refit_due,
    umap,
)
from brain_assets.methods.similarity.visualization import fit_pca, project, trustworthiness

SMALL = [0, 1, 2, 3, 19]


def clusters(count: int, seed: int = 0, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points of eight 4-dimensional clusters in 24 dimensions, and which cluster each is of."""
    places = np.random.default_rng(99)
    centers, axes = places.normal(size=(16, 24)) * 2, places.normal(size=(16, 4, 24))
    rng = np.random.default_rng(seed)
    label = first + rng.integers(8, size=count)
    offset = np.einsum("nk,nkd->nd", rng.normal(size=(count, 4)), axes[label])
    return centers[label] + 0.5 * offset + 0.05 * rng.normal(size=(count, 24)), label


def graph(vectors: np.ndarray, k: int = 16) -> tuple[np.ndarray, np.ndarray]:
    neighbors, distances = np.full((len(vectors), k), -1, np.int32), np.full((len(vectors), k), np.inf, np.float32)
    valid = min(k, len(vectors) - 1)
    if valid > 0:
        found = NearestNeighbors(n_neighbors=valid).fit(vectors).kneighbors()
        distances[:, :valid], neighbors[:, :valid] = found
    return neighbors, distances


def start(vectors: np.ndarray, dims: int = 2) -> np.ndarray:
    return project(vectors, fit_pca(vectors, dims))


def purity(points: np.ndarray, label: np.ndarray, rows: np.ndarray) -> float:
    """The share of map neighbours that are of a row's own cluster."""
    near = NearestNeighbors(n_neighbors=11).fit(points).kneighbors(points[rows], return_distance=False)[:, 1:]
    return float((label[near] == label[rows][:, None]).mean())


@pytest.fixture(scope="module")
def known() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    vectors, label = clusters(700)
    return vectors, label, umap(*graph(vectors), start(vectors))


@pytest.mark.parametrize("dims", [2, 3])
def test_neighbours_stay_together(known: tuple[np.ndarray, ...], dims: int) -> None:
    vectors, label, points = known
    if dims == 3:
        points = umap(*graph(vectors), start(vectors, 3))
    assert points.shape == (700, dims)
    assert points.dtype == np.float32
    lost, lost_by_axes = (1 - trustworthiness(vectors, found) for found in (points, start(vectors, dims)))
    assert lost < 0.6 * lost_by_axes
    assert lost < 0.02
    assert purity(points, label, np.arange(700)) > 0.97


def test_the_same_bits_on_any_number_of_threads(known: tuple[np.ndarray, ...]) -> None:
    vectors, _, points = known
    for threads in (1, 2, 3):
        np.testing.assert_array_equal(umap(*graph(vectors), start(vectors), LayoutSettings(threads=threads)), points)
    two = LayoutSettings(threads=2)
    old = np.where(np.arange(700)[:, None] < 650, points, np.nan)
    rows = np.arange(650, 700)
    neighbors, distances = graph(vectors)
    one_thread = join(old, rows, neighbors[rows], distances[rows])
    np.testing.assert_array_equal(join(old, rows, neighbors[rows], distances[rows], two), one_thread)
    np.testing.assert_array_equal(refit(old, neighbors, distances, two), refit(old, neighbors, distances))


def test_the_seed_and_the_distance_matter(known: tuple[np.ndarray, ...]) -> None:
    vectors, _, points = known
    assert not np.array_equal(umap(*graph(vectors), start(vectors), LayoutSettings(seed=1), epochs=20), points)
    near = [
        np.median(NearestNeighbors(n_neighbors=1).fit(found).kneighbors()[0])
        for found in (umap(*graph(vectors), start(vectors), LayoutSettings(min_dist=d)) for d in (0.0, 0.9))
    ]
    assert near[1] > 3 * near[0]


def test_new_points_join_beside_their_like(known: tuple[np.ndarray, ...]) -> None:
    vectors, label, points = known
    more, kinds = clusters(60, seed=5)
    together, labels = np.concatenate([vectors, more]), np.concatenate([label, kinds])
    neighbors, distances = graph(together)
    rows = np.arange(700, 760)
    old = np.concatenate([points, np.full((60, 2), np.nan, np.float32)])
    before = old.copy()
    joined = np.concatenate([points, join(old, rows, neighbors[rows], distances[rows])])
    np.testing.assert_array_equal(old, before)
    assert purity(joined, labels, rows) > 0.95
    anew = refit(joined, neighbors, distances)
    assert trustworthiness(together, joined) > trustworthiness(together, anew) - 0.01


def test_clusters_never_seen_before_join_as_clusters(known: tuple[np.ndarray, ...]) -> None:
    vectors, label, points = known
    more, kinds = clusters(200, seed=6, first=8)
    together, labels = np.concatenate([vectors, more]), np.concatenate([label, kinds])
    neighbors, distances = graph(together)
    rows = np.arange(700, 900)
    old = np.concatenate([points, np.full((200, 2), np.nan)])
    joined = np.concatenate([points, join(old, rows, neighbors[rows], distances[rows])])
    assert purity(joined, labels, rows) > 0.95
    anew = refit(joined, neighbors, distances)
    assert trustworthiness(together, joined) > trustworthiness(together, anew) - 0.01
    assert np.median(np.linalg.norm(anew[:700] - points, axis=1)) < 0.05 * np.ptp(points, axis=0).max()


def test_rows_join_wherever_they_stand(known: tuple[np.ndarray, ...]) -> None:
    vectors, _, points = known
    neighbors, distances = graph(vectors)
    rows = np.array([3, 77, 500])
    old = points.copy()
    old[rows] = np.nan
    joined = join(old, rows, neighbors[rows], distances[rows])
    assert np.linalg.norm(joined - points[rows], axis=1).max() < 0.15 * np.ptp(points, axis=0).max()


def test_a_refit_stays_recognisable_and_places_who_has_no_position(known: tuple[np.ndarray, ...]) -> None:
    vectors, _, points = known
    old = points.copy()
    old[::20] = np.nan
    anew = refit(old, *graph(vectors))
    kept = np.isfinite(old[:, 0])
    assert np.isfinite(anew).all()
    assert np.median(np.linalg.norm(anew - points, axis=1)[kept]) < 0.05 * np.ptp(points, axis=0).max()
    assert trustworthiness(vectors, anew) > trustworthiness(vectors, points) - 0.01


def test_place_is_the_median_of_the_first_ten_that_have_a_position() -> None:
    rng = np.random.default_rng(0)
    old = np.concatenate([rng.normal(size=(30, 3)), np.full((2, 3), np.nan)])
    neighbors = np.array([[31, *range(5, 25)], [-1, *range(3), *[-1] * 17]])
    placed = place(old, np.array([30, 31]), neighbors)
    np.testing.assert_allclose(placed[0], np.median(old[5:15], axis=0), rtol=1e-6)
    np.testing.assert_allclose(placed[1], np.median(old[:3], axis=0), rtol=1e-6)


def test_place_follows_new_neighbours_and_else_takes_the_emptiest_place() -> None:
    old = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]] + [[np.nan] * 2] * 4)
    placed = place(old, np.arange(3, 7), np.array([[1], [3], [6], [-1]]))
    np.testing.assert_allclose(placed[:2], [[10, 0], [10, 0]])
    np.testing.assert_allclose(placed[2], [12, 12])
    np.testing.assert_array_equal(placed[3], placed[2])


def test_align_undoes_turns_mirrors_and_shifts() -> None:
    rng = np.random.default_rng(0)
    for dims in (2, 3):
        reference = rng.normal(size=(40, dims))
        turn = np.linalg.qr(rng.normal(size=(dims, dims)))[0]
        moved = reference @ turn + 7
        np.testing.assert_allclose(align(moved, reference), reference, atol=1e-5)
        gaps = np.where(np.arange(40)[:, None] % 3 == 0, np.nan, reference)
        np.testing.assert_allclose(align(moved, gaps), reference, atol=1e-5)
        np.testing.assert_allclose(align(2 * moved, reference).std(), 2 * reference.std(), rtol=0.2)
    np.testing.assert_array_equal(align(reference, np.full((40, 3), np.nan)), reference.astype(np.float32))


def test_refit_is_due_by_growth_or_by_loss_of_quality() -> None:
    assert not refit_due(1000, 0, (0.95, 0.935))
    assert refit_due(1000, 0, (0.95, 0.925))
    assert refit_due(1000, 51, max_share=0.05)
    assert not refit_due(0, 0)


@pytest.mark.parametrize("min_dist", [0.0, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("spread", [1.0, 3.0])
def test_curve_equals_scipy(min_dist: float, spread: float) -> None:
    x = np.linspace(0, 3 * spread, 300)
    target = np.where(x < min_dist, 1, np.exp(-(x - min_dist) / spread))
    expected, _ = curve_fit(lambda x, a, b: 1 / (1 + a * x ** (2 * b)), x, target)
    np.testing.assert_allclose(curve(min_dist, spread), expected, rtol=1e-4)


def test_memberships_sum_to_the_target() -> None:
    distances = np.sort(np.random.default_rng(0).uniform(0.5, 1, size=(50, 14)), axis=1).astype(np.float32)
    strengths = memberships(distances, float(np.log2(15)))
    np.testing.assert_allclose(strengths.sum(axis=1), np.log2(15), atol=1e-3)
    np.testing.assert_array_equal(strengths[:, 0], 1)
    assert (np.diff(strengths, axis=1) <= 0).all()
    copies = np.array([[0, 0, 0.3, 0.4, np.inf]], np.float32)
    assert memberships(copies, 2.0)[0, :3].tolist() == [1, 1, 1]
    assert memberships(copies, 2.0)[0, 4] == 0


@pytest.mark.parametrize("count", SMALL)
@pytest.mark.parametrize("dims", [2, 3])
def test_small_sets_have_maps(count: int, dims: int) -> None:
    vectors, _ = clusters(count)
    neighbors, distances = graph(vectors)
    points = umap(neighbors, distances, start(vectors, dims))
    nothing = np.full((count, dims), np.nan)
    for found in (
        points,
        refit(points, neighbors, distances),
        refit(nothing, neighbors, distances),
        join(nothing, np.arange(count), neighbors, distances),
    ):
        assert found.shape == (count, dims)
        assert np.isfinite(found).all()


def test_identical_samples_come_apart_but_stay_together() -> None:
    neighbors, distances = graph(np.ones((60, 4)))
    points = umap(neighbors, distances, np.zeros((60, 2)))
    assert np.isfinite(points).all()
    assert np.ptp(points, axis=0).max() < 30
    assert len(np.unique(points, axis=0)) == 60


def test_samples_without_a_vector_have_no_point_and_change_none() -> None:
    vectors, _ = clusters(80)
    neighbors, distances = graph(vectors)
    where = np.append(np.arange(80), -1)
    shifted = np.insert(np.where(where >= 7, where + 1, where)[neighbors], 7, -1, axis=0)
    gaps = np.insert(distances, 7, np.inf, axis=0)
    begin = start(vectors)
    points = umap(shifted, gaps, np.insert(begin, 7, np.nan, axis=0))
    assert np.isnan(points[7]).all()
    np.testing.assert_array_equal(np.delete(points, 7, axis=0), umap(neighbors, distances, begin))


def test_a_sample_without_neighbours_keeps_its_start() -> None:
    neighbors, distances = graph(clusters(40)[0])
    points = umap(np.insert(neighbors, 40, -1, axis=0), np.insert(distances, 40, np.inf, axis=0), np.eye(41)[:, :2])
    assert np.isfinite(points).all()


def test_wrong_use_is_one_clear_line() -> None:
    with pytest.raises(ValueError, match=r"same rows, got shapes \(3, 2\), \(3, 1\) and \(3, 2\)"):
        umap(np.zeros((3, 2), int), np.zeros((3, 1)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="n_neighbors must be at least 2, got 1"):
        LayoutSettings(n_neighbors=1)
    with pytest.raises(ValueError, match=r"min_dist must lie in \[0, spread = 1.0\], got 1.5"):
        LayoutSettings(min_dist=1.5)


def test_edges_too_weak_to_count_are_neither_used_nor_warned_of() -> None:
    count = 40
    neighbors = (np.arange(count)[:, None] + np.arange(1, 17)) % count
    distances = np.tile(np.r_[np.linspace(0.1, 1.5, 15), 16.5].astype(np.float32), (count, 1))
    assert 0 < memberships(distances, np.log2(17))[:, -1].max() < 1e-16
    first = start(np.random.default_rng(0).normal(size=(count, 5)))
    settings = LayoutSettings(n_neighbors=17)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        points = umap(neighbors, distances, first, settings)
    assert np.isfinite(points).all()
    np.testing.assert_array_equal(points, umap(neighbors[:, :15], distances[:, :15], first, settings))
