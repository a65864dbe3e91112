"""A dataset written out as others train on it: cleaned, as reviewers left it, in a format of their choice."""

import csv
import io
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import duckdb

from brain_assets.app.cleaning import Cleaning, LeftOut, left_out, splits_of
from brain_assets.app.exporting import CLASSES, check_target, labelled_object
from brain_assets.resources.errors import BrainError, ConfigurationError, Refused, StoreError, naming_full_disk
from brain_assets.resources.label_formats.annotations import GROUND_TRUTH
from brain_assets.resources.label_formats.content import line_of
from brain_assets.resources.label_formats.door import writers
from brain_assets.resources.label_formats.input_files import CHANGES
from brain_assets.resources.label_formats.labelled import (
    Labelled,
    LabelledImage,
    LabelledObject,
    Writer,
    not_held,
    unique_paths,
)
from brain_assets.resources.media.media_source import MediaSource, open_media
from brain_assets.resources.settings.configuration import DatasetSettings
from brain_assets.resources.settings.home import DatasetPaths

Connection = duckdb.DuckDBPyConnection
COLUMNS = ("filepath", "sample_id", "change", "reason", "detail", "path")
SAMPLES = "select sample_id, filepath, width, height, split, tags from samples order by filepath, sample_id"
LABELS = "select sample_id, labels from ground_truth where label_field = $field and labels is not null"
OBJECTS = """
    select object_id, sample_id, label, x, y, width, height, polygon, iscrowd from objects
    where source = 'ground_truth' and label_field = $field order by sample_id, y, x, object_id"""
SPOKEN_OF = "select sample_id, image_id from object_images where source = 'ground_truth' and label_field = $field"
# A confirmation that carries nothing changes nothing.
SAID = """
    select subject_id, kind, case when kind in ('draw', 'confirm') then value ->> '$.label' when kind = 'relabel' then value end
    from decisions where holds and (kind in ('relabel', 'drop', 'draw', 'reshape') or (kind = 'confirm' and value is not null))
    order by all"""


@dataclass(frozen=True)
class Wanted:
    """What an export shall be.

    Attributes
    ----------
    format : str
        The name of a writer.
    cleaning : Cleaning
        What stays out of it.
    field : str
        The field of labels.
    images : {"link", "copy"}
        Whether images are links to where they lie; what lies in an archive or far away is copied.
    """

    format: str
    cleaning: Cleaning = field(default_factory=Cleaning)
    field: str = GROUND_TRUTH
    images: Literal["link", "copy"] = "link"


class Change(NamedTuple):
    """What is different of a sample from how it came, and why."""

    filepath: str
    sample_id: str
    change: str
    reason: str
    detail: str
    path: str = ""


class ExportedDataset(NamedTuple):
    """A dataset that was written: how many images, labels and objects, what changed by reason, what the format cannot hold."""

    path: Path
    images: int
    labels: int
    objects: int
    left_out: Mapping[str, int]
    changed: int
    lost: Mapping[str, int]

    def __str__(self) -> str:
        told = [f"wrote {self.path}: {self.images} images, {self.labels} labels, {self.objects} objects"]
        if self.left_out:
            reasons = ", ".join(f"{reason} {count}" for reason, count in self.left_out.items())
            told.append(f"left out {sum(self.left_out.values())} ({reasons})")
        if self.changed:
            told.append(f"changed {self.changed}")
        if self.lost:
            told.append("not held by this format: " + ", ".join(f"{count} {what}" for what, count in self.lost.items()))
        return "; ".join(told) + f"; {CHANGES} says why"


