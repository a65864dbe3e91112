"""The neighbour graph and searches by vector: exact, whatever the path, and the same bits after any history."""

import itertools
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from brain_assets.methods.similarity import similarity
from brain_assets.methods.similarity.similarity import (
    METRICS,
    GraphUpdate,
    NeighborGraph,
    build_graph,
    normalize,
    radius_pairs,
    search,
    update_graph,
)
from tests.helpers import assert_same_neighbours
from tests.methods.similarity_reference import distance_matrix, nearest, neighbors

Vectors = NDArray[np.float32]


def random_vectors(count: int, dimensions: int = 12, seed: int = 0) -> Vectors:
    return np.random.default_rng(seed).standard_normal((count, dimensions), dtype=np.float32)


def prepared(vectors: Vectors, metric: str) -> Vectors:
    return normalize(vectors) if metric == "cosine" else vectors


def odd_vectors(name: str) -> Vectors:
    rows = random_vectors(40)
    tight = rows[:1] + np.float32(1e-4) * random_vectors(40)
    return {
        "empty": rows[:0],
        "one": rows[:1],
        "two": rows[:2],
        "three": rows[:3],
        "identical": np.repeat(rows[:1], 40, axis=0),
        "zero": np.zeros_like(rows),
        "some zero": np.concatenate([rows[:30], np.zeros((10, 12), np.float32)]),
        "copies": np.concatenate([rows[:10]] * 4),
        "opposite": np.concatenate([rows[:20], -rows[:20]]),
        "near copies": np.concatenate([tight, rows[20:]]),
        "equidistant": np.eye(40, dtype=np.float32),
        "one dimension": rows[:, :1].copy(),
    }[name]


ODD = (
    "empty",
    "one",
    "two",
    "three",
    "identical",
    "zero",
    "some zero",
    "copies",
    "opposite",
    "near copies",
    "equidistant",
    "one dimension",
)


def assert_lists_are_well_formed(graph: NeighborGraph, order: NDArray[np.int64]) -> None:
    """Ascending by (distance, order), never the row itself, padded beyond the valid entries."""
    for row, (ids, distances, valid) in enumerate(
        zip(graph.neighbors.tolist(), graph.distances.tolist(), graph.valid.tolist(), strict=True)
    ):
        keys = [(distance, order[neighbor]) for neighbor, distance in zip(ids[:valid], distances, strict=False)]
        assert keys == sorted(set(keys))
        assert row not in ids[:valid]
        assert set(ids[valid:]) <= {-1}
        assert all(np.isinf(distances[valid:]))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("block", [7, 1024])
def test_graph_of_odd_vectors_is_exact(name: str, metric: str, block: int) -> None:
    vectors = prepared(odd_vectors(name), metric)
    order = np.random.default_rng(1).permutation(len(vectors))
    graph = build_graph(vectors, order, width=6, metric=metric, block=block)
    ids, distances = neighbors(vectors, 6, metric)
    assert (graph.valid == ids.shape[1]).all()
    assert_lists_are_well_formed(graph, order)
    count = ids.shape[1]
    assert_same_neighbours(graph.neighbors[:, :count], graph.distances[:, :count], ids, distances)


@pytest.mark.parametrize("metric", METRICS)
def test_graph_is_exact_over_many_blocks(metric: str) -> None:
    vectors = prepared(random_vectors(700, 24), metric)
    graph = build_graph(vectors, np.arange(700), width=10, metric=metric, block=64)
    ids, distances = neighbors(vectors, 10, metric)
    assert_same_neighbours(graph.neighbors, graph.distances, ids, distances)


@pytest.mark.parametrize("metric", METRICS)
def test_bits_do_not_depend_on_blocks_or_positions(metric: str) -> None:
    vectors = prepared(np.concatenate([random_vectors(300, 40), random_vectors(30, 40)]), metric)
    order = np.random.default_rng(1).permutation(len(vectors))
    graph = build_graph(vectors, order, metric=metric, block=33)
    shuffled = np.random.default_rng(2).permutation(len(vectors))
    other = build_graph(vectors[shuffled], order[shuffled], metric=metric)
    np.testing.assert_array_equal(graph.distances[shuffled], other.distances)
    np.testing.assert_array_equal(graph.neighbors[shuffled], shuffled[other.neighbors])


