"""Tables (CSV, Parquet, JSON, Excel) as Arrow with the line of every row; what cannot be read is named, not raised."""

import csv as lines_of_csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.resources.local_files import bytes_of, open_local

# Arrow takes for ever, or ends the process, on what is nested thousands deep.
DEEPEST = 64
LONGEST_FIELD = 2**31 - 1
SERVED = r"^(?:(?:\./)+|[^?]*/data/upload/(?:\d+/)?[0-9a-f]{8}-|[^?]*/data/local-files/\?d=)"
TITLES = 8
"""So many lines may stand above the names of columns."""
UNMARKED, MOSTLY = 400, 0.7
SEPARATORS = ",;\t|"
WHOLE_NUMBER = re.compile(r"(-?[0-9]+)\.0+")
HEAD, PAIR = 1 << 20, 2
# The columns of files of boxes that have no names, as keras-retinanet and others read them.
BOX_ROW = ("filepath", "xmin", "ymin", "xmax", "ymax", "label")
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
    note : str or None
        The encoding of the file, where it is not UTF-8.
    """

    table: pa.Table
    lines: NDArray[np.int64]
    rejected: list[Rejected] = field(default_factory=list)
    note: str | None = None

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
        return Rows(self.table.filter(pa.array(right)), self.lines[right], self.rejected, self.note)


@dataclass(frozen=True)
class Reading:
    """What a file of labels or predictions says: its usable rows, those that are not, the order of its classes, and a remark."""

    table: pa.Table
    rejected: list[Rejected]
    classes: list[str] | None = None
    note: str | None = None


def read_table(path: Path, form: str) -> Rows:
    """Return all columns of a file, under its own names.

    Parameters
    ----------
    path : Path
    form : {"csv", "tsv", "parquet", "jsonl", "ndjson", "json", "xlsx"}

    Returns
    -------
    Rows
        Empty, with one rejected row of line 0, where the file as a whole cannot be read.
    """
    try:
        rows = READERS[form](path)
        rows.table.validate(full=True)
    except Exception as error:  # noqa: BLE001 - readers raise anything, and no file may end a run
        return unreadable(error)
    return rows


def read_beginning(path: Path, form: str, most: int = 1 << 18) -> Rows:
    """Return the first rows of a file, as `read_table` returns all.

    Parameters
    ----------
    path : Path
    form : str
        As of `read_table`.
    most : int
        Bytes that are read of rows of text; of Parquet its first thousand rows, what has no rows of its own as a whole.
    """
    try:
        if form == "parquet":
            return _first_of_parquet(path)
        if form not in FROM_BYTES:
            return read_table(path, form)
        with open_local(path) as file:
            data = file.read(most)
        # A line that is cut is none.
        return FROM_BYTES[form](data if len(data) < most else data[: data.rfind(b"\n") + 1])
    except Exception as error:  # noqa: BLE001 - as above
        return unreadable(error)


def unreadable(error: Exception, rejected: Sequence[Rejected] = ()) -> Rows:
    """Return what is read of a file that as a whole cannot be: why not."""
    said = [Rejected(WHOLE_FILE, "unreadable", _one_line(error)), *rejected]
    return Rows(pa.table({}), np.zeros(0, np.int64), said)


def _read_csv(path: Path) -> Rows:
    return _csv_of(_filled(path))


def _csv_of(given: bytes) -> Rows:
    from pyarrow import csv

    skipped: list[Rejected] = []

    def note(row: Any) -> str:
        skipped.append(
            Rejected(row.number, "columns", f"{row.actual_columns} columns, expected {row.expected_columns}")
        )
        return "skip"

    data, encoding = as_utf8(given)
    separator, names, first = head_of_csv(data)
    data, starts, unclosed = _without_unclosed(data, separator)
    places = [str(place) for place in range(len(names))]
    table = csv.read_csv(
        io.BytesIO(data),
        read_options=csv.ReadOptions(use_threads=False, column_names=places, skip_rows=first),
        parse_options=csv.ParseOptions(invalid_row_handler=note, newlines_in_values=True, delimiter=separator),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(places, pa.string()),
            strings_can_be_null=True,
            null_values=[""],
            quoted_strings_can_be_null=True,
        ),
    ).rename_columns(names)
    gone = np.array([one.line for one in skipped], np.int64)
    records = np.setdiff1d(np.arange(first + 1, table.num_rows + len(gone) + first + 1), gone)
    if starts is not None:
        starts = np.concatenate([starts, np.full(len(records) + first, starts[-1] if len(starts) else 1)])
        skipped = [Rejected(int(starts[one.line - 1]), one.reason, one.detail) for one in skipped]
    lines = records if starts is None else starts[records - 1]
    return _without_headers(Rows(table, lines, skipped + unclosed, encoding))


def _without_headers(rows: Rows) -> Rows:
    """Return rows without those that say the names of the columns once more, as files that were put together have them."""
    import pyarrow.compute as pc

    names = rows.table.column_names
    again = np.full(rows.table.num_rows, bool(names))
    for place, name in enumerate(names):
        if again.any():
            same = pc.fill_null(pc.equal(rows.table.column(place), name), fill_value=False)
            again &= same.to_numpy()
    rows.reject(again, "header", "the names of the columns once more")
    return rows.keep(~again) if again.any() else rows


def head_of_csv(data: bytes) -> tuple[str, list[str], int]:
    """Return what separates the columns of a CSV, their names, and after how many lines the rows begin.

    Remarks before the names are passed over. A first line that names an image is a row, of a file without names.
    """
    text = data[:HEAD].decode("utf-8", "replace")
    lines = text.splitlines(keepends=True)
    if match := re.match(r'"?sep=(.)"?\s*$', lines[0] if lines else ""):
        return _named(lines, 1, match[1])
    remarks = next((place for place, line in enumerate(lines) if not line.startswith("#")), 0)
    found = _named(lines, remarks, SEPARATORS)
    # Names may stand behind such a sign, too.
    above = _named(lines, remarks - 1, SEPARATORS) if remarks else found
    if remarks and len(above[1]) == len(found[1]):
        return above
    if titles := _titles_above(lines[remarks : remarks + TITLES]):
        return _named(lines, remarks + titles, SEPARATORS)
    separator, names, _ = found
    return (separator, _without_names(names), remarks) if any(map(is_image_name, names)) else found


def _titles_above(lines: Sequence[str]) -> int:
    """Return how many lines stand above the names of columns, as `_titles` does."""
    split = {one: [next(iter(lines_of_csv.reader([line], delimiter=one)), []) for line in lines] for one in SEPARATORS}
    return max((_titles(rows) for rows in split.values()), default=0)


def _named(lines: Sequence[str], first: int, separators: str) -> tuple[str, list[str], int]:
    found: dict[str, tuple[list[str], int]] = {}
    for one in separators:
        reader = lines_of_csv.reader(iter(lines[first:]), delimiter=one)
        with suppress(lines_of_csv.Error, StopIteration):
            found[one] = next(reader), reader.line_num + first
    best = max(found, key=lambda one: len(found[one][0]), default=",")
    names, after = found.get(best, ([], 1))
    return best, names, after


def is_image_name(text: str) -> bool:
    """Tell whether a text is a path that ends as images do."""
    return bool(re.search(r"[^/\\\s.]\.(?:jpe?g|png|bmp|gif|tiff?|webp)\s*$", text, re.IGNORECASE))


def _without_names(row: Sequence[str]) -> list[str]:
    """Return the names of the columns of a file that has none, by its first row; raises ValueError where they may be anything."""
    numeric = [not one.strip() or _number(one) is not None for one in row]
    if len(row) == PAIR:
        return ["filepath", "label"] if is_image_name(row[0]) else ["label", "filepath"]
    if len(row) == len(BOX_ROW) and is_image_name(row[0]) and all(numeric[1:5]):
        return [*BOX_ROW]
    raise ValueError(f"its first line is a row and names no columns: write their names above {','.join(row)[:60]!r}")


def as_utf8(data: bytes) -> tuple[bytes, str | None]:
    """Return a text file as UTF-8 without a mark, and the encoding that it was in where that is another.

    Lines that are not UTF-8 are taken for Windows-1252, each by itself, so that a byte of another encoding costs no other row.
    """
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if data.startswith(mark):
            return data[2:].decode(encoding, "replace").encode(), "UTF-16"
    if unmarked := _unmarked(data[:UNMARKED]):
        return data.decode(unmarked, "replace").encode(), "UTF-16"
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        data.decode()
    except UnicodeDecodeError:
        return b"".join(_line_as_utf8(line) for line in data.splitlines(keepends=True)), "Windows-1252"
    return data, None


def _unmarked(data: bytes) -> str | None:
    """Return the encoding of text of two bytes a letter that no mark tells: every second one is zero where it is Latin."""
    halves = {"utf-16-le": data[1::2], "utf-16-be": data[::2]}
    return next((name for name, half in halves.items() if data and half.count(0) > MOSTLY * len(half)), None)


def _line_as_utf8(line: bytes) -> bytes:
    try:
        line.decode()
    except UnicodeDecodeError:
        # Five bytes have no meaning there; as code points they at least differ.
        return "".join(bytes([one]).decode("cp1252", "ignore") or chr(one) for one in line).encode()
    return line


def _filled(path: Path) -> bytes:
    data = bytes_of(path)
    if not data:
        raise ValueError("the file is empty")
    return data


def _without_unclosed(data: bytes, separator: str) -> tuple[bytes, NDArray[np.int64] | None, list[Rejected]]:
    """Return a CSV without the rows in which a quote is not closed, the line of each record, and the lines left out.

    Such a quote would make all rows up to the next one, or to the end of the file, part of one value. Without any quotes
    there is no need to look, and records are lines.
    """
    if b'"' not in data:
        return data, None, []
    lines_of_csv.field_size_limit(LONGEST_FIELD)
    text = data.decode("utf-8", "surrogateescape")
    lines = list(io.StringIO(text, newline=""))
    reader = lines_of_csv.reader(iter(lines), strict=True, delimiter=separator)
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


def _read_parquet(path: Path) -> Rows:
    from pyarrow import parquet

    with open_local(path) as handle, parquet.ParquetFile(handle) as file:
        table = _with_class_names(file.read())
        classes = (file.schema_arrow.metadata or {}).get(b"classes")
    if classes and "classes" not in table.column_names:
        given = pa.array([json.loads(classes)] * table.num_rows, pa.list_(pa.string()))
        table = table.append_column("classes", given)
    return Rows(table, np.arange(1, table.num_rows + 1))


def _with_class_names(table: pa.Table) -> pa.Table:
    """Return a table with the names of classes in place of the numbers that `datasets` of Hugging Face writes."""
    import pyarrow.compute as pc

    with suppress(Exception):  # What others write into metadata may be anything.
        features = json.loads((table.schema.metadata or {})[b"huggingface"])["info"]["features"]
        for name, feature in features.items():
            if feature.get("_type") == "ClassLabel" and pa.types.is_integer(table.schema.field(name).type):
                place, names = table.column_names.index(name), pa.array(feature["names"], pa.string())
                known = pc.if_else(pc.is_in(table[name], pa.array(range(len(names)))), table[name], None)
                table = table.set_column(place, name, names.take(known.combine_chunks()))
    return table


def _first_of_parquet(path: Path) -> Rows:
    from pyarrow import parquet

    with open_local(path) as handle, parquet.ParquetFile(handle) as file:
        table = _with_class_names(pa.Table.from_batches(list(islice(file.iter_batches(1000), 1)), file.schema_arrow))
    return Rows(table, np.arange(1, table.num_rows + 1))


def _read_jsonl(path: Path) -> Rows:
    return _jsonl_of(_filled(path))


def _jsonl_of(data: bytes) -> Rows:
    from pyarrow import json as arrow_json

    if is_deeply_nested(data):
        return _read_jsonl_by_line(data)
    try:
        options = arrow_json.ReadOptions(use_threads=False, block_size=64 << 20)
        table = arrow_json.read_json(io.BytesIO(data), options)
        table.validate(full=True)
    except pa.ArrowException:
        return _read_jsonl_by_line(data)
    return Rows(table, np.arange(1, table.num_rows + 1))


def _read_json(path: Path) -> Rows:
    """Return a table in JSON: a list of objects, an object of columns, of a list of objects, or of values by name."""
    data, encoding = as_utf8(_filled(path))
    if is_deeply_nested(data):
        raise ValueError("nested too deeply to be a table")
    if is_jsonl(data):
        return _jsonl_of(data)
    rows = objects_of_json(json.loads(data))
    fields = [{name: value for name, value in row.items() if value is not None} for row in rows]
    columns = {name: column_of([row.get(name) for row in fields]) for row in fields for name in row}
    return Rows(pa.table(columns), np.arange(1, len(rows) + 1), note=encoding)


def is_jsonl(data: bytes) -> bool:
    """Tell whether JSON is an object a line, as some tools write it under the name of JSON."""
    first, _, rest = data.lstrip().partition(b"\n")
    try:
        return bool(rest.lstrip().startswith(b"{")) and isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


def objects_of_json(tree: Any) -> list[dict[str, Any]]:
    """Return the rows of a table in JSON; raises ValueError where there is none."""
    if isinstance(tree, list) and tree and all(isinstance(row, dict) for row in tree):
        return tree
    if isinstance(tree, list) and tree and all(isinstance(row, list) and len(row) == PAIR for row in tree):
        return [{"filepath": name, "label": label} for name, label in tree]
    if not isinstance(tree, dict) or not tree:
        raise ValueError("neither a list of objects nor an object of columns")
    if set(tree) >= {"columns", "data"}:
        return [dict(zip(tree["columns"], row, strict=False)) for row in tree["data"]]
    if len(tree) == 1 or {"data", "labels", "rows"} & set(tree):
        inner = next((tree[name] for name in ("data", "rows", "labels") if name in tree), next(iter(tree.values())))
        if isinstance(inner, list) and inner and isinstance(inner[0], dict | list):
            return objects_of_json(inner)
    return _of_columns(tree) if "filepath" in tree or not _by_name(tree) else _named_rows(tree)


def _by_name(tree: dict[str, Any]) -> bool:
    """Tell whether the keys of an object are names of files."""
    return sum("." in name for name in tree) > len(tree) / 2


def _named_rows(tree: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"filepath": name, **(value if isinstance(value, dict) else {"label": value})} for name, value in tree.items()
    ]


def _of_columns(tree: dict[str, Any]) -> list[dict[str, Any]]:
    columns = {name: column for name, column in tree.items() if isinstance(column, list | dict)}
    keys = list(
        dict.fromkeys(key for one in columns.values() for key in (one if isinstance(one, dict) else range(len(one))))
    )
    lists = {name: one if isinstance(one, dict) else dict(enumerate(one)) for name, one in columns.items()}
    return [{name: one.get(key) for name, one in lists.items()} for key in keys]


def _read_xlsx(path: Path) -> Rows:
    """Return the first sheet of a workbook."""
    try:
        import openpyxl
    except ImportError:
        raise ValueError("to read Excel files install brain-assets[excel], or save the sheet as CSV") from None
    with open_local(path) as handle:
        sheet = openpyxl.load_workbook(handle, read_only=True, data_only=True).worksheets[0]
        numbered = [(line, list(row)) for line, row in enumerate(sheet.iter_rows(values_only=True), 1)]
    rows = [(line, row) for line, row in numbered if any(value is not None for value in row)]
    rows = rows[_titles([row for _, row in rows[:TITLES]]) :]
    names = [
        str(name) if name is not None else f"column {place}" for place, name in enumerate(rows[0][1] if rows else [])
    ]
    columns = [column_of([row[place] for _, row in rows[1:]]) for place in range(len(names))]
    return Rows(pa.table(columns, names=names), np.array([line for line, _ in rows[1:]], np.int64))


def _titles(rows: Sequence[Sequence[Any]]) -> int:
    """Return how many rows of one cell, filled up to the width of the others, stand above the names of columns."""
    above = next((place for place, row in enumerate(rows) if sum(map(_is_filled, row)) > 1), 0)
    as_wide = len({len(row) for row in rows[: above + 2] if row}) == 1 and len(rows) > above + 1
    titles = all(not any(map(_is_filled, row[1:])) for row in rows[:above])
    return above if as_wide and titles and not any(map(_is_value, rows[above])) else 0


def _is_filled(value: Any) -> bool:
    return value is not None and value != ""


def _is_value(value: Any) -> bool:
    """Tell whether a cell holds what no column is called."""
    return _is_filled(value) and (_number(value) is not None or is_image_name(str(value)))


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


def _read_jsonl_by_line(data: bytes) -> Rows:
    """Return the rows of a file that has broken lines, or values of several types."""
    values: list[dict[str, Any]] = []
    lines, rejected = [], []
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            values.append(_values_of(line))
            lines.append(number)
        except Exception as error:  # noqa: BLE001 - texts are damaged in any way, and each costs its own line
            rejected.append(Rejected(number, "unreadable", _one_line(error)))
    names = dict.fromkeys(name for row in values for name in row)
    columns = {name: column_of([row.get(name) for row in values]) for name in names}
    return Rows(pa.table(columns), np.array(lines, np.int64), rejected)


def _values_of(line: bytes) -> dict[str, Any]:
    """Return the values of a line, such as columns can hold; raises anything where it is damaged."""
    row = json.loads(line.decode())
    if not isinstance(row, dict):
        raise TypeError("not an object")
    for name, value in row.items():
        json.dumps([name, value], ensure_ascii=False).encode()
    return {name: value for name, value in row.items() if value is not None}


def column_of(values: Sequence[Any]) -> pa.Array:
    """Return values as an array; as texts where they are of several types."""
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, ValueError, TypeError):
        return pa.array(
            [value if value is None or isinstance(value, str) else json.dumps(value) for value in values], pa.string()
        )


READERS: Mapping[str, Callable[[Path], Rows]] = {
    "csv": _read_csv,
    "tsv": _read_csv,
    "parquet": _read_parquet,
    "jsonl": _read_jsonl,
    "ndjson": _read_jsonl,
    "json": _read_json,
    "xlsx": _read_xlsx,
}


FROM_BYTES: Mapping[str, Callable[[bytes], Rows]] = {
    "csv": _csv_of,
    "tsv": _csv_of,
    "jsonl": _jsonl_of,
    "ndjson": _jsonl_of,
}


def keys(rows: Rows) -> pa.Array:
    """Return what names each row's sample: its ``sample_id``, else its ``filepath`` without a leading ``./``.

    Of an address of Label Studio's that is the name before it was uploaded, or the path that it serves.
    """
    import pyarrow.compute as pc

    ids, paths = texts(rows.column("sample_id"), len(rows.lines)), texts(rows.column("filepath"), len(rows.lines))
    return pc.coalesce(ids, pc.replace_substring_regex(paths, SERVED, ""))


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
        return float(_with_point(value) if isinstance(value, str) else value)
    except (TypeError, ValueError, OverflowError):
        return None


def without_point(text: str) -> str:
    """Return a whole number without zeros behind a point, as a column with a gap gives it; other texts as they are.

    Examples
    --------
    >>> without_point("7.0"), without_point("0017"), without_point("7.5")
    ('7', '0017', '7.5')
    """
    whole = WHOLE_NUMBER.fullmatch(text)
    return whole[1] if whole else text


def _with_point(text: str) -> str:
    """Return a number with a decimal comma as Python reads it; one that may as well separate thousands stays as it is."""
    return re.sub(
        r"^(\s*[-+]?(?:0,\d+|\d+,(?!\d{3}\s*$)\d+)(?:[eE][-+]?\d+)?\s*)$", lambda one: one[1].replace(",", "."), text
    )


def _number_list(values: Any) -> list[float] | None:
    found = [_number(value) for value in values] if isinstance(values, list) else [None]
    return None if None in found else [value for value in found if value is not None]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).encode("utf-8", "backslashreplace").decode()[:300] or type(error).__name__
