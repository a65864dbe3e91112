"""Maps from vectors: principal components, t-SNE, given points, custom reducers, and their trustworthiness."""

from pathlib import Path

import numpy as np
import pytest
from sklearn import manifold
from sklearn.decomposition import PCA, KernelPCA
from threadpoolctl import threadpool_limits

from brain_assets.methods.similarity.visualization import (
    PEER_TSNE,
    Projection,
    TsneSettings,
    check_dims,
    custom,
    fit_pca,
    manual,
    project,
    trustworthiness,
    tsne,
    umap_compat,
    umap_learn,
)

GOLDEN = Path(__file__).parent.parent / "golden" / "seed7"
COUNTS = [0, 1, 2, 3, 4, 5, 19]


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return np.load(GOLDEN / "inputs.npz")["embeddings"]


@pytest.fixture(scope="module")
def peer() -> dict[str, np.ndarray]:
    return dict(np.load(GOLDEN / "outputs.npz"))


@pytest.mark.parametrize("dims", [2, 3])
def test_pca_equals_the_peer(vectors: np.ndarray, peer: dict[str, np.ndarray], dims: int) -> None:
    points = project(vectors, fit_pca(vectors, dims))
    np.testing.assert_allclose(points, peer[f"pca{dims}"], rtol=0, atol=1e-6)


def test_pca_places_new_samples_like_the_peer(vectors: np.ndarray, peer: dict[str, np.ndarray]) -> None:
    projection = fit_pca(vectors[:400])
    points = project(vectors, projection)
    reference = PCA(2, svd_solver="full").fit(vectors[:400])
    signs = np.sign((reference.components_ * projection.components).sum(axis=1))
    np.testing.assert_allclose(points, reference.transform(vectors) * signs, rtol=0, atol=1e-9)
    np.testing.assert_allclose(points[400:], peer["pca_incremental"][400:], rtol=0, atol=1e-9)
    np.testing.assert_allclose(points[:400], peer["pca_incremental"][:400], rtol=0, atol=1e-6)
    np.testing.assert_allclose(project(vectors[400:], projection), points[400:], rtol=0, atol=1e-12)


def test_pca_axes_have_one_sign_and_any_number_of_threads(vectors: np.ndarray) -> None:
    axes = fit_pca(vectors, 3).components
    assert (axes[np.arange(3), np.abs(axes).argmax(axis=1)] > 0).all()
    np.testing.assert_allclose(np.abs(fit_pca(-vectors, 3).components), np.abs(axes), atol=1e-9)
    np.testing.assert_allclose(fit_pca(-vectors, 3).components, axes, atol=1e-9)
    with threadpool_limits(2):
        two = fit_pca(vectors, 3).components
    np.testing.assert_array_equal(two, axes)


def test_pca_has_zeros_where_there_are_no_more_axes() -> None:
    projection = fit_pca(np.array([[1.0], [3.0]]), 3)
    assert projection.components.tolist() == [[1], [0], [0]]
    assert project(np.array([[1.0], [3.0]]), projection).tolist() == [[-1, 0, 0], [1, 0, 0]]


def test_tsne_equals_the_peer(vectors: np.ndarray, peer: dict[str, np.ndarray]) -> None:
    points = tsne(vectors, settings=PEER_TSNE)
    assert points.shape == peer["tsne2"].shape
    # The descent is chaotic: another version of the libraries may find an equally good map instead of the same one.
    same = np.abs(points - peer["tsne2"]).max() < 1e-3
    gained = trustworthiness(vectors, points) - trustworthiness(vectors, peer["tsne2"])
    assert same or abs(gained) < 0.005


def test_tsne_is_the_same_on_any_number_of_threads(vectors: np.ndarray) -> None:
    few = TsneSettings(iterations=250)
    with threadpool_limits(2):
        two = tsne(vectors[:200], settings=few)
    np.testing.assert_array_equal(two, tsne(vectors[:200], settings=few))


def test_tsne_in_three_dimensions_keeps_neighbours(vectors: np.ndarray) -> None:
    points = tsne(vectors[:150], 3, TsneSettings(iterations=500))
    assert points.shape == (150, 3)
    assert trustworthiness(vectors[:150], points) > 0.9


