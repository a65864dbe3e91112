"""What a question of what-if takes beside a run that changes nothing, at a large dataset of small random pictures.

    python -m tests.benchmarks.benchmark_what_if [--images N] [--dimensions N] [--folder FOLDER]

The dataset has given vectors (clusters, one in a hundred a near copy), three splits, and labels of which some are wrong. It is
made asset by asset; in a folder that is named it stays, and is made no further than it needs to be.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from brain_assets.app.what_if import Supposed, what_if
from brain_assets.assets import catalog
from tests.benchmarks.benchmark_signals import SPLITS, name_of, write_pictures
from tests.benchmarks.benchmark_similarity import clustered_vectors
from tests.workshop import Workshop

# What no question is answered from, and takes long to make.
LEFT_OUT = {"visualization", "representativeness", "selections", "vector_indexes", "report"}
QUESTIONS = {
    "another threshold of image quality": Supposed({"image_quality.thresholds.dark": "0.3"}),
    "another threshold of near duplicates": Supposed({"near_duplicates.threshold": "0.05"}),
    "drop near duplicates": Supposed({}, ("near_duplicate",)),
    "drop leaks, relabel as suggested": Supposed({}, ("leak",), True),
}


def make(root: Path, images: int, dimensions: int) -> Workshop:
    """Return the dataset; what is there of it already stays."""
    settings = {
        "split_from": "folder",
        "labels": [{"uri": str(root / "labels.parquet")}],
        "embeddings": {"model": f"precomputed:{root / 'vectors.parquet'}"},
    }
    names = [name_of(number) for number in range(images)]
    if not (root / "labels.parquet").exists():
        for split in SPLITS:
            (root / "media" / split).mkdir(parents=True, exist_ok=True)
        write_pictures(root / "media", range(images))
        vectors = clustered_vectors(images, dimensions)
        parquet.write_table(pa.table({"filepath": names, "vector": list(vectors)}), root / "vectors.parquet")
        labels = [f"class {int(abs(vector[:3]).argmax())}" for vector in vectors]
        parquet.write_table(pa.table({"filepath": names, "label": labels}), root / "labels.parquet")
    return Workshop(root / "home", root / "media", **settings)


def timed(asked: Callable[[], object]) -> tuple[float, float]:
    """Return processor and wall time, seconds."""
    begun, since = time.process_time(), time.perf_counter()
    asked()
    return time.process_time() - begun, time.perf_counter() - since


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--dimensions", type=int, default=64)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        workshop = make(options.folder or Path(scratch), options.images, options.dimensions)
        for signal in catalog.ALL:
            if signal.name not in LEFT_OUT:
                took, _ = timed(lambda name=signal.name: workshop.run({name}))
                print(f"{signal.name}: {took:.1f} CPU-s", flush=True)
        run, _ = timed(lambda: workshop.run(set(catalog.BY_NAME) - LEFT_OUT))
        print(f"a run that finds nothing new: {run:.2f} CPU-s")
        for words, supposed in QUESTIONS.items():
            took, wall = timed(lambda one=supposed: what_if(workshop.home, workshop.name, one))
            print(f"{words}: {took:.2f} CPU-s ({wall:.2f} s), {took / run:.2f} times such a run")


if __name__ == "__main__":
    main()
