"""Pairs are compared in any order and with little memory, and looked at no more often than that needs."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from brain_assets.signals.duplicates.looks import compared, in_company
from tests.methods.test_verification import picture

PICTURES = [picture(seed, 160, 200) for seed in range(8)] + [picture(seed, 32, 32) for seed in range(3)]
PICTURES += [np.ascontiguousarray(PICTURES[place][:, ::-1]) for place in range(4)]
FIRST, SECOND = np.triu_indices(len(PICTURES), 1)


def found(held: int, at_once: int, order: np.ndarray) -> tuple[np.ndarray, Counter[int]]:
    looked: Counter[int] = Counter()

    def previews(rows: np.ndarray) -> Iterator[np.ndarray]:
        looked.update(rows.tolist())
        return (PICTURES[row] for row in rows.tolist())

    agreement, change, regions = compared(previews, FIRST[order], SECOND[order], held, at_once)
    back = np.argsort(order)
    return np.column_stack([agreement, change, regions])[back], looked


def test_nothing_depends_on_order_and_memory_and_each_is_looked_at_once_where_memory_suffices() -> None:
    everyone = np.arange(len(FIRST))
    expected, looked = found(len(PICTURES), len(FIRST), everyone)
    assert set(looked.values()) == {1}
    shuffled = np.random.default_rng(0).permutation(len(FIRST))
    for held, at_once in ((len(PICTURES), 7), (3, 7), (0, 1)):
        again, looked = found(held, at_once, shuffled)
        np.testing.assert_array_equal(again, expected)
        assert (max(looked.values()) == 1) == (held == len(PICTURES))
    mirrored = [int(np.flatnonzero((place == FIRST) & (place + 11 == SECOND))[0]) for place in range(4)]
    assert (expected[mirrored, 0] > 0.9).all()
    assert (np.delete(expected[:, 0], mirrored) < 0.7).all()


@pytest.mark.parametrize("seed", [1, 2])
def test_pairs_of_one_cluster_lie_together(seed: int) -> None:
    """Whose pictures have numbers all over the set, as content hashes have."""
    chance = np.random.default_rng(seed)
    number = chance.permutation(1000)
    cluster = np.repeat(np.arange(50), 40)
    ends = chance.integers(0, 20, (2, len(cluster))) + 20 * cluster
    ends = ends[:, ends[0] != ends[1]]
    first, second = number[ends]
    order = in_company(first, second)
    clusters = (ends[0] // 20)[order]
    assert sorted(order.tolist()) == list(range(len(first)))
    assert (clusters[1:] != clusters[:-1]).sum() < 2 * 50


def test_no_pairs() -> None:
    none = np.zeros(0, np.int64)
    agreement, change, regions = compared(lambda rows: iter(()), none, none)
    assert (len(agreement), len(change), regions.shape) == (0, 0, (0, 8))
