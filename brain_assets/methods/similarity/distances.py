"""Distances between rows: fast and rounded for all of them, definitive for chosen pairs.

Matrix products only choose candidates, with enough slack for their rounding. Every distance that is returned is then
computed from its two vectors alone, so that it is the same bits whichever search found the pair.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

METRICS = ("cosine", "euclidean", "dotproduct", "manhattan")
Floats: TypeAlias = NDArray[np.float32]
Rows: TypeAlias = NDArray[np.int64]
CHUNK = 128
# einsum cuts longer sums where its buffer ends, which depends on the other rows.
PIECE = 4096
# Rows that are looked at at once: of a million vectors a truth value of each number would be half a gigabyte.
LOOKED_ROWS = 1 << 14


def normalize(vectors: ArrayLike) -> Floats:
    """Return the rows scaled to unit length, each from its own values alone.

    A zero row has no direction and stays zero: its cosine distance to every other row, another zero row included, is 1.
    Rows that already have unit length to single precision are returned as they are, so that normalizing twice is safe.

    Parameters
    ----------
    vectors : (n, d) real numbers

    Returns
    -------
    (n, d) float32

    Raises
    ------
    ValueError
        If a row holds NaN or infinity; the message names the first such rows.

    Examples
    --------
    >>> normalize([[3.0, 4.0], [0.0, 0.0]])
    array([[0.6, 0.8],
           [0. , 0. ]], dtype=float32)
    """
    rows = as_matrix(vectors)
    with np.errstate(over="ignore", invalid="ignore"):
        squares = inner(rows, rows)
    require_finite(rows, squares)
    extreme = ~((squares > 1e-30) & (squares < 1e30))
    scale = np.where(extreme | (np.abs(squares - 1) <= 4e-6), 1, np.sqrt(squares))
    with np.errstate(over="ignore"):
        unit = (rows / scale[:, None]).astype(np.float32, copy=False)
    unit[extreme] = _unit_extremes(rows[extreme].astype(np.float64))
    return unit


def _unit_extremes(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return unit rows where squares would overflow or vanish."""
    peak = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    rows = rows / np.where(peak > 0, peak, 1)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float64] = rows / np.where(length > 0, length, 1)
    return unit


def as_matrix(vectors: ArrayLike) -> NDArray[np.floating]:
    """Return the vectors as rows in single or double precision, each row in one piece of memory."""
    rows = np.asarray(vectors)
    if rows.ndim != 2:
        raise ValueError(f"vectors must be a matrix with one row per item, not an array of shape {rows.shape}")
    return np.ascontiguousarray(rows, dtype=np.float64 if rows.dtype == np.float64 else np.float32)


def require_finite(rows: NDArray[np.floating], totals: NDArray[np.floating]) -> None:
    """Check rows for NaN and infinity; only those need a look whose total is not finite."""
    suspects = np.flatnonzero(~np.isfinite(totals))
    broken = suspects[~np.isfinite(rows[suspects]).all(axis=1)]
    if broken.size:
        named = ", ".join(map(str, broken[:5])) + (", ..." if broken.size > 5 else "")
        raise ValueError(f"{broken.size} vectors hold NaN or infinity (rows {named}): leave these rows out")


