"""COCO: images, annotations and categories in one file, and lists of results that go by its numbers."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from brain_assets.methods.labels.objects import encode_rle
from brain_assets.resources.label_formats.annotations import (
    SCORES,
    Annotations,
    Row,
    Unusable,
    around,
    confidence_fault,
    entries_of,
    names_of,
    number_of,
)
from brain_assets.resources.label_formats.class_names import names_above
from brain_assets.resources.label_formats.content import Content, text_of
from brain_assets.resources.label_formats.labelled import (
    DIGITS,
    InOneFolder,
    Labelled,
    LabelledObject,
    holed,
    mask_of,
)
from brain_assets.resources.label_formats.masks import rings_of_runs, united
from brain_assets.resources.tabular import WHOLE_FILE, Rejected, without_point

NUMBER = re.compile("0|[1-9][0-9]{0,14}")
# What says where an object is; an annotation without any is of its image as a whole, as those of camera traps are.
PLACES = {"bbox", "segmentation", "keypoints"}
RELATIVE = 1.01
"""Boxes of which no number is larger, and some are fractions, are parts of their image."""
FALSE = {"", "0", "0.0", "false", "no", "none"}


class Coco(InOneFolder):
    """Boxes, outlines, masks, keypoints and segments of whole scenes, and what detectors found."""

    name = "coco"
    title = "COCO (annotations, or a list of results)"
    suffixes = frozenset({".json"})
    per_image = False

    def sniff(self, content: Content) -> bool:
        """Tell whether a file has COCO's lists, or begins with a result."""
        tree = _results_of(content.json)
        if isinstance(tree, list):
            return not tree or (isinstance(tree[0], dict) and {"image_id", "category_id"} <= tree[0].keys())
        return isinstance(tree, dict) and isinstance(tree.get("images", tree.get("annotations")), list)

    def read(self, content: Content) -> Annotations:
        """Return what it says; results name images and categories by the numbers of the label files."""
        tree, found = _results_of(content.json), Annotations()
        if isinstance(tree, list):
            found.each(enumerate(tree, 1), lambda line, one: _add_result(found, line, one))
            _name_results(found, content.path)
        elif "annotations" not in tree:
            raise ValueError("there are no annotations: neither COCO nor a list of results")
        else:
            _File(tree, found).read()
        if _are_parts(found.objects):
            found.objects = [one | {"relative": True} for one in found.objects]
        return found

    holds = frozenset({"boxes", "outlines", "crowds", "splits"})

    def write(self, target: Path, dataset: Labelled) -> None:
        """Write a file for each split; no number of an image or an annotation comes twice."""
        images = [one for one in dataset.images if one.objects is not None and one.width and one.height]
        places = numbers_of([(one.path, one.number) for one in images])
        classes = numbers_of([(name, dataset.numbers.get(name)) for name in dataset.classes])
        ids = identities(one.object_id for image in images for one in image.objects or [])
        (target / "annotations").mkdir()
        for split, members in dataset.by_split():
            known = [one for one in members if one.path in places]
            content = {
                "images": [
                    image_entry(places[one.path], one.path.removeprefix("images/"), (one.width, one.height))
                    for one in known
                ],
                "annotations": [
                    {"id": next(ids), "image_id": places[image.path], "category_id": classes[one.label]}
                    | shape_entry(one, (image.width, image.height))
                    for image in known
                    for one in image.objects or []
                ],
                "categories": category_entries(classes),
            }
            path = target / "annotations" / f"instances_{split or 'all'}.json"
            path.write_text(json.dumps(content, ensure_ascii=False) + "\n", "utf-8")


def image_entry(number: int, name: str, size: tuple[int, int]) -> Row:
    """Return an image as COCO lists it."""
    return {"id": number, "file_name": name, "width": size[0], "height": size[1]}


def category_entries(numbers: Mapping[str, int]) -> list[Row]:
    """Return classes as COCO lists them, by their numbers."""
    return [{"id": number, "name": name} for name, number in sorted(numbers.items(), key=lambda item: item[1])]


def shape_entry(one: LabelledObject, size: tuple[int, int]) -> Row:
    """Return where an object is, in pixels; an outline with holes, and that of a crowd, as runs of its mask."""
    width, height = size
    box = [round(value * size[place % 2], DIGITS) for place, value in enumerate(one.box)]
    entry: Row = {"bbox": box, "area": round(box[2] * box[3], DIGITS), "iscrowd": int(one.crowd)}
    rings = one.sized(width, height)
    if not rings:
        return entry
    if (one.crowd or holed(rings)) and (mask := mask_of(rings, width, height)).any():
        runs = {"size": [height, width], "counts": encode_rle(mask)}
        return entry | {"area": int(mask.sum()), "segmentation": runs}
    return entry | {"area": round(sum(map(_area, rings)), DIGITS), "segmentation": rings}


