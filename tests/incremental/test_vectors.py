"""Vectors come out of the store by place, in a matrix that is checked against the memory there is."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from brain_assets.incremental import vectors as module
from brain_assets.incremental.vectors import matrix_of
from brain_assets.resources.errors import StoreError
from brain_assets.resources.store.store import Merge, Store

MANY = """
    select 'm' as model_version, i::varchar as input_key, [i, i + 0.25, -i]::float[] as vector from range({}) as t(i)"""


@pytest.fixture
def update(tmp_path: Path) -> Iterator[Any]:
    store = Store(tmp_path / "store.duckdb")
    with store.write("run", "test") as transaction:
        transaction.merge(Merge("vectors", MANY.format(5000)))
    yield SimpleNamespace(dataset=SimpleNamespace(store=store), query=store.query)
    store.close()


def test_each_vector_is_put_in_its_place_also_where_one_is_asked_for_twice(update: Any) -> None:
    stored = update.query("select node, vector[1] as number from vectors")
    number = dict(zip(*(stored.column(name).to_pylist() for name in ("node", "number")), strict=True))
    nodes = np.random.default_rng(0).choice(5000, 3000).astype(np.int64)
    expected = np.array([number[node] for node in nodes.tolist()])
    matrix = matrix_of(update, nodes)
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix, np.stack([expected, expected + 0.25, -expected], axis=1))
    assert matrix_of(update, nodes[:0]).shape == (0, 1)


def test_a_matrix_that_will_not_fit_is_refused_before_it_is_read(update: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "available_memory", lambda: 50_000)
    with pytest.raises(StoreError, match=r"5000 vectors of 3 numbers need 0\.0 GB of memory.*shorter vectors"):
        matrix_of(update, np.arange(5000))
    assert len(matrix_of(update, np.arange(1000))) == 1000


@pytest.mark.slow
def test_vectors_larger_than_the_memory_of_the_database_are_read(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.duckdb", memory="64MB")
    rows = "select 'm' as model_version, i::varchar as input_key, [x + i for x in range(1280)]::float[] as vector"
    rows += " from range({}, {}) as t(i)"
    for start in range(0, 16_000, 2000):
        with store.write("run", "test") as transaction:
            transaction.merge(Merge("vectors", rows.format(start, start + 2000)))
    update: Any = SimpleNamespace(dataset=SimpleNamespace(store=store), query=store.query)
    matrix = matrix_of(update, np.arange(16_000)[::-1].copy())
    assert sorted(matrix[:, 0].tolist()) == list(range(16_000))
    store.close()
