"""From encoded bytes to one picture: what the file says of itself, and its pixels as displayed, in 8-bit RGB.

The first page, frame or image counts; the others are counted. The EXIF orientation is applied. Colours follow the rules
of `resources.colors`. A large image is reduced by a power of two on the way (`reduction`), JPEG inside its decoder
(``draft``), others by averaging: cheap, and faithful as long as it stays larger than what is made of it. The whole
stream is read in either case, so that truncation shows.
"""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from resources.colors import hash_pixels, to_rgb
from resources.formats import unidentified
from resources.image_input import InputSpec
from resources.limits import Refused

# The reduced image keeps at least this many times the pixels per side that are needed of it.
GAP = 1.5
DRAFT_LIMIT = 8
STILL = frozenset({"TIFF", "MPO", "ICO", "CUR", "PSD", "HEIF", "JPEG"})
ORIENTATION, DATE_TIME, EXIF_FOLDER, DATE_TIME_ORIGINAL, BITS_PER_SAMPLE = 274, 306, 34665, 36867, 258
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
Rectangle = tuple[int, int, int, int]
Inputs = dict[str, NDArray[np.uint8]]
TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Needs:
    """What is going to be made of a picture, hence how far it may be reduced while decoding.

    Attributes
    ----------
    longest : int
        Longest side in pixels of the preview.
    inputs : tuple of InputSpec
        The inputs of embedding models.
    """

    longest: int
    inputs: tuple[InputSpec, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a file says of its image.

    Attributes
    ----------
    width, height : int
        Size in pixels as displayed, that is after the EXIF orientation.
    format, mode : str
        Pillow's names, by content.
    channels, bits, frames : int
        Bands as decoded, bits per band as stored, and the number of frames or pages.
    animated : bool
        More than one frame in a format that plays them.
    orientation : int
        EXIF orientation, 1 (upright) to 8.
    taken_at : datetime or None
        EXIF time, without a zone.
    transparency : float
        Mean of 1 - alpha, in [0, 1].
    reduction : int
        The power of two by which the decoded pixels are smaller than the image.
    drafted : bool
        The reduction happened inside a JPEG decoder, so that reduced pixels differ a little from averaged ones.
    quantization : tuple of int or None
        The luminance quantisation table of a JPEG, 64 entries in row order.
    """

    width: int | None = None
    height: int | None = None
    format: str | None = None
    mode: str | None = None
    channels: int | None = None
    bits: int | None = None
    frames: int | None = None
    animated: bool | None = None
    orientation: int | None = None
    taken_at: datetime | None = None
    transparency: float | None = None
    reduction: int | None = None
    drafted: bool | None = None
    quantization: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Picture:
    """An 8-bit RGB image, reduced and upright, with the facts of its file."""

    image: Image.Image
    facts: Facts


@contextmanager
def open_image(data: bytes, formats: Sequence[str]) -> Iterator[Image.Image]:
    """Open encoded bytes as one of ``formats``; nothing is decoded yet."""
    try:
        opened = Image.open(io.BytesIO(data), formats=tuple(formats))
    except UnidentifiedImageError as error:
        raise Refused(unidentified(data)) from error
    with closing(opened) as image:
        yield image


def reduction(width: int, height: int, needs: Needs) -> int:
    """Return the largest power of two that leaves `GAP` times the pixels that are needed of each side.

    Examples
    --------
    >>> needs = Needs(256, (InputSpec("model", 224, 224),))
    >>> reduction(500, 375, needs), reduction(4000, 3000, needs)
    (1, 8)
    """
    wanted = [(max(width, height), needs.longest)]
    wanted += [pair for spec in needs.inputs for pair in ((width, spec.width), (height, spec.height))]
    factor = 1
    while all(have >= 2 * factor * GAP * need for have, need in wanted):
        factor *= 2
    return factor


def read_picture(image: Image.Image, needs: Needs) -> Picture:
    """Decode an opened image to its end and return it as displayed, reduced as far as ``needs`` allow."""
    stored = _stored(image)
    factor = reduction(*image.size, needs)
    drafted = factor > 1 and _draft(image, factor)
    image.load()
    orientation, taken_at = _exif(image)
    rgb, transparency = to_rgb(image, factor // min(factor, DRAFT_LIMIT) if drafted else factor)
    facts = Facts(
        **_displayed(stored, orientation),
        orientation=orientation,
        taken_at=taken_at,
        transparency=transparency,
        reduction=factor,
        drafted=drafted,
    )
    return Picture(upright(rgb, orientation), facts)


def _stored(image: Image.Image) -> dict[str, Any]:
    """Return what the header says; asked before decoding, which drafts the size and may close the file."""
    frames = int(getattr(image, "n_frames", 1))
    table = (getattr(image, "quantization", None) or {}).get(0)
    return {
        "width": image.width,
        "height": image.height,
        "format": image.format,
        "mode": image.mode,
        "channels": len(image.getbands()),
        "bits": _bits(image),
        "frames": frames,
        "animated": frames > 1 and image.format not in STILL,
        "quantization": None if table is None else tuple(table),
    }


def _displayed(stored: dict[str, Any], orientation: int) -> dict[str, Any]:
    turned = {"width": stored["height"], "height": stored["width"]} if orientation >= 5 else {}
    return stored | turned


def _bits(image: Image.Image) -> int:
    tag = getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE)
    if isinstance(tag, tuple) and tag:
        return int(tag[0])
    tiles = getattr(image, "tile", None)
    if image.format == "PNG" and tiles:
        depth = re.search(r";(\d+)", str(tiles[0].args))
        return int(depth[1]) if depth else (1 if image.mode == "1" else 8)
    return 16 if image.mode.startswith("I;16") else {"1": 1, "I": 32, "F": 32}.get(image.mode, 8)


def _draft(image: Image.Image, factor: int) -> bool:
    if image.format not in {"JPEG", "MPO"}:
        return False
    return image.draft(None, (image.width // factor, image.height // factor)) is not None


def _exif(image: Image.Image) -> tuple[int, datetime | None]:
    """Return the orientation and the time of an image; damaged metadata says nothing rather than fails."""
    try:
        exif = image.getexif()
        orientation = int(exif.get(ORIENTATION, 1))
        text = exif.get_ifd(EXIF_FOLDER).get(DATE_TIME_ORIGINAL) or exif.get(DATE_TIME)
    except Exception:  # noqa: BLE001 - metadata can raise anything, and the pixels are fine without
        return 1, None
    return (orientation if orientation in range(1, 9) else 1), _time(text)


def _time(text: object) -> datetime | None:
    try:
        return datetime.strptime(str(text)[:19], "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turn or mirror an image as its EXIF orientation asks."""
    return image.transpose(TRANSPOSE[orientation]) if orientation in TRANSPOSE else image


def read_crops(image: Image.Image, rectangles: Sequence[Rectangle], specs: Sequence[InputSpec]) -> list[Inputs]:
    """Return the model inputs of each rectangle (left, top, right, bottom; as displayed), cut at full size."""
    image.load()
    rgb = upright(to_rgb(image)[0], _exif(image)[0])
    return [{spec.name: model_input(rgb, spec, rectangle) for spec in specs} for rectangle in rectangles]


def model_input(image: Image.Image, spec: InputSpec, rectangle: Rectangle | None = None) -> NDArray[np.uint8]:
    """Resample an RGB image, or a rectangle of it, to what a model wants, antialiased.

    Returns
    -------
    ndarray of shape (spec.height, spec.width, 3), uint8
    """
    left, top, right, bottom = rectangle or (0, 0, *image.size)
    if spec.resize == "crop":
        scale = max(spec.width / (right - left), spec.height / (bottom - top))
        half_width, half_height = spec.width / scale / 2, spec.height / scale / 2
        x, y = (left + right) / 2, (top + bottom) / 2
        box: tuple[float, float, float, float] = (x - half_width, y - half_height, x + half_width, y + half_height)
    else:
        box = (left, top, right, bottom)
    resized = image.resize((spec.width, spec.height), FILTERS[spec.interpolation], box=box)
    return np.asarray(resized)


def pixel_hash(image: Image.Image) -> bytes:
    """Return the hash of an opened image's pixels in full, as displayed; see `resources.colors.hash_pixels`."""
    image.load()
    return hash_pixels(upright(image, _exif(image)[0]))
