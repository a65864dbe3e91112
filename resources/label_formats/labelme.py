"""LabelMe: a JSON file per image, with shapes in pixels."""

import base64
from collections.abc import Mapping
from itertools import chain
from math import dist
from typing import Any

from brain_assets.resources.label_formats.annotations import (
    Annotations,
    Row,
    Unusable,
    ellipse,
    entries_of,
    names_told,
)
from brain_assets.resources.label_formats.content import Content, text_of
from brain_assets.resources.label_formats.masks import rings_of_png


class LabelMe:
    """What people drew in LabelMe, or in the tools that write its files."""

    name = "labelme"
    title = "LabelMe JSON"
    suffixes = frozenset({".json"})
    per_image = True

    def sniff(self, content: Content) -> bool:
        """Tell whether a file has shapes of one image."""
        tree = content.json
        return isinstance(tree, dict) and isinstance(tree.get("shapes"), list)

    def read(self, content: Content) -> Annotations:
        """Return what it says of one image; flags that are set are its classes."""
        tree, found = content.json, Annotations()
        keys = names_told(content.path, text_of(tree.get("imagePath") or ""))
        found.add_image(content.path.stem, keys, (tree.get("imageWidth"), tree.get("imageHeight")))
        given = {"keys": keys, "image_id": content.path.stem}
        found.each(enumerate(entries_of(tree["shapes"]), 1), lambda line, one: found.add(line, given | _shape(one)))
        flags = tree.get("flags")
        chosen = [text_of(name) for name, is_set in flags.items() if is_set is True] if isinstance(flags, dict) else []
        if chosen:
            found.add_label(len(tree["shapes"]) + 1, keys[0], chosen)
        return found


def _shape(one: Mapping[str, Any]) -> Row:
    label, kind = text_of(one.get("label") or "").strip(), one.get("shape_type") or "polygon"
    points = [[float(value) for value in point[:2]] for point in one.get("points") or []]
    if kind not in DRAWN:
        raise Unusable("shape", f"a {kind} is neither box nor outline: {', '.join(DRAWN)} are read")
    if len(points) < DRAWN[kind]:
        raise Unusable("polygon", f"{len(points)} points, where a {kind} has at least {DRAWN[kind]}")
    score = one.get("score")
    return {"label": label, "confidence": score, **_placed(kind, points, one)}


# The shapes that are read, and how many points each has at least.
DRAWN = {"polygon": 3, "rectangle": 2, "circle": 2, "rotation": 3, "mask": 2}


def _placed(kind: str, points: list[list[float]], one: Mapping[str, Any]) -> Row:
    across, down = zip(*points, strict=True)
    box = [min(across), min(down), max(across) - min(across), max(down) - min(down)]
    if kind == "rectangle":
        return {"box": box}
    if kind == "circle":
        return {"polygon": [ellipse((across[0], down[0]), (dist(*points[:2]),) * 2)]}
    if kind == "mask":
        return {"box": box, "polygon": rings_of_png(base64.b64decode(one["mask"]), *points[0]) or None}
    return {"polygon": [list(chain.from_iterable(points))]}
