"""Neighbours among rows that cells say are compared: against all pairs, one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brain_assets.methods.similarity.cells import Cells
from brain_assets.methods.similarity.centers import (
    CHOICES,
    cells_needed,
    fit_centers,
    nearest_cells,
    recall_of,
    true_neighbors,
)
from brain_assets.methods.similarity.similarity import NeighborGraph, build_graph, normalize, update_graph

WIDTH = 8


def rows(seed: int, count: int = 300, width: int = 6, groups: int = 9) -> np.ndarray:
    random = np.random.default_rng(seed)
    centers = random.normal(size=(groups, width))
    vectors = centers[random.integers(0, groups, count)] + random.normal(size=(count, width)) * 0.4
    # Some rows are the same: ties are broken by the order.
    vectors[random.integers(0, count, count // 10)] = vectors[0]
    return normalize(vectors)


def nearest_compared(vectors: np.ndarray, cells: Cells, width: int) -> list[list[int]]:
    """Return the lists of an exact graph over all, thinned to the pairs that are compared."""
    everyone = build_graph(vectors, np.arange(len(vectors)), width=len(vectors) - 1)
    kept = [
        [int(other) for other in everyone.neighbors[row] if cells.compared([row], [other])[0]]
        for row in range(len(vectors))
    ]
    return [listed[:width] for listed in kept]


def lists(graph: NeighborGraph) -> list[list[int]]:
    return [graph.neighbors[row, : graph.valid[row]].tolist() for row in range(len(graph))]


@pytest.mark.parametrize("seed", range(3))
def test_lists_hold_the_nearest_of_those_that_are_compared(seed: int) -> None:
    vectors = rows(seed)
    cells = nearest_cells(vectors, fit_centers(vectors, 12, seed), 2)
    built = build_graph(vectors, np.arange(len(vectors)), width=WIDTH, cells=cells)
    assert lists(built) == nearest_compared(vectors, cells, WIDTH)
    assert not np.array_equal(built.neighbors, build_graph(vectors, np.arange(len(vectors)), width=WIDTH).neighbors)


def test_with_all_cells_near_all_rows_it_is_the_exact_graph() -> None:
    vectors = rows(7)
    cells = nearest_cells(vectors, fit_centers(vectors, 5), 5)
    built, exact = (build_graph(vectors, np.arange(300), width=WIDTH, cells=one) for one in (cells, None))
    assert lists(built) == lists(exact)
    assert built.distances.tobytes() == exact.distances.tobytes()


@given(seed=st.integers(0, 10_000), gone=st.floats(0, 0.4), added=st.integers(0, 60), p=st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_an_update_is_what_is_built_from_scratch(seed: int, gone: float, added: int, p: int) -> None:
    vectors = rows(seed, 240)
    random, centers = np.random.default_rng(seed), fit_centers(vectors, 10, seed)
    first = np.sort(random.permutation(240)[: 240 - added])
    cells = nearest_cells(vectors, centers, p)
    graph = build_graph(vectors[first], first, width=WIDTH, cells=Cells(cells.near[first], len(centers)))
    stays = random.random(len(first)) >= gone
    now = np.union1d(first[stays], np.setdiff1d(np.arange(240), first))
    kept = np.where(stays, np.searchsorted(now, first), -1)
    cells_now = Cells(cells.near[now], len(centers))
    update = update_graph(graph, vectors[now], now, kept, guaranteed=5, cells=cells_now)
    whole = build_graph(vectors[now], now, width=WIDTH, cells=cells_now)
    for row in range(len(now)):
        valid = int(update.graph.valid[row])
        assert valid >= min(5, whole.valid[row])
        assert update.graph.neighbors[row, :valid].tolist() == whole.neighbors[row, :valid].tolist()
        assert update.graph.distances[row, :valid].tobytes() == whole.distances[row, :valid].tobytes()
    unchanged = np.setdiff1d(kept[stays], update.changed)
    before = {int(kept[old]): graph.valid[old] for old in np.flatnonzero(stays)}
    assert all(update.graph.valid[row] == before[row] for row in unchanged)


def test_large_cells_are_compared_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brain_assets.methods.similarity.cells.BLOCK", 17)
    monkeypatch.setattr("brain_assets.methods.similarity.cells.ACROSS", 23)
    monkeypatch.setattr("brain_assets.methods.similarity.shortlists.MOST_WAITING", 50)
    monkeypatch.setattr("brain_assets.methods.similarity.shortlists.WIDEST", 0)
    monkeypatch.setattr("brain_assets.methods.similarity.similarity.RANKED", 31)
    vectors = rows(3)
    cells = nearest_cells(vectors, fit_centers(vectors, 3), 2)
    built = build_graph(vectors, np.arange(len(vectors)), width=WIDTH, cells=cells)
    assert lists(built) == nearest_compared(vectors, cells, WIDTH)


def test_cells_of_hardly_any_row_are_left_out() -> None:
    vectors = np.concatenate([np.zeros((90, 2)), np.full((90, 2), 5), [[99, 99]]]).astype(np.float32)
    assert len(fit_centers(vectors, 3, seed=1)) <= 2
    assert len(fit_centers(vectors[:1], 3)) == 1


def test_the_recall_is_that_of_all_pairs_one_by_one() -> None:
    vectors = rows(11)
    everyone, exact = np.arange(300), build_graph(vectors, np.arange(300), width=WIDTH)
    graph = build_graph(vectors, everyone, width=WIDTH, cells=nearest_cells(vectors, fit_centers(vectors, 20), 2))
    _, distances = true_neighbors(vectors, everyone, WIDTH)
    # Copies of a row are as near as the row itself, so that distances count and not names.
    assert distances.tobytes() == exact.distances.tobytes()
    found = [np.count_nonzero(graph.distances[row] <= exact.distances[row, -1]) for row in everyone]
    assert recall_of(graph, everyone, distances) == pytest.approx(np.mean(found) / WIDTH)
    assert recall_of(exact, everyone, distances) == 1


def test_as_few_cells_are_near_as_are_enough() -> None:
    vectors = rows(12)
    centers = fit_centers(vectors, 20)
    asked = np.arange(0, 300, 3)
    neighbors, _ = true_neighbors(vectors, asked, WIDTH)
    pairs = np.repeat(asked, WIDTH), neighbors.ravel()
    count = cells_needed(vectors, centers, pairs, 0.97)
    shares = {choice: nearest_cells(vectors, centers, choice).compared(*pairs).mean() for choice in CHOICES[:4]}
    assert shares[count] >= 0.97
    assert all(share < 0.97 for choice, share in shares.items() if choice < count)
