"""Subjects are judged a batch at a time, and what they are judged by is asked for once for many batches."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brain_assets.incremental import digests as module
from brain_assets.incremental.digests import Digests, Slice
from brain_assets.resources.store.store import Store

OWNER = ("test", "run")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with closing(Store(tmp_path_factory.mktemp("digests") / "store.duckdb")) as opened:
        yield opened


def judged(store: Store, numbers: dict[int, int], batch: int, *, narrow: bool = False) -> list[dict[str, Any]]:
    """Return the rows that are stale of some numbers and their values, remembered batch by batch."""
    rows = ", ".join(f"({number}, {value}, {number} * 2)" for number, value in numbers.items()) or "(0, 0, 0)"
    query = f"select number::varchar as number, subject, place from (values {rows}) as given(number, subject, place)"
    query += "" if numbers else " where false"
    digests, found = Digests(store, OWNER, ["number"]), []
    for stale in digests.stale(Slice(query, batch=batch, narrow=narrow)):
        assert len(stale.rows) == stale.last - stale.first <= batch
        among = store.rows(f"select number from ({query}) where {stale.among} order by 1")
        assert [number for (number,) in among] == sorted(stale.rows.column("number").to_pylist())
        with store.write("run", "test") as transaction:
            digests.remember(transaction, stale)
        found += stale.rows.to_pylist()
    with store.write("run", "test") as transaction:
        digests.forget(transaction)
    return found


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.dictionaries(st.integers(0, 30), st.integers(0, 2)),
    after=st.dictionaries(st.integers(0, 30), st.integers(0, 2)),
    batch=st.integers(1, 9),
    held=st.integers(1, 20),
    narrow=st.booleans(),
)
def test_what_differs_is_judged_once_in_batches_of_any_size(
    store: Store, before: dict[int, int], after: dict[int, int], batch: int, held: int, narrow: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "HELD", held)
        judged(store, {}, batch)
        assert {int(row["number"]) for row in judged(store, before, batch, narrow=narrow)} == before.keys()
        again = judged(store, after, batch, narrow=narrow)
    differing = {number: value for number, value in after.items() if before.get(number) != value}
    expected = [{"number": str(number), "subject": value, "place": 2 * number} for number, value in differing.items()]
    assert sorted(again, key=lambda row: row["number"]) == sorted(expected, key=lambda row: row["number"])


@pytest.mark.parametrize("narrow", [False, True])
def test_many_batches_ask_once_for_what_they_are_judged_by(
    store: Store, monkeypatch: pytest.MonkeyPatch, *, narrow: bool
) -> None:
    judged(store, {}, 2)
    asked, rows, query = [], store.rows, store.query
    monkeypatch.setattr(store, "rows", lambda text, *rest: (asked.append(text), rows(text, *rest))[1])
    monkeypatch.setattr(store, "query", lambda text, *rest: (asked.append(text), query(text, *rest))[1])
    assert len(judged(store, dict.fromkeys(range(20), 1), 2, narrow=narrow)) == 20
    # To compare, to lay aside where that was not one, and ten times by this test for its own sake.
    assert sum("(values" in text for text in asked) == (1 if narrow else 2) + 10
