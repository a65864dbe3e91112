"""What hardness and mistakenness cost, from files to published tables: classification and detection.

Run as ``python -m tests.benchmarks.benchmark_labels``. CPU seconds of one process; the ratio is to reading and writing the
same prediction file with Arrow alone.
"""

import json
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from brain_assets.assets import catalog
from brain_assets.incremental.update import bring_up_to_date
from brain_assets.resources.dataset import Dataset, Opening, open_dataset
from brain_assets.resources.media.media_source import sample_id
from brain_assets.resources.store.store import Merge
from tests.workshop import Workshop

CLASSES = [f"class {number}" for number in range(10)]
STEPS = ("ground_truth", "predictions", "objects", "hardness", "mistakenness", "object_mistakenness")


def cpu(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def give_samples(dataset: Dataset, names: list[str]) -> None:
    """Put samples into the store as if their images had been decoded."""
    store = dataset.store
    table = pa.table({"sample_id": [sample_id(name) for name in names], "filepath": names})
    store.connection.register("given", table)
    samples = """select sample_id, filepath, filepath as uri, sample_id as content_hash, 1 as bytes, []::varchar[] as tags,
        now() as added_at, now() as changed_at, nextval('ordinals') as ordinal from given"""
    media = "select sample_id as content_hash, 'ok' as status, 640 as width, 480 as height from given"
    with store.write("benchmark", "samples") as transaction:
        transaction.merge(Merge("samples", samples))
        transaction.merge(Merge("media", media))


def update(workshop: Workshop, names: list[str] = ()) -> float:
    """Bring labels, predictions and what follows from them up to date, and return the CPU seconds of that."""
    with open_dataset(workshop.home, workshop.name, Opening(uuid.uuid4().hex, "benchmark")) as dataset:
        if names:
            give_samples(dataset, names)
        steps = {name: cpu(lambda name=name: bring_up_to_date(catalog.BY_NAME[name], dataset)) for name in STEPS}
        print("   ", ", ".join(f"{name} {spent:.3f}" for name, spent in steps.items()))
        return sum(steps.values())


def classification(root: Path, size: int = 10_000) -> None:
    (root / "media").mkdir()
    names = [f"{number:06}.jpg" for number in range(size)]
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (size, len(CLASSES))).astype(np.float32)
    labels = pa.table({"filepath": names, "label": np.array(CLASSES)[random.integers(0, len(CLASSES), size)]})
    parquet.write_table(labels, root / "labels.parquet")
    workshop = Workshop(root / "home", root / "media", labels=[{"uri": str(root / "labels.parquet")}], classes=CLASSES)
    workshop.paths.predictions.mkdir()
    rows = pa.table({"filepath": names, "logits": list(logits)})
    parquet.write_table(rows, workshop.paths.predictions / "a.parquet")
    bare = cpu(
        lambda: parquet.write_table(parquet.read_table(workshop.paths.predictions / "a.parquet"), root / "copy.parquet")
    )
    spent = update(workshop, names)
    print(
        f"classification, {size} samples x {len(CLASSES)} logits: {spent:.2f} CPU-s, {spent / bare:.0f} x copying the file"
    )
    parquet.write_table(rows.slice(0, 50), workshop.paths.predictions / "b.parquet")
    print(f"50 more predictions: {update(workshop):.2f} CPU-s; nothing new: {update(workshop):.2f} CPU-s")


def detection(root: Path, size: int = 1000, each: int = 5) -> None:
    (root / "media").mkdir()
    names = [f"{number:06}.jpg" for number in range(size)]
    random = np.random.default_rng(0)
    boxes = np.concatenate([random.uniform(0, 400, (size * each, 2)), random.uniform(20, 80, (size * each, 2))], axis=1)
    images = [{"id": number, "file_name": name, "width": 640, "height": 480} for number, name in enumerate(names)]
    given = [
        {"id": number, "image_id": number // each, "category_id": number % 3, "bbox": box}
        for number, box in enumerate(boxes.round(2).tolist())
    ]
    found = [
        {"image_id": number // each, "category_id": number % 3, "bbox": box, "score": 0.8}
        for number, box in enumerate((boxes + random.normal(0, 3, boxes.shape)).round(2).tolist())
    ]
    categories = [{"id": number, "name": str(number)} for number in range(3)]
    (root / "labels.json").write_text(json.dumps({"images": images, "annotations": given, "categories": categories}))
    workshop = Workshop(root / "home", root / "media", labels=[{"uri": str(root / "labels.json")}])
    workshop.paths.predictions.mkdir()
    (workshop.paths.predictions / "net.json").write_text(json.dumps(found))
    print(f"detection, {size} images x {each} boxes: {update(workshop, names):.2f} CPU-s")


def main() -> None:
    for measure in (classification, detection):
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder))


if __name__ == "__main__":
    main()