def test_identical_rows_are_at_distance_zero_in_tie_break_order() -> None:
    vectors = normalize(np.repeat(random_vectors(1, 50), 30, axis=0))
    order = np.random.default_rng(0).permutation(30)
    graph = build_graph(vectors, order, width=5)
    assert (graph.distances == 0).all()
    by_order = np.argsort(order)
    for row in range(30):
        assert graph.neighbors[row].tolist() == by_order[by_order != row][:5].tolist()


@pytest.mark.parametrize("metric", METRICS)
def test_crowds_of_copies_do_not_hide_near_copies(metric: str) -> None:
    row = random_vectors(1, 300)
    near = row + np.float32(1e-6) * random_vectors(60, 300, seed=1)
    vectors = prepared(np.concatenate([np.repeat(row, 80, axis=0), near, random_vectors(20, 300)]), metric)
    order = np.random.default_rng(2).permutation(160)
    graph = build_graph(vectors, order, width=4, metric=metric)
    everything = build_graph(vectors, order, width=159, metric=metric)
    np.testing.assert_array_equal(graph.neighbors, everything.neighbors[:, :4])
    np.testing.assert_array_equal(graph.distances, everything.distances[:, :4])


def test_zero_rows_are_at_cosine_distance_one_from_everything() -> None:
    graph = build_graph(normalize(odd_vectors("some zero")), np.arange(40), width=39)
    assert (graph.distances[30:] == 1).all()


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_differences_far_below_the_rounding_of_products_are_seen(metric: str) -> None:
    base = normalize(random_vectors(1, 1280))
    steps = np.arange(1, 200, dtype=np.float32)[:, None] * np.float32(1e-6)
    direction = random_vectors(1, 1280, seed=5) / np.float32(np.sqrt(1280))
    vectors = prepared(np.concatenate([base, base + steps * direction, random_vectors(50, 1280)]), metric)
    graph = build_graph(vectors, np.arange(len(vectors)), width=20, metric=metric)
    ids, distances = (found[:200] for found in neighbors(vectors, 20, metric))
    atol = 1e-11 if metric == "cosine" else 1e-9
    assert_same_neighbours(graph.neighbors[:200], graph.distances[:200], ids, distances, atol=atol)


@pytest.mark.parametrize(("width", "count"), [(1, 50), (32, 33), (32, 20), (45, 50)])
def test_graph_has_as_many_entries_as_there_are_others(width: int, count: int) -> None:
    graph = build_graph(normalize(random_vectors(count)), np.arange(count), width=width)
    assert graph.width == graph.neighbors.shape[1] == width
    assert (graph.valid == min(width, count - 1)).all()


def test_distances_keep_their_meaning_in_large_sets() -> None:
    """Above 15 000 samples the peer gives Euclidean distances of unit vectors for cosine distances."""
    vectors = normalize(random_vectors(15_001, 4))
    graph = build_graph(vectors, np.arange(len(vectors)), width=8)
    for row in (0, 7_500, 15_000):
        cosine = 1 - vectors.astype(np.float64) @ vectors[row].astype(np.float64)
        np.testing.assert_allclose(graph.distances[row, :3], np.sort(np.delete(cosine, row))[:3], atol=1e-6)


def test_progress_is_told_until_all_blocks_are_done() -> None:
    seen: list[tuple[int, int]] = []
    build_graph(
        normalize(random_vectors(50)), np.arange(50), block=20, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(done, 6) for done in range(1, 7)]


