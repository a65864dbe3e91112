"""Errors in the labels of objects, real and planted: our scores beside cleanlab's ObjectLab and the peer's formula.

Run as ``python -m tests.benchmarks.benchmark_detection_errors``; ``CLEANLAB_PYTHON`` names a Python that has cleanlab.

Real errors: the red blood cells of BCCD's first labels against its corrected ones, with predictions of a small detector
that is trained out of fold on the faulty labels (about ten CPU minutes, kept). Planted errors: labels of ``home85``
dropped, added, shifted or renamed, with the predictions of a real detector that come with it.

The figures are average precision and the area under the ROC curve, of a missing object among predictions, of the others
among labels, with the 95 % interval of ours less theirs (paired bootstrap of images). ObjectLab and the peer stand at the
confidence cuts they hard-code, .95 (ObjectLab .5 for misplaced boxes), and at the best of several, chosen with the truth in
view; a box they give no score counts as undecided. ObjectLab has no score for superfluous labels: the better of its two
others is shown.
"""

import json
import os
from dataclasses import dataclass, replace

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from PIL import Image

from brain_assets.methods.labels.detectors import DetectorProfile, calibrate
from brain_assets.methods.labels.label_issues import NEIGHBORS, label_issues, neighbor_votes
from brain_assets.methods.labels.label_issues import calibrate as calibrate_labels
from brain_assets.methods.labels.object_mistakenness import object_scores, peer_scores
from brain_assets.methods.labels.objects import Objects, crop_rectangles, expand_boxes, overlaps
from brain_assets.resources.models.embedding_models import load_model
from tests.benchmarks import cleanlab_scores, intervals
from tests.benchmarks.benchmark_mistakenness_speed import arrays, lists
from tests.benchmarks.embedded_images import CACHE
from tests.benchmarks.intervals import Ranking, cells, compared, heading, row
from tests.conftest import SHARED

KINDS = ("missing", "spurious", "shifted", "renamed")
OURS = dict(zip(KINDS, ("missing_score", "spurious_score", "mistakenness_loc", "mistakenness"), strict=True))
PEER = dict(zip(KINDS, ("possible_missing", "possible_spurious", "mistakenness_loc", "mistakenness"), strict=True))
OBJECT_LAB = dict(zip(KINDS, (("missing",), ("badloc", "swap"), ("badloc",), ("swap",)), strict=True))
CUTS = (0.05, 0.25, 0.4, 0.5, 0.6, 0.7)
SEEDS, RATE = 5, 0.1
OTHERS, SHOWN = ("peer", "ObjectLab"), ("as is", "best cut")
FIGURES = {"average precision": Ranking.average_precision, "area under the ROC curve": Ranking.area}
ROUNDS = 500


@dataclass
class Scene:
    """Labels with known errors, and predictions; ``wrong`` is of predictions for missing objects, else of labels."""

    labels: Objects
    predictions: Objects
    wrong: dict[str, np.ndarray]
    classes: int


def main() -> None:
    real, planted = bccd(), Home()
    tables("BCCD, real errors", {kind: [judged(real, kind)] for kind in real.wrong})
    draws = {kind: [planted.damaged(kind, np.random.default_rng(seed)) for seed in range(SEEDS)] for kind in KINDS}
    scenes = {kind: [judged(one, kind, planted) for one in found] for kind, found in draws.items()}
    tables(f"home85, planted errors in {RATE:.0%} of the labels, mean of {SEEDS} draws", scenes)


def tables(title: str, scenes: dict[str, list[intervals.Scene]]) -> None:
    """Print a table for each figure: ours, and of others what stands at the hard-coded cut and at the best one."""
    columns = (
        "ours",
        "ours, not calibrated",
        "ours, with crops",
        *(f"{one}, {cut}" for one in OTHERS for cut in SHOWN),
    )
    for figure, measure in FIGURES.items():
        print(f"\n{title}: {figure}\n\n{heading(('errors', 'wrong', *columns))}")
        for kind, found in scenes.items():
            shown = [with_best(one, measure, found) for one in found]
            wrong = f"{np.mean([one.wrong.sum() for one in found]):.0f} of {len(found[0].wrong)}"
            print(row((kind, wrong, *cells(compared(shown, measure, ROUNDS), columns))), flush=True)


