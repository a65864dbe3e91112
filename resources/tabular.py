"""CSV, Parquet and JSONL files as Arrow tables with the line of every row; what cannot be read is named, not raised."""

import csv as lines_of_csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.resources.local_files import bytes_of, open_local

# Arrow takes for ever, or ends the process, on what is nested thousands deep.
DEEPEST = 64
LONGEST_FIELD = 2**31 - 1
WHOLE_FILE = 0
"""The line of what is wrong with a file as a whole."""


@dataclass(frozen=True)
class Rejected:
    """A row that cannot be used: its line (from 1; 0 for the whole file), a short code, and what was found."""

    line: int
    reason: str
    detail: str = ""


@dataclass
class Rows:
    """The rows of a file.

    Attributes
    ----------
    table : pyarrow.Table
        The wanted columns that the file has.
    lines : (n,) int64
        The line of each row: that of the file, or the number of the row in a Parquet file.
    rejected : list of Rejected
    """

    table: pa.Table
    lines: NDArray[np.int64]
    rejected: list[Rejected] = field(default_factory=list)

    def column(self, name: str) -> pa.Array | None:
        """Return a column as one array, or None where the file has none."""
        if name not in self.table.column_names:
            return None
        column = self.table.column(name).combine_chunks()
        return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column

    def reject(self, wrong: NDArray[np.bool_], reason: str, detail: str = "") -> None:
        """List the rows where ``wrong`` holds, unless something else is wrong with them already."""
        known = {one.line for one in self.rejected} if wrong.any() else set()
        self.rejected += [Rejected(int(line), reason, detail) for line in self.lines[wrong] if line not in known]

    def keep(self, right: NDArray[np.bool_]) -> "Rows":
        """Return the rows where ``right`` holds, with all that was rejected so far."""
        return Rows(self.table.filter(pa.array(right)), self.lines[right], self.rejected)


@dataclass(frozen=True)
class Reading:
    """What a file of labels or predictions says: its usable rows, those that are not, and the order of its classes."""

    table: pa.Table
    rejected: list[Rejected]
    classes: list[str] | None = None


def read_rows(path: Path, form: str, wanted: Sequence[str]) -> Rows:
    """Return the wanted columns of a file.

    Parameters
    ----------
    path : Path
    form : {"csv", "parquet", "jsonl"}
    wanted : sequence of str

    Returns
    -------
    Rows
        Empty, with one rejected row of line 0, where the file as a whole cannot be read.
    """
    try:
        rows = {"csv": _read_csv, "parquet": _read_parquet, "jsonl": _read_jsonl}[form](path, wanted)
        rows.table.validate(full=True)
    except Exception as error:  # noqa: BLE001 - readers raise anything, and no file may end a run
        return Rows(pa.table({}), np.zeros(0, np.int64), [Rejected(WHOLE_FILE, "unreadable", _one_line(error))])
    if rows.rejected and not rows.lines.size:
        return rows
    if "filepath" not in rows.table.column_names and "sample_id" not in rows.table.column_names:
        names = ", ".join(rows.table.column_names) or "none that are known"
        return Rows(
            pa.table({}),
            np.zeros(0, np.int64),
            [Rejected(WHOLE_FILE, "no_key", f"no filepath or sample_id; columns: {names}")],
        )
    return rows


def _read_csv(path: Path, wanted: Sequence[str]) -> Rows:
    from pyarrow import csv

    skipped: list[Rejected] = []

    def note(row: Any) -> str:
        skipped.append(
            Rejected(row.number, "columns", f"{row.actual_columns} columns, expected {row.expected_columns}")
        )
        return "skip"

    data = _filled(path)
    data, starts, unclosed = _without_unclosed(data)
    table = csv.read_csv(
        io.BytesIO(data),
        read_options=csv.ReadOptions(use_threads=False),
        parse_options=csv.ParseOptions(invalid_row_handler=note, newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(wanted, pa.string()),
            strings_can_be_null=True,
            null_values=[""],
            quoted_strings_can_be_null=True,
        ),
    )
    gone = np.array([one.line for one in skipped], np.int64)
    records = np.setdiff1d(np.arange(2, table.num_rows + len(gone) + 2), gone)
    if starts is not None:
        skipped = [Rejected(int(starts[one.line - 1]), one.reason, one.detail) for one in skipped]
    lines = records if starts is None else starts[records - 1]
    return Rows(_selected(table, wanted), lines, skipped + unclosed)


def _filled(path: Path) -> bytes:
    data = bytes_of(path)
    if not data:
        raise ValueError("the file is empty")
    return data


