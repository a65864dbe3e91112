"""Whether a video's file holds all that its outermost structure announces.

Demuxers end quietly where a file ends: of a video that was cut there are simply fewer frames. The sizes of its outermost parts
say how long the file should be; they are read without decoding anything.
"""

import struct
from collections.abc import Iterator
from typing import IO

HEAD = 64
EBML, SEGMENT = 0x1A45DFA3, 0x18538067
# More boxes than this at the top level of an MP4 are left unread; fragmented ones have thousands.
MOST_BOXES = 100_000
# A box of four letters, which begins every MP4 and QuickTime file.
BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp")


def cut_short(file: IO[bytes], size: int) -> str | None:
    """Return in a line how much of a video's file is missing, None where nothing is or its kind does not say.

    Parameters
    ----------
    file : binary file
        Open at its beginning; it is read in a few places.
    size : int
        Its bytes.
    """
    announced = _announced(file, size)
    if announced is None or announced <= size:
        return None
    return f"truncated: the file has {size} of the {announced} bytes that it announces"


def _announced(file: IO[bytes], size: int) -> int | None:
    head = file.read(HEAD)
    if head[:4] == b"RIFF":
        return 8 + int(struct.unpack_from("<I", head, 4)[0]) if len(head) >= 8 else None
    if head[:4] == EBML.to_bytes(4, "big"):
        return _matroska_end(head)
    return max(_box_ends(file, size), default=None) if head[4:8] in BOXES else None


def _matroska_end(head: bytes) -> int | None:
    """Return where the segment ends, which holds all but the header; a live stream leaves its size open."""
    header = _vint(head, 4)
    if header is None or header[0] is None:
        return None
    start = header[1] + header[0]
    if int.from_bytes(head[start : start + 4], "big") != SEGMENT:
        return None
    body = _vint(head, start + 4)
    return None if body is None or body[0] is None else body[1] + body[0]


def _vint(data: bytes, offset: int) -> tuple[int | None, int] | None:
    """Return a number of EBML's and where it ends; None for one that says "unknown", and where there is none."""
    first = data[offset] if offset < len(data) else 0
    length = 9 - first.bit_length()
    if not first or offset + length > len(data):
        return None
    value = int.from_bytes(data[offset : offset + length], "big") & ((1 << 7 * length) - 1)
    return (None if value == (1 << 7 * length) - 1 else value), offset + length


def _box_ends(file: IO[bytes], size: int) -> Iterator[int]:
    """Yield where each outermost box of an MP4 ends, up to one that begins beyond the file."""
    offset = 0
    for _ in range(MOST_BOXES):
        if offset + 8 > size:
            return
        file.seek(offset)
        head = file.read(16)
        if len(head) < 8 or not head[4:8].isascii():
            return
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        # A length of 0 reaches to the end of the file, and nothing is shorter than its own head.
        if length < 8:
            return
        offset += length
        yield offset
