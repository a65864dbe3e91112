"""FiftyOne: a folder of data and labels.json, for boxes or for the class of each image."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from brain_assets.resources.label_formats.annotations import (
    Annotations,
    Row,
    Unusable,
    entries_of,
    nan_of,
    number_of,
)
from brain_assets.resources.label_formats.content import Content, text_of
from brain_assets.resources.label_formats.labelled import Labelled, LabelledImage, inside


class FiftyOne:
    """FiftyOneImageDetectionDataset, or FiftyOneImageClassificationDataset where nobody speaks of objects."""

    name = "fiftyone"
    title = "FiftyOne labels.json"
    suffixes = frozenset({".json"})
    per_image = False
    holds = frozenset({"boxes", "labels", "crowds"})
    packs = False

    def sniff(self, content: Content) -> bool:
        """Tell whether a file has labels by the names of images."""
        tree = content.json
        return isinstance(tree, dict) and isinstance(tree.get("labels"), dict) and "classes" in tree

    def read(self, content: Content) -> Annotations:
        """Return what it says; the images lie in the folder ``data`` beside it."""
        found, classes = Annotations(), content.json.get("classes") or []
        entries: list[tuple[list[str], Any]] = []
        for name, said in content.json["labels"].items():
            keys = [(content.path.parent / "data" / name).as_posix(), f"//{name}"]
            if isinstance(said, list):
                found.add_image(name, keys)
            entries += [(keys, one) for one in (said if isinstance(said, list) else [said]) if one is not None]
        found.each(enumerate(entries, 1), lambda line, one: _add(found, line, one, classes))
        return found

    def place(self, image: LabelledImage, folder: str) -> str:
        """Return where an image stands: all of them in one folder, by a name that tells its folders."""
        del folder
        return f"data/{'_'.join(inside('', image))}"

    def held(self, dataset: Labelled) -> frozenset[str]:
        """Return what it says of a dataset: labels of whole images only where nobody speaks of objects."""
        return self.holds - {"labels"} if dataset.has_objects else self.holds

    def write(self, target: Path, dataset: Labelled) -> None:
        """Write labels.json: boxes where there are objects, else the class of each image."""
        numbers = {name: number for number, name in enumerate(dataset.classes)}
        labels: dict[str, Any] = {}
        for image in dataset.images:
            key = image.stem.removeprefix("data/")
            if dataset.has_objects and image.objects is not None:
                labels[key] = [_entry(numbers[one.label], one.box, crowd=one.crowd) for one in image.objects]
            elif not dataset.has_objects:
                labels[key] = numbers[image.labels[0]] if image.labels else None
        content = {"classes": dataset.classes, "labels": labels}
        (target / "labels.json").write_text(json.dumps(content, ensure_ascii=False) + "\n", "utf-8")


def _entry(number: int, box: Sequence[float], *, crowd: bool) -> Row:
    return {"label": number, "bounding_box": [round(value, 8) for value in box], "attributes": {"iscrowd": crowd}}


def _add(found: Annotations, line: int, one: tuple[list[str], Any], classes: Sequence[Any]) -> None:
    keys, said = one
    box = said.get("bounding_box") if isinstance(said, Mapping) else None
    label = _class(said.get("label") if isinstance(said, Mapping) else said, classes)
    if box is None:
        found.add_label(line, keys[0], [label])
        return
    crowd = (said.get("attributes") or {}).get("iscrowd", said.get("iscrowd", False))
    row: Row = {"keys": keys, "image_id": keys[1].removeprefix("//"), "label": label, "relative": True}
    row |= {"box": [nan_of(value) for value in entries_of(box)], "iscrowd": crowd in (True, 1)}
    found.add(line, row | {"confidence": number_of(said.get("confidence"))})


def _class(label: Any, classes: Sequence[Any]) -> str:
    """Return the name of a class, which may be given by its number."""
    if isinstance(label, int) and not isinstance(label, bool):
        if not 0 <= label < len(classes):
            raise Unusable("unknown_class", f"class {label} is not among the classes")
        return text_of(classes[label])
    if not isinstance(label, str) or not label.strip():
        raise Unusable("no_label")
    return label.strip()
