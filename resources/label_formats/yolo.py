"""YOLO: a text per image, one line per object, relative to the image; names of classes stand in a file above."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from brain_assets.resources.label_formats.annotations import (
    Annotations,
    around,
    box_fault,
    box_of,
    names_beside,
    nan_of,
    text_of,
)
from brain_assets.resources.label_formats.content import Content
from brain_assets.resources.local_files import bytes_of
from brain_assets.resources.tabular import Rejected

MOST_ALIASES = 16


class Yolo:
    """Lines of class, centre and size, or class and polygon."""

    name = "yolo"
    title = "YOLO"
    suffixes = frozenset({".txt", ".yaml", ".yml"})
    per_image = True

    def sniff(self, content: Content) -> bool:
        """Tell whether a file is one."""
        return content.suffix in self.suffixes

    def read(self, content: Content) -> Annotations:
        """Return what it says of one image."""
        return _read(content)


class _BoundedLoader(yaml.SafeLoader):
    """Reads YAML in which few aliases stand: nested, each level of them multiplies what a file of a few lines holds."""

    aliases = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Return the next node."""
        if self.check_event(yaml.AliasEvent):
            self.aliases += 1
            if self.aliases > MOST_ALIASES:
                raise yaml.YAMLError(f"more than {MOST_ALIASES} aliases")
        return super().compose_node(parent, index)


def _read(content: Content) -> Annotations:
    path = content.path
    if path.suffix.lower() in {".yaml", ".yml"}:
        return Annotations()
    found = Annotations()
    keys = names_beside(path)
    found.images.append({"image_id": keys[0], "keys": keys, "width": 1.0, "height": 1.0})
    names = _yolo_names(path)
    for line, text in enumerate(content.text.splitlines(), 1):
        if parts := text.split():
            _add_yolo(found, line, parts, (keys, names))
    return found


def _add_yolo(found: Annotations, line: int, parts: list[str], known: tuple[list[str], Mapping[str, str]]) -> None:
    keys, names = known
    values = [nan_of(part) for part in parts[1:]]
    polygon, confidence, box = None, None, list[float]()
    if len(values) >= 6 and len(values) % 2 == 0:
        polygon = [values]
        box = around(polygon)
    elif len(values) >= 4:
        confidence = values[4] if len(values) == 5 else None
        across, down, width, height = values[:4]
        box = [across - width / 2, down - height / 2, width, height]
    fault = box_fault(box)
    if not fault and names and parts[0] not in names:
        fault = ("unknown_class", f"class {parts[0]} is not among the names")
    if fault:
        found.rejected.append(Rejected(line, *fault))
        return
    found.objects.append({
        "line": line, "keys": keys, "image_id": keys[0], "label": names.get(parts[0], parts[0]), "confidence": confidence,
        "polygon": polygon, "iscrowd": False, "relative": True, **box_of(box),
    })  # fmt: skip


def _yolo_names(path: Path) -> Mapping[str, str]:
    """Return the names of the classes from the nearest yaml above a label file."""
    for folder in list(path.parents)[:5]:
        for candidate in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
            tree = yaml.load(bytes_of(candidate).decode("utf-8"), _BoundedLoader)
            if isinstance(tree, dict) and "names" in tree:
                names = tree["names"]
                pairs = names.items() if isinstance(names, dict) else enumerate(names)
                return {text_of(number): text_of(name) for number, name in pairs}
    return {}