@pytest.mark.parametrize("count", COUNTS)
def test_small_sets_have_maps(count: int) -> None:
    vectors = np.random.default_rng(0).normal(size=(count, 6))
    for dims in (2, 3):
        for points in (project(vectors, fit_pca(vectors, dims)), tsne(vectors, dims, TsneSettings(iterations=250))):
            assert points.shape == (count, dims)
            assert np.isfinite(points).all()
    assert 0 <= trustworthiness(vectors, project(vectors, fit_pca(vectors, 2))) <= 1


def test_vectors_of_one_dimension_have_maps() -> None:
    vectors = np.arange(20.0)[:, None]
    points = tsne(vectors, 2, TsneSettings(iterations=250))
    assert points.shape == (20, 2)
    assert np.isfinite(points).all()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_identical_vectors_share_a_point(value: float) -> None:
    vectors = np.full((40, 4), value)
    for points in (project(vectors, fit_pca(vectors)), tsne(vectors)):
        assert points.tolist() == [[0, 0]] * 40
    assert trustworthiness(vectors, project(vectors, fit_pca(vectors))) == 1


def test_vectors_that_are_not_finite_have_no_point_and_change_none(vectors: np.ndarray) -> None:
    broken = np.insert(vectors[:60], 7, np.nan, axis=0)
    settings = TsneSettings(iterations=250)
    for points, clean in (
        (project(broken, fit_pca(broken)), project(vectors[:60], fit_pca(vectors[:60]))),
        (tsne(broken, 2, settings), tsne(vectors[:60], 2, settings)),
        (custom(lambda given, dims: given[:, :dims], broken), vectors[:60, :2]),
    ):
        assert np.isnan(points[7]).all()
        np.testing.assert_array_equal(np.delete(points, 7, axis=0), clean)
    nothing = np.full((4, 3), np.nan)
    assert np.isnan(project(nothing, fit_pca(nothing))).all()
    assert np.isnan(tsne(nothing)).all()
    assert np.isnan(custom(PCA, nothing)).all()


def test_manual_points_are_kept() -> None:
    points = np.load(GOLDEN / "inputs.npz")["manual_points"]
    np.testing.assert_array_equal(manual(points, 500), points)
    assert manual(np.zeros((0, 2)), 0).shape == (0, 2)


def test_manual_points_that_are_no_map_are_one_clear_line() -> None:
    with pytest.raises(ValueError, match="method 'manual' needs points"):
        manual(None, 3)
    with pytest.raises(ValueError, match=r"points must have shape \(3, 2\) or \(3, 3\), got \(2, 2\)"):
        manual(np.zeros((2, 2)), 3)
    with pytest.raises(ValueError, match=r"got \(3, 4\)"):
        manual(np.zeros((3, 4)), 3)
    with pytest.raises(ValueError, match="points must be finite, but row 1 is not"):
        manual(np.array([[0, 0], [np.nan, 0], [1, 1.0]]), 3)


def test_custom_reducers_are_classes_or_functions(vectors: np.ndarray) -> None:
    plane = vectors[:80, :3]
    np.testing.assert_allclose(
        custom(KernelPCA, plane), KernelPCA(n_components=2, random_state=51).fit_transform(plane)
    )
    seeded = PCA(n_components=3, random_state=51).fit_transform(vectors)
    np.testing.assert_array_equal(custom(PCA, vectors, 3), seeded)
    np.testing.assert_array_equal(custom(lambda given, dims: given[:, -dims:], vectors, 3), vectors[:, -3:])


def test_custom_reducers_may_take_the_vectors_alone_or_be_made_already(vectors: np.ndarray) -> None:
    np.testing.assert_array_equal(custom(lambda given: given[:, :2], vectors), vectors[:, :2])
    made = PCA(n_components=2, random_state=51)
    np.testing.assert_array_equal(custom(made, vectors), PCA(n_components=2, random_state=51).fit_transform(vectors))


def bad_reducer(vectors: np.ndarray, dims: int) -> np.ndarray:
    return vectors[1:, :dims]


