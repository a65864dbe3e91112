"""What a result may depend on: inputs as they are, not their last bit, the order of their rows, or who sorts equals."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Rows = NDArray[np.int64]


def nudged(values: NDArray[np.floating], seed: int = 0) -> NDArray[np.floating]:
    """Return the values, each moved by one unit in the last place, up or down or not at all; 0, inf and NaN stay."""
    way = np.random.default_rng(seed).choice(np.array([-np.inf, 0.0, np.inf]), values.shape).astype(values.dtype)
    moved = np.nextafter(values, way)
    return np.where((way == 0) | (values == 0) | ~np.isfinite(values), values, moved)


def shuffled(count: int, seed: int = 0) -> Rows:
    """Return another order of so many rows."""
    return np.random.default_rng(seed).permutation(count)


def assert_same_order(
    found: ArrayLike, expected: ArrayLike, key: NDArray[np.floating], tolerance: float = 1e-9
) -> None:
    """Assert that two rankings differ only among rows whose keys are equal, beyond the cut of the ranking too.

    Parameters
    ----------
    found, expected : (m,) int, rows of ``key``, none twice
    key : (n,) float
        What the rows are ranked by, computed from the inputs.
    tolerance : float
        Keys that are at most so far apart are equal.
    """
    found, expected = np.asarray(found), np.asarray(expected)
    assert len(np.unique(found)) == len(found)
    np.testing.assert_allclose(key[found], key[expected], rtol=tolerance, atol=tolerance)