def finite_rows(vectors: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return which rows are finite, without a second matrix of them.

    Examples
    --------
    >>> finite_rows(np.array([[1.0, 2.0], [np.nan, 2.0]])).tolist()
    [True, False]
    """
    known = np.zeros(len(vectors), np.bool_)
    for start in range(0, len(vectors), LOOKED_ROWS):
        known[start : start + LOOKED_ROWS] = np.isfinite(vectors[start : start + LOOKED_ROWS]).all(axis=1)
    return known


def inner(left: NDArray[np.floating], right: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the inner product of each pair of rows; unlike a matrix product, its bits depend on these rows only.

    Examples
    --------
    >>> inner(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]))
    array([11.])
    """
    products: NDArray[np.floating] = np.einsum("ij,ij->i", left[:, :PIECE], right[:, :PIECE])
    for start in range(PIECE, left.shape[1], PIECE):
        products += np.einsum("ij,ij->i", left[:, start : start + PIECE], right[:, start : start + PIECE])
    return products


@dataclass(frozen=True)
class Space:
    """Vectors under a metric; ``size`` is what rounding errors grow with: half the square, or the absolute sum."""

    vectors: Floats
    size: Floats
    metric: str

    @classmethod
    def of(cls, vectors: ArrayLike, metric: str) -> "Space":
        """Return checked vectors: finite, and of unit length or zero for cosine."""
        if metric not in METRICS:
            raise ValueError(f"unknown metric {metric!r}: choose one of {', '.join(METRICS)}")
        rows = np.ascontiguousarray(as_matrix(vectors), dtype=np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            size = np.float32(0.5) * inner(rows, rows) if metric != "manhattan" else _absolute_sums(rows)
        require_finite(rows, size)
        if metric == "cosine":
            _require_unit(size)
        return cls(rows, size.astype(np.float32, copy=False), metric)

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, rows: Rows | slice) -> "Space":
        return Space(self.vectors[rows], self.size[rows], self.metric)

    def slack(self, other: "Space") -> Floats:
        """Return a bound, for each row, on twice the error of its closeness to any row of the other space.

        An inner product of length d is off by at most d u |x| |y|, u = 2**-24, in whatever order it is summed
        (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1). Cosine also feels lengths that are not
        quite one.
        """
        relative = np.float32((4 * self.vectors.shape[1] + 64) * 2.0**-24)
        bound: Floats = relative * (self.size + other.size.max(initial=0.0))
        return bound + 2 * (self._unevenness() + other._unevenness()) if self.metric == "cosine" else bound

    def _unevenness(self) -> np.float32:
        deviations = np.abs(self.size - np.float32(0.5))[self.size > 0]
        largest: np.float32 = deviations.max(initial=0.0)
        return largest

    def closeness(self, other: "Space") -> Floats:
        """Return a matrix that is fast to compute, larger where nearer, and rounded.

        The inner product for cosine and dotproduct, minus half the squared distance for euclidean, minus the distance
        for manhattan.
        """
        if self.metric == "manhattan":
            return np.array([-_absolute_sums(other.vectors - row) for row in self.vectors], np.float32)
        product: Floats = np.matmul(self.vectors, other.vectors.T)
        if self.metric == "euclidean":
            product -= self.size[:, None]
            product -= other.size
        return product

    def closeness_at(self, distances: ArrayLike) -> Floats:
        """Return the closeness that belongs to a distance."""
        values = np.asarray(distances, np.float32)
        if self.metric == "euclidean":
            return np.float32(-0.5) * np.square(values)
        return np.subtract(1 if self.metric == "cosine" else 0, values, dtype=np.float32)

    def distances(self, rows: Rows, other: "Space", other_rows: Rows) -> Floats:
        """Return the definitive distance of each pair, a symmetric function of its two vectors alone."""
        result = np.ones(len(rows), np.float32)
        known = (self.size[rows] == 0) | (other.size[other_rows] == 0) if self.metric == "cosine" else result < 0
        asked = np.flatnonzero(~known)
        for start in range(0, len(asked), CHUNK):
            chunk = asked[start : start + CHUNK]
            result[chunk] = self._rowwise(self.vectors[rows[chunk]], other.vectors[other_rows[chunk]])
        return result

    def pair_distances(self, first: Rows, second: Rows) -> Floats:
        """Return ``distances`` within this space, computed once for pairs that occur both ways."""
        keys = np.minimum(first, second) * len(self) + np.maximum(first, second)
        keys, place = np.unique(keys, return_inverse=True)
        return self.distances(keys // len(self), self, keys % len(self))[place]

    def _rowwise(self, left: Floats, right: Floats) -> NDArray[np.floating]:
        if self.metric == "dotproduct":
            return -inner(left, right)
        left -= right
        if self.metric == "manhattan":
            return _absolute_sums(left)
        squares = inner(left, left)
        return np.sqrt(squares) if self.metric == "euclidean" else np.minimum(squares / 2, 2)

    def signatures(self) -> Floats:
        """Return one number per row; identical rows have the same."""
        weights = np.random.default_rng(0).standard_normal(self.vectors.shape[1], dtype=np.float32)
        return inner(self.vectors, np.broadcast_to(weights, self.vectors.shape)).astype(np.float32, copy=False)

    def identical(self, first: Rows, second: Rows) -> NDArray[np.bool_]:
        """Return which of the pairs of rows hold the same vector."""
        same = np.empty(len(first), np.bool_)
        for start in range(0, len(first), CHUNK):
            chunk = slice(start, start + CHUNK)
            same[chunk] = (self.vectors[first[chunk]] == self.vectors[second[chunk]]).all(axis=1)
        return same


def pair_distances(vectors: ArrayLike, first: Rows, second: Rows, metric: str = "cosine") -> Floats:
    """Return the distance of some pairs of rows: the same bits as in a graph or a search over them.

    Parameters
    ----------
    vectors : (n, d) float32; for cosine the result of ``normalize``
    first, second : (m,) int64
    metric : str

    Returns
    -------
    (m,) float32

    Examples
    --------
    >>> pair_distances(normalize([[1, 0], [0, 2]]), np.array([0]), np.array([1]))
    array([1.], dtype=float32)
    """
    space = Space.of(vectors, metric)
    return space.distances(first, space, second)


def _absolute_sums(rows: Floats) -> Floats:
    sums: Floats = np.abs(rows).sum(axis=1)
    return sums


def _require_unit(half_squares: NDArray[np.floating]) -> None:
    broken = np.flatnonzero((np.abs(half_squares - 0.5) > 1e-5) & (half_squares != 0))
    if broken.size:
        raise ValueError(f"cosine needs unit or zero rows, and row {broken[0]} is neither: pass normalize(vectors)")
