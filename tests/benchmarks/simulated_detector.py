"""A detector that is made up from true objects, and errors planted into their labels, for sets without predictions."""

import json
from dataclasses import dataclass

import numpy as np

from brain_assets.methods.labels.objects import Objects, expand_boxes
from tests.conftest import SHARED

RATE = 0.08


@dataclass(frozen=True)
class Detector:
    """How good a simulated detector is.

    Attributes
    ----------
    recall : float
        Of objects that cover 2 % of an image; small ones are found less.
    accuracy : float
        Of the class; others are one of three that it takes this class for.
    false_boxes : float
        Boxes on nothing, by the number of objects.
    jitter : float
        Standard deviation of places and sizes, by the size.
    sharpness : float
        How surely confidences follow what can be seen.
    """

    recall: float
    accuracy: float
    false_boxes: float
    jitter: float
    sharpness: float


DETECTORS = {
    "weak": Detector(0.5, 0.75, 1.5, 0.1, 2),
    "fair": Detector(0.75, 0.9, 0.6, 0.06, 4),
    "strong": Detector(0.92, 0.97, 0.2, 0.03, 8),
    "sloppy": Detector(0.8, 0.85, 0.1, 0.14, 4),
}
Parts = tuple[np.ndarray, np.ndarray, np.ndarray]


def true_objects(name: str) -> tuple[Objects, int]:
    """Return a set's labels, taken to be right, relative to their images, and the number of classes."""
    stored = json.loads((SHARED / "det" / f"{name}.json").read_text())
    numbers = {image["id"]: number for number, image in enumerate(stored["images"])}
    sizes = np.array([(image["width"], image["height"]) for image in stored["images"]], dtype=float)
    kinds = {category: number for number, category in enumerate(stored["categories"])}
    rows = [row for row in stored["gt"] if not row.get("iscrowd")]
    image = np.array([numbers[row["image_id"]] for row in rows])
    boxes = np.array([row["bbox"] for row in rows], float) / np.tile(sizes[image], 2)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], 1e-3)
    return grouped((image, boxes, np.array([kinds[row["category"]] for row in rows])), len(sizes))[0], len(kinds)


def predict(truth: Objects, classes: int, detector: Detector, rng: np.random.Generator) -> Objects:
    """Return what a detector says of images with these objects."""
    size, images = len(truth), len(truth.offsets) - 1
    ease = np.clip(1 + np.log10(truth.boxes[:, 2] * truth.boxes[:, 3] / 0.02) / 2, 0.3, 1.2)
    seen = np.flatnonzero(rng.random(size) < np.clip(detector.recall * ease, 0, 0.99))
    clear = np.clip(ease, 0.3, 1)[seen] * 0.8
    confidence = rng.beta(detector.sharpness * clear, detector.sharpness * (1.15 - clear))
    wrong = (rng.random(len(seen)) > detector.accuracy) & (classes > 1)
    order = rng.permutation(classes)
    confused = order[
        (np.argsort(order)[truth.classes[seen]] + rng.integers(1, min(4, classes + 1), len(seen))) % classes
    ]
    twice = rng.random(len(seen)) < 0.08
    again, nothing = seen[twice], rng.integers(0, size, rng.poisson(detector.false_boxes * size))
    parts: list[Parts] = [
        (
            truth.images[seen],
            moved(truth.boxes[seen], detector.jitter, rng),
            np.where(wrong, confused, truth.classes[seen]),
        ),
        (truth.images[again], moved(truth.boxes[again], 0.2, rng), truth.classes[again]),
        (rng.integers(0, images, len(nothing)), anywhere(truth.boxes[nothing], rng), truth.classes[nothing]),
    ]
    sure = [confidence * np.where(wrong, 0.75, 1), confidence[twice] * 0.4, rng.beta(1.2, 4, len(nothing))]
    return grouped(tuple(np.concatenate(part) for part in zip(*parts, strict=True)), images, np.concatenate(sure))[0]


def damaged(truth: Objects, classes: int, rng: np.random.Generator) -> tuple[Objects, dict[str, np.ndarray], Objects]:
    """Return labels with errors of all kinds at once, which are which, and the objects that lost theirs."""
    size, images = len(truth), len(truth.offsets) - 1
    draw = rng.random(size)
    renamed, shifted = (draw < RATE) & (classes > 1), (draw >= RATE) & (draw < 2 * RATE)
    missing = (draw >= 2 * RATE) & (draw < 3 * RATE)
    others = rng.choice(truth.classes, (size, 80))
    other = others[np.arange(size), (others != truth.classes[:, None]).argmax(axis=1)]
    angle, far = rng.uniform(0, 2 * np.pi, size), rng.uniform(0.3, 0.6, size)
    corner = truth.boxes[:, :2] + far[:, None] * truth.boxes[:, 2:] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    boxes = np.where(shifted[:, None], expand_boxes(np.hstack([corner, truth.boxes[:, 2:]])), truth.boxes)
    kinds = np.where(renamed, other, truth.classes)
    added = rng.integers(0, size, int(RATE * size))
    rows = (
        np.concatenate([truth.images[~missing], rng.integers(0, images, len(added))]),
        np.concatenate([boxes[~missing], anywhere(truth.boxes[added], rng)]),
        np.concatenate([kinds[~missing], truth.classes[added]]),
    )
    labels, order = grouped(rows, images)
    of_labels = {"renamed": renamed[~missing], "shifted": shifted[~missing], "spurious": np.zeros(sum(~missing), bool)}
    wrong = {
        kind: np.concatenate([flags, np.full(len(added), kind == "spurious")])[order]
        for kind, flags in of_labels.items()
    }
    gone = (truth.images[missing], truth.boxes[missing], truth.classes[missing])
    return labels, wrong, grouped(gone, images)[0]


def moved(boxes: np.ndarray, jitter: float, rng: np.random.Generator) -> np.ndarray:
    sides = boxes[:, 2:] * np.exp(rng.normal(0, jitter, (len(boxes), 2)))
    middle = boxes[:, :2] + boxes[:, 2:] / 2 + rng.normal(0, jitter, (len(boxes), 2)) * boxes[:, 2:]
    return kept_inside(np.hstack([middle - sides / 2, sides]))


def anywhere(boxes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return boxes of these sizes in random places."""
    sides = boxes[:, 2:]
    return np.hstack([rng.uniform(0, 1, (len(boxes), 2)) * (1 - np.minimum(sides, 0.99)), sides])


def kept_inside(boxes: np.ndarray) -> np.ndarray:
    inside = expand_boxes(boxes)
    inside[:, 2:] = np.maximum(inside[:, 2:], 1e-3)
    return inside


def grouped(rows: Parts, images: int, confidence: np.ndarray | None = None) -> tuple[Objects, np.ndarray]:
    """Return objects in the order of their images, and that order."""
    image, boxes, kinds = rows
    order = np.argsort(image, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(image, minlength=images))])
    return Objects(boxes[order], kinds[order], offsets, None if confidence is None else confidence[order]), order
