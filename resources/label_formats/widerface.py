"""WIDER FACE: a list of paths, each with a number of faces and a line for each of them, in pixels."""

from collections.abc import Iterator

from brain_assets.resources.label_formats.annotations import Annotations, Row, Unusable, names_of, number_of
from brain_assets.resources.label_formats.content import Content
from brain_assets.resources.tabular import is_image_name

LABEL, BOX, INVALID = "face", 4, 7


class WiderFace:
    """Boxes of faces, as WIDER FACE and sets that are written as it is list them."""

    name = "widerface"
    title = "WIDER FACE lists"
    suffixes = frozenset({".txt"})
    per_image = False

    def sniff(self, content: Content) -> bool:
        """Tell whether a file begins with an image's path, a number, and numbers of a box."""
        lines = [one.split() for one in content.text.splitlines()[:3]]
        return len(lines) > 2 and is_image_name(lines[0][-1]) and len(lines[1]) == 1 and len(lines[2]) >= BOX

    def read(self, content: Content) -> Annotations:
        """Return the faces of each image; where there are none, a line of zeros stands for them."""
        found = Annotations()
        found.each(_lines(content, found), lambda line, one: _add(found, line, *one))
        return found


def _lines(content: Content, found: Annotations) -> Iterator[tuple[int, tuple[str, str]]]:
    """Yield the lines of boxes with the image that they are of."""
    image = ""
    for line, text in enumerate(content.text.splitlines(), 1):
        words = text.split()
        if not words:
            continue
        if is_image_name(text):
            image = text.strip()
            found.add_image(image, names_of(image))
        elif len(words) > 1:
            yield line, (image, text)


def _add(found: Annotations, line: int, image: str, text: str) -> None:
    values = [number_of(word) for word in text.split()]
    if not image or len(values) < BOX or None in values[:BOX]:
        raise Unusable("box", "not four numbers below the path of an image")
    if not any(values[:BOX]):
        return
    # What the list itself calls invalid is no face to learn from, and none to miss.
    row: Row = {"iscrowd": len(values) > INVALID and bool(values[INVALID])}
    found.add(line, row | {"keys": names_of(image), "image_id": image, "label": LABEL, "box": values[:BOX]})
