"""Tables with a box in every row (Open Images, Roboflow, fastdup, COCO-like columns): objects as annotations give them."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.resources.column_names import plain
from brain_assets.resources.label_formats.annotations import GROUND_TRUTH, IMAGE_ROWS, OBJECT_ROWS, PREDICTED_ROWS
from brain_assets.resources.label_formats.columns import CENTRES, CORNERS, EDGES, LISTS, TURNED
from brain_assets.resources.label_formats.input_files import InputFile, Role
from brain_assets.resources.label_formats.labels import with_constants
from brain_assets.resources.label_formats.vocabulary import class_names
from brain_assets.resources.tabular import Reading, Rows, keys, number_lists, numbers, texts

Numbers = NDArray[np.float64]
SIZES = (("image_width", "image_height"), ("img_width", "img_height"), ("width", "height"), ("img_w", "img_h"))
CROWD = ("iscrowd", "is_crowd", "isgroupof", "is_group_of")
UNNAMED = "object"
"""The class of objects in tables that have none."""
RELATIVE = 1.01
"""Boxes of which no number is larger are parts of their image."""


def objects_of(
    rows: Rows, raw: pa.Table, file: InputFile, role: Role, classes: Sequence[str] = ()
) -> Mapping[str, Reading]:
    """Return the objects that rows place, and the images that they speak of.

    Parameters
    ----------
    rows : Rows
        Under the names of columns that readers know.
    raw : pyarrow.Table
        The same rows under the file's names.
    file : InputFile
    role : {"labels", "predictions"}
    classes : sequence of str
        The known classes, for numbers that are indices.

    Returns
    -------
    mapping of str to Reading
        ``label_objects`` and ``label_images``, or ``prediction_objects``.
    """
    places = {plain(name): place for place, name in enumerate(raw.column_names)}
    places |= {name: raw.column_names.index(given) for name, given in file.columns if given in raw.column_names}
    boxes = _Boxes(rows, places, raw)
    size = len(rows.lines)
    geometry, given, polygons = boxes.geometry()
    named = keys(rows)
    labels = class_names(texts(rows.column("label"), size), classes)
    if rows.column("label") is None:
        labels = pa.array([UNNAMED] * size, pa.string())
    confidence, unsure = numbers(rows.column("confidence"), size)
    confidence = np.where((confidence < 0) | (confidence > 1) | (role == "labels"), np.nan, confidence)
    known = named.is_valid().to_numpy(zero_copy_only=False)
    labelled = labels.is_valid().to_numpy(zero_copy_only=False)
    wrong = ~np.isfinite(geometry).all(axis=1)
    rows.reject(~known, "no_key", "no column names its image")
    rows.reject(known & given & wrong, "box", "not four numbers")
    rows.reject(known & given & ~wrong & ~labelled, "no_label")
    unsure = (np.isnan(confidence) | unsure) if role == "predictions" else np.zeros(size, bool)
    rows.reject(known & given & ~wrong & labelled & unsure, "confidence", "not a number in [0, 1]")
    usable = known & given & ~wrong & labelled & ~unsure
    relative = bool(usable.any() and np.abs(geometry[usable]).max() <= RELATIVE)
    sizes = boxes.sizes()
    columns = {
        "image_width": pa.array(sizes[:, 0], from_pandas=True), "image_height": pa.array(sizes[:, 1], from_pandas=True),
        "line": rows.lines, "keys": _one_key(named), "image_id": named, "label": labels,
        "confidence": pa.array(confidence, from_pandas=True), "polygon": polygons, "iscrowd": boxes.crowds(),
        **{name: geometry[:, place] for place, name in enumerate(("x", "y", "width", "height"))},
    }  # fmt: skip
    constants = {
        "source": file.source, "file": file.name, "label_field": file.field,
        "model": GROUND_TRUTH if role == "labels" else file.model or file.path.stem, "annotation": None,
        "category": None, "logits": None, "relative": relative,
    }  # fmt: skip
    schema = OBJECT_ROWS if role == "labels" else PREDICTED_ROWS
    objects = with_constants(pa.table(columns).filter(pa.array(usable)), constants, schema)
    reading = Reading(objects, rows.rejected, note=rows.note)
    if role == "predictions":
        return {"prediction_objects": reading}
    images = _images(named, sizes, known, file)
    return {"label_objects": reading, "label_images": Reading(images, [])}


def _one_key(named: pa.Array) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(np.arange(len(named) + 1, dtype=np.int32)), named)


def _images(named: pa.Array, sizes: Numbers, known: NDArray[np.bool_], file: InputFile) -> pa.Table:
    """Return one row for each image that is named, with or without objects."""
    codes = named.dictionary_encode().indices.to_numpy(zero_copy_only=False)
    places = np.flatnonzero(known)
    first = places[np.unique(codes[places], return_index=True)[1]]
    keys_ = named.take(pa.array(first))
    columns = {
        "image_id": keys_, "keys": _one_key(keys_),
        "width": pa.array(sizes[first, 0], from_pandas=True), "height": pa.array(sizes[first, 1], from_pandas=True),
    }  # fmt: skip
    constants = {"source": file.source, "file": file.name, "label_field": file.field}
    return with_constants(pa.table(columns), constants, IMAGE_ROWS)


def _any_given(numbers_: Numbers) -> NDArray[np.bool_]:
    """Return the rows in which any number is given."""
    return np.asarray((~np.isnan(numbers_)).any(axis=1), np.bool_)


class _Boxes:
    """The columns of boxes of a table."""

    def __init__(self, rows: Rows, places: Mapping[str, int], raw: pa.Table) -> None:
        self.size, self.places, self.raw = len(rows.lines), dict(places), raw

    def geometry(self) -> tuple[Numbers, NDArray[np.bool_], pa.Array]:
        """Return left, top, width and height (n, 4), which rows give any of them, and outlines where there are some."""
        outlines = pa.nulls(self.size, pa.list_(pa.list_(pa.float64())))
        if self._has(TURNED):
            return self._turned()
        if (found := self._way(CORNERS)) is not None:
            box: Numbers = np.concatenate([found[:, :2], found[:, 2:] - found[:, :2]], axis=1)
        elif (found := self._way(CENTRES)) is not None:
            box = np.concatenate([found[:, :2] - found[:, 2:] / 2, found[:, 2:]], axis=1)
        elif (found := self._way(EDGES)) is not None:
            box = found
        else:
            box = found = self._lists()
        return box, _any_given(found), outlines

    def sizes(self) -> Numbers:
        """Return width and height of each row's image, NaN where the file does not say."""
        used = {"width", "height"} if not self._has_any(CORNERS) and not set(LISTS) & set(self.places) else set()
        for way in SIZES:
            if self._has(way) and not used & set(way):
                return self._matrix(way)
        return np.full((self.size, 2), np.nan)

    def crowds(self) -> NDArray[np.bool_]:
        """Return whether each row's box marks a crowd."""
        name = next((name for name in CROWD if name in self.places), None)
        return np.zeros(self.size, bool) if name is None else np.nan_to_num(self._numbers(name)) == 1

    def _turned(self) -> tuple[Numbers, NDArray[np.bool_], pa.Array]:
        corners = self._matrix(TURNED)
        across, down = corners[:, ::2], corners[:, 1::2]
        left, top = across.min(axis=1), down.min(axis=1)
        box: Numbers = np.stack([left, top, across.max(axis=1) - left, down.max(axis=1) - top], axis=1)
        rings = [[row.tolist()] if np.isfinite(row).all() else None for row in corners]
        return box, _any_given(corners), pa.array(rings, pa.list_(pa.list_(pa.float64())))

    def _lists(self) -> Numbers:
        name = next((name for name in LISTS if name in self.places), None)
        box = np.full((self.size, 4), np.nan)
        if name is None:
            return box
        lists, _ = number_lists(self._column(name), self.size)
        for row, values in enumerate(lists.to_pylist()):
            if values is not None and len(values) == box.shape[1]:
                box[row] = values
            elif values:
                box[row, 0] = np.inf
        return box

    def _way(self, ways: Sequence[Sequence[str]]) -> Numbers | None:
        way = next((way for way in ways if self._has(way)), None)
        return None if way is None else self._matrix(way)

    def _has(self, names: Sequence[str]) -> bool:
        return set(names) <= set(self.places)

    def _has_any(self, ways: Sequence[Sequence[str]]) -> bool:
        return any(self._has(way) for way in ways)

    def _matrix(self, names: Sequence[str]) -> Numbers:
        return np.stack([self._numbers(name) for name in names], axis=1)

    def _numbers(self, name: str) -> Numbers:
        values, wrong = numbers(self._column(name), self.size)
        return np.where(wrong & np.isnan(values), np.inf, values)

    def _column(self, name: str) -> pa.Array:
        column = self.raw.column(self.places[name]).combine_chunks()
        return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
