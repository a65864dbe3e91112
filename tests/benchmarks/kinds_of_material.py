"""Sets that are unlike photos as a whole, made from a seed: what is usual in them is no fault of each picture.

Each maker returns one encoded file. Pictures of a set differ in contents, exposure and noise as those of one device do.
"""

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Plane = NDArray[np.float64]
Maker = Callable[[np.random.Generator], bytes]


def clouds(chance: np.random.Generator, height: int, width: int, roughness: float) -> Plane:
    """Return noise whose amplitude falls with that power of the frequency, standardised, (height, width)."""
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    radius[0, 0] = np.inf
    spectrum = np.exp(2j * np.pi * chance.random(radius.shape)) / radius**roughness
    field = np.fft.irfft2(spectrum, (height, width))
    return np.asarray((field - field.mean()) / field.std())


def x_ray(chance: np.random.Generator) -> bytes:
    """Return a body before a dark ground, ribs in it, soft edges and grain."""
    height, width = 640, 560
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    body = 1 / (1 + np.exp((np.hypot(x / chance.uniform(0.7, 0.9), y / 1.1) - 0.9) * 14))
    lungs = sum(np.exp(-((((x - side) / 0.22) ** 2 + ((y + 0.1) / 0.5) ** 2) ** 2)) for side in (-0.35, 0.35))
    ribs = 0.5 + 0.5 * np.sin(chance.uniform(22, 28) * (y + 0.3 * np.abs(x)))
    shade = body * (0.75 - 0.4 * lungs + 0.12 * ribs * lungs + 0.02 * clouds(chance, height, width, 1.5))
    return jpeg(255 * chance.uniform(0.8, 1.0) * shade + chance.normal(0, 2, shade.shape), 92)


def satellite(chance: np.random.Generator) -> bytes:
    """Return fields of even colours, roads between them, and fine texture everywhere."""
    side = 512
    image = Image.new("RGB", (side, side))
    draw = ImageDraw.Draw(image)
    for left in range(0, side, 64):
        for top in range(0, side, 48):
            green = int(chance.integers(60, 120))
            colour = green - int(chance.integers(0, 30)), green, green - int(chance.integers(20, 50))
            draw.rectangle((left, top, left + 62, top + 46), fill=colour)
    for _ in range(3):
        ends = chance.integers(0, side, 4).tolist()
        draw.line(ends, fill=(150, 145, 140), width=4)
    texture = 9 * clouds(chance, side, side, 0.6)
    turned = np.asarray(image.rotate(float(chance.uniform(0, 90)), Image.Resampling.BICUBIC).resize((side, side)))
    return jpeg(turned + texture[..., None], 88)


def depth(chance: np.random.Generator) -> bytes:
    """Return the distance to a floor, a wall and boxes in millimetres, 16 bits, with holes of 0."""
    height, width = 480, 640
    field = np.broadcast_to(np.linspace(4200, 900, height)[:, None], (height, width)).copy()
    field = np.minimum(field, chance.uniform(2500, 4000))
    for _ in range(int(chance.integers(3, 8))):
        left, top = chance.integers(0, width - 120), chance.integers(100, height - 120)
        box = slice(top, top + chance.integers(40, 120)), slice(left, left + chance.integers(40, 120))
        field[box] = np.minimum(field[box], chance.uniform(900, 2500))
    field += chance.normal(0, 4, field.shape)
    field[clouds(chance, height, width, 1.2) > 2.3] = 0
    data = io.BytesIO()
    Image.fromarray(field.clip(0, 65535).astype(np.uint16)).save(data, "PNG")
    return data.getvalue()


def night(chance: np.random.Generator) -> bytes:
    """Return what an infrared camera sees: a lit middle, dark borders, grain, no colour."""
    height, width = 480, 640
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    lamp = np.exp(-2.2 * (x**2 + (y - chance.uniform(-0.2, 0.2)) ** 2))
    scene = 0.5 + 0.18 * clouds(chance, height, width, 1.3)
    return jpeg(110 * chance.uniform(0.7, 1.2) * lamp * scene + chance.normal(6, 5, lamp.shape), 80)


def drawing(chance: np.random.Generator) -> bytes:
    """Return black lines, circles and dimensions on white."""
    image = Image.new("L", (1100, 800), 255)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(18)
    for _ in range(int(chance.integers(12, 40))):
        x, y, across, down = (
            int(chance.integers(low, high)) for low, high in ((20, 800), (20, 600), (30, 280), (30, 180))
        )
        shape = draw.rectangle if chance.random() < 0.5 else draw.ellipse
        shape((x, y, x + across, y + down), outline=0, width=2)
        draw.line((x, y + down + 12, x + across, y + down + 12), fill=0)
        draw.text((x + across / 2, y + down + 14), str(across), 0, font)
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def scan(chance: np.random.Generator) -> bytes:
    """Return a page of text on paper, a little turned, lit unevenly, as a phone or scanner sees it."""
    page = Image.new("L", (850, 1100), 236)
    draw, font, top = ImageDraw.Draw(page), ImageFont.load_default(15), 80
    while top < 1000:
        words = ["".join(chance.choice(list("aeionrstlmdu"), int(chance.integers(2, 10)))) for _ in range(11)]
        draw.text((80, top), " ".join(words[: int(chance.integers(4, 12))]), 30, font)
        top += int(chance.choice([22, 22, 22, 44]))
    page = page.rotate(float(chance.normal(0, 0.8)), Image.Resampling.BICUBIC, fillcolor=225)
    light = (
        1 - 0.12 * np.linspace(0, 1, page.width) * chance.random() + chance.normal(0, 0.01, (page.height, page.width))
    )
    return jpeg(np.asarray(page.filter(ImageFilter.GaussianBlur(0.6))) * light, 75)


def cells(chance: np.random.Generator) -> bytes:
    """Return discs with pale middles on an even ground, out of focus as through a microscope."""
    height, width = 480, 640
    y, x = np.mgrid[:height, :width]
    field = np.zeros((height, width))
    for _ in range(int(chance.integers(25, 60))):
        far = np.hypot(x - chance.uniform(0, width), y - chance.uniform(0, height)) / chance.uniform(28, 38)
        field = np.maximum(field, (far < 1) * (0.55 + 0.45 * far))
    image = np.array([215, 205, 210]) - field[..., None] * np.array([35, 95, 75]) * chance.uniform(0.8, 1.1)
    blurred = Image.fromarray(image.clip(0, 255).astype(np.uint8)).filter(
        ImageFilter.GaussianBlur(chance.uniform(2, 3))
    )
    return jpeg(np.asarray(blurred) + chance.normal(0, 1.5, image.shape), 90)


def jpeg(pixels: NDArray[np.floating], quality: int) -> bytes:
    """Return levels, (h, w) or (h, w, 3), as JPEG."""
    data = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(data, "JPEG", quality=quality)
    return data.getvalue()


KINDS: dict[str, Maker] = {
    "scanned pages": scan,
    "technical drawings": drawing,
    "X-rays": x_ray,
    "satellite fields": satellite,
    "depth, 16 bits": depth,
    "night camera": night,
    "cells, out of focus": cells,
}
