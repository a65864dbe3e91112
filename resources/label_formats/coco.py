"""COCO: images, annotations and categories in one file, and lists of results that go by its numbers."""

from collections.abc import Mapping
from typing import Any

from brain_assets.resources.label_formats.annotations import (
    SCORES,
    Annotations,
    Row,
    around,
    box_fault,
    box_of,
    confidence_fault,
    line_of,
    names_of,
    number_of,
    text_of,
)
from brain_assets.resources.label_formats.content import Content
from brain_assets.resources.tabular import WHOLE_FILE, Rejected


class Coco:
    """Boxes, outlines and masks of instances, and what detectors found."""

    name = "coco"
    title = "COCO (instances, or a list of results)"
    suffixes = frozenset({".json"})
    per_image = False

    def sniff(self, content: Content) -> bool:
        """Tell whether a file is one."""
        tree = content.json
        if isinstance(tree, list):
            return not tree or (isinstance(tree[0], dict) and {"image_id", "category_id"} <= tree[0].keys())
        return isinstance(tree, dict) and isinstance(tree.get("annotations"), list)

    def read(self, content: Content) -> Annotations:
        """Return what it says."""
        return _read(content.json)


def _read(content: Any) -> Annotations:
    results = isinstance(content, list)
    tree: Mapping[str, Any] = {"annotations": content} if results else content
    if "annotations" not in tree:
        raise ValueError("there are no annotations: neither COCO nor a list of results")
    found = Annotations()
    keys: dict[str, list[str]] = {}
    for place, image in enumerate(tree.get("images", []), 1):
        try:
            _add_image(found, image, keys)
        except Exception as error:  # noqa: BLE001 - one odd image costs its own objects only
            found.rejected.append(Rejected(WHOLE_FILE, f"image {place}", line_of(error)))
    names = {text_of(one["id"]): text_of(one["name"]) for one in tree.get("categories", [])}
    found.categories += [{"category": number, "name": name} for number, name in names.items()]
    for line, one in enumerate(tree["annotations"], 1):
        try:
            reason = _add_coco(found, line, one, (keys, names, results))
        except Exception as error:  # noqa: BLE001 - one odd annotation costs itself only
            reason = "unreadable", line_of(error)
        if reason:
            found.rejected.append(Rejected(line, *reason))
    return found


def _add_image(found: Annotations, image: Mapping[str, Any], keys: dict[str, list[str]]) -> None:
    name, number = text_of(image["file_name"]), text_of(image["id"])
    size = {"width": number_of(image.get("width")), "height": number_of(image.get("height"))}
    keys[number] = names_of(name)
    found.images.append({"image_id": number, "keys": keys[number], **size})


def _add_coco(
    found: Annotations,
    line: int,
    one: Mapping[str, Any],
    known: tuple[Mapping[str, list[str]], Mapping[str, str], bool],
) -> tuple[str, str] | None:
    """Add an annotation, or return why it cannot be used."""
    keys, names, results = known
    if not isinstance(one, dict) or "image_id" not in one or "category_id" not in one:
        return "no_key", "neither image_id nor category_id"
    image, category = text_of(one["image_id"]), text_of(one["category_id"])
    if not results and image not in keys:
        return "no_sample", f"image_id {image} is not among the images"
    if not results and category not in names:
        return "unknown_class", f"category_id {category} is not among the categories"
    polygon = _polygon(one.get("segmentation"))
    box = [number_of(value) for value in one.get("bbox") or around(polygon)]
    confidence = number_of(one.get("score"))
    if fault := box_fault(box) or confidence_fault(confidence, needed=results):
        return fault
    annotation = None if results or one.get("id") is None else text_of(one["id"])
    found.objects.append({
        "line": line, "keys": keys.get(image), "image_id": image, "annotation": annotation,
        "label": names.get(category), "category": category, "confidence": confidence, "polygon": polygon,
        "mask": _mask(one.get("segmentation")), "scores": {name: one.get(name) for name in SCORES},
        "iscrowd": bool(one.get("iscrowd", 0)), "relative": False, **box_of(box),
    })  # fmt: skip
    return None


def _polygon(segmentation: Any) -> list[list[float]] | None:
    """Return the rings of a polygon as flat lists of x and y."""
    if not isinstance(segmentation, list) or not segmentation:
        return None
    rings = segmentation if isinstance(segmentation[0], list) else [segmentation]
    usable = [[float(value) for value in ring] for ring in rings if len(ring) >= 6 and len(ring) % 2 == 0]
    return usable or None


def _mask(segmentation: Any) -> Row | None:
    """Return a mask of runs as the file has it: ``size`` and ``counts``."""
    return segmentation if isinstance(segmentation, dict) else None
