"""Lists of images with their classes: a path and a class a line, as Caffe, ImageNet's tools and MXNet have them."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from brain_assets.resources.label_formats.annotations import Annotations, Row, Unusable, number_of
from brain_assets.resources.label_formats.class_names import ClassNames, names_above
from brain_assets.resources.label_formats.content import Content, mostly
from brain_assets.resources.media.candidates import IMAGE_SUFFIXES
from brain_assets.resources.media.splits import split_of

LOOKED_AT = 20
NAMED = {"train", "val", "test"}
PICTURE = rf"[^\t]*?(?:{'|'.join(map(re.escape, sorted(IMAGE_SUFFIXES, reverse=True)))})"
FORWARD = re.compile(rf"\"?(?P<path>{PICTURE})\"?[\s,;]+(?P<label>\S.*)", re.IGNORECASE)
NUMBERED = re.compile(rf"\d+\t(?P<label>[^\t]+(?:\t[^\t]+)*)\t(?P<path>{PICTURE})", re.IGNORECASE)
"""MXNet's: a number, the class, the path."""


class Lists:
    """Classes of whole images, in a list for each split or one for all."""

    name = "lists"
    title = "lists of paths and classes"
    suffixes = frozenset({".txt", ".lst"})
    per_image = False

    def sniff(self, content: Content) -> bool:
        """Tell whether the first lines have a picture's path and more."""
        lines = list(_lines(content))[:LOOKED_AT]
        return mostly(_parted(text) for _, text in lines)

    def may_hold_columns(self, path: Path) -> bool:
        """Tell whether a file is called like a split."""
        return path.suffix.lower() in self.suffixes and split_of(path.stem) in NAMED

    def columns(self, content: Content) -> Sequence[Row]:
        """Return the split of the images of a list that is called like one."""
        split = split_of(content.path.stem)
        parted = [_parted(text) for _, text in _lines(content)] if self.sniff(content) else []
        return [{"filepath": _path(one), "split": split, "tags": []} for one in parted if one]

    def read(self, content: Content) -> Annotations:
        """Return the class of each image; a number takes the name that it has in a list of classes above the file."""
        found, classes = Annotations(), names_above(content.path)
        found.each(_lines(content), lambda line, text: _add(found, line, text, classes))
        return found


def _lines(content: Content) -> Iterator[tuple[int, str]]:
    numbered = ((number, line.strip()) for number, line in enumerate(content.text.splitlines(), 1))
    return ((number, line) for number, line in numbered if line and not line.startswith("#"))


def _parted(text: str) -> re.Match[str] | None:
    # Lines of numbers, of which most texts are, name no picture.
    if text.upper() == text.lower():
        return None
    return NUMBERED.fullmatch(text) or FORWARD.fullmatch(text)


def _path(parted: re.Match[str]) -> str:
    return parted["path"].replace("\\", "/")


def _add(found: Annotations, line: int, text: str, classes: ClassNames) -> None:
    parted = _parted(text)
    if not parted:
        raise Unusable("no_label", "not a picture's path and a class")
    path, label = _path(parted), parted["label"].strip().strip('"')
    words = [number_of(word) for word in re.split(r"[\s,;]+", label)]
    if len(words) > 1 and None not in words[:-1]:
        raise Unusable("class", f"one class is expected behind the path, not {len(words)} numbers: {label[:40]!r}")
    if path in found.labels:
        raise Unusable("duplicate", "an earlier line of this file names the same image")
    number = words[0] if len(words) == 1 else None
    plain = str(int(number)) if number is not None and number.is_integer() else label
    found.add_label(line, path, [classes.names.get(plain, plain)])
