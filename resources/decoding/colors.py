"""Any pixel mode to 8-bit RGB, a strip at a time, so that a large image is never held twice.

Rules: alpha is composited on white, or on black where what is visible would all but vanish on white, as white icons do.
Palettes, 1-bit, CMYK, YCbCr, HSV and LAB become RGB; colour profiles are not applied. 16-bit colour keeps its upper 8 bits.

Deep grey is scaled by the range that its samples have without the outermost thousandth, so that one hot pixel does not
make all else dark, and without what marks the absence of data: the value that GDAL's tag names, else a lowest value
that many pixels have and that lies far below all others, as -9999 does. What is no data, or not finite, becomes 0.
16-bit grey is divided by 257 where that leaves no remainder (an 8-bit image in a 16-bit file), else shifted from the
smallest of 8, 10, 12, 14 or 16 bits that holds the range (sensors rarely fill their 16 bits). 32-bit integers and floats
are taken as they are when their range lies in [0, 255], times 255 when they are floats in [0, 1], else stretched.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WHITE, BLACK = (255, 255, 255), (0, 0, 0)
# On white, what is visible vanishes when its contrast is less than this share of that on black; pictures of which less is
# transparent than the smallest share have no ground to speak of.
VANISHES, SMALLEST_GROUND = 0.125, 0.05
# The share of samples at either end that does not count for the range of a deep image, and how many are looked at.
OUTERMOST, MOST_SAMPLES, GROUND_SAMPLES = 0.001, 1 << 20, 1 << 18
# A lowest value marks the absence of data when at least this share of the samples has it, and the gap above it is at least
# so many times the range of all others.
NO_DATA_SHARE, NO_DATA_GAP = 0.001, 2.0
NO_DATA_TAG = 42113
STRIP_PIXELS = 1 << 21
PREMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}
UPSCALE = 257
Samples = NDArray[Any]


def to_rgb(image: Image.Image, factor: int = 1) -> tuple[Image.Image, float]:
    """Return a decoded image as 8-bit RGB, each side reduced by ``factor``, and its mean transparency in [0, 1]."""
    if image.mode == "RGB" and factor == 1 and "transparency" not in image.info:
        return image.copy(), 0.0
    convert = _deep_converter(image) if _is_deep(image) else partial(_convert, ground=_ground(image))
    canvas = Image.new("RGB", (-(-image.width // factor), -(-image.height // factor)))
    clear = 0.0
    for top, strip in _strips(image, factor):
        rgb, transparency = convert(strip)
        canvas.paste(rgb.reduce(factor) if factor > 1 else rgb, (0, top // factor))
        clear += transparency * strip.height / image.height
    return canvas, clear


def hash_pixels(image: Image.Image) -> bytes:
    """Return the hash of a decoded image's size and samples, equal for equal pixels whatever the mode.

    Samples are compared as 8-bit RGBA, the colour of a fully transparent pixel left out. Grey of more than 8 bits is
    compared in full depth, unless dividing by 257 leaves no remainder: that is an 8-bit image in a 16-bit file.
    """
    samples = _deep_samples(image) if _is_deep(image) else _rgba
    digest = hashlib.blake2b(f"{image.width}x{image.height}".encode(), digest_size=16)
    for _, strip in _strips(image):
        digest.update(samples(strip))
    return digest.digest()


def _strips(image: Image.Image, multiple: int = 1) -> Iterator[tuple[int, Image.Image]]:
    """Yield horizontal strips and the row each starts at, a multiple of ``multiple``."""
    rows = max(1, STRIP_PIXELS // image.width // multiple) * multiple
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(image.height, top + rows)))


def _is_deep(image: Image.Image) -> bool:
    return image.mode in {"I", "F"} or image.mode.startswith("I;16")


def _straight(strip: Image.Image) -> Image.Image:
    return strip.convert(PREMULTIPLIED[strip.mode]) if strip.mode in PREMULTIPLIED else strip


def _convert(strip: Image.Image, ground: tuple[int, int, int]) -> tuple[Image.Image, float]:
    strip = _straight(strip)
    return _composite(strip.convert("RGBA"), ground) if strip.has_transparency_data else (strip.convert("RGB"), 0.0)


def _composite(strip: Image.Image, ground: tuple[int, int, int]) -> tuple[Image.Image, float]:
    alpha = strip.getchannel("A")
    canvas = Image.new("RGB", strip.size, ground)
    canvas.paste(strip, mask=alpha)
    opacity = sum(value * count for value, count in enumerate(alpha.histogram())) / (255 * strip.width * strip.height)
    return canvas, 1.0 - opacity


def _ground(image: Image.Image) -> tuple[int, int, int]:
    """Return the ground on which a picture can be seen: white, unless what is visible of it is all but white itself."""
    if not image.has_transparency_data and image.mode not in PREMULTIPLIED:
        return WHITE
    step = _step(image, GROUND_SAMPLES)
    size = max(1, image.width // step), max(1, image.height // step)
    some = image if step == 1 else image.resize(size, Image.Resampling.NEAREST)
    rgba = _straight(some).convert("RGBA")
    alpha = np.asarray(rgba.getchannel("A"), np.float64) / 255
    visible, light = float(alpha.sum()), float((alpha * np.asarray(rgba.convert("RGB").convert("L"))).sum())
    hardly_any = visible > (1 - SMALLEST_GROUND) * alpha.size
    return WHITE if hardly_any or 255 * visible - light >= VANISHES * light else BLACK


def _step(image: Image.Image, most: int) -> int:
    """Return the distance of pixels of which no more than ``most`` are looked at."""
    return int(np.ceil(np.sqrt(max(1.0, image.width * image.height / most))))


def _rgba(strip: Image.Image) -> bytes:
    samples = np.array(_straight(strip).convert("RGBA"))
    samples[samples[..., 3] == 0] = 0
    return samples.tobytes()


def _deep_converter(image: Image.Image) -> Callable[[Image.Image], tuple[Image.Image, float]]:
    scale = _deep_scale(image)
    return lambda strip: (Image.fromarray(scale(np.asarray(strip))).convert("RGB"), 0.0)


def _deep_samples(image: Image.Image) -> Callable[[Image.Image], bytes]:
    if _is_upscaled(image):
        to_bytes = _deep_converter(image)
        return lambda strip: _rgba(to_bytes(strip)[0])
    return lambda strip: np.asarray(strip).astype("<f8").tobytes()


def _deep_scale(image: Image.Image) -> Callable[[Samples], NDArray[np.uint8]]:
    """Return the mapping of a deep image's samples to uint8, chosen from the whole image."""
    if _is_upscaled(image):
        return lambda samples: (samples // UPSCALE).astype(np.uint8)
    low, high, missing = _range(image)
    if image.mode.startswith("I;16"):
        shift = max(0, -(-int(high).bit_length() // 2) * 2 - 8)
        return lambda samples: np.minimum(_filled(samples, missing, 0) >> shift, 255).astype(np.uint8)
    if image.mode == "F" and low >= 0 and high <= 1:
        return lambda samples: _linear(samples, 0.0, 255.0, missing)
    if low >= 0 and high <= 255:
        return lambda samples: _linear(samples, 0.0, 1.0, missing)
    return lambda samples: _linear(samples, low, 255.0 / (high - low) if high > low else 0.0, missing)


def _is_upscaled(image: Image.Image) -> bool:
    if image.mode == "F" or not all(0 <= value <= 255 * UPSCALE for value in _extrema(image)):
        return False
    return all(not (np.asarray(strip) % UPSCALE).any() for _, strip in _strips(image))


def _extrema(image: Image.Image) -> tuple[float, float]:
    """Return the smallest and the largest finite sample."""
    low, high = np.inf, -np.inf
    for _, strip in _strips(image):
        samples = np.asarray(strip)
        finite = samples[np.isfinite(samples)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    return (low, high) if low <= high else (0.0, 0.0)


def _range(image: Image.Image) -> tuple[float, float, float | None]:
    """Return the range of a deep image's samples without the outermost, and the value of missing ones, if any are."""
    samples = _some_samples(image)
    missing = _no_data(image, samples)
    known = samples if missing is None else samples[samples != missing]
    if not known.size:
        return 0.0, 0.0, missing
    outermost = max(1, int(OUTERMOST * known.size)) if known.size > 2 else 0
    low, high = float(known[outermost]), float(known[-1 - outermost])
    # Of what is all one value but for a few pixels, these are what there is to see.
    return (low, high, missing) if low < high else (float(known[0]), float(known[-1]), missing)


def _some_samples(image: Image.Image) -> NDArray[np.float64]:
    """Return finite samples in ascending order: all of a small image, of a large one every n-th in each direction."""
    step = _step(image, MOST_SAMPLES)
    parts = [np.asarray(strip)[-top % step :: step, ::step].ravel() for top, strip in _strips(image)]
    samples = np.concatenate(parts).astype(np.float64)
    return np.sort(samples[np.isfinite(samples)])


def _no_data(image: Image.Image, samples: NDArray[np.float64]) -> float | None:
    """Return the value that stands where nothing was measured, given sorted samples."""
    tagged = getattr(image, "tag_v2", {}).get(NO_DATA_TAG)
    with suppress(ValueError, TypeError):
        if tagged is not None and not np.isnan(value := float(str(tagged).strip("\0 "))):
            return value
    others = samples[np.searchsorted(samples, samples[0], "right") :] if samples.size else samples
    if not others.size or samples.size - others.size < max(2.0, NO_DATA_SHARE * samples.size) or samples[0] >= 0:
        return None
    top = max(1, int(OUTERMOST * others.size)) if others.size > 2 else 0
    return float(samples[0]) if others[0] - samples[0] > NO_DATA_GAP * (others[-1 - top] - others[0]) else None


def _filled(samples: Samples, missing: float | None, value: float) -> Samples:
    """Return samples with a value where there is none to show."""
    absent = ~np.isfinite(samples) if missing is None else ~np.isfinite(samples) | (samples == missing)
    return np.where(absent, np.asarray(value, samples.dtype), samples)


def _linear(samples: Samples, offset: float, scale: float, missing: float | None) -> NDArray[np.uint8]:
    scaled = (_filled(samples.astype(np.float64), missing, offset) - offset) * scale
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