def with_best(one: intervals.Scene, measure: intervals.Measure, draws: list[intervals.Scene]) -> intervals.Scene:
    """Return a scene with, of each other tool, the scores at its own cut and at the one that is best over all draws."""

    def mean(name: str) -> float:
        return float(np.mean([measure(Ranking.of(draw.wrong, draw.scores[name]), None) for draw in draws]))

    kept = {name: values for name, values in one.scores.items() if not name.startswith(OTHERS)}
    for tool in OTHERS:
        members = [name for name in one.scores if name.startswith(tool)]
        if members:
            kept[f"{tool}, best cut"] = one.scores[max(members, key=mean)]
            kept[f"{tool}, as is"] = one.scores[max((name for name in members if name.endswith("as is")), key=mean)]
    return replace(one, scores=kept)


def judged(scene: Scene, kind: str, crops: "Home | None" = None) -> intervals.Scene:
    """Return what every method says of one kind of error, by image; what it says nothing of counts as undecided."""
    profile = calibrate(scene.labels, scene.predictions, scene.classes)
    unfitted = DetectorProfile.default(scene.classes)
    rows = {
        "ours": getattr(object_scores(scene.labels, scene.predictions, profile), OURS[kind]),
        "ours, not calibrated": getattr(object_scores(scene.labels, scene.predictions, unfitted), OURS[kind]),
        **(crops.with_crops(scene, kind) if crops else {}),
        **peer(scene, kind),
        **object_lab(scene, kind),
    }
    subjects = scene.predictions if kind == "missing" else scene.labels
    known = {name: np.nan_to_num(values.astype(float), nan=0.5) for name, values in rows.items()}
    return intervals.Scene(scene.wrong[kind], known, subjects.images)


def peer(scene: Scene, kind: str) -> dict[str, np.ndarray]:
    if kind == "missing":
        cuts = {"as is": 0.95, **{f"at {cut}": cut for cut in CUTS}}
        found = {k: peer_scores(scene.labels, scene.predictions, missing_confidence=cut) for k, cut in cuts.items()}
    else:
        cuts = {"as is": 0.0, **{f"at {cut}": cut for cut in CUTS}}
        found = {name: peer_scores(scene.labels, above(scene.predictions, cut)) for name, cut in cuts.items()}
    return {f"peer {name}": getattr(scores, PEER[kind]) for name, scores in found.items()}


def above(predictions: Objects, cut: float) -> Objects:
    assert predictions.confidence is not None
    kept = predictions.confidence >= cut
    offsets = np.concatenate([[0], np.cumsum(kept)])[predictions.offsets]
    return Objects(predictions.boxes[kept], predictions.classes[kept], offsets, predictions.confidence[kept])


def object_lab(scene: Scene, kind: str) -> dict[str, np.ndarray]:
    standard = 0.5 if kind == "shifted" else 0.95
    pixels = [replace(side, boxes=side.boxes * 600) for side in (scene.labels, scene.predictions)]
    found = cleanlab_scores.scores(
        "detection", labels=lists(pixels[0]), predictions=arrays(pixels[1]), cuts=[*CUTS, standard]
    )
    rows = {}
    for cut, scores in (found or {}).items():
        for name in OBJECT_LAB[kind]:
            values = np.concatenate(scores["boxes"][name])
            rows[f"ObjectLab {name} {'as is' if cut == standard else f'at {cut}'}"] = np.nan_to_num(values, nan=0.0)
    return rows


def bccd() -> Scene:
    """Return the first labels of BCCD, what was corrected, and out-of-fold predictions."""
    from tests.benchmarks.cell_detector import out_of_fold

    stored = json.loads((SHARED / "det" / "bccd_old.json").read_text())
    images = {image["id"]: number for number, image in enumerate(stored["images"])}
    sizes = np.array([(image["width"], image["height"]) for image in stored["images"]], dtype=float)
    labels = grouped([(images[row["image_id"]], row["bbox"]) for row in stored["gt"]], sizes)
    paths = [SHARED / "det" / image["file"] for image in stored["images"]]
    parts = [labels.boxes[a:b] for a, b in zip(labels.offsets[:-1], labels.offsets[1:], strict=True)]
    rows = out_of_fold(paths, parts, CACHE / "bccd-predictions.npz")
    seen = np.concatenate(rows)
    offsets = np.cumsum([0, *map(len, rows)])
    predictions = Objects(seen[:, :4], np.zeros(len(seen), np.int64), offsets, seen[:, 4])
    return Scene(labels, predictions, corrected(stored["changes_to_bccd"], images, sizes, (labels, predictions)), 1)


