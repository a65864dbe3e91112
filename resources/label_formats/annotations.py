"""What files say of objects: the rows that every format of annotations is read into, in the files' own units."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import PurePath, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa

from brain_assets.resources.label_formats.content import line_of
from brain_assets.resources.label_formats.input_files import InputFile
from brain_assets.resources.label_formats.labels import DEFAULT_FIELD, LABEL_ROWS
from brain_assets.resources.label_formats.scores import read_scores
from brain_assets.resources.tabular import Reading, Rejected, Rows, column_of

OBJECT_ROWS = pa.schema([
    ("source", pa.int32()),
    ("file", pa.string()),
    ("label_field", pa.string()),
    ("model", pa.string()),
    ("line", pa.int64()),
    ("keys", pa.list_(pa.string())),
    ("image_id", pa.string()),
    ("annotation", pa.string()),
    ("label", pa.string()),
    ("category", pa.string()),
    ("confidence", pa.float64()),
    ("x", pa.float64()),
    ("y", pa.float64()),
    ("width", pa.float64()),
    ("height", pa.float64()),
    ("polygon", pa.list_(pa.list_(pa.float64()))),
    ("logits", pa.list_(pa.float32())),
    ("iscrowd", pa.bool_()),
    ("relative", pa.bool_()),
])  # fmt: skip
# What models say of objects has the size of the picture that their numbers are of, where the file tells it; of labels images do.
PREDICTED_ROWS = OBJECT_ROWS.append(pa.field("image_width", pa.float64())).append(
    pa.field("image_height", pa.float64())
)
IMAGE_ROWS = pa.schema([
    ("source", pa.int32()),
    ("file", pa.string()),
    ("label_field", pa.string()),
    ("image_id", pa.string()),
    ("keys", pa.list_(pa.string())),
    ("width", pa.float64()),
    ("height", pa.float64()),
])  # fmt: skip
CATEGORY_ROWS = pa.schema([
    ("source", pa.int32()),
    ("file", pa.string()),
    ("category", pa.string()),
    ("name", pa.string()),
])  # fmt: skip

SCORES = ("logits", "probabilities")
# Folders of labels, and what the folder of their images is called beside them; matched whatever the case.
SIBLINGS = {
    "labels": "images", "annotations": "images", "Annotations": "JPEGImages", "label_2": "image_2", "labelTxt": "images",
}  # fmt: skip

Row = dict[str, Any]


class Unusable(Exception):
    """Why an entry of a file is not used: a short reason, and what was found."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)


