"""VGG Image Annotator: one JSON file, a project or its annotations, with regions in pixels."""

import math
from collections.abc import Mapping
from typing import Any

from brain_assets.resources.label_formats.annotations import (
    Annotations,
    Row,
    Unusable,
    ellipse,
    entries_of,
    names_of,
    nan_of,
    number_of,
)
from brain_assets.resources.label_formats.content import Content, text_of

NAMED = ("label", "class", "name", "type", "category", "object")
"""Attributes that hold a region's class where it has several."""


class Via:
    """Regions that people drew in VIA 1 and 2."""

    name = "via"
    title = "VGG Image Annotator JSON"
    suffixes = frozenset({".json"})
    per_image = False

    def sniff(self, content: Content) -> bool:
        """Tell whether a file is a project, or has files with regions."""
        files = _files(content.json)
        return bool(files) and all(isinstance(one, dict) and {"filename", "regions"} <= one.keys() for one in files[:1])

    def read(self, content: Content) -> Annotations:
        """Return what it says; a file without regions is an image without objects."""
        found, regions = Annotations(), list[tuple[str, Any]]()
        for one in _files(content.json):
            name = text_of(one.get("filename") or "").strip()
            drawn = one.get("regions") or []
            regions += [(name, region) for region in (drawn.values() if isinstance(drawn, dict) else entries_of(drawn))]
            if name and all(image["image_id"] != name for image in found.images[-1:]):
                found.add_image(name, names_of(name))
        found.images = list({image["image_id"]: image for image in found.images}.values())
        found.each(enumerate(regions, 1), lambda line, one: found.add(line, _object(*one)))
        return found


def _files(tree: Any) -> list[Any]:
    files = tree.get("_via_img_metadata", tree) if isinstance(tree, dict) else {}
    return list(files.values())


def _object(name: str, region: Mapping[str, Any]) -> Row:
    if not name:
        raise Unusable("no_key", "no filename")
    label = _label(region.get("region_attributes") or {})
    return {"keys": names_of(name), "image_id": name, "label": label, **_shape(region["shape_attributes"])}


def _label(attributes: Mapping[str, Any]) -> str:
    """Return a region's class: its only attribute, or the one that is called so; of options the first that is chosen."""
    lower = {key.lower(): value for key, value in attributes.items()}
    value = next((lower[key] for key in NAMED if key in lower), next(iter(lower.values()), ""))
    if isinstance(value, dict):
        value = next((option for option, chosen in value.items() if chosen), "")
    return text_of(value).strip()


def _shape(shape: Mapping[str, Any]) -> Row:
    kind = shape.get("name")
    if kind == "rect":
        return {"box": [nan_of(shape.get(part)) for part in ("x", "y", "width", "height")]}
    if kind in {"polygon", "polyline"}:
        across, down = shape["all_points_x"], shape["all_points_y"]
        if len(across) < 3:
            raise Unusable("polygon", "fewer than three points")
        return {"polygon": [[float(value) for point in zip(across, down, strict=True) for value in point]]}
    if kind in {"circle", "ellipse"}:
        centre = nan_of(shape.get("cx")), nan_of(shape.get("cy"))
        radii = nan_of(shape.get("rx", shape.get("r"))), nan_of(shape.get("ry", shape.get("r")))
        # VIA states the turn in radians.
        return {"polygon": [ellipse(centre, radii, math.degrees(number_of(shape.get("theta")) or 0.0))]}
    raise Unusable("shape", f"a {kind} is neither box nor outline: rect, polygon, circle and ellipse are read")
