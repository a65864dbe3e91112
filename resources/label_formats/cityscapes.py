"""Cityscapes: a JSON file per image with outlines in pixels, called like it but for what stands behind its last numbers."""

import re
from collections.abc import Mapping
from typing import Any

from brain_assets.resources.label_formats.annotations import Annotations, Row, entries_of, names_of
from brain_assets.resources.label_formats.content import Content, text_of

ENDING, IMAGE = re.compile(r"_gt(?:Fine|Coarse)_polygons$"), "_leftImg8bit"
GROUP = "group"
"""What the names of classes end with where several of them are one outline."""


class Cityscapes:
    """The polygons of Cityscapes, and of sets that are written as it is."""

    name = "cityscapes"
    title = "Cityscapes polygons"
    suffixes = frozenset({".json"})
    per_image = True

    def sniff(self, content: Content) -> bool:
        """Tell whether a file has an image's size and outlines."""
        tree = content.json
        return isinstance(tree, dict) and {"imgHeight", "imgWidth", "objects"} <= tree.keys()

    def read(self, content: Content) -> Annotations:
        """Return what it says of one image."""
        tree, found = content.json, Annotations()
        stem = ENDING.sub("", content.path.stem)
        keys = [*names_of(f"{stem}{IMAGE}"), *names_of(stem)]
        found.add_image(content.path.stem, keys, (tree["imgWidth"], tree["imgHeight"]))
        given = {"keys": keys, "image_id": content.path.stem}
        found.each(enumerate(entries_of(tree["objects"]), 1), lambda line, one: found.add(line, given | _object(one)))
        return found


def _object(one: Mapping[str, Any]) -> Row:
    label = text_of(one.get("label") or "").strip()
    crowd = len(label) > len(GROUP) and label.endswith(GROUP)
    ring = [float(value) for point in one["polygon"] for value in point]
    return {"label": label.removesuffix(GROUP) if crowd else label, "polygon": [ring], "iscrowd": crowd}
