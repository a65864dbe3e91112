"""CPU seconds of hardness and mistakenness, beside one sample at a time as the peer computes them, and ObjectLab.

Run as ``python -m tests.benchmarks.benchmark_mistakenness_speed``; ``CLEANLAB_PYTHON`` names a Python that has cleanlab.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import time
from collections.abc import Callable

import numpy as np
import scipy.special
import scipy.stats

from brain_assets.methods.labels.detectors import calibrate as profile_of
from brain_assets.methods.labels.hardness import hardness
from brain_assets.methods.labels.label_issues import NEIGHBORS, calibrate, label_issues, neighbor_votes
from brain_assets.methods.labels.mistakenness import certainty, mistakenness
from brain_assets.methods.labels.object_mistakenness import object_scores, peer_scores
from brain_assets.methods.labels.objects import Objects
from tests.benchmarks import cleanlab_scores

SAMPLES, CLASSES = 10_000, 10
IMAGES, BOXES = 1_000, 5


def main() -> None:
    print_classification()
    print_detection()


def seconds(call: Callable[[], object], rounds: int = 5) -> float:
    """Return the least CPU time of some calls, the first of which warms up."""
    times = []
    for _ in range(rounds):
        started = time.process_time()
        call()
        times.append(time.process_time() - started)
    return min(times)


def print_times(title: str, times: dict[str, float], reference: str) -> None:
    print(title)
    for name, spent in times.items():
        print(f"  {name:44}{spent:9.4f} CPU-s  {times[reference] / max(spent, 1e-9):9.1f} x {reference}")


def print_classification() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(SAMPLES, CLASSES)) * 3
    labels, guesses = rng.integers(0, CLASSES, SAMPLES), logits.argmax(axis=1)
    distances = np.sort(rng.random((SAMPLES, NEIGHBORS)), axis=1)
    neighbors = labels[rng.integers(0, SAMPLES, (SAMPLES, NEIGHBORS))]
    votes = neighbor_votes(distances, neighbors, CLASSES)
    calibration = calibrate(labels, logits, votes)

    def one_by_one() -> list[tuple[float, float]]:
        rows = []
        for row, label, guess in zip(logits, labels, guesses, strict=True):
            entropy = scipy.stats.entropy(scipy.special.softmax(row))
            rows.append((entropy, ((-1 if label == guess else 1) * np.exp(-entropy) + 1) / 2))
        return rows

    reference = "one sample at a time, scipy"
    times = {
        "hardness": seconds(lambda: hardness(logits)),
        "mistakenness by logits": seconds(lambda: mistakenness(labels, guesses, certainty(logits))),
        "neighbours' votes": seconds(lambda: neighbor_votes(distances, neighbors, CLASSES)),
        "label issues": seconds(lambda: label_issues(labels, logits, votes, calibration)),
        "their calibration": seconds(lambda: calibrate(labels, logits, votes)),
        reference: seconds(one_by_one, rounds=1),
    }
    print_times(f"{SAMPLES} samples, {CLASSES} classes", times, reference)


def print_detection() -> None:
    rng = np.random.default_rng(0)
    corners, sides = rng.random((IMAGES * BOXES, 2)) * 0.7, 0.05 + rng.random((IMAGES * BOXES, 2)) * 0.25
    boxes, classes = np.hstack([corners, sides]), rng.integers(0, CLASSES, IMAGES * BOXES)
    offsets = np.arange(IMAGES + 1) * BOXES
    labels = Objects(boxes, classes, offsets)
    seen = Objects(boxes + rng.normal(0, 0.02, boxes.shape), classes, offsets, rng.random(IMAGES * BOXES))
    profile = profile_of(labels, seen, CLASSES)
    theirs = cleanlab_scores.scores("detection", labels=lists(labels), predictions=arrays(seen), cuts=[0.5])
    reference = "ObjectLab" if theirs else "scores"
    times = {
        "peer's scores (compat)": seconds(lambda: peer_scores(labels, seen)),
        "scores": seconds(lambda: object_scores(labels, seen, profile)),
        "detector's profile": seconds(lambda: profile_of(labels, seen, CLASSES)),
        **({"ObjectLab": theirs[0.5]["s"]} if theirs else {}),
    }
    print_times(f"{IMAGES} images of {BOXES} labels and {BOXES} predictions", times, reference)


def lists(labels: Objects) -> list[dict[str, np.ndarray]]:
    """Return labels as cleanlab takes them."""
    parts = zip(labels.offsets[:-1], labels.offsets[1:], strict=True)
    return [{"bboxes": corner_boxes(labels.boxes[a:b]), "labels": labels.classes[a:b]} for a, b in parts]


def arrays(predictions: Objects) -> list[np.ndarray]:
    """Return predictions as cleanlab takes them: for each image an array of classes of (m, 5) arrays."""
    assert predictions.confidence is not None
    result = []
    classes = int(predictions.classes.max()) + 1
    for start, stop in zip(predictions.offsets[:-1], predictions.offsets[1:], strict=True):
        rows = np.hstack([corner_boxes(predictions.boxes[start:stop]), predictions.confidence[start:stop, None]])
        image = np.empty(classes, dtype=object)
        for number in range(classes):
            image[number] = rows[predictions.classes[start:stop] == number]
        result.append(image)
    return result


def corner_boxes(boxes: np.ndarray) -> np.ndarray:
    return np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])


if __name__ == "__main__":
    main()