def _area(ring: Sequence[float]) -> float:
    x, y = np.array(ring[0::2]), np.array(ring[1::2])
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def numbers_of(named: Iterable[tuple[str, str | None]]) -> dict[str, int]:
    """Return a number for every name: that of the files of labels where it is one and free, else one above all of these.

    Results of models name images and classes by the numbers of the file of labels: they fit what is written, too.
    """
    pairs, numbers, taken = list(named), dict[str, int](), set[str]()
    for name, given in pairs:
        if name not in numbers and given not in taken and given is not None and NUMBER.fullmatch(given):
            numbers[name] = int(given)
            taken.add(given)
    above = max(numbers.values(), default=0)
    for name, _ in pairs:
        if name not in numbers:
            above += 1
            numbers[name] = above
    return numbers


def identities(object_ids: Iterable[str]) -> Iterator[int]:
    """Yield a number for every object, up to 2**52, that stays when others come or go."""
    found: set[int] = set()
    for one in object_ids:
        number = int(one[:13], 16) or 1
        while number in found:
            number += 1
        found.add(number)
        yield number


class _File:
    """A file of annotations while it is read."""

    def __init__(self, tree: Mapping[str, Any], found: Annotations) -> None:
        self.tree, self.found = tree, found
        self.keys: dict[str, list[str]] = {}
        self.names: dict[str, str] = {}
        self.taken: set[str] = set()
        self.classed: set[str] = set()
        self.ambiguous: set[str] = set()

    def read(self) -> None:
        """Read images and categories, then what names them."""
        images, categories = self.tree.get("images") or [], self.tree.get("categories") or []
        self._each("image", images, self._image)
        self.found.images = [one for one in self.found.images if one["image_id"] not in self.ambiguous]
        said = (f"several images have the id {number}" for number in sorted(self.ambiguous))
        self.found.rejected += [Rejected(WHOLE_FILE, "duplicate_id", detail) for detail in said]
        self._each("category", categories, self._category)
        self.found.categories += [{"category": number, "name": name} for number, name in self.names.items()]
        self.found.each(enumerate(_entries(self.tree["annotations"]), 1), self._annotation)
        # Nobody looked for objects in what has a class as a whole alone.
        placed = {one["image_id"] for one in self.found.objects}
        whole = self.classed - placed
        self.found.images = [one for one in self.found.images if one["image_id"] not in whole]

    def _each(self, what: str, entries: Any, add: Any) -> None:
        """Add images or categories; one that is odd costs what names it, and is listed with its place."""
        odd = Annotations()
        odd.each(enumerate(entries_of(entries), 1), add)
        self.found.rejected += [
            Rejected(WHOLE_FILE, f"{what} {one.line}", f"{one.reason}: {one.detail}") for one in odd.rejected
        ]

    def _image(self, _: int, image: Mapping[str, Any]) -> None:
        number, keys = identity_of(image["id"]), names_of(_file_name(image))
        if number in self.keys:
            if self.keys[number] != keys:
                self.ambiguous.add(number)
            return
        self.keys[number] = keys
        self.found.add_image(number, keys, (image.get("width"), image.get("height")))

    def _category(self, _: int, category: Mapping[str, Any]) -> None:
        number, name = identity_of(category["id"]), text_of(category["name"]).strip()
        if self.names.setdefault(number, name) != name:
            raise Unusable("duplicate_id", f"{number} is both {self.names[number]} and {name}: the first holds")

    def _annotation(self, line: int, one: Any) -> None:
        if not isinstance(one, dict) or "image_id" not in one or "category_id" not in one:
            raise Unusable("no_key", "neither image_id nor category_id")
        image, category = identity_of(one["image_id"]), identity_of(one["category_id"])
        if image in self.ambiguous:
            raise Unusable("duplicate_id", f"several images have the id {image}")
        if image not in self.keys:
            raise Unusable("no_sample", f"image_id {image} is not among the images")
        if category not in self.names:
            raise Unusable("unknown_class", f"category_id {category} is not among the categories")
        if not PLACES & one.keys():
            self.classed.add(image)
            self.found.add_label(line, self.keys[image][0], [self.names[category]])
            return
        named = {"keys": self.keys[image], "label": self.names[category], "annotation": self._own_id(one, line)}
        _add(self.found, line, one, {"image_id": image, "category": category, **named})

    def _own_id(self, one: Mapping[str, Any], line: int) -> str | None:
        """Return the id of an annotation, with its line where another has it, too."""
        if one.get("id") is None:
            return None
        number = identity_of(one["id"])
        own = f"{number}#{line}" if number in self.taken else number
        self.taken.add(own)
        return own


def _results_of(tree: Any) -> Any:
    """Return the list of results in an object that has nothing else, such as ``{"predictions": [...]}``."""
    if not isinstance(tree, dict) or "images" in tree:
        return tree
    lists = [one for one in tree.values() if isinstance(one, list) and one and isinstance(one[0], dict)]
    return lists[0] if len(lists) == 1 and {"image_id", "category_id", "score"} <= lists[0][0].keys() else tree


