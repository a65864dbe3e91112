"""Foreign pictures found among those of a set, planted singly and as a tight cluster, at several shares.

    python -m tests.benchmarks.benchmark_outliers [SET ...]

Every set of ``BRAIN_TEST_DATA`` takes pictures of the others: some of many kinds, or a picture with those most like it.
Beside it, on the same vectors: the mean distance to the ten nearest, the local outlier factor and an isolation forest, each with
its own rule for what to flag. Then small sets, and what is flagged where nothing was planted.
"""

import gzip
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from PIL import Image
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

from brain_assets.methods.similarity.outliers import body_of, calibrate, remoteness
from brain_assets.methods.similarity.queries import distances_between
from tests.benchmarks.embedded_images import embed
from tests.benchmarks.planted_defects import encode
from tests.conftest import SHARED

SHARES = (0.01, 0.05, 0.1)
SMALL = (15, 30, 60, 120)
DRAWS = 3
REFERENCES = 400
MOST = 1500
Scored = tuple[np.ndarray, np.ndarray]


def sets() -> dict[str, np.ndarray]:
    """Return the vectors of every set."""
    folders = {
        "blood cells": "det/images/bccd",
        "clothing": "clothing",
        "cifar10": "cifar10/test",
        "kangaroos": "det/images/kangaroo",
        "rooms": "det/images/home85",
    }
    found = {name: vectors_of(name, sorted((SHARED / folder).rglob("*.jpg"))) for name, folder in folders.items()}
    return found | {"digits": embed("outliers-digits", list(digits())).vectors}


def vectors_of(name: str, paths: Sequence[Path]) -> np.ndarray:
    every = max(1, len(paths) // MOST)
    whole = [path for path in paths[::every][:MOST] if is_whole(path)]
    return embed(f"outliers-{name}", [(path.stem, path.read_bytes()) for path in whole]).vectors


def is_whole(path: Path) -> bool:
    """Return whether an image can be decoded to its end: one of the kangaroos cannot."""
    try:
        with Image.open(path) as image:
            image.load()
    except OSError:
        return False
    return True


def digits() -> Iterator[tuple[str, bytes]]:
    with gzip.open(SHARED / "mnist" / "t10k-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read()[16:], np.uint8).reshape(-1, 28, 28)[:MOST]
    return ((str(place), encode(Image.fromarray(digit), 95)) for place, digit in enumerate(pixels))


def ours(vectors: np.ndarray, seed: int = 0) -> Scored:
    """Return scores and flags as the pipeline has them; it chooses references by hashes."""
    chosen = np.sort(np.random.default_rng(seed).permutation(len(vectors))[:REFERENCES])
    between = distances_between(vectors[chosen], vectors[chosen])
    body = body_of(between)
    distances = distances_between(vectors, vectors[chosen])
    distances[chosen, np.arange(len(chosen))] = np.inf
    raw = remoteness(distances, body)
    return raw, raw > calibrate(raw[chosen], between).cut


def nearest(vectors: np.ndarray) -> Scored:
    raw = NearestNeighbors(n_neighbors=10, metric="cosine").fit(vectors).kneighbors()[0].mean(axis=1)
    median = np.median(raw)
    return raw, raw > median + 3.5 * 1.4826 * np.median(np.abs(raw - median))


def local_factor(vectors: np.ndarray) -> Scored:
    model = LocalOutlierFactor(n_neighbors=20).fit(vectors)
    return -model.negative_outlier_factor_, model.negative_outlier_factor_ < model.offset_


def forest(vectors: np.ndarray) -> Scored:
    model = IsolationForest(n_estimators=200, random_state=0).fit(vectors)
    return -model.score_samples(vectors), model.predict(vectors) < 0


METHODS: Mapping[str, Callable[[np.ndarray], Scored]] = {
    "ours": ours,
    "10 nearest": nearest,
    "LOF": local_factor,
    "forest": forest,
}


def singly(others: Mapping[str, np.ndarray], count: int, chance: np.random.Generator) -> np.ndarray:
    """Return pictures of other sets, from each as many."""
    names = [name for name in others if name not in ("digits", "blood cells")]
    kinds = [others[names[place % len(names)]] for place in range(count)]
    return np.array([kind[chance.integers(len(kind))] for kind in kinds])


def together(others: Mapping[str, np.ndarray], count: int, chance: np.random.Generator) -> np.ndarray:
    """Return a picture of another set and those most like it."""
    large = [kind for kind in others.values() if len(kind) >= count]
    kind = large[chance.integers(len(large))]
    one = kind[chance.integers(len(kind))]
    return kind[np.argsort(-kind @ one, kind="stable")[:count]]


def compare(name: str, own: np.ndarray, others: Mapping[str, np.ndarray]) -> None:
    for plant in (singly, together):
        for share in SHARES:
            count = max(1, round(share * len(own)))
            drawn = [plant(others, count, np.random.default_rng(draw)) for draw in range(DRAWS)]
            print(f"{name}, {count} planted {plant.__name__}: " + "; ".join(judged(own, drawn)), flush=True)


def judged(own: np.ndarray, drawn: Sequence[np.ndarray]) -> Iterator[str]:
    """Yield of each method its average precision and area under the curve, and recall and precision of its flags."""
    truth = np.repeat([False, True], [len(own), len(drawn[0])])
    for method, score in METHODS.items():
        scored = [score(np.concatenate([own, foreign])) for foreign in drawn]
        precision = np.mean([average_precision_score(truth, raw) for raw, _ in scored])
        area = np.mean([roc_auc_score(truth, raw) for raw, _ in scored])
        flags = np.array([found for _, found in scored])
        hits = flags[:, truth].sum()
        yield f"{method} {precision:.3f} {area:.3f} ({flags[:, truth].mean():.2f}/{hits / max(flags.sum(), 1):.2f})"


def small(name: str, own: np.ndarray, others: Mapping[str, np.ndarray]) -> None:
    for count in SMALL:
        areas, hits, false = [], 0, 0
        for draw in range(10):
            chance = np.random.default_rng(draw)
            part = own[chance.permutation(len(own))[:count]]
            raw, found = ours(np.concatenate([part, singly(others, 1, chance)]))
            areas.append(np.mean(raw[-1] > raw[:-1]))
            hits, false = hits + found[-1], false + found[:-1].sum()
        rate = f"found {hits} of 10, {false / (10 * count):.2%} of the others flagged"
        print(f"{name}, {count} of them and a foreign one: AUROC {np.mean(areas):.3f}, {rate}", flush=True)


def main() -> None:
    if not SHARED.is_dir():
        raise SystemExit(f"real test data not found at {SHARED} (set BRAIN_TEST_DATA to its folder)")
    found = sets()
    wanted = sys.argv[1:] or list(found)
    print("average precision, AUROC (recall/precision of what is flagged)")
    for name in wanted:
        own = found[name]
        others = {other: kind for other, kind in found.items() if other != name}
        flagged = ", ".join(f"{method} {score(own)[1].mean():.2%}" for method, score in METHODS.items())
        print(f"\n{name}, {len(own)} pictures, flagged with nothing planted: {flagged}")
        compare(name, own, others)
        small(name, own, others)


if __name__ == "__main__":
    main()
