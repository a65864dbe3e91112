"""Pairs of near hashes: against comparing all with all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brain_assets.methods.duplicates.perceptual_hash import hamming_distance, hash_pairs, pair_hamming

WORDS = st.integers(0, 2**64 - 1)


def bits(a: int, b: int) -> int:
    return (a ^ b).bit_count()


def near(hashes: list[int], mirrored: list[int], radius: int) -> dict[tuple[int, int], int]:
    pairs = {}
    for a in range(len(hashes)):
        for b in range(a + 1, len(hashes)):
            least = min(bits(hashes[a], hashes[b]), bits(hashes[a], mirrored[b]), bits(mirrored[a], hashes[b]))
            if least <= radius and hashes[a] and hashes[b]:
                pairs[a, b] = least
    return pairs


@st.composite
def hash_lists(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Hashes some of which differ from an earlier one, or from its mirror image, in a few bits."""
    hashes: list[int] = []
    mirrored: list[int] = []
    for _ in range(draw(st.integers(0, 8))):
        base = draw(st.sampled_from([*hashes, *mirrored, 0])) if draw(st.booleans()) else draw(WORDS)
        flips = draw(st.sets(st.integers(0, 63), max_size=12))
        hashes.append(base ^ sum(1 << bit for bit in flips))
        mirrored.append(draw(WORDS))
    return hashes, mirrored


def as_dict(first: np.ndarray, second: np.ndarray, hamming: np.ndarray) -> dict[tuple[int, int], int]:
    assert len(set(zip(first.tolist(), second.tolist(), strict=True))) == len(first)
    return dict(zip(zip(first.tolist(), second.tolist(), strict=True), hamming.tolist(), strict=True))


@given(hash_lists(), st.integers(0, 19))
def test_pairs_equal_comparing_all_with_all(lists: tuple[list[int], list[int]], radius: int) -> None:
    hashes, mirrored = (np.array(column, np.uint64) for column in lists)
    assert as_dict(*hash_pairs(hashes, mirrored, radius)) == near(*lists, radius)


@given(hash_lists(), st.data())
def test_pairs_of_new_rows_complete_those_of_the_old(lists: tuple[list[int], list[int]], data: st.DataObject) -> None:
    hashes, mirrored = (np.array(column, np.uint64) for column in lists)
    new = np.array(data.draw(st.lists(st.integers(0, max(len(hashes) - 1, 0)), unique=True)), np.int64)[: len(hashes)]
    touching = as_dict(*hash_pairs(hashes, mirrored, 10, rows=new))
    everything = near(*lists, 10)
    assert touching == {pair: d for pair, d in everything.items() if set(pair) & set(new.tolist())}


@given(st.lists(st.tuples(WORDS, WORDS), max_size=5))
def test_hamming_distance_counts_bits(words: list[tuple[int, int]]) -> None:
    first, second = (np.array([pair[side] for pair in words], np.uint64) for side in (0, 1))
    assert hamming_distance(first, second).tolist() == [bits(a, b) for a, b in words]


@pytest.mark.slow
@given(hash_lists())
def test_the_distance_of_a_pair_is_the_one_it_is_found_with(lists: tuple[list[int], list[int]]) -> None:
    hashes, mirrored = (np.array(column, np.uint64) for column in lists)
    found = hash_pairs(hashes, mirrored, 19)
    assert pair_hamming(hashes, mirrored, found.first, found.second).tolist() == found.hamming.tolist()
    assert pair_hamming(hashes, mirrored, found.second, found.first).tolist() == found.hamming.tolist()


def test_blank_pictures_say_nothing() -> None:
    blank = np.zeros(1000, np.uint64)
    assert len(hash_pairs(blank, blank).first) == 0
    assert pair_hamming(blank, blank, np.array([0]), np.array([1])).tolist() == [64]


@pytest.mark.parametrize("radius", [-1, 20])
def test_a_radius_out_of_range_is_refused(radius: int) -> None:
    with pytest.raises(ValueError, match="between 0 and 19"):
        hash_pairs(np.ones(2, np.uint64), np.ones(2, np.uint64), radius)