@dataclass
class Annotations:
    """What a file says of objects.

    Attributes
    ----------
    objects, images, categories : list of dict
        Columns as in ``OBJECT_ROWS``, ``IMAGE_ROWS`` and ``CATEGORY_ROWS``, those of the file itself left out.
    labels : dict of dict
        Of whole images, by what names them: ``line``, ``key``, ``labels``, of a model also ``confidences``, and perhaps
        ``logits`` with the ``classes`` that they are of.
    rejected : list of Rejected
        Its line is the number of the annotation, from 1.
    """

    objects: list[Row] = field(default_factory=list)
    images: list[Row] = field(default_factory=list)
    categories: list[Row] = field(default_factory=list)
    labels: dict[str, Row] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)

    def add_image(self, image_id: str, keys: list[str], size: Sequence[Any] = (None, None)) -> None:
        """Add an image of which the file speaks; a width or height of 0, or that is no number, is not known."""
        width, height = (number_of(side) or None for side in size)
        self.images.append({"image_id": image_id, "keys": keys, "width": width, "height": height})

    def add_label(
        self, line: int, key: str, labels: list[str], confidence: float | None = None, **scores: Sequence[Any]
    ) -> None:
        """Add classes of a whole image, to those that it has already; ``scores`` are ``logits``, and the ``classes`` of these."""
        row = self.labels.setdefault(key, {"line": line, "key": key, "labels": [], "confidences": []})
        row["labels"] += labels
        row["confidences"] += [math.nan if confidence is None else confidence] * len(labels)
        row |= scores

    def add(self, line: int, row: Row) -> None:
        """Add an object.

        Parameters
        ----------
        line : int
            Its number in the file, no other's.
        row : dict
            ``keys`` and ``image_id`` of its image, its ``label``, or ``category`` where another file names that, a ``box``
            (x, y, width, height), or a ``polygon`` that has one around it; perhaps ``confidence``, ``annotation``,
            ``iscrowd``, and ``relative`` where lengths are parts of the image's.

        Raises
        ------
        Unusable
            If there is no label, or the box or the confidence is none.
        """
        box = row.pop("box", None) or []
        fault = box_fault(box)
        if row.get("polygon") and (fault or not (box[2] > 0 and box[3] > 0)):
            box = around(row["polygon"])
            fault = box_fault(box)
        if not row.get("label") and row.get("category") is None:
            raise Unusable("no_label")
        if fault := fault or confidence_fault(row.get("confidence"), needed=False):
            raise Unusable(*fault)
        x, y, width, height = box
        placed = {"x": x, "y": y, "width": width, "height": height}
        self.objects.append({"line": line, "iscrowd": False, "relative": False, **row, **placed})

    def each(self, entries: Iterable[tuple[int, Any]], add: Callable[[int, Any], None]) -> None:
        """Add every entry with its number; one that is not as it should be costs itself only, and is listed."""
        for line, entry in entries:
            try:
                add(line, entry)
            except Unusable as fault:
                self.rejected.append(Rejected(line, *fault.args))
            except Exception as error:  # noqa: BLE001 - entries are damaged in any way
                self.rejected.append(Rejected(line, "unreadable", line_of(error)))

    def readings(self, file: InputFile, model: str, tables: Sequence[str]) -> dict[str, Reading]:
        """Return the rows of ``tables``: those of objects, and where wanted of images and of categories."""
        constants = {"source": file.source, "file": file.name, "label_field": file.field, "model": model}
        if model == GROUND_TRUTH:
            # People's classes are called by their numbers where nobody names them; those of models may be named elsewhere.
            self.objects = [one if one.get("label") else one | {"label": one["category"]} for one in self.objects]
        else:
            sizes = {
                one["image_id"]: {"image_width": one["width"], "image_height": one["height"]} for one in self.images
            }
            self.objects = [sizes.get(one.get("image_id"), {}) | one for one in self.objects]
        rows = (self.objects, self.images, self.categories)
        found = {
            table: Reading(_table([constants | row for row in part], schema), [])
            for (table, schema), part in zip(iter_names(tables), rows, strict=False)
        }
        found[tables[0]] = Reading(found[tables[0]].table, self.rejected)
        return found


@dataclass(frozen=True)
class Together:
    """What many files of one address and folder say of objects, read in one pass; none of them has a fault.

    Attributes
    ----------
    files : sequence of InputFile
    parts : sequence of pyarrow.Table
        Of objects, images and categories, in the columns that are known, with ``text``, the position of the file.
    """

    files: Sequence[InputFile]
    parts: Sequence[pa.Table]

    def tables(self, model: str, tables: Sequence[str]) -> dict[str, pa.Table]:
        """Return the rows of ``tables``: those of objects, and where wanted of images and of categories."""
        names = pa.array([one.name for one in self.files], pa.string())
        constants = {"label_field": self.files[0].field, "model": model}
        source = self.files[0].source
        return {
            table: _completed(part, {"source": source, **constants}, names, schema)
            for part, (table, schema) in zip(self.parts, iter_names(tables), strict=False)
        }


