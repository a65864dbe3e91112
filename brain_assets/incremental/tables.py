"""Tables that signals declare themselves, made in a dataset's store when it is opened."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from brain_assets.incremental.signal import Signal, Table
from brain_assets.resources.dataset import Dataset, Opening, open_dataset
from brain_assets.resources.settings.home import Home
from brain_assets.resources.store.store import Store


@contextmanager
def open_with_tables(home: Home, name: str, opening: Opening, signals: Iterable[Signal]) -> Iterator[Dataset]:
    """Hold a dataset for a run, as `open_dataset` does, with the tables that signals declare."""
    with open_dataset(home, name, opening) as dataset:
        make_tables(dataset.store, signals, opening.run_id)
        yield dataset


def make_tables(store: Store, signals: Iterable[Signal], run_id: str) -> None:
    """Create the declared tables that are not there.

    One that has other columns than are declared now is made anew, and its signal computed again: all rows are derived.
    """
    for signal in signals:
        other = [table for table in signal.tables if not _stands(store, table)]
        if other:
            with store.write(run_id, signal.name) as transaction:
                for table in other:
                    transaction.create(table.name, columns_of(table), ("brain_key", *table.key))
                for known in ("watermarks", "seen"):
                    transaction.execute(f"delete from {known} where asset = ?", [signal.name])


def _stands(store: Store, table: Table) -> bool:
    """Return whether a table is there as it is declared, whatever its types are called: INT is INTEGER."""
    declared = columns_of(table)
    named = ", ".join(f"typeof(null::{kind})" for kind in declared.values())
    return store.columns(table.name) == dict(zip(declared, store.rows(f"select {named}")[0], strict=True))


def columns_of(table: Table) -> Mapping[str, str]:
    """Return the SQL type of every column of a table, those included that the engine adds."""
    return {"brain_key": "VARCHAR", **{name: kind for name, (kind, _) in table.columns.items()}, "changed": "BIGINT"}
