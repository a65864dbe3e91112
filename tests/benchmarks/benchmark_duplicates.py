"""Near duplicates among small images that people have judged: how good the rule is, and what finding them costs.

    python -m tests.benchmarks.benchmark_duplicates [--sheet FOLDER]

Embeds about 15 000 images on the first run (minutes) and keeps what it computed. ``--sheet`` writes contact sheets of
what is counted as false, so that people can judge. Planted edits of photos are in ``benchmark_copies``.
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from brain_assets.methods.duplicates.duplicates import Pairs, greedy_cover
from brain_assets.methods.duplicates.leaks import find_leaks, splits_from_labels
from brain_assets.methods.duplicates.perceptual_hash import hash_pairs, pair_hamming
from brain_assets.methods.duplicates.relations import LISTED, RARE, UNRELATED, usual_distance
from brain_assets.methods.duplicates.verification import duplicate_distance, prints_of, verify
from brain_assets.methods.similarity import similarity
from brain_assets.resources.settings.configuration import NearDuplicateSettings
from tests.benchmarks.embedded_images import EmbeddedImages, embed
from tests.conftest import SHARED

# Verdicts by eye on pairs that the data set's authors had not judged: [test image, train image, same picture].
JUDGED = Path(__file__).with_name("judged_cifar_pairs.json")
SETTINGS = NearDuplicateSettings()
GRAPH_WIDTH = 32


# The method, as the pipeline runs it ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """Candidate pairs of a set of images, measured; ``pairs`` are as far apart as a share of what is usual for the two."""

    images: EmbeddedImages
    pairs: Pairs
    embedding: np.ndarray
    seconds: dict[str, float]


def joined(*parts: EmbeddedImages) -> EmbeddedImages:
    columns = [[getattr(part, name) for part in parts] for name in ("vectors", "hashes", "mirrored")]
    names = [name for part in parts for name in part.names]
    previews = [preview for part in parts for preview in part.previews]
    return EmbeddedImages(names, *(np.concatenate(column) for column in columns), previews)


def clock(seconds: dict[str, float], name: str, started: float) -> float:
    now = time.process_time()
    seconds[name] = now - started
    return now


def measure(images: EmbeddedImages) -> Measured:
    seconds: dict[str, float] = {}
    warm = prints_of(images.previews[:1])
    verify(warm, np.array([0]), np.array([0]))
    hash_pairs(images.hashes[:2], images.mirrored[:2])
    now = time.process_time()
    order = np.arange(len(images.vectors))
    graph = similarity.build_graph(images.vectors, order, width=GRAPH_WIDTH)
    now = clock(seconds, "kNN graph", now)
    first, second = candidates(images, graph)
    now = clock(seconds, "candidates", now)
    prints = prints_of(images.previews)
    now = clock(seconds, "prints", now)
    verification = verify(prints, first, second)
    now = clock(seconds, "verification", now)
    embedding = cosine_distance(images.vectors[first], images.vectors[second])
    hamming = pair_hamming(images.hashes, images.mirrored, first, second)
    pairs = Pairs(first, second, duplicate_distance(embedding, hamming, verification))
    usual = usual_distances(pairs, graph)
    shares = pairs.distance / np.minimum(usual[first], usual[second])
    clock(seconds, "rarity", now)
    return Measured(images, pairs._replace(distance=shares), embedding, seconds)


def usual_distances(pairs: Pairs, graph: similarity.NeighborGraph) -> np.ndarray:
    count, lists = len(graph.neighbors), graph.neighbors[:, :LISTED].astype(np.int64)
    known = pairs.first * count + pairs.second
    rows = np.arange(count)[:, None]
    keys = np.minimum(rows, lists) * count + np.maximum(rows, lists)
    place = np.searchsorted(known, keys).clip(max=len(known) - 1)
    return usual_distance(np.where(known[place] == keys, pairs.distance[place], UNRELATED), count)


def candidates(images: EmbeddedImages, graph: similarity.NeighborGraph) -> tuple[np.ndarray, np.ndarray]:
    near = graph.neighbors[:, :LISTED]
    source, slot = np.nonzero((near >= 0) & (graph.distances[:, :LISTED] <= SETTINGS.candidate_distance))
    within = similarity.radius_pairs(images.vectors, graph, SETTINGS.radius)
    alike = hash_pairs(images.hashes, images.mirrored, SETTINGS.hash_bits)
    a = np.r_[source, within[0], alike.first]
    b = np.r_[near[source, slot], within[1], alike.second]
    keys = np.unique(np.minimum(a, b) * len(near) + np.maximum(a, b))
    return keys // len(near), keys % len(near)


def cosine_distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return 1.0 - np.einsum("ij,ij->i", first, second).astype(np.float64)


# Precision and recall ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Partners:
    """The best partner of each query: who, how far, and whether it is the true one."""

    query: np.ndarray
    partner: np.ndarray
    distance: np.ndarray
    is_true: np.ndarray
    positives: np.ndarray

    def f1(self, threshold: float, weight: np.ndarray | None = None) -> tuple[float, float, float]:
        """Return F1, precision and recall, each query counted ``weight`` times."""
        count = np.ones(len(self.positives)) if weight is None else weight
        found = self.distance <= threshold
        hits = count[self.query[found & self.is_true]].sum()
        flagged, wanted = count[self.query[found]].sum(), count[self.positives].sum()
        return 2 * hits / max(flagged + wanted, 1), hits / max(flagged, 1), hits / max(wanted, 1)

    def best(self) -> tuple[float, float]:
        """Return the best F1 in hindsight and its threshold."""
        return max((self.f1(threshold)[0], threshold) for threshold in np.unique(self.distance))

    def interval(self, threshold: float, draws: int = 500) -> tuple[float, float]:
        """Return the 95 % bootstrap interval of F1 over queries."""
        rng, size = np.random.default_rng(0), len(self.positives)
        values = [self.f1(threshold, rng.multinomial(size, np.full(size, 1 / size)))[0] for _ in range(draws)]
        return float(np.quantile(values, 0.025)), float(np.quantile(values, 0.975))


def partners(pairs: Pairs, distance: np.ndarray, is_query: np.ndarray, true: set[tuple[int, int]]) -> Partners:
    """Return each query's nearest partner that is no query; ``true`` are (query, partner)."""
    crossing = is_query[pairs.first] != is_query[pairs.second]
    a, b, d = pairs.first[crossing], pairs.second[crossing], distance[crossing]
    query, partner = np.where(is_query[a], a, b), np.where(is_query[a], b, a)
    order = np.lexsort((partner, d, query))
    order = order[np.unique(query[order], return_index=True)[1]]
    is_true = np.array([pair in true for pair in zip(query[order].tolist(), partner[order].tolist(), strict=True)])
    positives = np.zeros(len(is_query), bool)
    positives[[pair[0] for pair in true]] = True
    return Partners(query[order], partner[order], d[order], is_true, positives)


