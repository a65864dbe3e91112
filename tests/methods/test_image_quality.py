"""Statistics of pixels: against plain numpy, known images, and what each is supposed to react to."""

import colorsys
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageFilter

from brain_assets.methods.images.detail import edges, laplacian_variance, noise, structure
from brain_assets.methods.images.image_quality import STATISTICS, measure, statistics
from brain_assets.methods.images.jpeg_quality import BASE, jpeg_quality

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))
IMAGES = arrays(np.uint8, SHAPES)
FACTS = {"width": 8, "height": 4, "bytes": 64, "quantization": None}
FILE = ("aspect_ratio", "megapixels", "bits_per_pixel", "jpeg_quality")


def scene(height: int = 192, width: int = 256, seed: int = 0) -> np.ndarray:
    """Return a drawing with smooth shading and sharp outlines, like a photo in what matters here."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    levels = np.stack([60 + 60 * rows / height, 80 + 40 * columns / width, np.full((height, width), 90.0)], axis=2)
    for _ in range(12):
        y, x, radius = generator.uniform(0, height), generator.uniform(0, width), generator.uniform(15, 40)
        levels[np.hypot(rows - y, columns - x) < radius] = generator.uniform(20, 235, 3)
    return levels.round().astype(np.uint8)


def blurred(rgb: np.ndarray, sigma: float) -> np.ndarray:
    return np.asarray(Image.fromarray(rgb).filter(ImageFilter.GaussianBlur(sigma)))


def noisy(rgb: np.ndarray, sigma: float, channels: int = 3) -> np.ndarray:
    grain = np.random.default_rng(1).normal(0, sigma, (*rgb.shape[:2], channels))
    return np.clip(rgb + grain, 0, 255).round().astype(np.uint8)


@given(IMAGES)
def test_tone_and_colour_equal_plain_numpy(rgb: np.ndarray) -> None:
    found, levels = measure(rgb), rgb.astype(np.float64)
    luma = np.rint(levels @ [0.299, 0.587, 0.114])
    perceived = np.rint(np.sqrt(levels**2 @ [0.241, 0.691, 0.068])) / 255
    hsv = np.array([colorsys.rgb_to_hsv(*pixel) for pixel in levels.reshape(-1, 3) / 255])
    expected = {
        "mean": levels.mean(),
        "minimum": levels.min(),
        "maximum": levels.max(),
        "standard_deviation": levels.std(),
        "saturation": hsv[:, 1].mean(),
        "value": hsv[:, 2].mean(),
        "channel_difference": np.ptp(levels, axis=2).mean(),
        "unique_colors": len(np.unique(rgb.reshape(-1, 3), axis=0)),
        "clipped_share": (rgb.max(axis=2) >= 253).mean(),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-4, abs=1e-3), name
    # A level may round to either side.
    assert found["brightness"] == pytest.approx(perceived.mean(), abs=1 / 255)
    assert found["rms_contrast"] == pytest.approx(luma.std() / 255, abs=1 / 255)
    for share in (1, 50, 99):
        percentile = np.percentile(luma, share, method="inverted_cdf")
        assert abs(found[f"percentile_{share}"] - percentile) <= 1
        percentile = np.percentile(perceived, share, method="inverted_cdf")
        assert abs(found[f"brightness_{share}"] - percentile) <= 1.01 / 255


@given(IMAGES)
def test_every_statistic_is_there_and_in_its_range(rgb: np.ndarray) -> None:
    found = statistics(rgb, FACTS)
    assert list(found) == list(STATISTICS)
    assert all(type(value) is float for value in found.values())
    may_be_nan = {"hue", "red", "green", "blue", "edge_width", "noise", "chroma_noise", "noise_texture", "jpeg_quality"}
    may_be_nan |= {name for name in STATISTICS if name.startswith("subject_")}
    assert {name for name, value in found.items() if not math.isfinite(value)} <= may_be_nan
    shares = ("brightness", "white_share", "black_share", "clipped_share", "saturation", "value", "edge_density")
    assert all(0 <= found[name] <= 1 + 1e-6 for name in shares)
    assert 0 <= found["structure"] <= 0.5 + 1e-6
    assert 0 <= found["entropy"] <= 8


@given(IMAGES)
def test_measuring_twice_gives_the_same_and_leaves_the_image_alone(rgb: np.ndarray) -> None:
    before = rgb.copy()
    first, second = measure(rgb), measure(np.asfortranarray(rgb))
    assert first == pytest.approx(second, rel=1e-5, abs=1e-6, nan_ok=True)
    assert (rgb == before).all()


def test_one_pixel_has_statistics() -> None:
    found = measure(np.array([[[255, 0, 0]]], np.uint8))
    assert (found["hue"], found["red"], found["saturation"], found["channel_difference_99"]) == (0, 1, 1, 255)


@pytest.mark.parametrize(
    ("color", "hue"), [((200, 0, 0), 0), ((200, 200, 0), 60), ((0, 200, 0), 120), ((0, 0, 200), 240), ((9, 0, 9), 300)]
)
def test_hue_is_the_angle_of_the_mean_colour(color: tuple[int, int, int], hue: float) -> None:
    assert measure(np.full((4, 4, 3), color, np.uint8))["hue"] == pytest.approx(hue, abs=1e-6)


def test_gray_has_no_hue_and_no_colour() -> None:
    found = measure(np.repeat(scene()[..., :1], 3, axis=2))
    assert math.isnan(found["hue"])
    assert found["colorfulness"] == pytest.approx(0, abs=1e-3)
    assert (found["saturation"], found["channel_difference"], found["channel_difference_99"]) == (0, 0, 0)


def test_colorfulness_equals_the_formula() -> None:
    rgb = scene().astype(np.float64)
    opponent = rgb[..., 0] - rgb[..., 1], (rgb[..., 0] + rgb[..., 1]) / 2 - rgb[..., 2]
    expected = np.hypot(*(plane.std() for plane in opponent)) + 0.3 * np.hypot(*(plane.mean() for plane in opponent))
    assert measure(scene())["colorfulness"] == pytest.approx(expected, rel=1e-4)


def test_entropy_counts_the_bits_of_equally_frequent_levels() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    assert measure(ramp)["entropy"] == pytest.approx(8)


@pytest.mark.parametrize(
    "pixels", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_rgb_image_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8 pixels, got uint8 of shape"):
        measure(pixels)
    with pytest.raises(ValueError, match="got float64"):
        measure(np.zeros((4, 4, 3)))


def test_the_laplacian_equals_a_loop() -> None:
    luma = scene(20, 30)[..., 0].astype(np.float32)
    values = [
        luma[y - 1, x] + luma[y + 1, x] + luma[y, x - 1] + luma[y, x + 1] - 4 * luma[y, x]
        for y in range(1, 19)
        for x in range(1, 29)
    ]
    assert laplacian_variance(luma) == pytest.approx(np.var(values), rel=1e-4)


@pytest.mark.parametrize("sigma", [1.5, 2.0, 3.0, 4.0])
def test_the_width_of_edges_is_the_sigma_of_a_blur_and_half_a_pixel(sigma: float) -> None:
    assert measure(blurred(scene(), sigma))["edge_width"] == pytest.approx(sigma + 0.5, abs=0.1)


@pytest.mark.parametrize("axis", [0, 1])
def test_edges_are_wide_across_the_way_of_a_movement(axis: int) -> None:
    moved = np.mean([np.roll(scene(), step, axis) for step in range(12)], axis=0).astype(np.uint8)
    assert measure(moved)["edge_width"] > 2.5


def test_a_sharp_image_has_narrow_edges_whatever_its_contrast() -> None:
    for gain in (1.0, 0.5, 0.2):
        assert measure((gain * scene()).astype(np.uint8))["edge_width"] < 1.1


def test_an_image_sharp_in_one_part_counts_as_sharp() -> None:
    rgb = scene()
    rgb[:, 100:] = blurred(rgb, 4)[:, 100:]
    assert measure(rgb)["edge_width"] < 1.4


def test_noise_does_not_pass_for_sharpness() -> None:
    soft, grainy = blurred(scene(), 3), noisy(blurred(scene(), 3), 8)
    assert measure(grainy)["laplacian_variance"] > 5 * measure(soft)["laplacian_variance"]
    assert measure(grainy)["edge_width"] > 1.5
    assert measure(noisy(scene(), 8))["edge_width"] < 1.1


@pytest.mark.parametrize("sigma", [3.0, 6.0, 12.0])
def test_noise_is_measured_and_edges_are_not_taken_for_it(sigma: float) -> None:
    found = measure(noisy(scene(), sigma, channels=1))
    assert found["noise"] == pytest.approx(sigma, rel=0.25)
    assert found["noise_texture"] < 0.8
    assert measure(scene())["noise"] < 0.5


def test_noise_of_colours_is_told_from_noise_of_brightness() -> None:
    assert measure(noisy(scene(), 8, channels=1))["chroma_noise"] < 0.5
    assert measure(noisy(scene(), 8, channels=3))["chroma_noise"] == pytest.approx(8 * np.sqrt(2), rel=0.25)


def test_texture_gets_rougher_when_halved() -> None:
    texture = blurred(noisy(np.full((192, 256, 3), 128, np.uint8), 60, channels=1), 1.2)
    assert measure(texture)["noise_texture"] > 1.4


def test_structure_sees_neither_noise_nor_blur() -> None:
    expected = measure(scene())["structure"]
    assert measure(noisy(scene(), 20))["structure"] == pytest.approx(expected, rel=0.1)
    assert measure(blurred(scene(), 3))["structure"] == pytest.approx(expected, rel=0.1)
    assert measure(noisy(np.full((192, 256, 3), 128, np.uint8), 20))["structure"] < 0.005


@given(st.integers(1, 50), st.integers(1, 50), st.integers(0, 255))
def test_small_and_even_planes_have_answers(height: int, width: int, level: int) -> None:
    plane = np.full((height, width), level, np.float32)
    density, edge = edges(plane)
    assert (density, laplacian_variance(plane), structure(plane)) == (0, 0, 0)
    assert math.isnan(edge)
    assert all(map(math.isnan, noise(plane, plane)))


def test_black_and_white_parts_do_not_hide_noise() -> None:
    rgb = noisy(scene(), 10, channels=1)
    rgb[:, :64], rgb[:, -64:] = 0, 255
    assert 6 < measure(rgb)["noise"] < 11
    assert math.isnan(measure(np.zeros((192, 256, 3), np.uint8))["noise"])


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 75, 92, 100])
def test_the_quality_of_pillows_files_is_found(quality: int, tmp_path: object) -> None:
    path = f"{tmp_path}/image.jpg"
    Image.fromarray(scene()).save(path, quality=quality)
    with Image.open(path) as image:
        table = np.array(image.quantization[0])
    assert jpeg_quality(table) == quality
    assert statistics(scene(), FACTS | {"quantization": tuple(table.tolist())})["jpeg_quality"] == quality


def test_unknown_tables_get_the_nearest_quality() -> None:
    assert jpeg_quality(BASE.ravel() + 1) == pytest.approx(50, abs=3)
    with pytest.raises(ValueError, match="64 entries"):
        jpeg_quality(BASE)


def test_statistics_of_the_file_follow_its_size() -> None:
    found = statistics(scene(), FACTS)
    assert [found[name] for name in FILE[:3]] == [2.0, 32e-6, 16.0]
    assert math.isnan(found["jpeg_quality"])
