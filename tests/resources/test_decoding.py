"""One row per file whatever it holds, equal whatever else is in the batch, with bounded look-ahead and memory."""

import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from brain_assets.resources.decoding.decoding import Decoded, DecodeJob, Decoder
from brain_assets.resources.decoding.formats import matches_extension, sniff
from brain_assets.resources.image_input import InputSpec
from brain_assets.resources.limits import Limits
from tests.resources.images import decode, decode_one, encode, photo, png

SQUASH = InputSpec("squash", 224, 224)
CROP = InputSpec("crop", 64, 96, resize="crop", interpolation="bicubic")
LARGE = InputSpec("large", 448, 448)


def test_a_row_holds_what_the_file_says_and_what_is_made_of_it() -> None:
    row = decode_one(encode(photo(500, 375), "JPEG"), inputs=[SQUASH, CROP])
    assert (row.status, row.error, row.width, row.height, row.format, row.mode) == ("ok", None, 500, 375, "JPEG", "RGB")
    assert (row.frames, row.animated, row.orientation, row.reduction, row.drafted) == (1, False, 1, 1, False)
    assert len(row.quantization) == 64
    assert row.inputs["squash"].shape == (224, 224, 3)
    assert row.inputs["crop"].shape == (64, 96, 3)
    assert {pixels.dtype for pixels in row.inputs.values()} == {np.dtype(np.uint8)}
    with Image.open(io.BytesIO(row.preview)) as preview:
        assert (preview.format, preview.size) == ("JPEG", (256, 192))


def test_small_previews_are_lossless() -> None:
    image = photo(256, 40)
    with Image.open(io.BytesIO(decode_one(encode(image)).preview)) as preview:
        assert (np.asarray(preview) == np.asarray(image)).all()


@pytest.mark.parametrize("longest", [64, 256, 600])
def test_the_preview_has_the_size_that_was_asked_for(longest: int) -> None:
    data = encode(photo(1600, 800), "JPEG")
    with Image.open(io.BytesIO(decode_one(data, preview_size=longest).preview)) as preview:
        assert preview.size == (longest, longest // 2)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
def test_a_row_depends_on_its_file_alone(format: str) -> None:
    data = encode(photo(1600, 1200), format)
    others = {str(seed): encode(photo(40 + seed, 60, seed), "JPEG") for seed in range(8)} | {"bad": b"junk"}
    alone = decode_one(data, inputs=[SQUASH], threads=1)
    among = decode({"one": data} | others, inputs=[LARGE, SQUASH, CROP], preview_size=500, threads=3)["one"]
    plain = decode_one(data)
    for other in (among, plain):
        assert (other.signature, other.phash, other.reduction) == (alone.signature, alone.phash, alone.reduction)
    assert plain.preview == alone.preview
    assert (among.inputs["squash"] == alone.inputs["squash"]).all()


def test_statistics_are_measured_on_the_same_pixels_whatever_else_is_made() -> None:
    data = encode(photo(1600, 1200), "JPEG")
    seen: list[tuple[tuple[int, ...], float]] = []

    def measure(pixels: np.ndarray, facts: Mapping[str, Any]) -> dict[str, float]:
        seen.append((pixels.shape, float(pixels.mean())))
        assert facts["bytes"] == len(data)
        return {"mean": float(pixels.mean()), "megapixels": facts["width"] * facts["height"] / 1e6}

    row = decode_one(data, measure=measure)
    decode_one(data, measure=measure, inputs=[LARGE], preview_size=800)
    assert seen[0] == seen[1]
    assert row.statistics == {"mean": seen[0][1], "megapixels": 1.92}


def test_an_error_of_ours_behind_decoding_is_named_as_such() -> None:
    row = decode_one(encode(photo()), measure=lambda *_: 1 / 0)
    assert row.error == "internal: ZeroDivisionError: division by zero"


@pytest.mark.parametrize("spec", [SQUASH, CROP, LARGE], ids=lambda spec: spec.name)
@pytest.mark.parametrize("size", [(2720, 2700), (1024, 768), (700, 1400)])
def test_inputs_from_reduced_pixels_are_those_from_full_pixels(spec: InputSpec, size: tuple[int, int]) -> None:
    data = encode(photo(*size), "JPEG", quality=90)
    full = Image.open(io.BytesIO(data)).convert("RGB")
    box = None
    if spec.resize == "crop":
        scale = min(size[0] / spec.width, size[1] / spec.height)
        x, y = (size[0] - scale * spec.width) / 2, (size[1] - scale * spec.height) / 2
        box = (x, y, size[0] - x, size[1] - y)
    expected = np.asarray(full.resize((spec.width, spec.height), Image.Resampling[spec.interpolation.upper()], box=box))
    got = decode_one(data, inputs=[spec]).inputs[spec.name]
    assert np.abs(got.astype(int) - expected).mean() < 1.5


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (3, 2), (20000, 3)])
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_extreme_shapes(size: tuple[int, int], format: str) -> None:
    row = decode_one(encode(Image.new("RGB", size, "red"), format), inputs=[SQUASH, CROP], preview_size=256)
    assert (row.status, row.width, row.height) == ("ok", *size)
    assert np.abs(row.inputs["crop"].astype(int) - (254, 0, 0)).max() <= 1


