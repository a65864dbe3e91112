"""From encoded bytes to one picture: what the file says of itself, and its pixels as displayed, in 8-bit RGB.

The first page, frame or image counts; the others are counted. The EXIF orientation is applied. Colours follow the rules
of `colors`. A large image is reduced by a power of two on the way (`reduction`), JPEG inside its decoder
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

from PIL import Image, UnidentifiedImageError

from brain_assets.resources.decoding.colors import hash_pixels, to_rgb
from brain_assets.resources.decoding.formats import unidentified
from brain_assets.resources.decoding.resampling import Inputs, Rectangle, model_input
from brain_assets.resources.decoding.streams import check_complete, is_cut_riff
from brain_assets.resources.image_input import InputSpec
from brain_assets.resources.limits import Refused

# What a reduced picture keeps at least of an image that has it: its longest and its shortest side, in pixels.
STANDARD_LONGEST, STANDARD_SHORTEST = 384, 336
# What is made of a picture is made from at least this many times the pixels per side.
GAP = 1.5
STILL = frozenset({"TIFF", "MPO", "ICO", "CUR", "PSD", "HEIF", "JPEG"})
ORIENTATION, DATE_TIME, EXIF_FOLDER, DATE_TIME_ORIGINAL, BITS_PER_SAMPLE = 274, 306, 34665, 36867, 258
# Orientations from here on swap width and height.
TRANSPOSED = 5
TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


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
    """An image as displayed, in 8-bit RGB, with the facts of its file.

    Attributes
    ----------
    facts : Facts
        What the file says.
    images : dict of int to Image
        The image reduced by each power of two that was asked for, and by the standard one, ``facts.reduction``.
    """

    facts: Facts
    images: dict[int, Image.Image]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the full image as displayed."""
        return self.facts.width or 1, self.facts.height or 1

    @property
    def standard(self) -> Image.Image:
        """The image from which everything is derived that does not need more pixels."""
        return self.images[self.facts.reduction or 1]

    def at_least(self, factor: int) -> Image.Image:
        """Return the image reduced by ``factor``, or the standard one where that has more pixels."""
        return self.images[min(factor, self.facts.reduction or 1)]


@contextmanager
def open_image(data: bytes, formats: Sequence[str]) -> Iterator[Image.Image]:
    """Open encoded bytes as one of ``formats``; nothing is decoded yet."""
    try:
        opened = Image.open(io.BytesIO(data), formats=tuple(formats))
    except UnidentifiedImageError as error:
        raise Refused(unidentified(data)) from error
    except OSError as error:
        raise Refused("truncated: the file is shorter than its header says") if is_cut_riff(data) else error from error
    with closing(opened) as image:
        yield image


def reduction(*sides: tuple[int, float]) -> int:
    """Return the largest power of two by which the sides that an image has can shrink to those that are needed.

    Examples
    --------
    >>> reduction((500, 384), (375, 336)), reduction((4000, 384), (3000, 336)), reduction((100, 384))
    (1, 8, 1)
    """
    factor = 1
    while all(have >= 2 * factor * need for have, need in sides):
        factor *= 2
    return factor


def standard_reduction(width: int, height: int) -> int:
    """Return the power of two by which every picture of this size is reduced, whatever is made of it."""
    return reduction((max(width, height), STANDARD_LONGEST), (min(width, height), STANDARD_SHORTEST))


@dataclass(frozen=True)
class Needs:
    """What is going to be made of a picture.

    Attributes
    ----------
    longest : int
        Longest side of the preview in pixels.
    inputs : tuple of InputSpec
        The inputs of embedding models.
    """

    longest: int
    inputs: tuple[InputSpec, ...] = ()

    def for_preview(self, width: int, height: int) -> int:
        """Return the reduction from which the preview is made."""
        return reduction((max(width, height), GAP * self.longest))

    def for_input(self, spec: InputSpec, width: int, height: int) -> int:
        """Return the reduction from which a model's input is made; it depends on nothing else that is made."""
        return reduction((width, GAP * spec.width), (height, GAP * spec.height))

    def reductions(self, width: int, height: int) -> set[int]:
        """Return all reductions below the standard one that are needed."""
        needed = {self.for_preview(width, height), *(self.for_input(spec, width, height) for spec in self.inputs)}
        return {factor for factor in needed if factor < standard_reduction(width, height)}


