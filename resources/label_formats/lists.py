"""Lists of images with their classes: a path and a class a line, as Caffe, ImageNet's tools and MXNet have them."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from brain_assets.resources.label_formats.annotations import Annotations, Row, Unusable, number_of
from brain_assets.resources.label_formats.class_names import ClassNames, names_above
from brain_assets.resources.label_formats.content import Content, mostly
from brain_assets.resources.media.candidates import IMAGE_SUFFIXES
from brain_assets.resources.media.splits import split_of
from brain_assets.resources.tabular import WHOLE_FILE, Rejected

LOOKED_AT = 20
NAMED = {"train", "val", "test"}
PICTURE = rf"[^\t]*?(?:{'|'.join(map(re.escape, sorted(IMAGE_SUFFIXES, reverse=True)))})"
FORWARD = re.compile(rf"\"?(?P<path>{PICTURE})\"?[\s,;]+(?P<label>\S.*)", re.IGNORECASE)
NUMBERED = re.compile(rf"\d+\t(?P<label>[^\t]+(?:\t[^\t]+)*)\t(?P<path>{PICTURE})", re.IGNORECASE)
"""MXNet's: a number, the class, the path."""
PETS = re.compile(r"(?P<path>(?P<label>\S+)_\d+)\s+\d+\s+[12]\s+\d+")
"""The Oxford pets': a name that begins with the class, and the numbers of class, species and breed."""
BARE = re.compile(r"\"?(?P<path>[^\s,;\"]+)\"?[\s,;]+(?P<label>\S.*)")
"""A name without a suffix and a class, which may be anything; such lines are read where somebody says what they are."""
AIRCRAFT = re.compile(r"images_(?:family|manufacturer|variant)_(?P<split>train|val|test|trainval)")
"""What FGVC-Aircraft calls its lists, of which each line is a name of digits and a class."""
PARTITION, PARTS_OF = "partition", {"0": "train", "1": "val", "2": "test"}
"""CelebA's list of which image is in which split, by its number."""
BETWEEN = re.compile(r"[\s,;]+")
BOX = 4
"""So many numbers behind a class are a box, as tiny ImageNet has them: whether corners or sizes, nothing says."""
JOINED, PARTS = "trainval", ("train", "val")
"""A list of what other lists, where they are there, put into two splits."""


class Lists:
    """Classes of whole images, in a list for each split or one for all."""

    name = "lists"
    title = "lists of paths and classes"
    suffixes = frozenset({".txt", ".lst"})
    per_image = False

    def sniff(self, content: Content) -> bool:
        """Tell whether the first lines have a picture's path and more, or are of a set whose names have no suffix."""
        if says_splits_alone(content):
            return mostly(_is_picture(text) for _, text in _lines(content))
        return _form(content) not in {None, BARE} or bool(AIRCRAFT.fullmatch(content.path.stem))

    def may_hold_columns(self, path: Path) -> bool:
        """Tell whether a file is called like a split."""
        return path.suffix.lower() in self.suffixes and (_split(path) in NAMED or PARTITION in path.stem.lower())

    def columns(self, content: Content) -> Sequence[Row]:
        """Return the split of the images of a list that is called like one."""
        split, form = _split(content.path), _form(content)
        if says_splits_alone(content):
            return [{"filepath": _plain(text), "split": split, "tags": []} for _, text in _lines(content)]
        sure = form is not BARE or _is_named(content)
        parted = [_parted(text, form) for _, text in _lines(content)] if sure else []
        if _is_partition(content):
            return [{"filepath": _path(one), "split": PARTS_OF[one["label"]], "tags": []} for one in parted if one]
        return [{"filepath": _path(one), "split": split, "tags": []} for one in parted if one] if split else []

    def read(self, content: Content) -> Annotations:
        """Return the class of each image; a number takes the name that it has in a list of classes above the file."""
        found, classes, form = Annotations(), names_above(content.path), _form(content) or FORWARD
        if _is_partition(content) or says_splits_alone(content):
            return found
        if form is BARE and (fault := _no_classes(content)):
            raise Unusable("class", fault)
        boxed = Counter[bool]()
        found.each(_lines(content), lambda line, text: boxed.update([_add(found, line, _parted(text, form), classes)]))
        if boxed[True]:
            detail = "four numbers stand behind classes, and nothing says if they are corners or sizes: classes are read alone"
            found.rejected.append(Rejected(WHOLE_FILE, "box", detail))
        return found


def says_splits_alone(content: Content) -> bool:
    """Tell whether a list is called like a split and has nothing but the name of an image in each line."""
    lines = [text for _, text in _lines(content)]
    alone = (len(BETWEEN.split(text)) == 1 or _is_picture(text) for text in lines)
    return _split(content.path) in NAMED and bool(lines) and all(alone) and not all(map(_is_number, lines))


