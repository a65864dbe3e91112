"""Exact copies are found across containers, reductions never mislead, and similar images have similar hashes."""

import io
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from brain_assets.resources.decoding.colors import hash_pixels
from brain_assets.resources.decoding.decoding import DRAFT_DISTANCE, Decoded
from brain_assets.resources.store.fingerprints import perceptual_hashes
from tests.resources.images import decode, encode, photo, pixel_hashes

LOSSLESS = {
    "PNG": {"compress_level": 1},
    "BMP": {},
    "TIFF": {"compression": "tiff_lzw"},
    "WEBP": {"lossless": True, "method": 0},
    "PPM": {},
}


def candidates(rows: Mapping[str, Decoded]) -> set[frozenset[str]]:
    """Return the pairs that the documented rule takes for possible copies."""
    return {
        frozenset((a.key, b.key))
        for a, b in combinations(rows.values(), 2)
        if (a.width, a.height) == (b.width, b.height)
        and (
            a.signature == b.signature or (a.drafted != b.drafted and (a.phash ^ b.phash).bit_count() <= DRAFT_DISTANCE)
        )
    }


def copies(files: Mapping[str, bytes]) -> set[frozenset[str]]:
    """Return the pairs of candidates whose pixels are equal in full."""
    found = candidates(decode(files))
    hashes = pixel_hashes({key: files[key] for pair in found for key in pair})
    return {pair for pair in found if len({hashes[key] for key in pair}) == 1 and None not in {hashes[k] for k in pair}}


def all_pairs(keys: Mapping[str, bytes]) -> set[frozenset[str]]:
    return {frozenset(pair) for pair in combinations(keys, 2)}


@pytest.mark.parametrize("size", [(40, 30), (500, 375), (1024, 768)])
def test_lossless_containers_of_the_same_pixels_are_copies(size: tuple[int, int]) -> None:
    files = {name: encode(photo(*size), name, **options) for name, options in LOSSLESS.items()}
    assert copies(files) == all_pairs(files)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA"])
def test_modes_that_show_the_same_pixels_are_copies(mode: str) -> None:
    image = photo().convert(mode)
    files = {"stored": encode(image), "as RGBA": encode(image.convert("RGBA"))}
    assert copies(files) == all_pairs(files)


@pytest.mark.parametrize("size", [(40, 30), (500, 375), (1024, 768), (1600, 1200), (2720, 2720)])
def test_a_jpeg_and_its_decoded_pixels_are_copies(size: tuple[int, int]) -> None:
    jpeg = encode(photo(*size), "JPEG", quality=60)
    decoded = Image.open(io.BytesIO(jpeg))
    files = {"jpeg": jpeg, "png": encode(decoded, "PNG", compress_level=1)}
    assert copies(files) == all_pairs(files)


def test_a_jpeg_with_other_metadata_is_a_copy_without_full_decoding_of_others() -> None:
    image = photo(1600, 1200)
    exif = Image.Exif()
    exif[306] = "2020:01:01 00:00:00"
    files = {"plain": encode(image, "JPEG"), "exif": encode(image, "JPEG", exif=exif)}
    files |= {f"other {seed}": encode(photo(1600, 1200, seed), "JPEG") for seed in range(1, 5)}
    assert candidates(decode(files)) == {frozenset(("plain", "exif"))}
    assert copies(files) == {frozenset(("plain", "exif"))}


def test_one_changed_pixel_is_no_copy() -> None:
    image = photo(1600, 1200)
    files = {"one": encode(image, compress_level=1)}
    image.putpixel((801, 601), (0, 255, 0))
    files["other"] = encode(image, compress_level=1)
    hashes = pixel_hashes(files)
    assert len(set(hashes.values())) == 2


def test_unreadable_files_have_no_pixel_hash() -> None:
    assert pixel_hashes({"one": b"junk", "two": encode(photo())[:500]}) == {"one": None, "two": None}


def test_sixteen_bits_count_in_the_pixel_hash() -> None:
    samples = np.arange(600, dtype=np.uint16).reshape(20, 30) * 100
    one, other = samples.copy(), samples.copy()
    other[3, 3] += 1
    assert hash_pixels(Image.fromarray(one)) != hash_pixels(Image.fromarray(other))
    grey = np.asarray(photo(30, 20).convert("L"))
    upscaled = Image.fromarray(grey.astype(np.uint16) * 257)
    assert hash_pixels(upscaled) == hash_pixels(Image.fromarray(grey))
    files = {"deep": encode(upscaled), "plain": encode(Image.fromarray(grey))}
    assert copies(files) == all_pairs(files)


def test_hidden_colours_of_transparent_pixels_do_not_count() -> None:
    black, red = Image.new("RGBA", (9, 9), (0, 0, 0, 0)), Image.new("RGBA", (9, 9), (255, 0, 0, 0))
    assert hash_pixels(black) == hash_pixels(red)
    assert hash_pixels(black) != hash_pixels(Image.new("RGB", (9, 9)))


def test_the_shape_counts_in_the_pixel_hash() -> None:
    assert hash_pixels(Image.new("L", (4, 9))) != hash_pixels(Image.new("L", (9, 4)))


def test_orientation_counts_as_displayed() -> None:
    exif = Image.Exif()
    exif[274] = 3
    files = {
        "turned": encode(photo().transpose(Image.Transpose.ROTATE_180), exif=exif),
        "plain": encode(photo()),
    }
    assert copies(files) == all_pairs(files)


@given(seed=st.integers(0, 1000), edit=st.sampled_from(["jpeg", "resize", "brighter"]))
def test_mild_edits_keep_the_perceptual_hash_and_other_images_do_not_have_it(seed: int, edit: str) -> None:
    image = photo(128, 96, seed)
    edited = {
        "jpeg": lambda: Image.open(io.BytesIO(encode(image, "JPEG", quality=60))),
        "resize": lambda: image.resize((90, 70)),
        "brighter": lambda: image.point(lambda value: min(255, value + 8)),
    }[edit]()
    plain, mirrored = perceptual_hashes(image)
    assert (plain ^ perceptual_hashes(edited.convert("RGB"))[0]).bit_count() <= 8
    assert (plain ^ perceptual_hashes(photo(128, 96, seed + 1))[0]).bit_count() > 12
    flipped = perceptual_hashes(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    assert (mirrored ^ flipped[0]).bit_count() <= 2
    assert (plain ^ flipped[1]).bit_count() <= 2


@pytest.mark.parametrize("colour", ["black", "white", "grey"])
def test_flat_images_have_no_bits_of_rounding_noise(colour: str) -> None:
    assert perceptual_hashes(Image.new("RGB", (300, 200), colour)) == (0, 0)


def test_real_photos_as_jpeg_and_as_png_are_copies(shared_data: Path) -> None:
    files: dict[str, bytes] = {}
    for number, path in enumerate(sorted((shared_data / "clothing").rglob("*.jpg"))[::90]):
        large = Image.open(path).resize((1200, 900), Image.Resampling.BICUBIC)
        jpeg = encode(large, "JPEG", quality=80)
        png = encode(Image.open(io.BytesIO(jpeg)), "PNG", compress_level=1)
        files |= {f"{number} jpeg": jpeg, f"{number} png": png}
    expected = {frozenset((f"{number} jpeg", f"{number} png")) for number in range(len(files) // 2)}
    assert copies(files) == expected
