"""COCO, YOLO and Pascal VOC files, and what can be wrong with them."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from brain_assets.resources.label_formats.annotations import Annotations, scored
from tests.resources.formats import read_annotations
from tests.resources.test_labels import input_file

BOX = ("x", "y", "width", "height")


def boxes(found: Annotations) -> list[list[float]]:
    return [[round(one[name], 6) for name in BOX] for one in found.objects]


def coco(path: Path, annotations: list[dict[str, Any]]) -> Annotations:
    tree = {
        "images": [{"id": 1, "file_name": "a/x.png", "width": 20, "height": 10}],
        "categories": [{"id": 7, "name": "cat"}],
        "annotations": annotations,
    }
    path.write_text(json.dumps(tree))
    return read_annotations(input_file(path), "coco")


def test_coco_boxes_polygons_and_crowds(tmp_path: Path) -> None:
    found = coco(
        tmp_path / "a.json",
        [
            {
                "id": 5,
                "image_id": 1,
                "category_id": 7,
                "bbox": [1, 2, 3, 4],
                "iscrowd": 1,
                "segmentation": {"counts": [3]},
            },
            {"id": 6, "image_id": 1, "category_id": 7, "segmentation": [[0, 0, 4, 0, 4, 6]]},
        ],
    )
    assert boxes(found) == [[1, 2, 3, 4], [0, 0, 4, 6]]
    assert [(one["annotation"], one["iscrowd"], one["polygon"]) for one in found.objects] == [
        ("5", True, None),
        ("6", False, [[0, 0, 4, 0, 4, 6]]),
    ]
    assert found.images[0]["keys"] == ["a/x.png", "//x.png"]
    assert [one.reason for one in found.rejected] == ["mask"]


def test_what_cannot_be_used_is_named_by_its_number(tmp_path: Path) -> None:
    good = {"image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4]}
    bad = [
        {"bbox": [0, 0, 0, 5]}, {"bbox": [0, float("nan"), 5, 5]}, {"image_id": 2}, {"category_id": 8}, {"bbox": [1]},
    ]  # fmt: skip
    found = coco(tmp_path / "a.json", [good, *({**good, **one} for one in bad)])
    assert [(one.line, one.reason) for one in found.rejected] == [
        (3, "box"), (4, "no_sample"), (5, "unknown_class"), (6, "box"),
    ]  # fmt: skip
    # Whether a box has an area is seen in its picture.
    assert [one["width"] for one in found.objects] == [3, 0]


def test_results_need_a_score(tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    one = {"image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4]}
    path.write_text(json.dumps([{**one, "score": 0.5}, one, {**one, "score": 2}]))
    found = read_annotations(input_file(path), "coco")
    assert [(one["image_id"], one["category"], one["confidence"]) for one in found.objects] == [("1", "7", 0.5)]
    assert [one.reason for one in found.rejected] == ["confidence", "confidence"]


def test_yolo_takes_names_from_the_yaml_above(tmp_path: Path) -> None:
    (tmp_path / "labels" / "train").mkdir(parents=True)
    (tmp_path / "data.yaml").write_text("names: [cat, dog]\n")
    path = tmp_path / "labels" / "train" / "x.txt"
    path.write_text("1 0.5 0.5 0.2 0.4\n0 0.1 0.1 0.3 0.1 0.3 0.5\n9 0.5 0.5 0.2 0.2\n1 0.5 oops 0.1 0.1\n\n")
    found = read_annotations(input_file(path), "yolo")
    assert [one["label"] for one in found.objects] == ["dog", "cat"]
    assert boxes(found) == [[0.4, 0.3, 0.2, 0.4], [0.1, 0.1, 0.2, 0.4]]
    assert [(one.line, one.reason) for one in found.rejected] == [(3, "unknown_class"), (4, "box")]
    assert found.images[0]["keys"][0] == f"{tmp_path}/images/train/x"


def test_voc_counts_pixels_from_one(tmp_path: Path) -> None:
    path = tmp_path / "x.xml"
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>10</xmax><ymax>5</ymax></bndbox>"
    broken = "<object><name>dog</name><bndbox><xmin>1</xmin></bndbox></object>"
    path.write_text(
        "<annotation><filename>x.png</filename><size><width>20</width><height>10</height></size>"
        f"<object><name>cat</name>{box}</object>{broken}</annotation>"
    )
    found = read_annotations(input_file(path), "voc")
    assert boxes(found) == [[0, 0, 10, 5]]
    assert [(one.line, one.reason) for one in found.rejected] == [(2, "box")]


@pytest.mark.parametrize("form", ["coco", "voc"])
@pytest.mark.parametrize("content", ["", "{", "{}", "[1]", '{"annotations": 3}', "<a"])
def test_a_file_that_is_none_is_one_rejected_row(tmp_path: Path, form: str, content: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    found = read_annotations(input_file(path), form)
    assert found.objects == []
    assert len(found.rejected) == 1


@pytest.mark.parametrize("classes", [(), ("cat", "dog")])
def test_scores_of_results(tmp_path: Path, classes: tuple[str, ...]) -> None:
    given = [[1, 2.5], [], [1.0], "x", [float("nan"), 1.0], None, [-math.inf, 0.0]]
    result = {"image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4], "score": 0.5}
    path = tmp_path / "a.json"
    path.write_text(json.dumps([result | {"logits": logits} for logits in given]))
    found = scored(read_annotations(input_file(path), "coco"), classes)
    assert [(one["line"], one["logits"]) for one in found.objects] == [(1, [1, 2.5]), (6, None), (7, [-math.inf, 0])]
    assert sorted((one.line, one.reason) for one in found.rejected) == [
        (2, "logits_not_numbers"), (3, "logits_length"), (4, "logits_not_numbers"), (5, "logits_not_finite"),
    ]  # fmt: skip


def test_probabilities_of_results_are_kept_as_logarithms(tmp_path: Path) -> None:
    result = {"image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4], "score": 0.5}
    path = tmp_path / "a.json"
    path.write_text(json.dumps([result | {"probabilities": values} for values in ([0.25, 0.75], [0.5, 0.6])]))
    found = scored(read_annotations(input_file(path), "coco"), ())
    assert [one["logits"] for one in found.objects] == [pytest.approx([math.log(0.25), math.log(0.75)])]
    assert [(one.line, one.reason) for one in found.rejected] == [(2, "probabilities_sum")]
