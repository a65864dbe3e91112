"""YOLO: a text per image, one line per object, relative to the image; names of classes stand in a file above."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePath

import yaml

from brain_assets.resources.label_formats.annotations import (
    Annotations,
    Together,
    names_beside,
)
from brain_assets.resources.label_formats.class_names import (
    LISTS,
    YAML,
    is_class_list,
    names_above,
    names_classes,
    read_names,
)
from brain_assets.resources.label_formats.content import Content
from brain_assets.resources.label_formats.input_files import InputFile
from brain_assets.resources.label_formats.labelled import BySplit, Labelled, LabelledObject
from brain_assets.resources.label_formats.yolo_lines import class_of, is_object, object_of, pose_of
from brain_assets.resources.label_formats.yolo_texts import read_together
from brain_assets.resources.media.candidates import IMAGE_SUFFIXES

LOOKED_AT = 20
SPLITS = {"train", "val", "valid", "test", "trainval"}
"""Lists of images are called so, by path or by stem."""
BESIDE = "|".join(map(re.escape, sorted({*LISTS, *(f"{split}.txt" for split in SPLITS)})))
NOT_OF_IMAGE = re.compile(rf"(?:\A|[/\n])(?:{BESIDE}|readme[^/\n]*)\n|(?<!\.txt)\n")
"""What lies beside texts of images, among names in lower case that each end in a new line."""


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
        return not lines or any(is_object(line.split()) for line in lines)

    def read(self, content: Content) -> Annotations:
        """Return what it says of one image, or the names of classes."""
        if is_beside(content):
            return _beside(content)
        return _read(content)

    def read_together(self, files: Sequence[InputFile]) -> Sequence[Together]:
        """Return what plain texts of one folder say, thousands in one pass."""
        texts = files if _are_of_images(files) else [one for one in files if _are_of_images([one])]
        return read_together(texts) if texts else []

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
    # The labels of an image that is called like a split are no list, nor is what has a class behind each name.
    if path.stem.lower() in SPLITS and all(len(line.split()) == 1 for line in lines):
        return True
    return bool(lines) and all(PurePath(line.replace("\\", "/")).suffix.lower() in IMAGE_SUFFIXES for line in lines)


def _are_of_images(files: Sequence[InputFile]) -> bool:
    """Tell by their names alone whether texts cannot but be of one image each if they have lines of objects."""
    return not NOT_OF_IMAGE.search("\n".join([one.name for one in files]).lower() + "\n")


def _lines(text: str) -> list[str]:
    return [line for line in map(str.strip, text.splitlines()) if line]


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
    shape = classes.keypoints or pose_of([parts for _, parts in lines])

    def add(line: int, parts: list[str]) -> None:
        row = object_of(parts, shape)
        found.add(line, {"keys": keys, "image_id": keys[0], "relative": True, **class_of(parts[0], classes), **row})

    found.each(lines, add)
    # Of these, what models find takes the names that their own numbers have.
    used = {one["category"]: one["label"] for one in found.objects}
    found.categories += [{"category": number, "name": name or number} for number, name in sorted(used.items())]
    return found
