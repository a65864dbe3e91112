"""Pixel verification: edits of a picture agree with it, other pictures do not, and a pair's score stands alone."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from brain_assets.methods.duplicates.verification import duplicate_distance, prints_of, verify
from tests.mild_edits import mild_edits


def picture(seed: int, height: int = 160, width: int = 120) -> np.ndarray:
    """A picture with the spectrum of natural ones (power falls with the square of the frequency)."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None] * height, np.fft.fftfreq(width) * width)
    planes = [np.fft.ifft2(np.fft.fft2(rng.normal(size=(height, width))) / np.maximum(frequency, 1)) for _ in range(3)]
    image = np.stack([planes[0].real + 0.4 * plane.real for plane in planes], axis=-1)
    return np.uint8(np.clip(128 + 45 * image / image.std(), 0, 255))


def agreement(first: np.ndarray, second: np.ndarray) -> float:
    return float(verify(prints_of([first, second]), np.array([0]), np.array([1]))[0])


def shrunk(image: np.ndarray, factor: int) -> np.ndarray:
    height, width = (side // factor * factor for side in image.shape[:2])
    blocks = image[:height, :width].reshape(height // factor, factor, width // factor, factor, 3)
    return np.uint8(blocks.mean(axis=(1, 3)))


@pytest.mark.parametrize("edit", [*mild_edits(picture(0))])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_mild_edit_agrees_with_its_original(edit: str, seed: int) -> None:
    image = picture(seed)
    assert agreement(image, mild_edits(image)[edit]) > 0.7
    assert agreement(mild_edits(image)[edit], image) > 0.7


@pytest.mark.parametrize(
    "change",
    [
        lambda image: shrunk(image, 4),
        lambda image: image[20:, 15:],
        lambda image: image[5:, ::-1][:, 5:],
        lambda image: 255 - (255 - image) // 2,
        lambda image: np.uint8(image * [0.8, 1.0, 0.6]),
    ],
    ids=["quarter", "crop", "mirrored crop", "washed out", "tinted"],
)
def test_stronger_edits_agree_too(change: object) -> None:
    assert all(agreement(picture(seed), change(picture(seed))) > 0.7 for seed in range(5))


def test_pictures_of_32_pixels_are_compared_like_large_ones() -> None:
    small = [shrunk(picture(seed, 128, 128), 4) for seed in range(4)]
    shifted = [shrunk(np.roll(picture(seed, 128, 128), 6, axis=1)[:, 8:120], 4) for seed in range(4)]
    assert all(agreement(a, b) > 0.7 for a, b in zip(small, shifted, strict=True))


def test_other_pictures_do_not_agree() -> None:
    prints = prints_of(picture(seed) for seed in range(24))
    first, second = np.triu_indices(24, 1)
    assert verify(prints, first, second).max() < 0.5


def test_equal_low_frequencies_are_not_enough() -> None:
    """Two pictures with the same sky and horizon but other contents."""
    scene = np.linspace(0, 200, 160)[:, None, None]
    first, second = (np.uint8(np.clip(scene + 0.2 * picture(seed), 0, 255)) for seed in (1, 2))
    grey = [image.mean(axis=2).ravel() for image in (first, second)]
    assert np.corrcoef(*grey)[0, 1] > 0.95
    assert agreement(first, second) < 0.5


def test_a_print_depends_on_its_own_picture_only() -> None:
    alone = prints_of([picture(5)])
    among = prints_of([picture(4), picture(5), picture(6, 90, 200)])
    for one, many in zip(alone, among, strict=True):
        np.testing.assert_array_equal(one[0], many[1])


def test_a_pair_is_scored_alike_in_any_company() -> None:
    prints = prints_of(picture(seed) for seed in range(6))
    first, second = np.triu_indices(6, 1)
    together = verify(prints, first, second)
    single = [verify(prints, first[k : k + 1], second[k : k + 1])[0] for k in range(len(first))]
    np.testing.assert_array_equal(together, single)
    np.testing.assert_array_equal(together, verify(prints, first, second))


def test_brightness_and_contrast_do_not_matter() -> None:
    image = picture(7)
    assert agreement(image, np.uint8(image * 0.5 + 60)) > 0.97


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [((0, 0, 0), (0, 0, 0), 1), ((255, 0, 0), (0, 0, 255), 0), ((9, 9, 9), (9, 25, 9), 0.5)],
)
def test_blank_pictures_are_compared_by_colour(
    first: tuple[int, ...], second: tuple[int, ...], expected: float
) -> None:
    blank = [np.full((30, 40, 3), colour, np.uint8) for colour in (first, second)]
    assert agreement(*blank) == pytest.approx(expected, abs=0.01)


def test_a_blank_picture_is_no_copy_of_one_with_contents() -> None:
    assert agreement(np.full((160, 120, 3), 128, np.uint8), picture(1)) == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (2, 3), (64, 64), (500, 7)])
def test_odd_sizes_give_scores(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.integers(0, 256, (*shape, 3)).astype(np.uint8) for _ in range(2))
    assert agreement(first, first) > 0.9
    assert 0 <= agreement(first, second) <= 1


def test_no_pictures_and_no_pairs() -> None:
    none = np.empty(0, np.int64)
    assert len(prints_of([]).detail) == 0
    assert verify(prints_of([]), none, none).shape == (0,)


def test_judged_near_duplicates_of_32_pixels_agree_and_chance_pairs_do_not(shared_data: Path) -> None:
    folder = shared_data / "cifar10"
    judged = json.loads((folder / "truth_duplicates.json").read_text())["test_train"]
    near = [row for row in judged if row["judgment"] == 1]
    paths = [folder / split / f"{row[split]:05d}.jpg" for split in ("test", "train") for row in near]
    prints = prints_of(np.asarray(Image.open(path).convert("RGB")) for path in paths)
    tests = np.arange(len(near))
    assert np.mean(verify(prints, tests, tests + len(near)) > 0.65) > 0.95
    chance = [verify(prints, tests, len(near) + np.roll(tests, shift)) for shift in range(1, 10)]
    assert np.mean(np.array(chance) > 0.65) < 0.01


UNIT = st.floats(0, 1)


@given(UNIT, st.integers(0, 64), UNIT)
def test_the_distance_is_a_weighted_mean(distance: float, hamming: int, verification: float) -> None:
    found = duplicate_distance(np.array([distance]), np.array([hamming]), np.array([verification]))[0]
    assert found == pytest.approx(1 - 0.8 * verification - 0.2 * max(1 - distance, 1 - hamming / 32, 0), abs=1e-9)
    assert 0 <= found <= 1


def test_without_pixels_the_distance_of_the_embedding_stands() -> None:
    found = duplicate_distance(np.array([0.3, 1.7]), np.array([0, 64]), np.array([np.nan, np.nan]))
    assert found.tolist() == [0.3, 1.7]
