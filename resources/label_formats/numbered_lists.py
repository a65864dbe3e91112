"""Lists that number their images, as CUB-200 has them: ``images.txt`` says which number is which, others speak of numbers."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from brain_assets.resources.label_formats.annotations import Annotations, Row, Unusable, names_of, nan_of
from brain_assets.resources.label_formats.content import Content, mostly
from brain_assets.resources.label_formats.input_files import NUMBERED, NUMBERS, is_numbered_list
from brain_assets.resources.media.candidates import IMAGE_SUFFIXES

LOOKED_AT = 20
CLASSES, LABELS, SPLITS, BOXES = NUMBERED
TRAINED = {"1": "train", "0": "test"}


class NumberedLists:
    """Classes, boxes and splits of images by their numbers; any of the lists stands for all that lie beside it."""

    name = "numbered"
    title = "numbered lists (CUB-200)"
    suffixes = frozenset({".txt"})
    per_image = False

    def sniff(self, content: Content) -> bool:
        """Tell by its name and its first lines whether a file is one of the lists, all of which begin with a number."""
        if not is_numbered_list(content.path):
            return False
        pairs = _pairs(content)[:LOOKED_AT]
        images = content.path.name.lower() != NUMBERS or mostly(_suffix(text) in IMAGE_SUFFIXES for _, _, text in pairs)
        return bool(pairs) and images and all(number.isdigit() for _, number, _ in pairs)

    def read(self, content: Content) -> Annotations:
        """Return the classes or the boxes of a list; a box is of the class that its image has."""
        found, name = Annotations(), content.path.name.lower()
        if name == LABELS:
            found.each(_named(content), lambda line, one: found.add_label(line, one[0], [one[1]]))
        elif name == BOXES:
            classes = dict(one for _, one in _named(_beside(content, LABELS)))
            images = _numbers(content)
            for path in images.values():
                found.add_image(path, names_of(path))
            lines = ((line, (images.get(number), text)) for line, number, text in _pairs(content))
            found.each(lines, lambda line, one: found.add(line, _box(one[0], one[1], classes)))
        return found

    def may_hold_columns(self, path: Path) -> bool:
        """Tell whether a file is the list of splits."""
        return path.name.lower() == SPLITS and is_numbered_list(path)

    def columns(self, content: Content) -> Sequence[Row]:
        """Return the split of each image: 1 is train, 0 is test."""
        images = _numbers(content)
        return [
            {"filepath": images[number], "split": TRAINED.get(text), "tags": []}
            for _, number, text in _pairs(content)
            if number in images
        ]


def _pairs(content: Content) -> list[tuple[int, str, str]]:
    """Return the number of each line that is not blank, its first word, and what follows."""
    numbered = ((number, line.split(maxsplit=1)) for number, line in enumerate(content.text.splitlines(), 1))
    return [(number, parts[0], " ".join(parts[1:])) for number, parts in numbered if parts]


def _beside(content: Content, name: str) -> Content:
    return Content(content.path.with_name(name))


def _numbers(content: Content) -> dict[str, str]:
    """Return the path of each image by its number."""
    return {number: text for _, number, text in _pairs(_beside(content, NUMBERS))}


def _named(content: Content) -> Iterator[tuple[int, tuple[str, str]]]:
    """Yield the path and the class of each image of the list of classes; a number that has no name or path is itself."""
    images, classes = _numbers(content), _beside(content, CLASSES)
    names = {number: text for _, number, text in _pairs(classes)} if classes.path.is_file() else {}
    for line, number, text in _pairs(content):
        yield line, (images.get(number, number), names.get(text, text))


def _box(path: str | None, text: str, classes: dict[str, str]) -> Row:
    if path is None:
        raise Unusable("no_key", f"{NUMBERS} has no such number")
    return {
        "keys": names_of(path),
        "image_id": path,
        "label": classes.get(path, ""),
        "box": [*map(nan_of, text.split())],
    }


def _suffix(text: str) -> str:
    return Path(text).suffix.lower()