def _is_picture(text: str) -> bool:
    return PurePath(_plain(text)).suffix.lower() in IMAGE_SUFFIXES and _parted(text, FORWARD) is None


def _is_number(text: str) -> bool:
    return number_of(text) is not None


def _plain(text: str) -> str:
    return text.strip('"').replace("\\", "/")


def _is_partition(content: Content) -> bool:
    """Tell whether the numbers behind all names say in which split the images are."""
    if PARTITION not in content.path.stem.lower():
        return False
    form = _form(content)
    parted = [_parted(text, form) for _, text in _lines(content)]
    return bool(parted) and all(one and one["label"] in PARTS_OF for one in parted)


def _split(path: Path) -> str | None:
    """Return the split that a list is called like; that of a list of two splits is train where none parts them."""
    aircraft = AIRCRAFT.fullmatch(path.stem)
    name = aircraft["split"] if aircraft else path.stem
    if name != JOINED:
        return split_of(name)
    parts = (path.with_name(f"{path.stem.removesuffix(JOINED)}{part}{path.suffix}") for part in PARTS)
    return None if any(part.is_file() for part in parts) else "train"


def _form(content: Content) -> re.Pattern[str] | None:
    """Return how most of the first lines are written."""
    lines = [text for _, text in _lines(content)][:LOOKED_AT]
    forms = (FORWARD, PETS, BARE)
    return next((form for form in forms if mostly(_parted(text, form) for text in lines)), None)


def names_in(content: Content) -> tuple[list[str], str]:
    """Return the names that a list without suffixes has, and why it is none of classes; nothing of what is no such list."""
    if content.suffix not in Lists.suffixes or _form(content) is not BARE:
        return [], ""
    parted = [BARE.fullmatch(text) for _, text in _lines(content)]
    return [one["path"] for one in parted if one], _no_classes(content)


def _is_named(content: Content) -> bool:
    """Tell whether lines without suffixes are surely of images: with names that are no numbers, and one word behind them."""
    lines = [text.split() for _, text in _lines(content)][:LOOKED_AT]
    alone = mostly(len(words) == 2 and number_of(words[0]) is None for words in lines)
    return alone or bool(AIRCRAFT.fullmatch(content.path.stem))


def _no_classes(content: Content) -> str:
    """Return why what stands behind the names of a list is no class; empty where it may be one."""
    behind = [BETWEEN.split(one["label"]) for _, text in _lines(content) if (one := BARE.fullmatch(text))]
    if mostly(len(words) > 1 and None not in map(number_of, words) for words in behind):
        return "several numbers stand behind each name, and no class"
    counted = {words[0] for words in behind if len(words) == 1 and number_of(words[0]) is not None}
    return "each name has a number of its own, which is no class" if 1 < len(counted) == len(behind) else ""


def _lines(content: Content) -> Iterator[tuple[int, str]]:
    numbered = ((number, line.strip()) for number, line in enumerate(content.text.splitlines(), 1))
    return ((number, line) for number, line in numbered if line and not line.startswith("#"))


def _parted(text: str, form: re.Pattern[str] | None) -> re.Match[str] | None:
    if form is not FORWARD:
        return form.fullmatch(text) if form else None
    # Lines of numbers, of which most texts are, name no picture.
    if text.upper() == text.lower():
        return None
    return NUMBERED.fullmatch(text) or FORWARD.fullmatch(text)


def _path(parted: re.Match[str]) -> str:
    return parted["path"].replace("\\", "/")


def _add(found: Annotations, line: int, parted: re.Match[str] | None, classes: ClassNames) -> bool:
    """Add what a line says, and return whether a box stands behind the class."""
    if not parted:
        raise Unusable("no_label", "not a picture's path and a class")
    path, label = _path(parted), parted["label"].strip().strip('"')
    words = [number_of(word) for word in BETWEEN.split(label)]
    has_box = None in words[:-BOX] and None not in words[-BOX:]
    if has_box:
        label, words = label[: list(BETWEEN.finditer(label))[-BOX].start()], words[:-BOX]
    if len(words) > 1 and None not in words[:-1]:
        raise Unusable("class", f"one class is expected behind the path, not {len(words)} numbers: {label[:40]!r}")
    if path in found.labels:
        raise Unusable("duplicate", "an earlier line of this file names the same image")
    number = words[0] if len(words) == 1 else None
    plain = str(int(number)) if number is not None and number.is_integer() else label
    found.add_label(line, path, [classes.names.get(plain, plain)])
    return has_box
