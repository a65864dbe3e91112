"""Errors planted into the labels of objects, beside a simulated detector: ours, the peer's scores, and ObjectLab.

``python -m tests.benchmarks.benchmark_object_errors``; ``CLEANLAB_PYTHON`` names a Python that has cleanlab.

Average precision and the area under the ROC curve; of ours the precision and recall of what is flagged, too, and how many
the flagged are expected to be. "unmatched" is the confidence of a prediction, or that there is a label, without partner.
ObjectLab stands at the confidence cuts that it hard-codes. All kinds are planted at once, each into 8 % of the labels.
"""

import os
import sys
from collections import defaultdict
from dataclasses import dataclass, replace

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from brain_assets.methods.labels.detectors import calibrate
from brain_assets.methods.labels.label_noise import LIKELY
from brain_assets.methods.labels.matching import NONE, match
from brain_assets.methods.labels.object_mistakenness import object_scores, peer_scores
from brain_assets.methods.labels.objects import Objects
from tests.benchmarks import cleanlab_scores
from tests.benchmarks.benchmark_mistakenness_speed import arrays, lists
from tests.benchmarks.simulated_detector import DETECTORS, damaged, predict, true_objects

SETS = ("coco100_fake", "bccd", "home85")
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
    boxes = {"renamed": found[0.95]["boxes"]["swap"], "shifted": found[0.5]["boxes"]["badloc"],
             "missing": found[0.95]["boxes"]["missing"]}  # fmt: skip
    return {kind: np.nan_to_num(np.concatenate(rows), nan=0.0) for kind, rows in boxes.items()}


METHODS = {"ours": ours, "peer": peer, "unmatched": unmatched, "ObjectLab": object_lab}


def quality(wrong: np.ndarray, score: np.ndarray, empty: float) -> tuple[float, float]:
    known = np.nan_to_num(score.astype(float), nan=empty)
    return float(average_precision_score(wrong, known)), float(roc_auc_score(wrong, known))


def main(seeds: int) -> None:
    over_all: dict[tuple[str, str], list[tuple[float, ...]]] = defaultdict(list)
    for name in SETS:
        for detector in DETECTORS:
            rows: dict[tuple[str, str], list[tuple[float, ...]]] = defaultdict(list)
            for seed in range(seeds):
                one = scene(name, detector, seed)
                for method, score in METHODS.items():
                    for kind, values in score(one).items():
                        wrong = one.wrong[kind]
                        rows[kind, method].append(quality(wrong, values, 0.0 if kind == "missing" else 0.5))
                        if method == "ours":
                            flagged = values >= LIKELY
                            right = float((flagged & wrong).sum())
                            rows[kind, "flags"].append((right, flagged.sum(), wrong.sum(), np.nansum(values[flagged])))
            print(f"{name}, {detector} detector, mean of {seeds} draws")
            show(rows)
            for key, found in rows.items():
                over_all[key] += found
    print("over all")
    show(over_all)


def show(rows: dict[tuple[str, str], list[tuple[float, ...]]]) -> None:
    for kind in KINDS:
        told = [f"{m} {mean(rows[kind, m])}" for m in METHODS if (kind, m) in rows]
        right, flagged, wrong, expected = np.sum(rows[kind, "flags"], axis=0)
        told.append(f"flagged {flagged:.0f} (expected right {expected:.0f}, right {right:.0f}) of {wrong:.0f}")
        print(f"  {kind:9}", "   ".join(told))


def mean(values: list[tuple[float, ...]]) -> str:
    precision, area = np.mean(values, axis=0)
    return f"AP {precision:.3f} AUROC {area:.3f}"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
