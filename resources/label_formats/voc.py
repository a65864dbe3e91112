"""Pascal VOC: an XML file per image, boxes in pixels counted from 1."""

import math
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from brain_assets.resources.label_formats.annotations import (
    Annotations,
    names_told,
    nan_of,
    rotated,
)
from brain_assets.resources.label_formats.content import Content, xml_text
from brain_assets.resources.label_formats.labelled import DIGITS, UNSPLIT, InOneFolder, Labelled, LabelledImage

ALL = "all"
JOINED, PARTS = "trainval", ("train.txt", "val.txt")
"""A list of what other lists, where they are there, put into two splits."""


class Voc(InOneFolder):
    """Boxes of the objects of one image, and lists of the images of each split."""

    name = "voc"
    title = "Pascal VOC XML"
    suffixes = frozenset({".xml", ".txt"})
    per_image = True

    def sniff(self, content: Content) -> bool:
        """Tell whether a file is one, or a list in ``ImageSets``."""
        if content.suffix == ".txt":
            return "ImageSets" in content.path.parts
        return content.xml.tag == "annotation" and next(content.xml.iter("pt"), None) is None

    def read(self, content: Content) -> Annotations:
        """Return what it says of one image; a list says nothing of objects."""
        if content.suffix == ".txt":
            return Annotations()
        root, found = content.xml, Annotations()
        if root.tag != "annotation":
            raise ValueError(f"its root is <{root.tag}>, not <annotation>")
        keys = names_told(content.path, root.findtext("filename") or "")
        image = content.path.stem
        found.add_image(image, keys, _texts(root.find("size"), "width", "height"))
        given = {"keys": keys, "image_id": image}
        found.each(enumerate(root.iter("object"), 1), lambda line, one: found.add(line, given | _object(one)))
        return found

    def may_hold_columns(self, path: Path) -> bool:
        """Tell whether a file lists the images of a split, below ``ImageSets`` or its folder of detection, ``Main``."""
        folder = path.parent.parent if path.parent.name == "Main" else path.parent
        if path.suffix != ".txt" or folder.name != "ImageSets":
            return False
        if path.stem == JOINED:
            return not any(path.with_name(name).is_file() for name in PARTS)
        return path.stem not in {ALL, UNSPLIT}

    def columns(self, content: Content) -> Sequence[dict[str, object]]:
        """Return the split of the images that a list names by their stems; lists of a class have more in each line."""
        split = "train" if content.path.stem == JOINED else content.path.stem
        lines = [words for line in content.text.splitlines() if (words := line.split())]
        alone = all(len(words) == 1 for words in lines)
        return [{"filepath": words[0], "split": split, "tags": []} for words in lines] if alone else []

    holds = frozenset({"boxes", "splits"})
    images = "JPEGImages"

    def write(self, target: Path, dataset: Labelled) -> None:
        """Write a file for each image, and a list for each split."""
        for image in dataset.images:
            if image.objects is not None:
                path = target / f"Annotations/{image.stem.removeprefix('JPEGImages/')}.xml"
                path.parent.mkdir(parents=True, exist_ok=True)
                tree = _tree(image)
                indent(tree)
                path.write_bytes(tostring(tree, "utf-8") + b"\n")
        lists = target / "ImageSets" / "Main"
        lists.mkdir(parents=True)
        for split, members in dataset.by_split():
            stems = [f"{one.stem.removeprefix('JPEGImages/')}\n" for one in members if one.objects is not None]
            (lists / f"{split or ALL}.txt").write_text("".join(stems), "utf-8")


def _tree(image: LabelledImage) -> Element:
    root = Element("annotation")
    SubElement(root, "folder").text = PurePosixPath(image.path).parent.as_posix()
    SubElement(root, "filename").text = PurePosixPath(image.path).name
    size = SubElement(root, "size")
    for name, side in (("width", image.width), ("height", image.height), ("depth", 3)):
        SubElement(size, name).text = str(side)
    SubElement(root, "segmented").text = "0"
    for one in image.objects or []:
        entry = SubElement(root, "object")
        for name, text in (("name", one.label), ("pose", "Unspecified"), ("truncated", "0"), ("difficult", "0")):
            SubElement(entry, name).text = xml_text(text)
        left, top, right, bottom = one.corners(image.width, image.height)
        box = SubElement(entry, "bndbox")
        for name, edge in (("xmin", left + 1), ("ymin", top + 1), ("xmax", right), ("ymax", bottom)):
            SubElement(box, name).text = f"{round(edge, DIGITS):.12g}"
    return root


def _object(one: Element) -> dict[str, object]:
    row: dict[str, object] = {"label": (one.findtext("name") or "").strip()}
    if (turned := one.find("robndbox")) is not None:
        across, down, width, height, angle = map(nan_of, _texts(turned, "cx", "cy", "w", "h", "angle"))
        box = [across - width / 2, down - height / 2, width, height]
        return row | {"polygon": [rotated(box, math.degrees(angle))]}
    left, top, right, bottom = map(nan_of, _texts(one.find("bndbox"), "xmin", "ymin", "xmax", "ymax"))
    # VOC counts pixels from 1, and the last one is inside.
    return row | {"box": [left - 1, top - 1, right - left + 1, bottom - top + 1]}


def _texts(parent: Element | None, *names: str) -> list[str | None]:
    return [None if parent is None else parent.findtext(name) for name in names]