def grouped(rows: list[tuple[int, list[float]]], sizes: np.ndarray) -> Objects:
    """Return the boxes of one class in the order of their images, relative to them."""
    rows = sorted(rows, key=lambda row: row[0])
    image = np.array([number for number, _ in rows], dtype=np.int64)
    boxes = np.array([box for _, box in rows]) / np.tile(sizes[image], 2)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(image, minlength=len(sizes)))])
    return Objects(boxes, np.zeros(len(rows), np.int64), offsets)


def corrected(
    changes: list[dict], images: dict[str, int], sizes: np.ndarray, sides: tuple[Objects, Objects]
) -> dict[str, np.ndarray]:
    labels, predictions = sides

    def boxes(kind: str, side: str) -> Objects:
        rows = [row[side] for row in changes if row["kind"] == kind and row[side]["category"] == "RBC"]
        return grouped([(images[row["image_id"]], row["bbox"]) for row in rows], sizes)

    return {
        "missing": touched(boxes("missing_in_old", "new"), predictions, 0.5),
        "spurious": touched(boxes("spurious_in_old", "old"), labels, 1 - 1e-9),
        "shifted": touched(boxes("moved", "old"), labels, 1 - 1e-9),
    }


def touched(first: Objects, second: Objects, least: float) -> np.ndarray:
    """Return which of the second objects overlap one of the first."""
    found = overlaps(first, second)
    flags = np.zeros(len(second), dtype=bool)
    flags[found.second[found.iou >= least]] = True
    return flags


