"""The comparisons that other tests rely on must fail when they should."""

import numpy as np
import pytest

from tests.helpers import assert_same_neighbours

IDS, DISTANCES = np.array([[4, 7, 2]]), np.array([[0.1, 0.2, 0.3]])


@pytest.mark.parametrize(
    ("ids", "distances"),
    [
        ([[4, 7, 2]], [[0.1, 0.2, 0.3]]),
        ([[4, 7, 9]], [[0.1, 0.2, 0.3]]),
        ([[4, 7, 2]], [[0.1, 0.200001, 0.3]]),
    ],
)
def test_same_neighbours_pass(ids: list[list[int]], distances: list[list[float]]) -> None:
    assert_same_neighbours(IDS, DISTANCES, ids, distances)


def test_ties_may_swap_within_the_tolerance() -> None:
    assert_same_neighbours(IDS, [[0.1, 0.2, 0.200001]], [[4, 2, 7]], [[0.1, 0.2, 0.200001]])


@pytest.mark.parametrize(
    ("ids", "distances"),
    [
        ([[7, 4, 2]], [[0.1, 0.2, 0.3]]),
        ([[4, 9, 2]], [[0.1, 0.2, 0.3]]),
        ([[4, 7, 2]], [[0.1, 0.21, 0.3]]),
        ([[4, 4, 2]], [[0.1, 0.2, 0.3]]),
        ([[4, 7]], [[0.1, 0.2]]),
    ],
)
def test_other_neighbours_fail(ids: list[list[int]], distances: list[list[float]]) -> None:
    with pytest.raises(AssertionError):
        assert_same_neighbours(IDS, DISTANCES, ids, distances)
