"""Which files of labels and predictions a dataset has, and what the file system says of them."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from brain_assets.resources.errors import SourceError
from brain_assets.resources.label_formats.class_names import file_above, names_classes
from brain_assets.resources.limits import saturated
from brain_assets.resources.media.listing import readable
from brain_assets.resources.settings.configuration import DatasetSettings, LabelSettings, PredictionSettings
from brain_assets.resources.settings.home import DatasetPaths

CHANGES = "CHANGES.csv"
"""What an export says of samples that it left out or changed; it lies beside labels and holds none."""
Role = Literal["labels", "predictions"]
FOLDERS, NAMES = "folder", "name"
"""The addresses of labels that stand in the names of folders, and before the number in those of the images themselves."""
IN_PATHS = frozenset({FOLDERS, NAMES})
TABLES = {".csv", ".tsv", ".parquet", ".jsonl", ".ndjson", ".json", ".xlsx"}
NUMBERS, NUMBERED = (
    "images.txt",
    ("classes.txt", "image_class_labels.txt", "train_test_split.txt", "bounding_boxes.txt"),
)
"""Lists that number images, and those that speak of the numbers."""
ANNOTATIONS = {".json", ".xml", ".txt", ".lst", ".yaml", ".yml", ".names", ".data", ".tar", ".gz", ".tgz"}


@dataclass(frozen=True)
class InputFile:
    """One file of labels or predictions.

    Attributes
    ----------
    source : int
        Position of its address among those that the dataset declares; a later one overrides.
    name : str
        Path below the address, or the file's name.
    path : Path
    format : str
        ``csv``, ``parquet``, ``jsonl``, ``coco``, ``yolo``, ``voc``, or ``auto`` to go by the suffix.
    field : str
        The field of labels that it gives.
    model : str or None
        The model whose predictions it holds, where the address says so.
    size, modified_ns, touched_ns : int
    image_ids : str or None
        Name of the label file whose image ids it uses, where the address says so.
    columns : tuple of (str, str)
        What its columns are called, by the names that readers know.
    """

    source: int
    name: str
    path: Path
    format: str
    field: str
    model: str | None
    size: int
    modified_ns: int
    touched_ns: int
    image_ids: str | None = None
    columns: tuple[tuple[str, str], ...] = ()

    @property
    def suffix(self) -> str:
        """What the file's name ends with, in lower case."""
        return self.path.suffix.lower()

    @property
    def folder(self) -> str:
        """The folder that it lies in, without steps upwards."""
        return readable(os.path.abspath(os.path.dirname(self.path)))


@dataclass(frozen=True)
class InputListing:
    """The files of one role.

    Attributes
    ----------
    files : tuple of InputFile
        By address, then by name.
    state : str
        Digest of all of them; equal listings have equal states.
    newest : float
        Seconds since the epoch of the latest touch of a file.
    """

    files: tuple[InputFile, ...]
    state: str
    newest: float


def list_labels(settings: DatasetSettings, paths: DatasetPaths) -> InputListing:
    """Return the label files; raises SourceError when an address names nothing."""
    del paths
    found = [
        file
        for number, one in enumerate(settings.labels)
        if one.uri not in IN_PATHS
        for file in _files(number, one, None)
    ]
    return _listing(found)


def list_predictions(settings: DatasetSettings, paths: DatasetPaths) -> InputListing:
    """Return the prediction files: of the declared addresses, else of the drop folder."""
    if not settings.predictions:
        dropped = PredictionSettings(uri=str(paths.predictions))
        return _listing(list(_files(0, dropped, None)) if paths.predictions.is_dir() else [])
    return _listing([
        file
        for number, one in enumerate(settings.predictions)
        for file in _files(number, one, one.model, one.image_ids)
    ])  # fmt: skip


def input_state(settings: DatasetSettings, paths: DatasetPaths) -> tuple[str, float]:
    """Return the state of all label and prediction files together, and the latest touch of one."""
    listings = list_labels(settings, paths), list_predictions(settings, paths)
    return joined_state(*(one.state for one in listings)), max(one.newest for one in listings)


def joined_state(labels: str, predictions: str) -> str:
    """Return the state of labels and predictions as one word."""
    return f"{labels}.{predictions}"


def _files(
    source: int, said: LabelSettings | PredictionSettings, model: str | None, image_ids: str | None = None
) -> Iterator[InputFile]:
    uri, columns = said.uri, tuple(sorted(said.columns.items()))
    root = Path(uri).expanduser()
    if not root.exists():
        raise SourceError(
            f"no labels or predictions at {uri}: give a file, a folder of files, or 'folder' for class folders"
        )
    names = sorted(_below(root)) if root.is_dir() else [root.name]
    base = root if root.is_dir() else root.parent
    if is_numbered_list(root):
        names = sorted(name for name in (NUMBERS, *NUMBERED) if (base / name).is_file())
    # What names the classes of texts of numbers counts with them, wherever above it stands.
    if root.is_dir() and any(name.endswith(".txt") for name in names) and (above := file_above(root.absolute())):
        names.append(os.path.relpath(above, root.absolute()))
    names += _lists_beside(root) if root.is_dir() else []
    for name in names:
        try:
            status = os.stat(base / name)
        except OSError:
            continue
        size, modified, touched = (saturated(one) for one in (status.st_size, status.st_mtime_ns, status.st_ctime_ns))
        yield InputFile(
            source, name, base / name, said.format, said.field, model, size, modified, touched, image_ids, columns
        )


def is_numbered_list(path: Path) -> bool:
    """Tell by its name, and what lies beside it, whether a file is one of the lists that number images, or of the numbers."""
    if path.name.lower() not in {NUMBERS, *NUMBERED[1:]}:
        return False
    return path.with_name(NUMBERS).is_file() and any(path.with_name(name).is_file() for name in NUMBERED[1:])


def says_of_others(name: str) -> bool:
    """Tell by a file's name whether others of its address may be read in another way once it changes."""
    return names_classes(name) or Path(name).name.lower() in {NUMBERS, *NUMBERED}


def _lists_beside(root: Path) -> list[str]:
    """Return the lists of images by split that Pascal VOC has beside its folder of annotations."""
    lists = root.absolute().parent / "ImageSets" / "Main"
    if root.absolute().name != "Annotations" or not lists.is_dir():
        return []
    return sorted(os.path.relpath(path, root.absolute()) for path in lists.glob("*.txt"))


def _below(root: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = Path(folder).relative_to(root).as_posix()
        start = "" if below == "." else f"{below}/"
        for name in names:
            suffix = os.path.splitext(name)[1].lower()
            if suffix in TABLES | ANNOTATIONS and not name.startswith((".", "~")) and name != CHANGES:
                yield start + name


def _listing(files: Sequence[InputFile]) -> InputListing:
    marks = [f"{one.source} {one.name} {one.size} {one.modified_ns} {one.touched_ns}" for one in files]
    state = hashlib.blake2b("\n".join(marks).encode(errors="surrogateescape"), digest_size=8).hexdigest()
    return InputListing(tuple(files), state, max((one.touched_ns for one in files), default=0) / 1e9)
