"""What two pictures are to each other is published, and settings choose what counts: templates, fixed cameras, edits."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from brain_assets.resources.errors import ConfigurationError
from tests.signals.test_near_duplicates import jpeg
from tests.workshop import Workshop, assert_equals_rebuild, encoded

RELATIONS = "select relation, count(*) from pairs group by relation order by relation"
DROPPED = """
    select relation, filepath from near_duplicates join samples using (sample_id) where not keep order by filepath"""
STEPS = ("samples", "media", "exact_duplicates", "embeddings", "similarity", "near_duplicates", "leaks", "published")


def form(number: int) -> Image.Image:
    """Return a form of one template, filled in by someone."""
    page, chance = Image.new("RGB", (300, 400), "white"), np.random.default_rng(number)
    draw = ImageDraw.Draw(page)
    draw.rectangle((10, 10, 290, 40), fill=(20, 40, 120))
    draw.text((60, 18), "APPLICATION FORM", "white")
    for line in range(8):
        draw.text((14, 56 + 40 * line), f"Field {line}: name of item", "black")
        draw.rectangle((150, 50 + 40 * line, 288, 78 + 40 * line), outline="black")
        word = "".join(chance.choice(list("ABCDEFGHKLMNOPRSTUVWXYZ"), 12))
        draw.text((156, 58 + 40 * line), word, (10, 10, 90))
    return page


def scene(number: int) -> Image.Image:
    """Return a picture like no other."""
    chance, image = np.random.default_rng(number), np.zeros((260, 340, 3))
    for cells in (4, 12, 40, 100):
        noise = Image.fromarray(chance.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        image += np.asarray(noise.resize((340, 260), Image.Resampling.BICUBIC), float) / 4
    return Image.fromarray(image.astype(np.uint8))


def frame(number: int) -> Image.Image:
    """Return what one camera sees when an animal is somewhere in view."""
    chance = np.random.default_rng(100 + number)
    seen = np.asarray(scene(1), float) + chance.normal(0, 2, (260, 340, 3))
    picture = Image.fromarray(np.clip(seen, 0, 255).astype(np.uint8))
    x, y = (int(place) for place in chance.integers(30, 200, 2))
    ImageDraw.Draw(picture).ellipse((x, y, x + 40, y + 24), fill=(60, 30, 10))
    return picture


def made(root: Path, pictures: Mapping[str, bytes], home: str = "home", **settings: object) -> Workshop:
    for name, content in pictures.items():
        path = root / "media" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return Workshop(root / home, root / "media", split_from="folder", near_duplicates=settings)


def test_of_forms_of_one_template_only_the_copy_is_one(tmp_path: Path) -> None:
    forms = {f"train/{number:02}.png": encoded(form(number)) for number in range(20)}
    workshop = made(tmp_path, forms | {"test/copy.jpg": jpeg(form(3), 80)})
    workshop.run(STEPS)
    assert workshop.rows(DROPPED) == [("same", "train/03.png")]
    assert workshop.rows("select distinct kind, relation from leaks") == [("near", "same")]
    assert dict(workshop.rows(RELATIONS))["same_scene"] > 50


def test_an_animal_before_a_fixed_camera_makes_other_pictures(tmp_path: Path) -> None:
    frames = {f"train/{number:02}.png": encoded(frame(number)) for number in range(12)}
    workshop = made(tmp_path, frames)
    workshop.run(STEPS)
    assert workshop.rows(DROPPED) == []
    assert [row[0] for row in workshop.rows(RELATIONS)] == ["same_scene"]
    scenes = made(tmp_path, {}, relations=["same", "edited", "same_scene"])
    assert scenes.run(STEPS)["near_duplicates"].notes["pairs verified in this run"] == 0
    assert {row[0] for row in scenes.rows(DROPPED)} == {"same_scene"}


def test_edits_are_found_with_their_region_whatever_the_order_of_arrival(tmp_path: Path) -> None:
    pictures = {f"train/{number:02}.png": encoded(scene(number)) for number in range(12)}
    edits = {
        "test/turned.png": encoded(scene(3).transpose(Image.Transpose.ROTATE_90)),
        "test/part.png": encoded(scene(5).crop((40, 30, 300, 230))),
    }
    workshop = made(tmp_path, edits)
    workshop.run(STEPS)
    made(tmp_path, pictures)
    workshop.run(STEPS)
    paths = dict(workshop.rows("select sample_id, filepath from samples"))
    found = "select subject_id, partner_id, region, partner_region from pairs where relation = 'edited'"
    shared = {}
    for one, other, *regions in workshop.rows(found):
        ends = sorted(zip((paths[one], paths[other]), regions, strict=True))
        shared[tuple(path for path, _ in ends)] = np.round([region for _, region in ends], 1).tolist()
    whole = [0.0, 0.0, 1.0, 1.0]
    assert shared == {
        ("test/part.png", "train/05.png"): [whole, [0.1, 0.1, 0.9, 0.9]],
        ("test/turned.png", "train/03.png"): [whole, whole],
    }
    rebuild = made(tmp_path, {}, home="rebuild")
    rebuild.run(STEPS)
    assert_equals_rebuild(workshop, rebuild)


def test_a_threshold_and_relations_are_one_or_the_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="relations has no effect beside a threshold"):
        made(tmp_path, {"train/a.png": encoded(scene(0))}, threshold=0.1, relations=["same"]).run(STEPS)