def _without_unclosed(data: bytes) -> tuple[bytes, NDArray[np.int64] | None, list[Rejected]]:
    """Return a CSV without the rows in which a quote is not closed, the line of each record, and the lines left out.

    Such a quote would make all rows up to the next one, or to the end of the file, part of one value. Without any quotes
    there is no need to look, and records are lines.
    """
    if b'"' not in data:
        return data, None, []
    lines_of_csv.field_size_limit(LONGEST_FIELD)
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    lines = list(io.StringIO(text, newline=""))
    reader = lines_of_csv.reader(iter(lines), strict=True)
    starts, kept = [], []
    rejected: list[Rejected] = []
    while reader.line_num < len(lines):
        start = reader.line_num
        try:
            record = next(reader, None)
        except lines_of_csv.Error:
            detail = f"a quote in line {start + 1} is not closed as it should be"
            rejected += [Rejected(line + 1, "quote", detail) for line in range(start, reader.line_num)]
            continue
        kept += lines[start : reader.line_num]
        starts += [start + 1] if record else []
    return "".join(kept).encode("utf-8", "surrogateescape"), np.array(starts, np.int64), rejected


def _read_parquet(path: Path, wanted: Sequence[str]) -> Rows:
    from pyarrow import parquet

    with open_local(path) as handle, parquet.ParquetFile(handle) as file:
        check_names(file.schema_arrow.names, wanted)
        names = [name for name in file.schema_arrow.names if name in wanted]
        table = file.read(columns=names)
        classes = (file.schema_arrow.metadata or {}).get(b"classes")
    if classes and "classes" in wanted and "classes" not in names:
        given = pa.array([json.loads(classes)] * table.num_rows, pa.list_(pa.string()))
        table = table.append_column("classes", given)
    return Rows(table, np.arange(1, table.num_rows + 1))


def _read_jsonl(path: Path, wanted: Sequence[str]) -> Rows:
    from pyarrow import json as arrow_json

    data = _filled(path)
    if is_deeply_nested(data):
        return _read_jsonl_by_line(data, wanted)
    try:
        options = arrow_json.ReadOptions(use_threads=False, block_size=64 << 20)
        table = arrow_json.read_json(io.BytesIO(data), options)
        table.validate(full=True)
    except pa.ArrowException:
        return _read_jsonl_by_line(data, wanted)
    return Rows(_selected(table, wanted), np.arange(1, table.num_rows + 1))


def is_deeply_nested(data: bytes) -> bool:
    """Tell whether a line of JSON may be nested more than ``DEEPEST`` deep; brackets in texts count."""
    codes = np.frombuffer(data, np.uint8)
    places = np.flatnonzero(np.isin(codes, np.frombuffer(b"[]{}\n", np.uint8)))
    marks = codes[places]
    depth = np.cumsum(np.select([np.isin(marks, (91, 123)), np.isin(marks, (93, 125))], [1, -1], 0))
    # What a line leaves open, as in a text, must not count in the next.
    ends = marks == 10
    before = np.maximum.accumulate(np.where(ends, np.arange(1, len(marks) + 1), 0))
    return bool((depth - np.concatenate([[0], depth])[before] > DEEPEST).any()) if len(marks) else False


def check_names(names: Sequence[str], wanted: Sequence[str]) -> None:
    """Raise ValueError where several columns have one of the wanted names: nobody can tell which is meant."""
    twice = [name for name, count in Counter(names).items() if count > 1 and name in wanted]
    if twice:
        raise ValueError(f"several columns are called {twice[0]}: rename or remove all but one")


def _read_jsonl_by_line(data: bytes, wanted: Sequence[str]) -> Rows:
    """Return the rows of a file that has broken lines, or values of several types."""
    values: list[dict[str, Any]] = []
    lines, rejected = [], []
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            values.append(_values_of(line, wanted))
            lines.append(number)
        except Exception as error:  # noqa: BLE001 - texts are damaged in any way, and each costs its own line
            rejected.append(Rejected(number, "unreadable", _one_line(error)))
    names = [name for name in wanted if any(name in row for row in values)]
    columns = {name: column_of([row.get(name) for row in values]) for name in names}
    return Rows(pa.table(columns), np.array(lines, np.int64), rejected)


def _values_of(line: bytes, wanted: Sequence[str]) -> dict[str, Any]:
    """Return the wanted values of a line, such as columns can hold; raises anything where it is damaged."""
    row = json.loads(line.decode())
    if not isinstance(row, dict):
        raise TypeError("not an object")
    values = {name: _plain(row[name]) for name in wanted if row.get(name) is not None}
    for value in values.values():
        json.dumps(value, ensure_ascii=False).encode()
    return values


def _plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict) else value