def test_crops_are_cut_from_full_pixels_as_displayed() -> None:
    image = photo(1600, 1200)
    exif = Image.Exif()
    exif[274] = 3
    data = encode(image.transpose(Image.Transpose.ROTATE_180), "PNG", exif=exif, compress_level=1)
    rectangles = [(100, 200, 324, 424), (1376, 976, 1600, 1200)]
    with Decoder(inputs=[SQUASH]) as decoder:
        [row] = decoder.decode([DecodeJob("one", lambda: data, rectangles=rectangles)])
        [beyond] = decoder.decode([DecodeJob("one", lambda: data, rectangles=[(0, 0, 9999, 10)])])
    for crop, rectangle in zip(row.crops, rectangles, strict=True):
        assert (crop["squash"] == np.asarray(image.crop(rectangle))).all()
    assert beyond.status == "error"


def test_no_files_no_rows() -> None:
    assert decode({}) == {}


def test_look_ahead_is_bounded() -> None:
    taken = 0
    data = encode(photo(20, 20))

    def endless() -> Iterator[DecodeJob]:
        nonlocal taken
        while True:
            taken += 1
            yield DecodeJob(str(taken), lambda: data)

    with Decoder(threads=2) as decoder:
        rows = decoder.decode(endless())
        for number, _ in zip(range(1, 30), rows, strict=False):
            assert taken <= number + 4
        rows.close()
    assert threading.active_count() < 10


def test_a_failing_source_is_a_row() -> None:
    def fail() -> bytes:
        raise FileNotFoundError(2, "No such file", "gone.jpg")

    with Decoder() as decoder:
        [row] = decoder.decode([DecodeJob("gone", fail)])
    assert row.error.startswith("missing: FileNotFoundError: ")
    assert "gone.jpg" in row.error


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty: the file has no bytes"),
        (b"<!DOCTYPE html><html>404", "not_an_image: the content is HTML"),
        (b'<?xml version="1.0"?>\n<svg xmlns="">', "not_an_image: the content is SVG"),
        (b"%PDF-1.7", "not_an_image: the content is PDF"),
        (bytes(5000), "not_an_image: "),
        (b"\x89PNG\r\n\x1a\n", "damaged: starts like PNG, but its header cannot be read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "unsupported: EPS files are not decoded"),
        (png(10**6, 10**6, bytes(9)), "too_large: "),
        (png(2**31 - 1, 2**31 - 1, bytes(9)), "too_large: "),
        (png(100, 100, bytes(50 * 101)), "truncated: "),
    ],
)
def test_reasons(data: bytes, reason: str) -> None:
    row = decode_one(data)
    assert row.status == "error"
    assert row.error.startswith(reason)
    assert (row.signature, row.preview, row.phash, row.width) == (None, None, None, None)


def test_limits() -> None:
    limits = Limits(pixels=10_000, bytes=1000)
    row = decode_one(encode(photo(200, 51)), limits=Limits(pixels=10_000))
    assert row.error == "too_large: 200x51 pixels, the limit is 10000 (decoding.max_pixels)"
    assert decode_one(encode(photo(200, 50)), limits=Limits(pixels=10_000)).status == "ok"
    assert decode_one(encode(photo(99, 99), "TIFF"), limits=limits).error.startswith("too_large: 29")

    def never() -> bytes:
        raise AssertionError("a file that is too large is not loaded")

    with Decoder(limits=limits) as decoder:
        [row] = decoder.decode([DecodeJob("one", never, size=1001)])
    assert row.error == "too_large: 1001 bytes, the limit is 1000 (decoding.max_bytes)"


