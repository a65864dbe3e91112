"""What the database does for each query of the product: the work of every operator, beside what goes in and comes out."""

import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import duckdb

# What a statement computes, however its rows are used.
BODY = re.compile(
    r"\s*(?:copy\s*\((.*)\)\s*to\s*'[^']*'\s*\(.*\)"
    r"|create\s+(?:or\s+replace\s+)?(?:temp\s+)?table\s+\w+\s+as\s+(.*)"
    r"|insert\s+into\s+.*?\)\s*((?:select|with|from)\b.*)"
    r"|((?:select|with|from)\b.*))\s*",
    re.IGNORECASE | re.DOTALL,
)
COMPARES_ALL = {"CROSS_PRODUCT", "NESTED_LOOP_JOIN", "BLOCKWISE_NL_JOIN", "PIECEWISE_MERGE_JOIN", "IE_JOIN"}
AROUND = {"RESULT_COLLECTOR", "EXPLAIN_ANALYZE"}


@dataclass(frozen=True)
class Join:
    """One join of a query.

    Attributes
    ----------
    query : str
        On one line.
    kind : str
        DuckDB's name of the operator.
    work : int
        Rows that come out of it before its query drops most of them; pairs that are compared where all are with all.
    fed : int
        Rows that go in, and rows that the whole query returns.
    """

    query: str
    kind: str
    work: int
    fed: int


class Watched:
    """A connection that runs each query once more, when it first sees it, to see what its joins do."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, joins: dict[str, list[Join]]) -> None:
        self._connection, self._joins = connection, joins

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def __enter__(self) -> "Watched":
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()

    def cursor(self) -> "Watched":
        return Watched(self._connection.cursor(), self._joins)

    def execute(self, query: str | duckdb.Statement, parameters: Any = None) -> Any:
        self._look(query if isinstance(query, str) else query.query, parameters)
        return self._connection.execute(query, parameters)

    def sql(self, query: str, *, params: Any = None) -> Any:
        self._look(query, params)
        return self._connection.sql(query, params=params)

    def _look(self, query: str, parameters: Any) -> None:
        found = BODY.fullmatch(query)
        body = next((part for part in found.groups() if part), None) if found else None
        if body is None or body in self._joins:
            return
        plan = self._connection.execute(f"explain (analyze, format json) {body}", parameters).fetchall()[0][1]
        operators = [one for root in json.loads(plan).get("operator", []) for one in _below(root)]
        returned = next((one["intermediate_rows"] for one in operators if one["type"] not in AROUND), 0)
        joins = [one for one in operators if "JOIN" in one["type"] or one["type"] in COMPARES_ALL]
        self._joins[body] = [_join(body, one, returned) for one in joins]


def _join(query: str, operator: dict[str, Any], returned: int) -> Join:
    fed = [child["intermediate_rows"] for child in operator["children"]]
    work = max(operator["intermediate_rows"], math.prod(fed) if operator["type"] in COMPARES_ALL else 0)
    return Join(" ".join(query.split()), operator["type"], work, sum(fed) + returned)


def _below(operator: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield operator
    for child in operator.get("children", []):
        yield from _below(child)


@contextmanager
def watched_joins() -> Iterator[dict[str, list[Join]]]:
    """Yield every query that this process asks of any database while the block runs, with its joins."""
    joins: dict[str, list[Join]] = {}
    connect = duckdb.connect

    def watched(*arguments: Any, **settings: Any) -> Watched:
        return Watched(connect(*arguments, **settings), joins)

    with patch.object(duckdb, "connect", watched):
        yield joins
