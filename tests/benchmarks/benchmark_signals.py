"""What the embedding signals cost beside the graph of nearest neighbours, through the assets.

Run as ``python -m tests.benchmarks.benchmark_signals [rows] [dimensions]``. A dataset of small random pictures with given
vectors (clusters, one in a hundred a near copy) is brought up to date asset by asset; uniqueness, near duplicates, leaks
and outliers together are compared with the graph, in CPU seconds of one process. What calibration, verification and
previews take is told apart. Then a hundred more pictures arrive, and what each asset takes of them is compared with what it
took of all, reading and writing included.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

from brain_assets.assets import catalog
from brain_assets.incremental.update import bring_up_to_date
from brain_assets.methods.duplicates import verification
from brain_assets.methods.duplicates.duplicates import Pairs, copies_of_copies
from brain_assets.methods.duplicates.perceptual_hash import hash_pairs
from brain_assets.methods.similarity import similarity
from brain_assets.resources.dataset import Opening, open_dataset
from brain_assets.signals.duplicates import near_duplicates, pairs
from tests.benchmarks.benchmark_similarity import clustered_vectors
from tests.workshop import Workshop

SIGNALS = ("uniqueness", "near_duplicates", "leaks", "outliers")
SPLITS = ("train", "val", "test")
ARRIVALS = 100


class Clock:
    """CPU seconds by name; a part that runs within another is taken off it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.apart = 0.0

    def time(self, name: str, action: Callable[[], Any]) -> Any:
        start, apart = time.process_time(), self.apart
        result = action()
        self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - start - (self.apart - apart)
        return result

    def set_apart(self, module: Any, function: str, name: str) -> None:
        """Count a function of a module under a name of its own."""
        original = getattr(module, function)

        def timed(*arguments: Any) -> Any:
            before, start = self.apart, time.process_time()
            result = self.time(name, lambda: original(*arguments))
            self.apart = before + time.process_time() - start
            return result

        setattr(module, function, timed)


def load_kernels() -> None:
    """Import and load what every process loads once."""
    hashes = np.arange(1, 9, dtype=np.uint64)
    hash_pairs(hashes, hashes)
    prints = verification.prints_of(np.zeros((2, 8, 8, 3), np.uint8))
    verification.verify(prints, np.array([0]), np.array([1]))
    similarity.build_graph(similarity.normalize(np.eye(8)), np.arange(8), width=2)
    pa.array(np.zeros(1))
    copies_of_copies(Pairs(np.array([0]), np.array([1]), np.array([0.0])), 0.1, 3, 9)


def make(root: Path, rows: int, dimensions: int) -> Workshop:
    """Write tiny pictures, and a Parquet file of vectors for them and those to come, and declare them as a dataset."""
    vectors = clustered_vectors(rows + ARRIVALS, dimensions)
    for split in SPLITS:
        (root / "media" / split).mkdir(parents=True)
    write_pictures(root / "media", range(rows))
    names = [name_of(number) for number in range(len(vectors))]
    parquet.write_table(pa.table({"filepath": names, "vector": list(vectors)}), root / "vectors.parquet")
    return Workshop(
        root / "home", root / "media", split_from="folder",
        embeddings={"model": f"precomputed:{root / 'vectors.parquet'}"},
    )  # fmt: skip


def write_pictures(media: Path, numbers: range) -> None:
    for number in numbers:
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(media / name_of(number))


def name_of(number: int) -> str:
    return f"{SPLITS[number % 3]}/{number:06}.bmp"


def measure(workshop: Workshop, clock: Clock) -> dict[str, int]:
    """Bring the dataset up to date, asset by asset; return the counts of pairs."""
    names = frozenset(catalog.BY_NAME)
    with open_dataset(workshop.home, workshop.name, Opening("measure", "benchmark", names)) as dataset:
        notes = {}
        for signal in catalog.SIGNALS:
            if signal.name in ("visualization", "representativeness", "selections"):
                continue
            report = clock.time(signal.name, lambda one=signal: bring_up_to_date(one, dataset))
            notes |= report.notes
    return {name: value for name, value in notes.items() if "pairs" in name}


def main(rows: int = 20_000, dimensions: int = 512) -> None:
    clock = Clock()
    clock.time("kernels", load_kernels)
    clock.set_apart(pairs, "_verified", "verification")
    clock.set_apart(near_duplicates, "_fit", "calibration")
    with tempfile.TemporaryDirectory() as folder:
        workshop = make(Path(folder), rows, dimensions)
        counts = measure(workshop, clock)
        seconds = dict(clock.seconds)
        write_pictures(Path(folder) / "media", range(rows, rows + ARRIVALS))
        measure(workshop, clock)
    print(json.dumps({name: round(value, 3) for name, value in seconds.items()}))
    signals = sum(seconds[name] for name in SIGNALS)
    print(f"{rows} x {dimensions}: graph {seconds['similarity']:.2f} CPU-s, signals {signals:.2f}:", end=" ")
    print(f"together {1 + signals / seconds['similarity']:.3f} times the graph alone")
    verified = counts.get("pairs verified in this run", 0)
    apart = f"calibration {seconds.get('calibration', 0):.2f}, verification {seconds['verification']:.2f} CPU-s"
    print(f"{apart} = {1000 * seconds['verification'] / max(verified, 1):.3f} CPU-ms for each of {verified} pairs")
    for name in ("similarity", *SIGNALS):
        again = clock.seconds[name] - seconds[name]
        print(f"+{ARRIVALS}: {name} {again:.2f} CPU-s, {again / seconds[name]:.1%} of the first time's")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