def _completed(part: pa.Table, constants: Row, names: pa.Array, schema: pa.Schema) -> pa.Table:
    """Return a table in the columns of a schema: its own, the names of files, what all rows have, else none."""
    given = {name: part[name] for name in part.column_names} | {"file": names.take(part["text"].combine_chunks())}
    if constants["model"] == GROUND_TRUTH and "label" in given:
        given["label"] = named_or(given["label"], given["category"])
    shared = {name: pa.repeat(pa.scalar(value), part.num_rows) for name, value in constants.items()}
    empty = {one.name: pa.nulls(part.num_rows, one.type) for one in schema}
    columns = {**empty, **shared, **given}
    return pa.table([columns[one.name].cast(one.type) for one in schema], schema=schema)


def named_or(names: pa.Array, others: pa.Array) -> pa.Array:
    """Return names, and others where there is none or an empty one."""
    import pyarrow.compute as pc

    return pc.coalesce(pc.if_else(pc.equal(names, ""), None, names), others)


def label_readings(annotations: Annotations, file: InputFile) -> dict[str, Reading]:
    """Return the rows of labels of whole images, where there are any."""
    if not annotations.labels:
        return {}
    several = any(len(one["labels"]) > 1 for one in annotations.labels.values())
    constants = {"source": file.source, "file": file.name, "label_field": file.field, "multilabel": several}
    rows = [constants | {name: one[name] for name in ("line", "key", "labels")} for one in annotations.labels.values()]
    return {"label_rows": Reading(_table(rows, LABEL_ROWS), [])}


