"""Predictions in tables: what a model says of which sample, and how sure it is."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.resources.label_formats.input_files import InputFile
from brain_assets.resources.label_formats.labels import (
    last_of_each,
    one_each,
    unknown_classes,
    with_constants,
)
from brain_assets.resources.label_formats.scores import Mask, Scores, read_scores
from brain_assets.resources.label_formats.vocabulary import class_lists, class_names
from brain_assets.resources.tabular import (
    Reading,
    Rows,
    as_text,
    column_of,
    keys,
    number_lists,
    numbers,
    text_lists,
    texts,
)

BUILTIN = "builtin"
"""A reserved name: the model that the dataset's own labels are fitted with."""
PREDICTION_ROWS = pa.schema([
    ("source", pa.int32()),
    ("file", pa.string()),
    ("model", pa.string()),
    ("label_field", pa.string()),
    ("key", pa.string()),
    ("line", pa.int64()),
    ("labels", pa.list_(pa.string())),
    ("confidences", pa.list_(pa.float64())),
    ("logits", pa.list_(pa.float32())),
    ("is_probability", pa.bool_()),
    ("created_at", pa.timestamp("us")),
])  # fmt: skip


def predictions_of(rows: Rows, file: InputFile, classes: Sequence[str]) -> Reading:
    """Return the predictions of whole images, and the rows that cannot be used.

    Parameters
    ----------
    rows : Rows
        They have ``filepath`` or ``sample_id``, and ``label`` (or ``labels``), ``confidence``, ``logits`` or
        ``probabilities``; optionally ``model`` (else the address' or the file's stem), ``label_field``, ``classes`` and
        ``created_at``. With scores over the classes, a label or confidence that is missing is that of the highest.
    file : InputFile
    classes : sequence of str
        The dataset's classes: the order of the scores, unless the file has its own.

    Returns
    -------
    Reading
        Columns as in ``PREDICTION_ROWS``, one row per model, field and key.
    """
    import pyarrow.compute as pc

    if not rows.lines.size:
        return Reading(PREDICTION_ROWS.empty_table(), rows.rejected, note=rows.note)
    known = keys(rows).is_valid().to_numpy(zero_copy_only=False)
    rows.reject(~known, "no_key", "neither filepath nor sample_id")
    rows = rows.keep(known)
    size, order = len(rows.lines), _classes(rows, classes)
    scores, rows_right = read_scores(rows, order)
    labels, labelled = _labels(rows, scores, order)
    confidences, sure = _confidences(rows, scores, labels)
    model = pc.coalesce(texts(rows.column("model"), size), pa.scalar(file.model or file.path.stem))
    field = pc.coalesce(texts(rows.column("label_field"), size), pa.scalar(file.field))
    taken = pc.equal(model, BUILTIN).to_numpy(zero_copy_only=False)
    rows.reject(
        taken,
        "reserved",
        f"{BUILTIN} is the model that is fitted here: name yours otherwise, in the file or by its name",
    )
    right = rows_right & labelled & sure & ~taken
    last = last_of_each(pc.binary_join_element_wise(model, field, keys(rows), "\0"), right)
    rows.reject(right & ~last, "duplicate", "a later row of this file names the same sample")
    columns = {
        "key": keys(rows), "model": model, "label_field": field, "line": rows.lines, "labels": labels,
        "confidences": confidences, "logits": scores.lists, "created_at": _times(rows),
    }  # fmt: skip
    constants = {"source": file.source, "file": file.name, "is_probability": scores.probable}
    table = with_constants(pa.table(columns).filter(pa.array(last)), constants, PREDICTION_ROWS)
    return Reading(table, rows.rejected, order or None, rows.note)


def predicted_rows(labels: Iterable[Mapping[str, Any]]) -> Rows:
    """Return what annotations say of whole images, as rows of `Annotations.labels`, in the columns of a table of predictions."""
    said = list(labels)
    several = any(len(one["labels"]) > 1 for one in said)
    listed = {"labels": "labels", "confidences": "confidences"}
    alone = {"label": "labels", "confidence": "confidences"}
    columns: dict[str, Any] = {
        name: column_of([one[own] if several else one[own][0] for one in said])
        for name, own in (listed if several else alone).items()
    }
    for name in ("logits", "classes"):
        if any(name in one for one in said):
            columns[name] = column_of([one.get(name) for one in said])
    table = pa.table({"filepath": pa.array([one["key"] for one in said], pa.string()), **columns})
    return Rows(table, np.array([one["line"] for one in said], np.int64))


