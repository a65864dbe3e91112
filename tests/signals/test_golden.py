"""The peer's numbers for hardness and mistakenness, value by value, from files through the assets to published tables."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

import brain_assets as brain
from tests.models import Patches
from tests.workshop import Workshop, encoded

GOLDEN = Path(__file__).parent.parent / "golden" / "seed7"
STEPS = (
    "samples", "media", "ground_truth", "predictions", "objects", "hardness", "object_mistakenness", "mistakenness", "published",
)  # fmt: skip
# Boxes of the peer reach beyond their image: here they lie in the middle of one twice as large.
SIDE = 2000
# Models, and what the peer's numbers for the same predictions are called.
DETECTORS = {"detector": "conf", "scored_detector": "logits"}


@pytest.fixture(scope="module")
def inputs() -> dict[str, Any]:
    return {**np.load(GOLDEN / "inputs.npz"), **json.loads((GOLDEN / "inputs.json").read_text())}


@pytest.fixture(scope="module")
def outputs() -> dict[str, Any]:
    return json.loads((GOLDEN / "outputs.json").read_text())


@pytest.fixture(scope="module")
def workshop(inputs: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Return a dataset whose images are all alike, which labels and predictions do not mind, judged in compat mode."""
    root = tmp_path_factory.mktemp("golden")
    for folder in ("media", "predictions"):
        (root / folder).mkdir()
    blank = encoded(Image.new("1", (SIDE, SIDE)))
    for number in range(len(inputs["gt"])):
        (root / "media" / f"{number:03}.png").write_bytes(blank)
    write_labels(root, inputs)
    write_predictions(root / "predictions", inputs)
    write_objects(root, inputs)
    labels = [
        {"uri": str(root / "labels.parquet")},
        {"uri": str(root / "several.parquet"), "field": "several"},
        {"uri": str(root / "objects.json"), "field": "objects"},
    ]
    predictions = [
        {"uri": str(root / "predictions")},
        *({"uri": str(root / f"{model}.json"), "field": "objects"} for model in DETECTORS),
    ]
    settings = {"labels": labels, "predictions": predictions, "classes": inputs["classes"]}
    made = Workshop(root / "home", root / "media", mistakenness={"mode": "compat"}, **settings)
    made.run(STEPS)
    return made


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    parquet.write_table(pa.Table.from_pylist(rows), path)


def write_labels(root: Path, inputs: dict[str, Any]) -> None:
    labelled = [i for i in range(len(inputs["gt"])) if i not in inputs["no_gt"]]
    classes = inputs["classes"]
    write(root / "labels.parquet", [{"filepath": f"{i:03}.png", "label": classes[inputs["gt"][i]]} for i in labelled])
    several = [
        {"filepath": f"{i:03}.png", "labels": [classes[one] for one in row]} for i, row in enumerate(inputs["ml_gt"])
    ]
    write(root / "several.parquet", several)


def write_predictions(folder: Path, inputs: dict[str, Any]) -> None:
    predicted = [i for i in range(len(inputs["gt"])) if i not in inputs["no_pred"]]
    classes = inputs["classes"]
    rows = [{"filepath": f"{i:03}.png", "label": classes[inputs["pred"][i]]} for i in predicted]
    confidences = [float(inputs["conf"][i]) for i in predicted]
    write(folder / "sure.parquet", [{**row, "confidence": one} for row, one in zip(rows, confidences, strict=True)])
    logits = [inputs["logits"][i].tolist() for i in predicted]
    write(folder / "scored.parquet", [{**row, "logits": one} for row, one in zip(rows, logits, strict=True)])
    several = [
        {
            "filepath": f"{i:03}.png",
            "labels": [classes[one] for one in row],
            "logits": inputs["ml_logits"][i].tolist(),
            "label_field": "several",
        }
        for i, row in enumerate(inputs["ml_pred"])
    ]
    write(folder / "many.parquet", several)


