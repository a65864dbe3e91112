"""CVAT 1.1: one XML file, with an element for each image, or a track through frames, and boxes, outlines and masks in pixels."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import numpy as np

from brain_assets.resources.label_formats.annotations import (
    Annotations,
    Row,
    Unusable,
    ellipse,
    names_of,
    nan_of,
    number_of,
    rotated,
)
from brain_assets.resources.label_formats.content import Content, xml_text
from brain_assets.resources.label_formats.labelled import DIGITS, InOneFolder, Labelled, LabelledObject
from brain_assets.resources.label_formats.masks import MOST_PIXELS, Rings, rings_of_mask

SHAPES = {"box", "polygon", "mask", "ellipse", "polyline", "points", "cuboid", "skeleton", "tag"}


class Cvat(InOneFolder):
    """What people drew in CVAT's tasks; tracks of videos mean the pictures that CVAT writes of its frames."""

    name = "cvat"
    title = "CVAT 1.1 XML (images, video)"
    suffixes = frozenset({".xml"})
    per_image = False

    def sniff(self, content: Content) -> bool:
        """Tell whether a file is one."""
        return content.xml.tag == "annotations"

    def read(self, content: Content) -> Annotations:
        """Return what it says; an image without shapes has no objects."""
        if content.xml.tag != "annotations":
            raise ValueError(f"its root is <{content.xml.tag}>, not <annotations>")
        found = Annotations()
        names = dict.fromkeys(_name(image) for image in content.xml.iter("image"))
        sizes = {_name(image): (image.get("width"), image.get("height")) for image in content.xml.iter("image")}
        for name in filter(None, names):
            found.add_image(name, names_of(name), sizes[name])
        shapes = [(one, _name(image)) for image in content.xml.iter("image") for one in image if one.tag in SHAPES]
        shapes += list(_tracked(content.xml, found))
        found.each(enumerate(shapes, 1), lambda line, one: _add(found, line, *one))
        return found

    holds = frozenset({"boxes", "outlines", "labels", "several"})

    def write(self, target: Path, dataset: Labelled) -> None:
        """Write one file, as CVAT takes it for a task with these images."""
        root = Element("annotations")
        SubElement(root, "version").text = "1.1"
        labels = SubElement(SubElement(SubElement(root, "meta"), "task"), "labels")
        for name in dataset.classes:
            SubElement(SubElement(labels, "label"), "name").text = xml_text(name)
        named = [one for one in dataset.images if one.objects is not None or one.labels]
        for number, image in enumerate(named):
            given = {
                "id": number,
                "name": image.path.removeprefix("images/"),
                "width": image.width,
                "height": image.height,
            }
            entry = SubElement(root, "image", {key: xml_text(str(value)) for key, value in given.items()})
            for label in image.labels:
                SubElement(entry, "tag", {"label": xml_text(label), "source": "manual"})
            for one in image.objects or []:
                _add_shape(entry, one, (image.width, image.height))
        indent(root)
        (target / "annotations.xml").write_bytes(tostring(root, "utf-8", xml_declaration=True) + b"\n")


def _add_shape(image: Element, one: LabelledObject, size: tuple[int, int]) -> None:
    given = {"label": xml_text(one.label), "source": "manual", "occluded": "0", "z_order": "0"}
    if one.rings:
        ring = [f"{value:.12g}" for value in one.ring(*size)]
        SubElement(
            image, "polygon", given | {"points": ";".join(map(",".join, zip(ring[0::2], ring[1::2], strict=True)))}
        )
        return
    corners = zip(("xtl", "ytl", "xbr", "ybr"), one.corners(*size), strict=True)
    SubElement(image, "box", given | {name: f"{round(value, DIGITS):.12g}" for name, value in corners})


def _name(image: Element) -> str:
    return image.get("name", "").strip().replace("\\", "/")


def _tracked(root: Element, found: Annotations) -> Iterator[tuple[Element, str]]:
    """Yield the shapes of tracks with the name of their frame, those left out that say that the object is out of sight.

    Of a frame with a shape it is known what it holds; of one without nobody says whether anybody looked.
    """
    seen = [(track, one) for track in root.findall("track") for one in track if one.get("outside") != "1"]
    size = [root.findtext(f".//original_size/{side}") for side in ("width", "height")]
    video = PurePosixPath((root.findtext(".//source") or "").replace("\\", "/")).stem
    for name in filter(None, dict.fromkeys(_frame(one, video) for _, one in seen)):
        found.add_image(name, names_of(name), size)
    for track, one in seen:
        one.set("label", track.get("label", ""))
        yield one, _frame(one, video)


def _frame(one: Element, video: str) -> str:
    """Return what CVAT calls the picture of a shape's frame, below a folder called like its video."""
    number = one.get("frame", "")
    return "/".join(filter(None, [video, f"frame_{int(number):06}"])) if number.isdecimal() else ""


def _add(found: Annotations, line: int, one: Element, name: str) -> None:
    if not name:
        raise Unusable("no_key", f"a {one.tag} whose image has no name, or its frame no number")
    label = one.get("label", "").strip()
    if one.tag == "tag" and label:
        found.add_label(line, name, [label])
        return
    given: Row = {"keys": names_of(name), "image_id": name, "label": label}
    found.add(line, given | shape_of(one))


def shape_of(one: Element) -> Row:
    """Return a shape as parts of an object's row, in pixels; raises Unusable where it is neither box nor outline."""
    if one.tag == "box":
        return _box(one)
    if one.tag == "polygon":
        return {"polygon": [_points(one.get("points", ""))]}
    if one.tag == "mask":
        return {"polygon": _mask(one)}
    if one.tag == "ellipse":
        return {"polygon": [_ellipse(one)]}
    raise Unusable("shape", f"a {one.tag} is neither box nor outline: boxes, polygons, ellipses and masks are read")


def _box(one: Element) -> Row:
    left, top, right, bottom = (nan_of(one.get(name)) for name in ("xtl", "ytl", "xbr", "ybr"))
    box = [left, top, right - left, bottom - top]
    degrees = number_of(one.get("rotation")) or 0.0
    return {"polygon": [rotated(box, degrees)]} if degrees % 360 else {"box": box}


def _points(text: str) -> list[float]:
    points = [float(value) for point in text.split(";") if point.strip() for value in point.split(",")]
    if len(points) < 6 or len(points) % 2:
        raise Unusable("polygon", "fewer than three points, x and y each")
    return points


def _mask(one: Element) -> Rings:
    """Return the outline of a mask: runs within a rectangle, row by row, the first of background."""
    left, top, width, height = (int(float(one.get(name, "nan"))) for name in ("left", "top", "width", "height"))
    runs = np.array([int(run) for run in one.get("rle", "").split(",") if run.strip()], dtype=np.int64)
    if not 0 < width * height <= MOST_PIXELS or (runs < 0).any() or runs.sum() > width * height:
        raise Unusable("mask", f"its runs cover {runs.sum()} pixels, its rectangle has {width} x {height}")
    values = np.zeros(width * height, dtype=bool)
    covered = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    values[: len(covered)] = covered
    return rings_of_mask(values.reshape(height, width), left, top)


def _ellipse(one: Element) -> list[float]:
    across, down, wide, high = (nan_of(one.get(name)) for name in ("cx", "cy", "rx", "ry"))
    return ellipse((across, down), (wide, high), number_of(one.get("rotation")) or 0.0)