def test_a_limit_above_that_of_pillow_is_ours_alone() -> None:
    data = png(15_000, 15_000, bytes(9))
    assert decode_one(data, limits=Limits(pixels=10**9)).error.startswith("truncated: ")
    assert decode_one(data).error == "too_large: 15000x15000 pixels, the limit is 178956970 (decoding.max_pixels)"


def test_pillow_is_strict_even_where_somebody_made_it_lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert decode_one(encode(photo(), "JPEG")[:-200]).error.startswith("truncated: ")


def test_the_format_is_told_by_content() -> None:
    row = decode_one(encode(photo(), "PNG"))
    assert matches_extension("photo.jpg", row.format) is False
    assert matches_extension("photo.png", row.format) is True
    assert decode_one(b"<html>").format == "HTML"


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\x00\x00\x00\x18ftypavif", "AVIF"),
        (b"\x00\x00\x00\x18ftypheic", "HEIF"),
        (b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1avif", "AVIF"),
        (b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1heic", "HEIF"),
        (b"\x00\x00\x00\x18ftypmp42", "MP4"),
        (b"\x00\x00\x00\x18ftypcrx ", "RAW"),
        (b"\xff\x0a", "JXL"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JXL"),
        (b"II*\x00\x10\x00\x00\x00CR\x02\x00", "RAW"),
        (b"II*\x00", "TIFF"),
        (b"RIFF....WAVE", None),
    ],
)
def test_sniffing(head: bytes, name: str | None) -> None:
    assert sniff(head) == name


@pytest.mark.slow
def test_memory_stays_bounded_however_large_the_images_are(tmp_path: Path) -> None:
    """Two images at the pixel limit at the same time, and one that is large and progressive."""
    (tmp_path / "flat.png").write_bytes(png(13_377, 13_377, bytes(13_377 * 13_378)))
    Image.new("RGB", (9000, 9000), "teal").save(tmp_path / "progressive.jpg", progressive=True)
    script = f"""
from pathlib import Path
from brain_assets.resources.decoding.decoding import DecodeJob, Decoder
from tests.helpers import peak_memory
flat, progressive = (Path({str(tmp_path)!r}) / name for name in ("flat.png", "progressive.jpg"))
with Decoder(threads=2) as decoder:
    jobs = [DecodeJob(str(n), path.read_bytes) for n, path in enumerate([flat, progressive, flat, progressive])]
    print([row.error for row in decoder.decode(jobs) if row.error])
print(peak_memory())
"""
    root = Path(__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, check=True, text=True)
    errors, peak = ended.stdout.splitlines()
    assert errors == "[]"
    assert int(peak) < 10**9


# Where our verdict is stricter than Pillow's, and why.
STRICTER = {
    "truncated: the file ends before its last chunk (IEND)": "a PNG without IEND was cut off, or cannot be trusted",
    "truncated: the file ends within or behind frame": "a GIF whose data blocks reach beyond the end of the file",
}
# Where it is more lenient: formats of optional libraries that the reference did not have.
OPTIONAL = {"HEIF", "JXL", "RAW", "AVIF"}


def test_real_odd_files_agree_with_the_reference(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "nasty"
    entries = {entry["path"]: entry for entry in json.loads((folder / "manifest.json").read_text())["files"]}
    with Decoder(inputs=[SQUASH], journal=tmp_path / "journal", limits=Limits(seconds=60)) as decoder:
        files = [DecodeJob(path, (folder / path).read_bytes, entry["bytes"]) for path, entry in entries.items()]
        rows = list(decoder.decode(files))
    assert sorted(row.key for row in rows) == sorted(entries)
    assert [problem for row in rows if (problem := _disagreement(row, entries[row.key]))] == []
    assert {row.error.partition(":")[0] for row in rows if row.error} <= {
        *("empty", "not_an_image", "unsupported", "truncated", "damaged", "too_large", "memory"),
    }


def _disagreement(row: Decoded, entry: Mapping[str, Any]) -> str | None:
    if row.status == "ok" and entry["verdict"] == "error":
        return None if row.format in OPTIONAL else f"{row.key}: readable, but {entry['error']}"
    if row.status == "error":
        explained = entry["verdict"] == "error" or any(row.error.startswith(reason) for reason in STRICTER)
        return None if explained else f"{row.key}: {row.error}"
    expected = (entry["format"], entry["mode"], entry["frames"], tuple(entry["rgb_size"]))
    found = (row.format, row.mode, row.frames, (row.width, row.height))
    return None if expected == found else f"{row.key}: {found}, not {expected}"