def write_objects(root: Path, inputs: dict[str, Any]) -> None:
    classes = inputs["classes"]
    annotations, results = [], []
    for number, image in enumerate(inputs["detections"]):
        for side, rows in (("gt", annotations), ("pred", results)):
            for one in image[side] or []:
                x, y, width, height = (value * SIDE / 2 for value in one["box"])
                row = {"image_id": number, "category_id": classes.index(one["label"])}
                row["bbox"] = [x + SIDE / 4, y + SIDE / 4, width, height]
                said = {"score": one["confidence"], "logits": one["logits"]} if side == "pred" else {}
                rows.append(row | {"id": f"{number} {one['uid']}"} | said)
    images = [
        {"id": number, "file_name": f"{number:03}.png", "width": SIDE, "height": SIDE}
        for number in range(len(inputs["detections"]))
    ]
    categories = [{"id": number, "name": name} for number, name in enumerate(classes)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "objects.json").write_text(json.dumps(content))
    (root / "scored_detector.json").write_text(json.dumps(results))
    unscored = [{name: value for name, value in row.items() if name != "logits"} for row in results]
    (root / "detector.json").write_text(json.dumps(unscored))


def values(workshop: Workshop, table: str, model: str) -> list[float | None]:
    """Return a score of every image, None where it has none."""
    query = f"""
        select {table} from samples left join (from {table} where model = '{model}') using (sample_id) order by filepath"""
    return [row[0] for row in workshop.rows(query)]


def compare(ours: list[float | None], theirs: list[float | None]) -> None:
    assert [one is None for one in ours] == [one is None for one in theirs]
    # Logits are kept in single precision.
    np.testing.assert_allclose([one or 0 for one in ours], [one or 0 for one in theirs], atol=1e-6)


def test_hardness(workshop: Workshop, outputs: dict[str, Any]) -> None:
    compare(values(workshop, "hardness", "scored"), outputs["hardness.pred"])
    compare(values(workshop, "hardness", "many"), outputs["hardness.multilabel"])


def test_mistakenness_of_classes(workshop: Workshop, outputs: dict[str, Any]) -> None:
    compare(values(workshop, "mistakenness", "sure"), outputs["mistakenness.class.conf"])
    compare(values(workshop, "mistakenness", "scored"), outputs["mistakenness.class.logits"])
    compare(values(workshop, "mistakenness", "many"), outputs["mistakenness.multilabel.logits"])


@pytest.mark.parametrize(("model", "kind"), DETECTORS.items())
def test_mistakenness_of_images_with_objects(
    workshop: Workshop, outputs: dict[str, Any], model: str, kind: str
) -> None:
    rows = workshop.rows(
        "select filepath, mistakenness, possible_missing, possible_spurious"
        f" from mistakenness join samples using (sample_id) where model = '{model}'"
    )
    ours = {row[0]: row[1:] for row in rows}
    for number, theirs in enumerate(outputs[f"mistakenness.det.{kind}"]["samples"]):
        found = ours.pop(f"{number:03}.png", (-1, 0, 0))
        wanted = [theirs[name] for name in ("mistakenness", "possible_missing", "possible_spurious")]
        assert list(found) == pytest.approx(wanted, abs=1e-6), number
    assert ours == {}


@pytest.mark.parametrize(("model", "kind"), DETECTORS.items())
def test_mistakenness_of_objects(
    workshop: Workshop, inputs: dict[str, Any], outputs: dict[str, Any], model: str, kind: str
) -> None:
    rows = workshop.rows(
        f"""
        select filepath, x, y, mistakenness, mistakenness_loc, possible_spurious from object_mistakenness
        join objects using (object_id) join samples on samples.sample_id = objects.sample_id
        where object_mistakenness.source = 'ground_truth' and model = '{model}'"""
    )
    ours = {(name, round(x, 9), round(y, 9)): scores for name, x, y, *scores in rows}
    compared = 0
    for number, image in enumerate(inputs["detections"]):
        theirs = outputs[f"mistakenness.det.{kind}"]["samples"][number]["gt"] or {}
        for one in image["gt"] or []:
            place = (f"{number:03}.png", *(round(value / 2 + 0.25, 9) for value in one["box"][:2]))
            scores, wanted = ours[place], theirs.get(one["uid"], {})
            compare(scores[:2], [wanted.get("mistakenness"), wanted.get("mistakenness_loc")])
            assert scores[2] == wanted.get("possible_spurious", False)
            compared += 1
    assert compared == len(ours)


