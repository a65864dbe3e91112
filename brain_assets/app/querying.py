"""SQL over the published tables."""

import contextlib
import io
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import duckdb

from brain_assets.resources.errors import BrainError, naming_full_disk
from brain_assets.resources.store.deltas import folder_of
from brain_assets.resources.store.history import CURRENT, connect_at, open_history
from brain_assets.resources.store.publishing import connect_to, open_set

# What gives rows; a pivot is several statements, and pragmas that change something meet a locked configuration.
SELECTING = {
    duckdb.StatementType.SELECT,
    duckdb.StatementType.EXPLAIN,
    duckdb.StatementType.MULTI,
    duckdb.StatementType.PRAGMA,
}

FORMS = {
    "csv": "format csv, header",
    "json": "format json, array true",
    "jsonl": "format json",
    "parquet": "format parquet",
}
SUFFIXES = {".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
# What a spreadsheet takes for a formula; a name such as -1.png is none.
FORMULA = r"^([=@\t\r]|[+-].*[(|!])"
# Wider than any row.
UNLIMITED = 1_000_000


def run_query(
    published: tuple[Path, str], query: str, form: str | None, output: Path | None, *, external: bool = False
) -> None:
    """Print the rows of a query, or write them to a file.

    Parameters
    ----------
    published : (Path, str)
        The dataset's ``published`` folder, and what of it is asked: number, tag, date or time of a version, or ``current``.
    query : str
    form : {"table", "csv", "json", "jsonl", "parquet"}, optional
        By default that of the suffix of ``output``, else a table.
    output : Path, optional
        By default standard output.
    external : bool
        Whether the query may read and write other files, and do anything else that DuckDB can.

    Raises
    ------
    BrainError
        If the query is wrong, in one line.
    """
    try:
        with (
            _opened(*published) as (connection, folders),
            tempfile.TemporaryDirectory() as scratch,
        ):
            if not external:
                _confine(connection, query, folders, Path(scratch))
            relation = connection.sql(_unended(query))
            if relation is not None:
                _write(connection, relation, form, output, Path(scratch))
            elif not external:
                raise BrainError("the query gives no rows: write a SELECT")
    except duckdb.Error as error:
        raise BrainError(f"SQL: {' '.join(str(error).split())}") from None


@contextlib.contextmanager
def _opened(published: Path, version: str) -> Iterator[tuple[duckdb.DuckDBPyConnection, list[Path]]]:
    """Yield a connection that sees a version, and the folders that its files lie in."""
    if version == CURRENT:
        with open_set(published) as tables, connect_to(tables) as connection:
            yield connection, [tables]
        return
    with open_history(published) as history, connect_at(history, history.at(version)) as connection:
        yield connection, [history.path, folder_of(published)]


def _confine(connection: duckdb.DuckDBPyConnection, query: str, tables: list[Path], scratch: Path) -> None:
    """Let a connection read the tables and nothing else, and refuse a query that does more than select."""
    if any(statement.type not in SELECTING for statement in connection.extract_statements(query)):
        raise BrainError("only queries that select are run: --external allows the rest, and other files")
    allowed = ", ".join(f"'{_quoted(folder)}/'" for folder in (*tables, scratch))
    for setting in (
        f"temp_directory = '{_quoted(scratch)}'",
        f"allowed_directories = [{allowed}]",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        connection.execute(f"set {setting}")


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _write(
    connection: duckdb.DuckDBPyConnection,
    relation: duckdb.DuckDBPyRelation,
    form: str | None,
    output: Path | None,
    scratch: Path,
) -> None:
    """Write rows where the connection may, and put the file in its place."""
    target = scratch / output.name if output else None
    write_rows(connection, relation, form, target, scratch)
    if output and target:
        try:
            with naming_full_disk(output.parent), target.open("rb") as source, output.open("wb") as out:
                shutil.copyfileobj(source, out)
        except OSError as error:
            raise BrainError(f"{output} cannot be written: {error.strerror}") from None


def write_rows(
    connection: duckdb.DuckDBPyConnection,
    relation: duckdb.DuckDBPyRelation,
    form: str | None,
    output: Path | None,
    scratch: Path | None = None,
) -> None:
    """Print rows, or write them to a file; the arguments are those of ``run_query``, ``scratch`` is for what is printed."""
    form = form or (SUFFIXES.get(output.suffix.lower(), "table") if output else "table")
    if form == "table":
        text = as_table(relation, whole=output is not None or not sys.stdout.isatty())
        output.write_text(text, "utf-8") if output else sys.stdout.write(text)
        return
    if output is None and form == "parquet":
        raise BrainError("parquet is written to a file: give --output FILE.parquet")
    # Not through a view, which the query itself would see.
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        target = output or Path(folder) / "rows"
        query = _without_formulas(relation) if form == "csv" else relation.sql_query()
        connection.execute(f"copy ({query}) to '{_quoted(target)}' ({FORMS[form]})")
        if output is None:
            _print(target)


def _print(path: Path) -> None:
    if sys.stdout.isatty():
        with path.open(encoding="utf-8", errors="replace", newline="") as text:
            shutil.copyfileobj(text, sys.stdout)
        return
    with path.open("rb") as handle:
        shutil.copyfileobj(handle, sys.stdout.buffer)


def _without_formulas(relation: duckdb.DuckDBPyRelation) -> str:
    """Return the query of rows in which no text is one that a spreadsheet would compute: such a text begins with ' then."""
    texts = [name for name, kind in zip(relation.columns, relation.types, strict=True) if str(kind) == "VARCHAR"]
    if not texts or len(set(relation.columns)) < len(relation.columns):
        return str(relation.sql_query())
    names = [name.replace('"', '""') for name in texts]
    replaced = ", ".join(
        f"""if(regexp_matches("{name}", '{FORMULA}'), chr(39) || "{name}", "{name}") as "{name}\"""" for name in names
    )
    return f"select * replace ({replaced}) from ({relation.sql_query()})"


def _unended(query: str) -> str:
    """Return a query without the semicolons and comments that end it, which would stand in the way of what surrounds it."""
    text = query.encode()
    for start, kind in reversed(duckdb.tokenize(query)):
        if kind != duckdb.token_type.comment and text[start : start + 1] != b";":
            break
        text = text[:start]
    return text.decode()


def as_table(relation: duckdb.DuckDBPyRelation, *, whole: bool) -> str:
    """Return all rows as a table of text, which on a terminal is as wide as that."""
    width = UNLIMITED if whole else shutil.get_terminal_size().columns
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        relation.show(max_rows=sys.maxsize, max_width=width)
    return text.getvalue().rstrip("\n") + "\n"
