"""DOTA: a text per aerial image, one line per object, four corners in pixels and then its class."""

import math
from collections.abc import Sequence

from brain_assets.resources.label_formats.annotations import Annotations, Row, Unusable, names_beside, nan_of
from brain_assets.resources.label_formats.content import Content, mostly

LOOKED_AT = 20
CORNERS = 8
"""Numbers before the class."""
HEADERS = ("imagesource:", "gsd:")


class Dota:
    """Rotated boxes of DOTA 1.0 to 2.0, which keep their corners."""

    name = "dota"
    title = "DOTA labelTxt"
    suffixes = frozenset({".txt"})
    per_image = True

    def sniff(self, content: Content) -> bool:
        """Tell whether the first lines have corners and a class, below what says where the image is from."""
        lines = _lines(content.text)[:LOOKED_AT]
        return mostly(_is_object(parts) for _, parts in lines)

    def read(self, content: Content) -> Annotations:
        """Return what it says of one image."""
        found, keys = Annotations(), names_beside(content.path)
        found.add_image(keys[0], keys)
        given = {"keys": keys, "image_id": keys[0]}
        found.each(_lines(content.text), lambda line, parts: found.add(line, given | _object(parts)))
        return found


def _lines(text: str) -> list[tuple[int, list[str]]]:
    """Return the lines that are of objects, by number and in words."""
    numbered = [(number, line.split()) for number, line in enumerate(text.splitlines(), 1)]
    return [(number, parts) for number, parts in numbered if parts and not parts[0].lower().startswith(HEADERS)]


def _is_object(parts: Sequence[str]) -> bool:
    # The class is a word, perhaps followed by how difficult the object is.
    if not CORNERS < len(parts) <= CORNERS + 2 or not math.isnan(nan_of(parts[CORNERS])):
        return False
    return all(math.isfinite(nan_of(part)) for part in parts[:CORNERS])


def _object(parts: Sequence[str]) -> Row:
    if not _is_object(parts):
        raise Unusable("polygon", "not eight numbers and a class")
    return {"label": parts[CORNERS], "polygon": [[float(part) for part in parts[:CORNERS]]]}
