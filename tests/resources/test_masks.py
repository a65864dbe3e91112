"""Masks of other pictures are told from pictures, by their names and by what is drawn in them."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brain_assets.resources.media.masks import is_mask, mask_places, without_masks
from tests.workshop import encoded, picture

CITY = "leftImg8bit/{}/aachen/aachen_{}_leftImg8bit.png", "gtFine/{}/aachen/aachen_{}_gtFine_{}.png"


def write(root: Path, *paths: str, drawn: bool = False) -> None:
    for seed, path in enumerate(paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        image = picture(seed, (40, 32))
        if drawn:
            values = np.zeros((32, 40), np.uint8)
            values[4:20, 5 : 10 + seed] = 1 + seed % 3
            image = Image.fromarray(values)
        (root / path).write_bytes(encoded(image))


def seen(root: Path) -> dict[tuple[str, str], int]:
    return mask_places(root, sorted(str(path.relative_to(root)) for path in root.rglob("*.png")))


@pytest.mark.parametrize(
    ("images", "masks", "places"),
    [
        (["images/1.png", "images/2.png"], ["masks/1.png", "masks/2.png"], {("masks/", ""): 2}),
        (["a (1).png", "a (2).png"], ["a (1)_mask.png", "a (2)_mask.png"], {("", "_mask.png"): 2}),
        (["A.png", "B.png"], ["A_Mask.png", "B_Mask.png"], {("", "_Mask.png"): 2}),
        (
            [CITY[0].format(split, 1) for split in ("train", "val")],
            [CITY[1].format(split, 1, kind) for split in ("train", "val") for kind in ("color", "labelIds")],
            {("gtFine/", ""): 4},
        ),
        (
            ["train/images/1.png", "val/images/2.png"],
            ["train/masks/1.png", "val/masks/2.png"],
            {("train/masks/", ""): 1, ("val/masks/", ""): 1},
        ),
    ],
)
def test_masks_are_found(
    images: list[str], masks: list[str], places: dict[tuple[str, str], int], tmp_path: Path
) -> None:
    write(tmp_path, *images)
    write(tmp_path, *masks, drawn=True)
    assert seen(tmp_path) == places
    assert [path for path in (*images, *masks) if is_mask(path, places)] == masks
    pattern = re.compile(without_masks(places))
    assert [path for path in (*images, *masks) if pattern.search(path)] == images


def test_what_is_drawn_but_belongs_to_no_image_is_an_image(tmp_path: Path) -> None:
    """As digits, characters and icons are, by class and split, with the same names in each folder."""
    write(tmp_path, "train/cat/1.png", "train/dog/1.png", "test/cat/1.png", drawn=True)
    write(tmp_path, "photos/7.png")
    assert seen(tmp_path) == {}


def test_photos_that_are_called_alike_are_no_masks(tmp_path: Path) -> None:
    write(tmp_path, "left/1.png", "left/2.png", "right/1.png", "right/2.png")
    (tmp_path / "right" / "1.png").write_bytes(b"no image")
    assert seen(tmp_path) == {}
