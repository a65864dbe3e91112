"""Pictures that are masks of others: called like an image elsewhere, and drawn with a few values only."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

# What masks, and the images beside them, have behind the name that they share.
ASIDE = re.compile(
    r"(?:[_\-. ]?(?:masks?|seg|segs|segmentations?|gt|gtfine|gtcoarse|labels?|labelids|labeltrainids|instanceids|instances?"
    r"|colou?r|annotations?|anno|mattes?|alpha|trimaps?|leftimg8bit|images?|img|rgb))+$",
    re.IGNORECASE,
)
# Masks are not written with loss, and have as many values as classes and colours at most.
LOSSLESS, MOST_VALUES = {".png", ".tif", ".tiff", ".bmp", ".gif"}, 64
# A larger picture would take long for a first look.
MOST_PIXELS = 1 << 26
# So many pictures of so many places are opened, reduced to this size, and so many of all there have to belong to an image.
TRIED, OPENED, LOOKED_AT, MOSTLY = 5, 500, (512, 512), 0.8
Place = tuple[str, str]


def mask_places(folder: Path, filepaths: Sequence[str]) -> dict[Place, int]:
    """Return where masks of other pictures lie, with how many: a folder, and what their names end with beside the images.

    Parameters
    ----------
    folder : Path
        The media root.
    filepaths : sequence of str
        The pictures in it; a few of them are opened.

    Returns
    -------
    dict of (str, str) to int
        By folder, with a slash at its end, and ending such as ``_mask.png``; one of the two is empty.
    """
    by_place: dict[Place, list[str]] = defaultdict(list)
    for path in filepaths:
        by_place[_place(path)].append(path)
    keys = {place: {_key(path) for path in paths} for place, paths in by_place.items()}
    everywhere = Counter(key for there in keys.values() for key in there)
    lossless = [place for place, paths in by_place.items() if _suffixes(paths) <= LOSSLESS]
    paired = [place for place in lossless if _share(keys[place], everywhere, 2) >= MOSTLY]
    likely = {place for place in paired[:OPENED] if _are_drawn(folder, by_place[place])}
    # Of masks of each other there is no image.
    of_images = Counter(key for place in keys.keys() - likely for key in keys[place])
    found = {place: len(by_place[place]) for place in likely if _share(keys[place], of_images, 1) >= MOSTLY}
    return _gathered(found, by_place)


def without_masks(places: Iterable[Place]) -> str:
    """Return the regular expression of paths that are not of some places.

    Examples
    --------
    >>> without_masks([("masks/", ""), ("", "_mask")])
    '^(?!masks/|.*_mask$)'
    """
    said = [
        f"{re.escape(folder)}" if folder else f".*{re.escape(ending)}$"
        for folder, ending in sorted(places, reverse=True)
    ]
    return f"^(?!{'|'.join(said)})"


def is_mask(path: str, places: Iterable[Place]) -> bool:
    """Tell whether a picture lies in one of some places."""
    return any(path.startswith(folder) if folder else path.endswith(ending) for folder, ending in places)


def _place(path: str) -> Place:
    folder, _, name = path.rpartition("/")
    stem, suffix = os.path.splitext(name)
    return f"{folder}/" if folder else "", stem[len(_shared(stem)) :] + suffix


def _shared(stem: str) -> str:
    """Return what a mask and its image have in common."""
    return ASIDE.sub("", stem) or stem


def _key(path: str) -> str:
    return _shared(os.path.splitext(path.rpartition("/")[2])[0]).lower()


def _suffixes(paths: Iterable[str]) -> set[str]:
    return {os.path.splitext(path)[1].lower() for path in paths}


def _share(keys: set[str], counts: Counter[str], times: int) -> float:
    """Return which share of some names is there so many times."""
    return sum(counts[key] >= times for key in keys) / len(keys)


def _are_drawn(folder: Path, paths: Sequence[str]) -> bool:
    chosen = paths[:: max(1, len(paths) // TRIED)][:TRIED]
    return all(_has_few_values(folder / path) for path in chosen)


def _has_few_values(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            if image.width * image.height > MOST_PIXELS:
                return False
            image.thumbnail(LOOKED_AT, Image.Resampling.NEAREST)
            return image.getcolors(MOST_VALUES) is not None
    except Exception:  # noqa: BLE001 - decoders raise anything, and no picture may end a first look
        return False


def _gathered(found: dict[Place, int], by_place: dict[Place, list[str]]) -> dict[Place, int]:
    """Return the highest folders that hold masks alone, and the endings of masks that lie among images."""
    images = {place[0] for place in by_place if place not in found}
    gathered: dict[Place, int] = defaultdict(int)
    for (folder, ending), count in found.items():
        above = [folder[: at + 1] for at, letter in enumerate(folder) if letter == "/"]
        alone = [top for top in above if not any(other.startswith(top) for other in images)]
        gathered[(alone[0], "") if alone else ("", ending)] += count
    return dict(gathered)
