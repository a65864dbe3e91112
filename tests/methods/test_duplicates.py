"""Groups of duplicates: against loops written from the definitions, and what the peer's bugs would have broken."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brain_assets.methods.duplicates.duplicates import (
    Cover,
    Pairs,
    connected_components,
    copies_of_copies,
    cover_with_copies,
    crowds_left_open,
    distance_histogram,
    duplicate_kinds,
    duplicates_view,
    find_duplicates,
    find_unique,
    greedy_cover,
    neighbors_map,
    touched,
)
from brain_assets.methods.similarity.queries import pairs_within

GOLDEN = Path(__file__).parent.parent / "golden" / "seed7"
NONE = Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))


@st.composite
def graphs(draw: st.DrawFn, most: int = 12) -> tuple[Pairs, np.ndarray]:
    """Pairs with many tied distances, and a rank."""
    count = draw(st.integers(0, most))
    possible = [(a, b) for a in range(count) for b in range(a + 1, count)]
    chosen = draw(st.lists(st.sampled_from(possible), unique=True)) if possible else []
    flipped = [(b, a) if draw(st.booleans()) else (a, b) for a, b in chosen]
    table = np.array(flipped, np.int64).reshape(-1, 2)
    distance = np.array([draw(st.sampled_from([0.0, 0.1, 0.2, 0.3])) for _ in chosen], np.float64)
    return Pairs(table[:, 0], table[:, 1], distance), np.array(draw(st.permutations(range(count))), np.int64)


def distance_of(pairs: Pairs) -> dict[tuple[int, int], float]:
    table = {}
    for a, b, d in zip(pairs.first.tolist(), pairs.second.tolist(), pairs.distance.tolist(), strict=True):
        table[a, b] = table[b, a] = d
    return table


def cover_by_loop(pairs: Pairs, rank: np.ndarray) -> tuple[list[bool], list[int], list[int]]:
    table, visited = distance_of(pairs), np.argsort(rank).tolist()
    keep, dropped_by = [True] * len(rank), list(range(len(rank)))
    for place, row in enumerate(visited):
        for other in visited[place + 1 :]:
            if keep[row] and keep[other] and (row, other) in table:
                keep[other], dropped_by[other] = False, row
    nearest = list(range(len(rank)))
    for row in visited:
        if not keep[row]:
            near = [
                (table[row, other], rank[other], other) for other in visited if keep[other] and (row, other) in table
            ]
            nearest[row] = min(near)[2]
    return keep, nearest, dropped_by


@given(graphs())
def test_the_cover_equals_the_loop(graph: tuple[Pairs, np.ndarray]) -> None:
    pairs, rank = graph
    cover = greedy_cover(pairs, rank)
    keep, nearest, dropped_by = cover_by_loop(pairs, rank)
    assert cover.keep.tolist() == keep
    assert cover.nearest.tolist() == nearest
    assert cover.dropped_by.tolist() == dropped_by
    table = distance_of(pairs)
    assert cover.distance.tolist() == [table.get((row, kept), 0.0) for row, kept in enumerate(nearest)]


@given(graphs(), st.sampled_from([0.0, 0.1, 0.2]))
def test_every_member_is_within_the_threshold_of_its_kept_sample(
    graph: tuple[Pairs, np.ndarray], threshold: float
) -> None:
    pairs, rank = graph
    cover = find_duplicates(pairs, rank, threshold).cover
    table = distance_of(pairs.within(threshold))
    assert (cover.distance <= threshold).all()
    assert cover.keep[cover.nearest].all()
    assert not any(cover.keep[a] and cover.keep[b] for a, b in table)
    assert (rank[cover.dropped_by] <= rank).all()


def restricted(pairs: Pairs, mask: np.ndarray) -> Pairs:
    return pairs.where(mask[pairs.first] & mask[pairs.second])


@given(graphs(), st.data())
def test_covering_only_the_touched_components_equals_a_rebuild(
    graph: tuple[Pairs, np.ndarray], data: st.DataObject
) -> None:
    after, rank = graph
    gone = data.draw(st.lists(st.booleans(), min_size=len(after.first), max_size=len(after.first)))
    before = after.where(~np.array(gone, np.bool_))
    old, rebuilt = greedy_cover(before, rank), greedy_cover(after, rank)
    changed = np.unique(np.r_[after.first[np.array(gone, np.bool_)], after.second[np.array(gone, np.bool_)]])
    mask = np.zeros(len(rank), np.bool_)
    for pairs in (before, after):
        mask |= touched(connected_components(pairs, len(rank)), changed)
    renewed = greedy_cover(restricted(after, mask), rank)
    for column, old_column, rebuilt_column in zip(renewed, old, rebuilt, strict=True):
        assert np.where(mask, column, old_column).tolist() == rebuilt_column.tolist()


@given(graphs(6), st.data())
def test_copies_count_like_pairs_at_distance_zero(graph: tuple[Pairs, np.ndarray], data: st.DataObject) -> None:
    pairs, contents = graph[0].where(graph[0].distance > 0), len(graph[1])
    spare = data.draw(st.lists(st.integers(0, contents - 1), max_size=6)) if contents else []
    content = np.array([*range(contents), *spare], np.int64)
    rank = np.array(data.draw(st.permutations(range(len(content)))), np.int64)
    table = distance_of(pairs)
    written_out = [
        (a, b, 0.0 if content[a] == content[b] else table[content[a], content[b]])
        for a in range(len(content))
        for b in range(a + 1, len(content))
        if content[a] == content[b] or (content[a], content[b]) in table
    ]
    columns = np.array(written_out, np.float64).reshape(-1, 3).T
    expected = greedy_cover(Pairs(columns[0].astype(np.int64), columns[1].astype(np.int64), columns[2]), rank)
    for column, expected_column in zip(cover_with_copies(pairs, content, rank), expected, strict=True):
        assert column.tolist() == expected_column.tolist()


def test_a_chain_is_no_group() -> None:
    chain = Pairs(np.arange(4), np.arange(1, 5), np.full(4, 0.1))
    cover = greedy_cover(chain, np.arange(5))
    assert cover.keep.tolist() == [True, False, True, False, True]
    assert connected_components(chain, 5).tolist() == [0] * 5


def test_a_member_may_be_nearer_to_another_than_the_one_that_dropped_it() -> None:
    pairs = Pairs(np.array([0, 1]), np.array([1, 2]), np.array([0.1, 0.05]))
    cover = greedy_cover(pairs, np.arange(3))
    assert (cover.nearest[1], cover.dropped_by[1]) == (2, 0)


def test_a_long_chain_in_keep_order_stays_linear() -> None:
    count = 100_000
    chain = Pairs(np.arange(count - 1), np.arange(1, count), np.full(count - 1, 0.1))
    assert greedy_cover(chain, np.arange(count)).keep.sum() == count // 2


@given(graphs())
def test_components_equal_the_closure(graph: tuple[Pairs, np.ndarray]) -> None:
    pairs, rank = graph
    label = list(range(len(rank)))
    for _ in label:
        for a, b in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True):
            label[a] = label[b] = min(label[a], label[b])
    assert connected_components(pairs, len(rank)).tolist() == label


@given(graphs(), st.floats(0, 1))
def test_a_fraction_drops_exactly_that_many_at_the_smallest_distance_that_can(
    graph: tuple[Pairs, np.ndarray], fraction: float
) -> None:
    pairs, rank = graph
    complete = complete_graph(pairs, len(rank))
    found = find_duplicates(complete, rank, fraction=fraction)
    target = round((1 - fraction) * len(rank))
    assert found.cover.keep.sum() == target
    dropped = np.flatnonzero(~found.cover.keep)
    if not np.isnan(found.threshold):
        assert (found.cover.keep[found.cover.nearest]).all()
        assert (found.cover.distance <= found.threshold).all()
        assert (found.cover.nearest[dropped] != dropped).all()
        below = complete.distance[complete.distance < found.threshold].max(initial=-1.0)
        assert find_duplicates(complete, rank, below).cover.keep.sum() > target


def test_equal_distances_do_not_drop_more_than_asked_and_the_best_ranked_are_kept() -> None:
    count = 10
    first, second = np.triu_indices(count, 1)
    found = find_duplicates(Pairs(first, second, np.full(len(first), 0.5)), np.arange(count)[::-1], fraction=0.3)
    assert np.flatnonzero(~found.cover.keep).tolist() == [0, 1, 2]
    assert found.cover.nearest[:3].tolist() == [9, 9, 9]


def complete_graph(pairs: Pairs, count: int) -> Pairs:
    """All pairs: those given, and the absent ones at distance 1."""
    table = distance_of(pairs)
    first, second = np.triu_indices(count, 1)
    distance = [table.get((a, b), 1.0) for a, b in zip(first.tolist(), second.tolist(), strict=True)]
    return Pairs(first, second, np.array(distance, np.float64))


@given(graphs(), st.integers(-1, 14))
def test_unique_samples_are_as_many_as_asked_and_apart(graph: tuple[Pairs, np.ndarray], count: int) -> None:
    pairs, rank = graph
    complete = complete_graph(pairs, len(rank))
    unique = find_unique(complete, rank, count)
    assert unique.keep.sum() == min(max(count, 0), len(rank))
    kept = complete.where(unique.keep[complete.first] & unique.keep[complete.second])
    if 0 < count < len(rank) and (complete.distance > 0).all():
        assert (kept.distance > unique.threshold).all()


def test_pairs_that_do_not_reach_are_named() -> None:
    with pytest.raises(ValueError, match=r"pairs up to 0.1 leave 2 of 3 samples"):
        find_unique(Pairs(np.array([0]), np.array([1]), np.array([0.1])), np.arange(3), 1)
    with pytest.raises(ValueError, match="larger radius"):
        find_duplicates(NONE, np.arange(3), fraction=0.5)


@pytest.mark.parametrize("given_both", [(None, None), (0.1, 0.1)])
def test_a_threshold_or_a_fraction(given_both: tuple[float | None, float | None]) -> None:
    with pytest.raises(ValueError, match="either a threshold or a fraction"):
        find_duplicates(NONE, np.arange(3), *given_both)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_sets_without_pairs_keep_everything(count: int) -> None:
    cover = greedy_cover(NONE, np.arange(count))
    assert cover.keep.all()
    assert neighbors_map(cover) == {}
    assert len(duplicates_view(cover).order) == 0
    assert duplicate_kinds(cover).tolist() == ["unique"] * count
    assert connected_components(NONE, count).tolist() == list(range(count))
    assert cover_with_copies(NONE, np.arange(count), np.arange(count)).keep.all()


def test_all_identical_samples_are_one_group_without_pairs() -> None:
    cover = cover_with_copies(NONE, np.zeros(1000, np.int64), np.arange(1000)[::-1])
    assert np.flatnonzero(cover.keep).tolist() == [999]
    assert set(cover.nearest.tolist()) == {999}


def two_groups() -> Cover:
    pairs = Pairs(np.array([0, 0, 3]), np.array([1, 2, 4]), np.array([0.2, 0.3, 0.1]))
    return greedy_cover(pairs, np.arange(6))


@pytest.mark.parametrize(
    ("sort_by", "reverse", "order"),
    [
        ("distance", False, [3, 4, 0, 1, 2]),
        ("distance", True, [0, 1, 2, 3, 4]),
        ("count", False, [3, 4, 0, 1, 2]),
        ("count", True, [0, 1, 2, 3, 4]),
    ],
)
def test_the_duplicates_view_is_sorted(sort_by: str, reverse: bool, order: list[int]) -> None:
    view = duplicates_view(two_groups(), sort_by, reverse=reverse)
    assert view.order.tolist() == order
    assert view.distance[view.kind == "nearest"].tolist() == [0.0, 0.0]
    assert view.nearest[view.kind == "duplicate"].tolist() == [3, 0, 0] if order[0] == 3 else [0, 0, 3]


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(ValueError, match="'distance' or 'count'"):
        duplicates_view(two_groups(), "size")


def test_the_histogram_leaves_unknown_distances_out() -> None:
    counts, edges = distance_histogram(np.array([np.nan, np.inf]), bins=4)
    assert counts.tolist() == [0, 0, 0, 0]
    assert edges[-1] == 1.0
    counts, _ = distance_histogram(np.array(json.loads((GOLDEN / "outputs.json").read_text())["plot_distances.nn1"]))
    assert counts.sum() == 500


@pytest.mark.parametrize("threshold", [0.02, 0.05, 0.1, 0.2, 0.5])
def test_reported_distances_are_those_the_threshold_speaks_of(threshold: float) -> None:
    """The peer reports distances of 6.9 to 15.6 for pairs within a cosine distance of .02."""
    vectors = np.load(GOLDEN / "inputs.npz")["embeddings"]
    pairs = pairs_within(vectors, threshold, centre=vectors.mean(axis=0))
    cover = find_duplicates(pairs, np.arange(len(vectors)), threshold).cover
    expected = json.loads((GOLDEN / "outputs.json").read_text())[f"near_duplicates.{threshold}"]
    assert np.flatnonzero(cover.keep).tolist() == expected["unique"]
    unit = vectors - vectors.mean(axis=0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    for kept, group in neighbors_map(cover).items():
        for row, distance in group:
            assert distance == pytest.approx(1 - unit[kept] @ unit[row], abs=1e-12)
            assert distance <= threshold
            assert distance <= (1 - unit[cover.keep] @ unit[row]).min() + 1e-12


@given(graphs(), st.sampled_from([0.0, 0.1, 0.2]), st.integers(2, 12))
def test_copies_of_copies_equal_the_loop(graph: tuple[Pairs, np.ndarray], threshold: float, largest: int) -> None:
    pairs, count = graph[0], len(graph[1])
    pairs = Pairs(np.minimum(pairs.first, pairs.second), np.maximum(pairs.first, pairs.second), pairs.distance)
    near = {pair for pair, distance in distance_of(pairs).items() if distance <= threshold}
    sizes = np.bincount(connected_components(pairs.within(threshold), count), minlength=count)
    component = connected_components(pairs.within(threshold), count)
    expected = [
        (a, b)
        for a in range(count)
        for b in range(a + 1, count)
        if (a, b) not in distance_of(pairs)
        and any((a, c) in near and (c, b) in near for c in range(count))
        and sizes[component[a]] <= largest
    ]
    first, second = copies_of_copies(pairs, threshold, count, largest)
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == expected
    missing = {component[a] for a in range(count) for b in range(a) if component[a] == component[b]
        and (b, a) not in distance_of(pairs)}  # fmt: skip
    left = sorted(sizes[one] for one in missing if sizes[one] > largest)
    assert crowds_left_open(pairs, threshold, count, largest).tolist() == left


def test_a_chain_stays_a_chain_and_a_crowd_becomes_whole() -> None:
    row = np.arange(59)
    chain = Pairs(row, row + 1, np.full(59, 0.1))
    steps = copies_of_copies(chain, 0.2, 60, 100)
    measured = Pairs(np.r_[row, steps[0]], np.r_[row + 1, steps[1]], np.r_[chain.distance, np.full(58, 0.9)])
    assert len(steps[0]) == 58
    assert len(copies_of_copies(measured, 0.2, 60, 100)[0]) == 0
    crowd = chain
    while len((found := copies_of_copies(crowd, 0.2, 60, 100))[0]):
        crowd = Pairs(*(np.concatenate(ends) for ends in zip(crowd[:2], found, strict=True)), np.zeros(0))
        crowd = crowd._replace(distance=np.full(len(crowd.first), 0.1))
    assert len(crowd.first) == 60 * 59 / 2
