"""Pascal VOC: an XML file per image, boxes in pixels counted from 1."""

import math
from xml.etree.ElementTree import Element

from brain_assets.resources.label_formats.annotations import (
    Annotations,
    names_told,
    nan_of,
    rotated,
)
from brain_assets.resources.label_formats.content import Content


class Voc:
    """Boxes of the objects of one image."""

    name = "voc"
    title = "Pascal VOC XML"
    suffixes = frozenset({".xml"})
    per_image = True

    def sniff(self, content: Content) -> bool:
        """Tell whether a file is one."""
        return content.xml.tag == "annotation" and content.xml.find("object/polygon/pt") is None

    def read(self, content: Content) -> Annotations:
        """Return what it says of one image."""
        root, found = content.xml, Annotations()
        if root.tag != "annotation":
            raise ValueError(f"its root is <{root.tag}>, not <annotation>")
        keys = names_told(content.path, root.findtext("filename") or "")
        image = content.path.stem
        found.add_image(image, keys, [root.findtext(f"size/{side}") for side in ("width", "height")])
        given = {"keys": keys, "image_id": image}
        found.each(enumerate(root.iter("object"), 1), lambda line, one: found.add(line, given | _object(one)))
        return found


def _object(one: Element) -> dict[str, object]:
    row: dict[str, object] = {"label": (one.findtext("name") or "").strip()}
    if (turned := one.find("robndbox")) is not None:
        across, down, width, height, angle = (nan_of(turned.findtext(part)) for part in ("cx", "cy", "w", "h", "angle"))
        box = [across - width / 2, down - height / 2, width, height]
        return row | {"polygon": [rotated(box, math.degrees(angle))]}
    left, top, right, bottom = (nan_of(one.findtext(f"bndbox/{part}")) for part in ("xmin", "ymin", "xmax", "ymax"))
    # VOC counts pixels from 1, and the last one is inside.
    return row | {"box": [left - 1, top - 1, right - left + 1, bottom - top + 1]}
