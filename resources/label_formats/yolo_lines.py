"""What a line of YOLO's texts says: a class, a box, an outline or keypoints, and perhaps how sure a model is."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from brain_assets.resources.label_formats.annotations import Row, Unusable, nan_of
from brain_assets.resources.label_formats.class_names import ClassNames

MOST_OUTSIDE = 2.0
"""Coordinates beyond it are pixels, or another format's."""
VISIBLE = 2.0
"""Marks a keypoint that can be seen."""
Shape = tuple[int, int]


class Layout(NamedTuple):
    """How the numbers after a class are to be read: as an outline instead of a box, with a confidence at their end."""

    outlined: bool
    sure: bool


def layout_of(size: int, shape: Shape | None) -> Layout | None:
    """Return how so many numbers are read; None where they cannot be.

    Parameters
    ----------
    size : int
        How many numbers there are after the class, without that of a track.
    shape : (int, int), optional
        How many keypoints stand behind each box, and how many numbers each is said to have; they may have 2 or 3 all the same, or
        be left out.
    """
    if shape is None:
        return Layout(size >= 6, size % 2 == 1) if size >= 4 else None
    others = (size - shape[0] * numbers for numbers in (shape[1], 2, 3, 0))
    own = next((one for one in others if one in {4, 5}), None)
    return Layout(outlined=False, sure=own == 5) if own else None


def may_end_in_track(size: int, shape: Shape | None) -> bool:
    """Tell whether the last of so many numbers may be that of a track, behind a confidence."""
    return size == 6 + shape[0] * shape[1] if shape else size >= 6 and size % 2 == 0


def is_object(parts: Sequence[str]) -> bool:
    """Tell whether the words of a line are a class and numbers that may be parts of an image's sides."""
    values = [nan_of(part) for part in parts[1:]]
    return len(values) >= 4 and all(abs(value) <= MOST_OUTSIDE for value in values[:4])


def object_of(parts: Sequence[str], shape: Shape | None) -> Row:
    """Return the place of an object, and how sure a model is of it; raises Unusable."""
    values = [nan_of(part) for part in parts[1:]]
    if len(values) < 4 or not all(map(math.isfinite, values)):
        raise Unusable("box", "not a class and four or more numbers")
    # What a model found ends in its confidence, and then perhaps in the number of a track.
    if values[-1] > 1 and values[-1].is_integer() and may_end_in_track(len(values), shape):
        values.pop()
    row = _placed(values, shape)
    if max(map(abs, row["polygon"][0] if "polygon" in row else row["box"])) > MOST_OUTSIDE:
        raise Unusable("not_relative", "coordinates beyond the image: YOLO's are parts of its sides, not pixels")
    return row


def _placed(values: Sequence[float], shape: Shape | None) -> Row:
    layout = layout_of(len(values), shape)
    if layout is None:
        points, numbers = shape or (0, 0)
        wanted = f"a box and {points} keypoints of {numbers} have {4 + points * numbers}"
        raise Unusable("keypoints", f"{len(values)} numbers, where {wanted}")
    confidence = values[-1] if layout.sure else None
    if layout.outlined:
        return {"polygon": [values[: len(values) // 2 * 2]], "confidence": confidence}
    across, down, width, height = values[:4]
    return {"box": [across - width / 2, down - height / 2, width, height], "confidence": confidence}


def class_of(number: str, classes: ClassNames) -> Row:
    """Return a class and its name, None where no file names any; raises Unusable where it is not among the names."""
    number = number.removesuffix(".0")
    if not classes.names or number in classes.names:
        return {"category": number, "label": classes.names.get(number)}
    if number not in classes.spelled:
        raise Unusable("unknown_class", f"class {number} is not among the names")
    return {"category": number, "label": number}


def pose_of(lines: Sequence[Sequence[str]]) -> Shape | None:
    """Return the shape of keypoints that all lines have and no file states.

    After the box, each third number then says how visible a point is: 0, 1 or 2.
    """
    sizes = {len(parts) - 5 for parts in lines}
    if len(sizes) != 1 or min(sizes) < 6 or min(sizes) % 3:
        return None
    marks = {nan_of(mark) for parts in lines for mark in parts[7::3]}
    return (min(sizes) // 3, 3) if marks <= {0.0, 1.0, VISIBLE} and VISIBLE in marks else None
