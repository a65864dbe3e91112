"""What Dagster calls the data version of an asset: another one exactly when the content of its tables is another."""

import hashlib
from collections.abc import Iterable

from brain_assets.assets import catalog
from brain_assets.incremental.signal import Signal
from brain_assets.incremental.update import BOOKKEEPING, literal
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.store.store import UNCOMPARED

_WRITERS = {table: [one.name for one in catalog.ALL if table in one.writes] for table in catalog.WRITTEN}
_READ = {table for signal in catalog.ALL for table in signal.reads}


def data_version(signal: Signal, dataset: Dataset) -> str:
    """Return what names the content of an asset's tables, whatever the order of their rows and how they came about.

    The rows are looked at only when their change number is another than at the last time. What is made of everything, such
    as the published set, goes by all that is published.
    """
    if not signal.writes:
        return _digest(data_version(one, dataset) for one in catalog.ALL if one.publishes)
    store, tables = dataset.store, _tables(signal, dataset)
    number = store.version(tables)
    known = store.rows("select version from data_versions where asset = ? and number = ?", [signal.name, number])
    if known:
        return str(known[0][0])
    keys = ", ".join(literal(run.brain_key) for run in signal.method_runs(dataset)) or "null"
    found = _digest(_content(dataset, table, keys if len(_WRITERS[table]) > 1 else "") for table in tables)
    with store.write(dataset.run_id, signal.name) as transaction:
        transaction.put("data_versions", asset=signal.name, number=number, version=found)
    return found


def _digest(parts: Iterable[str]) -> str:
    return hashlib.blake2b(" ".join(parts).encode(), digest_size=8).hexdigest()


def _tables(signal: Signal, dataset: Dataset) -> list[str]:
    """Return the tables that an asset is judged by: those of its own that others read or that are published."""
    keys, store = dataset.store.keys, dataset.store
    published = {table for one in signal.publishes for table in store.tables_of(one.query)}
    own = [
        table
        for table in signal.writes
        if table in (_READ | published) - BOOKKEEPING
        and (len(_WRITERS[table]) == 1 or "brain_key" in keys.get(table, ()))
    ]
    return sorted(own or signal.writes)


def _content(dataset: Dataset, table: str, keys: str) -> str:
    """Return what names the rows of a table, those of some runs where ``keys`` has their names as SQL."""
    names = ", ".join(name for name in dataset.store.columns(table) if name not in UNCOMPARED)
    where = f"where brain_key in ({keys})" if keys else ""
    rows = dataset.store.rows(f"select count(*), bit_xor(hash({names})) from {table} {where}")
    return f"{table} {rows[0]}"
