"""From COCO, YOLO and Pascal VOC files and COCO results to objects, their scores and issues."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from brain_assets.resources.media.media_source import sample_id
from tests import models
from tests.workshop import Workshop, give_calibrations, write_pictures

STEPS = (
    "samples", "media", "ground_truth", "predictions", "objects", "object_mistakenness", "mistakenness", "published",
)  # fmt: skip
# The pictures are 20 x 16.
GOOD, SHIFTED, ELSEWHERE = [2, 2, 8, 8], [5, 5, 8, 8], [12, 10, 6, 4]


def write_coco(path: Path, objects: dict[int, list[tuple[str, list[float]]]]) -> None:
    annotations = [
        {"id": f"{image}-{number}", "image_id": image, "category_id": ["cat", "dog"].index(label), "bbox": box}
        for image, found in objects.items()
        for number, (label, box) in enumerate(found)
    ]
    images = [{"id": image, "file_name": f"{image:05}.png", "width": 20, "height": 16} for image in objects]
    categories = [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))


def write_results(path: Path, objects: dict[int, list[tuple[str, list[float], float]]]) -> None:
    path.parent.mkdir(exist_ok=True)
    rows = [
        {"image_id": image, "category_id": ["cat", "dog"].index(label), "bbox": box, "score": score}
        for image, found in objects.items()
        for label, box, score in found
    ]
    path.write_text(json.dumps(rows))


def make_workshop(root: Path, home: str, **settings: Any) -> Workshop:
    (root / "predictions").mkdir(exist_ok=True)
    declared = {"labels": [{"uri": str(root / "labels.json")}], "predictions": [{"uri": str(root / "predictions")}]}
    return Workshop(root / home, root / "media", **{"select": STEPS, **declared, **settings})


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    write_pictures(tmp_path / "media", range(8))
    write_coco(tmp_path / "labels.json", {image: [("cat", GOOD)] for image in range(5)} | {5: []})
    return make_workshop(tmp_path, "home")


def check(workshop: Workshop, root: Path) -> None:
    assert workshop.wrong() == {}
    rebuild = make_workshop(root, "rebuild")
    give_calibrations(workshop, rebuild)
    rebuild.run()
    for table in ("objects", "object_images", "object_classes", "object_mistakenness", "mistakenness", "rejected_rows"):
        assert workshop.rows(f"from {table} order by all") == rebuild.rows(f"from {table} order by all")
    rebuild.remove()


def test_yolo_labels_and_what_models_find_share_the_names_above_them(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", range(2))
    for folder, lines in (("set/labels", "0 .5 .5 .2 .2\n"), ("runs/net", "1 .5 .5 .2 .2 .9\n")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "00000.txt").write_text(lines)
    found = [{"image_id": "00001", "file_name": "00001.png", "category_id": 1, "bbox": GOOD, "score": 0.9}]
    (tmp_path / "runs" / "net.json").write_text(json.dumps(found))
    names = tmp_path / "set" / "data.yaml"
    settings = {"labels": [{"uri": str(tmp_path / "set" / "labels")}], "predictions": [{"uri": str(tmp_path / "runs")}]}
    steps = ("samples", "media", "ground_truth", "predictions", "objects", "published")
    query = "select source, label from objects order by all"
    made = Workshop(tmp_path / "home", tmp_path / "images", **settings)
    for content, first, second in (("names: [cat, dog]", "cat", "dog"), ("names: [no, yes]", "no", "yes")):
        names.write_text(content)
        made.run(steps)
        assert made.rows(query) == [("ground_truth", first), ("net", second), ("net", second)]
        rebuild = Workshop(tmp_path / "rebuild", tmp_path / "images", **settings)
        rebuild.run(steps)
        assert rebuild.rows("from objects order by all") == made.rows("from objects order by all")
        rebuild.remove()
    names.unlink()
    made.run(steps)
    assert made.rows(query) == [("ground_truth", "0")]
    assert made.rows("select distinct reason from rejected_rows") == [("unknown_class",)]


def test_objects_are_relative_to_the_image_and_judged(workshop: Workshop, tmp_path: Path) -> None:
    found = {
        0: [("cat", GOOD, 0.9)],
        1: [("dog", GOOD, 0.9)],
        2: [("cat", SHIFTED, 0.9)],
        3: [("cat", GOOD, 0.9), ("dog", ELSEWHERE, 0.9)],
        5: [("cat", GOOD, 0.9)],
        6: [("cat", GOOD, 0.9)],
    }
    write_results(tmp_path / "predictions" / "net.json", found)
    workshop.run((*STEPS, "image_quality", "issues"))
    query = "select x, y, width, height from objects where source = 'ground_truth'"
    assert set(workshop.rows(query)) == {(0.1, 0.125, 0.4, 0.5)}
    query = "select filepath, issue from issues join samples using (sample_id) where is_issue and object_id is not null"
    assert set(workshop.rows(query)) >= {
        ("00001.png", "label_mistake"),
        ("00003.png", "missing_object"),
        ("00005.png", "missing_object"),
    }
    assert ("00000.png", "label_mistake") not in workshop.rows(query)
    # A label's place is compared with a prediction that shares no more than a corner, too.
    compared = """
        select filepath, matched_id is not null from object_mistakenness scores join samples using (sample_id)
        join objects on placed_by = objects.object_id and scores.model = objects.source order by 1"""
    assert workshop.rows(compared) == [
        ("00000.png", True),
        ("00001.png", True),
        ("00002.png", False),
        ("00003.png", True),
    ]
    clean = "select count(*) from issues join samples using (sample_id) where is_issue and filepath in ('00000.png', '00006.png')"
    assert workshop.rows(clean) == [(0,)]
    assert workshop.rows(
        "select possible_missing from mistakenness join samples using (sample_id) where filepath = '00003.png'"
    ) == [(1,)]
    worst = """
        select filepath from object_mistakenness join samples using (sample_id)
        order by mistakenness_loc desc nulls last limit 1"""
    assert workshop.rows(worst) == [("00002.png",)]
    waiting = "select file, line, reason from rejected_rows"
    assert workshop.rows(waiting) == [("net.json", 7, "no_sample")]
    check(workshop, tmp_path)


def test_an_object_without_a_number_keeps_the_id_that_version_0_1_gave_it(tmp_path: Path) -> None:
    """It is a hash of the box as it was computed then, to the last bit."""
    write_pictures(tmp_path / "media", [0])
    write_coco(tmp_path / "labels.json", {0: []})
    boxes = [[x / 10, 3.3, width / 10, 1.1] for x in range(1, 60, 7) for width in range(11, 60, 9)]
    write_results(tmp_path / "predictions" / "net.json", {0: [("dog", box, 0.5) for box in boxes]})
    workshop = make_workshop(tmp_path, "home")
    workshop.run()
    image = sample_id("00000.png")
    spans = [(x / 20, (x + width) / 20 - x / 20, y / 16, (y + height) / 16 - y / 16) for x, y, width, height in boxes]
    said = [f"net|ground_truth|dog|{x}|{y}|{width}|{height}|1" for x, width, y, height in spans]
    expected = {image + hashlib.md5(one.encode()).hexdigest()[:12] for one in said}
    assert {found for (found,) in workshop.rows("select object_id from objects where source = 'net'")} == expected


def test_only_images_that_changed_are_compared(workshop: Workshop, tmp_path: Path) -> None:
    results = {image: [("cat", GOOD, 0.9)] for image in range(5)}
    write_results(tmp_path / "predictions" / "net.json", results)
    workshop.select |= {"embeddings"}
    workshop.run()
    ids = workshop.rows("select object_id from objects order by all")
    models.EMBEDDED.clear()
    write_results(tmp_path / "predictions" / "net.json", {**results, 2: [("dog", GOOD, 0.8)]})
    assert workshop.run()["object_mistakenness"].notes["judged"] == 1
    assert models.EMBEDDED == []
    check(workshop, tmp_path)
    write_results(tmp_path / "predictions" / "net.json", results)
    workshop.run()
    assert workshop.rows("select object_id from objects order by all") == ids
    (tmp_path / "predictions" / "net.json").unlink()
    workshop.run()
    assert workshop.rows("select count(*) from object_mistakenness") == [(0,)]
    check(workshop, tmp_path)


def test_logits_are_kept_and_count_in_compat(workshop: Workshop, tmp_path: Path) -> None:
    path = tmp_path / "predictions" / "net.json"
    results = [{"image_id": image, "category_id": 0, "bbox": GOOD, "score": 0.9} for image in range(3)]
    results[0]["logits"] = [0.0, 0.0]
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results))
    workshop.run()
    results[1]["logits"] = [0.0, 0.0]
    path.write_text(json.dumps([*results, results[2] | {"logits": [1.0]}]))
    assert workshop.run()["object_mistakenness"].notes["judged"] == 1
    rows = workshop.rows(
        "select logits from objects join samples using (sample_id) where source = 'net' order by filepath"
    )
    assert rows == [([0.0, 0.0],), ([0.0, 0.0],), (None,)]
    assert workshop.rows("select line, reason, detail from rejected_rows") == [(4, "logits_length", "expected 2")]
    check(workshop, tmp_path)
    peer = make_workshop(tmp_path, "peer", mistakenness={"mode": "compat"})
    peer.run()
    rows = peer.rows("select mistakenness from object_mistakenness where mistakenness is not null order by all")
    assert [row[0] for row in rows] == pytest.approx([0.05, 0.25, 0.25])


def test_results_wait_for_labels_and_images(workshop: Workshop, tmp_path: Path) -> None:
    write_results(tmp_path / "predictions" / "net.json", {9: [("cat", GOOD, 0.9)], 0: [("cat", [30, 2, 4, 4], 0.9)]})
    workshop.run()
    assert workshop.rows("select line, reason from rejected_rows order by all") == [
        (1, "no_sample"),
        (2, "box_outside"),
    ]
    write_pictures(tmp_path / "media", [9])
    write_coco(tmp_path / "labels.json", {0: [], 9: [("cat", GOOD)]})
    workshop.run()
    assert workshop.rows("select source, label from objects order by all") == [("ground_truth", "cat"), ("net", "cat")]
    check(workshop, tmp_path)


def test_yolo_beside_the_images(tmp_path: Path) -> None:
    write_pictures(tmp_path / "data" / "images" / "train", range(3))
    labels = tmp_path / "data" / "labels" / "train"
    labels.mkdir(parents=True)
    (tmp_path / "data" / "data.yaml").write_text("names: {0: cat, 1: dog}\n")
    (labels / "00000.txt").write_text("1 0.5 0.5 0.2 0.4\n")
    (labels / "00001.txt").write_text("")
    labels = [{"uri": str(tmp_path / "data" / "labels")}]
    workshop = Workshop(tmp_path / "home", tmp_path / "data" / "images", select=STEPS, labels=labels)
    workshop.run()
    query = "select filepath, label, round(x, 6), round(objects.width, 6) from objects join samples using (sample_id)"
    assert [row[:2] for row in workshop.rows(query)] == [("train/00000.png", "dog")]
    assert [row[2:] for row in workshop.rows(query)] == [(0.4, 0.2)]
    assert workshop.wrong() == {}


def test_compat_gives_the_peers_hard_cuts(workshop: Workshop, tmp_path: Path) -> None:
    write_results(tmp_path / "predictions" / "net.json", {0: [("dog", GOOD, 0.8)], 1: [("cat", ELSEWHERE, 0.96)]})
    workshop = make_workshop(tmp_path, "other", mistakenness={"mode": "compat"})
    workshop.run()
    query = "select mistakenness, possible_spurious, possible_missing from object_mistakenness join samples using (sample_id)"
    rows = workshop.rows(f"{query} order by filepath, source")
    assert rows[0][0] == pytest.approx(0.9)
    assert rows[2:4] == [(None, True, None), (None, None, True)]
    # To the peer an image without predictions is one in which the model found nothing.
    assert rows[4:] == [(None, True, None)] * 3


def test_masks_of_runs_are_outlines_and_broken_ones_leave_the_box(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", [0])
    # Column by column: a block of 4 x 8 pixels from (2, 4), the upper left pixel of which is missing.
    runs = [2 * 16 + 5, 7, *[8, 8] * 3, 4 + 16 * 14]
    masks = [{"size": [16, 20], "counts": runs}, {"size": [16, 20], "counts": [7]}]
    annotations = [
        {"id": number, "image_id": 0, "category_id": 0, "bbox": [2, 4, 4, 8], "segmentation": mask}
        for number, mask in enumerate(masks)
    ]
    images = [{"id": 0, "file_name": "00000.png", "width": 20, "height": 16}]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 0, "name": "cat"}]}
    (tmp_path / "labels.json").write_text(json.dumps(content))
    workshop = make_workshop(tmp_path, "home")
    workshop.run()
    first, second = workshop.rows("select polygon from objects order by polygon is null")
    assert second == (None,)
    corners = [[first[0][0][i] * 20, first[0][0][i + 1] * 16] for i in range(0, len(first[0][0]), 2)]
    assert sorted(map(tuple, corners)) == [(2, 5), (2, 12), (3, 4), (3, 5), (6, 4), (6, 12)]
    assert workshop.rows("select line, reason from rejected_rows") == [(2, "mask")]


@pytest.mark.parametrize(
    ("given", "found", "iou"),
    [("outline", "outline", 0.875), ("outline", "box", 1), ("box", "outline", 1), ("box", "box", 1)],
)
def test_outlines_are_compared_where_both_have_one(tmp_path: Path, given: str, found: str, iou: float) -> None:
    write_pictures(tmp_path / "media", [0])
    square, without_corner = [2, 2, 10, 2, 10, 10, 2, 10], [2, 2, 10, 2, 10, 6, 6, 10, 2, 10]
    label, result = (
        {"image_id": 0, "category_id": 0, "bbox": GOOD} | ({"segmentation": [ring]} if kind == "outline" else {})
        for kind, ring in ((given, without_corner), (found, square))
    )
    write_coco(tmp_path / "labels.json", {0: []})
    content = json.loads((tmp_path / "labels.json").read_text()) | {"annotations": [label]}
    (tmp_path / "labels.json").write_text(json.dumps(content))
    workshop = make_workshop(tmp_path, "home")
    (tmp_path / "predictions" / "net.json").write_text(json.dumps([result | {"score": 0.9}]))
    workshop.run()
    assert workshop.rows("select distinct iou from object_mistakenness") == [(pytest.approx(iou),)]


def test_what_a_model_found_in_a_picture_of_another_size_lies_where_it_says(tmp_path: Path) -> None:
    """A detector may have seen another size than the picture at hand, and its file says which: as of labels, that one counts."""
    write_pictures(tmp_path / "media", range(4))
    (tmp_path / "media" / "00003.png").write_bytes((tmp_path / "media" / "00003.png").read_bytes()[:60])
    runs = tmp_path / "runs"
    (runs / "voc").mkdir(parents=True)
    images = [{"id": image, "file_name": f"{image:05}.png", "width": 40, "height": 32} for image in range(4)]
    found = [
        {"id": image, "image_id": image, "category_id": 0, "bbox": [4, 4, 16, 16], "score": 0.9} for image in range(4)
    ]
    (runs / "coco.json").write_text(
        json.dumps({"images": images, "annotations": found, "categories": [{"id": 0, "name": "cat"}]})
    )
    rows = [f"{image:05}.png,40,32,cat,4,4,20,20,.9" for image in range(4)]
    (runs / "table.csv").write_text(
        "\n".join(["filename,width,height,class,xmin,ymin,xmax,ymax,confidence", *rows]) + "\n"
    )
    for image in range(4):
        (runs / "voc" / f"{image:05}.xml").write_text(
            f"<annotation><filename>{image:05}.png</filename><size><width>40</width><height>32</height></size><object>"
            "<name>cat</name><confidence>.9</confidence><bndbox><xmin>5</xmin><ymin>5</ymin><xmax>20</xmax><ymax>20</ymax></bndbox>"
            "</object></annotation>"
        )
    made = Workshop(
        tmp_path / "home", tmp_path / "media", select=STEPS, predictions=[{"uri": str(runs)}], classes=["cat"]
    )
    made.run()
    assert made.rows("select file, reason, count(*) from rejected_rows group by all") == []
    placed = "select source, count(*), min(x), max(x), min(y), max(width), max(height) from objects group by all order by all"
    box = [pytest.approx(value) for value in (0.1, 0.1, 0.125, 0.4, 0.5)]
    assert [list(row) for row in made.rows(placed)] == [[source, 4, *box] for source in ("coco", "table", "voc")]
