"""Labels of objects as a COCO file of their own: as reviewers left them, and on demand with what models found missing."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

from brain_assets.methods.labels.object_mistakenness import objects_to_add
from brain_assets.methods.labels.objects import Objects
from brain_assets.report.writing import write_file
from brain_assets.resources.errors import ConfigurationError, MissingError
from brain_assets.resources.label_formats.annotations import GROUND_TRUTH
from brain_assets.resources.label_formats.coco import (
    category_entries,
    identities,
    image_entry,
    numbers_of,
    shape_entry,
)
from brain_assets.resources.label_formats.input_files import IN_PATHS
from brain_assets.resources.label_formats.labelled import LabelledObject
from brain_assets.resources.settings.configuration import DatasetSettings
from brain_assets.resources.settings.home import DatasetPaths
from brain_assets.signals.labels.object_mistakenness import outlines

Row = dict[str, Any]
Connection = duckdb.DuckDBPyConnection

TABLES = {"objects", "object_images", "object_classes", "object_mistakenness"}
# What reviewers say is not missing.
DISMISSED = "and object_id not in (select subject_id from decisions where holds and kind in ('keep', 'drop'))"
IMAGES = """
    select sample_id, filepath, width, height, image_id from object_images join samples using (sample_id)
    where source = 'ground_truth' and label_field = $field order by filepath"""
CLASSES = "select label, category from object_classes where label_field = $field order by label, category"
LABELS = """
    select object_id, sample_id, label, x, y, width, height, polygon, iscrowd, {origin} as said_by from objects
    where source = 'ground_truth' and label_field = $field order by sample_id, object_id"""
# Compat has no score of its own: there the confidence decides.
MISSING = """
    select object_id, sample_id, label, x, y, objects.width, objects.height, polygon, false as iscrowd,
        objects.source as model, confidence, missing_score, coalesce(missing_score, confidence) as score
    from object_mistakenness join objects using (object_id, sample_id, label_field)
    where objects.source != 'ground_truth' and label_field = $field and possible_missing
        and coalesce(missing_score, confidence) >= $least and coalesce(objects.source = $model, true) {unless}
    order by sample_id, object_id"""


@dataclass(frozen=True)
class ExportChoice:
    """What an export holds.

    Attributes
    ----------
    field : str
        The field of labels.
    missing_objects : bool
        Whether objects that models found and no label holds are added.
    model : str, optional
        Only what this model found missing; else that of all, each object once.
    min_score : float, optional
        In [0, 1]; of what is possibly missing only what is at least so likely to be an object without a label.
    """

    field: str = GROUND_TRUTH
    missing_objects: bool = False
    model: str | None = None
    min_score: float | None = None


class Exported(NamedTuple):
    """An export that was written: how many images and labels, objects added by model, images of unknown size left out.

    Of the labels ``reviewed`` were drawn, confirmed, moved or renamed by reviewers; at what was added nobody has looked.
    """

    path: Path
    images: int
    labels: int
    added: Mapping[str, int]
    left_out: int
    reviewed: int = 0

    def __str__(self) -> str:
        models = f" ({', '.join(f'{model}: {count}' for model, count in self.added.items())})" if self.added else ""
        reviewed = f" ({self.reviewed} by reviewers)" if self.reviewed else ""
        unseen = " that nobody has confirmed" if self.added else ""
        labels, added = f"{self.labels} labels{reviewed}", f"{sum(self.added.values())} objects added{models}{unseen}"
        text = f"wrote {self.path}: {self.images} images, {labels}, {added}"
        return text + (f"; left out {self.left_out} images of unknown size" if self.left_out else "")


def export_objects(
    connection: Connection,
    dataset: tuple[DatasetPaths, DatasetSettings],
    path: Path,
    choice: ExportChoice,
    *,
    force: bool,
) -> Exported:
    """Write the labels of objects as a COCO file; neither the dataset's files nor its tables are touched.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        Sees the published tables.
    dataset : (DatasetPaths, DatasetSettings)
    path : Path
        Where to; never among the files of labels and predictions that the dataset reads.
    choice : ExportChoice
    force : bool
        Whether a file that is there already is replaced.

    Returns
    -------
    Exported

    Raises
    ------
    BrainError
        In one line, if there are no such objects, field or model, or the file is there already or cannot be written.
    """
    check_target(dataset, path, force=force)
    _check_choice(connection, choice)
    images = _rows(connection, IMAGES, field=choice.field)
    sized = {row["sample_id"]: row for row in images if row["width"] and row["height"]}
    origin = "origin" if _has_column(connection, "objects", "origin") else "'file'"
    labels = _rows(connection, LABELS.format(origin=origin), field=choice.field)
    added = _missing(connection, choice) if choice.missing_objects else []
    labels, added = ([row for row in rows if row["sample_id"] in sized] for rows in (labels, added))
    known = [(row["label"], row["category"]) for row in _rows(connection, CLASSES, field=choice.field)]
    content = _coco(list(sized.values()), labels + added, known)
    write_file(path, (json.dumps(content, ensure_ascii=False) + "\n").encode(), "export")
    models = [row["model"] for row in added]
    counts = {one: models.count(one) for one in sorted(set(models))}
    reviewed = sum(row["said_by"] == "review" for row in labels)
    return Exported(path, len(sized), len(labels), counts, len(images) - len(sized), reviewed)


def check_target(dataset: tuple[DatasetPaths, DatasetSettings], path: Path, *, force: bool) -> None:
    """Raise ConfigurationError where a path is one that the dataset reads, or is there and not to be replaced."""
    paths, settings = dataset
    target = path.resolve()
    declared = [
        *(one.uri for one in settings.labels if one.uri not in IN_PATHS),
        *(one.uri for one in settings.predictions),
    ]
    for own in [*(Path(uri).expanduser().resolve() for uri in declared), paths.predictions.resolve()]:
        if own == target or own in target.parents:
            raise ConfigurationError(
                f"{path} is or is among the labels and predictions that the dataset reads: write it elsewhere"
            )
    if path.exists() and not force:
        raise ConfigurationError(
            f"{path} exists: choose another name, or replace it with --force (force=True in Python)"
        )


def _check_choice(connection: Connection, choice: ExportChoice) -> None:
    if not choice.missing_objects and (choice.model is not None or choice.min_score is not None):
        raise ConfigurationError("a model and a score choose among missing objects: ask for --missing-objects, too")
    if choice.min_score is not None and not 0 <= choice.min_score <= 1:
        raise ConfigurationError(f"the score must be in [0, 1], not {choice.min_score}")
    views = {row[0] for row in connection.execute("select view_name from duckdb_views()").fetchall()}
    if not views >= TABLES:
        raise MissingError("objects are not published yet: bring the dataset up to date with 'brain materialize'")
    speakers = connection.execute("select distinct label_field, source from object_images order by all").fetchall()
    fields = [field for field, source in speakers if source == GROUND_TRUTH]
    if not fields:
        raise MissingError(
            "the dataset has no labels of objects: declare COCO, YOLO or Pascal VOC files under 'labels'"
        )
    if choice.field not in fields:
        raise MissingError(f"no field {choice.field!r} has labels of objects (fields: {', '.join(fields)})")
    models = [source for field, source in speakers if field == choice.field and source != GROUND_TRUTH]
    if choice.missing_objects and not models:
        raise MissingError(f"no model has predicted objects for the field {choice.field!r}: declare COCO results")
    if choice.model not in [None, *models]:
        raise MissingError(f"no model {choice.model!r} has predicted objects (models: {', '.join(models)})")


def _missing(connection: Connection, choice: ExportChoice) -> list[Row]:
    """Return the possibly missing objects, each once; in compat all, as the peer copies them."""
    wanted = {"field": choice.field, "model": choice.model, "least": choice.min_score or 0.0}
    unless = DISMISSED if _has_column(connection, "decisions", "holds") else ""
    table = connection.sql(MISSING.format(unless=unless), params=wanted).to_arrow_table()
    rows: list[Row] = table.to_pylist()
    if not rows or rows[0]["missing_score"] is None:
        return rows
    _, counts = np.unique([row["sample_id"] for row in rows], return_counts=True)
    candidates = Objects(
        boxes=np.array([[row[name] for name in ("x", "y", "width", "height")] for row in rows]),
        classes=np.zeros(len(rows), np.int64),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        outlines=outlines(table.column("polygon")),
    )
    return [rows[place] for place in objects_to_add(candidates, [row["score"] for row in rows]).tolist()]


def _coco(images: Sequence[Row], objects: Sequence[Row], known: Iterable[tuple[str, str]]) -> Row:
    """Return the content of a COCO file, in the order of images; labels before what was added."""
    used = sorted({row["label"] for row in objects})
    numbers = numbers_of([*known, *((name, None) for name in used)])
    places = numbers_of([(row["sample_id"], row["image_id"]) for row in images])
    sizes = {row["sample_id"]: (row["width"], row["height"]) for row in images}
    ordered = sorted(objects, key=lambda row: places[row["sample_id"]])
    ids = identities(row["object_id"] for row in ordered)
    return {
        "images": [image_entry(places[row["sample_id"]], row["filepath"], sizes[row["sample_id"]]) for row in images],
        "annotations": [
            {"id": number, "image_id": places[row["sample_id"]], "category_id": numbers[row["label"]]}
            | shape_entry(labelled_object(row), sizes[row["sample_id"]])
            | _origin(row)
            for number, row in zip(ids, ordered, strict=True)
        ],
        "categories": category_entries(numbers),
    }


def labelled_object(row: Row) -> LabelledObject:
    """Return a row of ``objects`` as it is written."""
    box = (row["x"], row["y"], row["width"], row["height"])
    return LabelledObject(row["label"], box, row["polygon"] or None, bool(row["iscrowd"]), row["object_id"])


def _origin(row: Row) -> Row:
    """Return who says that the object is there."""
    if "model" not in row:
        return {"origin": "review" if row["said_by"] == "review" else GROUND_TRUTH}
    return {"origin": "model"} | {name: row[name] for name in ("model", "confidence", "missing_score")}


def _has_column(connection: Connection, table: str, column: str) -> bool:
    """Return whether a published table has a column: sets of an older version do not have all."""
    query = "select 1 from duckdb_columns() where table_name = $table and column_name = $column"
    return bool(connection.execute(query, {"table": table, "column": column}).fetchall())


def _rows(connection: Connection, query: str, **parameters: Any) -> list[Row]:
    table: pa.Table = connection.sql(query, params=parameters).to_arrow_table()
    rows: list[Row] = table.to_pylist()
    return rows
