"""Whatever files of labels and predictions hold, and whenever they come: a run ends, and equals one from scratch."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.workshop import Workshop, encoded, picture

STEPS = ("samples", "media", "predictions", "ground_truth", "objects", "box_faults", "published")
COMPARED = ("ground_truth", "predictions", "objects", "object_images", "object_classes", "box_faults", "rejected_rows")
PATHS = ("train/a.png", "train/b.png", "val/a.png", "val/\u00fc c.png")
# Names as files of other people, places and systems have them.
SPELLINGS = (
    lambda path: path,
    lambda path: path.rpartition("/")[2],
    lambda path: "C:\\data\\" + path.replace("/", "\\"),
    lambda path: f"/old/{path}",
    lambda path: path.removesuffix(".png"),
    lambda path: path.replace("\u00fc", "u\u0308").replace(" ", "%20"),
    lambda path: f"./{path}",
)
NAMES = st.builds(lambda path, spelling: spelling(path), st.sampled_from(PATHS), st.sampled_from(SPELLINGS))
LABELS = st.sampled_from(["cat", "dog", "1.0", "1", "nan", "", "B\u00e4r", "Ba\u0308r"])
NUMBERS = st.sampled_from([1, 1.0, "1", 2, 3, None, [], "x"])
BOXES = st.sampled_from(
    [[1, 1, 5, 5], [1, 1, 5, 5.01], [0, 0, 0, 5], [30, 30, 5, 5], [-2, 3, 9, 9], [9, 9, -4, -4], [1, 2], "x", None]
)
SEGMENTS = st.sampled_from([None, [[1, 1, 6, 1, 6, 6]], [], [{}], {"size": [16, 20], "counts": "x"}, 3])


def tables(column: str) -> st.SearchStrategy[str]:
    """Return files of CSV, with rows that are too short or broken among them."""
    rows = st.builds(
        lambda name, label, score: f"{name};{label};{score}", NAMES, LABELS, st.sampled_from(["0.5", "7", ""])
    )
    lines = st.lists(rows | st.sampled_from(["x", ';;";', "\x00"]), max_size=5)
    return lines.map(lambda found: "\n".join([f"image;{column};score", *found]))


IMAGES = st.builds(
    lambda number, name, size: {"id": number, "file_name": name, **size},
    NUMBERS,
    NAMES | st.sampled_from([None, 3]),
    st.sampled_from([{}, {"width": 20, "height": 16}, {"width": 0, "height": 16}, {"width": 16, "height": 20}]),
)
ANNOTATIONS = st.fixed_dictionaries(
    {"image_id": NUMBERS, "category_id": st.sampled_from([1, 1.0, 2, "x"]), "bbox": BOXES},
    optional={"id": NUMBERS, "segmentation": SEGMENTS, "score": st.sampled_from([0.5, None, 2]), "iscrowd": NUMBERS},
)
CATEGORIES = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
COCO = st.builds(
    lambda images, annotations: json.dumps({"images": images, "annotations": annotations, "categories": CATEGORIES}),
    st.lists(IMAGES, max_size=3),
    st.lists(ANNOTATIONS, max_size=3),
)
RESULTS = st.lists(ANNOTATIONS, min_size=1, max_size=3).map(json.dumps)
CONTENTS = {
    "labels/a.csv": tables("class"),
    "labels/val.json": COCO,
    "labels/b.json": COCO,
    "found/net.csv": tables("pred"),
    "found/net.json": RESULTS,
}
WRITES = st.one_of([st.tuples(st.just(name), contents | st.none()) for name, contents in CONTENTS.items()])
PICTURES = st.tuples(st.sampled_from([f"media/{path}" for path in PATHS]), st.sampled_from([0, 1, None]))
STORIES = st.lists(st.lists(WRITES | PICTURES, min_size=1, max_size=5), min_size=2, max_size=3)


def make(root: Path, home: str) -> Workshop:
    for folder in ("media", "labels", "found"):
        (root / folder).mkdir(exist_ok=True)
    labels, predictions = ([{"uri": str(root / name)}] for name in ("labels", "found"))
    return Workshop(root / home, root / "media", labels=labels, predictions=predictions)


def put(path: Path, content: str | int | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is None:
        path.unlink(missing_ok=True)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else encoded(picture(content)))


def rows(workshop: Workshop) -> dict[str, list[tuple[Any, ...]]]:
    return {table: workshop.rows(f"from {table} order by all") for table in COMPARED}


@pytest.mark.slow
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(story=STORIES)
def test_whatever_comes_in_whatever_order_ends_as_one_run_from_scratch(story: list[list[tuple[str, Any]]]) -> None:
    root = Path(tempfile.mkdtemp())
    try:
        workshop = make(root, "home")
        for chapter in story:
            for name, content in chapter:
                put(root / name, content)
            workshop.run(STEPS)
        assert workshop.wrong(STEPS) == {}
        rebuild = make(root, "rebuild")
        rebuild.run(STEPS)
        assert rows(workshop) == rows(rebuild)
    finally:
        shutil.rmtree(root)
