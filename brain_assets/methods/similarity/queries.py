"""Answers to "what is like this?": distances from queries to all samples, in order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brain_assets.methods.duplicates.duplicates import Pairs
from brain_assets.methods.similarity.distances import finite_rows
from brain_assets.methods.similarity.metrics import AGGREGATIONS, Aggregation

Rows = NDArray[np.int64]
Vectors = NDArray[np.floating]


@dataclass(frozen=True)
class Query:
    """What to look for: samples by position or vectors from elsewhere, and how to combine several.

    Attributes
    ----------
    rows : sequence of int
        Positions of query samples.
    vectors : (q, d) float, optional
        Query vectors; give either these or ``rows``.
    aggregation : {"mean", "post-mean", "post-min", "post-max"}
        ``mean`` averages the query vectors; the others combine each sample's distances to the queries.
    reverse : bool
        Farthest first.
    k : int, optional
        Number of answers; all by default.
    """

    rows: Sequence[int] = ()
    vectors: Vectors | None = None
    aggregation: Aggregation = "mean"
    reverse: bool = False
    k: int | None = None

    def __post_init__(self) -> None:
        if self.aggregation not in AGGREGATIONS:
            raise ValueError(f"aggregation {self.aggregation!r} is unknown: use one of {', '.join(AGGREGATIONS)}")
        if (self.vectors is None or len(self.vectors) == 0) == (len(self.rows) == 0):
            raise ValueError("a query needs rows or vectors: at least one, and not both")
        if self.k is not None and self.k < 1:
            raise ValueError(f"k must be at least 1, not {self.k}")


def distances_between(queries: Vectors, vectors: Vectors, metric: str = "cosine") -> NDArray[np.float64]:
    """Return the distance from every query to every vector.

    Parameters
    ----------
    queries : (q, d) float
    vectors : (n, d) float
    metric : str
        "cosine" (1 - cosine, in [0, 2]; 1 to a zero vector), "dotproduct" (1 - dot product, equal to cosine on unit
        vectors), "euclidean", "manhattan", or any other metric of ``sklearn.metrics.pairwise_distances``.

    Returns
    -------
    (q, n) float64
        Smaller = nearer; NaN where a vector holds NaN or inf.

    Examples
    --------
    >>> distances_between(np.array([[1.0, 0.0]]), np.array([[2.0, 0.0], [0.0, 3.0]]))
    array([[0., 1.]])
    """
    distances = np.full((len(queries), len(vectors)), np.nan)
    asked, known = finite_rows(queries), finite_rows(vectors)
    if asked.any() and known.any():
        found = _finite_distances(queries[asked].astype(np.float64), vectors[known].astype(np.float64), metric)
        distances[np.ix_(asked, known)] = found
    return distances


def _finite_distances(queries: NDArray[np.float64], vectors: NDArray[np.float64], metric: str) -> NDArray[np.float64]:
    if metric == "cosine":
        return np.maximum(1.0 - _unit(queries) @ _unit(vectors).T, 0.0)
    if metric == "dotproduct":
        return np.asarray(1.0 - queries @ vectors.T, np.float64)
    from sklearn.metrics import pairwise_distances

    return np.asarray(pairwise_distances(queries, vectors, metric=metric), np.float64)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1.0)


def sort_by_similarity(
    vectors: Vectors, query: Query, metric: str = "cosine", view: Rows | None = None
) -> tuple[Rows, NDArray[np.float64]]:
    """Return the samples nearest to (or farthest from) a query.

    Parameters
    ----------
    vectors : (n, d) float
        Never modified, never centred: the same query has the same answer at any time, whether its vector is named or
        given.
    query : Query
    metric : str
        As for ``distances_between``.
    view : (m,) int64, optional
        The positions to answer from; all by default. Query rows may lie outside it.

    Returns
    -------
    rows : (min(k, m),) int64
        Ordered by distance, ties by position. A sample whose vector holds NaN is never an answer.
    distances : (min(k, m),) float64
        A single query sample is at exactly 0 from itself (unless the metric is "dotproduct").

    Raises
    ------
    ValueError
        If a query row does not exist.

    Examples
    --------
    >>> vectors = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
    >>> sort_by_similarity(vectors, Query(rows=[0], k=2))[0]
    array([0, 1])
    >>> sort_by_similarity(vectors, Query(vectors=vectors[:1], k=1, reverse=True))
    (array([2]), array([1.]))
    """
    answers = np.arange(len(vectors)) if view is None else np.asarray(view, np.int64)
    asked = _query_vectors(vectors, query)
    if query.aggregation == "mean":
        asked = asked.mean(axis=0, keepdims=True)
    between = distances_between(asked, vectors[answers], metric)
    if metric != "dotproduct" and len(query.rows) == len(asked):
        between[np.asarray(query.rows)[:, None] == answers] = 0.0
    return ranked(answers, combine(between, query.aggregation), query)


def _query_vectors(vectors: Vectors, query: Query) -> Vectors:
    if query.vectors is not None:
        return np.atleast_2d(query.vectors)
    missing = [row for row in query.rows if not 0 <= row < len(vectors)]
    if missing:
        raise ValueError(f"query rows {missing} do not exist: there are {len(vectors)} vectors")
    return vectors[np.asarray(query.rows, np.int64)]


def combine(distances: NDArray[np.float64], aggregation: Aggregation) -> NDArray[np.float64]:
    """Return (n,) float64: the mean, minimum or maximum over the queries of (q, n) distances.

    Examples
    --------
    >>> combine(np.array([[0.0, 1.0], [2.0, 3.0]]), "post-max")
    array([2., 3.])
    """
    if aggregation == "post-min":
        return np.asarray(distances.min(axis=0), np.float64)
    return np.asarray(distances.max(axis=0) if aggregation == "post-max" else distances.mean(axis=0), np.float64)


def ranked(rows: Rows, distances: NDArray[np.float64], query: Query) -> tuple[Rows, NDArray[np.float64]]:
    """Return the query's first ``k`` of ``rows`` by (m,) ``distances``, ties by position, unknown ones left out.

    Examples
    --------
    >>> ranked(np.array([4, 5, 6]), np.array([0.3, np.nan, 0.1]), Query(rows=[0], k=2))
    (array([6, 4]), array([0.1, 0.3]))
    """
    known = np.flatnonzero(~np.isnan(distances))
    order = known[np.lexsort((rows[known], (-1 if query.reverse else 1) * distances[known]))][: query.k]
    return rows[order], distances[order]


def samples_of_hits(samples: Rows) -> Rows:
    """Return the distinct samples of ranked objects, in the order of their first hit.

    Examples
    --------
    >>> samples_of_hits(np.array([7, 7, 2, 7, 5]))
    array([7, 2, 5])
    """
    return samples[np.sort(np.unique(samples, return_index=True)[1])]


def pairs_within(
    vectors: Vectors, radius: float, metric: str = "cosine", centre: NDArray[np.floating] | None = None
) -> Pairs:
    """Return all pairs of vectors at most ``radius`` apart, by comparing all with all.

    Parameters
    ----------
    vectors : (n, d) float
        Up to some ten thousand. Vectors with NaN are in no pair.
    radius : float
        Inclusive.
    metric : str
        As for ``distances_between``.
    centre : (d,) float, optional
        Subtracted first. Declare and store it: a mean that moves with the data changes every distance.

    Returns
    -------
    Pairs
        ``first < second``, sorted by first and second.

    Examples
    --------
    >>> pairs_within(np.array([[0.0], [1.0], [3.0]]), 2.0, metric="euclidean").second
    array([1, 2])
    """
    shifted = vectors if centre is None else vectors - centre
    found = []
    for start in range(0, len(shifted), 1024):
        between = distances_between(shifted[start : start + 1024], shifted[start:], metric)
        first, second = np.nonzero(np.triu(between <= radius, 1))
        found.append((first + start, second + start, between[first, second]))
    columns = [np.concatenate(column) for column in zip(*found, strict=True)] or [np.empty(0, np.int64)] * 3
    return Pairs(columns[0], columns[1], columns[2].astype(np.float64))


def upsert_vectors(vectors: dict[str, Vectors], new: dict[str, Vectors], *, overwrite: bool) -> dict[str, Vectors]:
    """Return an index with new vectors added; ids it has already are replaced only if ``overwrite``.

    Raises
    ------
    ValueError
        If a new vector is not as long as those in the index.

    Examples
    --------
    >>> upsert_vectors({"a": np.zeros(2)}, {"a": np.ones(2), "b": np.ones(2)}, overwrite=True)["a"]
    array([1., 1.])
    """
    lengths = {vector.shape for vector in (*vectors.values(), *new.values())}
    if len(lengths) > 1:
        raise ValueError(f"all vectors of an index have one length, got {sorted(lengths)}")
    added = new if overwrite else {key: vector for key, vector in new.items() if key not in vectors}
    return vectors | added
