"""Pascal VOC: an XML file per image, boxes in pixels counted from 1."""

from brain_assets.resources.label_formats.annotations import (
    Annotations,
    box_fault,
    box_of,
    names_of,
    nan_of,
    number_of,
)
from brain_assets.resources.label_formats.content import Content
from brain_assets.resources.tabular import Rejected


class Voc:
    """Boxes of the objects of one image."""

    name = "voc"
    title = "Pascal VOC XML"
    suffixes = frozenset({".xml"})
    per_image = True

    def sniff(self, content: Content) -> bool:
        """Tell whether a file is one."""
        return content.xml.tag == "annotation"

    def read(self, content: Content) -> Annotations:
        """Return what it says of one image."""
        return _read(content)


def _read(content: Content) -> Annotations:
    path, root = content.path, content.xml
    found = Annotations()
    name = root.findtext("filename") or path.stem
    keys = [*names_of(name), f"//{path.stem}"]
    size = {part: number_of(root.findtext(f"size/{part}")) or None for part in ("width", "height")}
    found.images.append({"image_id": path.stem, "keys": keys, **size})
    for line, one in enumerate(root.iter("object"), 1):
        corners = (nan_of(one.findtext(f"bndbox/{part}")) for part in ("xmin", "ymin", "xmax", "ymax"))
        # VOC counts pixels from 1, and the last one is inside.
        left, top, right, bottom = corners
        box = [left - 1, top - 1, right - left + 1, bottom - top + 1]
        label = (one.findtext("name") or "").strip()
        fault = box_fault(box) or (None if label else ("no_label", ""))
        if fault:
            found.rejected.append(Rejected(line, *fault))
            continue
        row = {"line": line, "keys": keys, "image_id": path.stem, "label": label, "iscrowd": False, "relative": False}
        found.objects.append({**row, **box_of(box)})
    return found
