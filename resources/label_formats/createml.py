"""Create ML's JSON, which annotation services write, too: a list of images, each with boxes around their centres in pixels."""

from collections.abc import Mapping
from typing import Any

from brain_assets.resources.label_formats.annotations import Annotations, Row, Unusable, entries_of, names_of, nan_of
from brain_assets.resources.label_formats.content import Content, text_of

NAMES = ("image", "imagefilename", "filename")
ANNOTATIONS = ("annotations", "annotation")


class CreateMl:
    """Boxes of objects as Apple's Create ML takes them; of a model those with a confidence."""

    name = "createml"
    title = "Create ML JSON"
    suffixes = frozenset({".json"})
    per_image = False

    def sniff(self, content: Content) -> bool:
        """Tell whether a file is a list of images with annotations that have coordinates."""
        tree = content.json
        if not isinstance(tree, list) or not all(isinstance(one, dict) and _one_of(one, NAMES) for one in tree[:1]):
            return False
        drawn = [box for one in tree for box in _one_of(one, ANNOTATIONS) or []]
        return isinstance(drawn[0]["coordinates"], dict)

    def read(self, content: Content) -> Annotations:
        """Return what it says; an image without annotations has no objects."""
        found, boxes = Annotations(), list[tuple[str, Any]]()
        for one in content.json:
            name = text_of(_one_of(one, NAMES) or "").strip()
            boxes += [(name, box) for box in entries_of(_one_of(one, ANNOTATIONS) or [])]
            if name:
                found.add_image(name, names_of(name))
        found.images = list({image["image_id"]: image for image in found.images}.values())
        found.each(enumerate(boxes, 1), lambda line, one: found.add(line, _object(*one)))
        return found


def _one_of(entry: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((entry[name] for name in names if name in entry), None)


def _object(name: str, box: Mapping[str, Any]) -> Row:
    if not name:
        raise Unusable("no_key", "no image")
    place = box["coordinates"]
    width, height = nan_of(place.get("width")), nan_of(place.get("height"))
    corner = [nan_of(place.get("x")) - width / 2, nan_of(place.get("y")) - height / 2]
    sure = {"confidence": box["confidence"]} if box.get("confidence") is not None else {}
    label = text_of(box.get("label") or "").strip()
    return {"keys": names_of(name), "image_id": name, "label": label, "box": [*corner, width, height], **sure}
