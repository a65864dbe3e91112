"""What files of one image each say, read one by one and made into one table: a table for each costs more than reading it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from brain_assets.resources.label_formats.annotations import (
    CATEGORY_ROWS,
    IMAGE_ROWS,
    OBJECT_ROWS,
    Annotations,
    Row,
    Together,
)
from brain_assets.resources.label_formats.input_files import InputFile

FILES_AT_ONCE, OBJECTS_AT_ONCE = 4096, 1 << 16
SHARED = {"source", "file", "label_field", "model"}
"""What `Together` knows of all rows of a file."""
OF_IMAGE = {"image_id", "keys"}
OF_OBJECT = {one.name for one in OBJECT_ROWS} - SHARED
Said = Sequence[tuple[InputFile, Annotations]]


def gathered(said: Iterable[tuple[InputFile, Annotations]]) -> Iterator[Together]:
    """Yield what files of one address and folder say of which nothing is unusual; others are left out.

    Parameters
    ----------
    said : iterable of (InputFile, Annotations)
    """
    block, objects = list[tuple[InputFile, Annotations]](), 0
    for file, one in said:
        if not _is_usual(one):
            continue
        block.append((file, one))
        objects += len(one.objects)
        if len(block) >= FILES_AT_ONCE or objects >= OBJECTS_AT_ONCE:
            yield from _made(block)
            block, objects = [], 0
    yield from _made(block)


def _is_usual(said: Annotations) -> bool:
    """Tell whether a file speaks of one image and its objects, and nothing in it is to be listed or told."""
    if said.rejected or said.labels or len(said.images) != 1:
        return False
    [image] = said.images
    of_it = all(one["keys"] is image["keys"] and one["image_id"] == image["image_id"] for one in said.objects)
    known = all(one.keys() <= OF_OBJECT for one in said.objects)
    return of_it and known and _differ(said.objects, "line") and _differ(said.categories, "category")


def _differ(rows: Sequence[Row], name: str) -> bool:
    return len({row[name] for row in rows}) == len(rows)


def _made(said: Said) -> list[Together]:
    """Return files as tables; where one has a value of another kind than its column, by halves, until it stands alone."""
    try:
        return [_together(said)] if said else []
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        half = len(said) // 2
        return [one for part in (said[:half], said[half:]) for one in _made(part)] if half else []


def _together(said: Said) -> Together:
    images = _table([one.images[0] for _, one in said], IMAGE_ROWS)
    rows = [row for _, one in said for row in one.objects]
    text = pa.array(np.repeat(np.arange(len(said)), [len(one.objects) for _, one in said]))
    named = {name: images[name].combine_chunks().take(text) for name in OF_IMAGE}
    sizes = {f"image_{side}": images[side].combine_chunks().take(text) for side in ("width", "height")}
    own = _table(rows, pa.schema([one for one in OBJECT_ROWS if one.name not in OF_IMAGE]))
    objects = pa.table({"text": text, **named, **sizes, **_columns(own)})
    of_class = pa.array(np.repeat(np.arange(len(said)), [len(one.categories) for _, one in said]))
    categories = _table([row for _, one in said for row in one.categories], CATEGORY_ROWS)
    parts = (
        objects,
        pa.table({"text": np.arange(len(said)), **_columns(images)}),
        pa.table({"text": of_class, **_columns(categories)}),
    )
    return Together([file for file, _ in said], parts)


def _table(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    """Return the columns of rows that are a file's own."""
    own = [one for one in schema if one.name not in SHARED]
    return pa.table({one.name: pa.array([row.get(one.name) for row in rows], one.type) for one in own})


def _columns(table: pa.Table) -> dict[str, Any]:
    return {name: table[name] for name in table.column_names}
