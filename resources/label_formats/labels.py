"""Labels in tables: which classes a file gives which sample."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.resources.column_names import NAMES
from brain_assets.resources.label_formats.columns import recognised
from brain_assets.resources.label_formats.input_files import InputFile, Role
from brain_assets.resources.label_formats.vocabulary import class_lists, class_names
from brain_assets.resources.tabular import (
    WHOLE_FILE,
    Reading,
    Rejected,
    Rows,
    keys,
    read_table,
    text_lists,
    texts,
    unreadable,
)

DEFAULT_FIELD = "ground_truth"
LABEL_ROWS = pa.schema([
    ("source", pa.int32()),
    ("file", pa.string()),
    ("label_field", pa.string()),
    ("key", pa.string()),
    ("line", pa.int64()),
    ("labels", pa.list_(pa.string())),
    ("multilabel", pa.bool_()),
])  # fmt: skip


def labels_of(rows: Rows, file: InputFile, classes: Sequence[str]) -> Reading:
    """Return the labels of whole images, and the rows that cannot be used.

    Parameters
    ----------
    rows : Rows
        They name their sample and its class, or several classes, in columns as `columns.NAMES` has them; a column that is named
        like the field of labels comes first.
    file : InputFile
    classes : sequence of str
        The known classes; any is known when empty.

    Returns
    -------
    Reading
        Columns as in ``LABEL_ROWS``, one row per key.
    """
    name = next((name for name in ("label", "labels") if name in rows.table.column_names), None)
    # Of which split an image is may stand in a file of its own.
    if rows.lines.size and name is None and not {"split", "tags"} & set(rows.table.column_names):
        rows.rejected.append(Rejected(WHOLE_FILE, "no_label", f"no column holds a class; {understood('label')}"))
    if not rows.lines.size or name is None:
        return Reading(LABEL_ROWS.empty_table(), rows.rejected, note=rows.note)
    multilabel = name == "labels" or pa.types.is_list(rows.table.schema.field(name).type)
    rows = _with_known_key(rows)
    labels = _labels(rows, name, classes, multilabel=multilabel)
    missing = labels.is_null().to_numpy(zero_copy_only=False)
    rows.reject(missing, "no_label")
    unknown = unknown_classes(labels, classes)
    rows.reject(unknown, "unknown_class", "not among the dataset's classes")
    last = last_of_each(keys(rows), ~missing & ~unknown)
    rows.reject(~missing & ~unknown & ~last, "duplicate", "a later row of this file names the same sample")
    table = pa.table({"key": keys(rows), "line": rows.lines, "labels": labels}).filter(pa.array(last))
    constants = {"source": file.source, "file": file.name, "label_field": file.field, "multilabel": multilabel}
    return Reading(with_constants(table, constants, LABEL_ROWS), rows.rejected, note=rows.note)


def read_rows(file: InputFile, form: str, role: Role, classes: Sequence[str] = ()) -> Rows:
    """Return the rows of a table under the names of columns that readers know; none, and why, where no sample is named."""
    return named_rows(read_table(file.path, form), file, role, classes)


def named_rows(rows: Rows, file: InputFile, role: Role, classes: Sequence[str] = ()) -> Rows:
    """Return the rows of a table that was read, as `read_rows` does."""
    if not rows.lines.size:
        return Rows(pa.table({}), rows.lines, rows.rejected, rows.note)
    given = rows.table.column_names
    own = {"label": file.field} if file.field != DEFAULT_FIELD and file.field in given else {}
    try:
        rows = recognised(rows, role, {**own, **dict(file.columns)}, classes)
    except Exception as error:  # noqa: BLE001 - columns hold anything, and no file may end a run
        return unreadable(error, rows.rejected)
    if not {"filepath", "sample_id"} & set(rows.table.column_names):
        detail = f"no column names the samples; columns: {', '.join(given)}; {understood('filepath')}"
        return Rows(pa.table({}), rows.lines[:0], [*rows.rejected, Rejected(WHOLE_FILE, "no_key", detail)], rows.note)
    return rows


def understood(name: str) -> str:
    """Return the words that say how a column may be called."""
    return f"understood are {', '.join(NAMES[name][:8])}, or say columns: {{{name}: NAME}} in dataset.yaml"


def _with_known_key(rows: Rows) -> Rows:
    known = keys(rows).is_valid().to_numpy(zero_copy_only=False)
    rows.reject(~known, "no_key", "neither filepath nor sample_id")
    return rows.keep(known)


def _labels(rows: Rows, name: str, classes: Sequence[str], *, multilabel: bool) -> pa.Array:
    column, size = rows.column(name), len(rows.lines)
    if multilabel:
        return class_lists(text_lists(column, size), classes)
    return one_each(class_names(texts(column, size), classes))


def one_each(values: pa.Array) -> pa.Array:
    """Return lists of one value each, NULL where the value is NULL."""
    import pyarrow.compute as pc

    offsets = pa.array(np.arange(len(values) + 1, dtype=np.int32))
    lists = pa.ListArray.from_arrays(offsets, values)
    return pc.if_else(values.is_null(), None, lists)


def unknown_classes(labels: pa.Array, classes: Sequence[str]) -> NDArray[np.bool_]:
    """Return which lists name a class that is not among the known ones."""
    import pyarrow.compute as pc

    wrong = np.zeros(len(labels), bool)
    if classes:
        known = pc.is_in(pc.list_flatten(labels), value_set=pa.array(classes, pa.string())).to_numpy(
            zero_copy_only=False
        )
        wrong[pc.list_parent_indices(labels).to_numpy(zero_copy_only=False)[~known]] = True
    return wrong


def last_of_each(names: pa.Array, among: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which rows are the last of their name, of those that count at all."""
    positions = np.flatnonzero(among)
    codes = names.dictionary_encode().indices.to_numpy(zero_copy_only=False)[positions]
    _, first = np.unique(codes[::-1], return_index=True)
    last = np.zeros(len(among), bool)
    last[positions[::-1][first]] = True
    return last


def with_constants(table: pa.Table, constants: dict[str, object], schema: pa.Schema) -> pa.Table:
    """Return a table in the form of a schema, some columns of which hold one value throughout."""
    columns = [
        pa.repeat(pa.scalar(constants[field.name], field.type), table.num_rows)
        if field.name in constants
        else table.column(field.name).cast(field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)
