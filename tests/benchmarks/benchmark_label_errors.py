"""Label errors that people confirmed, and planted ones: our score beside 1 - p(given), cleanlab's and the peer's.

Run as ``python -m tests.benchmarks.benchmark_label_errors``; ``CLEANLAB_PYTHON`` names a Python that has cleanlab.

Real errors: half of CIFAR-10's test images and MNIST's, with out-of-fold probabilities. People judged 150 and 100 labels,
which confident learning had picked; ``strict`` counts those that most voters reject in agreement, ``paper`` the published
criterion. An unjudged label counts as right among "all". The sets are small: read the intervals, which are of paired
bootstraps of ours less theirs. Then how many labels are flagged, also by neighbours that are drawn at random, who know
nothing.

Planted errors: labels replaced by the class of images that look alike in 8 x 8 pixels, and a weak model (logistic
regression on these pixels, or on 48 components of the embedding) trained out of fold on the labels so damaged.
"""

import csv
import gzip
import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from brain_assets.methods.labels import linear_probe
from brain_assets.methods.labels.label_issues import LabelIssues, calibrate, label_issues, neighbor_votes
from brain_assets.methods.labels.mistakenness import certainty, mistakenness
from brain_assets.resources.models.embedding_models import load_model
from brain_assets.resources.settings.configuration import SimilaritySettings
from tests.benchmarks import cleanlab_scores
from tests.benchmarks.embedded_images import CACHE
from tests.benchmarks.intervals import Ranking, Scene, cells, compared, heading, row
from tests.conftest import SHARED

SIDE = 8
# As many as the asset reads by default, which is fitted on as many samples as these sets have.
NEIGHBORS = SimilaritySettings().k
Scores = dict[str, np.ndarray]


@dataclass
class Dataset:
    """A labelled set with out-of-fold probabilities, neighbours and judged labels."""

    name: str
    labels: np.ndarray
    probabilities: np.ndarray
    vectors: np.ndarray
    pixels: np.ndarray
    judged: np.ndarray
    errors: dict[str, np.ndarray]

    def __post_init__(self) -> None:
        self.distances, self.neighbors = nearest(self.vectors)


def main() -> None:
    for dataset in (load("cifar10"), load("mnist")):
        print_real(dataset)
        print_flags(dataset)
        print_planted(dataset)


def load(name: str) -> Dataset:
    """Return one of the two sets of the shared data."""
    folder = SHARED / name
    stored = np.load(folder / "test_predictions.npz")
    labels, images = cifar10(folder, stored["ids"]) if name == "cifar10" else mnist(folder)
    ids = stored["ids"].tolist() if "ids" in stored else list(range(len(labels)))
    truth = json.loads((folder / "truth_label_errors.json").read_text())
    errors = {kind: np.array([row[f"error_{kind}"] for row in truth]) for kind in ("strict", "paper")}
    judged = np.array([ids.index(row["id"]) for row in truth])
    pixels = np.stack([np.asarray(image.resize((SIDE, SIDE), Image.BOX)).ravel() for image in images]).astype(float)
    return Dataset(name, labels, stored["pred_probs"], embedded(name, images), pixels, judged, errors)


def cifar10(folder: Path, ids: np.ndarray) -> tuple[np.ndarray, list[Image.Image]]:
    rows = csv.DictReader((folder / "labels.csv").open())
    labels = {int(row["id"]): int(row["label"]) for row in rows if row["split"] == "test"}
    files = {int(path.stem): path for path in (folder / "test").iterdir()}
    return np.array([labels[i] for i in ids]), [Image.open(files[i]).convert("RGB") for i in ids]


def mnist(folder: Path) -> tuple[np.ndarray, list[Image.Image]]:
    labels = np.frombuffer(gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
    raw = gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes())
    digits = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 28, 28)
    return labels.astype(int), [Image.fromarray(digit).convert("RGB") for digit in digits]


def embedded(name: str, images: list[Image.Image]) -> np.ndarray:
    """Return the default model's vectors, computed once per set."""
    path = CACHE / f"label-errors-{name}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        model = load_model("builtin:efficientnet-lite0", cache=CACHE)
        assert model.input is not None
        size = (model.input.width, model.input.height)
        batches = [images[start : start + 32] for start in range(0, len(images), 32)]
        inputs = (np.stack([np.asarray(image.resize(size, Image.BILINEAR)) for image in batch]) for batch in batches)
        np.save(path, np.concatenate([model.embed(batch) for batch in inputs]))
    return np.load(path)


