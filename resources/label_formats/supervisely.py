"""Supervisely: a JSON file per image, called like it with its suffix, with figures in pixels."""

import base64
import zlib
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from brain_assets.resources.label_formats.annotations import (
    Annotations,
    Row,
    Unusable,
    entries_of,
    names_beside,
    names_of,
)
from brain_assets.resources.label_formats.content import Content, text_of
from brain_assets.resources.label_formats.masks import rings_of_png

MOST_BYTES = 1 << 28


class Supervisely:
    """Rectangles, polygons and bitmaps of Supervisely's own export."""

    name = "supervisely"
    title = "Supervisely JSON"
    suffixes = frozenset({".json"})
    per_image = True

    def sniff(self, content: Content) -> bool:
        """Tell whether a file has the objects of one image, or describes the project."""
        tree = content.json
        return isinstance(tree, dict) and (
            (isinstance(tree.get("objects"), list) and isinstance(tree.get("size"), dict)) or _is_project(tree)
        )

    def read(self, content: Content) -> Annotations:
        """Return what it says of one image."""
        tree, found = content.json, Annotations()
        if _is_project(tree):
            return found
        keys = _names(content.path)
        found.add_image(content.path.stem, keys, (tree["size"].get("width"), tree["size"].get("height")))
        given = {"keys": keys, "image_id": content.path.stem}
        found.each(enumerate(entries_of(tree["objects"]), 1), lambda line, one: found.add(line, given | _object(one)))
        return found


def _is_project(tree: Mapping[str, Any]) -> bool:
    return isinstance(tree.get("classes"), list) and ("tags" in tree or "projectType" in tree)


def _names(path: PurePath) -> list[str]:
    """Return what may name the image of ``ann/x.jpg.json``: ``img/x.jpg`` beside it, else the name alone."""
    beside = path.parent.parent / "img" / path.stem
    return [beside.as_posix(), *names_of(path.stem), *names_beside(path)[-1:]]


def _object(one: Mapping[str, Any]) -> Row:
    label, kind = text_of(one.get("classTitle") or "").strip(), one.get("geometryType")
    if kind == "rectangle":
        (left, top), (right, bottom) = one["points"]["exterior"]
        # The last pixel is inside.
        box = [min(left, right), min(top, bottom), abs(right - left) + 1, abs(bottom - top) + 1]
        return {"label": label, "box": box}
    if kind == "polygon":
        rings = [one["points"]["exterior"], *(one["points"].get("interior") or [])]
        return {"label": label, "polygon": [[float(value) for point in ring for value in point] for ring in rings]}
    if kind == "bitmap":
        bitmap = one["bitmap"]
        png = zlib.decompressobj().decompress(base64.b64decode(bitmap["data"]), MOST_BYTES)
        return {"label": label, "polygon": rings_of_png(png, *bitmap["origin"])}
    raise Unusable("shape", f"a {kind} is neither box nor outline: rectangle, polygon and bitmap are read")