@pytest.mark.parametrize(
    ("vectors", "order", "metric", "message"),
    [
        (np.eye(3), [0, 1], "cosine", "one rank for each of the 3 vectors"),
        (np.eye(3) * 2, [0, 1, 2], "cosine", r"row 0 is neither: pass normalize\(vectors\)"),
        (np.eye(3), [0, 1, 2], "hamming", "unknown metric 'hamming': choose one of cosine, euclidean"),
        (np.zeros(3), [0, 1, 2], "cosine", r"not an array of shape \(3,\)"),
        ([[1, 0], [np.nan, 0]], [0, 1], "euclidean", r"1 vectors hold NaN or infinity \(rows 1\)"),
    ],
)
def test_wrong_input_is_named(vectors: object, order: list[int], metric: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_graph(vectors, order, metric=metric)  # type: ignore[arg-type]


def updated(
    graph: NeighborGraph,
    vectors: Vectors,
    keep: NDArray[np.int64],
    added: Vectors,
    *,
    guaranteed: int = 20,
) -> tuple[GraphUpdate, Vectors]:
    """Remove all rows but some and append others."""
    kept = np.full(len(vectors), -1)
    kept[keep] = np.arange(len(keep))
    rows = np.concatenate([vectors[keep], added])
    return update_graph(graph, rows, np.arange(len(rows)), kept, guaranteed=guaranteed), rows


def assert_equals_rebuild(graph: NeighborGraph, vectors: Vectors, order: NDArray[np.int64], metric: str) -> None:
    rebuilt = build_graph(vectors, order, width=graph.width, metric=metric)
    assert_lists_are_well_formed(graph, order)
    known = np.arange(graph.width) < graph.valid[:, None]
    np.testing.assert_array_equal(graph.neighbors[known], rebuilt.neighbors[known])
    np.testing.assert_array_equal(graph.distances[known], rebuilt.distances[known])


def test_insertion_searches_the_new_rows_only() -> None:
    vectors = normalize(random_vectors(520))
    update, rows = updated(build_graph(vectors[:500], np.arange(500)), vectors[:500], np.arange(500), vectors[500:])
    assert update.searched == 20
    assert (update.graph.valid == 32).all()
    assert_equals_rebuild(update.graph, rows, np.arange(520), "cosine")


@pytest.mark.parametrize("block_entries", [1, 2**21])
def test_lists_that_hold_everybody_grow_without_a_search(monkeypatch: pytest.MonkeyPatch, block_entries: int) -> None:
    monkeypatch.setattr(similarity, "BLOCK_ENTRIES", block_entries)
    vectors = normalize(random_vectors(34))
    graph = build_graph(vectors[:25], np.arange(25))
    for count in (28, 31, 34):
        kept = np.arange(len(graph))
        update = update_graph(graph, vectors[:count], np.arange(count), kept, guaranteed=30)
        graph = update.graph
        assert update.searched == 3
        assert (graph.valid == min(count - 1, 32)).all()
        assert_equals_rebuild(graph, vectors[:count], np.arange(count), "cosine")


def test_few_deletions_search_nothing_and_shorten_the_lists() -> None:
    vectors = normalize(random_vectors(500))
    graph = build_graph(vectors, np.arange(500))
    update, rows = updated(graph, vectors, np.arange(10, 500), vectors[:0])
    assert update.searched == 0
    assert update.graph.valid.min() >= 20
    touched = np.isin(graph.neighbors[10:], np.arange(10)).any(axis=1)
    np.testing.assert_array_equal(update.changed, np.flatnonzero(touched))
    assert_equals_rebuild(update.graph, rows, np.arange(490), "cosine")


def test_rows_that_lost_too_many_are_searched_again() -> None:
    vectors = normalize(random_vectors(500))
    graph = build_graph(vectors, np.arange(500))
    lost = np.append(graph.neighbors[0, :15], [])
    update, rows = updated(graph, vectors, np.setdiff1d(np.arange(500), lost), vectors[:0])
    assert 1 <= update.searched < 50
    assert update.graph.valid[0] == 32
    assert_equals_rebuild(update.graph, rows, np.arange(485), "cosine")


def test_nothing_new_changes_nothing() -> None:
    vectors = normalize(random_vectors(60))
    graph = build_graph(vectors, np.arange(60))
    update, _ = updated(graph, vectors, np.arange(60), vectors[:0])
    assert (update.searched, update.changed.tolist()) == (0, [])
    np.testing.assert_array_equal(update.graph.neighbors, graph.neighbors)


def test_update_leaves_the_old_graph_alone() -> None:
    vectors = normalize(random_vectors(80))
    graph = build_graph(vectors[:70], np.arange(70))
    before = graph.neighbors.copy(), graph.distances.copy(), graph.valid.copy()
    updated(graph, vectors[:70], np.arange(5, 70), vectors[70:])
    for old, now in zip(before, (graph.neighbors, graph.distances, graph.valid), strict=True):
        np.testing.assert_array_equal(old, now)


def test_changed_names_every_row_whose_list_differs() -> None:
    vectors = normalize(random_vectors(300))
    graph = build_graph(vectors[:290], np.arange(290))
    keep = np.arange(5, 290)
    update, _ = updated(graph, vectors[:290], keep, vectors[290:])
    moved = np.append(np.full(5, -1), np.arange(285))
    differs = (moved[graph.neighbors[keep]] != update.graph.neighbors[:285]).any(axis=1)
    np.testing.assert_array_equal(update.changed, np.append(np.flatnonzero(differs), np.arange(285, 295)))


def test_mostly_new_rows_are_built_anew() -> None:
    vectors = normalize(random_vectors(100))
    update, rows = updated(build_graph(vectors[:20], np.arange(20)), vectors[:20], np.arange(20), vectors[20:])
    assert update.searched == 100
    assert_equals_rebuild(update.graph, rows, np.arange(100), "cosine")


@pytest.mark.parametrize(
    ("kept", "message"),
    [([0, 1], "one position for each of the 3 old rows"), ([0, 0, 1], "distinct"), ([0, 1, 3], "below 3")],
)
def test_kept_that_does_not_fit_is_refused(kept: list[int], message: str) -> None:
    graph = build_graph(np.eye(3), np.arange(3))
    with pytest.raises(ValueError, match=message):
        update_graph(graph, np.eye(3), np.arange(3), kept)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[set[int], list[int]]]:
    """Steps of removals (numbers taken modulo the rows there are) and additions (numbers of pool vectors)."""
    step = st.tuples(st.sets(st.integers(0, 60), max_size=12), st.lists(st.integers(0, 39), max_size=9))
    return draw(st.lists(step, min_size=1, max_size=6))


