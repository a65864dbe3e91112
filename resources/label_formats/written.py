"""Formats that datasets are written in and that hold labels of whole images first of all."""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from brain_assets.resources.label_formats.labelled import (
    DIGITS,
    BySplit,
    Labelled,
    LabelledImage,
    below,
    inside,
    pixels,
)

Row = dict[str, Any]
BOXES = ("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax")


class _Tables(BySplit):
    """Two tables beside a folder of images: labels of whole images, and boxes in pixels."""

    holds = frozenset({"labels", "several", "boxes", "splits", "tags"})


class CsvTables(_Tables):
    """Comma-separated tables."""

    name = "csv"
    title = "CSV tables"

    def write(self, target: Path, dataset: Labelled) -> None:
        """Write labels.csv, and boxes.csv where there are objects; several classes of an image stand between ``;``."""
        several = any(len(one.labels) > 1 for one in dataset.images)
        rows = [{**row, "tags": ";".join(row["tags"])} for row in _label_rows(dataset, several=several)]
        for row in rows:
            row |= {"labels": ";".join(row["labels"])} if several else {}
        _write_csv(target / "labels.csv", list(rows[0]) if rows else ["filepath", "label", "split", "tags"], rows)
        if dataset.has_objects:
            _write_csv(target / "boxes.csv", BOXES, _box_rows(dataset))


class ParquetTables(_Tables):
    """Parquet tables."""

    name = "parquet"
    title = "Parquet tables"

    def write(self, target: Path, dataset: Labelled) -> None:
        """Write labels.parquet, and boxes.parquet where there are objects; several classes of an image are a list."""
        from pyarrow import parquet

        several = any(len(one.labels) > 1 for one in dataset.images)
        kind = pa.list_(pa.string()) if several else pa.string()
        schema = pa.schema([
            ("filepath", pa.string()), ("labels" if several else "label", kind), ("split", pa.string()),
            ("tags", pa.list_(pa.string())),
        ])  # fmt: skip
        rows = list(_label_rows(dataset, several=several))
        parquet.write_table(pa.Table.from_pylist(rows, schema), target / "labels.parquet")
        if dataset.has_objects:
            parquet.write_table(pa.Table.from_pylist(list(_box_rows(dataset)), _box_schema()), target / "boxes.parquet")


class ClassFolders:
    """A folder for each class, below one for each split: torchvision's ImageFolder."""

    name = "folders"
    title = "class folders"
    holds = frozenset({"labels", "splits"})
    packs = False

    def place(self, image: LabelledImage, folder: str) -> str:
        """Return where an image stands; empty where it has no class."""
        if not image.labels:
            return ""
        name = image.labels[0].replace("/", "_").replace("\\", "_").strip(". ") or "_"
        *parts, bare = inside(folder, image)
        # The folder of a class may be one of the parts that the path had: it is not repeated.
        return "/".join([*filter(None, (folder, name)), *(part for part in parts if part != image.labels[0]), bare])

    def write(self, target: Path, dataset: Labelled) -> None:
        """Write nothing: the folders say it all."""


class HuggingFace:
    """A folder for each split with its metadata: the ImageFolder of Hugging Face's datasets."""

    name = "huggingface"
    title = "Hugging Face ImageFolder"
    holds = frozenset({"labels", "several", "boxes", "splits"})
    packs = False

    def place(self, image: LabelledImage, folder: str) -> str:
        """Return where an image stands: by its split."""
        return below(_hub_split(folder), image)

    def write(self, target: Path, dataset: Labelled) -> None:
        """Write metadata.jsonl of each split; boxes are x, y, width and height in pixels."""
        several = any(len(one.labels) > 1 for one in dataset.images)
        for split, members in dataset.by_split():
            folder = target / _hub_split(split)
            lines = [json.dumps(_metadata(one, folder, target, several=several), ensure_ascii=False) for one in members]
            (folder / "metadata.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")


def _hub_split(split: str) -> str:
    return "validation" if split == "val" else split


def _metadata(image: LabelledImage, folder: Path, target: Path, *, several: bool) -> Row:
    row: Row = {"file_name": (target / image.path).relative_to(folder).as_posix()}
    row |= {"labels": image.labels} if several else {"label": next(iter(image.labels), None)} if image.labels else {}
    if image.objects is not None:
        boxes = [pixels(one.box, image) for one in image.objects]
        row |= {"width": image.width, "height": image.height}
        row |= {"objects": {"bbox": boxes, "category": [one.label for one in image.objects]}}
    return row


def _label_rows(dataset: Labelled, *, several: bool) -> Iterator[Row]:
    for image in (one for one in dataset.images if one.labels):
        label: Row = {"labels": image.labels} if several else {"label": next(iter(image.labels), None)}
        yield {"filepath": image.path.removeprefix("images/"), **label, "split": image.split, "tags": image.tags}


def _box_rows(dataset: Labelled) -> Iterator[Row]:
    for image in dataset.images:
        for one in image.objects or []:
            corners = [round(value, DIGITS) for value in one.corners(image.width, image.height)]
            values = (image.path.removeprefix("images/"), image.width, image.height, one.label, *corners)
            yield dict(zip(BOXES, values, strict=True))


def _box_schema() -> pa.Schema:
    kinds = (pa.string(), pa.int64(), pa.int64(), pa.string(), *[pa.float64()] * 4)
    return pa.schema(list(zip(BOXES, kinds, strict=True)))


def _write_csv(path: Path, names: Sequence[str], rows: Any) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
