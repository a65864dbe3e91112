"""Whether a file holds all that its structure announces; decoders stop at the last pixel that they need.

A still PNG without its final chunk, or an animation cut off in a later frame, decodes without complaint; it is a
truncated file all the same. Junk behind the image and a GIF that only lacks its final byte are common and harmless.
"""

from resources.limits import Refused

PNG_HEADER = 8
CHUNK = 12
GIF_HEADER = 13
GIF_IMAGE, GIF_EXTENSION = 0x2C, 0x21


def check_complete(data: bytes, image_format: str | None) -> None:
    """Refuse a PNG or GIF that ends before its structure does."""
    if image_format == "PNG":
        _check_png(data)
    elif image_format == "GIF":
        _check_gif(data)


def _check_png(data: bytes) -> None:
    offset = PNG_HEADER
    while offset + CHUNK <= len(data):
        kind = data[offset + 4 : offset + 8]
        offset += CHUNK + int.from_bytes(data[offset : offset + 4], "big")
        if kind == b"IEND" and offset <= len(data):
            return
    raise Refused("truncated: the file ends before its last chunk (IEND)")


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
