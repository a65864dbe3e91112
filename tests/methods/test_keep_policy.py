"""Keep policy: a total order that does not depend on the rest, and reasons that agree with it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brain_assets.methods.duplicates.keep_policy import (
    Criterion,
    age,
    file_size,
    keep_rank,
    keep_reason,
    labelled,
    protected_splits,
    resolution,
)

VALUES = st.lists(st.sampled_from([0.0, 1.0, 2.0, np.nan]), min_size=5, max_size=5)


def criteria_of(columns: list[list[float]]) -> list[Criterion]:
    return [
        Criterion(str(place), np.array(column), lambda winner, loser, place=place: f"by {place}")
        for place, column in enumerate(columns)
    ]


def key(columns: list[list[float]], ids: list[str], row: int) -> tuple[object, ...]:
    return (*(np.inf if np.isnan(column[row]) else -column[row] for column in columns), ids[row])


@given(st.lists(VALUES, max_size=3), st.permutations("abcde"))
def test_the_rank_is_the_lexicographic_order(columns: list[list[float]], ids: list[str]) -> None:
    rank = keep_rank(criteria_of(columns), ids)
    assert np.argsort(rank).tolist() == sorted(range(5), key=lambda row: key(columns, ids, row))


@given(st.lists(VALUES, max_size=3), st.permutations("abcde"), st.sets(st.integers(0, 4), min_size=1))
def test_the_order_of_some_does_not_depend_on_the_others(
    columns: list[list[float]], ids: list[str], some: set[int]
) -> None:
    rows = sorted(some)
    whole = keep_rank(criteria_of(columns), ids)[rows]
    part = keep_rank(criteria_of([[column[row] for row in rows] for column in columns]), [ids[row] for row in rows])
    assert np.argsort(whole).tolist() == np.argsort(part).tolist()


@given(st.lists(VALUES, max_size=3), st.permutations("abcde"))
def test_the_reason_names_the_first_criterion_that_differs(columns: list[list[float]], ids: list[str]) -> None:
    criteria = criteria_of(columns)
    winner, loser = np.argsort(keep_rank(criteria, ids))[:2].tolist()
    keys = key(columns, ids, winner), key(columns, ids, loser)
    place = next(place for place, (a, b) in enumerate(zip(*keys, strict=True)) if a != b)
    expected = f"by {place}" if place < len(columns) else "all else is equal and its id comes first"
    assert keep_reason(criteria, winner, loser) == expected


TIMES = np.array(["2020-01-01", "2021-01-01", "NaT"], "datetime64[D]")


@pytest.mark.parametrize(
    ("criterion", "best_first", "reason"),
    [
        (protected_splits(["train", "val", "test"], ["test", "val"]), [2, 1, 0], "it is in the protected split test"),
        (protected_splits([None, "val", "val"], ["val"]), [1, 2, 0], "all else is equal and its id comes first"),
        (labelled(np.array([False, True, False])), [1, 0, 2], "it has a label"),
        (
            resolution(np.array([10, 30, 20]), np.array([10, 30, 20])),
            [1, 2, 0],
            "it has a higher resolution (30x30 against 20x20)",
        ),
        (file_size(np.array([5, 7, 6])), [1, 2, 0], "its file is larger (7 against 6 bytes)"),
        (age(TIMES), [0, 1, 2], "it is older (2020-01-01 against 2021-01-01)"),
        (age(TIMES[[0, 2, 2]]), [0, 1, 2], "it is older (2020-01-01 against unknown)"),
    ],
)
def test_each_criterion(criterion: Criterion, best_first: list[int], reason: str) -> None:
    rank = keep_rank([criterion], ["a", "b", "c"])
    assert np.argsort(rank).tolist() == best_first
    assert keep_reason([criterion], *best_first[:2]) == reason


def test_no_samples() -> None:
    assert keep_rank([], []).tolist() == []
