"""Every pixel mode, bit depth, orientation and alpha becomes 8-bit RGB by the documented rules."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from brain_assets.resources.decoding.colors import hash_pixels, to_rgb
from brain_assets.resources.image_input import InputSpec
from tests.resources.images import decode_one, encode, photo

WHITE = (255, 255, 255)


def rgb(image: Image.Image, factor: int = 1) -> np.ndarray:
    return np.asarray(to_rgb(image, factor)[0])


def preview(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(decode_one(data).preview))


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("1", 1, WHITE),
        ("L", 77, (77, 77, 77)),
        ("P", 0, (10, 20, 30)),
        ("RGB", (1, 2, 3), (1, 2, 3)),
        ("RGBX", (1, 2, 3, 0), (1, 2, 3)),
        ("CMYK", (255, 0, 0, 0), (0, 255, 255)),
        ("CMYK", (0, 0, 0, 255), (0, 0, 0)),
        ("YCbCr", (128, 128, 128), (128, 128, 128)),
        ("HSV", (0, 0, 200), (200, 200, 200)),
        ("LA", (0, 0), WHITE),
        ("La", (0, 0), WHITE),
        ("RGBA", (255, 0, 0, 255), (255, 0, 0)),
        ("RGBA", (255, 0, 0, 0), WHITE),
        ("RGBA", (255, 0, 0, 51), (255, 204, 204)),
        ("RGBa", (51, 0, 0, 51), (255, 204, 204)),
        ("PA", (0, 0), WHITE),
        ("I", 77, (77, 77, 77)),
        ("F", 77.4, (77, 77, 77)),
        ("F", 0.5, (128, 128, 128)),
        ("I;16", 77 * 257, (77, 77, 77)),
        ("I;16B", 77 * 257, (77, 77, 77)),
    ],
)
def test_modes(mode: str, colour: object, expected: tuple[int, int, int]) -> None:
    image = Image.new(mode, (5, 3), colour)
    if mode in {"P", "PA"}:
        image.putpalette([10, 20, 30])
    assert rgb(image).shape == (3, 5, 3)
    assert (rgb(image) == expected).all()
    assert (rgb(image, 2) == expected).all()
    assert rgb(image, 2).shape == (2, 3, 3)


def test_lab_is_converted_by_its_definition() -> None:
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab = ImageCms.profileToProfile(photo(), *profiles, outputMode="LAB")
    assert np.abs(rgb(lab).astype(int) - np.asarray(photo())).mean() < 3


@pytest.mark.parametrize(
    ("largest", "expected"),
    [(255, 255), (256, 64), (1023, 255), (1024, 64), (4095, 255), (16383, 255), (16384, 64), (65534, 255)],
)
def test_sixteen_bits_are_shifted_from_the_smallest_depth_that_holds_them(largest: int, expected: int) -> None:
    image = Image.fromarray(np.array([[1, largest]], np.uint16))
    assert rgb(image)[0, 1, 0] == expected


@pytest.mark.parametrize("mode", ["I", "F"])
def test_wide_ranges_are_stretched_and_what_is_not_finite_is_black(mode: str) -> None:
    samples = np.array([[-1000, 0, 1000]], np.int32 if mode == "I" else np.float32)
    assert rgb(Image.fromarray(samples))[0, :, 0].tolist() == [0, 128, 255]
    if mode == "F":
        samples = np.array([[np.nan, np.inf, -np.inf, 0, 500]], np.float32)
        assert rgb(Image.fromarray(samples))[0, :, 0].tolist() == [0, 0, 0, 0, 255]


@pytest.mark.parametrize("value", [np.nan, 0.0, -5.0, 1e30])
def test_constant_floats_have_no_range_to_stretch(value: float) -> None:
    image = Image.fromarray(np.full((4, 4), value, np.float32))
    assert np.ptp(rgb(image)) == 0


def test_strips_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [photo(), photo().convert("P"), photo().convert("L").convert("I"), photo().convert("RGBA")]
    images.append(Image.fromarray(np.arange(200 * 150, dtype=np.uint16).reshape(150, 200)))
    whole = [(rgb(image, factor), hash_pixels(image)) for image in images for factor in (1, 4)]
    monkeypatch.setattr("brain_assets.resources.decoding.colors.STRIP_PIXELS", 1000)
    for (pixels, digest), (image, factor) in zip(
        whole, [(image, factor) for image in images for factor in (1, 4)], strict=True
    ):
        assert (rgb(image, factor) == pixels).all()
        assert hash_pixels(image) == digest


def test_transparency_is_counted() -> None:
    image = photo(40, 40).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize((40, 40)))
    row = decode_one(encode(image, "PNG"))
    assert row.transparency == pytest.approx(1 - np.asarray(image.getchannel("A")).mean() / 255)
    assert decode_one(encode(photo(), "PNG")).transparency == 0


def test_a_transparent_colour_of_an_opaque_mode_counts_too() -> None:
    image = Image.new("RGB", (10, 10), (9, 9, 9))
    data = encode(image, "PNG", transparency=(9, 9, 9))
    assert (np.asarray(preview(data)) == WHITE).all()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(format: str, orientation: int) -> None:
    upright = photo(90, 60)
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[274] = orientation
    options = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}.get(format, {})
    row = decode_one(encode(stored, format, exif=exif, **options))
    assert (row.width, row.height, row.orientation) == (90, 60, orientation)
    shown = np.asarray(Image.open(io.BytesIO(row.preview)), int)
    assert np.abs(shown - np.asarray(upright, int)).mean() < 4


def test_orientation_of_a_drafted_photo() -> None:
    exif = Image.Exif()
    exif[274] = 6
    spec = InputSpec("model", 96, 64)
    turned = decode_one(
        encode(photo(1200, 1600).transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif), inputs=[spec]
    )
    plain = decode_one(encode(photo(1200, 1600), "JPEG"), inputs=[spec])
    assert (turned.width, turned.height, turned.drafted) == (1200, 1600, True)
    assert np.abs(turned.inputs["model"].astype(int) - plain.inputs["model"]).mean() < 3
    assert (turned.phash ^ plain.phash).bit_count() <= 4


@pytest.mark.parametrize("junk", [b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0junk" * 20])
def test_damaged_metadata_does_not_make_an_image_unreadable(junk: bytes) -> None:
    row = decode_one(encode(photo(), "JPEG", exif=junk))
    assert (row.status, row.orientation, row.taken_at) == ("ok", 1, None)


def test_exif_time() -> None:
    exif = Image.Exif()
    exif.get_ifd(34665)[36867] = "2021:03:04 05:06:07"
    assert str(decode_one(encode(photo(), "JPEG", exif=exif)).taken_at) == "2021-03-04 05:06:07"
    exif.get_ifd(34665)[36867] = "0000:00:00 00:00:00"
    assert decode_one(encode(photo(), "JPEG", exif=exif)).taken_at is None


@pytest.mark.parametrize(
    ("image", "format", "bits", "channels"),
    [
        (photo().convert("1"), "PNG", 1, 1),
        (photo().quantize(4), "PNG", 2, 1),
        (photo().convert("L"), "PNG", 8, 1),
        (photo(), "PNG", 8, 3),
        (photo().convert("RGBA"), "PNG", 8, 4),
        (Image.new("I;16", (9, 9), 5), "PNG", 16, 1),
        (Image.new("I;16", (9, 9), 5), "TIFF", 16, 1),
        (Image.new("F", (9, 9), 5), "TIFF", 32, 1),
        (photo().convert("1"), "TIFF", 1, 1),
        (photo().convert("CMYK"), "JPEG", 8, 4),
        (photo(), "JPEG", 8, 3),
    ],
)
def test_bits_and_channels(image: Image.Image, format: str, bits: int, channels: int) -> None:
    row = decode_one(encode(image, format))
    assert (row.bits, row.channels) == (bits, channels)


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_counts_and_the_others_are_counted(format: str) -> None:
    frames = [photo(60, 40, seed) for seed in range(3)]
    options = {"WEBP": {"lossless": True}}.get(format, {})
    row = decode_one(encode(frames[0], format, save_all=True, append_images=frames[1:], **options))
    first = decode_one(encode(frames[0], format, **options))
    assert (row.frames, row.animated) == (3, format != "TIFF")
    assert (first.frames, first.animated) == (1, False)
    assert row.signature == first.signature


def icon(seed: int, lightness: int) -> Image.Image:
    """Return rectangles of one lightness on a transparent ground."""
    random = np.random.default_rng(seed)
    alpha = np.zeros((40, 40), np.uint8)
    for left, top in random.integers(0, 28, (4, 2)):
        alpha[top : top + 12, left : left + 8] = 255
    pixels = np.dstack([np.full((40, 40, 3), lightness, np.uint8), alpha])
    return Image.fromarray(pixels, "RGBA")


@pytest.mark.parametrize("mode", ["RGBA", "LA", "RGBa", "P"])
@pytest.mark.parametrize(("lightness", "ground"), [(255, 0), (245, 0), (200, 255), (0, 255)])
def test_what_would_vanish_on_white_is_shown_on_black(mode: str, lightness: int, ground: int) -> None:
    image = icon(1, lightness)
    image = image.quantize(8) if mode == "P" else image.convert(mode)
    pixels = rgb(image)
    assert pixels[np.asarray(icon(1, 0).getchannel("A")) == 0].max(initial=0) == ground
    assert abs(int(np.ptp(pixels)) - abs(lightness - ground)) <= 1


def test_pictures_with_hardly_a_hole_and_with_nothing_to_see_stand_on_white() -> None:
    bright = Image.new("RGBA", (40, 40), (250, 250, 250, 255))
    bright.putpixel((0, 0), (0, 0, 0, 0))
    assert rgb(bright)[0, 0].tolist() == [255, 255, 255]
    assert (rgb(Image.new("RGBA", (4, 4), (255, 255, 255, 0))) == 255).all()


def scene(seed: int, side: int = 64) -> np.ndarray:
    small = np.random.default_rng(seed).random((6, 6)).astype(np.float32)
    return np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)).clip(0, 1)


@pytest.mark.parametrize("depth", [1000, 4000, 30000])
@pytest.mark.parametrize("hot", [65535, 40000])
def test_a_hot_pixel_changes_nothing_else(depth: int, hot: int) -> None:
    plain = (scene(3) * depth).astype(np.uint16)
    spoilt = plain.copy()
    spoilt[5, 5] = hot
    one, other = rgb(Image.fromarray(plain)).astype(int), rgb(Image.fromarray(spoilt)).astype(int)
    different = (one != other).any(axis=2)
    assert different.sum() <= 1
    assert one.mean() > 40


LEAST = -3.4028234663852886e38
NO_DATA = [(np.float32, -9999), (np.float32, LEAST), (np.int32, -9999), (np.int32, -32768)]


@pytest.mark.parametrize(("dtype", "no_data"), NO_DATA)
def test_what_marks_the_absence_of_data_is_black_and_not_part_of_the_range(dtype: type, no_data: float) -> None:
    heights = (200 + scene(4) * 900).astype(dtype)
    heights[:10, :20] = no_data
    pixels = rgb(Image.fromarray(heights))
    assert (pixels[:10, :20] == 0).all()
    assert np.ptp(pixels[10:]) > 200


def test_the_value_that_a_tag_names_is_no_data(tmp_path: Path) -> None:
    heights = (scene(5) * 900 + 100).astype(np.float32)
    heights[:9] = 30000
    path = tmp_path / "a.tif"
    Image.fromarray(heights).save(path, tiffinfo={42113: "30000"})
    with Image.open(path) as image:
        pixels = rgb(image)
    assert (pixels[:9] == 0).all()
    assert np.ptp(pixels[9:]) > 200


def test_low_values_that_many_pixels_have_are_data_where_no_gap_parts_them() -> None:
    field = (scene(6) * 2000 - 1000).astype(np.float32).clip(-500, None)
    pixels = rgb(Image.fromarray(field))
    assert (pixels[field > 0] > pixels[field == -500].max()).all()


def test_a_few_pixels_on_an_even_ground_are_what_there_is_to_see() -> None:
    stars = np.zeros((64, 64), np.uint16)
    stars[7, 9] = 4000
    assert rgb(Image.fromarray(stars)).max() > 200
