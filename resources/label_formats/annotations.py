"""Objects in COCO, YOLO and Pascal VOC files, and COCO results: boxes and outlines in the files' own units."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import yaml

from brain_assets.resources.label_formats.input_files import InputFile
from brain_assets.resources.label_formats.labels import DEFAULT_FIELD
from brain_assets.resources.label_formats.scores import read_scores
from brain_assets.resources.local_files import bytes_of
from brain_assets.resources.tabular import WHOLE_FILE, Reading, Rejected, Rows, column_of

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

MOST_ALIASES = 16
SCORES = ("logits", "probabilities")

Row = dict[str, Any]


@dataclass
class Annotations:
    """What a file says of objects.

    Attributes
    ----------
    objects, images, categories : list of dict
        Columns as in ``OBJECT_ROWS``, ``IMAGE_ROWS`` and ``CATEGORY_ROWS``, those of the file itself left out.
    rejected : list of Rejected
        Its line is the number of the annotation, from 1.
    """

    objects: list[Row] = field(default_factory=list)
    images: list[Row] = field(default_factory=list)
    categories: list[Row] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

    def readings(self, file: InputFile, model: str, tables: Sequence[str]) -> dict[str, Reading]:
        """Return the rows of ``tables``: those of objects, and where wanted of images and of categories."""
        constants = {"source": file.source, "file": file.name, "label_field": file.field, "model": model}
        schemas = (OBJECT_ROWS, IMAGE_ROWS, CATEGORY_ROWS)
        rows = (self.objects, self.images, self.categories)
        found = {
            table: Reading(pa.Table.from_pylist([{**constants, **row} for row in part], schema=schema), [])
            for table, schema, part in zip(tables, schemas, rows, strict=False)
        }
        found[tables[0]] = Reading(found[tables[0]].table, self.rejected)
        return found


def read_annotations(file: InputFile, form: str) -> Annotations:
    """Return the objects of a file; what cannot be used is named, not raised.

    Parameters
    ----------
    file : InputFile
    form : {"coco", "yolo", "voc"}
        COCO with images, annotations and categories, or a list of COCO results, which name images and categories by the
        numbers of the label files.
    """
    try:
        return {"coco": _read_coco, "yolo": _read_yolo, "voc": _read_voc}[form](file.path)
    except Exception as error:  # noqa: BLE001 - parsers raise anything, and no file may end a run
        return Annotations(rejected=[Rejected(WHOLE_FILE, "unreadable", _line(error))])


def _line(error: Exception) -> str:
    return text_of(" ".join(f"{type(error).__name__}: {error}".split())[:300])


def text_of(value: Any) -> str:
    """Return a value of a file as valid text; half characters, which JSON can spell, are replaced."""
    if isinstance(value, list | dict):
        raise TypeError("a list or an object where a text is expected")
    return str(value).encode("utf-8", "replace").decode()


def _json(data: bytes) -> Any:
    text = data.decode("utf-8-sig")
    try:
        return json.loads(text)
    except ValueError as error:
        if isinstance(error, json.JSONDecodeError):
            raise
        # Python reads no whole number of more than some thousand digits.
        return json.loads(text, parse_int=float)


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


def _read_coco(path: Path) -> Annotations:
    content = _json(bytes_of(path))
    results = isinstance(content, list)
    tree: Mapping[str, Any] = {"annotations": content} if results else content
    if "annotations" not in tree:
        raise ValueError("there are no annotations: neither COCO nor a list of results")
    found = Annotations()
    keys: dict[str, list[str]] = {}
    for place, image in enumerate(tree.get("images", []), 1):
        try:
            _add_image(found, image, keys)
        except Exception as error:  # noqa: BLE001 - one odd image costs its own objects only
            found.rejected.append(Rejected(WHOLE_FILE, f"image {place}", _line(error)))
    names = {text_of(one["id"]): text_of(one["name"]) for one in tree.get("categories", [])}
    found.categories += [{"category": number, "name": name} for number, name in names.items()]
    for line, one in enumerate(tree["annotations"], 1):
        try:
            reason = _add_coco(found, line, one, (keys, names, results))
        except Exception as error:  # noqa: BLE001 - one odd annotation costs itself only
            reason = "unreadable", _line(error)
        if reason:
            found.rejected.append(Rejected(line, *reason))
    return found


def _add_image(found: Annotations, image: Mapping[str, Any], keys: dict[str, list[str]]) -> None:
    name, number = text_of(image["file_name"]), text_of(image["id"])
    size = {"width": _number(image.get("width")), "height": _number(image.get("height"))}
    keys[number] = names_of(name)
    found.images.append({"image_id": number, "keys": keys[number], **size})


def _add_coco(
    found: Annotations,
    line: int,
    one: Mapping[str, Any],
    known: tuple[Mapping[str, list[str]], Mapping[str, str], bool],
) -> tuple[str, str] | None:
    """Add an annotation, or return why it cannot be used."""
    keys, names, results = known
    if not isinstance(one, dict) or "image_id" not in one or "category_id" not in one:
        return "no_key", "neither image_id nor category_id"
    image, category = text_of(one["image_id"]), text_of(one["category_id"])
    if not results and image not in keys:
        return "no_sample", f"image_id {image} is not among the images"
    if not results and category not in names:
        return "unknown_class", f"category_id {category} is not among the categories"
    polygon = _polygon(one.get("segmentation"))
    box = [_number(value) for value in one.get("bbox") or _around(polygon)]
    confidence = _number(one.get("score"))
    if fault := box_fault(box) or _confidence_fault(confidence, needed=results):
        return fault
    annotation = None if results or one.get("id") is None else text_of(one["id"])
    found.objects.append({
        "line": line, "keys": keys.get(image), "image_id": image, "annotation": annotation,
        "label": names.get(category), "category": category, "confidence": confidence, "polygon": polygon,
        "mask": _mask(one.get("segmentation")), "scores": {name: one.get(name) for name in SCORES},
        "iscrowd": bool(one.get("iscrowd", 0)), "relative": False, **_box(box),
    })  # fmt: skip
    return None


def _polygon(segmentation: Any) -> list[list[float]] | None:
    """Return the rings of a polygon as flat lists of x and y."""
    if not isinstance(segmentation, list) or not segmentation:
        return None
    rings = segmentation if isinstance(segmentation[0], list) else [segmentation]
    usable = [[float(value) for value in ring] for ring in rings if len(ring) >= 6 and len(ring) % 2 == 0]
    return usable or None


def _mask(segmentation: Any) -> Row | None:
    """Return a mask of runs as the file has it: ``size`` and ``counts``."""
    return segmentation if isinstance(segmentation, dict) else None


def _around(polygon: list[list[float]] | None) -> list[float]:
    if not polygon:
        return []
    across, down = ([value for ring in polygon for value in ring[start::2]] for start in (0, 1))
    return [min(across), min(down), max(across) - min(across), max(down) - min(down)]


class _BoundedLoader(yaml.SafeLoader):
    """Reads YAML in which few aliases stand: nested, each level of them multiplies what a file of a few lines holds."""

    aliases = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Return the next node."""
        if self.check_event(yaml.AliasEvent):
            self.aliases += 1
            if self.aliases > MOST_ALIASES:
                raise yaml.YAMLError(f"more than {MOST_ALIASES} aliases")
        return super().compose_node(parent, index)


