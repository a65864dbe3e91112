"""Finding subjects by words or by the user's own SQL, which runs confined and against the clock."""

import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from brain_assets.methods.distinct import distinct
from brain_assets.review.columns import Column, columns, values_of
from brain_assets.review.detections import MATCHED, make_matched
from brain_assets.review.refusal import Refused
from brain_assets.review.sets import Frame, OpenSet, quote

LONGEST = 4_000
SECONDS = 10.0


def find_where(opened: OpenSet, frame: Frame, condition: str, seconds: float = SECONDS) -> NDArray[np.int64]:
    """Return the positions, ascending, of the subjects that meet an SQL condition.

    The condition may use every column of the frame by name and ask every published table in subqueries, and
    ``matched_objects``, the labels and predictions of objects that lie on each other. It runs in
    a read-only transaction of a database that cannot reach files, network or settings.

    Raises
    ------
    Refused
        422 with DuckDB's own words for what is wrong, 408 when it takes longer than ``seconds``.
    """
    if len(condition) > LONGEST:
        raise Refused(422, f"the condition is longer than {LONGEST} characters")
    if _mentions(condition, MATCHED):
        make_matched(opened)
    named = [column for column in columns(opened, frame).values() if _mentions(condition, column.name)]
    query = f"select position from ({_wide(opened, frame, named)}) as subject where (\n{condition}\n)"
    found = _run_confined(opened, query, seconds)
    inside = found[(found >= 0) & (found < opened.count(frame))]
    return distinct(inside)


def select(opened: OpenSet, query: str, most: int, seconds: float = SECONDS) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return the columns and the first ``most`` rows of a SELECT over the published tables.

    It runs as `find_where` does.

    Raises
    ------
    Refused
        As of `find_where`.
    """
    with _confined(opened, query, seconds, "write a single SELECT") as found:
        return [column[0] for column in found.description or ()], found.fetchmany(most)


def find_text(opened: OpenSet, frame: Frame, text: str) -> NDArray[np.int64]:
    """Return the positions, ascending, of subjects whose path or labels contain ``text``, in either case."""
    if len(text) > LONGEST:
        raise Refused(422, f"the text is longer than {LONGEST} characters")
    words = ("filepath", "label", "prediction", "tags", "file_tags")
    searched = [column for name, column in columns(opened, frame).items() if re.split("[:@]", name)[0] in words]
    parts = [f"coalesce(contains(lower({_as_text(column)}), lower($text)), false)" for column in searched]
    condition = " or ".join(parts) or "false"
    query = f"select position from ({_wide(opened, frame, searched)}) where {condition}"
    found = opened.cursor().execute(query, {"text": text}).fetchnumpy()["position"]
    return distinct(np.asarray(found, np.int64))


def _as_text(column: Column) -> str:
    """Return a column as SQL text; entries of lists are parted by a character that no search box can hold."""
    return f"array_to_string({quote(column.name)}, chr(1))" if column.kind == "labels" else quote(column.name)


def _mentions(condition: str, name: str) -> bool:
    """Return whether a condition may use a column; one too many costs a join, one too few an error."""
    return name.lower() in condition.lower().replace('""', '"')


def _wide(opened: OpenSet, frame: Frame, named: Iterable[Column]) -> str:
    """Return a query with a row per subject and the named columns beside position, subject_id and sample_id."""
    sample = (
        "f.subject_id"
        if frame == "images"
        else f"(select subject_id from {opened.frame('images')} i where i.position = f.sample_at)"
    )
    selected, joins = ["f.position", "f.subject_id", f"{sample} as sample_id"], []
    for number, column in enumerate(named):
        joins.append(f"left join {values_of(opened, frame, column)} c{number} on c{number}.position = f.position")
        selected.append(f"c{number}.value as {quote(column.name)}")
    return f"select {', '.join(selected)} from {opened.frame(frame)} f {' '.join(joins)}"


def _run_confined(opened: OpenSet, query: str, seconds: float) -> NDArray[np.int64]:
    advice = "write a single condition, such as: uniqueness < 0.1 and split = 'train'"
    with _confined(opened, query, seconds, advice) as result:
        found = result.fetchnumpy()["position"]
    if found.dtype.kind not in "iu":
        raise Refused(422, "the condition must not change what is selected")
    return np.asarray(found, np.int64)


@contextmanager
def _confined(opened: OpenSet, query: str, seconds: float, advice: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield the result of a user's query while it may still be read; refuse what is no single SELECT with advice."""
    cursor = opened.cursor()
    try:
        statements = cursor.extract_statements(query)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise Refused(422, advice)
        cursor.execute("begin transaction read only")
        with _interrupted_after(cursor, seconds):
            yield cursor.execute(statements[0])
    except duckdb.InterruptException:
        raise Refused(408, f"the query took longer than {seconds:g} seconds; make it simpler") from None
    except duckdb.Error as error:
        raise Refused(422, _first_line(error)) from None
    finally:
        cursor.close()


@contextmanager
def _interrupted_after(cursor: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[None]:
    timer = threading.Timer(seconds, cursor.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _first_line(error: duckdb.Error) -> str:
    """Return what DuckDB says, without its excerpt of a query that the user did not write."""
    return str(error).split("\nLINE")[0].strip().splitlines()[0]
