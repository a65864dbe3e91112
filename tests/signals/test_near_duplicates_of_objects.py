"""Objects that are copies of each other, in one image or in several, are found on the pixels of their crops."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageEnhance

from tests import models
from tests.signals.test_near_duplicates import photo
from tests.workshop import Workshop, assert_equals_rebuild, encoded, give_calibrations

STEPS = (
    "samples", "media", "ground_truth", "predictions", "objects", "exact_duplicates", "embeddings", "object_embeddings",
    "similarity", "near_duplicates", "leaks", "issues", "published",
)  # fmt: skip
OF_OBJECTS = tuple(step for step in STEPS if step not in {"exact_duplicates", "embeddings", "leaks", "issues"})
RUNS: list[dict[str, Any]] = [
    {"brain_key": "crops", "method": "object_embeddings"},
    {"brain_key": "alike", "method": "similarity", "embeddings": "crops"},
    {"brain_key": "copies", "method": "near_duplicates", "embeddings": "crops", "similarity": "alike"},
]
LEFT, RIGHT, FARTHER = (4, 6, 48, 40), (70, 50, 48, 40), (70, 4, 48, 40)
INSIDE_LEFT = (6, 8, 44, 36)
Boxes = dict[str, dict[str, tuple[int, ...]]]


def scene(seed: int, objects: dict[tuple[int, ...], Image.Image]) -> bytes:
    """Return an image with pictures pasted into it."""
    image = photo(seed)
    for (x, y, width, height), picture in objects.items():
        image.paste(picture.resize((width, height), Image.Resampling.BICUBIC), (x, y))
    return encoded(image)


def write_boxes(path: Path, boxes: Boxes) -> None:
    annotations = [
        {"id": name, "image_id": image, "category_id": 0, "bbox": box}
        for image, named in boxes.items()
        for name, box in named.items()
    ]
    images = [{"id": image, "file_name": image, "width": 128, "height": 96} for image in boxes]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 0, "name": "thing"}]}
    path.write_text(json.dumps(content))


@pytest.fixture
def boxes(tmp_path: Path) -> Boxes:
    """Write scenes: one thing four times, twice of them in one image; a whole image twice; boxes that overlap."""
    things = [photo(seed) for seed in range(50, 56)]
    brighter = ImageEnhance.Brightness(things[0]).enhance(1.2)
    media = tmp_path / "media"
    media.mkdir()
    scenes = {
        "a": scene(0, {LEFT: things[0], RIGHT: things[1]}),
        "b": scene(1, {LEFT: things[2], RIGHT: brighter}),
        "c": scene(2, {LEFT: things[0], RIGHT: things[0], FARTHER: things[3]}),
        "d": scene(3, {LEFT: things[4], RIGHT: things[5]}),
    }
    for name, image in {**scenes, "e": scenes["d"]}.items():
        (media / f"{name}.png").write_bytes(image)
    boxes: Boxes = {
        "a.png": {"a left": LEFT, "a right": RIGHT},
        "b.png": {"b left": LEFT, "b right": RIGHT, "b inside": INSIDE_LEFT, "b again": LEFT},
        "c.png": {"c left": LEFT, "c right": RIGHT, "c farther": FARTHER},
        "d.png": {"d left": LEFT, "d right": RIGHT},
        "e.png": {"e left": LEFT, "e right": RIGHT},
    }
    write_boxes(tmp_path / "labels.json", boxes)
    return boxes


def make_workshop(root: Path, home: str = "home", **settings: Any) -> Workshop:
    return Workshop(root / home, root / "media", labels=[{"uri": str(root / "labels.json")}], runs=RUNS, **settings)


def groups(workshop: Workshop) -> list[set[str]]:
    """Return the groups of objects, each by image and left edge."""
    rows = workshop.rows("""
        select group_id, list(filepath[1] || ' ' || if(x > .4, if(y > .4, 'right', 'farther'), 'left')) from near_duplicates
        join objects using (object_id) join samples on samples.sample_id = objects.sample_id
        where brain_key = 'copies' group by group_id order by group_id""")
    return sorted((set(members) for _, members in rows), key=sorted)


COPIES = [{"a left", "b right", "c left", "c right"}, {"d left", "e left"}, {"d right", "e right"}]


def test_copies_are_found_in_one_image_and_in_several(tmp_path: Path, boxes: Boxes) -> None:
    workshop = make_workshop(tmp_path)
    workshop.run(STEPS)
    assert workshop.wrong(STEPS) == {}
    # Of "b left" there are three boxes: the same pixels again are no copy.
    assert groups(workshop) == COPIES
    subjects = "select count(*) from {} where brain_key = 'copies' and (object_id is null or subject_id != object_id)"
    for table in ("near_duplicates", "components", "pairs"):
        assert workshop.rows(subjects.format(table)) == [(0,)]
    owners = dict(workshop.rows("select object_id, sample_id from objects"))
    pairs = workshop.rows(
        "select subject_id, partner_id, sample_id, verification from pairs where brain_key = 'copies'"
    )
    assert all(one < other and owners[one] == image and other in owners for one, other, image, _ in pairs)
    assert {verified is None for *_, verified in pairs} == {False}
    # What lies in a copy of an image is told with the image; leaks are pairs of images.
    told = "select issue, count(*) from issues where source like 'copies%' group by issue"
    assert workshop.rows(told) == [("near_duplicate", 3)]
    kept = "select sample_id from {} where not keep and {}"
    images = [
        workshop.rows(kept.format(*of))
        for of in (("exact_duplicates", "true"), ("near_duplicates", "object_id is null"))
    ]
    assert images[0] == images[1]
    assert len(images[0]) == 1


def test_only_pairs_of_new_crops_are_verified(tmp_path: Path, boxes: Boxes) -> None:
    workshop = make_workshop(tmp_path)
    workshop.run(OF_OBJECTS)
    assert workshop.run(OF_OBJECTS)["near_duplicates"].up_to_date
    write_boxes(tmp_path / "labels.json", boxes | {"a.png": {"a right": RIGHT}, "b.png": {"b right": RIGHT}})
    assert workshop.run(OF_OBJECTS)["near_duplicates"].notes["pairs verified in this run"] == 0
    assert groups(workshop) == [{"b right", "c left", "c right"}, *COPIES[1:]]
    models.EMBEDDED.clear()
    write_boxes(tmp_path / "labels.json", boxes | {"b.png": {"b right": RIGHT, "b farther": FARTHER}})
    workshop.run(OF_OBJECTS)
    assert sum(models.EMBEDDED) == 1
    assert groups(workshop) == COPIES
    rebuild = make_workshop(tmp_path, "rebuild")
    give_calibrations(workshop, rebuild)
    rebuild.run(OF_OBJECTS)
    assert_equals_rebuild(workshop, rebuild)


def test_what_was_kept_of_crops_is_made_again_when_the_pack_is_lost(tmp_path: Path, boxes: Boxes) -> None:
    workshop = make_workshop(tmp_path)
    workshop.run(OF_OBJECTS)
    for pack in workshop.paths.folder.glob("*.pack"):
        pack.unlink()
    workshop.declare(
        media=str(tmp_path / "media"), labels=[{"uri": str(tmp_path / "labels.json")}], runs=RUNS,
        embeddings={"model": "python:tests.models:Pixels"}, decoding={"preview_size": 200},
    )  # fmt: skip
    workshop.run(OF_OBJECTS)
    assert groups(workshop) == COPIES
