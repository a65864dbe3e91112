"""A dataset that is written out: its images, and what is known of each, in no format yet."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from brain_assets.methods.labels.objects import fill_rings
from brain_assets.resources.label_formats.masks import Rings, overlap

UNSPLIT = "unsplit"
DIGITS = 6
"""Decimals of pixels and of parts of a side: finer than any label, coarser than the rounding of either."""


PARTS = {
    "labels": "labels of whole images", "several": "further labels of an image", "boxes": "objects", "outlines": "outlines",
    "crowds": "marks of crowds", "splits": "splits", "tags": "images with tags",
}  # fmt: skip
"""What a format may hold, in words."""


@dataclass(frozen=True)
class LabelledObject:
    """An object in an image; lengths are parts of the image's sides.

    Attributes
    ----------
    label : str
    box : (x, y, width, height)
    rings : list of list of float, optional
        Its outline, x and y in turn; a ring in a ring is a hole.
    crowd : bool
    object_id : str
    """

    label: str
    box: tuple[float, float, float, float]
    rings: Rings | None = None
    crowd: bool = False
    object_id: str = ""

    def corners(self, width: float = 1, height: float = 1) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom, in parts of an image of this size."""
        x, y, wide, high = self.box
        return x * width, y * height, (x + wide) * width, (y + high) * height

    def sized(self, width: float, height: float) -> Rings:
        """Return the rings in an image of this size."""
        sides = (width, height)
        return [
            [round(value * sides[place % 2], DIGITS) for place, value in enumerate(ring)] for ring in self.rings or []
        ]

    def ring(self, width: float = 1, height: float = 1) -> list[float]:
        """Return the outline as one ring, as most formats want it.

        Further rings are entered and left along one line from the start of the first, which encloses nothing: by the rule
        of odd and even it is the same area, holes included.
        """
        rings = self.sized(width, height)
        start, joined = rings[0][:2], list(rings[0])
        for ring in rings[1:]:
            joined += [*start, *ring, *ring[:2]]
        return [*joined, *start] if len(rings) > 1 else joined


@dataclass
class LabelledImage:
    """An image of the dataset.

    Attributes
    ----------
    sample_id, filepath : str
        As the dataset has them.
    width, height : int, pixels
        0 where unknown.
    split : str, optional
    labels : list of str
        Of the whole image.
    objects : list of LabelledObject, optional
        None where nobody says whether it holds any.
    tags : list of str
    number : str, optional
        What the image is called in COCO files that were read.
    path : str
        Where it stands below the folder that is written; without suffix no other's.
    """

    sample_id: str
    filepath: str
    width: int
    height: int
    split: str | None = None
    labels: list[str] = field(default_factory=list)
    objects: list[LabelledObject] | None = None
    tags: list[str] = field(default_factory=list)
    number: str | None = None
    path: str = ""

    @property
    def stem(self) -> str:
        """Its path without suffix."""
        return PurePosixPath(self.path).with_suffix("").as_posix()


@dataclass(frozen=True)
class Labelled:
    """What is written.

    Attributes
    ----------
    images : list of LabelledImage
    classes : list of str
        Of objects and of whole images, those that nobody has included; in the order of their numbers.
    numbers : mapping of str to str
        What classes are called in COCO files that were read.
    read : callable
        Returns the bytes of an image's file, or None where it cannot be read: it is left out then.
    """

    images: list[LabelledImage]
    classes: list[str]
    numbers: Mapping[str, str]
    read: Callable[[LabelledImage], bytes | None]

    @property
    def has_objects(self) -> bool:
        """Whether anybody speaks of objects."""
        return any(one.objects is not None for one in self.images)

    @property
    def has_splits(self) -> bool:
        """Whether an image is in a split."""
        return any(one.split for one in self.images)

    def by_split(self) -> Iterator[tuple[str, list[LabelledImage]]]:
        """Yield the images of each split; those of none under a name of their own, or under none where all are."""
        names = dict.fromkeys(one.split or "" for one in self.images)
        for name in sorted(names):
            yield (
                name or (UNSPLIT if self.has_splits else ""),
                [one for one in self.images if (one.split or "") == name],
            )

    def objects(self) -> Iterator[LabelledObject]:
        """Yield all objects."""
        for image in self.images:
            yield from image.objects or []