def test_custom_reducers_that_make_no_map_are_one_clear_line(vectors: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"what bad_reducer returns must have shape \(500, 2\).*got \(499, 2\)"):
        custom(bad_reducer, vectors)
    with pytest.raises(ValueError, match="must have 2 columns, got 3"):
        custom(lambda given, _: given[:, :3], vectors)
    with pytest.raises(ValueError, match="must be finite"):
        custom(lambda given, _: np.full((len(given), 2), np.nan), vectors)


def test_wrong_dimensions_are_one_clear_line() -> None:
    for dims in (0, 1, 4):
        with pytest.raises(ValueError, match=f"2 or 3 dimensions, got {dims}"):
            check_dims(dims)
        with pytest.raises(ValueError, match="2 or 3 dimensions"):
            tsne(np.zeros((9, 4)), dims)
    with pytest.raises(ValueError, match="4 dimensions but the projection 5"):
        project(np.zeros((2, 4)), Projection(np.zeros(5), np.zeros((2, 5))))


@pytest.mark.parametrize("k", [1, 5, 15])
def test_trustworthiness_equals_scikit_learn(vectors: np.ndarray, k: int) -> None:
    for points in (vectors[:, :2], np.random.default_rng(0).normal(size=(500, 2))):
        expected = manifold.trustworthiness(vectors, points, n_neighbors=k)
        assert trustworthiness(vectors, points, k) == pytest.approx(expected, abs=1e-4)
        assert trustworthiness(vectors.astype(np.float32), points, k) == pytest.approx(expected, abs=1e-4)
    assert trustworthiness(vectors, vectors, k) == pytest.approx(1, abs=1e-3)


def test_trustworthiness_of_a_sample_of_rows_is_near_that_of_all(vectors: np.ndarray) -> None:
    points = vectors[:, :2]
    assert trustworthiness(vectors, points, max_rows=200) == pytest.approx(trustworthiness(vectors, points), abs=0.02)


def test_trustworthiness_does_not_blame_ties() -> None:
    rng = np.random.default_rng(0)
    copies = np.repeat(rng.normal(size=(6, 32)).astype(np.float32), 30, axis=0)
    points = np.repeat(rng.normal(size=(6, 2)), 30, axis=0) + 1e-4 * rng.normal(size=(180, 2))
    assert trustworthiness(copies, points) == 1
    assert trustworthiness(copies, rng.normal(size=(180, 2))) < 0.8


def is_same_map(points: np.ndarray, reference: np.ndarray, vectors: np.ndarray) -> bool:
    """Tell whether a map of umap-learn is that of another machine; raises AssertionError unless it is as good a map.

    Its descent is chaotic: on another kind of processor, whose sums differ in the last bit, it ends elsewhere.
    """
    if np.allclose(points, reference, rtol=0, atol=1e-3):
        return True
    assert abs(trustworthiness(vectors, points) - trustworthiness(vectors, reference)) < 0.02
    return False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "options"), [("umap2", {}), ("umap2_cosine", {"n_neighbors": 30, "metric": "cosine", "min_dist": 0.3})]
)
def test_umap_compat_equals_the_peer(
    vectors: np.ndarray, peer: dict[str, np.ndarray], case: str, options: dict[str, object]
) -> None:
    points = umap_compat(vectors, **options)
    is_same_map(points, peer[case], vectors)
    np.testing.assert_array_equal(umap_compat(vectors, **options), points)


@pytest.mark.slow
def test_umap_compat_places_new_samples_nearly_like_the_peer(vectors: np.ndarray, peer: dict[str, np.ndarray]) -> None:
    points, reference = umap_compat(vectors[:400], joining=vectors[400:]), peer["umap_incremental"]
    if is_same_map(points[:400], reference[:400], vectors[:400]):
        assert np.median(np.abs(points[400:] - reference[400:])) < 0.1
    is_same_map(points, reference, vectors)


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 1, 5, 6, 7, 20])
@pytest.mark.parametrize("dims", [2, 3])
def test_umap_learn_makes_a_map_of_few_samples(vectors: np.ndarray, count: int, dims: int) -> None:
    points = umap_learn(np.vstack([vectors[:count], np.full((1, vectors.shape[1]), np.nan)]), dims)
    assert points.shape == (count + 1, dims)
    assert np.isfinite(points[:count]).all()
    assert np.isnan(points[count]).all()
