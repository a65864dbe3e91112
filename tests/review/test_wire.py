import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brain_assets.review.refusal import Refused
from brain_assets.review.wire import bits_of, pack, positions_of
from tests.review.client import Reply


@given(st.integers(0, 200).flatmap(lambda count: st.tuples(st.just(count), st.sets(st.integers(0, max(0, count - 1))))))
def test_bits_round_trip(case: tuple[int, set[int]]) -> None:
    count, members = case
    positions = np.array(sorted(members) if count else [], np.int64)
    text = base64.b64encode(bits_of(positions, count).tobytes()).decode()
    assert positions_of(text, count).tolist() == positions.tolist()


@pytest.mark.parametrize("text", ["", "AQ==", "AQIDBA==", "not base64!", "é"])
def test_bits_that_do_not_fit_are_refused(text: str) -> None:
    with pytest.raises(Refused):
        positions_of(text, 10)


@pytest.mark.parametrize("dtype", ["f4", "f8", "u2", "u4", "u1"])
@pytest.mark.parametrize("lengths", [(0, 0), (1, 3), (7, 8)])
def test_arrays_lie_where_the_browser_expects_them(dtype: str, lengths: tuple[int, int]) -> None:
    arrays = {name: np.arange(length).astype(dtype) for name, length in zip("ab", lengths, strict=True)}
    header, unpacked = Reply(200, {}, pack({"text": "ü\u202e"}, arrays)).message()
    assert header["text"] == "ü\u202e"
    for name, array in arrays.items():
        np.testing.assert_array_equal(unpacked[name], array)
