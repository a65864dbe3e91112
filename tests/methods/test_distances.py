"""Distances: definitive ones depend on two vectors alone, rounded ones stay within their slack."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from brain_assets.methods.similarity.distances import METRICS, Space, inner, normalize


@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(0, 5), st.integers(1, 20)),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    )
)
def test_normalized_rows_have_length_one_or_are_zero(vectors: np.ndarray) -> None:
    unit = normalize(vectors)
    lengths = np.linalg.norm(unit.astype(float), axis=1)
    assert unit.dtype == np.float32
    np.testing.assert_allclose(lengths, (vectors != 0).any(axis=1), atol=2e-6)
    np.testing.assert_array_equal(normalize(unit), unit)
    for row, alone in zip(unit, vectors, strict=True):
        np.testing.assert_array_equal(normalize(alone[None])[0], row)


@pytest.mark.parametrize("scale", [1e-300, 1e-40, 1e-20, 1.0, 1e20, 1e300])
def test_direction_survives_extreme_lengths(scale: float) -> None:
    unit = normalize(np.array([[3.0, 4.0, 0.0]]) * scale)
    np.testing.assert_allclose(unit, [[0.6, 0.8, 0.0]], rtol=1e-6)


def test_broken_rows_are_named() -> None:
    vectors = np.ones((9, 3))
    vectors[2, 1], vectors[5, 0] = np.nan, np.inf
    with pytest.raises(ValueError, match=r"2 vectors hold NaN or infinity \(rows 2, 5\)"):
        normalize(vectors)
    with pytest.raises(ValueError, match=r"9 vectors .*\(rows 0, 1, 2, 3, 4, \.\.\.\)"):
        normalize(vectors * np.nan)


@pytest.mark.parametrize("dimensions", [1, 3, 17, 1280, 4097, 9000])
@pytest.mark.parametrize("metric", METRICS)
def test_distances_depend_on_the_two_vectors_alone(metric: str, dimensions: int) -> None:
    vectors = np.random.default_rng(0).standard_normal((150, dimensions), dtype=np.float32)
    space = Space.of(normalize(vectors) if metric == "cosine" else vectors, metric)
    first, second = np.arange(150), np.arange(150)[::-1].copy()
    together = space.distances(first, space, second)
    alone = [space[row : row + 1].distances(np.array([0]), space, second[[row]])[0] for row in first]
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(together, space.distances(second, space, first))
    np.testing.assert_array_equal(together, space.pair_distances(first, second))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dimensions", [2, 12, 3000])
@pytest.mark.parametrize("constant", [False, True])
def test_closeness_is_off_by_less_than_its_slack(metric: str, dimensions: int, *, constant: bool) -> None:
    generator = np.random.default_rng(0)
    vectors = np.ones((60, dimensions)) if constant else generator.standard_normal((60, dimensions))
    lengths = np.linspace(0.1, 7, 60)[:, None]
    if metric == "cosine":
        vectors, lengths = normalize(vectors), np.linspace(1 - 4e-6, 1 + 4e-6, 60)[:, None]
    space = Space.of((vectors * lengths).astype(np.float32), metric)
    everyone, anyone = (each.ravel() for each in np.indices((60, 60)))
    closeness = space.closeness_at(space.distances(everyone, space, anyone)).reshape(60, 60)
    assert (np.abs(space.closeness(space) - closeness) <= space.slack(space)[:, None] / 2).all()


def test_inner_products_of_no_rows_or_columns() -> None:
    assert inner(np.empty((0, 3)), np.empty((0, 3))).shape == (0,)
    assert inner(np.empty((2, 0)), np.empty((2, 0))).tolist() == [0, 0]
