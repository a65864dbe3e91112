"""Questions to one published set, whichever tables it has."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import duckdb

Row = dict[str, Any]


class Tables:
    """The tables of one published set.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        That sees each of them as a view.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection

    @cached_property
    def columns(self) -> dict[str, set[str]]:
        """The columns of each table."""
        names = self.connection.execute("select view_name from duckdb_views() where not internal").fetchall()
        return {name: set(self.connection.table(name).columns) for (name,) in names}

    def has(self, table: str, *columns: str) -> bool:
        """Return whether a table is there with these columns and any row."""
        if not set(columns) <= self.columns.get(table, set()) or table not in self.columns:
            return False
        return bool(self.connection.execute(f"select 1 from {table} limit 1").fetchall())

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Return the rows of a query by column name."""
        cursor = self.connection.execute(query, list(parameters))
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def value(self, query: str, parameters: Sequence[Any] = ()) -> Any:
        """Return the first column of the first row, or None."""
        found = self.connection.execute(query, list(parameters)).fetchall()
        return found[0][0] if found else None

    @cached_property
    def label_field(self) -> str | None:
        """The field of labels that is reported: the usual one, else that with the most labels."""
        if not self.has("ground_truth", "label_field"):
            return None
        query = (
            "select label_field from ground_truth group by 1 order by label_field != 'ground_truth', count(*) desc, 1"
        )
        return str(self.value(query))

    @property
    def labels(self) -> str:
        """A query of sample_id and labels; of no rows where there are none."""
        if self.label_field is None:
            return "select null::varchar as sample_id, null::varchar[] as labels where false"
        field = self.label_field.replace("'", "''")
        return f"select sample_id, labels from ground_truth where label_field = '{field}'"
