"""Whether a file holds all that its structure announces; decoders stop at the last pixel that they need.

A still PNG without its final chunk, or an animation cut off in a later frame, decodes without complaint; it is a
truncated file all the same. So is a PNG whose compressed pixels end early: the rest stays black. Junk behind the image
and a GIF that only lacks its final byte are common and harmless.
"""

import re
import struct
import zlib
from collections.abc import Iterator

from PIL import Image

from brain_assets.resources.limits import Refused

PNG_HEADER = 8
CHUNK = 12
BLOCK = 1 << 20
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
WHOLE = ((0, 0, 1, 1),)
# First column and row, and the steps between them, of each pass of an interlaced PNG.
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
MARKER, SCAN, END = 0xFF, 0xDA, 0xD9
START_OF_SCAN = b"\xff\xda"
NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
# The most that libjpeg's own fuzzers allow; the usual progressive file has ten.
MOST_SCANS = 500
# Baseline, extended and progressive, all of Huffman's codes; what codes by arithmetic needs less than a bit.
CODES_PER_BLOCK = {0xC0: 2, 0xC1: 2, 0xC2: 1}
GIF_HEADER = 13
GIF_IMAGE, GIF_EXTENSION = 0x2C, 0x21


def check_complete(data: bytes, image: Image.Image) -> None:
    """Refuse a PNG, GIF or JPEG that ends before its structure does; ``image`` is what was decoded from it."""
    if image.format == "PNG":
        _check_png(data, image)
    elif image.format == "GIF":
        _check_gif(data)
    elif image.format in {"JPEG", "MPO"}:
        _check_jpeg(data)


def _check_png(data: bytes, image: Image.Image) -> None:
    chunks = list(_chunks(data))
    if chunks[-1][0] != b"IEND":
        raise Refused("truncated: the file ends before its last chunk (IEND)")
    if not any(_is_uniform(image, row) for row in range(max(0, image.height - 2), image.height)):
        return
    announced = _announced(next(body for kind, body in chunks if kind == b"IHDR"))
    if _inflated(chunks, announced) < announced:
        raise Refused("truncated: the compressed pixels end before the image does")


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yield the kind and the content of each whole chunk, up to the final one."""
    view, offset, kind = memoryview(data), PNG_HEADER, b""
    while offset + CHUNK <= len(data) and kind != b"IEND":
        end = offset + CHUNK + int.from_bytes(view[offset : offset + 4], "big")
        kind = data[offset + 4 : offset + 8] if end <= len(data) else b""
        yield kind, view[offset + 8 : end - 4]
        offset = end


def _is_uniform(image: Image.Image, row: int) -> bool:
    """Tell whether a row has one colour, as those have that were never decoded; interlacing leaves out every second."""
    return bool(image.crop((0, row, image.width, row + 1)).convert("RGBA").getcolors(1))


def _inflated(chunks: list[tuple[bytes, memoryview]], enough: int) -> int:
    """Return how many bytes the compressed pixels hold, counted until there are ``enough``."""
    inflate, total = zlib.decompressobj(), 0
    for rest in (bytes(body) for kind, body in chunks if kind == b"IDAT"):
        while rest and total < enough:
            total += len(inflate.decompress(rest, BLOCK))
            rest = inflate.unconsumed_tail
    return total if total >= enough else total + len(inflate.flush())


def _announced(header: memoryview) -> int:
    """Return the bytes of all rows of a PNG, each with its filter byte."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header[:13])
    total = 0
    for left, top, right, down in PASSES if interlaced else WHOLE:
        columns, rows = -(-(width - left) // right), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * SAMPLES[colour] * depth + 7) // 8)
    return total


def _check_jpeg(data: bytes) -> None:
    """Refuse a JPEG with fewer bits than its blocks need at least; decoders paint what is missing in one colour.

    No Huffman code is shorter than one bit: a block of a sequential JPEG has two codes, one for its mean and one for its end;
    of a progressive one, the mean at least.
    """
    for kind, body, after in _segments(data):
        if kind in CODES_PER_BLOCK:
            needed = CODES_PER_BLOCK[kind] * _blocks(body)
            if needed > 8 * (len(data) - after):
                height, width = struct.unpack(">HH", body[1:5])
                raise Refused(f"truncated: {len(data)} bytes are too few for the {width}x{height} pixels of the header")
            return


def check_scans(data: bytes) -> None:
    """Refuse a JPEG whose picture comes in more passes than any encoder writes: each costs as much as a whole picture."""
    # Bytes that look like the beginning of a pass may stand elsewhere, as in what follows the picture.
    if data.count(START_OF_SCAN) <= MOST_SCANS:
        return
    if (scans := _scans(data)) > MOST_SCANS:
        raise Refused(
            f"too_large: the picture comes in {scans} passes (scans), no encoder writes more than {MOST_SCANS}"
        )


def _scans(data: bytes) -> int:
    """Return how many scans there are up to the end of the first picture; restarts and stuffed bytes are none."""
    offset = max((end for _, _, end in _segments(data)), default=2)
    count = 0
    while found := NEXT_MARKER.search(data, offset):
        kind, offset = data[found.start() + 1], found.end()
        if kind == END:
            break
        count += kind == SCAN
        offset += int.from_bytes(data[offset : offset + 2], "big")
    return count


def _segments(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield marker, content and end of each segment of a JPEG up to its pixels."""
    offset = 2
    while offset + 4 <= len(data) and data[offset] == MARKER:
        kind = data[offset + 1]
        if kind == MARKER:
            offset += 1
            continue
        if kind == SCAN:
            return
        end = offset + 2 + int.from_bytes(data[offset + 2 : offset + 4], "big")
        yield kind, data[offset + 4 : end], end
        offset = end


def _blocks(frame: bytes) -> int:
    """Return how many blocks of eight by eight a frame's header announces."""
    _, height, width, count = struct.unpack(">BHHB", frame[:6])
    factors = [(factor >> 4, factor & 15) for factor in frame[7 : 6 + 3 * count : 3]]
    most = [max((pair[axis] for pair in factors), default=1) or 1 for axis in (0, 1)]
    return sum(-(-width * across // (8 * most[0])) * -(-height * down // (8 * most[1])) for across, down in factors)


def _check_gif(data: bytes) -> None:
    offset, frames = GIF_HEADER + _palette(data[10]), 0
    while offset < len(data) and data[offset] in {GIF_IMAGE, GIF_EXTENSION}:
        if data[offset] == GIF_EXTENSION:
            offset = _after_blocks(data, offset + 2)
        else:
            frames += 1
            flags = data[offset + 9] if offset + 9 < len(data) else 0
            offset = _after_blocks(data, offset + 11 + _palette(flags))
        if offset > len(data):
            raise Refused(f"truncated: the file ends within or behind frame {frames}")


def _palette(flags: int) -> int:
    """Return the bytes of the colour table that a GIF's flags announce."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_blocks(data: bytes, offset: int) -> int:
    """Return where a chain of GIF data blocks ends; beyond the data where it does not."""
    while offset < len(data):
        size = data[offset]
        offset += 1 + size
        if size == 0:
            return offset
    return len(data) + 1


def is_cut_riff(data: bytes) -> bool:
    """Tell whether a RIFF file (WebP) is shorter than its header says."""
    return data[:4] == b"RIFF" and int.from_bytes(data[4:8], "little") + 8 > len(data)
