"""A store of each schema version that ever landed, with rows in every table, becomes one of today, and keeps what it holds."""

from pathlib import Path

import duckdb
import pytest

from brain_assets.resources.store import store as module
from brain_assets.resources.store.store import MIGRATIONS, Store

SCHEMA = (
    "select table_name, column_name, data_type, is_nullable, column_default from duckdb_columns() where not internal",
    "select table_name, constraint_type, constraint_column_names from duckdb_constraints()",
    "select view_name, sql from duckdb_views() where not internal",
    "select index_name, table_name, sql from duckdb_indexes()",
    "select sequence_name, increment_by, cycle from duckdb_sequences()",
)
COLUMNS = (
    "select table_name, list((column_name, data_type) order by column_index) from duckdb_columns() where not internal"
)
# Of these an upgrade clears what has to be fitted, or embedded, in another way than before.
CLEARED = {"cluster_centers", "vectors", "embeddings"}
VALUES = {
    "BOOLEAN": "true",
    "TIMESTAMP WITH TIME ZONE": "now()",
    "TIMESTAMP": "now()",
    "BLOB": "'a'::blob",
    "DATE": "today()",
}
# What holds more than a text: code, settings and model of a run, until each had a column.
HELD = {"fingerprint": """'["1", {}, "v1"]'"""}


def put_rows(connection: duckdb.DuckDBPyConnection, number: int, known: dict[str, object]) -> set[str]:
    """Put a row that tells its version into every table that has other columns than when one was put last, and return these."""
    base = "select table_name from duckdb_tables() where not internal and table_name != 'schema_version'"
    forms = dict(connection.execute(f"{COLUMNS} and table_name in ({base}) group by 1").fetchall())
    changed = {table: columns for table, columns in forms.items() if columns != known.get(table)}
    connection.begin()
    for table, columns in changed.items():
        values = ", ".join(f"{HELD.get(name) or value_of(kind, number)} as {name}" for name, kind in columns)
        connection.execute(f"insert into {table} by name select {values}")
    connection.commit()
    known |= changed
    return {*changed}


def value_of(kind: str, number: int) -> str:
    """Return a value of a type as SQL; texts are JSON as well, and equal in all tables, so that what joins them finds them."""
    if kind.endswith("[]"):
        return f"[{value_of(kind[:-2], number)}]"
    return VALUES.get(kind) or (f"'\"v{number}\"'" if kind == "VARCHAR" else f"{number}::{kind}")


def test_each_version_that_ever_landed_becomes_one_of_today(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Step by step, as every upgrade consists of the steps from its version on: the rows of a version go through all of them."""
    path, put, known = tmp_path / "old.duckdb", dict[str, set[int]](), dict[str, object]()
    with duckdb.connect(str(path)) as connection:
        for number in sorted(MIGRATIONS):
            monkeypatch.setattr(module, "MIGRATIONS", {one: MIGRATIONS[one] for one in MIGRATIONS if one <= number})
            module._migrate(connection, path)
            if number < max(MIGRATIONS):
                for table in put_rows(connection, number, known):
                    put.setdefault(table, set()).add(number)
    monkeypatch.undo()
    upgraded, fresh = Store(path), Store(tmp_path / "fresh.duckdb")
    for query in SCHEMA:
        assert sorted(map(str, upgraded.rows(query))) == sorted(map(str, fresh.rows(query)))
    assert upgraded.rows("select version from schema_version order by 1") == [(one,) for one in sorted(MIGRATIONS)]
    kept = {table: upgraded.value(f"select count(*) from {table}") for table in put.keys() & upgraded.tables}
    assert {table for table, count in kept.items() if count < len(put[table])} == CLEARED
    for store in (upgraded, fresh):
        store.close()
