"""Defects planted into good photos, each a function of the image and a random generator."""

import io
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageFilter

from brain_assets.resources.decoding.pictures import standard_reduction
from brain_assets.resources.decoding.resampling import shrink

LONGEST = 256
Defect = Callable[[Image.Image, np.random.Generator], Image.Image]


def blur(sigma: float) -> Defect:
    """Blur by a Gaussian; ``sigma`` in pixels of the image scaled to a longest side of 224."""
    return lambda image, _: image.filter(ImageFilter.GaussianBlur(sigma * max(image.size) / 224))


def motion(length: float) -> Defect:
    """Move the camera along a line in a random direction; ``length`` in pixels of the longest side scaled to 224."""

    def defect(image: Image.Image, generator: np.random.Generator) -> Image.Image:
        reach, angle = length * max(image.size) / 224 / 2, generator.uniform(0, np.pi)
        steps = np.linspace(-reach, reach, 1 + 2 * int(np.ceil(reach)))
        margin = int(np.ceil(reach))
        levels = np.pad(np.asarray(image, np.float32), ((margin, margin), (margin, margin), (0, 0)), "edge")
        moved = np.zeros((image.height, image.width, 3), np.float32)
        for step in steps:
            top, left = (margin + round(step * turn) for turn in (np.sin(angle), np.cos(angle)))
            moved += levels[top : top + image.height, left : left + image.width]
        return _image(moved / len(steps))

    return defect


def tones(gain: float, offset: float = 0.0) -> Defect:
    """Multiply and shift all levels, clipped."""
    return lambda image, _: _image(gain * np.asarray(image, np.float32) + offset)


def noise(sigma: float, channels: int = 3) -> Defect:
    """Add Gaussian noise, alike in all channels or not."""

    def defect(image: Image.Image, generator: np.random.Generator) -> Image.Image:
        shape = (image.height, image.width, channels)
        return _image(np.asarray(image, np.float32) + generator.normal(0, sigma, shape))

    return defect


def crop(ratio: float) -> Defect:
    """Cut out a strip, upright or lying, from the middle."""

    def defect(image: Image.Image, generator: np.random.Generator) -> Image.Image:
        width, height = image.size
        if generator.random() < 0.5:
            height = max(1, round(width / ratio))
        else:
            width = max(1, round(height / ratio))
        left, top = (image.width - width) // 2, (image.height - height) // 2
        return image.crop((left, top, left + width, top + height))

    return defect


def gray(image: Image.Image, _: np.random.Generator) -> Image.Image:
    """Take the colour away and keep three equal channels."""
    return image.convert("L").convert("RGB")


def even(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Return one colour, with the last bit of some noise."""
    color = generator.integers(0, 256, 3) + generator.normal(0, 1, (image.height, image.width, 3))
    return _image(color.astype(np.float32))


DEFECTS: Mapping[str, Mapping[str, Defect]] = {
    "blurry": {f"sigma {sigma}": blur(sigma) for sigma in (2, 3, 5, 8)}
    | {f"motion {length}": motion(length) for length in (10, 15, 25)},
    "dark": {f"gain {gain}": tones(gain) for gain in (0.05, 0.15, 0.3)},
    "bright": {"gain 3": tones(3), "gain 4": tones(4), "lifted by 130": tones(1, 130), "faded": tones(0.3, 178)},
    "grayscale": {"gray": gray},
    "low_information": {"even": even},
    "odd_aspect_ratio": {"1:3": crop(3), "1:6": crop(6)},
    "noisy": {"sigma 25": noise(25), "sigma 40": noise(40), "gray, sigma 40": noise(40, 1)},
}


def encode(image: Image.Image, quality: int) -> bytes:
    """Return the image as JPEG."""
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=quality)
    return encoded.getvalue()


def reduced(source: io.BytesIO | str) -> np.ndarray:
    """Return RGB pixels with a longest side of at most 256, reduced as in the decode pass."""
    with Image.open(source) as image:
        factor = standard_reduction(*image.size)
        if factor > 1:
            image.draft("RGB", (image.width // factor, image.height // factor))
        return np.asarray(shrink(image.convert("RGB"), LONGEST))


def _image(levels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8))
