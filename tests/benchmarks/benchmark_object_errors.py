"""Errors planted into the labels of objects, beside a simulated detector: ours, the peer's scores, and ObjectLab.

``python -m tests.benchmarks.benchmark_object_errors``; ``CLEANLAB_PYTHON`` names a Python that has cleanlab.

Average precision and the area under the ROC curve, beside each the 95 % interval of ours less it (paired bootstrap of
images); of ours how many of the flagged are expected to be wrong, too, and are. "unmatched" is the confidence of a
prediction, or that there is a label, without partner. ObjectLab stands at the confidence cuts that it hard-codes; it has no
score for spurious labels, for which its misplaced ones stand. All kinds are planted at once, each into 8 % of the labels.
"""

import os
import sys
from dataclasses import dataclass, replace
from itertools import product

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

from brain_assets.methods.labels.detectors import calibrate
from brain_assets.methods.labels.label_noise import LIKELY
from brain_assets.methods.labels.matching import NONE, match
from brain_assets.methods.labels.object_mistakenness import object_scores, peer_scores
from brain_assets.methods.labels.objects import Objects
from tests.benchmarks import cleanlab_scores, intervals
from tests.benchmarks.benchmark_mistakenness_speed import arrays, lists
from tests.benchmarks.intervals import Ranking, cells, compared, heading, row
from tests.benchmarks.simulated_detector import DETECTORS, damaged, predict, true_objects

SETS = ("coco100_fake", "bccd", "home85")
FIGURES = {"average precision": Ranking.average_precision, "area under the ROC curve": Ranking.area}
ROUNDS = 200
KINDS = ("renamed", "shifted", "spurious", "missing")
Scores = dict[str, np.ndarray]


@dataclass
class Scene:
    """Labels with errors, predictions, and what is wrong: labels, or for ``missing`` predictions."""

    labels: Objects
    predictions: Objects
    wrong: Scores
    classes: int


def scene(name: str, detector: str, seed: int) -> Scene:
    rng = np.random.default_rng(seed)
    truth, classes = true_objects(name)
    predictions = predict(truth, classes, DETECTORS[detector], rng)
    labels, wrong, gone = damaged(truth, classes, rng)
    found = match(gone, predictions, own_class_first=True).label != NONE
    return Scene(labels, predictions, {**wrong, "missing": found}, classes)


def ours(one: Scene) -> Scores:
    found = object_scores(one.labels, one.predictions, calibrate(one.labels, one.predictions, one.classes))
    return dict(
        zip(KINDS, (found.mistakenness, found.mistakenness_loc, found.spurious_score, found.missing_score), strict=True)
    )


def peer(one: Scene) -> Scores:
    found = peer_scores(one.labels, one.predictions)
    columns = (found.mistakenness, found.mistakenness_loc, found.possible_spurious, found.possible_missing)
    return dict(zip(KINDS, columns, strict=True))


def unmatched(one: Scene) -> Scores:
    found = match(one.labels, one.predictions)
    assert one.predictions.confidence is not None
    return {
        "spurious": found.prediction == NONE,
        "missing": np.where(found.label == NONE, one.predictions.confidence, 0),
    }


def object_lab(one: Scene) -> Scores:
    pixels = [replace(side, boxes=side.boxes * 600) for side in (one.labels, one.predictions)]
    found = cleanlab_scores.scores(
        "detection", labels=lists(pixels[0]), predictions=arrays(pixels[1]), cuts=[0.5, 0.95]
    )
    if not found:
        return {}
    misplaced = found[0.5]["boxes"]["badloc"]
    boxes = {"renamed": found[0.95]["boxes"]["swap"], "shifted": misplaced, "spurious": misplaced,
             "missing": found[0.95]["boxes"]["missing"]}  # fmt: skip
    return {kind: np.nan_to_num(np.concatenate(rows), nan=0.0) for kind, rows in boxes.items()}


METHODS = {"ours": ours, "peer": peer, "unmatched": unmatched, "ObjectLab": object_lab}


def judged(one: Scene) -> dict[str, intervals.Scene]:
    """Return what each method says, by kind of error; where it says nothing, a label is undecided and nothing is missing."""
    found: dict[str, Scores] = {kind: {} for kind in KINDS}
    for method, score in METHODS.items():
        for kind, values in score(one).items():
            found[kind][method] = np.nan_to_num(values.astype(float), nan=0.0 if kind == "missing" else 0.5)
    subjects = {kind: one.predictions if kind == "missing" else one.labels for kind in KINDS}
    return {kind: intervals.Scene(one.wrong[kind], found[kind], subjects[kind].images) for kind in KINDS}


def main(seeds: int) -> None:
    for name in SETS:
        draws = [judged(scene(name, detector, seed)) for detector, seed in product(DETECTORS, range(seeds))]
        kinds = {kind: [draw[kind] for draw in draws if draw[kind].wrong.any()] for kind in KINDS}
        for title, measure in FIGURES.items():
            print(f"\n{name}, {title}: mean of {len(draws)} draws\n\n{heading(('errors', *METHODS))}")
            for kind, scenes in kinds.items():
                if scenes:
                    told = compared(scenes, measure, ROUNDS)
                    print(row((kind, *cells(told, list(METHODS)))), flush=True)
        print(f"\n{name}, flags\n\n{heading(('errors', 'planted', 'flagged', 'expected wrong', 'wrong'))}")
        for kind, scenes in kinds.items():
            print(row((kind, *flags(scenes))), flush=True)


def flags(scenes: list[intervals.Scene]) -> list[str]:
    """Return how many are wrong, how many are flagged, and how many of these should be wrong and are, over all draws."""
    total = np.zeros(4)
    for one in scenes:
        score = one.scores["ours"]
        flagged = score >= LIKELY
        total += [one.wrong.sum(), flagged.sum(), score[flagged].sum(), (flagged & one.wrong).sum()]
    return [f"{number:.0f}" for number in total]


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
