"""Names of classes beside label files that have only numbers: data.yaml, classes.txt, darknet's obj.names and obj.data."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from brain_assets.resources.label_formats.content import Content, line_of, text_of
from brain_assets.resources.written_yaml import written_in

LEVELS = 5
"""How many folders are looked into, from a label file upwards."""
YAML = {".yaml", ".yml"}
LISTS = {"classes.txt", "obj.names", "_darknet.labels", "labels.txt", "class_names.txt", "predefined_classes.txt"}
FIRST = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")


@dataclass(frozen=True)
class ClassNames:
    """What a file says of the classes of a folder's labels.

    Attributes
    ----------
    names : mapping of str to str
        By the number of the class; empty where there are none.
    keypoints : (int, int), optional
        How many keypoints an object has, and how many numbers each: YOLO's ``kpt_shape``.
    fault : str
        Why a file that must be about them cannot be read.
    path : Path, optional
        The file.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    keypoints: tuple[int, int] | None = None
    fault: str = ""
    path: Path | None = None

    @cached_property
    def spelled(self) -> frozenset[str]:
        """The names themselves, which some tools write in place of numbers."""
        return frozenset(self.names.values())


def is_class_list(path: Path) -> bool:
    """Tell by its name whether a file lists classes, one a line."""
    return path.name.lower() in LISTS or path.suffix.lower() == ".names"


def names_above(path: Path) -> ClassNames:
    """Return the classes that the nearest file above a label file names; none where there is no such file.

    Files are read once, and again when they or their folder change. Raises ValueError where that file is a ``data.yaml`` that
    cannot be read: without it numbers would pass for names.
    """
    found = _nearest(path)
    if found.fault:
        raise ValueError(found.fault)
    return found


def file_above(folder: Path) -> Path | None:
    """Return the file above a folder of labels that names their classes, where there is one."""
    return _nearest(folder).path


def names_classes(name: str) -> bool:
    """Tell by a file's name whether labels beside and below it may take the names of their classes from it."""
    path = Path(name)
    return path.suffix.lower() in {*YAML, ".data"} or is_class_list(path)


def _nearest(path: Path) -> ClassNames:
    for folder in list(path.parents)[:LEVELS]:
        found = _of_folder(folder, _state(folder))
        if found.names or found.fault:
            return found
    return ClassNames()


def read_names(path: Path) -> ClassNames:
    """Return the classes that a file names; raises anything where it is damaged."""
    content = Content(path)
    if content.suffix in YAML:
        return _of_tree(written_in(content.text), path)
    if content.suffix == ".data":
        return _of_darknet(content.text, path)
    lines = [line.strip() for line in content.text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return ClassNames({str(number): name for number, name in enumerate(lines)})


def _state(path: Path) -> tuple[int, ...]:
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size


@lru_cache(maxsize=1024)
def _candidates(folder: Path, state: tuple[int, ...]) -> tuple[Path, ...]:
    """Return the files of a folder that may name classes, the likeliest first."""
    del state
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return ()
    paths = [folder / name for name in names]
    ranked = [(_rank(path), path) for path in paths]
    return tuple(path for rank, path in sorted(ranked, key=lambda one: one[0]) if rank < 9)


def _rank(path: Path) -> int:
    if path.name.lower() in FIRST:
        return FIRST.index(path.name.lower())
    if path.suffix.lower() in YAML:
        return len(FIRST)
    if is_class_list(path):
        return len(FIRST) + 1
    return len(FIRST) + 2 if path.suffix.lower() == ".data" else 9


def _of_folder(folder: Path, state: tuple[int, ...]) -> ClassNames:
    found = (_of_file(path, _state(path)) for path in _candidates(folder, state))
    return next((one for one in found if one.names or one.fault), ClassNames())


@lru_cache(maxsize=1024)
def _of_file(path: Path, state: tuple[int, ...]) -> ClassNames:
    """Return the classes that a file names; one that is damaged, or of another kind, names none."""
    del state
    try:
        return replace(read_names(path), path=path)
    except Exception as error:  # noqa: BLE001 - many a file lies beside labels, and most are not about classes
        return ClassNames(fault=f"{path.name}: {line_of(error)}" if path.name.lower() in FIRST else "", path=path)


def _of_tree(tree: Any, path: Path) -> ClassNames:
    if not isinstance(tree, dict) or not tree.get("names"):
        return ClassNames()
    shape = tree.get("kpt_shape")
    keypoints = (int(shape[0]), int(shape[1])) if isinstance(shape, list) and len(shape) == 2 else None
    names = tree["names"]
    if isinstance(names, str):
        return ClassNames(_listed(names, path), keypoints)
    pairs = names.items() if isinstance(names, dict) else enumerate(names)
    return ClassNames({_number(number): text_of(name).strip() for number, name in pairs}, keypoints)


def _listed(names: str, path: Path) -> Mapping[str, str]:
    """Return the names in one text: between commas, or in a file of that name."""
    beside = path.parent / names
    if "," not in names and beside.suffix and beside.is_file():
        return read_names(beside).names
    return {str(number): name.strip() for number, name in enumerate(names.split(","))}


def _of_darknet(text: str, path: Path) -> ClassNames:
    """Return the names in the file that ``names = ...`` gives, wherever darknet's working folder was."""
    settings = dict(_settings(text))
    target = Path(settings.get("names", "").replace("\\", "/"))
    tried = (path.parent / target, path.parent / target.name)
    return next((read_names(one) for one in tried if target.name and one.is_file()), ClassNames())


def _settings(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals:
            yield name.strip(), value.strip()


def _number(key: object) -> str:
    text = text_of(key).strip()
    return str(int(float(text))) if text.replace(".", "", 1).isdigit() else text
