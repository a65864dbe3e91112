"""Files of tables: what they say of whole images, or of the objects in them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from brain_assets.resources.column_names import plain
from brain_assets.resources.label_formats.columns import has_boxes
from brain_assets.resources.label_formats.input_files import InputFile, Role
from brain_assets.resources.label_formats.labels import labels_of, named_rows
from brain_assets.resources.label_formats.object_tables import objects_of
from brain_assets.resources.label_formats.predictions import predictions_of
from brain_assets.resources.tabular import Reading, Rows, column_of, read_table

OBJECTS = "objects"
IMAGE_LABELS = {"label", "labels"}
CLASSES = ("category", "categories", "label", "labels", "class", "classes", "name", "names", "category_id", "id")
BOXES = ("bbox", "bboxes", "box", "boxes")


def read_table_file(file: InputFile, form: str, role: Role, classes: Sequence[str]) -> Mapping[str, Reading]:
    """Return what a table says, by the tables of the store that hold it.

    Parameters
    ----------
    file : InputFile
    form : str
        One of `tabular.READERS`.
    role : {"labels", "predictions"}
    classes : sequence of str
        The known classes.

    Returns
    -------
    mapping of str to Reading
        ``label_rows`` or ``prediction_rows``, or where the table has boxes what `object_tables.objects_of` gives.
    """
    given = read_table(file.path, form)
    raw = _exploded(given)
    rows = named_rows(raw, file, role, classes)
    if rows.lines.size and has_boxes(raw.table.column_names, [name for name, _ in file.columns]):
        return {**_of_images(given, file, role, classes), **objects_of(rows, raw.table, file, role, classes)}
    if role == "labels":
        return {"label_rows": labels_of(rows, file, classes)}
    return {"prediction_rows": predictions_of(rows, file, classes)}


def _of_images(rows: Rows, file: InputFile, role: Role, classes: Sequence[str]) -> Mapping[str, Reading]:
    """Return the labels of whole images that a table gives beside a column of their objects."""
    names = {plain(name) for name in rows.table.column_names}
    if role != "labels" or OBJECTS not in names or not names & IMAGE_LABELS:
        return {}
    nested = next(name for name in rows.table.column_names if plain(name) == OBJECTS)
    alone = Rows(rows.table.drop_columns([nested]), rows.lines, list(rows.rejected), rows.note)
    return {"label_rows": labels_of(named_rows(alone, file, role, classes), file, classes)}


def _exploded(rows: Rows) -> Rows:
    """Return one row for each object where a column holds all objects of an image; its line is its number."""
    place = next((place for place, name in enumerate(rows.table.column_names) if plain(name) == OBJECTS), None)
    if place is None or not pa.types.is_nested(rows.table.schema.field(place).type):
        return rows
    others = rows.table.remove_column(place)
    others = others.drop_columns([name for name in others.column_names if plain(name) in {"label", "labels", "bbox"}])
    values = rows.table.column(place).to_pylist()
    found = list(_objects(values))
    if not found:
        return rows
    rows.reject(np.array(list(map(_is_uneven, values)), np.bool_), "objects", "not as many classes as boxes")
    origins, classes, boxes = zip(*found, strict=True)
    table = (
        others.take(pa.array(origins))
        .append_column("label", column_of(classes))
        .append_column("bbox", column_of(boxes))
    )
    return Rows(table, np.arange(1, len(found) + 1), rows.rejected, rows.note)


def _objects(values: Sequence[Any]) -> Iterator[tuple[int, Any, Any]]:
    """Yield the row, class and box of every object; one without either for an image that has none."""
    for row, value in enumerate(values):
        pairs = list(_pairs(value))
        yield from ((row, *pair) for pair in pairs or [(None, None)])


def _pairs(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        classes, boxes = _one_of(value, CLASSES), _one_of(value, BOXES)
        yield from zip(classes or [None] * len(boxes or ()), boxes or (), strict=False)
    elif isinstance(value, list):
        yield from ((_one_of(one, CLASSES), _one_of(one, BOXES)) for one in value if isinstance(one, dict))


def _is_uneven(value: Any) -> bool:
    """Tell whether classes or boxes of an image are left over, which are lost: nobody can tell what they belong to."""
    if not isinstance(value, dict):
        return False
    classes, boxes = _one_of(value, CLASSES), _one_of(value, BOXES)
    return classes is not None and len(classes) != len(boxes or ())


def _one_of(fields: Mapping[str, Any], names: Sequence[str]) -> Any:
    known = {plain(name): value for name, value in fields.items()}
    return next((known[name] for name in names if known.get(name) is not None), None)
