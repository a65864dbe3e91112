"""Labels of objects written as a COCO file, and read back."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner

from brain_assets.app.api import DatasetReader
from brain_assets.app.cli import main
from brain_assets.resources.errors import ConfigurationError, MissingError
from tests.workshop import Workshop, write_pictures

# The pictures are 20 x 16; images and classes have numbers that no counting would give.
NUMBERS = {0: 70, 1: 31, 2: 12, 3: 90}
CLASSES = {"dog": 5, "cat": 17, "bird": 3}
GOOD, FAR, NEAR_FAR = [2, 2, 8, 8], [12, 9, 6, 5], [12, 9, 6, 4.5]
RING = [2.0, 2.0, 10.0, 2.0, 6.0, 10.0]
STEPS = ("samples", "media", "ground_truth", "predictions", "objects", "object_mistakenness", "published")
BOXES = """
    select filepath, label, round(x, 6), round(y, 6), round(objects.width, 6), round(objects.height, 6), polygon, iscrowd
    from objects join samples using (sample_id) where source = 'ground_truth' order by all"""
Found = dict[int, list[tuple[str, list[float], float]]]
FOUND: Found = {
    0: [("cat", GOOD, 0.9), ("dog", FAR, 0.92), ("dog", NEAR_FAR, 0.9)],
    1: [("cat", GOOD, 0.9), ("dog", FAR, 0.3)],
    2: [("cat", GOOD, 0.98)],
}


def write_labels(root: Path) -> None:
    box = {"image_id": NUMBERS[0], "category_id": CLASSES["cat"], "bbox": GOOD}
    annotations = [
        {"id": 1, **box, "segmentation": [RING]},
        {"id": 2, **box, "image_id": NUMBERS[1]},
        {"id": 3, **box, "image_id": NUMBERS[1], "bbox": [0, 0, 20, 4], "iscrowd": 1},
    ]
    images = [{"id": NUMBERS[image], "file_name": f"{image:05}.png", "width": 20, "height": 16} for image in (0, 1, 2)]
    categories = [{"id": number, "name": name} for name, number in CLASSES.items()]
    (root / "labels").mkdir()
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "labels" / "boxes.json").write_text(json.dumps(content))


def write_results(root: Path, model: str, found: Found) -> None:
    rows = [
        {"image_id": NUMBERS[image], "category_id": CLASSES[label], "bbox": box, "score": score}
        for image, ones in found.items()
        for label, box, score in ones
    ]
    (root / "predictions").mkdir(exist_ok=True)
    (root / "predictions" / f"{model}.json").write_text(json.dumps(rows))


def make_workshop(root: Path, name: str, labels: Path, **settings: Any) -> Workshop:
    declared = {"labels": [{"uri": str(labels)}], "predictions": [{"uri": str(root / "predictions")}]}
    workshop = Workshop(root / "home", root / "media", name, **{**declared, **settings})
    workshop.run(STEPS)
    return workshop


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "media", range(4))
    write_labels(tmp_path)
    write_results(tmp_path, "net", FOUND)
    return tmp_path


@pytest.fixture
def workshop(root: Path) -> Workshop:
    return make_workshop(root, "flowers", root / "labels")


def reader(workshop: Workshop) -> DatasetReader:
    return DatasetReader(workshop.name, str(workshop.home.root))


def added_in(path: Path) -> list[dict[str, Any]]:
    return [one for one in json.loads(path.read_text())["annotations"] if one["origin"] == "model"]


def test_what_is_read_back_is_what_was_there_and_what_was_missing(root: Path, workshop: Workshop) -> None:
    files = {path: path.read_bytes() for path in [*root.glob("labels/*"), *root.glob("predictions/*")]}
    before = workshop.rows("from objects order by all")
    target = root / "more.json"
    with reader(workshop) as flowers:
        exported = flowers.export_objects(target, missing_objects=True)
    assert exported == (target, 3, 3, {"net": 2}, 0, 0)
    again = make_workshop(root, "again", target)
    boxes, more = workshop.rows(BOXES), again.rows(BOXES)
    missing = [row for row in more if row not in boxes]
    assert [row for row in more if row in boxes] == boxes
    assert [row[:6] for row in missing] == [
        ("00000.png", "dog", 0.6, 0.5625, 0.3, 0.3125),
        ("00002.png", "cat", 0.1, 0.125, 0.4, 0.5),
    ]
    # The results of the model go by numbers of images and classes: they still mean the same.
    predicted = BOXES.replace("ground_truth", "net")
    assert again.rows(predicted) == workshop.rows(predicted)
    assert again.rows("select reason from rejected_rows") == []
    assert again.rows("select count(*) from object_mistakenness where possible_missing") == [(0,)]
    assert workshop.rows("from objects order by all") == before
    assert files == {path: path.read_bytes() for path in [*root.glob("labels/*"), *root.glob("predictions/*")]}


def test_the_file_is_coco_with_numbers_that_stay(root: Path, workshop: Workshop) -> None:
    one, other = root / "one.json", root / "other.json"
    with reader(workshop) as flowers:
        flowers.export_objects(one, missing_objects=True)
        plain = flowers.export_objects(other)
    assert plain.added == {}
    content, without = json.loads(one.read_text()), json.loads(other.read_text())
    assert {image["file_name"]: image["id"] for image in content["images"]} == {
        f"{image:05}.png": NUMBERS[image] for image in (0, 1, 2)
    }
    assert {one["name"]: one["id"] for one in content["categories"]} == CLASSES
    labels = [one for one in content["annotations"] if one["origin"] == "ground_truth"]
    assert without["annotations"] == labels
    ids = [one["id"] for one in content["annotations"]]
    assert len(set(ids)) == 5
    assert all(0 < number < 2**53 for number in ids)
    outlined = next(one for one in labels if "segmentation" in one)
    assert (outlined["segmentation"], outlined["area"], outlined["bbox"]) == ([RING], 32, GOOD)
    assert [one["iscrowd"] for one in labels if one["bbox"] == [0, 0, 20, 4]] == [1]
    first = next(one for one in added_in(one) if one["image_id"] == NUMBERS[0])
    assert (first["model"], first["confidence"], first["bbox"]) == ("net", 0.92, FAR)
    assert 0.5 <= first["missing_score"] <= 1
    text = one.read_bytes()
    with reader(workshop) as flowers:
        flowers.export_objects(one, force=True, missing_objects=True)
    assert one.read_bytes() == text


def test_model_and_score_choose(root: Path) -> None:
    write_results(root, "other", {**FOUND, 1: [("cat", GOOD, 0.9), ("bird", FAR, 0.9)], 2: [("cat", GOOD, 0.7)]})
    workshop = make_workshop(root, "flowers", root / "labels")
    target = root / "more.json"
    with reader(workshop) as flowers:

        def write(**choice: Any) -> dict[str, int]:
            return dict(flowers.export_objects(target, force=True, missing_objects=True, **choice).added)

        both = write()
        assert sum(both.values()) == 3
        assert write(model="net") == {"net": 2}
        assert write(model="other")["other"] >= 2
        scores = sorted(row["missing_score"] for row in (write(model="net"), added_in(target))[1])
        assert scores[0] < scores[1]
        assert write(model="net", min_score=scores[1]) == {"net": 1}
        assert [row["missing_score"] for row in added_in(target)] == scores[1:]
        assert write(min_score=1.0) == {}


def test_compat_copies_what_the_peer_does(root: Path) -> None:
    write_results(root, "net", {0: [("dog", FAR, 0.97), ("dog", NEAR_FAR, 0.96), ("cat", [0, 0, 2, 2], 0.95)]})
    workshop = make_workshop(root, "flowers", root / "labels", mistakenness={"mode": "compat"})
    with reader(workshop) as flowers:
        assert flowers.export_objects(root / "all.json", missing_objects=True).added == {"net": 2}
        assert flowers.export_objects(root / "few.json", missing_objects=True, min_score=0.965).added == {"net": 1}
    assert [(one["confidence"], one["missing_score"]) for one in added_in(root / "few.json")] == [(0.97, None)]


def test_images_without_a_size_are_left_out_and_counted(root: Path) -> None:
    (root / "media" / "00001.png").write_bytes(b"no image")
    workshop = make_workshop(root, "flowers", root / "labels")
    with reader(workshop) as flowers:
        exported = flowers.export_objects(root / "more.json")
    assert (exported.images, exported.labels, exported.left_out) == (2, 1, 1)
    assert str(exported).endswith("left out 1 images of unknown size")


def test_the_command(root: Path, workshop: Workshop) -> None:
    def brain(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, ["--home", str(workshop.home.root), "export", "flowers", *arguments])
        return result.exit_code, " ".join(result.output.split())

    target = str(root / "more.json")
    code, text = brain("-o", target, "--missing-objects")
    assert (code, text) == (
        0,
        f"wrote {target}: 3 images, 3 labels, 2 objects added (net: 2) that nobody has confirmed",
    )
    assert brain("-o", target)[0] == 1
    assert "--force" in brain("-o", target)[1]
    assert brain("-o", target, "--force") == (0, f"wrote {target}: 3 images, 3 labels, 0 objects added")
    assert brain("-o", str(root / "no" / "more.json"))[1].startswith("brain: the export cannot be written to")
    assert brain("--missing-objects")[0] == 2


Refusal = tuple[dict[str, Any], type[Exception], str]
REFUSALS: list[Refusal] = [
    ({"field": "parts"}, MissingError, r"no field 'parts' has labels of objects \(fields: ground_truth\)"),
    ({"missing_objects": True, "model": "nobody"}, MissingError, r"no model 'nobody' .* \(models: net\)"),
    ({"model": "net"}, ConfigurationError, "ask for --missing-objects"),
    ({"missing_objects": True, "min_score": 2.0}, ConfigurationError, r"must be in \[0, 1\], not 2.0"),
]


def test_what_cannot_be_chosen_is_said(root: Path, workshop: Workshop) -> None:
    with reader(workshop) as flowers:
        for choice, kind, text in REFUSALS:
            with pytest.raises(kind, match=text):
                flowers.export_objects(root / "more.json", **choice)
        for own in (
            root / "labels" / "new.json",
            root / "labels" / "boxes.json",
            root / "predictions" / "x" / "a.json",
        ):
            with pytest.raises(ConfigurationError, match="is among the labels and predictions"):
                flowers.export_objects(own, force=True)
    assert not (root / "more.json").exists()
    assert not (root / "labels" / "new.json").exists()


def without_objects(root: Path) -> None:
    (root / "labels" / "boxes.json").unlink()


def without_models(root: Path) -> None:
    (root / "predictions" / "net.json").unlink()


@pytest.mark.parametrize(
    ("take_away", "text"),
    [(without_objects, "the dataset has no labels of objects"), (without_models, "no model has predicted objects")],
)
def test_nothing_to_export_is_said(root: Path, take_away: Callable[[Path], None], text: str) -> None:
    take_away(root)
    workshop = make_workshop(root, "flowers", root / "labels")
    with reader(workshop) as flowers, pytest.raises(MissingError, match=text):
        flowers.export_objects(root / "more.json", missing_objects=True)


def test_a_set_from_before_says_what_to_do(root: Path) -> None:
    workshop = make_workshop(root, "flowers", root / "labels")
    for name in ("object_images", "object_classes"):
        (workshop.paths.published / "current" / f"{name}.parquet").unlink()
    with reader(workshop) as flowers, pytest.raises(duckdb.Error, match="run 'brain materialize flowers'"):
        flowers.export_objects(root / "more.json")
