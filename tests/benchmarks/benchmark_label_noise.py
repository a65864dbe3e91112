"""Labels without predictions: planted errors of three kinds at four rates, beside cleanlab on the same vectors.

Run as ``python -m tests.benchmarks.benchmark_label_noise [--coverage] [SET ...]``; ``CLEANLAB_PYTHON`` names a Python that
has cleanlab (with its extra ``datalab``). It prints tables in Markdown.

Errors are drawn evenly over all labels: to any other class (symmetric), to the next one (pairs), or as out-of-fold
predictions on the true labels confuse them. Average precision is that of neighbours and the builtin model, of neighbours
alone, and of what others make of the same vectors: confident learning, Datalab and the peer's formula of mistakenness, all
but Datalab on vectors with the probabilities of a logistic regression, confident learning with those of the builtin model,
too; beside each the 95 % interval of ours less it (paired bootstrap). Then F1 of what is flagged here, by each filter of
confident learning on the logistic regression, by its default on the builtin model, and by Datalab; and how many of the flagged
were expected to be wrong, with the interval that is shown, and how many are. With ``--coverage`` nothing is compared: half of
the labels are calibrated with, the flagged of the other half are counted, and it is told how often the interval holds the
number of wrong ones among them, over sets, kinds, rates and draws.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import product

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from PIL import Image

from brain_assets.methods.labels import label_noise, linear_probe
from brain_assets.methods.labels.label_issues import LabelIssues, calibrate, label_issues, neighbor_votes
from brain_assets.methods.labels.mistakenness import mistakenness
from tests.benchmarks import cleanlab_scores
from tests.benchmarks.benchmark_label_errors import embedded, load, nearest
from tests.benchmarks.intervals import Scene, cells, compared, heading, row
from tests.conftest import SHARED

KINDS = ("symmetric", "pairs", "confusions")
RATES = (0.05, 0.1, 0.2, 0.4)
DRAWS = 3
LEAST = 10
COUNTS = ("errors planted", "flagged", "expected wrong", "wrong")
Scores = dict[str, np.ndarray]


@dataclass
class LabelledVectors:
    """Vectors, the labels that are taken to be true, and what they are confused with."""

    name: str
    vectors: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        random = np.random.default_rng(0)
        self.classes = int(self.labels.max()) + 1
        self.folds = random.integers(0, linear_probe.FOLDS, len(self.labels))
        self.distances, self.neighbors = nearest(self.vectors)
        self.confusions = np.exp(self.probe(self.labels))
        self.confusions[np.arange(len(self.labels)), self.labels] = 0

    def probe(self, labels: np.ndarray) -> np.ndarray:
        fitted = linear_probe.fit(self.vectors, labels, self.folds, self.classes)
        return linear_probe.scores(fitted, self.vectors, self.folds)

    def damaged(self, kind: str, rate: float, draw: int = 1) -> np.ndarray:
        random, count = np.random.default_rng(draw), len(self.labels)
        chosen = random.choice(count, int(rate * count), replace=False)
        step = random.integers(1, self.classes, count) if kind == "symmetric" else 1
        others = (self.labels + step) % self.classes
        if kind == "confusions":
            usual = np.stack([self.confusions[self.labels == one].mean(axis=0) for one in range(self.classes)])
            usual /= usual.sum(axis=1, keepdims=True)
            others = np.array([random.choice(self.classes, p=usual[one]) for one in self.labels])
        found = self.labels.copy()
        found[chosen] = others[chosen]
        return found


def main() -> None:
    names = [name for name in sys.argv[1:] if not name.startswith("--")] or SETS
    sets = (SETS[name]() for name in names)
    if "--coverage" in sys.argv:
        print_coverage(sets)
    else:
        for found in sets:
            print(f"\n{found.name}: {len(found.labels)} labels, {found.classes} classes", flush=True)
            measure(found)


def print_coverage(sets: Iterable[LabelledVectors]) -> None:
    """Print how often the interval holds by set and rate, beside the flagged of all held-out halves together."""
    print(heading(("set", "rate", "draws", "interval holds", "flagged", "expected wrong", "wrong")))
    for found in sets:
        for rate in RATES:
            draws = [held_out(found, kind, rate, draw) for kind, draw in product(KINDS, range(DRAWS))]
            flagged, mean, true, held = np.sum(draws, axis=0)
            print(
                row((found.name, f"{rate:.0%}", len(draws), int(held), int(flagged), f"{mean:.0f}", int(true))),
                flush=True,
            )


def held_out(found: LabelledVectors, kind: str, rate: float, draw: int) -> tuple[int, float, int, bool]:
    """Return, of the half of the labels that nothing was calibrated with: flagged, expected wrong, wrong, whether it holds."""
    labels = found.damaged(kind, rate, draw)
    wrong, half = labels != found.labels, np.random.default_rng(draw).random(len(labels)) < 0.5
    votes, probe = neighbor_votes(found.distances, labels[found.neighbors], found.classes), found.probe(labels)
    calibration = calibrate(labels[half], None, votes[half], probe[half])
    judged = label_issues(labels[~half], None, votes[~half], calibration, probe[~half])
    count, true = label_noise.expected_count(judged.score[judged.is_issue]), (wrong[~half] & judged.is_issue).sum()
    return judged.is_issue.sum(), count.mean, true, bool(np.floor(count.low) <= true <= np.ceil(count.high))


def measure(found: LabelledVectors) -> None:
    """Print average precision, F1 of what is flagged, and how many are expected to be wrong, for all kinds and rates."""
    tables: dict[str, list[str]] = {"average precision": [], "F1 of what is flagged": [], "calibration": []}
    for kind, rate in product(KINDS, RATES):
        labels = found.damaged(kind, rate)
        wrong, case = labels != found.labels, (kind, f"{rate:.0%}")
        ours, scores, flags = judgements(found, labels)
        precision = cells(compared([Scene(wrong, scores)]), list(scores))
        rows = precision, [f"{f1(wrong, each):.3f}" for each in flags.values()], expected(ours, wrong)
        for (title, lines), columns, told in zip(tables.items(), (scores, flags, COUNTS), rows, strict=True):
            lines += [] if lines else [heading(("errors", "rate", *columns))]
            lines.append(row((*case, *told)))
            print(f"{title}: {lines[-1]}", file=sys.stderr, flush=True)
    for title, lines in tables.items():
        print(f"\n{found.name}, {title}\n\n" + "\n".join(lines), flush=True)


def judgements(found: LabelledVectors, labels: np.ndarray) -> tuple[LabelIssues, Scores, Scores]:
    """Return ours, and the scores and flags of all methods, ours first."""
    votes = neighbor_votes(found.distances, labels[found.neighbors], found.classes)
    alone = label_issues(labels, None, votes, calibrate(labels, None, votes))
    probe = found.probe(labels)
    ours = label_issues(labels, None, votes, calibrate(labels, None, votes, probe), probe)
    scores, flags = {"ours": ours.score, "neighbours alone": alone.score}, {"ours": ours.is_issue}
    theirs = cleanlab_scores.scores("vectors", labels=labels, vectors=found.vectors, ours=np.exp(probe))
    if theirs:
        likely = theirs["probabilities"]
        scores |= theirs["scores"]
        scores["peer"] = mistakenness(labels, likely.argmax(axis=1), likely.max(axis=1), mode="compat")
        flags |= theirs["flags"]
    return ours, scores, flags


def f1(wrong: np.ndarray, flagged: np.ndarray) -> float:
    return float(2 * (wrong & flagged).sum() / max((wrong.sum() + flagged.sum()), 1))


def expected(ours: LabelIssues, wrong: np.ndarray) -> tuple[int, int, str, int]:
    """Return how many are wrong, how many are flagged, how many of these should be wrong, and are."""
    flagged = ours.is_issue
    count = label_noise.expected_count(ours.score[flagged])
    told = f"{count.mean:.0f} ({count.low:.0f} to {count.high:.0f})"
    return int(wrong.sum()), int(flagged.sum()), told, int((flagged & wrong).sum())


def judged(name: str) -> LabelledVectors:
    """Return CIFAR-10 or MNIST without the labels that people found wrong."""
    found = load(name)
    kept = np.ones(len(found.labels), bool)
    kept[found.judged[found.errors["paper"]]] = False
    return LabelledVectors(name, found.vectors[kept], found.labels[kept])


def clothing() -> LabelledVectors:
    files = sorted(path for path in (SHARED / "clothing").rglob("*") if path.is_file())
    classes = sorted({path.parent.name for path in files})
    images = [Image.open(path).convert("RGB") for path in files]
    labels = np.array([classes.index(path.parent.name) for path in files])
    return LabelledVectors("clothing", embedded("clothing", images), labels)


def home85() -> LabelledVectors:
    """Return the objects of home85 as crops; classes of fewer than ten are left out."""
    folder = SHARED / "det"
    said = json.loads((folder / "home85.json").read_text())
    often = {one for one, count in Counter(row["category"] for row in said["gt"]).items() if count >= LEAST}
    kept = [row for row in said["gt"] if row["category"] in often]
    files = {one["id"]: Image.open(folder / one["file"]).convert("RGB") for one in said["images"]}
    crops = [_crop(files[row["image_id"]], row["bbox"]) for row in kept]
    classes = sorted(often)
    labels = np.array([classes.index(row["category"]) for row in kept])
    return LabelledVectors("home85", embedded("home85-crops", crops), labels)


def _crop(image: Image.Image, box: list[float]) -> Image.Image:
    x, y, width, height = box
    return image.crop((int(x), int(y), int(np.ceil(x + max(width, 1))), int(np.ceil(y + max(height, 1)))))


SETS: dict[str, Callable[[], LabelledVectors]] = {
    "clothing": clothing,
    "home85": home85,
    "cifar10": partial(judged, "cifar10"),
    "mnist": partial(judged, "mnist"),
}


if __name__ == "__main__":
    main()
