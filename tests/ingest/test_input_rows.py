"""What files say more than once costs itself, and never a run."""

import json
from pathlib import Path
from typing import Any

from tests.workshop import Workshop, write_pictures

STEPS = ("samples", "media", "predictions", "ground_truth", "objects", "published")
BOX = [2, 2, 8, 8]


def image(number: object, name: str) -> dict[str, Any]:
    return {"id": number, "file_name": name, "width": 20, "height": 16}


def write(path: Path, images: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    given = [{"category_id": 1, "bbox": BOX, **one} for one in annotations]
    path.write_text(json.dumps({"images": images, "annotations": given, "categories": [{"id": 1, "name": "cat"}]}))
    return path


def make(root: Path, home: str = "home", **settings: Any) -> Workshop:
    write_pictures(root / "media", range(3))
    return Workshop(root / home, root / "media", **{"labels": [{"uri": str(root / "labels")}], **settings})


def objects(workshop: Workshop) -> list[tuple]:
    return workshop.rows("select filepath, source from objects join samples using (sample_id) order by all")


def rejected(workshop: Workshop) -> list[tuple]:
    return workshop.rows("select line, reason from rejected_rows order by all")


def test_an_image_id_of_two_images_costs_its_own_objects(tmp_path: Path) -> None:
    annotations = [{"id": 1, "image_id": 1}, {"id": 2, "image_id": 2}]
    write(
        tmp_path / "labels" / "a.json",
        [image(1, "00000.png"), image(7, "00001.png"), image(2, "00002.png")],
        annotations,
    )
    workshop = make(tmp_path)
    workshop.run(STEPS)
    assert objects(workshop) == [("00000.png", "ground_truth"), ("00002.png", "ground_truth")]
    write(
        tmp_path / "labels" / "a.json",
        [image(1, "00000.png"), image(1, "00001.png"), image(2, "00002.png")],
        annotations,
    )
    workshop.run(STEPS)
    assert objects(workshop) == [("00002.png", "ground_truth")]
    assert rejected(workshop) == [(1, "duplicate_id"), (None, "duplicate_id")]
    rebuild = make(tmp_path, "rebuild")
    rebuild.run(STEPS)
    assert (objects(rebuild), rejected(rebuild)) == (objects(workshop), rejected(workshop))


def test_an_image_that_is_listed_twice_is_one(tmp_path: Path) -> None:
    write(tmp_path / "labels" / "a.json", [image(1, "00000.png"), image(1, "00000.png")], [{"id": 1, "image_id": 1}])
    workshop = make(tmp_path)
    workshop.run(STEPS)
    assert (objects(workshop), rejected(workshop)) == ([("00000.png", "ground_truth")], [])


def test_annotations_of_one_id_are_different_objects(tmp_path: Path) -> None:
    same = [{"id": 0, "image_id": 1}, {"id": 0, "image_id": 1, "bbox": [5, 5, 3, 3]}, {"id": 0, "image_id": 2}]
    write(tmp_path / "labels" / "a.json", [image(1, "00000.png"), image(2, "00001.png")], same)
    workshop = make(tmp_path)
    workshop.run(STEPS)
    ids = workshop.rows("select object_id from objects order by all")
    assert len(set(ids)) == 3
    write(tmp_path / "labels" / "a.json", [image(1, "00000.png"), image(2, "00001.png")], same[:1])
    workshop.run(STEPS)
    assert set(workshop.rows("select object_id from objects")) < set(ids)


def results(path: Path, numbers: list[int]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps([{"image_id": one, "category_id": 1, "bbox": BOX, "score": 0.5} for one in numbers]))


def test_results_mean_the_ids_of_the_file_that_holds_them_all(tmp_path: Path) -> None:
    write(tmp_path / "labels" / "train.json", [image(1, "00000.png")], [])
    write(tmp_path / "labels" / "test.json", [image(1, "00001.png"), image(2, "00002.png")], [])
    results(tmp_path / "found" / "net.json", [1, 2])
    workshop = make(tmp_path, predictions=[{"uri": str(tmp_path / "found")}])
    workshop.run(STEPS)
    assert objects(workshop) == [("00001.png", "net"), ("00002.png", "net")]
    results(tmp_path / "found" / "net.json", [1])
    workshop.run(STEPS)
    assert objects(workshop) == []
    assert workshop.rows("select reason, detail from rejected_rows") == [
        ("ambiguous", "image_id 1: could be test.json, train.json")
    ]
    workshop = make(tmp_path, "declared", predictions=[{"uri": str(tmp_path / "found"), "image_ids": "train.json"}])
    workshop.run(STEPS)
    assert objects(workshop) == [("00000.png", "net")]


def test_results_wait_for_the_images_of_their_own_file(tmp_path: Path) -> None:
    write(tmp_path / "labels" / "train.json", [image(1, "00000.png")], [])
    write(tmp_path / "labels" / "test.json", [image(1, "later.png"), image(2, "00002.png")], [])
    results(tmp_path / "found" / "net.json", [1, 2])
    workshop = make(tmp_path, predictions=[{"uri": str(tmp_path / "found")}])
    workshop.run(STEPS)
    assert objects(workshop) == [("00002.png", "net")]
    (tmp_path / "media" / "later.png").write_bytes((tmp_path / "media" / "00001.png").read_bytes())
    workshop.run(STEPS)
    assert objects(workshop) == [("00002.png", "net"), ("later.png", "net")]
    assert rejected(workshop) == []
