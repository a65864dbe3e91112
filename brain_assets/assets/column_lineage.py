"""Which columns of other assets a published column is made of, where SQL says so: kept beside this file, for Dagster to show.

DuckDB's plans tell which columns of which tables have to be read for a column; those that are read for it alone, and not to
find or join the rows, are what it is made of. What Python computes has no columns to point at: there the lineage of
tables is all that is known. ``python -m brain_assets.assets.column_lineage`` derives it again.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from brain_assets.assets import catalog
from brain_assets.assets.place import Place
from brain_assets.incremental.signal import Publication, Signal
from brain_assets.incremental.tables import columns_of
from brain_assets.incremental.update import BOOKKEEPING, example
from brain_assets.resources.store.store import empty

if TYPE_CHECKING:
    import duckdb

FILE = Path(__file__).with_name("column_lineage.json")
Column = tuple[str, str]
Found = dict[str, dict[str, list[str]]]
# Ids name the rows of these assets in every table that has them.
NAMED: Mapping[str, Column] = {"sample_id": ("samples", "sample_id"), "object_id": ("objects", "object_id")}
# They would look at rows, of which there are none.
UNWANTED = "statistics_propagation,empty_result_pullup"
# What the engine adds to rows, and what stands for no column at all.
ADDED = {"changed", ""}
NAMES = ("_id", "_key", "_hash")
ORDER = re.compile(r"\border by [^()]*$")


def lineage_of(signal: Signal, place: Place) -> dict[str, Any]:
    """Return what Dagster shows of where the columns of an asset come from; nothing where nobody knows."""
    deps = {
        column: [dg.TableColumnDep(place.key(asset), name) for asset, name in (one.split(".") for one in sources)]
        for column, sources in _kept().get(signal.name, {}).items()
    }
    return {"dagster/column_lineage": dg.TableColumnLineage(deps)} if deps else {}


@cache
def _kept() -> Found:
    found: Found = json.loads(FILE.read_text("utf-8"))
    return found


def derived(signals: Iterable[Signal] = catalog.ALL) -> Found:
    """Return, by asset and column of its first published table, the columns ``asset.column`` that it is made of."""
    found: Found = {}
    with empty() as connection:
        connection.execute(f"set disabled_optimizers = '{UNWANTED}'")
        for table in (table for signal in catalog.ALL for table in signal.tables):
            named = ", ".join(f"{name} {kind}" for name, kind in columns_of(table).items())
            connection.execute(f"create table if not exists {table.name} ({named})")
        for signal in signals:
            columns = {column: sources for column, sources in _columns(connection, signal) if sources}
            found |= {signal.name: columns} if columns else {}
    return found


def _columns(connection: "duckdb.DuckDBPyConnection", signal: Signal) -> Iterator[tuple[str, list[str]]]:
    """Yield the columns of a signal's first published table, each with what it is made of."""
    for publication in signal.publishes[:1]:
        made = _made(connection, signal, publication)
        for column in publication.columns:
            sources = {f"{asset}.{name}" for table, name in made[column] for asset in _writers(table)}
            others = {one for one in sources if not one.startswith(f"{signal.name}.")}
            if not others and column in NAMED and signal.name != NAMED[column][0]:
                others = {".".join(NAMED[column])}
            yield column, sorted(others)


def _made(
    connection: "duckdb.DuckDBPyConnection", signal: Signal, publication: Publication
) -> Mapping[str, set[Column]]:
    """Return the columns of stored tables that each column of a published table is made of."""
    made: dict[str, set[Column]] = defaultdict(set)
    for query in _queries(signal, publication.query):
        offered = {name for name, *_ in connection.execute(f"describe {query}").fetchall()}
        rows = _read(connection, query, "count(*)")
        for column in offered & publication.columns.keys():
            read = _read(connection, query, f'"{column}"')
            if alone := read - rows:
                made[column] |= alone
            elif not _constant(connection, query, column):
                made[column] |= _alike(read, column)
    return made


def _queries(signal: Signal, query: str) -> Iterator[str]:
    """Yield the queries whose columns a published table has: its own, and for issues those that find them."""
    yield ORDER.sub("", query.strip())
    if signal is catalog.ISSUES:
        yield from (ORDER.sub("", example(one.query).strip()) for other in catalog.ALL for one in other.issues)


def _writers(table: str) -> list[str]:
    return [signal.name for signal in catalog.ALL if table in signal.writes and table not in BOOKKEEPING]


def _constant(connection: "duckdb.DuckDBPyConnection", query: str, column: str) -> bool:
    """Tell whether a column is the same in all rows: then no table is read to find rows where it is something else."""
    return not _read(connection, f'from ({query}) where hash("{column}") = 1', "count(*)")


def _alike(read: set[Column], column: str) -> set[Column]:
    """Return what a column is made of that also decides which rows there are: those of its name, else all that name no row."""
    same = {one for one in read if one[1] == column}
    return same or {one for one in read if not one[1].endswith(NAMES)}


def _read(connection: "duckdb.DuckDBPyConnection", query: str, column: str) -> set[Column]:
    """Return the columns of stored tables that DuckDB would read for one column of a query."""
    ((_, plan),) = connection.execute(f"explain (format json) select {column} from ({query})").fetchall()
    found, open_ = set[Column](), json.loads(plan)
    while open_:
        step = open_.pop()
        open_ += step["children"]
        said = step["extra_info"]
        if "Table" in said:
            names = said.get("Projections", [])
            table = said["Table"].rpartition(".")[2]
            found |= {(table, name) for name in ([names] if isinstance(names, str) else names) if name not in ADDED}
    return found


if __name__ == "__main__":
    FILE.write_text(json.dumps(derived(), indent=1) + "\n", "utf-8")
