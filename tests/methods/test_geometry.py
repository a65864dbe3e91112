"""A part of one picture is found in another however it is turned, flipped, scaled, cropped or framed; others' are not."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from brain_assets.methods.duplicates.geometry import Overlap, overlap
from brain_assets.methods.duplicates.local_features import view_of
from brain_assets.methods.duplicates.relations import AGREEING, UNCHANGED
from tests.methods.test_verification import picture

Pixels = np.ndarray


def found(first: Pixels, second: Pixels) -> Overlap | None:
    one, other = view_of(first), view_of(second)
    assert one is not None
    assert other is not None
    return overlap(one, other)


def resized(image: Pixels, width: int, height: int) -> Pixels:
    return np.asarray(Image.fromarray(image).resize((width, height)))


def framed(image: Pixels) -> Pixels:
    """Return the picture as a part of a larger page."""
    page = np.full((400, 500, 3), 240, np.uint8)
    page[60 : 60 + image.shape[0], 200 : 200 + image.shape[1]] = image
    page[20:40, 20:180] = 30
    return page


TURNS: dict[str, Callable[[Pixels], Pixels]] = {
    f"turned by {90 * turn}{', flipped' if flip else ''}": lambda image, turn=turn, flip=flip: np.ascontiguousarray(
        np.rot90(image[:, ::-1] if flip else image, turn)
    )
    for turn in range(4)
    for flip in (False, True)
}
EDITS = TURNS | {
    "cropped to 60 %": lambda image: image[40:196, 60:228],
    "stretched": lambda image: resized(image, 360, 240),
    "half": lambda image: resized(image, 140, 130),
    "framed": framed,
    "turned by 5": lambda image: np.asarray(Image.fromarray(image).rotate(5, Image.Resampling.BICUBIC))[24:-24, 24:-24],
    "darker": lambda image: np.uint8(image * 0.6),
}


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("seed", [1, 2])
def test_an_edit_is_found_and_differs_nowhere(edit: str, seed: int) -> None:
    image = picture(seed, 260, 280)
    for one, other in ((image, EDITS[edit](image)), (EDITS[edit](image), image)):
        shared = found(one, other)
        assert shared is not None
        assert shared.agreement >= AGREEING
        assert shared.change <= UNCHANGED
        assert shared.shares.max() > 0.8


def test_regions_say_where_the_shared_part_lies() -> None:
    image = picture(3, 260, 280)
    shared = found(image, framed(image))
    assert shared is not None
    np.testing.assert_allclose(shared.regions[0], [0, 0, 1, 1], atol=0.02)
    np.testing.assert_allclose(shared.regions[1], [200 / 500, 60 / 400, 480 / 500, 320 / 400], atol=0.02)
    left = found(image, np.ascontiguousarray(image[:, :160][:, ::-1]))
    assert left is not None
    np.testing.assert_allclose(left.regions, [[0, 0, 160 / 280, 1], [0, 0, 1, 1]], atol=0.02)


def test_a_small_animal_before_a_fixed_camera_is_a_change() -> None:
    scene = picture(4, 260, 280)
    visited = scene.copy()
    visited[100:112, 150:170] = 20
    shared = found(scene, visited)
    assert shared is not None
    assert shared.change > UNCHANGED
    noise = np.random.default_rng(0).normal(0, 3, scene.shape)
    again = found(scene, np.uint8(np.clip(scene + noise, 0, 255)))
    assert again is not None
    assert again.change <= UNCHANGED


def test_other_pictures_share_nothing() -> None:
    views = [view_of(picture(seed, 260, 280)) for seed in range(10)]
    for place, one in enumerate(views):
        for other in views[:place]:
            assert one is not None
            assert other is not None
            shared = overlap(one, other)
            assert shared is None or shared.agreement < AGREEING


@pytest.mark.parametrize("image", [np.zeros((200, 300, 3), np.uint8), picture(1, 40, 40), picture(1, 1, 300)])
def test_plain_tiny_and_thin_pictures_have_no_corners_to_go_by(image: Pixels) -> None:
    assert view_of(image) is None
