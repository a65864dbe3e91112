"""Objects as subjects: vectors of crops, and what is derived of them, at the cost of the change."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brain_assets.app.api import DatasetReader
from brain_assets.assets.declarations import check_declaration
from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.settings.configuration import load_dataset
from tests import models
from tests.workshop import Workshop, assert_equals_rebuild, give_calibrations, write_pictures

# The pictures are 20 x 16.
WHOLE, LEFT, RIGHT = [0, 0, 20, 16], [2, 2, 8, 8], [11, 4, 6, 10]
Boxes = dict[int, list[list[float]]]
STEPS = (
    "samples", "media", "ground_truth", "predictions", "objects", "embeddings", "object_embeddings", "similarity",
    "uniqueness", "outliers", "visualization", "published",
)  # fmt: skip
RUNS: list[dict[str, Any]] = [
    {"brain_key": "regions", "method": "object_embeddings", "embeddings": "crops"},
    {"brain_key": "crops", "method": "object_embeddings"},
    {"brain_key": "alike", "method": "similarity", "embeddings": "crops", "parameters": {"k": 3}},
    {"brain_key": "around", "method": "similarity", "embeddings": "regions", "parameters": {"k": 3}},
    {"brain_key": "odd_crops", "method": "uniqueness", "similarity": "alike"},
    {"brain_key": "far_crops", "method": "outliers", "similarity": "alike"},
    {"brain_key": "map_of_crops", "method": "visualization", "embeddings": "crops", "similarity": "alike",
     "parameters": {"method": "pca"}},
]  # fmt: skip


def write_coco(root: Path, boxes: Boxes, **more: Any) -> None:
    annotations = [
        {"id": f"{image}-{number}", "image_id": image, "category_id": 0, "bbox": box, **more}
        for image, found in boxes.items()
        for number, box in enumerate(found)
    ]
    images = [{"id": image, "file_name": f"{image:05}.png", "width": 20, "height": 16} for image in boxes]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 0, "name": "cat"}]}
    (root / "labels.json").write_text(json.dumps(content))


def make_workshop(root: Path, home: str = "home", **settings: Any) -> Workshop:
    declared = {"labels": [{"uri": str(root / "labels.json")}], "similarity": {"k": 3}, "runs": RUNS}
    return Workshop(root / home, root / "media", **{**declared, **settings})


@pytest.fixture
def boxes(tmp_path: Path) -> Boxes:
    write_pictures(tmp_path / "media", range(8))
    boxes = {image: [LEFT, RIGHT] for image in range(6)} | {6: [WHOLE], 7: []}
    write_coco(tmp_path, boxes)
    return boxes


def vectors(workshop: Workshop, key: str) -> np.ndarray:
    rows = workshop.rows(f"""
        select vector from embeddings join samples using (sample_id) left join objects using (object_id)
        where brain_key = '{key}' order by filepath, x""")
    return np.array([row[0] for row in rows])


def test_objects_stand_where_images_do(tmp_path: Path, boxes: Boxes) -> None:
    workshop = make_workshop(tmp_path)
    workshop.run(STEPS)
    assert workshop.wrong(STEPS) == {}
    crops, images, regions = (vectors(workshop, key) for key in ("crops", "embeddings", "regions"))
    assert (len(crops), len(images), len(regions)) == (13, 8, 8)
    np.testing.assert_allclose(crops[12], images[6], atol=1e-4)
    np.testing.assert_allclose(regions[0], crops[:2].mean(axis=0), rtol=1e-5)
    # An image without objects stands for itself.
    np.testing.assert_allclose(regions[7], images[7])

    nearest = workshop.rows("""
        select subject_id, neighbors.sample_id, neighbors.object_id, neighbor_id, distance from neighbors
        where brain_key = 'alike' and rank = 1 order by 1""")
    owners = dict(workshop.rows("select object_id, sample_id from objects"))
    assert {row[0] for row in nearest} == set(owners)
    assert all(row[2] == row[0] and row[1] == owners[row[0]] and row[3] in owners for row in nearest)
    ids = [
        row[0]
        for row in workshop.rows("select object_id from objects join samples using (sample_id) order by filepath, x")
    ]
    unit = crops / np.linalg.norm(crops, axis=1, keepdims=True)
    distances = 1 - unit @ unit.T + 9 * np.eye(len(unit))
    expected = dict(zip(ids, distances.min(axis=1), strict=True))
    for subject, _, _, _, distance in nearest:
        assert distance == pytest.approx(expected[subject], abs=1e-5)
    for table, key, count in (
        ("uniqueness", "odd_crops", 13),
        ("visualization", "map_of_crops", 13),
        ("neighbors", "around", 24),
    ):
        found = f"select count(*), count(object_id) from {table} where brain_key = '{key}'"
        assert workshop.rows(found) == [(count, 0 if key == "around" else count)]
    # Every hit has its distance, of several objects in one image too; the peer raises TypeError.
    with DatasetReader(workshop.name, str(workshop.home.root)) as reader:
        hits = reader.similar(ids[0], k=99, brain_key="crops").project("subject_id, sample_id, distance").fetchall()
    assert {hit[0]: hit[1] for hit in hits} == owners
    np.testing.assert_allclose([hit[2] for hit in hits], np.sort(np.r_[0.0, np.delete(distances[0], 0)]), atol=1e-5)


def test_only_objects_that_changed_are_embedded(tmp_path: Path, boxes: Boxes) -> None:
    workshop = make_workshop(tmp_path)
    workshop.run(STEPS)
    models.EMBEDDED.clear()
    assert workshop.run(STEPS)["object_embeddings"].up_to_date
    write_coco(tmp_path, {**boxes, 2: [LEFT, [10, 4, 6, 10]], 7: [RIGHT]})
    (tmp_path / "media" / "00003.png").rename(tmp_path / "media" / "moved.png")
    report = workshop.run(STEPS)["object_embeddings"]
    assert sum(models.EMBEDDED) == report.notes["embedded"] == 2
    assert workshop.wrong(STEPS) == {}
    rebuild = make_workshop(tmp_path, "rebuild")
    give_calibrations(workshop, rebuild)
    rebuild.run(STEPS)
    assert_equals_rebuild(workshop, rebuild)
    (tmp_path / "labels.json").unlink()
    workshop.declare(media=str(tmp_path / "media"), embeddings={"model": "python:tests.models:Pixels"}, runs=RUNS)
    workshop.run(STEPS)
    assert workshop.rows("select distinct brain_key from embeddings order by 1") == [("embeddings",), ("regions",)]
    assert workshop.wrong(STEPS) == {}


def test_a_crop_may_be_wider_and_square_and_of_a_models_objects(tmp_path: Path, boxes: Boxes) -> None:
    (tmp_path / "predictions").mkdir()
    results = [{"image_id": 0, "category_id": 0, "bbox": LEFT, "score": 0.9}]
    (tmp_path / "predictions" / "net.json").write_text(json.dumps(results))
    square = {"source": "net", "alpha": 1.5, "force_square": True}
    wide = {"by_sides": {"alpha_horizontal": 10, "alpha_vertical": 9}, "by_margin": {"margin": 1000}}
    runs = [{"brain_key": "squares", "method": "object_embeddings", "parameters": square}] + [
        {"brain_key": key, "method": "object_embeddings", "parameters": {"source": "net", **said}}
        for key, said in wide.items()
    ]
    workshop = make_workshop(tmp_path, runs=runs, predictions=[{"uri": str(tmp_path / "predictions")}])
    workshop.run(STEPS[:7] + STEPS[-1:])
    # Either makes the whole image of it.
    np.testing.assert_array_equal(vectors(workshop, "by_sides"), vectors(workshop, "by_margin"))
    assert (vectors(workshop, "by_sides") != vectors(workshop, "squares")).any()
    # Twice and a half the box, cut off at the image, is all of its height and as much of its width.
    write_coco(tmp_path, {0: [[0, 0, 16, 16]]})
    same = [{"brain_key": "same", "method": "object_embeddings"}]
    workshop = make_workshop(tmp_path, runs=[*runs, *same], predictions=[{"uri": str(tmp_path / "predictions")}])
    models.EMBEDDED.clear()
    workshop.run(STEPS[:7] + STEPS[-1:])
    assert models.EMBEDDED == []
    assert len(vectors(workshop, "squares")) == 1
    np.testing.assert_array_equal(vectors(workshop, "squares"), vectors(workshop, "same"))


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (
            {"brain_key": "copies", "method": "near_duplicates", "embeddings": "crops"},
            "neighbours of 'neighbors' are not of its",
        ),
        (
            {"brain_key": "map", "method": "visualization", "embeddings": "crops"},
            "neighbours of 'neighbors' are not of its",
        ),
        (
            {"brain_key": "votes", "method": "label_issues", "similarity": "alike"},
            "neighbours of 'alike' are not of its",
        ),
        ({"brain_key": "crops2", "method": "object_embeddings", "model": "precomputed:x.npy"}, "given vectors"),
        ({"brain_key": "means", "method": "object_embeddings", "embeddings": "regions"}, "takes means itself"),
    ],
)
def test_what_objects_cannot_be_is_said_in_one_line(tmp_path: Path, run: dict[str, str], words: str) -> None:
    (tmp_path / "media").mkdir()
    workshop = make_workshop(tmp_path, labels=[], runs=[*RUNS, run])

    def declare_and_run() -> None:
        check_declaration(load_dataset(workshop.paths.config).settings)
        workshop.run(["object_embeddings"])

    with pytest.raises(ConfigurationError, match=words):
        declare_and_run()
