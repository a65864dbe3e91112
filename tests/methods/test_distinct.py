"""Distinct whole numbers, held against NumPy's own."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from brain_assets.methods.distinct import distinct, without

NUMBERS = arrays.arrays(np.int64, st.integers(0, 30), elements=st.integers(-5, 5))


@given(NUMBERS, NUMBERS)
def test_they_are_those_that_numpy_finds(values: np.ndarray, others: np.ndarray) -> None:
    assert distinct(values).tolist() == np.unique(values).tolist()
    assert without(values, others).tolist() == np.setdiff1d(values, others).tolist()
