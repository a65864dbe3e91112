"""What every family of methods owes: the order of rows changes nothing, the last bit of inputs next to nothing."""

from collections.abc import Callable

import numpy as np
import pytest

from brain_assets.methods.duplicates.duplicates import Pairs, find_duplicates, greedy_cover
from brain_assets.methods.duplicates.leaks import find_leaks, leaky, splits_from_labels
from brain_assets.methods.labels.hardness import hardness
from brain_assets.methods.labels.mistakenness import certainty
from brain_assets.methods.similarity.outliers import calibrate, neighbor_distance, outlier_score
from brain_assets.methods.similarity.queries import Query, distances_between, sort_by_similarity
from brain_assets.methods.similarity.representativeness import assign, centrality
from brain_assets.methods.similarity.selections import most_unique
from brain_assets.methods.similarity.similarity import build_graph, normalize
from brain_assets.methods.similarity.uniqueness import uniqueness
from tests.methods.ties import assert_same_order, nudged, shuffled

COUNT = 120
# Each vector stands three times: equals in every ranking.
VECTORS = np.repeat(np.random.default_rng(0).normal(size=(COUNT // 3, 8)), 3, axis=0).astype(np.float32)
SPLITS = np.array(["train", "test", "val"])[np.arange(COUNT) % 3]


def pairs_of(vectors: np.ndarray) -> Pairs:
    first, second = np.triu_indices(COUNT, 1)
    return Pairs(first, second, np.abs(vectors[first] - vectors[second]).sum(axis=1).astype(np.float64))


def graph_of(vectors: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return build_graph(normalize(vectors), ids, width=6).distances


def kept(vectors: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return greedy_cover(pairs_of(vectors).within(4.0), ids).keep


def kept_share(vectors: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return find_duplicates(pairs_of(vectors), ids, fraction=0.4).cover.keep


def leaks_of(vectors: np.ndarray, ids: np.ndarray) -> np.ndarray:
    splits = splits_from_labels(SPLITS[ids].tolist())
    return leaky(find_leaks(pairs_of(vectors).within(4.0), np.arange(COUNT), splits), COUNT)


def unique(vectors: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return uniqueness(build_graph(normalize(vectors), ids, width=6).distances[:, :3])


def central(vectors: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return centrality(assign(vectors, np.eye(4, 8, dtype=np.float32)).distance)


def outliers_of(vectors: np.ndarray, ids: np.ndarray) -> np.ndarray:
    raw = neighbor_distance(graph_of(vectors, ids))
    return outlier_score(raw, calibrate(raw))


FAMILIES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "similarity": graph_of,
    "duplicates": kept,
    "a share of duplicates": kept_share,
    "leaks": leaks_of,
    "uniqueness": unique,
    "representativeness": central,
    "outliers": outliers_of,
    "hardness": lambda vectors, _: hardness(vectors),
    "mistakenness": lambda vectors, _: certainty(vectors),
}
SCORES = ("similarity", "uniqueness", "representativeness", "outliers", "hardness", "mistakenness")


@pytest.mark.parametrize("family", FAMILIES)
def test_the_order_of_rows_changes_nothing(family: str) -> None:
    """A row's place is told by its id; ties are broken by it, not by where the row stands."""
    ids = np.arange(COUNT)
    expected = FAMILIES[family](VECTORS, ids)
    for seed in range(3):
        order = shuffled(COUNT, seed)
        np.testing.assert_array_equal(FAMILIES[family](VECTORS[order], ids[order]), expected[order])


@pytest.mark.parametrize("family", SCORES)
def test_the_last_bit_changes_next_to_nothing(family: str) -> None:
    """Within single precision: a distance of unit vectors has an error of some 1e-7."""
    expected = FAMILIES[family](VECTORS, np.arange(COUNT))
    for seed in range(3):
        found = FAMILIES[family](nudged(VECTORS, seed), np.arange(COUNT))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_the_last_bit_moves_no_answer_but_among_equals() -> None:
    rows, _ = sort_by_similarity(VECTORS, Query(rows=[5], k=50))
    key = distances_between(VECTORS[5:6], VECTORS)[0]
    assert (np.diff(rows.reshape(-1)[:3]) > 0).all()
    for seed in range(3):
        found, _ = sort_by_similarity(nudged(VECTORS, seed), Query(rows=[5], k=50))
        assert_same_order(found, rows, key, tolerance=1e-6)


def test_the_most_unique_of_equals_stand_by_position() -> None:
    position = most_unique(np.repeat([0.1, 0.9, 0.5], 40), 120).position
    assert position.tolist() == [*range(40, 80), *range(80, 120), *range(40)]
