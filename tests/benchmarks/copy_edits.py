"""What people and programs do to a picture that stays the same picture: 26 edits, each by name, drawn from a seed."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

Picture = Image.Image
Edit = Callable[[Picture, np.random.Generator, Picture], Picture]
"""Takes the picture, chance, and another picture of the set to stand beside it in a collage."""


def recompressed(quality: int) -> Edit:
    return lambda picture, rng, other: Image.open(io.BytesIO(encoded(picture, quality))).convert("RGB")


def resized(share: float) -> Edit:
    return lambda picture, rng, other: picture.resize(
        (max(1, round(picture.width * share)), max(1, round(picture.height * share))), Image.Resampling.LANCZOS
    )


def stretched(picture: Picture, rng: np.random.Generator, other: Picture) -> Picture:
    return picture.resize((round(picture.width * rng.choice([0.75, 1.33])), picture.height))


def cropped(share: float) -> Edit:
    def edit(picture: Picture, rng: np.random.Generator, other: Picture) -> Picture:
        width, height = (round(side * share) for side in picture.size)
        left, top = rng.integers(0, picture.width - width + 1), rng.integers(0, picture.height - height + 1)
        return picture.crop((left, top, left + width, top + height))

    return edit


def flipped_and_cropped(picture: Picture, rng: np.random.Generator, other: Picture) -> Picture:
    return ImageOps.mirror(cropped(0.9)(picture, rng, other))


def rotated_and_cropped(picture: Picture, rng: np.random.Generator, other: Picture) -> Picture:
    """Return the picture turned by 5 degrees, cropped so that no corner is empty."""
    turned, angle = picture.rotate(5, Image.Resampling.BICUBIC), np.deg2rad(5)
    width, height = picture.size
    least = min(1 / (np.cos(angle) + max(width / height, height / width) * np.sin(angle)), 1.0)
    left, top = (round(side * (1 - least) / 2) for side in picture.size)
    return turned.crop((left, top, width - left, height - top))


def lit(factor: float) -> Edit:
    return lambda picture, rng, other: ImageEnhance.Brightness(picture).enhance(factor)


def watermarked(picture: Picture, rng: np.random.Generator, other: Picture) -> Picture:
    layer = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    draw, font = ImageDraw.Draw(layer), ImageFont.load_default(max(8, int(min(picture.size) * 0.12)))
    for line in range(3):
        place = (rng.uniform(0, 0.5) * picture.width, (line + 0.3) / 3 * picture.height)
        draw.text(place, "© SAMPLE photo", fill=(255, 255, 255, 140), font=font)
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


def captioned(picture: Picture, rng: np.random.Generator, other: Picture) -> Picture:
    """Return the picture as a meme: white capitals with a black rim above and below."""
    captioned, size = picture.copy(), max(10, int(picture.height * 0.11))
    draw, font = ImageDraw.Draw(captioned), ImageFont.load_default(size)
    for text, share in (("WHEN YOU SEE IT", 0.08), ("AND CANNOT LOOK AWAY", 0.92)):
        place = (picture.width / 2, share * picture.height)
        draw.text(place, text, "white", font, anchor="mm", stroke_width=max(1, size // 12), stroke_fill="black")
    return captioned


def blurred(picture: Picture, rng: np.random.Generator, other: Picture) -> Picture:
    return picture.filter(ImageFilter.GaussianBlur(0.01 * min(picture.size)))


def bordered(picture: Picture, rng: np.random.Generator, other: Picture) -> Picture:
    return ImageOps.expand(picture, round(0.08 * max(picture.size)), "white")


def letterboxed(picture: Picture, rng: np.random.Generator, other: Picture) -> Picture:
    side = max(picture.width, round(picture.height * 1.4))
    boxed = Image.new("RGB", (side, round(side * 9 / 16)), "black")
    fitted = ImageOps.contain(picture, boxed.size)
    boxed.paste(fitted, ((boxed.width - fitted.width) // 2, (boxed.height - fitted.height) // 2))
    return boxed


def jittered(picture: Picture, rng: np.random.Generator, other: Picture) -> Picture:
    jittered = ImageEnhance.Color(picture).enhance(rng.choice([0.4, 1.8]))
    jittered = ImageEnhance.Contrast(jittered).enhance(rng.choice([0.75, 1.3]))
    gains = rng.uniform(0.8, 1.2, 3)
    return Image.fromarray(np.uint8(np.clip(np.asarray(jittered) * gains, 0, 255)))


def screenshot(picture: Picture, rng: np.random.Generator, other: Picture) -> Picture:
    """Return the picture in the window of a program, with a bar of tools and lines of text."""
    width, height = round(picture.width * 1.5), round(picture.height * 1.5)
    screen = Image.new("RGB", (width, height), (242, 242, 245))
    draw, font = ImageDraw.Draw(screen), ImageFont.load_default(max(8, height // 32))
    draw.rectangle((0, 0, width, height // 12), fill=(52, 60, 74))
    draw.text((width // 40, height // 40), "Photos - Library - Album 3", "white", font)
    for line in range(14):
        draw.text((width // 50, height * (line + 2) // 16), f"item {rng.integers(1000)}", (60, 60, 60), font)
    screen.paste(picture, (width - picture.width - width // 30, height // 8))
    return screen


def collage(picture: Picture, rng: np.random.Generator, other: Picture) -> Picture:
    beside = other.resize((max(1, round(other.width * picture.height / other.height)), picture.height))
    joined = Image.new("RGB", (picture.width + beside.width, picture.height))
    for place, part in ((0, picture), (picture.width, beside)):
        joined.paste(part, (place, 0))
    return joined


EDITS: dict[str, Edit] = {
    "jpeg quality 30": recompressed(30),
    "jpeg quality 10": recompressed(10),
    "resized to 50 %": resized(0.5),
    "resized to 20 %": resized(0.2),
    "stretched": stretched,
    "cropped to 90 %": cropped(0.9),
    "cropped to 80 %": cropped(0.8),
    "cropped to 70 %": cropped(0.7),
    "cropped to 50 %": cropped(0.5),
    "flipped": lambda picture, rng, other: ImageOps.mirror(picture),
    "flipped, cropped to 90 %": flipped_and_cropped,
    "rotated by 5, cropped": rotated_and_cropped,
    "rotated by 5, black corners": lambda picture, rng, other: picture.rotate(5, Image.Resampling.BICUBIC),
    "rotated by 90": lambda picture, rng, other: picture.transpose(Image.Transpose.ROTATE_90),
    "rotated by 180": lambda picture, rng, other: picture.transpose(Image.Transpose.ROTATE_180),
    "brightness 60 %": lit(0.6),
    "brightness 150 %": lit(1.5),
    "watermark": watermarked,
    "meme text": captioned,
    "blurred": blurred,
    "borders": bordered,
    "letterbox": letterboxed,
    "gray": lambda picture, rng, other: ImageOps.grayscale(picture).convert("RGB"),
    "colour jitter": jittered,
    "screenshot in a frame": screenshot,
    "collage of two": collage,
}


def encoded(picture: Picture, quality: int = 90) -> bytes:
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=quality)
    return data.getvalue()
