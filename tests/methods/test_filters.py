"""Filters against plain numpy."""

import numpy as np
import pytest

from brain_assets.methods.images import filters

WEIGHTS = np.array([0.25, 0.5, 0.25], np.float32)


@pytest.fixture(params=[(9, 14), (16, 16), (33, 20)])
def plane(request: pytest.FixtureRequest) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, request.param).astype(np.float32)


def filtered(plane: np.ndarray, mask: np.ndarray) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(plane.astype(np.float64), mask.shape)
    return np.einsum("ijkl,kl->ij", windows, mask)


def test_a_filter_weighs_the_neighbours(plane: np.ndarray) -> None:
    np.testing.assert_allclose(filters.blur(plane, 1), filtered(plane, np.outer(WEIGHTS, WEIGHTS)), rtol=1e-5)


def test_the_slope_is_the_squared_gradient(plane: np.ndarray) -> None:
    down, across = np.gradient(plane.astype(np.float64))
    expected = (down**2 + across**2)[1:-1, 1:-1]
    np.testing.assert_allclose(filters.slope(plane), expected, rtol=1e-4, atol=1e-3)


def test_roughness_is_the_mean_answer_of_the_mask_in_each_block(plane: np.ndarray) -> None:
    answers = np.abs(filtered(plane, np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])))
    rows, columns = answers.shape[0] // 4, answers.shape[1] // 4
    expected = answers[: 4 * rows, : 4 * columns].reshape(rows, 4, columns, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(filters.roughness(plane, 4), expected, rtol=1e-4)


def test_means_of_blocks_leave_out_the_rest(plane: np.ndarray) -> None:
    rows, columns = plane.shape[0] // 4, plane.shape[1] // 4
    expected = plane[: 4 * rows, : 4 * columns].reshape(rows, 4, columns, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(filters.block_means(plane, 4), expected, rtol=1e-5)