class Home:
    """The labels of home85, the predictions of its detector, and vectors of its crops."""

    def __init__(self) -> None:
        stored = json.loads((SHARED / "det" / "home85.json").read_text())
        self.images = stored["images"]
        self.pictures: list[Image.Image] = []
        numbers = {image["id"]: number for number, image in enumerate(self.images)}
        sizes = np.array([(image["width"], image["height"]) for image in self.images], dtype=float)
        names = {name: number for number, name in enumerate(stored["categories"])}
        self.classes = len(names)
        sides = []
        for rows in (stored["gt"], stored["pred"]):
            rows.sort(key=lambda row: numbers[row["image_id"]])
            side = grouped([(numbers[row["image_id"]], row["bbox"]) for row in rows], sizes)
            kinds = np.array([names[row["category"]] for row in rows])
            sides.append(replace(side, classes=kinds, confidence=np.array([row.get("score", np.nan) for row in rows])))
        self.labels, self.predictions = replace(sides[0], confidence=None), sides[1]
        self.vectors: dict[tuple[float, ...], np.ndarray] = {}

    def damaged(self, kind: str, rng: np.random.Generator) -> Scene:
        """Return labels with errors of one kind."""
        chosen = np.zeros(len(self.labels), dtype=bool)
        chosen[rng.choice(len(chosen), int(RATE * len(chosen)), replace=False)] = True
        labels, wrong = getattr(self, kind)(chosen, rng)
        return Scene(labels, self.predictions, {kind: wrong}, self.classes)

    def missing(self, chosen: np.ndarray, _: np.random.Generator) -> tuple[Objects, np.ndarray]:
        return taken(self.labels, ~chosen), touched(taken(self.labels, chosen), self.predictions, 0.5)

    def renamed(self, chosen: np.ndarray, rng: np.random.Generator) -> tuple[Objects, np.ndarray]:
        drawn = rng.choice(self.labels.classes, (len(chosen), 50))
        other = drawn[np.arange(len(chosen)), (drawn != self.labels.classes[:, None]).argmax(axis=1)]
        return replace(self.labels, classes=np.where(chosen, other, self.labels.classes)), chosen

    def shifted(self, chosen: np.ndarray, rng: np.random.Generator) -> tuple[Objects, np.ndarray]:
        """Return boxes moved by .15 to .5 of their sides, and scaled by up to a third."""
        boxes, count = self.labels.boxes, len(chosen)
        angle, far = rng.uniform(0, 2 * np.pi, count), rng.uniform(0.15, 0.5, count)
        corner = boxes[:, :2] + far[:, None] * boxes[:, 2:] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        moved = expand_boxes(np.hstack([corner, boxes[:, 2:] * np.exp(rng.uniform(-0.3, 0.3, (count, 2)))]))
        moved[:, 2:] = np.maximum(moved[:, 2:], 1e-3)
        return replace(self.labels, boxes=np.where(chosen[:, None], moved, boxes)), chosen

    def spurious(self, chosen: np.ndarray, rng: np.random.Generator) -> tuple[Objects, np.ndarray]:
        """Return the labels and as many more: sizes and classes of labels, anywhere in other images."""
        count = int(chosen.sum())
        model = rng.choice(len(self.labels), count)
        sides = self.labels.boxes[model, 2:]
        boxes = np.hstack([rng.uniform(0, 1 - np.minimum(sides, 0.999)), sides])
        image = np.concatenate([self.labels.images, self.labels.images[chosen]])
        order = np.argsort(image, kind="stable")
        offsets = np.concatenate([[0], np.cumsum(np.bincount(image, minlength=len(self.images)))])
        added = np.repeat([False, True], [len(self.labels), count])[order]
        every, kinds = (
            np.concatenate([self.labels.boxes, boxes]),
            np.concatenate([self.labels.classes, self.labels.classes[model]]),
        )
        return Objects(every[order], kinds[order], offsets), added

    def with_crops(self, scene: Scene, kind: str) -> dict[str, np.ndarray]:
        """Return our scores when the neighbours of the labels' crops give a second opinion."""
        if kind not in ("spurious", "renamed"):
            return {}
        opinion = self.opinion(scene.labels)
        profile = calibrate(scene.labels, scene.predictions, self.classes, opinion=opinion)
        scores = object_scores(scene.labels, scene.predictions, profile, opinion=opinion)
        return {"ours, with crops": getattr(scores, OURS[kind])}

    def opinion(self, labels: Objects) -> np.ndarray:
        unit = self.embedded(labels)
        distances = 1 - unit @ unit.T
        np.fill_diagonal(distances, np.inf)
        order = np.argsort(distances, axis=1)[:, :NEIGHBORS]
        votes = neighbor_votes(np.take_along_axis(distances, order, axis=1), labels.classes[order], self.classes)
        return label_issues(labels.classes, None, votes, calibrate_labels(labels.classes, None, votes)).score

    def embedded(self, labels: Objects) -> np.ndarray:
        """Return unit vectors of the labels' crops, computed once per crop."""
        if not self.pictures:
            self.pictures = [Image.open(SHARED / "det" / image["file"]).convert("RGB") for image in self.images]
            self.model = load_model("builtin:efficientnet-lite0", cache=CACHE)
        sizes = np.array([self.pictures[number].size for number in labels.images])
        crops = crop_rectangles(expand_boxes(labels.boxes, 0.2), sizes, force_square=True)
        keys = [(number, *crop) for number, crop in zip(labels.images.tolist(), crops.tolist(), strict=True)]
        new = [key for key in dict.fromkeys(keys) if key not in self.vectors]
        for start in range(0, len(new), 32):
            part = new[start : start + 32]
            inputs = [
                np.asarray(self.pictures[key[0]].crop(key[1:]).resize((224, 224), Image.BILINEAR)) for key in part
            ]
            self.vectors.update(zip(part, self.model.embed(np.stack(inputs)), strict=True))
        vectors = np.stack([self.vectors[key] for key in keys])
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def taken(objects: Objects, kept: np.ndarray) -> Objects:
    """Return some of the objects, of the same images."""
    offsets = np.concatenate([[0], np.cumsum(kept)])[objects.offsets]
    return Objects(objects.boxes[kept], objects.classes[kept], offsets)


if __name__ == "__main__":
    main()
