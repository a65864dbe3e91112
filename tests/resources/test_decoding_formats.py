"""Formats of optional libraries are decoded where these are installed, and name what to install where not."""

import io
import sys

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from brain_assets.resources.decoding.formats import unidentified
from brain_assets.resources.decoding.raw import RawImage
from brain_assets.resources.limits import Refused
from tests.resources.images import decode_one, encode, photo

FILTER_ARRAY = 32803


def dng(width: int = 64, height: int = 48, *, subfile: int = 0) -> bytes:
    """Return a RAW file as cameras write it: a TIFF whose pixels lie behind a red, green and blue filter mosaic."""
    mosaic = np.full((height, width), 8000, np.uint16)
    mosaic[::2, ::2] = 40_000
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[254], tags[271], tags[272], tags[50708] = subfile, "Acme", "One", "Acme One"
    for tag, kind, value in [
        (33421, 3, (2, 2)),  # size of the mosaic's pattern
        (33422, 1, b"\x00\x01\x01\x02"),  # the pattern
        (50706, 1, b"\x01\x04\x00\x00"),  # version
        (50717, 4, 65535),  # white level
        (50721, 10, tuple(map(TiffImagePlugin.IFDRational, (1, 0, 0, 0, 1, 0, 0, 0, 1)))),  # colour matrix
        (50728, 5, (TiffImagePlugin.IFDRational(1),) * 3),  # neutral
        (50778, 3, 21),  # daylight
    ]:
        tags[tag] = value
        tags.tagtype[tag] = kind
    return _with_filter_array(encode(Image.fromarray(mosaic), "TIFF", tiffinfo=tags))


def _with_filter_array(tiff: bytes) -> bytes:
    """Return a TIFF whose photometric interpretation, which Pillow does not write, is a filter array."""
    data = bytearray(tiff)
    start = int.from_bytes(data[4:8], "little")
    for entry in range(start + 2, start + 2 + 12 * int.from_bytes(data[start : start + 2], "little"), 12):
        if int.from_bytes(data[entry : entry + 2], "little") == 262:
            data[entry + 8 : entry + 10] = FILTER_ARRAY.to_bytes(2, "little")
    return bytes(data)


@pytest.mark.parametrize(
    ("head", "library"),
    [
        (b"\x00\x00\x00\x18ftypheic", "pillow-heif"),
        (b"\xff\x0a\x00", "pillow-jxl-plugin"),
        (b"FUJIFILMCCD-RAW ", "rawpy"),
    ],
)
def test_the_reason_says_what_to_install(head: bytes, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEIF", "JXL", "RAW"):
        monkeypatch.delitem(Image.OPEN, name, raising=False)
    reason = unidentified(head)
    assert reason.startswith("unsupported: ")
    assert reason.endswith(f"install {library}")


def test_a_raw_file_is_no_thumbnail_where_its_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(Refused, match="unsupported: RAW needs an optional library, install rawpy"):
        RawImage(io.BytesIO(dng()))


@pytest.mark.parametrize("data", [encode(photo(), "TIFF"), encode(photo(), "PNG"), b"II*\x00", b"junk"])
def test_other_files_are_not_taken_for_raw(data: bytes) -> None:
    with pytest.raises(SyntaxError):
        RawImage(io.BytesIO(data))


def test_raw_is_developed() -> None:
    pytest.importorskip("rawpy")
    row = decode_one(dng())
    assert (row.status, row.format, row.width, row.height, row.mode) == ("ok", "RAW", 64, 48, "RGB")
    with Image.open(io.BytesIO(row.preview)) as preview:
        red, green, blue = np.asarray(preview)[24, 32].tolist()
    assert red > 200
    assert max(green, blue) < 100


def test_damaged_raw_is_a_row() -> None:
    pytest.importorskip("rawpy")
    assert decode_one(dng()[:3000]).status == "error"


@pytest.mark.parametrize(
    ("module", "format", "options"),
    [
        ("pillow_heif", "HEIF", {"quality": 90}),
        ("pillow_jxl", "JXL", {"lossless": True}),
        (None, "AVIF", {"quality": 90}),
    ],
)
def test_modern_formats(module: str | None, format: str, options: dict[str, object]) -> None:
    if module:
        library = pytest.importorskip(module)
        if format == "HEIF":
            library.register_heif_opener()
    image = photo(300, 200)
    data = encode(image, format, **options)
    for name in ("HEIF", "JXL"):
        Image.OPEN.pop(name, None)
    row = decode_one(data)
    assert (row.status, row.format, row.width, row.height, row.bits) == ("ok", format, 300, 200, 8)
    assert (row.phash ^ decode_one(encode(image)).phash).bit_count() <= 4
    cut = decode_one(data[: len(data) * 2 // 3])
    assert cut.status == "error"
    assert "install" not in cut.error


def test_orientation_of_avif() -> None:
    exif = Image.Exif()
    exif[274] = 6
    image = photo(300, 200)
    row = decode_one(encode(image, "AVIF", exif=exif))
    assert (row.width, row.height, row.orientation) == (200, 300, 6)
    turned = decode_one(encode(image.transpose(Image.Transpose.ROTATE_270)))
    assert (row.phash ^ turned.phash).bit_count() <= 4
