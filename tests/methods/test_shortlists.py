"""Candidates of many rows are sorted out some rows at a time, and none of the nearest is lost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brain_assets.methods.similarity import shortlists as module
from brain_assets.methods.similarity.distances import Space, normalize
from brain_assets.methods.similarity.shortlists import Shortlist

COUNT = 3


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(2, 40), at_once=st.integers(1, 9), waiting=st.integers(1, 400))
def test_the_nearest_are_kept_in_whatever_order_and_parts_they_come(
    seed: int, rows: int, at_once: int, waiting: int
) -> None:
    rng = np.random.default_rng(seed)
    space = Space.of(normalize(rng.normal(size=(rows, 4))), "cosine")
    closeness = space.closeness(space)
    first, second = np.nonzero(~np.eye(rows, dtype=bool))
    # Some rows first, all of theirs, so that one of them waits with very many.
    order = np.argsort(first + rng.integers(0, rows, len(first)) * rng.integers(2), kind="stable")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SETTLED_ROWS", at_once)
        patch.setattr(module, "MOST_WAITING", waiting)
        patch.setattr(module, "WIDEST", 1)
        best = Shortlist(space, np.arange(rows), COUNT + 2)
        for part in np.array_split(order, rng.integers(1, len(order) + 1)):
            best.add(first[part], second[part], closeness[first[part], second[part]])
        wanted = min(COUNT, rows - 1)
        parts = [best.candidates(wanted, slice(start, start + 7)) for start in range(0, rows, 7)]
    source, target, _ = (np.concatenate(column) for column in zip(*parts, strict=True))
    np.fill_diagonal(closeness, -np.inf)
    for row in range(rows):
        nearest = np.argsort(-closeness[row])[:wanted]
        assert set(nearest.tolist()) <= set(target[source == row].tolist())
