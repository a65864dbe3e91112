"""``data.yaml`` of the YOLO family as a whole dataset: where the images of each split lie."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from brain_assets.resources.errors import SourceError
from brain_assets.resources.local_files import bytes_of
from brain_assets.resources.media.splits import split_of
from brain_assets.resources.written_yaml import NULLS, written_in

SUFFIXES = {".yaml", ".yml"}
KEYS = ("train", "val", "valid", "validation", "test")
IMAGES, LABELS = "images", "labels"


@dataclass(frozen=True)
class DataYaml:
    """What a ``data.yaml`` says.

    Attributes
    ----------
    images : list of (str, str)
        Split and absolute path of each folder, list or pattern of images.
    """

    images: list[tuple[str, str]]

    @property
    def label_folders(self) -> list[str]:
        """Where the labels lie: beside the images, in folders called ``labels``, as the format has it."""
        found = {label_folder(path) for _, path in self.images}
        return sorted(folder for folder in found if folder and os.path.isdir(folder))


def label_folder(images: str) -> str | None:
    """Return the folder of labels that goes with one of images; None where no part of it is called ``images``.

    Examples
    --------
    >>> label_folder("/set/train/images"), label_folder("/set/images/val"), label_folder("/set/pictures")
    ('/set/train/labels', '/set/labels/val', None)
    """
    parts = list(PurePosixPath(images).parts)
    if IMAGES not in parts:
        return None
    place = len(parts) - 1 - parts[::-1].index(IMAGES)
    return str(PurePosixPath(*parts[:place], LABELS, *parts[place + 1 :]))


def read_data_yaml(path: Path) -> DataYaml:
    """Read a ``data.yaml``; raises SourceError where it is none."""
    try:
        tree = written_in(bytes_of(path).decode("utf-8-sig"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise SourceError(f"{path} cannot be read as YAML: {' '.join(str(error).split())[:200]}") from None
    given = [(key, entry) for key in KEYS for entry in _entries(tree.get(key))] if isinstance(tree, dict) else []
    if not given:
        raise SourceError(f"{path} names no images: a data.yaml has one of train, val and test, with folders or lists")
    bases = list(_bases(path, next(iter(_entries(tree.get("path"))), None)))
    images = [(str(split_of(key)), _found(bases, entry)) for key, entry in given]
    return DataYaml(list(dict.fromkeys(images)))


def _entries(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [one.strip() for one in values if isinstance(one, str) and one.strip() not in NULLS]


def _bases(path: Path, given: str | None) -> Iterator[Path]:
    """Yield the folders from which entries may be meant: the one named in ``path``, then the file's own."""
    own = path.absolute().parent
    if given:
        yield own / os.path.expanduser(given)
    yield own
    # A downloaded dataset keeps the path of whoever made it; a folder of its name may be where the file is.
    if given:
        yield own.parent / PurePosixPath(given.replace("\\", "/")).name


def _found(bases: list[Path], entry: str) -> str:
    """Return the path that an entry means: the first that is there, ``../`` of exports left out where it leads nowhere.

    Of a path of another machine it is the longest end that is there.
    """
    plain = entry.replace("\\", "/")
    parts = [one for one in plain.split("/") if one]
    ends = ["/".join(parts[start:]) for start in range(1, len(parts))] if _is_elsewhere(plain) else []
    spellings = dict.fromkeys([plain, plain.removeprefix("../"), *ends])
    candidates = [os.path.normpath(base / os.path.expanduser(one)) for one in spellings for base in bases]
    return next((one for one in candidates if os.path.exists(one)), candidates[0])


def _is_elsewhere(path: str) -> bool:
    """Tell whether a path begins at the root of a file system, of which kind ever, and is none here."""
    absolute = path.startswith(("/", "~")) or path[1:3] == ":/"
    return absolute and not os.path.exists(os.path.expanduser(path))