def report(title: str, measured: Measured, is_query: np.ndarray, true: set[tuple[int, int]]) -> Partners:
    alone = partners(measured.pairs, measured.embedding, is_query, true)
    found = partners(measured.pairs, measured.pairs.distance, is_query, true)
    threshold = RARE
    f1, precision, recall = found.f1(threshold)
    low, high = found.interval(threshold)
    best, at = found.best()
    reached = {(a, b) for a, b in zip(measured.pairs.first.tolist(), measured.pairs.second.tolist(), strict=True)}
    share = np.mean([(min(pair), max(pair)) in reached for pair in true])
    print(
        f"\n{title}: {len(is_query)} images, {len(measured.pairs.first)} candidate pairs holding {share:.3f} of the true ones"
    )
    print(
        f"  {threshold:.3f} of what is usual: F1 {f1:.3f} [{low:.3f}, {high:.3f}], precision {precision:.3f},"
        f" recall {recall:.3f}"
    )
    print(f"  in hindsight         {at:.3f}: F1 {best:.3f};  embedding alone, in hindsight: F1 {alone.best()[0]:.3f}")
    return found


# The set --------------------------------------------------------------------------------------------------------------


def cifar() -> None:
    folder = SHARED / "cifar10"
    parts = {name: sorted((folder / name).iterdir(), key=lambda path: int(path.stem)) for name in ("test", "train")}
    images = joined(*(embed(f"cifar-{n}", [(p.stem, p.read_bytes()) for p in files]) for n, files in parts.items()))
    measured, tests = measure(images), len(parts["test"])
    place = {(name, int(p.stem)): k for k, (name, p) in enumerate((n, p) for n, files in parts.items() for p in files)}
    judged = json.loads((folder / "truth_duplicates.json").read_text())["test_train"]
    true = {(place["test", row["test"]], place["train", row["train"]]) for row in judged if row["judgment"] in (1, 2)}
    is_query = np.arange(len(images.names)) < tests
    found = report("CIFAR-10, judged pairs", measured, is_query, true)
    after_looking(found, measured, images)
    sheet("cifar-false", images, found, measured)
    speed(measured, [("test" if query else "train") for query in is_query])