def _read_yolo(path: Path) -> Annotations:
    """Return the objects of one image: lines of class, centre and size, or class and polygon, relative to the image."""
    if path.suffix.lower() in {".yaml", ".yml"}:
        return Annotations()
    found = Annotations()
    stem = path.with_suffix("").as_posix()
    keys = [stem.replace("/labels/", "/images/"), stem, f"//{path.stem}"]
    found.images.append({"image_id": keys[0], "keys": keys, "width": 1.0, "height": 1.0})
    names = _yolo_names(path)
    for line, text in enumerate(bytes_of(path).decode("utf-8-sig").splitlines(), 1):
        if parts := text.split():
            _add_yolo(found, line, parts, (keys, names))
    return found


def _add_yolo(found: Annotations, line: int, parts: list[str], known: tuple[list[str], Mapping[str, str]]) -> None:
    keys, names = known
    values = [_nan(_number(part)) for part in parts[1:]]
    polygon, confidence, box = None, None, list[float]()
    if len(values) >= 6 and len(values) % 2 == 0:
        polygon = [values]
        box = _around(polygon)
    elif len(values) >= 4:
        confidence = values[4] if len(values) == 5 else None
        across, down, width, height = values[:4]
        box = [across - width / 2, down - height / 2, width, height]
    fault = box_fault(box)
    if not fault and names and parts[0] not in names:
        fault = ("unknown_class", f"class {parts[0]} is not among the names")
    if fault:
        found.rejected.append(Rejected(line, *fault))
        return
    found.objects.append({
        "line": line, "keys": keys, "image_id": keys[0], "label": names.get(parts[0], parts[0]), "confidence": confidence,
        "polygon": polygon, "iscrowd": False, "relative": True, **_box(box),
    })  # fmt: skip


