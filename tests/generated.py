"""Datasets of any size from a seed: tiny pictures with copies among them, vectors, labels, boxes and what models say of them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image
from pyarrow import parquet

CLASSES = [f"class-{number}" for number in range(10)]
SIDE = 32
# Of every fifty pictures the last is a brighter copy of the first, and the one before has the bytes of the second.
PERIOD = 50
BOXES_EVERY = 4
# The files in which something is said of the pictures.
DESCRIPTIONS = ("vectors.npz", "labels.parquet", "net.parquet", "boxes.json", "found.json")


@dataclass(frozen=True)
class Generated:
    """Files of a dataset below ``root``, whose pictures, vectors and classes depend on their number alone.

    Attributes
    ----------
    root : Path
    dims : int
        Length of the vectors.
    """

    root: Path
    dims: int = 16

    def write(self, numbers: range) -> None:
        """Write pictures, and what files say of all numbers up to the last; those before are there."""
        self.draw(numbers)
        self.describe(range(numbers.stop))

    def draw(self, numbers: range) -> None:
        """Write the pictures of some numbers."""
        self.root.mkdir(parents=True, exist_ok=True)
        for number in numbers:
            path = self.root / "media" / name_of(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            draw(number).save(path, compress_level=1)

    def describe(self, numbers: range) -> None:
        """Write the vectors, labels and predictions of some numbers."""
        names = [name_of(number) for number in numbers]
        vectors = np.empty((len(numbers), self.dims), np.float32)
        for place, number in enumerate(numbers):
            vectors[place] = self._vector(number)
        np.savez(self.root / "vectors.npz", filepath=np.array(names), vectors=vectors)
        given = [CLASSES[class_of(number) - (number % 37 == 0)] for number in numbers]
        parquet.write_table(pa.table({"filepath": names, "label": given}), self.root / "labels.parquet")
        logits = [self._logits(number) for number in numbers]
        parquet.write_table(pa.table({"filepath": names, "logits": logits}), self.root / "net.parquet")
        self._write_boxes(range(0, numbers.stop, BOXES_EVERY))

    def settings(self) -> dict[str, Any]:
        """Return what declares the dataset."""
        labels = [{"uri": str(self.root / "labels.parquet")}, {"uri": str(self.root / "boxes.json"), "field": "boxes"}]
        found = {"uri": str(self.root / "found.json"), "field": "boxes", "model": "detector"}
        return {
            "split_from": "folder",
            "embeddings": {"model": f"precomputed:{self.root / 'vectors.npz'}"},
            "labels": labels,
            "predictions": [{"uri": str(self.root / "net.parquet")}, found],
            "classes": CLASSES,
        }

    def _vector(self, number: int) -> NDArray[np.float32]:
        original = original_of(number)
        centre = np.random.default_rng((1, class_of(original))).normal(size=self.dims)
        own = np.random.default_rng((2, original)).normal(size=self.dims)
        noise = np.random.default_rng((3, number)).normal(size=self.dims)
        return (centre + own + 0.01 * noise * (number != original)).astype(np.float32)

    def _logits(self, number: int) -> list[float]:
        logits = np.random.default_rng((4, number)).normal(size=len(CLASSES))
        logits[class_of(number)] += 4.0
        return [float(value) for value in logits]

    def _write_boxes(self, numbers: range) -> None:
        categories = [{"id": place, "name": name} for place, name in enumerate(CLASSES)]
        images, annotations, found = [], [], []
        for number in numbers:
            images.append({"id": number, "file_name": name_of(number), "width": SIDE, "height": SIDE})
            for place, box in enumerate(_boxes(number)):
                category = class_of(number + place)
                one = {"image_id": number, "category_id": category, "bbox": box}
                annotations.append({"id": f"{number}-{place}", **one})
                moved = [box[0] + number % 3, box[1], box[2], box[3]]
                found.append({**one, "bbox": moved, "score": 0.5 + number % 5 / 10})
        content = {"images": images, "annotations": annotations, "categories": categories}
        (self.root / "boxes.json").write_text(json.dumps(content))
        (self.root / "found.json").write_text(json.dumps(found))


def draw(number: int) -> Image.Image:
    """Return a picture of blocks, unlike all others but for those that are copies."""
    original = original_of(number)
    blocks = np.random.default_rng((5, original)).integers(0, 230, (8, 8, 3), np.uint8)
    if number % PERIOD == PERIOD - 1:
        blocks += 9
    return Image.fromarray(blocks).resize((SIDE, SIDE), Image.Resampling.NEAREST)


def original_of(number: int) -> int:
    """Return the picture that this one is a copy of, else itself."""
    place = number % PERIOD
    return {PERIOD - 1: number - place, PERIOD - 2: number - place + 1}.get(place, number)


def class_of(number: int) -> int:
    """Return the number of a picture's class."""
    return (original_of(number) * 7) % len(CLASSES)


def name_of(number: int) -> str:
    """Return a picture's path; one in three lies in the split test."""
    return f"{'test' if number % 3 == 2 else 'train'}/{number // 1000:03}/{number:06}.png"


def _boxes(number: int) -> Iterator[list[int]]:
    for place in range(1 + number % 3):
        yield [2 + 8 * place, 3 + number % 5, 8, 10 + place]
