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
    return of_labels(root, home)


def of_labels(root: Path, home: str = "home") -> Workshop:
    return Workshop(root / home, root / "media", select=STEPS, labels=[{"uri": str(root / "a.json")}])


def write(root: Path, boxes: list[Any], **image: Any) -> None:
    write_images(root, [{"file_name": "00000.png", "width": 20, "height": 16, **image}], boxes)


def write_images(root: Path, images: list[dict[str, Any]], boxes: list[Any]) -> None:
    """Label each of some pictures with the same boxes."""
    given = [
        {"id": f"{image}-{place}", "image_id": image, "category_id": 1, "bbox": box}
        for image in range(len(images))
        for place, box in enumerate(boxes)
    ]
    content = {
        "images": [{"id": number, **image} for number, image in enumerate(images)],
        "annotations": given,
        "categories": [{"id": 1, "name": "cat"}],
    }
    (root / "a.json").write_text(json.dumps(content))


def boxes(workshop: Workshop) -> list[tuple[float, ...]]:
    """Return the boxes, by the pictures' names."""
    columns = "x, y, objects.width, objects.height"
    return workshop.rows(f"select {columns} from objects join samples using (sample_id) order by filepath, {columns}")


def issues(workshop: Workshop) -> list[tuple[str, bool]]:
    return workshop.rows(
        "select issue, object_id is not null from issues where is_issue and contains(issue, 'box') order by all"
    )


def test_a_size_that_cannot_be_is_that_of_the_picture(tmp_path: Path) -> None:
    """It is missing, nothing, or has its sides in the wrong order."""
    sizes = [
        {"width": 0, "height": 0},
        {"width": None, "height": 16},
        {"width": 20, "height": 0},
        {"width": 16, "height": 20},
    ]
    names = [path.name for path in write_pictures(tmp_path / "media", range(len(sizes)))]
    write_images(tmp_path, [{"file_name": name, **size} for name, size in zip(names, sizes, strict=True)], [GOOD])
    workshop = of_labels(tmp_path)
    workshop.run()
    assert boxes(workshop) == [(0.1, 0.25, 0.4, 0.5)] * 4


def test_boxes_on_a_stored_picture_are_turned_with_it(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    exif = Image.Exif()
    names = [f"{orientation}.jpg" for orientation in range(1, 9)]
    for exif[0x0112], name in enumerate(names, 1):
        picture(0).save(tmp_path / "media" / name, exif=exif)
    write_images(tmp_path, [{"file_name": name, "width": 20, "height": 16} for name in names], [[2, 0, 4, 8]])
    workshop = of_labels(tmp_path)
    workshop.run()
    # As it is stored the box spans .1 to .3 and 0 to .5; from the fifth orientation on its picture has its sides exchanged.
    turned = [(0, 0.1), (0.5, 0.1), (0.5, 0.7), (0, 0.7)]
    expected = [(0.1, 0, 0.2, 0.5)] * 4 + [(*corner, 0.5, 0.2) for corner in turned]
    assert boxes(workshop) == [pytest.approx(one) for one in expected]
    sides = [(20, 16)] * 4 + [(16, 20)] * 4
    images = [
        {"file_name": name, "width": width, "height": height}
        for name, (width, height) in zip(names, sides, strict=True)
    ]
    write_images(tmp_path, images, [[2, 0, 4, 8]])
    workshop.run()
    assert boxes(workshop) == [pytest.approx((2 / across, 0, 4 / across, 8 / down)) for across, down in sides]


def test_a_box_with_its_corners_exchanged_is_the_same_box(tmp_path: Path) -> None:
    workshop = make(tmp_path, [[10, 12, -8, -8]])
    workshop.run()
    assert (boxes(workshop), issues(workshop)) == ([(0.1, 0.25, 0.4, 0.5)], [])


def test_what_cannot_be_right_is_an_issue_and_taking_it_away_settles_it(tmp_path: Path) -> None:
    out, gone, empty, rounded = [15, 2, 10, 5], [40, 2, 5, 5], [3, 3, 0, 5], [0, 0, 20.4, 8]
    workshop = make(tmp_path, [GOOD, GOOD, out, gone, empty, rounded])
    workshop.run()
    assert issues(workshop) == [("box_out_of_image", False), ("empty_box", False), ("twin_boxes", True)]
    assert workshop.rows("select issue, boxes, outside from box_faults order by all") == [
        ("box_out_of_image", 2, 1.0),
        ("empty_box", 1, None),
        ("twin_boxes", 1, None),
    ]
    assert workshop.rows("select line, reason from rejected_rows order by all") == [(4, "box_outside"), (5, "box_size")]
    rebuild = make(tmp_path, [GOOD, GOOD, out, gone, empty, rounded], "rebuild")
    rebuild.run()
    assert rebuild.rows("from box_faults order by all") == workshop.rows("from box_faults order by all")
    write(tmp_path, [GOOD])
    workshop.run()
    assert (boxes(workshop), issues(workshop)) == ([(0.1, 0.25, 0.4, 0.5)], [])
    (tmp_path / "media" / "00000.png").write_bytes(encoded(picture(0, (10, 16))))
    write(tmp_path, [GOOD], width=None)
    workshop.run()
    assert boxes(workshop) == [(0.2, 0.25, 0.8, 0.5)]
