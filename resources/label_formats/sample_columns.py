"""What files of labels say of samples beside their labels: splits, tags, and what belongs together."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import pyarrow as pa

from brain_assets.resources.label_formats.content import Content
from brain_assets.resources.label_formats.door import HoldsColumns, formats
from brain_assets.resources.label_formats.input_files import TABLES, InputFile
from brain_assets.resources.label_formats.labels import named_rows
from brain_assets.resources.label_formats.lists import PARTS_OF
from brain_assets.resources.media.listing import groups_of, split_of, tags_of
from brain_assets.resources.media.splits import FolderSplits
from brain_assets.resources.tabular import Rows, keys, read_table, texts

SAMPLE_COLUMNS = pa.schema([
    ("source", pa.int32()),
    ("file", pa.string()),
    ("folder", pa.string()),
    ("key", pa.string()),
    ("split", pa.string()),
    ("tags", pa.list_(pa.string())),
    ("groups", pa.list_(pa.string())),
])  # fmt: skip


def read_sample_columns(files: Iterable[InputFile], groups: Sequence[str] = ()) -> pa.Table:
    """Return the splits and tags that files of labels give, and what columns called ``groups`` say of belonging together.

    Columns are as in ``SAMPLE_COLUMNS``, later rows counting more.

    What cannot be read is left out here and listed where the labels are read.
    """
    parts = [SAMPLE_COLUMNS.empty_table()]
    # Asked once and not for each file, of which there may be very many.
    members = [one for one in formats().values() if isinstance(one, HoldsColumns)]
    for file in files:
        with suppress(Exception):
            parts.append(_columns_of(file, members, groups))
    return pa.concat_tables(parts)


def _columns_of(file: InputFile, members: Sequence[HoldsColumns], groups: Sequence[str]) -> pa.Table:
    for member in members:
        if member.may_hold_columns(file.path):
            return _told(file, member)
    form = file.suffix[1:] if file.format == "auto" else file.format
    # What is in JSON may be annotations, which would be read twice.
    wanted = f".{form}" in TABLES and form != "json"
    return _sample_columns(file, form, groups) if wanted else SAMPLE_COLUMNS.empty_table()


def _told(file: InputFile, member: HoldsColumns) -> pa.Table:
    constants = {"source": file.source, "file": file.name, "folder": file.folder}
    rows = [
        constants | {"key": row["filepath"], "split": split_of(row["split"]), "tags": row["tags"]}
        for row in member.columns(Content(file.path))
    ]
    return pa.Table.from_pylist(rows, schema=SAMPLE_COLUMNS)


def _sample_columns(file: InputFile, form: str, groups: Sequence[str]) -> pa.Table:
    table = read_table(file.path, form)
    rows = named_rows(table, file, "labels")
    splits, tags = _splits(rows, file), rows.column("tags")
    said = {name: values for name in groups if (values := _called(table.table, name))}
    if not rows.lines.size or (splits is None and tags is None and not said):
        return SAMPLE_COLUMNS.empty_table()
    belongs = [groups_of(dict(zip(said, row, strict=True))) for row in zip(*said.values(), strict=True)]
    columns = [
        *(pa.repeat(pa.scalar(value, kind), len(rows.lines)) for value, kind in _place(file)),
        keys(rows),
        pa.array([split_of(one) for one in texts(splits, len(rows.lines)).to_pylist()], pa.string()),
        pa.array([tags_of(one) for one in _values(tags, len(rows.lines))], pa.list_(pa.string())),
        pa.array(belongs or [[]] * len(rows.lines), pa.list_(pa.string())),
    ]
    return pa.table(columns, schema=SAMPLE_COLUMNS)


def _called(table: pa.Table, name: str) -> list[Any]:
    """Return what a column says of each row, as a list where several columns are called so; nothing without one."""
    columns = [table.column(place).to_pylist() for place, one in enumerate(table.column_names) if one == name]
    return columns[0] if len(columns) == 1 else [list(values) for values in zip(*columns, strict=True)]


def _splits(rows: Rows, file: InputFile) -> pa.Array | None:
    """Return the split of each row: its column's, where that has CelebA's numbers by these, else what the file is called."""
    column, size = rows.column("split"), len(rows.lines)
    if column is None:
        own = FolderSplits([file.path.stem]).of(file.path.stem)
        return pa.repeat(pa.scalar(own), size) if own else None
    values = texts(column, size).to_pylist()
    numbered = all(one in PARTS_OF for one in values)
    return pa.array([PARTS_OF[str(one)] for one in values], pa.string()) if numbered else column


def _place(file: InputFile) -> list[tuple[object, pa.DataType]]:
    return [(file.source, pa.int32()), (file.name, pa.string()), (file.folder, pa.string())]


def _values(column: pa.Array | None, size: int) -> list[object]:
    """Return lists as they are, and anything else as text."""
    is_list = column is not None and pa.types.is_list(column.type)
    return list(column.to_pylist() if is_list else texts(column, size).to_pylist())  # type: ignore[union-attr]
