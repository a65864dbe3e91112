"""SQL over the published tables."""

import contextlib
import io
import shutil
import sys
import tempfile
from pathlib import Path

import duckdb

from resources.errors import BrainError
from resources.home import Home
from resources.publishing import connect

FORMS = {
    "csv": "format csv, header",
    "json": "format json, array true",
    "jsonl": "format json",
    "parquet": "format parquet",
}
SUFFIXES = {".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
# Wider than any row.
UNLIMITED = 1_000_000


def run_query(home: Home, name: str, query: str, form: str | None, output: Path | None) -> None:
    """Print the rows of a query, or write them to a file.

    Parameters
    ----------
    home : Home
    name : str
        The dataset.
    query : str
    form : {"table", "csv", "json", "jsonl", "parquet"}, optional
        By default that of the suffix of ``output``, else a table.
    output : Path, optional
        By default standard output.

    Raises
    ------
    BrainError
        If the query is wrong, in one line.
    """
    try:
        with connect(home.existing(name).published) as connection:
            relation = connection.sql(query)
            if relation is None:
                raise BrainError("the query gives no rows: write a SELECT")
            write_rows(connection, relation, form, output)
    except duckdb.Error as error:
        raise BrainError(f"SQL: {' '.join(str(error).split())}") from None


def write_rows(
    connection: duckdb.DuckDBPyConnection, relation: duckdb.DuckDBPyRelation, form: str | None, output: Path | None
) -> None:
    """Print rows, or write them to a file; the arguments are those of ``run_query``."""
    form = form or (SUFFIXES.get(output.suffix.lower(), "table") if output else "table")
    if form == "table":
        text = as_table(relation, whole=output is not None or not sys.stdout.isatty())
        output.write_text(text, "utf-8") if output else sys.stdout.write(text)
        return
    if output is None and form == "parquet":
        raise BrainError("parquet is written to a file: give --output FILE.parquet")
    relation.create_view("result_of_query")
    with tempfile.TemporaryDirectory() as folder:
        target = output or Path(folder) / "rows"
        connection.execute(f"copy result_of_query to '{str(target).replace(chr(39), chr(39) * 2)}' ({FORMS[form]})")
        if output is None:
            with target.open("rb") as handle:
                shutil.copyfileobj(handle, sys.stdout.buffer)


def as_table(relation: duckdb.DuckDBPyRelation, *, whole: bool) -> str:
    """Return all rows as a table of text, which on a terminal is as wide as that."""
    width = UNLIMITED if whole else shutil.get_terminal_size().columns
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        relation.show(max_rows=sys.maxsize, max_width=width)
    return text.getvalue().rstrip("\n") + "\n"