def after_looking(found: Partners, measured: Measured, images: EmbeddedImages) -> None:
    """Count again with the verdicts on pairs that nobody had judged before."""
    verdicts = {(row[0], row[1]): row[2] for row in json.loads(JUDGED.read_text())} if JUDGED.exists() else {}
    flagged = (found.distance <= RARE) & ~found.is_true
    named = [(int(images.names[q]), int(images.names[p])) for q, p in zip(found.query, found.partner, strict=True)]
    same = np.array([verdicts.get(pair, False) for pair in named])
    unjudged = sum(pair not in verdicts for pair, flag in zip(named, flagged, strict=True) if flag)
    hits = (found.distance <= RARE) & (found.is_true | same)
    total = int((found.distance <= RARE).sum())
    print(f"  of {flagged.sum()} counted as false {(flagged & same).sum()} are duplicates by eye, {unjudged} unjudged:"
          f" precision {hits.sum() / max(total, 1):.3f}")  # fmt: skip


def speed(measured: Measured, splits: list[str]) -> None:
    seconds, pairs = measured.seconds, len(measured.pairs.first)
    started = time.process_time()
    close = measured.pairs.within(RARE)
    greedy_cover(close, np.arange(len(splits)))
    find_leaks(close, np.arange(len(splits)), splits_from_labels(splits))
    grouping = time.process_time() - started
    graph = seconds["kNN graph"]
    print(f"  CPU: candidates {seconds['candidates'] / graph:.2f}, groups and leaks {grouping / graph:.3f} of the kNN graph;"
          f" {1e3 * seconds['verification'] / pairs:.2f} ms per candidate pair,"
          f" {1e3 * seconds['prints'] / len(splits):.2f} ms per image")  # fmt: skip


SHEETS: list[Path] = []


def sheet(name: str, images: EmbeddedImages, found: Partners, measured: Measured) -> None:
    """Write the pairs counted as false, nearest first."""
    if not SHEETS:
        return
    wrong = np.flatnonzero(~found.is_true & (found.distance <= RARE))
    wrong = wrong[np.argsort(found.distance[wrong])]
    width, side = 8, 96
    canvas = Image.new("RGB", (width * (2 * side + 12), (len(wrong) // width + 1) * (side + 16)), "white")
    draw = ImageDraw.Draw(canvas)
    for place, row in enumerate(wrong):
        x, y = (place % width) * (2 * side + 12), (place // width) * (side + 16)
        draw.text((x, y), f"{place}: {found.distance[row]:.3f}", fill="black")
        for offset, one in ((0, found.query[row]), (side, found.partner[row])):
            canvas.paste(Image.fromarray(images.previews[one]).resize((side, side)), (x + offset, y + 14))
    canvas.save(SHEETS[0] / f"{name}.png")
    listed = (
        [(int(images.names[found.query[row]]), int(images.names[found.partner[row]])) for row in wrong]
        if name.startswith("cifar")
        else []
    )
    (SHEETS[0] / f"{name}.json").write_text(json.dumps(listed))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sheet", type=Path)
    if folder := parser.parse_args().sheet:
        SHEETS.append(folder)
    cifar()