@runtime_checkable
class Writer(Protocol):
    """How a dataset is written into a folder.

    Attributes
    ----------
    name, title : str
    holds : frozenset of {"labels", "several", "boxes", "outlines", "crowds", "splits", "tags"}
        What it can say, ``several`` labels of one image among it; of what it cannot, the export tells how much there is.
    packs : bool
        Whether it puts the images into files of its own.
    """

    name: str
    title: str
    holds: frozenset[str]
    packs: bool

    def place(self, image: LabelledImage, folder: str) -> str:
        """Return where an image stands; ``folder`` is its split's, empty where there are none."""

    def write(self, target: Path, dataset: Labelled) -> None:
        """Write what is known of the images, which stand there already unless it packs them."""


@runtime_checkable
class HoldsByContent(Protocol):
    """Of a writer that cannot say everything at once: what it holds depends on what there is."""

    def held(self, dataset: Labelled) -> frozenset[str]:
        """Return what of ``holds`` it says of a dataset."""


def not_held(writer: Writer, dataset: Labelled) -> dict[str, int]:
    """Return how much of what is known a format has no words for, in words."""
    held = writer.held(dataset) if isinstance(writer, HoldsByContent) else writer.holds
    objects, labels = list(dataset.objects()), [one.labels for one in dataset.images if one.labels]
    counts = {
        "labels": len(labels),
        "several": sum(len(one) - 1 for one in labels) if "labels" in held else 0,
        "boxes": len(objects),
        "outlines": sum(bool(one.rings) for one in objects) if "boxes" in held else 0,
        "crowds": sum(one.crowd for one in objects) if "boxes" in held else 0,
        "splits": sum(one.split is not None for one in dataset.images),
        "tags": sum(bool(one.tags) for one in dataset.images),
    }
    return {PARTS[part]: count for part, count in counts.items() if count and part not in held}


class InOneFolder:
    """Of a writer: all images lie below one folder, whatever their splits."""

    packs = False
    images = "images"

    def place(self, image: LabelledImage, folder: str) -> str:
        """Return where an image stands."""
        del folder
        return below("", image, self.images)


class BySplit:
    """Of a writer: the images of each split lie below a folder of its own."""

    packs = False

    def place(self, image: LabelledImage, folder: str) -> str:
        """Return where an image stands."""
        return below(folder, image, "images")


def below(folder: str, image: LabelledImage, *parts: str) -> str:
    """Return the path of an image in a folder of its split."""
    return "/".join([*filter(None, (*parts, folder)), *inside(folder, image)])


def inside(folder: str, image: LabelledImage) -> list[str]:
    """Return the parts of an image's path in a folder of its split, without those that say it once more."""
    inner = list(PurePosixPath(plain(image.filepath)).parts)
    repeated = {"images", folder.lower(), (image.split or "").lower() if folder else ""}
    while len(inner) > 1 and inner[0].lower() in repeated:
        inner.pop(0)
    return inner


def plain(filepath: str) -> str:
    """Return a sample's path as one of a file: that of an archive's member without its mark, a frame's as a picture's."""
    path = filepath.replace("!/", "/").replace("\\", "/")
    parts = PurePosixPath(f"{path.replace('#t=', '-t')}.png" if "#t=" in path else path).parts
    return "/".join(part for part in parts if part not in {"/", ".."})


def unique_paths(images: Iterable[LabelledImage], paths: Sequence[str]) -> None:
    """Give images their paths; of those that differ by their suffix alone, the later get a number."""
    taken: set[str] = set()
    for image, path in zip(images, paths, strict=True):
        given = PurePosixPath(path)
        stem, number = given.with_suffix("").as_posix(), 1
        while (own := stem if number == 1 else f"{stem}_{number}").lower() in taken:
            number += 1
        taken.add(own.lower())
        image.path = own + given.suffix


def holed(rings: Rings) -> bool:
    """Tell whether a ring lies in another, so that together they are not the union of all."""
    return len(rings) > 1 and overlap(rings)


def mask_of(rings: Rings, width: int, height: int) -> NDArray[np.bool_]:
    """Return the pixels within an outline."""
    return fill_rings([np.reshape(ring, (-1, 2)) for ring in rings], height, width)


def pixels(box: Sequence[float], image: LabelledImage) -> list[float]:
    """Return a box, or points, in the pixels of an image."""
    sides = (image.width, image.height)
    return [round(value * sides[place % 2], DIGITS) for place, value in enumerate(box)]
