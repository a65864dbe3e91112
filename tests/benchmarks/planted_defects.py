"""Defects planted into good photos, each a function of the image and a random generator."""

import io
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

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


def half_gray(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Fill the lower part with grey, as decoders do of a download that broke off."""
    levels = np.array(image.convert("RGB"))
    levels[round(image.height * generator.uniform(0.3, 0.8)) :] = 128
    return Image.fromarray(levels)


def bars(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Put black or white bars above and below, or beside."""
    across = generator.random() < 0.5
    width, height = image.size
    margin = round(generator.uniform(0.12, 0.25) * (height if across else width))
    color = (0, 0, 0) if generator.random() < 0.7 else (255, 255, 255)
    framed = Image.new("RGB", (width, height + 2 * margin) if across else (width + 2 * margin, height), color)
    framed.paste(image, (0, margin) if across else (margin, 0))
    return framed


def no_image_page(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Return the page that a shop shows where it has no picture: a sign and some words on an even ground."""
    shade = int(generator.integers(200, 256))
    page = Image.new("RGB", image.size, (shade,) * 3)
    draw, ink = ImageDraw.Draw(page), (int(generator.integers(60, 150)),) * 3
    width, height = image.size
    left, top, side = width * 0.35, height * 0.25, min(width, height) * 0.3
    draw.rectangle((left, top, left + side, top + 0.75 * side), outline=ink, width=max(2, width // 120))
    draw.polygon(
        [(left, top + 0.7 * side), (left + side * 0.4, top + 0.3 * side), (left + side, top + 0.7 * side)], ink
    )
    draw.text((width * 0.2, height * 0.7), "No image available", fill=ink, font_size=max(10, width // 12))
    return page


def on_white(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Stand the middle of a photo on white, with a soft shadow, as shops show their goods; no defect."""
    shape = Image.new("L", image.size, 0)
    wide, high = (side * share / 2 for side, share in zip(image.size, generator.uniform(0.5, 0.9, 2), strict=True))
    center = image.width / 2, image.height / 2
    ImageDraw.Draw(shape).ellipse((center[0] - wide, center[1] - high, center[0] + wide, center[1] + high), fill=255)
    longest = max(image.size)
    shade = np.asarray(shape.filter(ImageFilter.GaussianBlur(longest / 30)), np.float32)[..., None] / 255
    inside = np.asarray(shape.filter(ImageFilter.GaussianBlur(longest / 400)), np.float32)[..., None] / 255
    ground = 255 - generator.uniform(0, 25) * shade
    return _image(ground * (1 - inside) + np.asarray(image.convert("RGB"), np.float32) * inside)


DEFECTS: Mapping[str, Mapping[str, Defect]] = {
    "blurry": {f"sigma {sigma}": blur(sigma) for sigma in (2, 3, 5, 8)}
    | {f"motion {length}": motion(length) for length in (10, 15, 25)},
    "dark": {f"gain {gain}": tones(gain) for gain in (0.05, 0.15, 0.3)},
    "bright": {"gain 3": tones(3), "gain 4": tones(4), "lifted by 130": tones(1, 130), "faded": tones(0.3, 178)},
    "grayscale": {"gray": gray},
    "low_information": {"even": even},
    "partly_blank": {"half grey": half_gray, "bars": bars},
    "placeholder": {"no image": no_image_page},
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
