"""YOLO: a text per image, one line per object, relative to the image; names of classes stand in a file above."""

import math
from collections.abc import Sequence
from pathlib import Path, PurePath

import yaml

from brain_assets.resources.label_formats.annotations import (
    Annotations,
    Row,
    Unusable,
    names_beside,
    nan_of,
)
from brain_assets.resources.label_formats.class_names import (
    YAML,
    ClassNames,
    is_class_list,
    names_above,
    names_classes,
    read_names,
)
from brain_assets.resources.label_formats.content import Content
from brain_assets.resources.label_formats.labelled import BySplit, Labelled, LabelledObject
from brain_assets.resources.media.candidates import IMAGE_SUFFIXES

LOOKED_AT = 20
SPLITS = {"train", "val", "valid", "test", "trainval"}
"""Lists of images are called so, by path or by stem."""
MOST_OUTSIDE = 2.0
"""Coordinates beyond it are pixels, or another format's."""


class Yolo(BySplit):
    """Boxes, outlines, rotated boxes and poses, of people or of models."""

    name = "yolo"
    title = "YOLO (detect, segment, pose, OBB)"
    suffixes = frozenset({".txt", ".names", ".data", *YAML})
    per_image = True

    def sniff(self, content: Content) -> bool:
        """Tell whether a file has lines of numbers, or is one of those that lie beside such files."""
        if content.suffix != ".txt" or is_beside(content):
            return True
        lines = _lines(content.text)[:LOOKED_AT]
        return not lines or any(_is_object(line.split()) for line in lines)

    def read(self, content: Content) -> Annotations:
        """Return what it says of one image, or the names of classes."""
        if is_beside(content):
            return _beside(content)
        return _read(content)

    holds = frozenset({"boxes", "outlines", "splits"})

    def held(self, dataset: Labelled) -> frozenset[str]:
        """Return what it says of a dataset: outlines only where all objects have one."""
        return self.holds if _outlined(dataset) else self.holds - {"outlines"}

    def write(self, target: Path, dataset: Labelled) -> None:
        """Write a text for each image, and data.yaml.

        All objects are outlines, or all are boxes: whoever reads both in one file takes boxes for outlines of two points.
        """
        numbers = {name: number for number, name in enumerate(dataset.classes)}
        outlined = _outlined(dataset)
        for image in dataset.images:
            if image.objects is not None:
                path = target / f"labels/{image.stem.removeprefix('images/')}.txt"
                path.parent.mkdir(parents=True, exist_ok=True)
                lines = [_line(one, numbers[one.label], outlined=outlined) for one in image.objects]
                path.write_text("".join(lines), "utf-8")
        (target / "data.yaml").write_text(_data(dataset), "utf-8")


def _outlined(dataset: Labelled) -> bool:
    return all(one.rings for one in dataset.objects())