POOL = np.concatenate([odd_vectors("near copies")[:25], random_vectors(14), np.zeros((1, 12), np.float32)])


@pytest.mark.parametrize("metric", METRICS)
@given(history=histories(), seed=st.integers(0, 9), block_entries=st.sampled_from([1, 100, 2**21]))
def test_any_history_equals_a_rebuild(
    metric: str, history: list[tuple[set[int], list[int]]], seed: int, block_entries: int
) -> None:
    """Pool vectors may come several times, as rows that tie; every row keeps its rank, drawn when it comes."""
    with mock.patch.object(similarity, "BLOCK_ENTRIES", block_entries):
        replay(metric, history, seed)


def replay(metric: str, history: list[tuple[set[int], list[int]]], seed: int) -> None:
    pool, fresh = prepared(POOL, metric), itertools.count()
    ranks_to_come = np.random.default_rng(seed).permutation(200)
    members, ranks = np.empty(0, np.int64), np.empty(0, np.int64)
    graph = build_graph(pool[members], ranks, width=8, metric=metric)
    for removals, additions in history:
        gone = np.isin(np.arange(len(members)), [number % max(len(members), 1) for number in removals])
        members = np.concatenate([members[~gone], np.array(additions, np.int64)])
        ranks = np.concatenate([ranks[~gone], ranks_to_come[[next(fresh) for _ in additions]].astype(np.int64)])
        kept = np.where(gone, -1, np.cumsum(~gone) - 1)
        by_rank = np.argsort(ranks)
        kept[~gone] = np.argsort(by_rank)[kept[~gone]]
        members, ranks = members[by_rank], ranks[by_rank]
        update = update_graph(graph, pool[members], ranks, kept, guaranteed=5, metric=metric)
        graph = update.graph
        assert (graph.valid >= min(5, len(members) - 1)).all()
        assert_equals_rebuild(graph, pool[members], ranks, metric)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", ODD)
def test_radius_pairs_are_all_pairs(name: str, metric: str) -> None:
    vectors = prepared(odd_vectors(name), metric)
    matrix = distance_matrix(vectors, vectors, metric)
    radius = {"cosine": 0.4, "euclidean": 3.0, "dotproduct": -4.0, "manhattan": 9.0}[metric]
    expected = np.argwhere(np.triu(matrix <= radius, 1))
    graph = build_graph(vectors, np.arange(len(vectors)), width=4, metric=metric)
    first, second, distances = radius_pairs(vectors, graph, radius, metric=metric)
    np.testing.assert_array_equal(np.stack([first, second], axis=1), expected)
    np.testing.assert_allclose(distances, matrix[first, second], atol=1e-5)


def test_radius_is_inclusive_and_exact() -> None:
    vectors = normalize(random_vectors(200))
    graph = build_graph(vectors, np.arange(200), width=3)
    radius = float(graph.distances[7, 0])
    below = float(np.nextafter(np.float32(radius), np.float32(0)))
    at, under = (set(zip(*radius_pairs(vectors, graph, r)[:2], strict=True)) for r in (radius, below))
    assert at - under == {tuple(sorted((7, graph.neighbors[7, 0])))}