def read_picture(image: Image.Image, data: bytes, needs: Needs) -> Picture:
    """Decode an opened image to its end and return it as displayed, reduced as far as ``needs`` allow."""
    stored = _stored(image)
    factor = standard_reduction(*image.size)
    drafted = _draft(image, factor)
    image.load()
    check_complete(data, image)
    turn, taken_at = _exif(image)
    if turn >= TRANSPOSED:
        stored |= {"width": stored["height"], "height": stored["width"]}
    stored["orientation"] = max(turn, stored["orientation"])
    standard, transparency = _upright_rgb(image, factor, turn)
    facts = Facts(**stored, taken_at=taken_at, transparency=transparency, reduction=factor, drafted=drafted)
    finer = needs.reductions(stored["width"], stored["height"])
    return Picture(facts, {factor: standard} | {other: _read_again(image, data, other, turn) for other in finer})


def _read_again(image: Image.Image, data: bytes, factor: int, orientation: int) -> Image.Image:
    """Return the image at another reduction; a drafted one has to be decoded once more."""
    if _drafted_by(image) == 1:
        return _upright_rgb(image, factor, orientation)[0]
    with open_image(data, [str(image.format)]) as again:
        _draft(again, factor)
        again.load()
        return _upright_rgb(again, factor, orientation)[0]


def _upright_rgb(image: Image.Image, factor: int, orientation: int) -> tuple[Image.Image, float]:
    rgb, transparency = to_rgb(image, factor // _drafted_by(image))
    return upright(rgb, orientation), transparency


def _drafted_by(image: Image.Image) -> int:
    return int((getattr(image, "decoderconfig", None) or (1,))[0])


def _draft(image: Image.Image, factor: int) -> bool:
    """Let a JPEG decoder reduce by up to eight; the whole stream is read all the same."""
    if factor == 1 or image.format not in {"JPEG", "MPO"}:
        return False
    return image.draft(None, (image.width // factor, image.height // factor)) is not None


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
        "orientation": _tagged_orientation(image),
        "quantization": None if table is None else tuple(table),
    }


def _tagged_orientation(image: Image.Image) -> int:
    """Return the orientation that the decoder itself undoes: Pillow does so for TIFF, pillow-heif for HEIF."""
    tag = getattr(image, "tag_v2", {}).get(ORIENTATION) or image.info.get("original_orientation")
    return int(tag) if isinstance(tag, int) and tag in TRANSPOSE else 1


def _bits(image: Image.Image) -> int:
    tag = getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE)
    if isinstance(tag, tuple) and tag:
        return int(tag[0])
    tiles = getattr(image, "tile", None)
    if image.format == "PNG" and tiles:
        depth = re.search(r";(\d+)", str(tiles[0].args))
        return int(depth[1]) if depth else (1 if image.mode == "1" else 8)
    if isinstance(depth := image.info.get("bit_depth"), int):  # pillow-heif's
        return depth
    return 16 if image.mode.startswith("I;16") else {"1": 1, "I": 32, "F": 32}.get(image.mode, 8)


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


def read_crops(
    image: Image.Image, _: bytes, rectangles: Sequence[Rectangle], specs: Sequence[InputSpec]
) -> list[Inputs]:
    """Return the model inputs of each rectangle (left, top, right, bottom; as displayed), cut at full size."""
    image.load()
    rgb = upright(to_rgb(image)[0], _exif(image)[0])
    return [{spec.name: model_input(rgb, spec, rectangle) for spec in specs} for rectangle in rectangles]


def pixel_hash(image: Image.Image, _: bytes) -> bytes:
    """Return the hash of an opened image's pixels in full, as displayed; see `hash_pixels`."""
    image.load()
    return hash_pixels(upright(image, _exif(image)[0]))