@pytest.mark.parametrize("model", DETECTORS)
def test_the_export_holds_what_the_peer_copies(
    workshop: Workshop, inputs: dict[str, Any], outputs: dict[str, Any], tmp_path: Path, model: str
) -> None:
    """Check labels with missing objects; the scores of the labels themselves are the same to the peer."""
    theirs = outputs["mistakenness.det.copy_missing"]["samples"]
    assert [{**one, "gt": None} for one in theirs] == [
        {**one, "gt": None} for one in outputs["mistakenness.det.conf"]["samples"]
    ]
    dataset = brain.dataset(workshop.name, home=workshop.home.root)
    exported = dataset.export_objects(tmp_path / "out.json", field="objects", missing_objects=True, model=model)
    content = json.loads(exported.path.read_text())
    names = {image["id"]: image["file_name"] for image in content["images"]}
    ours = [
        (names[one["image_id"]], one["origin"], one["bbox"][0] / SIDE, one["bbox"][1] / SIDE)
        for one in content["annotations"]
    ]
    wanted = [
        (
            f"{number:03}.png",
            "model" if side == "pred" else "ground_truth",
            *(value / 2 + 0.25 for value in one["box"][:2]),
        )
        for number, image in enumerate(inputs["detections"])
        for side in ("gt", "pred")
        for one in image[side] or []
        if one["uid"] in (theirs[number]["gt"] or {})
    ]
    assert [one[:2] for one in sorted(ours)] == [one[:2] for one in sorted(wanted)]
    np.testing.assert_allclose([one[2:] for one in sorted(ours)], [one[2:] for one in sorted(wanted)], atol=1e-9)
    assert exported.added == {model: 69}


CELL = 8
REGION_STEPS = (
    "samples", "media", "ground_truth", "predictions", "objects", "object_embeddings", "similarity", "uniqueness",
    "representativeness", "published",
)  # fmt: skip
REGION_RUNS: list[dict[str, Any]] = [
    {"brain_key": "crops", "method": "object_embeddings", "model": "python:tests.models:Patches"},
    {"brain_key": "regions", "method": "object_embeddings", "embeddings": "crops"},
    {"brain_key": "around", "method": "similarity", "embeddings": "regions"},
    {"brain_key": "unique", "method": "uniqueness", "embeddings": "regions", "similarity": "around",
     "parameters": {"mode": "compat"}},
    {"brain_key": "typical", "method": "representativeness", "embeddings": "regions", "parameters": {"mode": "compat"}},
]  # fmt: skip


@pytest.fixture(scope="module")
def regions(inputs: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Return a dataset of images that are rows of plain patches, each labelled as an object.

    The peer's clusters depend on the order of the images: here it is that of their paths.
    """
    root = tmp_path_factory.mktemp("regions")
    (root / "media").mkdir()
    counts, patch = inputs["npatch"].tolist(), 0
    names = [f"{number:03}.png" for number in range(len(counts))]
    annotations, images = [], []
    for name, count in zip(names, counts, strict=True):
        picture = Image.new("RGB", (CELL * count, CELL))
        for place in range(count):
            box = (CELL * place, 0, CELL, CELL)
            picture.paste(Patches.color(patch), (box[0], 0, box[0] + CELL, CELL))
            annotations.append({"id": patch, "image_id": name, "category_id": 0, "bbox": box})
            patch += 1
        picture.save(root / "media" / name)
        images.append({"id": name, "file_name": name, "width": CELL * count, "height": CELL})
    content = {"images": images, "annotations": annotations, "categories": [{"id": 0, "name": "patch"}]}
    (root / "patches.json").write_text(json.dumps(content))
    made = Workshop(root / "home", root / "media", labels=[{"uri": str(root / "patches.json")}], runs=REGION_RUNS)
    made.run(REGION_STEPS)
    return made


@pytest.mark.parametrize(("table", "key"), [("uniqueness", "unique"), ("representativeness", "typical")])
def test_regions_of_interest(regions: Workshop, outputs: dict[str, Any], table: str, key: str) -> None:
    ours = regions.rows(f"""
        select {table} from {table} join samples using (sample_id) where brain_key = '{key}' order by filepath""")
    # Vectors are kept in single precision.
    np.testing.assert_allclose([row[0] for row in ours], outputs[f"{table}.roi_dict"], atol=1e-5)
