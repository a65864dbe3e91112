"""A small dataset whose answers are known: pictures of three kinds with vectors on a circle, so that distances are angles."""

import json
import math
import shutil
from pathlib import Path

import numpy as np

import brain_assets as brain
from brain_assets.app.api import DatasetReader
from tests.workshop import write_pictures

# Degrees of each kind's pictures; one picture lies far from all others.
ANGLES = {
    **{f"train/cat/{number:05}.png": float(number) for number in range(8)},
    **{f"train/dog/{number:05}.png": 80.0 + number for number in range(10, 18)},
    **{f"test/bird/{number:05}.png": 180.0 + number for number in range(20, 26)},
    "train/bird/00030.png": 290.0,
}
TWIN, TWINNED = "test/cat/twin.png", "train/cat/00000.png"
LONE, MISLABELLED = "train/bird/00030.png", "train/dog/00013.png"
# A box in each, and in one the detector finds another that nobody drew.
BOXED, OVERLOOKED = sorted(ANGLES)[:8], sorted(ANGLES)[7]


def distance(one: str, other: str) -> float:
    """Return 1 - cosine of two pictures' vectors."""
    return 1 - math.cos(math.radians(ANGLES[one] - ANGLES[other]))


def make_zoo(root: Path) -> DatasetReader:
    """Declare the zoo, with labels, two classifiers, and boxes with a detector's."""
    media = root / "zoo"
    for path in ANGLES:
        write_pictures((media / path).parent, [int(Path(path).stem)])
    (media / TWIN).parent.mkdir(parents=True)
    shutil.copy(media / TWINNED, media / TWIN)
    paths = [*ANGLES, TWIN]
    radians = np.radians([*ANGLES.values(), ANGLES[TWINNED]])
    np.savez(root / "vectors.npz", filepath=np.array(paths), vectors=np.c_[np.cos(radians), np.sin(radians)])
    _write_labels(root, paths)
    _write_boxes(root)
    return brain.add(
        "zoo",
        media,
        labels=[root / "labels.csv", f"boxes={root / 'boxes.json'}"],
        predictions=[
            f"logits={root / 'logits.csv'}",
            f"sure={root / 'sure.csv'}",
            {"uri": str(root / "detector.json"), "field": "boxes"},
        ],
        split_from="folder",
        model=f"precomputed:{root / 'vectors.npz'}",
        home=str(root / "home"),
    )


def _write_labels(root: Path, paths: list[str]) -> None:
    kinds = {path: path.split("/")[1] for path in paths}
    said = kinds | {MISLABELLED: "cat"}
    logits = {path: [4.0 * (kind == name) for name in ("bird", "cat", "dog")] for path, kind in kinds.items()}
    logits[LONE] = [1.0, 1.0, 1.0]
    rows = {
        "labels": ["filepath,label", *(f"{path},{said[path]}" for path in paths)],
        "logits": [
            "filepath,logit_bird,logit_cat,logit_dog",
            *(f"{path},{','.join(map(str, logits[path]))}" for path in paths),
        ],
        "sure": ["filepath,label,confidence", *(f"{path},{kinds[path]},0.9" for path in paths)],
    }
    for name, lines in rows.items():
        (root / f"{name}.csv").write_text("\n".join(lines))


def _write_boxes(root: Path) -> None:
    images = [{"id": number, "file_name": path, "width": 20, "height": 16} for number, path in enumerate(BOXED, 1)]
    drawn = [{"id": one["id"], "image_id": one["id"], "category_id": 1, "bbox": [2, 2, 8, 8]} for one in images]
    categories = [{"id": 1, "name": "face"}]
    (root / "boxes.json").write_text(json.dumps({"images": images, "annotations": drawn, "categories": categories}))
    found = [
        {"image_id": number, "category_id": 1, "bbox": [2, 2, 8, 8], "score": 0.95}
        for number in range(1, len(BOXED) + 1)
    ]
    found.append({"image_id": BOXED.index(OVERLOOKED) + 1, "category_id": 1, "bbox": [12, 9, 7, 6], "score": 0.97})
    (root / "detector.json").write_text(json.dumps(found))
