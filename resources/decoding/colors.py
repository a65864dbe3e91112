"""Any pixel mode to 8-bit RGB on white, a strip at a time, so that a large image is never held twice.

Rules: alpha is composited on white. Palettes, 1-bit, CMYK, YCbCr, HSV and LAB become RGB; colour profiles are not
applied. 16-bit grey is divided by 257 where that leaves no remainder (an 8-bit image in a 16-bit file), else shifted
from the smallest of 8, 10, 12, 14 or 16 bits that holds its largest value (sensors rarely fill their 16 bits); 16-bit
colour keeps its upper 8 bits. 32-bit integers and floats are taken as they are when they lie in [0, 255], times 255
when they are floats in [0, 1], else stretched from their minimum to their maximum; what is not finite becomes 0.
"""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BACKGROUND = (255, 255, 255)
STRIP_PIXELS = 1 << 21
PREMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}
UPSCALE = 257
Samples = NDArray[Any]


def to_rgb(image: Image.Image, factor: int = 1) -> tuple[Image.Image, float]:
    """Return a decoded image as 8-bit RGB, each side reduced by ``factor``, and its mean transparency in [0, 1]."""
    if image.mode == "RGB" and factor == 1 and "transparency" not in image.info:
        return image.copy(), 0.0
    convert = _deep_converter(image) if _is_deep(image) else _convert
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


def _convert(strip: Image.Image) -> tuple[Image.Image, float]:
    strip = _straight(strip)
    return _composite(strip.convert("RGBA")) if strip.has_transparency_data else (strip.convert("RGB"), 0.0)


def _composite(strip: Image.Image) -> tuple[Image.Image, float]:
    alpha = strip.getchannel("A")
    canvas = Image.new("RGB", strip.size, BACKGROUND)
    canvas.paste(strip, mask=alpha)
    opacity = sum(value * count for value, count in enumerate(alpha.histogram())) / (255 * strip.width * strip.height)
    return canvas, 1.0 - opacity


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
    low, high = _extrema(image)
    if _is_upscaled(image):
        return lambda samples: (samples // UPSCALE).astype(np.uint8)
    if image.mode.startswith("I;16"):
        shift = max(0, -(-int(high).bit_length() // 2) * 2 - 8)
        return lambda samples: (samples >> shift).astype(np.uint8)
    if image.mode == "F" and low >= 0 and high <= 1:
        return lambda samples: _linear(samples, 0.0, 255.0)
    if low >= 0 and high <= 255:
        return lambda samples: _linear(samples, 0.0, 1.0)
    return lambda samples: _linear(samples, low, 255.0 / (high - low) if high > low else 0.0)


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


def _linear(samples: Samples, offset: float, scale: float) -> NDArray[np.uint8]:
    scaled = (np.where(np.isfinite(samples), samples, offset).astype(np.float64) - offset) * scale
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