def test_lists_that_end_at_the_radius_are_searched() -> None:
    vectors = normalize(np.repeat(random_vectors(3), 10, axis=0))
    first, second, distances = radius_pairs(vectors, build_graph(vectors, np.arange(30), width=4), 0.0)
    assert len(first) == 3 * 45
    assert (first // 10 == second // 10).all()
    assert (distances == 0).all()


def test_radius_pairs_of_some_rows_touch_these() -> None:
    vectors = normalize(random_vectors(200))
    graph = build_graph(vectors, np.arange(200), width=5)
    first, second, _ = radius_pairs(vectors, graph, 0.4)
    touches = np.isin(first, [3, 50]) | np.isin(second, [3, 50])
    some_first, some_second, _ = radius_pairs(vectors, graph, 0.4, rows=[50, 3])
    np.testing.assert_array_equal(some_first, first[touches])
    np.testing.assert_array_equal(some_second, second[touches])
    assert 0 < touches.sum() < len(first)


def test_complete_lists_are_not_searched_again(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = normalize(random_vectors(200))
    graph = build_graph(vectors, np.arange(200), width=30)
    radius = float(graph.distances[:, -1].min()) - 1e-3
    expected = radius_pairs(vectors, build_graph(vectors, np.arange(200), width=1), radius)
    monkeypatch.setattr(similarity.Space, "closeness", lambda *_: pytest.fail("searched"))
    for ours, theirs in zip(radius_pairs(vectors, graph, radius), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("farthest", [False, True])
@pytest.mark.parametrize("subset", [None, [5, 3, 90, 41, 7]])
def test_search_finds_what_a_full_sort_finds(metric: str, *, farthest: bool, subset: list[int] | None) -> None:
    vectors, queries = prepared(random_vectors(150), metric), random_vectors(9, seed=3)
    positions, distances = search(vectors, queries, 12, metric=metric, farthest=farthest, subset=subset)
    chosen = np.arange(150) if subset is None else np.sort(subset)
    sign = -1 if farthest else 1
    ids, expected = nearest(sign * distance_matrix(queries, vectors[chosen], metric), 12)
    assert_same_neighbours(positions, sign * distances, chosen[ids], expected)


def test_search_with_a_row_of_the_set_finds_it_at_distance_zero() -> None:
    vectors = normalize(random_vectors(40))
    positions, distances = search(vectors, vectors[[4, 9]] * 3, 1)
    assert positions.ravel().tolist() == [4, 9]
    np.testing.assert_allclose(distances, 0, atol=1e-12)
    assert (search(vectors, vectors[[4, 9]], 1)[1] == 0).all()


@pytest.mark.parametrize(("rows", "queries", "k", "shape"), [(0, 3, 5, (3, 0)), (4, 0, 2, (0, 2)), (4, 3, 9, (3, 4))])
def test_search_with_few_rows(rows: int, queries: int, k: int, shape: tuple[int, int]) -> None:
    positions, distances = search(normalize(random_vectors(rows)), random_vectors(queries), k)
    assert positions.shape == distances.shape == shape


def test_search_ties_go_to_the_lower_position() -> None:
    assert search(np.eye(5), np.ones((1, 5)), 3)[0].tolist() == [[0, 1, 2]]
    assert search(np.eye(5), np.ones((1, 5)), 3, farthest=True)[0].tolist() == [[0, 1, 2]]


@pytest.mark.slow
@settings(max_examples=3)
@given(seed=st.integers(0, 1000))
def test_graph_of_many_wide_rows_is_what_faiss_finds(seed: int) -> None:
    faiss = pytest.importorskip("faiss")
    vectors = normalize(random_vectors(4000, 256, seed))
    graph = build_graph(vectors, np.arange(4000), width=20)
    index = faiss.IndexFlatIP(256)
    index.add(vectors)
    closeness, ids = index.search(vectors, 21)
    others = ids != np.arange(4000)[:, None]
    ids, closeness = ids[others].reshape(4000, 20), closeness[others].reshape(4000, 20)
    assert_same_neighbours(graph.neighbors, graph.distances, ids, 1 - closeness)
