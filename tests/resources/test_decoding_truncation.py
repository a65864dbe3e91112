"""A file that was cut off is an error, wherever the cut is and however little the decoder needs of it."""

import io
import struct

import pytest
from PIL import Image

from tests.resources.images import decode, decode_one, encode, photo, png

FRAMES = [photo(60, 45, seed) for seed in range(3)]
ANIMATED = {"save_all": True, "append_images": FRAMES[1:]}
SMALL, LARGE = photo(120, 90), photo(1024, 768)
FILES = {
    "jpeg": encode(SMALL, "JPEG"),
    "grey jpeg": encode(SMALL.convert("L"), "JPEG"),
    "restarting jpeg": encode(SMALL, "JPEG", restart_marker_blocks=4),
    "drafted jpeg": encode(LARGE, "JPEG"),
    "drafted progressive jpeg": encode(LARGE, "JPEG", progressive=True),
    "png": encode(SMALL, "PNG"),
    "palette png": encode(SMALL.convert("P"), "PNG"),
    "animated png": encode(FRAMES[0], "PNG", **ANIMATED),
    "webp": encode(SMALL, "WEBP"),
    "lossless webp": encode(SMALL, "WEBP", lossless=True),
    "animated webp": encode(FRAMES[0], "WEBP", **ANIMATED),
    "gif": encode(SMALL, "GIF"),
    "animated gif": encode(FRAMES[0], "GIF", **ANIMATED),
    "bmp": encode(SMALL, "BMP"),
    "tiff": encode(SMALL, "TIFF"),
    "lzw tiff": encode(SMALL, "TIFF", compression="tiff_lzw"),
    "ppm": encode(SMALL, "PPM"),
    "jpeg 2000": encode(SMALL, "JPEG2000"),
    "avif": encode(SMALL, "AVIF"),
}
# Without its last byte, the trailer, a GIF still has all of its frames; many encoders leave it out.
HARMLESS = {"gif": 1, "animated gif": 1}


@pytest.mark.parametrize("name", FILES)
def test_every_cut_is_noticed(name: str) -> None:
    data = FILES[name]
    cuts = {1, 2, 3, 4, 8, 12, 20, 40, *(len(data) * part // 24 for part in range(1, 24))}
    cuts |= {len(data) - missing for missing in (*range(1 + HARMLESS.get(name, 0), 12), 16, 24, 40, 100)}
    rows = decode({str(cut): data[:cut] for cut in cuts} | {"whole": data})
    assert rows.pop("whole").status == "ok"
    assert [cut for cut, row in rows.items() if row.status != "error"] == []


@pytest.mark.parametrize("name", FILES)
def test_what_is_behind_the_image_does_not_matter(name: str) -> None:
    assert decode({"one": FILES[name] + b"\x00" * 100})["one"].status == "ok"


def rows_of_passes(width: int, height: int, interlaced: bool) -> list[int]:
    """Return the pixels in each row of each pass of a PNG, pixel by pixel."""
    adam7 = ["16462646", "77777777", "56565656", "77777777", "36463646", "77777777", "56565656", "77777777"]
    counts: dict[tuple[str, int], int] = {}
    for y in range(height):
        for x in range(width):
            key = (adam7[y % 8][x % 8] if interlaced else "", y)
            counts[key] = counts.get(key, 0) + 1
    return list(counts.values())


@pytest.mark.parametrize(
    ("depth", "colour", "samples"), [(1, 0, 1), (2, 3, 1), (8, 0, 1), (16, 0, 1), (8, 4, 2), (8, 2, 3), (16, 6, 4)]
)
@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (2, 5), (13, 11), (9, 12)])
def test_png_pixels_that_end_early_are_noticed_and_black_ones_are_not_mistaken(
    depth: int, colour: int, samples: int, interlaced: bool, size: tuple[int, int]
) -> None:
    row_bytes = [1 + (pixels * samples * depth + 7) // 8 for pixels in rows_of_passes(*size, interlaced)]
    count, last = sum(row_bytes), row_bytes[-1]
    header = {"depth": depth, "colour": colour, "interlaced": interlaced}
    rows = decode({str(held): png(*size, bytes(held), **header) for held in {count, count - 1, count - last, 0}})
    assert rows.pop(str(count)).status == "ok"
    assert {row.error.partition(":")[0] for row in rows.values()} == {"truncated"}


def test_harmless_cuts_are_harmless() -> None:
    rows = decode({name: FILES[name][:-missing] for name, missing in HARMLESS.items()})
    assert {row.status for row in rows.values()} == {"ok"}


@pytest.mark.parametrize("name", ["jpeg", "drafted jpeg", "png", "webp", "gif", "bmp", "ppm"])
def test_the_reason_says_truncated(name: str) -> None:
    data = FILES[name]
    [row] = decode({"one": data[: len(data) * 2 // 3]}).values()
    assert row.error.startswith("truncated: ")


def test_pages_behind_the_first_may_be_missing_from_a_photo() -> None:
    """Phones append previews and depth maps, and other tools drop them again: the photo itself is whole."""
    data = encode(FRAMES[0], "MPO", **ANIMATED)
    first = len(encode(FRAMES[0], "JPEG"))
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "MPO"
    rows = decode({"cut": data[: first + 400], "within": data[: first // 2]})
    assert rows["cut"].status == "ok"
    assert rows["within"].status == "error"


def declaring(data: bytes, width: int, height: int) -> bytes:
    """Return a baseline JPEG whose header gives another size."""
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", height, width) + data[place + 4 :]


def test_a_jpeg_that_declares_far_more_pixels_than_it_holds_is_truncated() -> None:
    row = decode({"one": declaring(encode(photo(64, 48), "JPEG"), 13000, 13000)})["one"]
    assert row.error.startswith("truncated: ")
    assert row.error.endswith("bytes are too few for the 13000x13000 pixels of the header")


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(
    "options", [{}, {"optimize": True}, {"progressive": True}, {"subsampling": 0, "optimize": True}]
)
def test_a_jpeg_of_one_colour_that_is_as_small_as_can_be_is_sound(mode: str, options: dict[str, object]) -> None:
    data = encode(Image.new(mode, (1203, 901)), "JPEG", quality=1, **options)
    assert decode({"one": data})["one"].status == "ok"


def test_a_jpeg_in_thousands_of_passes_is_refused_and_what_only_looks_like_it_is_not() -> None:
    data = encode(photo(64, 64), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    many = decode_one(data[:last] + data[last:-2] * 3000 + data[-2:])
    assert (many.error or "").startswith("too_large: the picture comes in 30")
    assert decode_one(data + b"\xff\xda" * 3000).status == "ok"