def _line(one: LabelledObject, number: int, *, outlined: bool) -> str:
    left, top, right, bottom = one.corners()
    values = one.ring() if outlined else [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
    return " ".join([str(number), *(f"{value:.8g}" for value in values)]) + "\n"


def _data(dataset: Labelled) -> str:
    """Return data.yaml; a training without images to validate on takes those it trains on."""
    folders = {split: "/".join(filter(None, ("images", split))) for split, _ in dataset.by_split()}
    train = folders.get("train", next(iter(folders.values()), "images"))
    named = {"train": train, "val": folders.get("val", folders.get("test", train))}
    named |= {"test": folders["test"]} if "test" in folders else {}
    names = dict(enumerate(dataset.classes))
    return yaml.safe_dump({"path": ".", **named, "names": names}, sort_keys=False, allow_unicode=True)


def is_beside(content: Content) -> bool:
    """Tell whether a file says nothing of an image: names of classes, a list of pictures, a note."""
    path = content.path
    if content.suffix != ".txt" or is_class_list(path) or path.name.lower().startswith("readme"):
        return True
    lines = _lines(content.text)[:LOOKED_AT]
    # The labels of an image that is called like a split are no list.
    if path.stem.lower() in SPLITS and not any(_is_object(line.split()) for line in lines):
        return True
    return bool(lines) and all(PurePath(line.replace("\\", "/")).suffix.lower() in IMAGE_SUFFIXES for line in lines)


def _lines(text: str) -> list[str]:
    return [line for line in map(str.strip, text.splitlines()) if line]


def _is_object(parts: Sequence[str]) -> bool:
    values = [nan_of(part) for part in parts[1:]]
    return len(values) >= 4 and all(abs(value) <= MOST_OUTSIDE for value in values[:4])


def _beside(content: Content) -> Annotations:
    """Return the classes that a file names: results of models go by their numbers."""
    found = Annotations()
    try:
        named = read_names(content.path).names if names_classes(content.path.name) else {}
    except Exception:  # noqa: BLE001 - where labels need its names they say themselves that there are none
        named = {}
    found.categories += [{"category": number, "name": name} for number, name in named.items() if name]
    return found


def _read(content: Content) -> Annotations:
    found, keys = Annotations(), names_beside(content.path)
    found.add_image(keys[0], keys, (1.0, 1.0))
    classes = names_above(content.path)
    lines = [(number, parts) for number, line in enumerate(content.text.splitlines(), 1) if (parts := line.split())]
    shape = classes.keypoints or _pose([parts for _, parts in lines])

    def add(line: int, parts: list[str]) -> None:
        row = _object(parts, shape)
        found.add(line, {"keys": keys, "image_id": keys[0], "relative": True, **_class(parts[0], classes), **row})

    found.each(lines, add)
    # Of these, what models find takes the names that their own numbers have.
    used = {one["category"]: one["label"] for one in found.objects}
    found.categories += [{"category": number, "name": name or number} for number, name in sorted(used.items())]
    return found


def _object(parts: list[str], shape: tuple[int, int] | None) -> Row:
    """Return the place of an object, and how sure a model is of it."""
    values = [nan_of(part) for part in parts[1:]]
    if len(values) < 4 or not all(map(math.isfinite, values)):
        raise Unusable("box", "not a class and four or more numbers")
    # What a model found ends in its confidence, and then perhaps in the number of a track.
    if values[-1] > 1 and values[-1].is_integer() and _may_be_track(len(values), shape):
        values.pop()
    row = _posed(values, shape) if shape else _placed(values)
    if max(map(abs, row["polygon"][0] if "polygon" in row else row["box"])) > MOST_OUTSIDE:
        raise Unusable("not_relative", "coordinates beyond the image: YOLO's are parts of its sides, not pixels")
    return row


def _may_be_track(size: int, shape: tuple[int, int] | None) -> bool:
    return size == 6 + shape[0] * shape[1] if shape else size >= 6 and size % 2 == 0


def _class(number: str, classes: ClassNames) -> Row:
    """Return a class and its name; none where no file names any."""
    number = number.removesuffix(".0")
    if not classes.names or number in classes.names:
        return {"category": number, "label": classes.names.get(number)}
    if number not in classes.spelled:
        raise Unusable("unknown_class", f"class {number} is not among the names")
    return {"category": number, "label": number}


def _placed(values: list[float]) -> Row:
    """Return a box, or the corners of an outline or a rotated box, each perhaps with a confidence."""
    if len(values) < 6:
        return {"box": _centred(values), "confidence": values[4] if len(values) == 5 else None}
    confidence = values[-1] if len(values) % 2 else None
    return {"polygon": [values[: len(values) // 2 * 2]], "confidence": confidence}


def _posed(values: list[float], shape: tuple[int, int]) -> Row:
    """Return the box that stands before an object's keypoints, perhaps with a confidence after them.

    The keypoints may have the numbers that are stated for each, or 2 or 3 all the same, or be left out.
    """
    for points in (shape[0] * numbers for numbers in (shape[1], 2, 3, 0)):
        if len(values) in {4 + points, 5 + points}:
            return {"box": _centred(values), "confidence": values[-1] if len(values) == 5 + points else None}
    wanted = f"a box and {shape[0]} keypoints of {shape[1]} have {4 + shape[0] * shape[1]}"
    raise Unusable("keypoints", f"{len(values)} numbers, where {wanted}")


def _centred(values: Sequence[float]) -> list[float]:
    across, down, width, height = values[:4]
    return [across - width / 2, down - height / 2, width, height]


def _pose(lines: Sequence[list[str]]) -> tuple[int, int] | None:
    """Return the shape of keypoints that all lines have and no file states.

    After the box, each third number then says how visible a point is: 0, 1 or 2.
    """
    sizes = {len(parts) - 5 for parts in lines}
    if len(sizes) != 1 or min(sizes) < 6 or min(sizes) % 3:
        return None
    marks = [nan_of(mark) for parts in lines for mark in parts[7::3]]
    return (min(sizes) // 3, 3) if set(marks) <= {0.0, 1.0, 2.0} and 2.0 in marks else None
