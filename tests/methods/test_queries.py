"""Similarity queries: against scikit-learn, and one answer at any time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import pairwise_distances

from brain_assets.methods.similarity.queries import (
    Aggregation,
    Query,
    distances_between,
    pairs_within,
    samples_of_hits,
    sort_by_similarity,
    upsert_vectors,
)

RNG = np.random.default_rng(7)
VECTORS = RNG.normal(size=(60, 8)) + 1.0
METRICS = ["cosine", "euclidean", "manhattan", "correlation", "chebyshev"]


@pytest.mark.parametrize("metric", METRICS)
def test_distances_equal_scikit_learn(metric: str) -> None:
    expected = pairwise_distances(VECTORS[:5], VECTORS, metric=metric)
    np.testing.assert_allclose(distances_between(VECTORS[:5], VECTORS, metric), expected, atol=1e-12)


def test_the_dot_product_is_the_cosine_distance_of_unit_vectors() -> None:
    unit = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    dot, cosine = distances_between(unit, unit, "dotproduct"), distances_between(VECTORS, VECTORS)
    np.testing.assert_allclose(dot, cosine, atol=1e-12)


@pytest.mark.parametrize("metric", [*METRICS, "dotproduct"])
@pytest.mark.parametrize("aggregation", ["mean", "post-mean", "post-min", "post-max"])
@pytest.mark.parametrize("reverse", [False, True])
def test_ids_are_answered_like_their_vectors(metric: str, aggregation: Aggregation, reverse: bool) -> None:
    """The peer centres one but not the other, and answers ids differently after other calls."""
    by_id = sort_by_similarity(VECTORS, Query(rows=[3, 9], aggregation=aggregation, reverse=reverse), metric)
    given_vectors = Query(vectors=VECTORS[[3, 9]], aggregation=aggregation, reverse=reverse)
    by_vector = sort_by_similarity(VECTORS, given_vectors, metric)
    np.testing.assert_allclose(by_id[1], by_vector[1], atol=1e-7)
    assert (np.diff(by_id[1]) <= 0).all() if reverse else (np.diff(by_id[1]) >= 0).all()
    assert sorted(by_id[0].tolist()) == list(range(60))


def test_vectors_are_left_alone_and_answers_repeat() -> None:
    vectors = VECTORS.copy()
    first = sort_by_similarity(vectors, Query(rows=[5], k=10))
    pairs_within(vectors, 0.5)
    again = sort_by_similarity(vectors, Query(rows=[5], k=10))
    assert (vectors == VECTORS).all()
    assert first[0].tolist() == again[0].tolist()
    assert first[1].tolist() == again[1].tolist()


def test_the_query_itself_is_the_first_hit_at_zero() -> None:
    rows, distances = sort_by_similarity(np.r_[VECTORS, VECTORS[:1]], Query(rows=[0], k=2))
    assert rows.tolist() == [0, 60]
    assert distances[0] == 0.0
    assert distances[1] == pytest.approx(0, abs=1e-12)


def test_a_view_and_a_query_outside_it() -> None:
    view = np.array([50, 10, 20])
    rows, distances = sort_by_similarity(VECTORS, Query(rows=[5]), view=view)
    expected = pairwise_distances(VECTORS[[5]], VECTORS[view], metric="cosine")[0]
    assert rows.tolist() == view[np.argsort(expected)].tolist()
    np.testing.assert_allclose(distances, np.sort(expected))


def test_vectors_with_nan_are_no_answer_and_have_none() -> None:
    vectors = VECTORS.copy()
    vectors[7] = np.nan
    rows, _ = sort_by_similarity(vectors, Query(rows=[3]))
    assert 7 not in rows
    assert len(rows) == 59
    assert 7 not in np.r_[pairs_within(vectors, 2.0)[:2]]
    assert sort_by_similarity(vectors, Query(rows=[7]))[0].tolist() == [7]


def test_zero_vectors_are_at_distance_one() -> None:
    assert distances_between(np.zeros((1, 8)), VECTORS[:3]).tolist() == [[1.0, 1.0, 1.0]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": [0], "aggregation": "median"}, "use one of mean, post-mean"),
        ({}, "at least one"),
        ({"vectors": np.empty((0, 8))}, "at least one"),
        ({"rows": [0], "vectors": VECTORS[:1]}, "not both"),
        ({"rows": [0], "k": 0}, "k must be at least 1"),
    ],
)
def test_wrong_queries_say_so(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Query(**arguments)


@pytest.mark.parametrize("row", [-1, 60])
def test_an_unknown_query_sample_is_named(row: int) -> None:
    with pytest.raises(ValueError, match=rf"query rows \[{row}\] do not exist"):
        sort_by_similarity(VECTORS, Query(rows=[row]))


@given(
    arrays(np.float64, st.tuples(st.integers(0, 9), st.just(2)), elements=st.integers(-3, 3).map(float)),
    st.sampled_from([0.0, 1.0, 2.5]),
)
def test_pairs_equal_a_double_loop(vectors: np.ndarray, radius: float) -> None:
    pairs = pairs_within(vectors, radius, "euclidean")
    expected = [
        (a, b)
        for a in range(len(vectors))
        for b in range(a + 1, len(vectors))
        if np.linalg.norm(vectors[a] - vectors[b]) <= radius
    ]
    assert list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == expected


def test_pairs_across_blocks() -> None:
    vectors = np.arange(2500.0)[:, None]
    pairs = pairs_within(vectors, 1.0, "manhattan")
    assert pairs.first.tolist() == list(range(2499))
    assert (pairs.second == pairs.first + 1).all()


def test_hits_become_samples() -> None:
    assert samples_of_hits(np.empty(0, np.int64)).tolist() == []


def test_vectors_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        upsert_vectors({"a": np.zeros(2)}, {"b": np.zeros(3)}, overwrite=True)
    kept = upsert_vectors({"a": np.zeros(2)}, {"a": np.ones(2)}, overwrite=False)
    assert kept["a"].tolist() == [0, 0]
