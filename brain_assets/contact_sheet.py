"""Pictures of many images at once."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

TILE = 96
MARGIN = 6
CAPTION = 14
COLUMNS = 12


def contact_sheet(rows: Mapping[str, Sequence[tuple[str, str]]]) -> "Image":
    """Return one image of titled groups of thumbnails.

    Parameters
    ----------
    rows : mapping
        Title to (path, caption) pairs; an image that cannot be opened leaves its place empty.
    """
    from PIL import Image, ImageDraw

    heights = [2 * CAPTION + -(-len(items) // COLUMNS) * (TILE + CAPTION + MARGIN) for items in rows.values()]
    sheet = Image.new("RGB", (COLUMNS * (TILE + MARGIN) + MARGIN, sum(heights) + MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    top = MARGIN
    for (title, items), height in zip(rows.items(), heights, strict=True):
        draw.text((MARGIN, top), title, "black")
        for place, (path, caption) in enumerate(items):
            x = MARGIN + place % COLUMNS * (TILE + MARGIN)
            y = top + int(1.5 * CAPTION) + place // COLUMNS * (TILE + CAPTION + MARGIN)
            _paste(sheet, path, (x, y))
            draw.text((x, y + TILE + 1), caption, "black")
        top += height
    return sheet


def _paste(sheet: "Image", path: str, place: tuple[int, int]) -> None:
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            tile = ImageOps.contain(ImageOps.exif_transpose(image).convert("RGB"), (TILE, TILE))
    except (OSError, ValueError):
        return
    sheet.paste(tile, (place[0] + (TILE - tile.width) // 2, place[1] + (TILE - tile.height) // 2))
