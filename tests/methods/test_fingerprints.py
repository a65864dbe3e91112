"""Codes of vectors, and their search."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brain_assets.methods.duplicates.fingerprints import CODE_BITS, CodeIndex, bits_apart, vector_codes


@pytest.mark.parametrize("words", [1, 2])
@given(seed=st.integers(0, 1000), radius=st.integers(0, 24))
@settings(max_examples=20, deadline=None)
def test_a_search_is_complete_within_its_radius_and_finds_nothing_beyond(words: int, seed: int, radius: int) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(1, 1 << 63, (200, words), dtype=np.uint64)
    flips = rng.integers(0, 64 * words, (100, 12))
    queries = codes[:100].copy()
    for row, bits in enumerate(flips):
        for bit in bits[: row % 13]:
            queries[row, bit // 64] ^= np.uint64(1 << int(bit % 64))
    query, row, bits = CodeIndex.of(codes).search(queries, radius)
    found = set(zip(query.tolist(), row.tolist(), strict=True))
    all_bits = np.bitwise_count(queries[:, None] ^ codes[None]).sum(axis=2)
    sure = set(zip(*(axis.tolist() for axis in np.nonzero(all_bits <= min(radius, 8 * words - 1))), strict=True))
    near = set(zip(*(axis.tolist() for axis in np.nonzero(all_bits <= radius)), strict=True))
    assert sure <= found <= near
    assert len(found) == len(query)
    assert (bits == all_bits[query, row]).all()


def test_what_says_nothing_finds_nothing() -> None:
    codes = np.zeros((3, 2), np.uint64)
    assert len(CodeIndex.of(codes).search(codes, 20)[0]) == 0
    assert len(CodeIndex.of(codes[:0]).search(np.ones((2, 2), np.uint64), 20)[0]) == 0


def test_codes_estimate_angles_whatever_the_length() -> None:
    rng = np.random.default_rng(1)
    first = rng.normal(size=(300, 64))
    second = first + rng.normal(size=(300, 64)) * np.linspace(0, 2, 300)[:, None]
    angles = np.arccos(
        np.clip((first * second).sum(1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1), -1, 1)
    )
    told = bits_apart(vector_codes(first), vector_codes(3 * second)) / CODE_BITS * np.pi
    assert abs(told - angles).mean() < 0.15
    assert np.corrcoef(told, angles)[0, 1] > 0.9
    # Others made the same codes of the same vectors.
    assert vector_codes(np.arange(1.0, 9.0)[None]).tolist() == [[6333157328009772348, 13112727486045083792]]