def _table(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    """Return rows as a table; of many small files this is most of reading them, and in one step half of it."""
    if not rows:
        return schema.empty_table()
    return pa.Table.from_batches([pa.RecordBatch.from_struct_array(pa.array(rows, pa.struct(list(schema))))])


def scored(annotations: Annotations, classes: Sequence[str]) -> Annotations:
    """Give predicted objects their logits; one whose scores cannot be used is left out, and listed.

    Parameters
    ----------
    annotations : Annotations
        COCO's may have ``logits``, or ``probabilities`` instead, whose logarithms are kept.
    classes : sequence of str
        As many as there must be scores; where none are known, the commonest length of the file counts.
    """
    given = [one.pop("scores", {}) for one in annotations.objects]
    columns = {name: [scores.get(name) for scores in given] for name in SCORES}
    table = pa.table({name: column_of(values) for name, values in columns.items() if values.count(None) < len(values)})
    if table.num_columns:
        rows = Rows(table, np.array([one["line"] for one in annotations.objects]), annotations.rejected)
        scores, right = read_scores(rows, classes)
        logits = scores.lists.to_pylist()
        kept = np.flatnonzero(right).tolist()
        annotations.objects = [annotations.objects[place] | {"logits": logits[place]} for place in kept]
    return annotations


def entries_of(given: Any) -> list[Any]:
    """Return the entries of a list; raises TypeError where it is none."""
    if not isinstance(given, list):
        raise TypeError(f"a list is expected, not a {type(given).__name__}")
    return given


def names_of(name: str) -> list[str]:
    """Return what may name the sample of an annotated file: its path, else its bare name where that is the only one."""
    normal = name.removeprefix("./")
    return [normal, f"//{normal.rsplit('/', 1)[-1]}"]


def names_beside(path: PurePath) -> list[str]:
    """Return what may name the image of a file that is called like it, without suffix.

    In the folder of images beside the last folder of labels above it, beside the file itself, else anywhere.

    Examples
    --------
    >>> names_beside(PurePath("/labels/set/labels/train/7.txt"))
    ['/labels/set/images/train/7', '/labels/set/labels/train/7', '//7']
    """
    stem = path.stem
    return [*(f"{folder}{stem}" for folder in _folders_beside(str(path.parent))), f"//{stem}"]


@lru_cache(maxsize=1024)
def _folders_beside(folder: str) -> list[str]:
    """Return where the images of a folder of labels may lie: in the folder beside it, and in itself; with a slash at the end."""
    *parts, _ = (PurePath(folder) / "-").parts
    found = [place for place, part in enumerate(parts) if part in SIBLINGS]
    beside = PurePath(*parts[: found[-1]], SIBLINGS[parts[found[-1]]], *parts[found[-1] + 1 :]) if found else None
    return [(one / "-").as_posix()[:-1] for one in (*([beside] if beside else []), PurePath(folder))]


def names_told(path: PurePath, name: str) -> list[str]:
    """Return what may name the image of a file that is called like it and names it, too.

    An image beside it goes first. Where the two names differ, as when a file was copied or images were renamed, its own does.
    """
    told, (*beside, bare) = name.strip().replace("\\", "/"), names_beside(path)
    if not told:
        return [*beside, bare]
    same = PurePosixPath(told).stem == path.stem
    return [*beside, *names_of(told), bare] if same else [*beside, bare, *names_of(told)]


def box_fault(box: Sequence[float | None]) -> tuple[str, str] | None:
    """Return why a box is none, or None; whether it has an area is seen where it is placed in its picture."""
    if len(box) != 4 or any(value is None or not math.isfinite(value) for value in box):
        return "box", "not four numbers"
    return None


def confidence_fault(confidence: float | None, *, needed: bool) -> tuple[str, str] | None:
    """Return why a score cannot be used, or None."""
    wrong = needed if confidence is None else not 0 <= confidence <= 1
    return ("confidence", "score is not a number in [0, 1]") if wrong else None


def number_of(value: Any) -> float | None:
    """Return a finite number, or None where the value is none."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def nan_of(value: Any) -> float:
    """Return a finite number, or NaN where the value is none."""
    number = number_of(value)
    return math.nan if number is None else number


def around(rings: Sequence[Sequence[float]] | None) -> list[float]:
    """Return the box around rings of x and y in turn; empty where there are none."""
    if not rings:
        return []
    across, down = ([value for ring in rings for value in ring[start::2]] for start in (0, 1))
    return [min(across), min(down), max(across) - min(across), max(down) - min(down)]


def rotated(box: Sequence[float], degrees: float, pivot: tuple[float, float] | None = None) -> list[float]:
    """Return the corners of a box that is turned clockwise about its centre, or about another point.

    Parameters
    ----------
    box : x, y, width, height
        In one unit both ways, y downwards.
    degrees : float
    pivot : (x, y), optional

    Examples
    --------
    >>> [round(value, 6) + 0.0 for value in rotated([0, 0, 4, 2], 90)]
    [3.0, -1.0, 3.0, 3.0, 1.0, 3.0, 1.0, -1.0]
    """
    x, y, width, height = box
    across, down = pivot or (x + width / 2, y + height / 2)
    turn = math.radians(degrees)
    corners = ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
    turned = (
        (
            across + (left - across) * math.cos(turn) - (top - down) * math.sin(turn),
            down + (left - across) * math.sin(turn) + (top - down) * math.cos(turn),
        )
        for left, top in corners
    )
    return [value for corner in turned for value in corner]


def ellipse(centre: tuple[float, float], radii: tuple[float, float], degrees: float = 0.0) -> list[float]:
    """Return an ellipse, turned clockwise, as a ring of 64 points."""
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    x, y, turn = radii[0] * np.cos(angles), radii[1] * np.sin(angles), math.radians(degrees)
    across = centre[0] + x * math.cos(turn) - y * math.sin(turn)
    down = centre[1] + x * math.sin(turn) + y * math.cos(turn)
    return [float(value) for value in np.stack([across, down], axis=1).ravel()]


def iter_names(tables: Sequence[str]) -> Iterator[tuple[str, pa.Schema]]:
    """Yield the tables of objects, images and categories with their schemas."""
    objects = PREDICTED_ROWS if tables[0] in PREDICTION_TABLES else OBJECT_ROWS
    yield from zip(tables, (objects, IMAGE_ROWS, CATEGORY_ROWS), strict=False)


LABEL_TABLES = ("label_objects", "label_images", "label_categories")
PREDICTION_TABLES = ("prediction_objects",)
GROUND_TRUTH = DEFAULT_FIELD
"""Who speaks where people do: a reserved name of a model."""