def export_dataset(
    connection: Connection, dataset: tuple[DatasetPaths, DatasetSettings], target: Path, wanted: Wanted, *, force: bool
) -> ExportedDataset:
    """Write the cleaned dataset into a folder; neither the dataset's files nor its tables are touched.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        Sees the published tables.
    dataset : (DatasetPaths, DatasetSettings)
    target : Path
        A folder that is not there, or empty; outside of what the dataset reads.
    wanted : Wanted
    force : bool
        Whether an earlier export that is there is replaced.

    Returns
    -------
    ExportedDataset

    Raises
    ------
    BrainError
        In one line, if there is no such format, field, issue or split, or the folder cannot be written.
    """
    writer = writers().get(wanted.format)
    if writer is None:
        raise ConfigurationError(f"no format {wanted.format!r} is written (formats: {', '.join(writers())})")
    check_target(dataset, target, force=True)
    _check_media(dataset[1], target)
    _check_folder(target, force=force)
    out = left_out(connection, wanted.cleaning, dataset[1].keep_first)
    export = _Export(connection, dataset[1], wanted, out)
    draft = target.with_name(f".{target.name}.draft")
    try:
        with naming_full_disk(target.parent):
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
            exported = export.write(writer, draft)
            if target.exists():
                shutil.rmtree(target)
            draft.rename(target)
    except OSError as error:
        raise StoreError(f"the export cannot be written to {target}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return exported._replace(path=target)


def _check_media(settings: DatasetSettings, target: Path) -> None:
    given = (Path(uri).expanduser() for uri in settings.media_addresses)
    folders = [media.resolve() for media in given if media.is_dir()]
    if set(folders) & {target.resolve(), *target.resolve().parents}:
        raise ConfigurationError(f"{target} lies in the folder that the dataset reads images from: write it elsewhere")


def _check_folder(target: Path, *, force: bool) -> None:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not force or not (target / CHANGES).is_file():
        what = "is an earlier export: replace it with --force" if (target / CHANGES).is_file() else "is not empty"
        raise ConfigurationError(f"{target} {what}, or choose another folder (force=True in Python)")


class _Export:
    """A dataset while it is written."""

    def __init__(
        self, connection: Connection, settings: DatasetSettings, wanted: Wanted, out: dict[str, LeftOut]
    ) -> None:
        self.connection, self.settings, self.wanted, self.out = connection, settings, wanted, out
        self.source: MediaSource = open_media(settings)
        self.rows = _dicts(connection, SAMPLES)
        if plan := wanted.cleaning.plan:
            planned = splits_of(connection, plan)
            self.rows = [row | {"split": planned.get(row["sample_id"])} for row in self.rows]

    def write(self, writer: Writer, folder: Path) -> ExportedDataset:
        """Write images, what is known of them, and why others are not there."""
        images, classes, numbers = self._content()
        self._place(writer, images, folder)
        images = [one for one in images if one.sample_id not in self.out]
        dataset = Labelled(images, classes, numbers, self._read_or_note)
        _write(writer, folder, dataset)
        images = [one for one in images if one.sample_id not in self.out]
        changes = list(self._changes(images))
        _write_changes(folder / CHANGES, changes)
        return ExportedDataset(
            folder,
            len(images),
            sum(len(one.labels) for one in images),
            sum(len(one.objects or []) for one in images),
            dict(Counter(one.reason for one in self.out.values()).most_common()),
            len({one.sample_id for one in changes if one.change != "left_out"}),
            not_held(writer, dataset),
        )

    def _content(self) -> tuple[list[LabelledImage], list[str], Mapping[str, str]]:
        field = {"field": self.wanted.field}
        labels = dict(_tuples(self.connection, LABELS, **field))
        spoken_of = dict(_tuples(self.connection, SPOKEN_OF, **field)) if self._has("object_images") else {}
        objects: dict[str, list[LabelledObject]] = {sample: [] for sample in spoken_of}
        for row in _dicts(self.connection, OBJECTS, **field) if self._has("objects") else []:
            objects.setdefault(row["sample_id"], []).append(labelled_object(row))
        images = [_image(row, labels, objects, spoken_of) for row in self.rows if row["sample_id"] not in self.out]
        if not any(one.labels or one.objects is not None for one in images) and self.wanted.field != GROUND_TRUTH:
            raise ConfigurationError(f"no sample that is written has labels of the field {self.wanted.field!r}")
        numbers = dict(_tuples(self.connection, CLASSES, **field)) if self._has("object_classes") else {}
        return images, self._classes(images, numbers), numbers

    def _classes(self, images: Sequence[LabelledImage], numbers: Mapping[str, str]) -> list[str]:
        """Return the classes: as declared, else by their numbers in files of labels, else by name."""
        used = {name for one in images for name in one.labels} | {
            one.label for image in images for one in image.objects or []
        }
        order = {name: place for place, name in enumerate(self.settings.classes)}

        def key(name: str) -> tuple[int, int, str]:
            number = numbers.get(name, "")
            return order.get(name, len(order)), int(number) if number.isdigit() else 1 << 60, name

        return sorted(used | set(self.settings.classes) | numbers.keys(), key=key)

    def _place(self, writer: Writer, images: Sequence[LabelledImage], folder: Path) -> None:
        """Put the images where the format wants them; one that cannot be read, or has no place, is left out."""
        split = any(one.split for one in images)
        paths = [writer.place(one, (one.split or "unsplit") if split else "") for one in images]
        placed = [(image, path) for image, path in zip(images, paths, strict=True) if path]
        self.out |= {
            image.sample_id: LeftOut("no_label", f"{writer.title} need a class for each image")
            for image, path in zip(images, paths, strict=True)
            if not path
        }
        unique_paths([image for image, _ in placed], [path for _, path in placed])
        for image, _ in placed if not writer.packs else []:
            self._put(image, folder / image.path)

    def _put(self, image: LabelledImage, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        uri = self._locate(image)
        if uri is not None and os.path.isfile(uri):
            if self.wanted.images == "link":
                path.symlink_to(Path(uri).absolute())
            else:
                shutil.copyfile(uri, path)
        elif (data := self._read_or_note(image)) is not None:
            path.write_bytes(data)

    def _locate(self, image: LabelledImage) -> str | None:
        with suppress(OSError, ValueError, BrainError):
            return self.source.locate(image.filepath)
        return None

    def _read_or_note(self, image: LabelledImage) -> bytes | None:
        """Return the bytes of an image's file, or None and note that it is left out."""
        try:
            uri = self.source.locate(image.filepath)
            if uri is None:
                raise OSError(None, "outside of the media")
            data = self.source.read(uri)
            return _png(data) if image.path.endswith(".png") and data.startswith(b"BM") else data
        except (OSError, ValueError, BrainError, Refused) as error:
            self.out[image.sample_id] = LeftOut("unreadable", " ".join(str(error).split()))
            return None

    def _changes(self, images: Sequence[LabelledImage]) -> Iterator[Change]:
        """Yield what is left out, relabelled, or has gained, lost or changed objects, by file."""
        paths = {one.sample_id: one.path for one in images}
        said: dict[str, list[tuple[str, str]]] = {}
        sizes = {len(row["sample_id"]) for row in self.rows}
        for subject, kind, value in _tuples(self.connection, SAID):
            said.setdefault(subject, []).append((kind, value or ""))
            # An object's id begins with that of its image.
            for size in sizes if len(subject) not in sizes else ():
                said.setdefault(subject[:size], []).append((f"object_{kind}", f"{value or ''} {subject}".strip()))
        for row in self.rows:
            sample, name = row["sample_id"], row["filepath"]
            if sample in self.out:
                yield Change(name, sample, "left_out", *self.out[sample])
                continue
            for kind, detail in said.get(sample, []):
                if kind in CHANGED:
                    yield Change(name, sample, CHANGED[kind], "review", detail, paths.get(sample, ""))

    def _has(self, table: str) -> bool:
        return bool(_tuples(self.connection, "select 1 from duckdb_views() where view_name = $table", table=table))


def _write(writer: Writer, folder: Path, dataset: Labelled) -> None:
    """Let a format write; what one of another package raises is told in one line."""
    try:
        writer.write(folder, dataset)
    except (OSError, BrainError):
        raise
    except Exception as error:
        raise BrainError(f"{writer.title} cannot be written: {line_of(error)}") from error


CHANGED = {
    "relabel": "relabelled",
    "object_relabel": "object_relabelled",
    "object_drop": "object_dropped",
    "object_draw": "object_added",
    "object_confirm": "object_added",
    "object_reshape": "object_moved",
}


def _image(
    row: Mapping[str, Any],
    labels: Mapping[str, list[str]],
    objects: Mapping[str, list[LabelledObject]],
    numbers: Mapping[str, str],
) -> LabelledImage:
    sample = row["sample_id"]
    return LabelledImage(
        sample, row["filepath"], row["width"] or 0, row["height"] or 0, row["split"],
        [one for one in labels.get(sample, []) if one], objects.get(sample), list(row["tags"] or []), numbers.get(sample),
    )  # fmt: skip


def _png(data: bytes) -> bytes:
    """Return a frame of a video, which comes as BMP, as PNG."""
    from PIL import Image

    packed = io.BytesIO()
    with Image.open(io.BytesIO(data), formats=("BMP",)) as frame:
        frame.save(packed, "PNG")
    return packed.getvalue()


def _write_changes(path: Path, changes: Sequence[Change]) -> None:
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(changes)


def _tuples(connection: Connection, query: str, **parameters: Any) -> list[Any]:
    return connection.execute(query, parameters or None).fetchall()


def _dicts(connection: Connection, query: str, **parameters: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = connection.sql(query, params=parameters or None).to_arrow_table().to_pylist()
    return rows
