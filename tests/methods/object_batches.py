"""Small batches of objects for tests: strategies and builders."""

import numpy as np
from hypothesis import strategies as st

from brain_assets.methods.labels.objects import Objects, box_iou

# A coarse grid makes equal overlaps and equal confidences common.
OBJECT = st.tuples(
    st.tuples(*[st.integers(0, 3)] * 2, *[st.integers(1, 3)] * 2),
    st.integers(0, 1),
    st.sampled_from([0.3, 0.6, 0.9]),
    st.booleans(),
)
IMAGES = st.lists(st.tuples(st.lists(OBJECT, max_size=4), st.lists(OBJECT, max_size=4)), max_size=3)


def batch(images: list[list[tuple]], *, predicted: bool = False, crowds: bool = True) -> Objects:
    rows = [row for image in images for row in image]
    return Objects(
        boxes=np.array([row[0] for row in rows], dtype=float).reshape(-1, 4),
        classes=np.array([row[1] for row in rows], dtype=np.int64),
        offsets=np.cumsum([0, *map(len, images)]),
        confidence=np.array([row[2] for row in rows], dtype=float) if predicted else None,
        crowd=np.array([row[3] for row in rows], dtype=bool) if crowds and not predicted else None,
    )


def box(x: float, y: float, side: float = 2, category: int = 0, confidence: float = 0.9, crowd: bool = False) -> tuple:
    return ((x, y, side, side), category, confidence, crowd)


def matched_by_loop(labels: list[tuple], predictions: list[tuple], threshold: float) -> list[int]:
    """COCO's matching of one image, one prediction after the other."""
    result, taken = [-1] * len(predictions), set()
    for turn in sorted(range(len(predictions)), key=lambda p: -predictions[p][2]):
        box, category, *_ = predictions[turn]
        best = (threshold, -1)
        for wanted in (False, True):
            for position, (label_box, label_category, _, crowd) in enumerate(labels):
                allowed = category == label_category if crowd else position not in taken
                overlap = box_iou([label_box], [box], [crowd])[0]
                if crowd is wanted and allowed and overlap >= best[0]:
                    best = (overlap, position)
            if best[1] >= 0:
                break
        result[turn] = best[1]
        taken.add(best[1])
    return result
