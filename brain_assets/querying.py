"""SQL over the published tables."""

import shutil
import sys
import tempfile
from pathlib import Path

import duckdb

from resources.errors import BrainError
from resources.home import Home
from resources.publishing import connect


def run_query(home: Home, name: str, query: str, form: str, output: Path | None) -> None:
    """Print the rows of a query, or write them to a file.

    Parameters
    ----------
    home : Home
    name : str
        The dataset.
    query : str
    form : {"table", "csv", "json", "parquet"}
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
    connection: duckdb.DuckDBPyConnection, relation: duckdb.DuckDBPyRelation, form: str, output: Path | None
) -> None:
    """Print rows, or write them to a file; the arguments are those of ``run_query``."""
    if form == "table":
        text = str(relation) + "\n"
        output.write_text(text, "utf-8") if output else sys.stdout.write(text)
        return
    if output is None and form == "parquet":
        raise BrainError("parquet is written to a file: give --output FILE.parquet")
    options = {"csv": "format csv, header", "json": "format json", "parquet": "format parquet"}[form]
    relation.create_view("result_of_query")
    with tempfile.TemporaryDirectory() as folder:
        target = output or Path(folder) / "rows"
        connection.execute(f"copy result_of_query to '{str(target).replace(chr(39), chr(39) * 2)}' ({options})")
        if output is None:
            with target.open("rb") as handle:
                shutil.copyfileobj(handle, sys.stdout.buffer)