def nearest(vectors: np.ndarray, count: int = NEIGHBORS) -> tuple[np.ndarray, np.ndarray]:
    """Return cosine distances and positions of the nearest others, ascending."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    distances, positions = [], []
    for start in range(0, len(unit), 1000):
        block = 1 - unit[start : start + 1000] @ unit.T
        block[np.arange(len(block)), start + np.arange(len(block))] = np.inf
        order = np.argsort(block, axis=1)[:, :count]
        positions.append(order)
        distances.append(np.take_along_axis(block, order, axis=1))
    return np.concatenate(distances), np.concatenate(positions)


def ours(dataset: Dataset, labels: np.ndarray, probabilities: np.ndarray) -> Scores:
    return {name: found.score for name, found in judgements(dataset, labels, probabilities).items()}


def judgements(dataset: Dataset, labels: np.ndarray, probabilities: np.ndarray) -> dict[str, LabelIssues]:
    logits, classes = logarithm(probabilities), probabilities.shape[1]
    votes = neighbor_votes(dataset.distances, labels[dataset.neighbors], classes)
    folds = np.random.default_rng(0).integers(0, linear_probe.FOLDS, len(labels))
    fitted = linear_probe.fit(dataset.vectors, labels, folds, classes)
    builtin = linear_probe.scores(fitted, dataset.vectors, folds)
    calibration = calibrate(labels, logits, votes, builtin)
    views = {
        "ours": (logits, votes, builtin),
        "ours, predictions": (logits, None, None),
        "ours, neighbours": (None, votes, None),
        "ours, builtin model": (None, None, builtin),
        "ours, without predictions": (None, votes, builtin),
    }
    return {
        name: label_issues(labels, predicted, seen, calibration, model)
        for name, (predicted, seen, model) in views.items()
    }


def others(dataset: Dataset, labels: np.ndarray, probabilities: np.ndarray) -> Scores:
    given, guess = probabilities[np.arange(len(labels)), labels], probabilities.argmax(axis=1)
    scores = {
        "1 - p(given)": 1 - given,
        "peer, confidence": mistakenness(labels, guess, probabilities.max(axis=1), mode="compat"),
        "peer, logits": mistakenness(labels, guess, certainty(logarithm(probabilities)), mode="compat"),
    }
    given_all = {"labels": labels, "probabilities": probabilities, "vectors": dataset.vectors}
    theirs = cleanlab_scores.scores("classification", **given_all) or {}
    return {**scores, **{name.replace("_", " "): values for name, values in theirs.items()}}


def logarithm(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities, 1e-300))


def print_real(dataset: Dataset) -> None:
    scores = {
        **ours(dataset, dataset.labels, dataset.probabilities),
        **others(dataset, dataset.labels, dataset.probabilities),
    }
    for kind, errors in dataset.errors.items():
        wrong = np.zeros(len(dataset.labels), dtype=bool)
        wrong[dataset.judged[errors]] = True
        print(f"\n{dataset.name}: {errors.sum()} {kind} errors among {len(errors)} judged and {len(wrong)} labels\n")
        print(heading(("score", "AP of judged", "AUROC of judged", "AP of all", "AUROC of all", "recall at 100")))
        judged = {name: values[dataset.judged] for name, values in scores.items()}
        columns = [compared([Scene(flags, rows)], measure) for flags, rows in ((errors, judged), (wrong, scores))
                   for measure in (Ranking.average_precision, Ranking.area)]  # fmt: skip
        for name, values in scores.items():
            found = wrong[np.argsort(-values, kind="stable")[:100]].sum() / wrong.sum()
            print(row((name, *(column[name] for column in columns), f"{found:.2f}")), flush=True)


def print_flags(dataset: Dataset) -> None:
    anyone = np.random.default_rng(0).integers(0, len(dataset.labels), dataset.neighbors.shape)
    votes = neighbor_votes(dataset.distances, dataset.labels[anyone], dataset.probabilities.shape[1])
    found = judgements(dataset, dataset.labels, dataset.probabilities)
    found["random neighbours"] = label_issues(dataset.labels, None, votes, calibrate(dataset.labels, None, votes))
    print(f"\n{dataset.name}: labels flagged, and the errors among them")
    for name, issues in found.items():
        flagged = issues.is_issue[dataset.judged]
        hits = (f"{flagged[wrong].sum()} of {wrong.sum()} {kind}" for kind, wrong in dataset.errors.items())
        print(f"  {name:38}{issues.is_issue.sum():5}  {', '.join(hits)}")


def print_planted(dataset: Dataset) -> None:
    print(f"\n{dataset.name}: planted errors, average precision\n")
    components = PCA(48, random_state=0).fit_transform(dataset.vectors)
    models = {"pixels": dataset.pixels / 60, "embedding": components / components.std()}
    judged = np.isin(np.arange(len(dataset.labels)), dataset.judged)
    alike = nearest(dataset.pixels - dataset.pixels.mean(axis=0))[1]
    lines: list[str] = []
    for rate in (0.03, 0.15):
        labels = damaged(dataset.labels, alike, rate)
        for name, features in {**models, "given": None}.items():
            probabilities = dataset.probabilities if features is None else out_of_fold(features, labels)
            scores = {**ours(dataset, labels, probabilities), **others(dataset, labels, probabilities)}
            lines += [] if lines else [heading(("errors", "model on", *scores))]
            scene = Scene((labels != dataset.labels)[~judged], {key: each[~judged] for key, each in scores.items()})
            lines.append(row((f"{rate:.0%}", name, *cells(compared([scene]), list(scores)))))
    print("\n".join(lines), flush=True)


def damaged(labels: np.ndarray, alike: np.ndarray, rate: float) -> np.ndarray:
    """Return labels of which a share took the commonest other class among images that look alike."""
    votes = np.zeros((len(labels), labels.max() + 1))
    np.add.at(votes, (np.arange(len(labels))[:, None], labels[alike]), 1)
    votes[np.arange(len(labels)), labels] = -1
    chance = np.maximum(votes, 0).sum(axis=1) + 1e-3
    chosen = np.random.default_rng(7).choice(
        len(labels), int(rate * len(labels)), replace=False, p=chance / chance.sum()
    )
    result = labels.copy()
    result[chosen] = votes[chosen].argmax(axis=1)
    return result


def out_of_fold(features: np.ndarray, labels: np.ndarray, folds: int = 3) -> np.ndarray:
    fold = np.random.default_rng(0).integers(0, folds, len(labels))
    probabilities = np.zeros((len(labels), labels.max() + 1))
    for held_out in range(folds):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = LogisticRegression(max_iter=60, C=0.1).fit(features[fold != held_out], labels[fold != held_out])
        probabilities[fold == held_out] = model.predict_proba(features[fold == held_out])
    return probabilities


if __name__ == "__main__":
    main()