def _classes(rows: Rows, classes: Sequence[str]) -> list[str]:
    """Return the order of the scores: the file's own, which is the same in each row, else the dataset's."""
    own = text_lists(rows.column("classes"), len(rows.lines))
    given = own.drop_null()
    return class_names(given[0].values, classes).to_pylist() if len(given) else list(classes)


def _labels(rows: Rows, scores: Scores, classes: Sequence[str]) -> tuple[pa.Array, Mask]:
    """Return the predicted classes, and which rows have known ones; the highest score's where none are given."""
    import pyarrow.compute as pc

    size = len(rows.lines)
    several = rows.column("labels")
    given = one_each(texts(rows.column("label"), size)) if several is None else text_lists(several, size)
    if rows.column("label") is not None and pa.types.is_list(rows.column("label").type):  # type: ignore[union-attr]
        given = text_lists(rows.column("label"), size)
    if classes and scores.matrix.shape[1] == len(classes):
        best = np.zeros(size, np.int64)
        best[scores.known] = np.nan_to_num(scores.matrix, nan=-np.inf).argmax(axis=1)
        top = pa.array(classes, pa.string()).take(pa.array(best, mask=~scores.known))
        given = pc.coalesce(given, one_each(top))
    given = class_lists(given, classes)
    missing = given.is_null().to_numpy(zero_copy_only=False)
    rows.reject(missing, "no_label", "no label, and no scores whose classes are known")
    unknown = unknown_classes(given, classes)
    rows.reject(unknown, "unknown_class", "not among the classes")
    return given, ~missing & ~unknown


def _confidences(rows: Rows, scores: Scores, labels: pa.Array) -> tuple[pa.Array, Mask]:
    """Return one confidence per predicted class; that of the highest score where none is given."""
    import pyarrow.compute as pc

    size = len(rows.lines)
    column = rows.column("confidences") if rows.column("confidences") is not None else rows.column("confidence")
    counts = pc.fill_null(pc.list_value_length(labels), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    if column is not None and (pa.types.is_list(column.type) or (counts > 1).any()):
        lists, malformed = number_lists(column, size)
        lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
        single = (lengths == 1) & (counts > 1)
        bad = malformed | (lists.is_valid().to_numpy(zero_copy_only=False) & (lengths != counts) & ~single)
        lists = pc.if_else(pa.array(bad | single), None, lists)
        values = np.full(int(counts.sum()), np.nan)
        filled = np.repeat(lists.is_valid().to_numpy(zero_copy_only=False), counts)
        values[filled] = lists.drop_null().flatten().to_numpy(zero_copy_only=False)
        if single.any():
            alone, _ = number_lists(column, size)
            values[np.repeat(single, counts)] = np.repeat(
                alone.filter(pa.array(single)).flatten().to_numpy(zero_copy_only=False), counts[single]
            )
    else:
        one, bad = numbers(column, size)
        values = np.repeat(_or_highest(one, scores), counts)
    outside = np.zeros(size, bool)
    parents = np.repeat(np.arange(size), counts)
    outside[parents[(values < 0) | (values > 1)]] = True
    rows.reject(bad | outside, "confidence", "not a number in [0, 1], or not one for each label")
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, values), ~bad & ~outside


def _or_highest(confidence: NDArray[np.float64], scores: Scores) -> NDArray[np.float64]:
    """Return confidences, the softmax of the highest score where there is none."""
    if not scores.known.any():
        return confidence
    with np.errstate(invalid="ignore", over="ignore"):
        highest = scores.matrix.max(axis=1, keepdims=True)
        best = np.full(len(confidence), np.nan)
        best[scores.known] = 1 / np.exp(scores.matrix - highest).sum(axis=1)
    return np.where(np.isnan(confidence), best, confidence)


def _times(rows: Rows) -> pa.Array:
    """Return when each prediction was made, NULL where nothing readable says so."""
    column, kind = rows.column("created_at"), pa.timestamp("us")
    if column is None:
        return pa.nulls(len(rows.lines), kind)
    try:
        if pa.types.is_string(column.type):
            column = column.cast(pa.timestamp("us", "UTC"))
        return column.cast(kind)
    except pa.ArrowException:
        parsed = [_time(value) for value in as_text(column).to_pylist()]
        return pa.array(parsed, kind)


def _time(text: str | None) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return found.astimezone(UTC).replace(tzinfo=None) if found and found.tzinfo else found
