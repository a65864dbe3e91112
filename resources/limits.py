"""What a file may cost, and the reasons for which it is refused.

Every refusal is one line ``code: what is wrong``. Most codes blame the file, and a file is blamed for ever; those of
``OUTSIDE`` blame what is around it, say nothing of the file, and are tried again:

==================  ==================================================================================================
code                meaning
==================  ==================================================================================================
``missing``         outside: the file could not be read at all
``empty``           no bytes, or nothing but zeros
``not_an_image``    the content is something else, or nothing known
``unsupported``     a known format or variant that is not decoded here; says what to install where that helps
``truncated``       the file ends before its image does
``damaged``         the content contradicts itself
``too_large``       more bytes or declared pixels than the limits allow
``timeout``         decoding took more processor time than the limit
``memory``          decoding needed more memory than the limit
``crashed``         the decoder took its process down
``internal``        outside: the image was decoded, but something of ours failed on it
``killed``          outside: somebody, or a machine without memory, ended the process that decoded
``stalled``         outside: the process that decoded got no processor time, or waited for something else
==================  ==================================================================================================
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from brain_assets.resources.errors import Refused as Refused

OUTSIDE = ("missing", "internal", "killed", "stalled")
"""The codes of what fails for a reason outside of the file."""

# Sources know their limits without decoding anything.
if TYPE_CHECKING:
    from PIL import Image

TRUNCATED = re.compile(
    r"truncat|\beof\b|end of file|not enough|unexpected end|premature|buffer is not large|too short", re.I
)
UNSUPPORTED = re.compile(r"unsupported|unimplemented|not supported|cannot find loader|unknown pixel format", re.I)


@dataclass(frozen=True)
class Limits:
    """What one file may cost.

    Attributes
    ----------
    pixels : int
        Declared width times height; the default is the one at which Pillow suspects a decompression bomb.
    bytes : int
        Encoded size.
    seconds : float
        Processor time in a worker process.
    memory : int
        Bytes that a worker process may hold, and that all decoding together should.
    """

    pixels: int = 178_956_970
    bytes: int = 1 << 28
    seconds: float = 60.0
    memory: int = 900_000_000


DEFAULT_LIMITS = Limits()

# Bytes of pixels that any decode may use without asking; above, memory is shared out.
LIGHT = 1 << 26
# Bytes per pixel while decoding: Pillow holds four, WebP and the video codecs hold frames beside it.
HELD = {"WEBP": 16, "AVIF": 16, "HEIF": 16, "JXL": 16, "RAW": 24}


def saturated(value: int, bits: int = 64) -> int:
    """Return a number of which a file may say anything as one that a signed column of so many bits holds.

    Examples
    --------
    >>> saturated(2**62), saturated(2**80) == 2**63 - 1, saturated(-(2**40), 32) == -(2**31)
    (4611686018427387904, True, True)
    """
    limit = 1 << (bits - 1)
    return max(-limit, min(int(value), limit - 1))


def is_outside(reason: str) -> bool:
    """Tell a failure for a reason outside of the file from one that the file is to blame for.

    Examples
    --------
    >>> is_outside("killed: the process that decoded was ended from outside (SIGKILL)"), is_outside("truncated: ...")
    (True, False)
    """
    return reason.partition(":")[0] in OUTSIDE


def cost(image: "Image.Image") -> int:
    """Return roughly the bytes that decoding an opened image in full will hold."""
    return image.width * image.height * HELD.get(image.format or "", 6)


def check_size(width: int, height: int, limits: Limits) -> None:
    """Refuse an image whose header declares more pixels than the limits allow, or none."""
    if width < 1 or height < 1:
        raise Refused(f"damaged: the header declares {width}x{height} pixels")
    if width * height > limits.pixels:
        raise Refused(f"too_large: {width}x{height} pixels, the limit is {limits.pixels} (decoding.max_pixels)")


def check_bytes(count: int, limits: Limits) -> None:
    """Refuse a file that is empty or larger than the limits allow."""
    if count == 0:
        raise Refused("empty: the file has no bytes")
    if count > limits.bytes:
        raise Refused(f"too_large: {count} bytes, the limit is {limits.bytes} (decoding.max_bytes)")


def reason_of(error: BaseException) -> str:
    """Return the reason, ``code: line``, for whatever a decoder raised.

    Examples
    --------
    >>> reason_of(OSError("image file is truncated (12 bytes not processed)"))
    'truncated: image file is truncated (12 bytes not processed)'
    """
    from PIL import Image

    if isinstance(error, Refused):
        return str(error)
    line = " ".join(str(error).split())[:200] or "no reason given"
    if isinstance(error, MemoryError):
        return f"memory: {line if str(error) else 'decoding needs more memory than allowed'}"
    if isinstance(error, Image.DecompressionBombError):
        return f"too_large: {line}"
    return f"{_code(error, line)}: {line if isinstance(error, OSError) else f'{type(error).__name__}: {line}'}"


def _code(error: BaseException, line: str) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "not_an_image"
    if isinstance(error, EOFError) or TRUNCATED.search(line):
        return "truncated"
    return "unsupported" if isinstance(error, NotImplementedError) or UNSUPPORTED.search(line) else "damaged"