def _are_parts(objects: Sequence[Row]) -> bool:
    """Tell whether all boxes of a file are in parts of their images' sides and not in pixels."""
    sides = [value for one in objects for value in (one["x"], one["y"], one["width"], one["height"])]
    return bool(sides) and max(sides) <= RELATIVE and any(value % 1 for value in sides)


def _entries(annotations: Any) -> Iterator[Any]:
    """Yield annotations; those of whole scenes as one for each segment, whose numbers hold within an image only."""
    for one in entries_of(annotations):
        if isinstance(one, dict) and isinstance(one.get("segments_info"), list):
            for segment in one["segments_info"]:
                odd = not isinstance(segment, dict)
                yield segment if odd else {**segment, "id": None, "image_id": one.get("image_id")}
        else:
            yield one


def _add_result(found: Annotations, line: int, one: Any) -> None:
    if not isinstance(one, dict) or "image_id" not in one or "category_id" not in one:
        raise Unusable("no_key", "neither image_id nor category_id")
    if fault := confidence_fault(number_of(one.get("score")), needed=True):
        raise Unusable(*fault)
    image = identity_of(one["image_id"])
    _add(
        found,
        line,
        one,
        {"image_id": image, "keys": _result_keys(one, image), "category": identity_of(one["category_id"])},
    )


def _name_results(found: Annotations, path: Path) -> None:
    """Give results that go by files the names of YOLO's classes, where such a file stands above them.

    YOLO's tools have counted these from 0, and later from 1: what reaches the number of classes and has no 0 counts from 1.
    """
    rows = [one for one in found.objects if one["keys"] and NUMBER.fullmatch(one["category"])]
    with suppress(ValueError):
        names = names_above(path).names
        numbers = {int(one["category"]) for one in rows}
        first = int(bool(names) and 0 not in numbers and max(numbers, default=0) == len(names))
        for one in rows:
            one["label"] = names.get(str(int(one["category"]) - first))


def _result_keys(one: Mapping[str, Any], image: str) -> list[str] | None:
    """Return what names the image of a result whose number is none: its file, or its stem, as YOLO's tools write it."""
    if isinstance(name := one.get("file_name"), str) and name:
        return names_of(name)
    return None if image.lstrip("-").isdigit() else names_of(image)


def _add(found: Annotations, line: int, one: Mapping[str, Any], row: Row) -> None:
    rings, fault = _outline(one.get("segmentation"))
    given = one.get("bbox")
    box = [number_of(value) for value in given] if isinstance(given, list | tuple) else []
    row |= {
        "box": box or _around_keypoints(one.get("keypoints")), "polygon": rings, "confidence": number_of(one.get("score")),
        "iscrowd": text_of(one.get("iscrowd") or 0).strip().lower() not in FALSE,
        "scores": {name: one.get(name) for name in SCORES},
    }  # fmt: skip
    found.add(line, row)
    if fault:
        found.rejected.append(Rejected(line, *fault))


def _outline(segmentation: Any) -> tuple[list[list[float]] | None, tuple[str, str] | None]:
    """Return the rings of an outline, or why its object has none but its box."""
    try:
        if isinstance(segmentation, dict):
            return rings_of_runs(segmentation) or None, None
        return _rings(segmentation), None
    except Exception as error:  # noqa: BLE001 - an outline is anything, and costs its object no more than itself
        reason = "mask" if isinstance(segmentation, dict) else "segmentation"
        return None, (reason, text_of(" ".join(f"its box alone is used: {error}".split())[:300]))


def _rings(segmentation: Any) -> list[list[float]] | None:
    if not isinstance(segmentation, list) or not any(segmentation):
        return None
    rings = segmentation if isinstance(segmentation[0], list) else [segmentation]
    if all(isinstance(ring, list) and len(ring) == 2 for ring in rings):
        rings = [[value for point in rings for value in point]]
    numbers = [[number_of(value) for value in ring] for ring in rings if ring]
    if any(len(ring) < 6 or len(ring) % 2 or None in ring for ring in numbers):
        raise ValueError("a ring is no list of three or more points, x and y in turn")
    return united(numbers)  # type: ignore[arg-type]


def _around_keypoints(keypoints: Any) -> list[float]:
    """Return the box around the keypoints that are labelled."""
    if not isinstance(keypoints, list) or len(keypoints) % 3:
        return []
    points = [keypoints[start : start + 2] for start in range(0, len(keypoints), 3) if keypoints[start + 2]]
    return around([[float(value) for point in points for value in point]]) if points else []


def _file_name(image: Mapping[str, Any]) -> str:
    """Return the name of an image's file: LVIS gives its address alone, and some tools its path."""
    name = image.get("file_name") or image.get("path")
    if not name and isinstance(address := image.get("coco_url"), str):
        name = "/".join(address.split("/")[-2:])
    if not name:
        raise Unusable("no_key", "no file_name")
    return text_of(name)


def identity_of(value: Any) -> str:
    """Return an id as text; numbers are compared as numbers, however they are written."""
    if value is None or isinstance(value, bool):
        raise Unusable("no_key", f"the id {value}")
    return without_point(text_of(value).strip())
