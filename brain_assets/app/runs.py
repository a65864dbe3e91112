"""The record of runs: what was computed with which configuration; and runs that get another name, or go."""

import json
import keyword
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from brain_assets.answers.published import BOOKKEEPING
from brain_assets.assets.declarations import default_keys
from brain_assets.incremental.update import literal
from brain_assets.resources.dataset import Dataset, Opening, open_dataset
from brain_assets.resources.errors import ConfigurationError, LockedError, MissingError
from brain_assets.resources.settings.configuration import load_dataset
from brain_assets.resources.settings.home import Home, put_in_place
from brain_assets.resources.settings.remembered import forget
from brain_assets.resources.settings.run_entries import delete_entry, rename_entry
from brain_assets.resources.store import locks
from brain_assets.resources.store.publishing import connect, manifest
from brain_assets.resources.store.store import Merge, Transaction, bound_spill

COLUMNS = "brain_key, method, state, started_at, finished_at, rows_changed, error, run_id, code_version, model_version, config"
# What follows from the rows of all runs.
REPUBLISHED = ("issues", "health", "published")


@contextmanager
def recorded(home: Home, name: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection that sees ``runs`` as they are, failed ones too; as published while another run is under way."""
    paths = home.existing(name)
    try:
        with locks.exclusive(paths.lock, "reading the record of runs"):
            records = _stored_records(paths.store)
    except (LockedError, duckdb.Error, OSError):
        with connect(paths.published) as connection:
            yield connection
        return
    with duckdb.connect() as connection:
        bound_spill(connection)
        connection.register("runs", records)
        yield connection


def _stored_records(path: Path) -> pa.Table:
    if not path.exists():
        raise FileNotFoundError(path)
    with duckdb.connect(str(path), read_only=True) as store:
        bound_spill(store)
        return store.sql(BOOKKEEPING[0].query).to_arrow_table()


def latest_runs(
    connection: duckdb.DuckDBPyConnection, method: str | None = None, configuration: Mapping[str, Any] | None = None
) -> duckdb.DuckDBPyRelation:
    """Return the newest record of every run.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        Sees the published tables.
    method : str, optional
        Only runs of this method.
    configuration : mapping, optional
        Only runs whose configuration has these values, dotted key to value; keys of the method's settings may stand alone.
    """
    wanted = dict(configuration or {})
    conditions = ["true"] if method is None else ["method = ?"]
    conditions += ["coalesce(json_extract_string(config, ?), json_extract_string(config, ?)) = ?"] * len(wanted)
    parameters = [] if method is None else [method]
    for key, value in wanted.items():
        parameters += [f"$.{key}", f"$.settings.{key}", value if isinstance(value, str) else json.dumps(value)]
    newest = "qualify row_number() over (partition by brain_key order by started_at desc, run_id) = 1"
    found = connection.sql(
        f"select {COLUMNS} from (select * from runs {newest}) where {' and '.join(conditions)} order by method, brain_key",
        params=parameters or None,
    )
    # Of rows that are there a view can be made, which a query that waits for its parameters does not allow.
    return connection.from_arrow(found.to_arrow_table())


def history(connection: duckdb.DuckDBPyConnection, brain_key: str) -> duckdb.DuckDBPyRelation:
    """Return every record of one run, the newest first; raises MissingError when there is none."""
    query = f"select {COLUMNS} from runs where brain_key = ? order by started_at desc, run_id"
    found = connection.from_arrow(connection.sql(query, params=[brain_key]).to_arrow_table())
    if not found.limit(1).fetchall():
        known = connection.execute("select distinct brain_key from runs order by 1").fetchall()
        raise MissingError(f"no run {brain_key!r} (runs: {', '.join(row[0] for row in known) or 'none yet'})")
    return found


def as_text(records: duckdb.DuckDBPyRelation) -> str:
    """Return the history of a run for people: its newest configuration in full, and a line for every record."""
    names = list(records.columns)
    rows = [dict(zip(names, row, strict=True)) for row in records.fetchall()]
    lines = [
        f"{rows[0]['brain_key']}: a run of {rows[0]['method']}",
        json.dumps(json.loads(rows[0]["config"]), indent=2),
    ]
    for row in rows:
        lines.append(f"{row['started_at']:%Y-%m-%d %H:%M:%S}  {row['state']:8} {row['rows_changed']:8} rows changed")
        lines[-1] += f"  {row['error']}" if row["error"] else ""
    return "\n".join(lines)


def rename(home: Home, name: str, old: str, new: str) -> None:
    """Rename a declared run, with its rows, record and calibrations, and publish that.

    Parameters
    ----------
    home : Home
    name : str
        The dataset.
    old, new : str
        Keys; ``new`` is a Python identifier that no run has.

    Raises
    ------
    ConfigurationError
        If ``old`` is a default run or ``new`` cannot be its key.
    MissingError
        If ``old`` is not declared.
    """
    _change(home, name, f"brain runs rename {old}", lambda dataset: rename_run(dataset, old, new))


def delete(home: Home, name: str, brain_key: str) -> None:
    """Delete a declared run, with its rows, record and calibrations, and publish that; raises as ``rename``."""
    _change(home, name, f"brain runs delete {brain_key}", lambda dataset: delete_run(dataset, brain_key))


def _change(home: Home, name: str, purpose: str, change: Callable[[Dataset], None]) -> None:
    with open_dataset(home, name, Opening(uuid.uuid4().hex, purpose)) as dataset:
        change(dataset)
    if manifest(home.paths(name).published):
        from brain_assets.app.materializing import materialize

        materialize(home, name, REPUBLISHED)


def rename_run(dataset: Dataset, old: str, new: str) -> None:
    """Rename a declared run of a dataset that is held open; the declaration changes with the rows, or neither does."""
    _require_declared(dataset, old)
    _require_free(dataset, new)
    text = rename_entry(dataset.paths.config.read_text("utf-8"), old, new)
    with dataset.store.write(dataset.run_id, "runs") as transaction:
        _drop(dataset, transaction, new)
        for table, columns in _tables(dataset).items():
            replaced = f"{literal(new)} as brain_key"
            if "calibration_id" in columns:
                replaced += f", {literal(new)} || '.' || issue as calibration_id"
            rows = f"select * exclude (changed) replace ({replaced}) from {table} where brain_key = {literal(old)}"
            transaction.merge(Merge(table, rows))
        _move_records(transaction, old, new)
        _drop(dataset, transaction, old)
        _write(dataset, text)


def delete_run(dataset: Dataset, brain_key: str) -> None:
    """Delete a declared run of a dataset that is held open; the declaration changes with the rows, or neither does."""
    _require_declared(dataset, brain_key)
    readers = [run.brain_key for run in dataset.settings.runs if brain_key in (run.embeddings, run.similarity)]
    if readers:
        raise ConfigurationError(f"run {brain_key!r} is read by run {readers[0]!r}: delete that one first")
    text = delete_entry(dataset.paths.config.read_text("utf-8"), brain_key)
    with dataset.store.write(dataset.run_id, "runs") as transaction:
        _drop(dataset, transaction, brain_key)
        _write(dataset, text)


def _require_declared(dataset: Dataset, brain_key: str) -> None:
    declared = [run.brain_key for run in load_dataset(dataset.paths.config).settings.runs]
    if brain_key in declared:
        return
    if brain_key in default_keys():
        raise ConfigurationError(
            f"{brain_key!r} is a default run, which is always there: only runs of dataset.yaml change"
        )
    raise MissingError(f"dataset.yaml declares no run {brain_key!r} (runs: {', '.join(declared) or 'none'})")


def _require_free(dataset: Dataset, brain_key: str) -> None:
    if not brain_key.isidentifier() or not brain_key.isascii() or keyword.iskeyword(brain_key):
        raise ConfigurationError(f"{brain_key!r} cannot name a run: use a Python identifier")
    if brain_key in default_keys() | {run.brain_key for run in dataset.settings.runs}:
        raise ConfigurationError(f"there is a run {brain_key!r} already: choose another key")


def _tables(dataset: Dataset) -> dict[str, list[str]]:
    """Return the tables whose rows belong to runs, with their columns."""
    query = """
        select table_name, list(column_name) as names from duckdb_columns()
        where table_name in (select table_name from duckdb_tables() where not internal and not temporary)
        group by table_name having list_has_all(names, ['brain_key', 'changed']) order by table_name"""
    return dict(dataset.store.rows(query))


def _drop(dataset: Dataset, transaction: Transaction, brain_key: str) -> None:
    """Delete all rows of a run, what it has seen, and its record."""
    for table in _tables(dataset):
        empty = f"select * exclude (changed) from {table} where false"
        transaction.merge(Merge(table, empty, within=f"brain_key = {literal(brain_key)}"))
    transaction.execute("delete from watermarks where brain_key = ?", [brain_key])
    transaction.execute("delete from seen where brain_key = ?", [brain_key])
    transaction.execute("delete from runs where brain_key = ?", [brain_key])
    transaction.mark("runs")


def _move_records(transaction: Transaction, old: str, new: str) -> None:
    transaction.execute("update runs set brain_key = ? where brain_key = ?", [new, old])
    transaction.execute("update watermarks set brain_key = ? where brain_key = ?", [new, old])
    transaction.execute("update seen set brain_key = ? where brain_key = ?", [new, old])
    for asset, brain_key, text in transaction.execute("from watermarks select asset, brain_key, settings").fetchall():
        settings = json.loads(text)
        read = {name for name in ("embeddings", "similarity") if settings.get(name) == old}
        if read:
            moved = json.dumps(settings | dict.fromkeys(read, new), sort_keys=True, separators=(",", ":"))
            transaction.execute(
                "update watermarks set settings = ? where asset = ? and brain_key = ?", [moved, asset, brain_key]
            )


def _write(dataset: Dataset, text: str) -> None:
    path = dataset.paths.config
    draft = path.with_suffix(".draft")
    draft.write_text(text, "utf-8")
    put_in_place(draft, path)
    forget(dataset.paths)
