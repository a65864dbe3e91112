"""KITTI: a text per image, one line per object, its box in pixels between what says how it stands in space."""

import math
from collections.abc import Sequence

from brain_assets.resources.label_formats.annotations import Annotations, Row, Unusable, names_beside, nan_of
from brain_assets.resources.label_formats.content import Content, mostly

LOOKED_AT = 20
LABEL, WITH_SCORE = 15, 16
"""How many words a line has."""
IGNORED = "DontCare"
"""What marks a region in which nobody has labelled what there is."""


class Kitti:
    """Boxes of KITTI's object detection, of people or of models; what stands in space is not read."""

    name = "kitti"
    title = "KITTI object labels"
    suffixes = frozenset({".txt"})
    per_image = True

    def sniff(self, content: Content) -> bool:
        """Tell whether the first lines have a class, a box in pixels, and the numbers around it."""
        lines = [parts for line in content.text.splitlines()[:LOOKED_AT] if (parts := line.split())]
        return mostly(map(_is_object, lines))

    def read(self, content: Content) -> Annotations:
        """Return what it says of one image."""
        found, keys = Annotations(), names_beside(content.path)
        found.add_image(keys[0], keys)
        lines = [(line, parts) for line, text in enumerate(content.text.splitlines(), 1) if (parts := text.split())]
        given = {"keys": keys, "image_id": keys[0]}
        found.each(lines, lambda line, parts: found.add(line, given | _object(parts)))
        return found


def _is_object(parts: Sequence[str]) -> bool:
    if len(parts) not in {LABEL, WITH_SCORE}:
        return False
    left, top, right, bottom = map(nan_of, parts[4:8])
    # In parts of an image's sides it would be a line of another format, whose class is a name.
    return math.isnan(nan_of(parts[0])) and left <= right and top <= bottom and max(right, bottom) > 1


def _object(parts: Sequence[str]) -> Row:
    if len(parts) not in {LABEL, WITH_SCORE}:
        raise Unusable("box", f"{len(parts)} words, where a label has {LABEL} and a detection {WITH_SCORE}")
    left, top, right, bottom = map(nan_of, parts[4:8])
    confidence = nan_of(parts[LABEL]) if len(parts) == WITH_SCORE else None
    box = [left, top, right - left, bottom - top]
    return {"label": parts[0], "box": box, "confidence": confidence, "iscrowd": parts[0] == IGNORED}
