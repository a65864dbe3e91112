"""Boxes and the pictures that they are in: sizes, turns, and what cannot be right."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.workshop import Workshop, encoded, picture, write_pictures

STEPS = ("samples", "media", "predictions", "ground_truth", "objects", "box_faults", "issues", "published")
GOOD = [2, 4, 8, 8]


def make(root: Path, boxes: list[Any], home: str = "home", **image: Any) -> Workshop:
    """Return a dataset of one picture of 20 x 16 pixels whose labels have some boxes."""
    if not (root / "media").exists():
        write_pictures(root / "media", [0])
    write(root, boxes, **image)
    return Workshop(root / home, root / "media", labels=[{"uri": str(root / "a.json")}])


def write(root: Path, boxes: list[Any], **image: Any) -> None:
    given = [{"id": place, "image_id": 1, "category_id": 1, "bbox": box} for place, box in enumerate(boxes)]
    images = [{"id": 1, "file_name": "00000.png", "width": 20, "height": 16, **image}]
    content = {"images": images, "annotations": given, "categories": [{"id": 1, "name": "cat"}]}
    (root / "a.json").write_text(json.dumps(content))


def boxes(workshop: Workshop) -> list[tuple[float, ...]]:
    return workshop.rows("select x, y, width, height from objects order by all")


def issues(workshop: Workshop) -> list[tuple[str, bool]]:
    return workshop.rows(
        "select issue, object_id is not null from issues where is_issue and contains(issue, 'box') order by all"
    )


@pytest.mark.parametrize("size", [{"width": 0, "height": 0}, {"width": None}, {"width": 20, "height": 0}])
def test_a_size_that_is_none_is_that_of_the_picture(tmp_path: Path, size: dict[str, Any]) -> None:
    workshop = make(tmp_path, [GOOD], **size)
    workshop.run(STEPS)
    assert boxes(workshop) == [(0.1, 0.25, 0.4, 0.5)]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_on_a_stored_picture_are_turned_with_it(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "media").mkdir()
    picture(0).save(tmp_path / "media" / "00000.jpg", exif=exif)
    workshop = make(tmp_path, [[2, 0, 4, 8]], file_name="00000.jpg")
    workshop.run(STEPS)
    # As it is stored the box spans .1 to .3 and 0 to .5; from the fifth orientation on its picture has its sides exchanged.
    turned = {5: (0, 0.1), 6: (0.5, 0.1), 7: (0.5, 0.7), 8: (0, 0.7)}
    expected = (*turned[orientation], 0.5, 0.2) if orientation in turned else (0.1, 0, 0.2, 0.5)
    assert boxes(workshop) == [pytest.approx(expected)]
    write(
        tmp_path,
        [[2, 0, 4, 8]],
        file_name="00000.jpg",
        width=16 if orientation in turned else 20,
        height=20 if orientation in turned else 16,
    )
    workshop.run(STEPS)
    across, down = (16, 20) if orientation in turned else (20, 16)
    assert boxes(workshop) == [pytest.approx((2 / across, 0, 4 / across, 8 / down))]


def test_sides_in_the_wrong_order_are_those_of_the_picture(tmp_path: Path) -> None:
    workshop = make(tmp_path, [GOOD], width=16, height=20)
    workshop.run(STEPS)
    assert boxes(workshop) == [(0.1, 0.25, 0.4, 0.5)]


def test_a_box_with_its_corners_exchanged_is_the_same_box(tmp_path: Path) -> None:
    workshop = make(tmp_path, [[10, 12, -8, -8]])
    workshop.run(STEPS)
    assert (boxes(workshop), issues(workshop)) == ([(0.1, 0.25, 0.4, 0.5)], [])


def test_what_cannot_be_right_is_an_issue_and_taking_it_away_settles_it(tmp_path: Path) -> None:
    out, gone, empty, rounded = [15, 2, 10, 5], [40, 2, 5, 5], [3, 3, 0, 5], [0, 0, 20.4, 8]
    workshop = make(tmp_path, [GOOD, GOOD, out, gone, empty, rounded])
    workshop.run(STEPS)
    assert issues(workshop) == [("box_out_of_image", False), ("empty_box", False), ("twin_boxes", True)]
    assert workshop.rows("select issue, boxes, outside from box_faults order by all") == [
        ("box_out_of_image", 2, 1.0),
        ("empty_box", 1, None),
        ("twin_boxes", 1, None),
    ]
    assert workshop.rows("select line, reason from rejected_rows order by all") == [(4, "box_outside"), (5, "box_size")]
    rebuild = make(tmp_path, [GOOD, GOOD, out, gone, empty, rounded], "rebuild")
    rebuild.run(STEPS)
    assert rebuild.rows("from box_faults order by all") == workshop.rows("from box_faults order by all")
    write(tmp_path, [GOOD])
    workshop.run(STEPS)
    assert (boxes(workshop), issues(workshop)) == ([(0.1, 0.25, 0.4, 0.5)], [])
    (tmp_path / "media" / "00000.png").write_bytes(encoded(picture(0, (10, 16))))
    write(tmp_path, [GOOD], width=None)
    workshop.run(STEPS)
    assert boxes(workshop) == [(0.2, 0.25, 0.8, 0.5)]