def column_of(values: Sequence[Any]) -> pa.Array:
    """Return values as an array; as texts where they are of several types."""
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, ValueError, TypeError):
        return pa.array(
            [value if value is None or isinstance(value, str) else json.dumps(value) for value in values], pa.string()
        )


def _selected(table: pa.Table, wanted: Sequence[str]) -> pa.Table:
    check_names(table.column_names, wanted)
    return table.select([name for name in table.column_names if name in wanted])


def keys(rows: Rows) -> pa.Array:
    """Return what names each row's sample: its ``sample_id``, else its ``filepath`` without a leading ``./``."""
    import pyarrow.compute as pc

    ids, paths = texts(rows.column("sample_id"), len(rows.lines)), texts(rows.column("filepath"), len(rows.lines))
    return pc.coalesce(ids, pc.replace_substring_regex(paths, r"^(\./)+", ""))


def texts(column: pa.Array | None, size: int) -> pa.Array:
    """Return a column as trimmed texts, NULL where there is none."""
    import pyarrow.compute as pc

    if column is None:
        return pa.nulls(size, pa.string())
    text = pc.utf8_trim_whitespace(as_text(column))
    return pc.if_else(pc.equal(text, ""), None, text)


def as_text(column: pa.Array) -> pa.Array:
    """Return a column as texts; what is none, such as a list, as it would be written in JSON."""
    try:
        return column.cast(pa.string())
    except pa.ArrowException:
        values = (None if value is None else json.dumps(value, default=str) for value in column.to_pylist())
        return pa.array(values, pa.string())


def text_lists(column: pa.Array | None, size: int) -> pa.Array:
    """Return a column as lists of texts; one written as text is split at ``;`` or ``|``, or read as a JSON list."""
    import pyarrow.compute as pc

    if column is None:
        return pa.nulls(size, pa.list_(pa.string()))
    if _is_list(column):
        try:
            return column.cast(pa.list_(pa.string()))
        except pa.ArrowException:
            return pa.array([_texts_of(values) for values in column.to_pylist()], pa.list_(pa.string()))
    text = pc.utf8_trim_whitespace(as_text(column))
    if pc.any(pc.starts_with(text, "[")).as_py():
        inner = pc.replace_substring_regex(text, r"^\[\s*[\"']?|[\"']?\s*\]$", "")
        return _split(inner, r"[\"']?\s*,\s*[\"']?")
    return _split(text, r"\s*[;|]\s*")


def _texts_of(values: list[Any] | None) -> list[str | None] | None:
    if values is None:
        return None
    return [value if value is None or isinstance(value, str) else json.dumps(value, default=str) for value in values]


def _split(text: pa.Array, pattern: str) -> pa.Array:
    import pyarrow.compute as pc

    parts = pc.split_pattern_regex(text, pattern)
    empty = pa.scalar([], parts.type)
    return pc.if_else(pc.fill_null(pc.equal(text, ""), False), empty, parts)


def numbers(column: pa.Array | None, size: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return a column as floats, NaN where there is none; and where a value is there that is no number."""
    if column is None:
        return np.full(size, np.nan), np.zeros(size, bool)
    try:
        values = column.cast(pa.float64())
    except pa.ArrowException:
        values = pa.array([_number(value) for value in column.to_pylist()], pa.float64())
    floats: NDArray[np.float64] = values.to_numpy(zero_copy_only=False).astype(np.float64)
    given = column.is_valid().to_numpy(zero_copy_only=False)
    return floats, given & np.isnan(floats)


def number_lists(column: pa.Array | None, size: int) -> tuple[pa.Array, NDArray[np.bool_]]:
    """Return a column as lists of floats, NULL where there is none; and where a value is there that is no such list."""
    if column is None:
        return pa.nulls(size, pa.list_(pa.float64())), np.zeros(size, bool)
    parts = column if _is_list(column) else _number_texts(column)
    try:
        lists = parts.cast(pa.list_(pa.float64()))
    except pa.ArrowException:
        lists = pa.array([_number_list(value) for value in parts.to_pylist()], pa.list_(pa.float64()))
    return lists, (column.is_valid().to_numpy(zero_copy_only=False) & lists.is_null().to_numpy(zero_copy_only=False))


def _number_texts(column: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    text = pc.replace_substring_regex(as_text(column), r"[\[\]()]", "")
    return pc.split_pattern_regex(pc.utf8_trim_whitespace(text), r"[;,\s]+")


def _is_list(column: pa.Array) -> bool:
    kind = column.type
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _number_list(values: Any) -> list[float] | None:
    found = [_number(value) for value in values] if isinstance(values, list) else [None]
    return None if None in found else [value for value in found if value is not None]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).encode("utf-8", "backslashreplace").decode()[:300] or type(error).__name__