def _yolo_names(path: Path) -> Mapping[str, str]:
    """Return the names of the classes from the nearest yaml above a label file."""
    for folder in list(path.parents)[:5]:
        for candidate in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
            tree = yaml.load(bytes_of(candidate).decode("utf-8"), _BoundedLoader)
            if isinstance(tree, dict) and "names" in tree:
                names = tree["names"]
                pairs = names.items() if isinstance(names, dict) else enumerate(names)
                return {text_of(number): text_of(name) for number, name in pairs}
    return {}


def _read_voc(path: Path) -> Annotations:
    root = ElementTree.fromstring(bytes_of(path))
    found = Annotations()
    name = root.findtext("filename") or path.stem
    keys = [*names_of(name), f"//{path.stem}"]
    size = {part: _number(root.findtext(f"size/{part}")) or None for part in ("width", "height")}
    found.images.append({"image_id": path.stem, "keys": keys, **size})
    for line, one in enumerate(root.iter("object"), 1):
        corners = (_number(one.findtext(f"bndbox/{part}")) for part in ("xmin", "ymin", "xmax", "ymax"))
        # VOC counts pixels from 1, and the last one is inside.
        left, top, right, bottom = (_nan(value) for value in corners)
        box = [left - 1, top - 1, right - left + 1, bottom - top + 1]
        label = (one.findtext("name") or "").strip()
        fault = box_fault(box) or (None if label else ("no_label", ""))
        if fault:
            found.rejected.append(Rejected(line, *fault))
            continue
        row = {"line": line, "keys": keys, "image_id": path.stem, "label": label, "iscrowd": False, "relative": False}
        found.objects.append({**row, **_box(box)})
    return found


def names_of(name: str) -> list[str]:
    """Return what may name the sample of an annotated file: its path, else its bare name where that is the only one."""
    normal = name.removeprefix("./")
    return [normal, f"//{normal.rsplit('/', 1)[-1]}"]


def box_fault(box: Sequence[float | None]) -> tuple[str, str] | None:
    """Return why a box cannot be used, or None."""
    if len(box) != 4 or any(value is None or not math.isfinite(value) for value in box):
        return "box", "not four numbers"
    if box[2] <= 0 or box[3] <= 0:  # type: ignore[operator]
        return "box_size", "width and height must be above 0"
    return None


def _confidence_fault(confidence: float | None, *, needed: bool) -> tuple[str, str] | None:
    wrong = needed if confidence is None else not 0 <= confidence <= 1
    return ("confidence", "score is not a number in [0, 1]") if wrong else None


def _box(box: Sequence[float | None]) -> Row:
    return dict(zip(("x", "y", "width", "height"), box, strict=True))


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _nan(value: float | None) -> float:
    return math.nan if value is None else value


def iter_names(tables: Sequence[str]) -> Iterator[tuple[str, pa.Schema]]:
    """Yield the tables of objects, images and categories with their schemas."""
    yield from zip(tables, (OBJECT_ROWS, IMAGE_ROWS, CATEGORY_ROWS), strict=False)


LABEL_TABLES = ("label_objects", "label_images", "label_categories")
PREDICTION_TABLES = ("prediction_objects",)
GROUND_TRUTH = DEFAULT_FIELD
"""Who speaks where people do: a reserved name of a model."""
