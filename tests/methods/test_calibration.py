"""Calibration: half way between edits and others, whatever real duplicates there are, and a default for small sets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from brain_assets.methods.duplicates.calibration import DEFAULT_THRESHOLD, calibrate, may_decide, mild_edits

RNG = np.random.default_rng(0)
EDITS = RNG.uniform(0.0, 0.2, 500)
OTHERS = RNG.uniform(0.5, 0.9, 500)
DISTANCES = arrays(np.float64, st.integers(0, 80), elements=st.floats(0, 1))


def test_the_threshold_parts_edits_from_others() -> None:
    found = calibrate(EDITS, OTHERS)
    assert np.quantile(EDITS, 0.95) < found.threshold < OTHERS.min()
    assert found.threshold == pytest.approx((found.edits + found.others) / 2, abs=1e-6)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_real_duplicates_among_the_others_hardly_move_it(share: float) -> None:
    duplicates = RNG.uniform(0.0, 0.15, int(share * 500))
    found = calibrate(EDITS, np.r_[OTHERS[len(duplicates) :], duplicates])
    assert found.threshold == pytest.approx(calibrate(EDITS, OTHERS).threshold, abs=0.01)


def test_where_all_have_copies_the_next_other_counts() -> None:
    copies = RNG.uniform(0.0, 0.15, (500, 3))
    found = calibrate(EDITS, np.c_[copies, OTHERS])
    assert not found.is_default
    assert found == calibrate(EDITS, OTHERS)
    assert calibrate(EDITS, copies).is_default


def test_samples_without_candidates_are_far_from_others() -> None:
    found = calibrate(EDITS, np.full((30, 2), np.inf))
    assert found.others == 1.0


def test_similar_pictures_tighten_it() -> None:
    assert calibrate(EDITS * 0.4, OTHERS - 0.38).threshold < 0.2 < calibrate(EDITS, OTHERS).threshold


@given(DISTANCES, DISTANCES)
def test_the_order_does_not_matter_and_the_result_is_between(edits: np.ndarray, others: np.ndarray) -> None:
    found = calibrate(edits, others)
    assert calibrate(edits[::-1], np.r_[np.nan, others[::-1]]).threshold == found.threshold
    if not found.is_default:
        assert found.edits <= found.threshold + 1e-6 <= found.others + 2e-6


@given(arrays(np.float64, st.tuples(st.integers(0, 90), st.just(3)), elements=st.floats(0, 1)))
def test_what_may_not_decide_can_be_anything_within_its_limits(limits: np.ndarray) -> None:
    least, true, most = np.sort(limits, axis=1).T
    decides = may_decide(least, most)
    for other in (least, most):
        assert calibrate(np.where(decides, true, other), OTHERS) == calibrate(true, OTHERS)


def test_narrow_limits_decide_nearly_all() -> None:
    assert may_decide(EDITS, EDITS + 0.01).sum() < 0.15 * len(EDITS)
    assert may_decide(np.zeros(500), np.ones(500)).all()


@pytest.mark.parametrize(
    ("edits", "others"),
    [
        (EDITS[:0], OTHERS[:0]),
        (EDITS[:49], OTHERS),
        (EDITS, OTHERS[:19]),
        (EDITS, OTHERS * 0),
        (EDITS * np.nan, OTHERS),
    ],
    ids=["empty", "few edits", "few others", "all copies", "not measured"],
)
def test_too_little_leaves_the_default(edits: np.ndarray, others: np.ndarray) -> None:
    found = calibrate(edits, others)
    assert found.is_default
    assert found.threshold == DEFAULT_THRESHOLD


@pytest.mark.parametrize(
    ("edits", "others", "words"),
    [
        (EDITS[:, None], OTHERS, r"edits must have shape \(m,\), got \(500, 1\)"),
        (np.array(0.1), OTHERS, r"edits must have shape \(m,\), got \(\)"),
        (EDITS, np.array(0.5), r"others must have shape \(n,\) or \(n, k\), got \(\)"),
        (EDITS, OTHERS.reshape(5, 10, 10), r"others must have shape \(n,\) or \(n, k\), got \(5, 10, 10\)"),
    ],
)
def test_other_shapes_are_one_clear_line(edits: np.ndarray, others: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        calibrate(edits, others)


def test_samples_without_others_leave_the_default() -> None:
    assert calibrate(EDITS, np.empty((30, 0))).is_default


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (32, 32), (127, 300)])
def test_small_pictures_are_not_halved(shape: tuple[int, int]) -> None:
    image = RNG.integers(0, 256, (*shape, 3)).astype(np.uint8)
    edits = mild_edits(image)
    assert "smaller" not in edits
    assert all(edit.dtype == np.uint8 and edit.ndim == 3 and min(edit.shape) >= 1 for edit in edits.values())


def test_edits_change_the_picture_but_not_the_original() -> None:
    image = RNG.integers(0, 256, (200, 150, 3)).astype(np.uint8)
    before = image.copy()
    for name, edit in mild_edits(image).items():
        assert edit.shape != image.shape or (edit != image).any(), name
    np.testing.assert_array_equal(image, before)
