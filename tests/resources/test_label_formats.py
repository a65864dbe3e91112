"""Annotations in every format: what is read, what is told of what is not, and how a format is recognised."""

import base64
import gzip
import io
import json
import tarfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from brain_assets.methods.labels.objects import encode_rle, fill_rings
from brain_assets.resources.label_formats.annotations import Annotations, names_beside
from brain_assets.resources.label_formats.content import Content
from brain_assets.resources.label_formats.door import TABLE_FORMS, formats, recognise
from brain_assets.resources.label_formats.fiftyone_dataset import packed
from brain_assets.resources.label_formats.input_files import list_labels
from brain_assets.resources.label_formats.sample_columns import read_sample_columns
from brain_assets.resources.settings.configuration import FORMATS, DatasetSettings, LabelSettings
from brain_assets.resources.settings.home import DatasetPaths
from brain_assets.resources.tabular import Rejected
from tests.resources.formats import file_of

SHARED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
BOX = ("x", "y", "width", "height")
DONUT = np.zeros((40, 60), bool)
DONUT[5:35, 10:50] = True
DONUT[15:25, 20:40] = False


def written(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = (
        content
        if isinstance(content, bytes)
        else (content if isinstance(content, str) else json.dumps(content)).encode()
    )
    path.write_bytes(data)
    return path


def read(path: Path, content: Any = None, form: str = "auto") -> Annotations:
    if content is not None:
        written(path, content)
    return recognise(file_of(path, form)).read()


def packed_tar(members: dict[str, bytes], mode: str = "w") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return packed.getvalue()


def told(found: Annotations) -> list[tuple[int, str]]:
    return [(one.line, one.reason) for one in found.rejected]


def boxes(found: Annotations) -> list[list[float]]:
    return [[round(one[name], 4) for name in BOX] for one in found.objects]


def coco(*annotations: Any, images: Any = None, categories: Any = None) -> dict[str, Any]:
    return {
        "images": images or [{"id": 1, "file_name": "a.jpg", "width": 60, "height": 40}],
        "categories": categories or [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": list(annotations),
    }


def one(**given: Any) -> dict[str, Any]:
    return {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], **given}


# COCO


def test_numbers_of_coco_are_compared_as_numbers(tmp_path: Path) -> None:
    given = coco(
        one(id=1.0, image_id=1.0, category_id="2", iscrowd="0"),
        one(id=2, image_id="1", category_id=1.0, iscrowd="1"),
        images=[{"id": 1.0, "file_name": "a.jpg", "width": "60", "height": 0}],
    )
    found = read(tmp_path / "a.json", given)
    assert [(row["label"], row["iscrowd"], row["annotation"]) for row in found.objects] == [
        ("dog", False, "1"),
        ("cat", True, "2"),
    ]
    assert [(image["width"], image["height"]) for image in found.images] == [(60, None)]
    assert found.rejected == []


def test_an_image_id_twice_costs_its_own_annotations(tmp_path: Path) -> None:
    images = [
        {"id": number, "file_name": name} for number, name in ((1, "a.jpg"), (2, "b.jpg"), (2, "c.jpg"), (1, "a.jpg"))
    ]
    found = read(tmp_path / "a.json", coco(one(image_id=1), one(image_id=2), images=images))
    assert [row["image_id"] for row in found.images] == ["1"]
    assert (len(found.objects), told(found)) == (1, [(0, "duplicate_id"), (2, "duplicate_id")])


def test_annotation_ids_that_come_twice_are_told_apart(tmp_path: Path) -> None:
    found = read(tmp_path / "a.json", coco(*(one(id=0) for _ in range(3))))
    assert [row["annotation"] for row in found.objects] == ["0", "0#2", "0#3"]


def test_one_odd_image_or_category_costs_what_names_it(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "a.jpg"}, {"id": 2}, 7, {"id": 4, "coco_url": "http://h/val2017/d.jpg"}]
    categories = [{"id": 1, "name": "cat"}, {"id": 2}, {"id": 1, "name": "dog"}]
    given = coco(one(), one(image_id=2), one(category_id=2), one(image_id=4), images=images, categories=categories)
    found = read(tmp_path / "a.json", given)
    assert [row["keys"][0] for row in found.objects] == ["a.jpg", "val2017/d.jpg"]
    assert [reason for line, reason in told(found) if line == 0] == ["image 2", "image 3", "category 2", "category 3"]
    assert [(line, reason) for line, reason in told(found) if line] == [(2, "no_sample"), (3, "unknown_class")]


def test_a_mask_gives_box_and_outline_whatever_its_runs_are_written_as(tmp_path: Path) -> None:
    flat = DONUT.T.ravel()
    turns = np.flatnonzero(np.diff(flat, prepend=False))
    counts = np.diff(turns, prepend=0, append=flat.size).tolist()
    masks = [{"size": [40, 60], "counts": runs} for runs in (counts, encode_rle(DONUT))]
    found = read(tmp_path / "a.json", coco(*(one(bbox=None, segmentation=mask) for mask in masks)))
    assert boxes(found) == [[10, 5, 40, 30]] * 2
    for row in found.objects:
        rings = [np.reshape(ring, (-1, 2)) for ring in row["polygon"]]
        assert (fill_rings(rings, 40, 60) == DONUT).all()


def test_rings_that_overlap_are_one_outline(tmp_path: Path) -> None:
    masks = pytest.importorskip("pycocotools.mask", reason="pycocotools judges what COCO means")
    rings = [[10, 10, 30, 10, 30, 30, 10, 30], [20, 20, 40, 20, 40, 30, 20, 30], [12, 12, 15, 12, 15, 15, 12, 15]]
    apart = [[0, 0, 4, 0, 4, 4], [10.5, 10, 14, 10, 14, 14]]
    found = read(tmp_path / "a.json", coco(one(segmentation=rings), one(segmentation=apart)))
    outline = [np.reshape(ring, (-1, 2)) for ring in found.objects[0]["polygon"]]
    theirs = masks.area(masks.merge(masks.frPyObjects([[float(value) for value in ring] for ring in rings], 40, 60)))
    assert fill_rings(outline, 40, 60).sum() == theirs == 500
    assert found.objects[1]["polygon"] == apart


ODD_OUTLINES = [
    [[{"x": 1, "y": 2}, {"x": 3, "y": 4}]], [[1, 2, 3, 4]], [[1, 2, 3, 4, 5, 6, 7]], [[1, 2, "x", 4, 5, 6]], "all of it", 7,
    {"size": [4, 4], "counts": "zzz"}, {"size": [10**9, 10**9], "counts": [10**18]}, {"counts": [4]}, {"size": "ab"}, [[], 3],
]  # fmt: skip


@pytest.mark.parametrize("outline", ODD_OUTLINES, ids=lambda outline: str(outline)[:20])
def test_a_bad_outline_costs_only_itself(tmp_path: Path, outline: Any) -> None:
    found = read(tmp_path / "a.json", coco(one(segmentation=outline), one(), one(bbox=None, segmentation=outline)))
    assert boxes(found) == [[1, 2, 3, 4]] * 2
    assert found.objects[0]["polygon"] is None
    assert {line for line, _ in told(found)} >= {3}


def test_boxes_are_found_where_annotations_have_none(tmp_path: Path) -> None:
    keypoints = [0, 0, 0, 5, 6, 2, 15, 26, 1]
    given = coco(
        one(bbox=[], segmentation=[[1, 1, 5, 1, 5, 9]]),
        one(bbox=None, keypoints=keypoints),
        one(bbox=[0, 0, 0, 0], segmentation=[[1, 1], [5, 1], [5, 9]]),
        one(bbox=[0, 0, 0, 0]),
    )
    found = read(tmp_path / "a.json", given)
    # Whether a box has an area is seen where it is placed.
    assert boxes(found) == [[1, 1, 4, 8], [5, 6, 10, 20], [1, 1, 4, 8], [0, 0, 0, 0]]


def test_segments_of_whole_scenes_are_objects(tmp_path: Path) -> None:
    segments = [
        {"id": 9, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 0},
        5,
        {"id": 8, "category_id": 2, "bbox": [0, 0, 1, 1]},
    ]
    found = read(tmp_path / "a.json", coco({"image_id": 1, "file_name": "a.png", "segments_info": segments}))
    assert [row["label"] for row in found.objects] == ["cat", "dog"]
    assert told(found) == [(2, "no_key")]


def test_results_that_name_images_by_file_or_stem(tmp_path: Path) -> None:
    given = [
        one(image_id=image, score=0.5, **more) for image, more in ((3, {}), ("b7", {}), (4, {"file_name": "x/4.jpg"}))
    ]
    found = read(tmp_path / "a.json", given)
    assert [row["keys"] for row in found.objects] == [None, ["b7", "//b7"], ["x/4.jpg", "//4.jpg"]]


@pytest.mark.parametrize(
    ("numbers", "labels"),
    [((1, 2), ["cat", "dog"]), ((0, 1), ["cat", "dog"]), ((1, 1), ["dog", "dog"]), ((0, 7), ["cat", None])],
)
def test_results_of_yolo_count_classes_from_0_or_1(tmp_path: Path, numbers: tuple[int, ...], labels: list[str]) -> None:
    written(tmp_path / "data.yaml", "names: [cat, dog]")
    given = [one(image_id="b7", category_id=number, score=0.5) for number in numbers]
    found = read(tmp_path / "runs" / "predictions.json", given)
    assert [row["label"] for row in found.objects] == labels
    assert {row.get("label") for row in read(tmp_path / "runs" / "a.json", [one(score=0.5)]).objects} == {None}


# YOLO


def yolo(folder: Path, lines: str, **files: str) -> Annotations:
    for name, content in files.items():
        written(folder / name.replace("__", "."), content)
    return read(folder / "labels" / "a.txt", lines)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data.yaml", "names: [no, 'yes', 1]"),
        ("data.yml", "nc: 3\nnames:\n  0: no\n  1: yes\n  2: 1\n"),
        ("other.yaml", "names: {'0': no, 1: yes, 2.0: 1}"),
        ("dataset.yaml", "names: no, yes, 1"),
        ("data.yaml", "names: list.names"),
        ("classes.txt", "no\r\nyes\n1\n\n"),
        ("labels/classes.txt", "no\nyes\n1"),
        ("obj.names", "no\nyes\n1\n"),
        ("obj.data", "classes = 3\nnames = data/list.names\n"),
    ],
)
def test_names_of_classes_are_kept_as_they_are_written(tmp_path: Path, name: str, content: str) -> None:
    if "list.names" in content:
        written(tmp_path / "list.names", "no\nyes\n1\n")
    written(tmp_path / name, content)
    written(tmp_path / "args.yaml", "model: !!python/object:x.Y {}\nnames: *a")
    found = yolo(tmp_path, "0 .5 .5 .1 .1\n1 .5 .5 .1 .1\n2 .5 .5 .1 .1\n3 .5 .5 .1 .1\n")
    assert [row["label"] for row in found.objects] == ["no", "yes", "1"]
    assert told(found) == [(4, "unknown_class")]


def test_every_kind_of_yolo_line(tmp_path: Path) -> None:
    lines = [
        "0 .5 .5 .2 .4", "0 .5 .5 .2 .4 .9", "0 .5 .5 .2 .4 .9 17", "0 .1 .1 .3 .1 .3 .5", "0 .1 .1 .3 .1 .3 .5 .8",
        "0 .1 .1 .3 .1 .3 .5 .1 .5", "0 .1 .1 .3 .1 .3 .5 .1 .5 .7",
    ]  # fmt: skip
    found = yolo(tmp_path, "\n".join(lines))
    assert boxes(found) == [[0.4, 0.3, 0.2, 0.4]] * 3 + [[0.1, 0.1, 0.2, 0.4]] * 4
    assert [row["confidence"] for row in found.objects] == [None, 0.9, 0.9, None, 0.8, None, 0.7]
    assert [len(row["polygon"][0]) if row.get("polygon") else 0 for row in found.objects] == [0, 0, 0, 6, 6, 8, 8]


def test_poses_are_boxes_by_the_shape_of_keypoints_or_by_what_is_visible(tmp_path: Path) -> None:
    visible = "0 .5 .5 .4 .4 .35 .4 2 .65 .4 2 .65 .6 2 .35 .6 1"
    assert boxes(yolo(tmp_path / "a", visible)) == [[0.3, 0.3, 0.4, 0.4]]
    found = yolo(
        tmp_path / "b",
        "1 .5 .5 .2 .6 .45 .3 .55 .3 .5 .7 .5 .75\n1 .5 .5 .2 .6 .45 .3 .55 .3 .5 .7 .5 .75 .9\n1 .5 .5 .2 .6 .45\n"
        "1 .5 .5 .2 .6 .4 .3 1\n1 .5 .5 .2 .6 .4 .3 2 .5 .3 2 .5 .7 1 .5 .7 0\n",
        data__yaml="names: [cat, dog]\nkpt_shape: [4, 2]",
    )
    assert boxes(found) == [[0.4, 0.2, 0.2, 0.6]] * 4
    assert [row["confidence"] for row in found.objects] == [None, 0.9, 0.45, None]
    assert told(found) == [(4, "keypoints")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 .5 .5 .2", "box"), ("0 .5 oops .2 .2", "box"), ("0 .5 .5 nan .2", "box"),
        ("0 .5 .5 .2 .2 1.5", "confidence"), ("0 120 80 40 40", "not_relative"), ("0 inf .5 .2 .2", "box"),
        ("0 12 8 40 8 40 90", "not_relative"),
    ],
)  # fmt: skip
def test_a_line_that_is_odd_costs_itself(tmp_path: Path, line: str, reason: str) -> None:
    found = read(tmp_path / "a.txt", f"0 .5 .5 .2 .2\n{line}\n", "yolo")
    assert (len(found.objects), told(found)) == (1, [(2, reason)])


def test_what_lies_beside_yolo_labels_is_no_label(tmp_path: Path) -> None:
    for name, content in {
        "train.txt": "images/a.jpg\n./images/b.PNG\n", "classes.txt": "cat\ndog\n", "README.roboflow.txt": "A set of\n",
        "hyp.yaml": "lr: 1", "a.yaml": "names: [", "obj.data": "classes=2",
    }.items():  # fmt: skip
        found = read(tmp_path / name, content)
        assert (found.objects, found.images, found.rejected) == ([], [], [])
    assert [row["name"] for row in read(tmp_path / "classes.txt").categories] == ["cat", "dog"]


def test_an_empty_text_is_an_image_without_objects(tmp_path: Path) -> None:
    found = read(tmp_path / "a.txt", "\n")
    assert (len(found.images), found.objects, found.rejected) == (1, [], [])


def test_the_last_folder_of_labels_has_the_images_beside_it() -> None:
    assert names_beside(Path("/labels/set/labels/train/7.txt"))[0] == "/labels/set/images/train/7"
    assert names_beside(Path("/x/7.v2.txt")) == ["/x/7.v2", "//7.v2"]


def test_changed_names_are_read_again(tmp_path: Path) -> None:
    assert yolo(tmp_path, "0 .5 .5 .1 .1", classes__txt="cat").objects[0]["label"] == "cat"
    assert yolo(tmp_path, "0 .5 .5 .1 .1", classes__txt="doggy").objects[0]["label"] == "doggy"
    assert yolo(tmp_path, "0 .5 .5 .1 .1", data__yaml="names: [fox]").objects[0]["label"] == "fox"


def test_names_are_parsed_once_however_many_labels_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from brain_assets.resources.label_formats import class_names

    parsed = []
    monkeypatch.setattr(
        class_names, "read_names", lambda path, real=class_names.read_names: parsed.append(path) or real(path)
    )
    written(tmp_path / "data.yaml", "names: [cat]")
    for number in range(50):
        assert read(tmp_path / "labels" / f"{number}.txt", "0 .5 .5 .1 .1").objects[0]["label"] == "cat"
    assert len(parsed) == 1


# XML

VOC = """<annotation><filename>{name}</filename><size><width>0</width><height>40</height></size>
<object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>10</xmax><ymax>5</ymax></bndbox></object>
<object><name> </name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>10</xmax><ymax>5</ymax></bndbox></object>
<object><name>dog</name><bndbox><xmin>9</xmin><ymin>x</ymin></bndbox></object></annotation>"""


@pytest.mark.parametrize(
    ("name", "then"), [("0.jpg", "//7"), ("7.jpg", "7.jpg"), ("sub\\7.jpg", "sub/7.jpg"), ("", "//7")]
)
def test_the_name_of_a_voc_file_decides_where_the_name_in_it_is_another(tmp_path: Path, name: str, then: str) -> None:
    found = read(tmp_path / "7.xml", VOC.format(name=name))
    assert found.objects[0]["keys"][:2] == [f"{tmp_path}/7", then]
    assert (boxes(found), told(found)) == ([[0, 0, 10, 5]], [(2, "no_label"), (3, "box")])
    assert (found.images[0]["width"], found.images[0]["height"]) == (None, 40)


CVAT = """<annotations><version>1.1</version><image id="0" name="0.jpg" width="60" height="40">
<box label="cat" xtl="10" ytl="10" xbr="50" ybr="30" rotation="90"/><box label="cat" xtl="1" ytl="1" xbr="5" ybr="4"/>
<polygon label="dog" points="1,1;20,1;20,20"/><mask label="dog" rle="1,2,1" left="10" top="20" width="2" height="2"/>
<points label="cat" points="1,1"/><polygon label="cat" points="1,1;x"/><box label="" xtl="1" ytl="1" xbr="5" ybr="4"/></image>
<image id="1" name="1.jpg" width="60" height="40"><tag label="dark"/><tag label="wet"/></image>
<image id="2"><box label="cat"/></image></annotations>"""
CVAT_VIDEO = """<annotations><meta><task><original_size><width>60</width><height>40</height></original_size></task>
<source>street.mp4</source></meta><track id="0" label="car">
<box frame="0" outside="0" keyframe="1" xtl="1" ytl="2" xbr="4" ybr="6"/>
<box frame="12" outside="0" keyframe="0" xtl="2" ytl="2" xbr="5" ybr="6"/>
<box frame="13" outside="1" keyframe="1" xtl="2" ytl="2" xbr="5" ybr="6"/></track></annotations>"""


def test_cvat_boxes_turned_ones_outlines_and_masks(tmp_path: Path) -> None:
    found = read(tmp_path / "annotations.xml", CVAT)
    assert boxes(found) == [[20, 0, 20, 40], [1, 1, 4, 3], [1, 1, 19, 19], [10, 20, 2, 2]]
    assert np.round(found.objects[0]["polygon"], 6).tolist() == [[40, 0, 40, 40, 20, 40, 20, 0]]
    assert [(row["keys"][0], row["width"]) for row in found.images] == [("0.jpg", 60), ("1.jpg", 60)]
    assert told(found) == [(5, "shape"), (6, "unreadable"), (7, "no_label"), (10, "no_key")]
    assert found.labels["1.jpg"]["labels"] == ["dark", "wet"]


def test_tracks_of_a_video_are_boxes_in_the_pictures_of_its_frames(tmp_path: Path) -> None:
    found = read(tmp_path / "annotations.xml", CVAT_VIDEO)
    keys = [["street/frame_000000", "//frame_000000"], ["street/frame_000012", "//frame_000012"]]
    assert [(row["keys"], row["width"]) for row in found.images] == [(one, 60) for one in keys]
    assert [(row["keys"], row["label"]) for row in found.objects] == [(one, "car") for one in keys]
    assert (boxes(found), told(found)) == ([[1, 2, 3, 4], [2, 2, 3, 4]], [])


def test_lists_of_voc_say_splits_and_nothing_of_objects(tmp_path: Path) -> None:
    lists, columns = tmp_path / "ImageSets" / "Main", lambda: read_sample_columns(files()).to_pylist()
    files = lambda: [file_of(path) for path in sorted(lists.glob("*.txt"))]  # noqa: E731
    written(lists / "trainval.txt", "a\nb\n")
    written(lists / "cat_train.txt", "a -1\nb 1\n")
    assert [(row["key"], row["split"]) for row in columns()] == [("a", "train"), ("b", "train")]
    written(lists / "train.txt", "a\n")
    written(lists / "val.txt", "b\n")
    assert [(row["key"], row["split"]) for row in columns()] == [("a", "train"), ("b", "val")]
    assert all(read(path.path) == Annotations() for path in files())
    written(tmp_path / "Annotations" / "a.xml", VOC.format(name="a.jpg"))
    settings = DatasetSettings(media="x", labels=[LabelSettings(uri=str(tmp_path / "Annotations"), format="voc")])
    names = [file.name for file in list_labels(settings, DatasetPaths(tmp_path)).files]
    assert names == ["a.xml", *(f"../ImageSets/Main/{name}.txt" for name in ("cat_train", "train", "trainval", "val"))]


# Texts


def test_kitti_has_boxes_in_pixels_and_regions_that_nobody_labelled(tmp_path: Path) -> None:
    found = read(tmp_path / "label_2" / "7.txt", KITTI + "Car 1 2\n")
    assert found.objects[0]["keys"] == [f"{tmp_path}/image_2/7", f"{tmp_path}/label_2/7", "//7"]
    assert boxes(found) == [[10.5, 20, 20, 30], [1, 1, 4, 4]]
    assert [(row["label"], row["iscrowd"], row["confidence"]) for row in found.objects] == [
        ("Car", False, None),
        ("DontCare", True, None),
    ]
    assert told(found) == [(3, "box")]
    scored = read(tmp_path / "7.txt", KITTI.splitlines()[0] + " 0.75\n")
    assert [row["confidence"] for row in scored.objects] == [0.75]


def test_dota_keeps_the_corners_of_its_boxes(tmp_path: Path) -> None:
    found = read(tmp_path / "labelTxt" / "P1.txt", DOTA + "1 1 2 2 plane 0\n")
    assert found.objects[0]["keys"][0] == f"{tmp_path}/images/P1"
    assert (boxes(found), told(found)) == ([[10, 10, 20, 20], [1, 1, 8, 4]], [(5, "polygon")])
    assert found.objects[0]["polygon"] == [[20, 10, 30, 20, 20, 30, 10, 20]]
    assert [row["label"] for row in found.objects] == ["small-vehicle", "plane"]


@pytest.mark.parametrize(
    ("name", "text", "labels"),
    [
        ("val.txt", "0.jpg 1\nsub/a b.PNG 0\n", {"0.jpg": "dog", "sub/a b.PNG": "cat"}),
        ("train.lst", "0\t1.000000\tc/0.jpg\n1\t7\tc/1.jpg\n", {"c/0.jpg": "dog", "c/1.jpg": "7"}),
        ("all.txt", '# path,class\n"x\\y.jpg",great dane\n', {"x/y.jpg": "great dane"}),
    ],
)
def test_lists_have_a_path_and_a_class_a_line(tmp_path: Path, name: str, text: str, labels: dict[str, str]) -> None:
    written(tmp_path / "classes.txt", "cat\ndog\n")
    found = read(tmp_path / name, text)
    assert ({key: row["labels"] for key, row in found.labels.items()}, told(found)) == (
        {key: [label] for key, label in labels.items()},
        [],
    )


def test_lines_of_lists_that_are_otherwise_are_told(tmp_path: Path) -> None:
    found = read(tmp_path / "l.txt", "0.jpg 1\n0.jpg 2\n1.jpg 48,240,195,371,11\nx\n", "lists")
    assert told(found) == [(2, "duplicate"), (3, "class"), (4, "no_label")]


# Tar files


@pytest.mark.parametrize("name", ["s-000000.tar", "s-000000.tar.gz"])
def test_webdataset_has_the_class_of_an_image_beside_it(tmp_path: Path, name: str) -> None:
    written(tmp_path / "classes.txt", "cat\ndog\n")
    parts = {
        "x/a.jpg": b"",
        "x/a.cls": b"1\n",
        "b.png": b"",
        "b.json": b'{"label": "owl"}',
        "c.jpg": b"",
        "c.json": b"{",
        "d.jpg": b"",
        "d.json": b'{"caption": "a cat"}',
    }
    found = read(tmp_path / name, packed_tar(parts, "w:gz" if name.endswith("gz") else "w"))
    here = f"{tmp_path}/{name}!/"
    assert {key: row["labels"] for key, row in found.labels.items()} == {
        f"{here}x/a.jpg": ["dog"],
        f"{here}b.png": ["owl"],
    }
    assert told(found) == [(3, "unreadable"), (4, "no_label")]
    assert found.rejected[1].detail == "JSON with caption"


def test_a_tar_file_in_which_nobody_says_anything_of_images_is_told(tmp_path: Path) -> None:
    captions = read(tmp_path / "a.tar", packed_tar({"a.jpg": b"", "a.txt": b"a cat"}))
    assert captions.rejected == [
        Rejected(0, "no_label", "beside images are .txt; classes are read from .cls and .json")
    ]
    assert read(tmp_path / "b.tar", packed_tar({"c.json": b"{}"})).rejected[0].detail == "no images are in it"
    assert told(read(tmp_path / "c.tar", b"no tar")) == [(0, "unreadable")]


# JSON of other tools


def png(mask: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(file, "PNG")
    return file.getvalue()


def test_labelme(tmp_path: Path) -> None:
    shapes = [
        {"label": "cat", "shape_type": "polygon", "points": [[1, 1], [9, 1], [9, 5]]},
        {"label": "dog", "shape_type": "rectangle", "points": [[9, 8], [3, 4]]},
        {"label": "dog", "shape_type": "circle", "points": [[10, 10], [10, 12]]},
        {
            "label": "cat",
            "shape_type": "mask",
            "points": [[5, 6], [64, 45]],
            "mask": base64.b64encode(png(DONUT)).decode(),
        },
        {"label": "cat", "shape_type": "point", "points": [[1, 1]]},
        {"label": "cat", "shape_type": "polygon", "points": [[1, 1], [9, 1]]},
        {"label": None, "shape_type": "rectangle", "points": [[9, 8], [3, 4]]},
        "x",
    ]
    tree = {"imagePath": "..\\img\\7.jpg", "imageWidth": 60, "imageHeight": 40, "shapes": shapes, "imageData": None}
    found = read(tmp_path / "7.json", tree | {"flags": {"indoor": True, "night": False, "sharp": True}})
    assert [row["labels"] for row in found.labels.values()] == [["indoor", "sharp"]]
    assert boxes(found) == [[1, 1, 8, 4], [3, 4, 6, 4], [8, 8, 4, 4], [5, 6, 59, 39]]
    assert found.objects[0]["keys"][:2] == [f"{tmp_path}/7", "../img/7.jpg"]
    mask = fill_rings([np.reshape(ring, (-1, 2)) for ring in found.objects[3]["polygon"]], 50, 70)
    assert (mask[6:46, 5:65] == DONUT).all()
    assert told(found) == [(5, "shape"), (6, "polygon"), (7, "no_label"), (8, "unreadable")]


REGION = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0, "rectanglelabels": ["cat"]}


def test_label_studio_in_full(tmp_path: Path) -> None:
    size = {"original_width": 200, "original_height": 100}
    regions = [
        {**size, "type": "rectanglelabels", "value": REGION},
        {**size, "type": "rectanglelabels", "value": {**REGION, "rotation": 90}},
        {
            **size,
            "type": "polygonlabels",
            "value": {"points": [[10, 10], [20, 10], [20, 30]], "polygonlabels": ["dog"]},
        },
        {
            **size,
            "type": "ellipselabels",
            "value": {"x": 50, "y": 50, "radiusX": 10, "radiusY": 20, "ellipselabels": ["dog"]},
        },
        {**size, "type": "brushlabels", "value": {"rle": [1], "brushlabels": ["dog"]}},
        {"type": "choices", "value": {"choices": ["good"]}},
    ]
    tasks = [
        {"id": 1, "data": {"image": "/data/upload/3/1a2b3c4d-a.jpg"}, "annotations": [{"result": regions}]},
        {"id": 2, "data": {"img": "/data/local-files/?d=set%2Fb%20c.jpg"}, "annotations": []},
        {"id": 3, "data": {"text": "no picture"}, "annotations": []},
        {"id": 4, "data": {"image": "s3://bucket/d.jpg"}, "annotations": [
            {"id": 7, "result": regions[:1]}, {"id": 8, "result": regions[:1]},
            {"id": 9, "was_cancelled": True, "result": regions},
        ]},
        {"id": 5, "data": {"image": "e.jpg"}, "annotations": [], "predictions": [{"model_version": "v1", "result": regions}]},
    ]  # fmt: skip
    found = read(tmp_path / "export.json", tasks)
    assert boxes(found) == [
        [0.1, 0.2, 0.3, 0.4], [-0.1, 0.2, 0.2, 0.6], [0.1, 0.1, 0.1, 0.2], [0.4, 0.3, 0.2, 0.4], [0.1, 0.2, 0.3, 0.4],
    ]  # fmt: skip
    assert [row["keys"] for row in found.images] == [
        ["data/upload/3/1a2b3c4d-a.jpg", "//1a2b3c4d-a.jpg", "//a.jpg"], ["set/b c.jpg", "//b c.jpg"], ["d.jpg", "//d.jpg"],
        ["e.jpg", "//e.jpg"],
    ]  # fmt: skip
    assert told(found) == [(5, "mask"), (7, "no_key"), (8, "other_annotator"), (10, "not_reviewed")]
    assert [(row["key"], row["labels"]) for row in found.labels.values()] == [
        ("data/upload/3/1a2b3c4d-a.jpg", ["good"])
    ]


def test_label_studio_in_short(tmp_path: Path) -> None:
    region = {**REGION, "original_width": 200, "original_height": 100}
    tasks = [
        {"image": "a.jpg", "id": 1, "label": [region], "annotator": 1, "annotation_id": 5},
        {"image": "b.jpg", "id": 2, "annotator": 1},
    ]
    found = read(tmp_path / "min.json", tasks)
    assert (boxes(found), [row["image_id"] for row in found.images]) == ([[0.1, 0.2, 0.3, 0.4]], ["a.jpg", "b.jpg"])


@pytest.mark.parametrize("project", [True, False])
def test_via(tmp_path: Path, project: bool) -> None:
    shapes = [
        {"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4},
        {"name": "polygon", "all_points_x": [1, 5, 5], "all_points_y": [1, 1, 9]},
        {"name": "circle", "cx": 10, "cy": 10, "r": 2},
        {"name": "point", "cx": 1, "cy": 1},
    ]
    labels = [{"label": "cat"}, {"note": "x", "Class": {"dog": True, "cat": False}}, {"kind": "fox"}, {"label": "cat"}]
    regions = [
        {"shape_attributes": shape, "region_attributes": label} for shape, label in zip(shapes, labels, strict=True)
    ]
    files = {
        "a.jpg1": {"filename": "a.jpg", "size": 1, "regions": regions},
        "b.jpg2": {"filename": "b.jpg", "size": 2, "regions": {"0": regions[0]}},
        "c.jpg3": {"filename": "c.jpg", "size": 3, "regions": []},
    }
    found = read(tmp_path / "via.json", {"_via_settings": {}, "_via_img_metadata": files} if project else files)
    assert [row["label"] for row in found.objects] == ["cat", "dog", "fox", "cat"]
    assert boxes(found)[:3] == [[1, 2, 3, 4], [1, 1, 4, 8], [8, 8, 4, 4]]
    assert (len(found.images), told(found)) == (3, [(4, "shape")])


def test_supervisely(tmp_path: Path) -> None:
    data = base64.b64encode(zlib.compress(png(DONUT))).decode()
    objects = [
        {"classTitle": "cat", "geometryType": "rectangle", "points": {"exterior": [[1, 2], [3, 5]], "interior": []}},
        {"classTitle": "dog", "geometryType": "polygon",
         "points": {"exterior": [[0, 0], [9, 0], [9, 9], [0, 9]], "interior": [[[2, 2], [4, 2], [4, 4]]]}},
        {"classTitle": "dog", "geometryType": "bitmap", "bitmap": {"data": data, "origin": [5, 6]}},
        {"classTitle": "dog", "geometryType": "bitmap", "bitmap": {"data": "!!", "origin": [5, 6]}},
        {"classTitle": "dog", "geometryType": "point"},
    ]  # fmt: skip
    found = read(tmp_path / "set" / "ann" / "a.jpg.json", {"size": {"width": 60, "height": 40}, "objects": objects})
    assert boxes(found) == [[1, 2, 3, 4], [0, 0, 9, 9], [15, 11, 40, 30]]
    assert found.images[0]["keys"][0] == f"{tmp_path}/set/img/a.jpg"
    assert told(found) == [(4, "unreadable"), (5, "shape")]
    assert read(tmp_path / "meta.json", {"classes": [], "tags": []}).rejected == []


def test_fiftyone(tmp_path: Path) -> None:
    box = {"label": 1, "bounding_box": [0.1, 0.2, 0.3, 0.4], "attributes": {"iscrowd": True}}
    odd = [{"label": 7, "bounding_box": [0, 0, 1, 1]}, {"label": "dog", "bounding_box": "x"}, 5, None]
    labels = {"a": [box, {**box, "label": "fox", "attributes": {}}, *odd], "b": [], "c": 0, "d": "dog", "e": None}
    found = read(tmp_path / "labels.json", {"classes": ["cat", "dog"], "labels": labels})
    assert [(row["label"], row["iscrowd"]) for row in found.objects] == [("dog", True), ("fox", False)]
    assert [row["keys"][0] for row in found.images] == [f"{tmp_path}/data/a", f"{tmp_path}/data/b"]
    assert [row["labels"] for row in found.labels.values()] == [["cat"], ["dog"]]
    assert told(found) == [(3, "unknown_class"), (4, "unreadable"), (5, "unknown_class")]


def sample(name: str, **fields: Any) -> dict[str, Any]:
    return {"_id": {"$oid": name}, "filepath": f"data/{name}.jpg", "tags": ["night", "train"], **fields}


def label(kind: str, **said: Any) -> dict[str, Any]:
    return {"_id": {"$oid": "9"}, "_cls": kind, "tags": [], "label": "cat", **said}


def of_fiftyone(tmp_path: Path) -> Path:
    """Write samples of which each has a field of every kind."""
    mask = np.zeros((2, 4), bool)
    mask[:, 2:] = True
    boxed = label("Detection", bounding_box=[0.2, 0.2, 0.4, 0.4])
    one, line = label("Classification"), label("Polyline", points=[[[0.1, 0.1], [0.5, 0.1], [0.5, 0.5]]])
    fields = {
        "boxes": {"_cls": "Detections", "detections": [boxed | {"iscrowd": True}, boxed | {"mask": packed(mask)},
            boxed | {"mask_path": "fields/m.png"}, boxed | {"mask_path": "fields/none.png"}, boxed | {"label": ""}]},
        "model": {"_cls": "Detections", "detections": [boxed | {"confidence": 0.25}, boxed | {"confidence": 2}]},
        "outlines": {"_cls": "Polylines", "polylines": [line | {"closed": True}, line]},
        "animal": one, "guess": one | {"confidence": 0.75, "logits": packed(np.array([1.5, 0.5]))},
        "weather": {"_cls": "Classifications", "classifications": [one, one | {"label": "dog"}]},
        "points": {"_cls": "Keypoints", "keypoints": []}, "uniqueness": 0.5, "vector": packed(np.arange(3.0)),
    }  # fmt: skip
    (tmp_path / "fields").mkdir()
    Image.fromarray(np.repeat(mask, 2, axis=1).astype(np.uint8) * 255).save(tmp_path / "fields" / "m.png")
    written(tmp_path / "metadata.json", {"sample_fields": [], "classes": {"guess": ["dog", "cat"]}})
    return written(
        tmp_path / "samples.json", {"samples": [sample("a", **fields), sample("b", animal=None), sample("c")]}
    )


def test_each_field_of_a_fiftyone_dataset_is_one_of_labels_or_of_a_model(tmp_path: Path) -> None:
    path = of_fiftyone(tmp_path)
    labels = lambda field: recognise(replace(file_of(path), field=field)).read()  # noqa: E731
    model = lambda name: recognise(replace(file_of(path), model=name)).read("predictions")  # noqa: E731
    boxed = labels("boxes")
    assert boxes(boxed) == [[0.2, 0.2, 0.4, 0.4]] * 4
    assert [row["iscrowd"] for row in boxed.objects] == [True, False, False, False]
    corners = [sorted(np.reshape(row["polygon"], (-1, 2)).round(6).tolist()) for row in boxed.objects[1:3]]
    assert corners == [[[0.4, 0.2], [0.4, 0.6], [0.6, 0.2], [0.6, 0.6]]] * 2
    assert told(boxed) == [(4, "mask"), (5, "no_label")]
    assert boxed.objects[0]["keys"] == [f"{tmp_path}/data/a.jpg", "data/a.jpg", "//a.jpg"]
    assert [row["confidence"] for row in model("model").objects] == [0.25]
    assert told(labels("outlines")) == [(2, "shape")]
    assert [row["labels"] for row in labels("weather").labels.values()] == [["cat", "dog"]]
    (guess,) = model("guess").labels.values()
    assert (guess["confidences"], guess["logits"], guess["classes"]) == ([0.75], [1.5, 0.5], ["dog", "cat"])
    roles = {
        "boxes": "labels",
        "model": "predictions",
        "outlines": "labels",
        "animal": "labels",
        "guess": "predictions",
    }
    assert recognise(file_of(path)).member.fields(Content(path)) == {**roles, "weather": "labels"}


def test_a_field_that_is_not_said_is_the_only_one_or_asked_for(tmp_path: Path) -> None:
    (fault,) = recognise(file_of(of_fiftyone(tmp_path))).read().rejected
    assert (fault.line, fault.reason) == (0, "which_field")
    assert "animal (labels), guess (predictions)" in fault.detail
    alone = written(tmp_path / "one" / "samples.json", {"samples": [sample("a", animal=label("Classification"))]})
    assert [row["labels"] for row in read(alone).labels.values()] == [["cat"]]
    assert read(tmp_path / "metadata.json") == Annotations()


@pytest.mark.parametrize("stem", ["test", "val"])
def test_labels_of_an_image_that_is_called_like_a_split_are_no_list(tmp_path: Path, stem: str) -> None:
    found = read(tmp_path / f"{stem}.txt", "0 .5 .5 .2 .2\n")
    assert (boxes(found), told(found)) == ([[0.4, 0.4, 0.2, 0.2]], [])
    assert read(tmp_path / f"{stem}.txt", "000001\n000002\n") == Annotations()


# The door


KITTI = """Car 0.00 0 -1.57 10.5 20 30.5 50 1.6 1.7 3.9 1.8 1.5 8.4 0.01
DontCare -1 -1 -10 1 1 5 5 -1 -1 -1 -1000 -1000 -1000 -10
"""
DOTA = """imagesource:GoogleEarth
gsd:0.146
20 10 30 20 20 30 10 20 small-vehicle 0
1.0 1.0 9.0 1.0 9.0 5.0 1.0 5.0 plane 1
"""
EXAMPLES: dict[str, tuple[str, Any]] = {
    "fiftyone": ("labels.json", {"classes": ["cat"], "labels": {"a": [{"label": 0, "bounding_box": [0.1, 0.2, 0.3, 0.4]}] * 2}}),
    "fiftyone-dataset": ("samples.json", {"samples": [{"filepath": f"data/{name}.jpg", "tags": ["train"], "ground_truth": {
        "_cls": "Detections", "detections": [{"_id": {"$oid": "1"}, "label": "cat", "bounding_box": [0.1, 0.2, 0.3, 0.4],
                                              "mask": [[True, False]]}]}} for name in "ab"]}),
    "coco": ("a.json", coco(one(), one())),
    "yolo": ("a.txt", "0 .5 .5 .2 .2\n0 .4 .5 .2 .2\n"),
    "kitti": ("a.txt", KITTI),
    "dota": ("a.txt", DOTA),
    "lists": ("a.txt", "a.jpg 1\nb.jpg 2\n"),
    "webdataset": ("a.tar", packed_tar({"a.jpg": b"", "a.json": json.dumps(
        {"objects": [{"label": "cat", "bbox": [1, 2, 3, 4]}] * 2}).encode()})),
    "voc": ("a.xml", VOC.format(name="a.jpg")),
    "cvat": ("a.xml", CVAT),
    "labelme": ("a.json", {"imagePath": "a.jpg", "shapes": [{"label": "a", "points": [[1, 1], [9, 1], [9, 5]]}] * 2}),
    "labelstudio": ("a.json", [{"data": {"image": "a.jpg"}, "annotations": [{"result": [{"value": REGION}] * 2}]}]),
    "via": ("a.json", {"x": {"filename": "a.jpg", "regions": [{"shape_attributes": {"name": "rect", "x": 1, "y": 2, "width": 3,
            "height": 4}, "region_attributes": {"label": "cat"}}] * 2}}),
    "createml": ("a.json", [{"image": name, "annotations": [{"label": "cat", "coordinates": {"x": 6, "y": 5, "width": 4,
                 "height": 2}}]} for name in ("a.jpg", "b.jpg")]),
    "cityscapes": ("a_gtFine_polygons.json", {"imgHeight": 9, "imgWidth": 9, "objects": [
        {"label": "road", "polygon": [[0, 1], [8, 1], [8, 5]]}] * 2}),
    "yolo-classes": ("a.txt", "0.25 maine coon\n0.75 tabby\n"),
    "widerface": ("a.txt", "0--Parade/a.jpg\n2\n1 2 5 6 0 0 0 0 0 0\n9 2 5 6 0 0 0 1 0 0\nb.jpg\n0\n0 0 0 0 0 0 0 0 0 0\n"),
    "supervisely": ("a.jpg.json", {"size": {"width": 9, "height": 9}, "objects": [{"classTitle": "a", "geometryType": "rectangle",
                    "points": {"exterior": [[1, 2], [3, 5]]}}] * 2}),
}  # fmt: skip


def test_cityscapes_names_the_image_that_its_outlines_are_of(tmp_path: Path) -> None:
    tree = {"imgHeight": 8, "imgWidth": 8, "objects": [{"label": "cargroup", "polygon": [[0, 1], [8, 1], [8, 5]]}]}
    found = read(tmp_path / "x_000019_gtFine_polygons.json", tree)
    (row,) = found.objects
    assert (row["keys"][0], row["label"], row["iscrowd"]) == ("x_000019_leftImg8bit", "car", True)
    assert [row[side] for side in ("x", "y", "width", "height")] == [0, 1, 8, 4]


def test_faces_of_a_list_and_images_without_any(tmp_path: Path) -> None:
    found = read(tmp_path / "a.txt", EXAMPLES["widerface"][1] + "c.jpg\n1\n1 2 x\n")
    assert [(row["image_id"], row["label"], row["iscrowd"]) for row in found.objects] == [
        ("0--Parade/a.jpg", "face", False),
        ("0--Parade/a.jpg", "face", True),
    ]
    assert [row["image_id"] for row in found.images] == ["0--Parade/a.jpg", "b.jpg", "c.jpg"]
    assert told(found) == [(10, "box")]


def test_the_surest_class_of_a_classifier(tmp_path: Path) -> None:
    (row,) = read(tmp_path / "a.txt", EXAMPLES["yolo-classes"][1]).labels.values()
    assert (row["key"], row["labels"], row["confidences"]) == ("a", ["tabby"], [0.75])
    assert read(tmp_path / "b.txt", "0.9 cat\n1.5 dog\n", "yolo-classes").rejected[0].reason == "confidence"


def test_results_in_an_object_of_their_own(tmp_path: Path) -> None:
    results = [{**one(), "score": 0.5}, {**one(), "image_id": 2, "score": 0.25}]
    wrapped, plain = (read(tmp_path / "a.json", tree) for tree in ({"info": "x", "predictions": results}, results))
    assert wrapped == plain
    assert [row["confidence"] for row in wrapped.objects] == [0.5, 0.25]


def test_coco_of_classes_alone_and_boxes_in_parts_of_a_side(tmp_path: Path) -> None:
    """As of camera traps: who looked at an image as a whole looked for no objects in it."""
    annotations = [{"image_id": 1, "category_id": 1}, {**one(), "image_id": 2, "bbox": [0.1, 0.2, 0.3, 0.4]}]
    tree = coco(*annotations) | {"images": [{"id": number, "file_name": f"{number}.jpg"} for number in (1, 2)]}
    found = read(tmp_path / "a.json", tree)
    assert [(row["key"], row["labels"]) for row in found.labels.values()] == [("1.jpg", ["cat"])]
    assert [row["image_id"] for row in found.images] == ["2"]
    assert [row["relative"] for row in found.objects] == [True]


def test_there_is_an_example_of_every_format() -> None:
    # Lists of numbers are read with those beside them, which the tests of research sets show.
    assert EXAMPLES.keys() | {"numbered"} == formats().keys()


def test_boxes_of_create_ml_stand_around_their_centres(tmp_path: Path) -> None:
    found = read(tmp_path / "a.json", EXAMPLES["createml"][1])
    assert [[row[side] for side in ("x", "y", "width", "height")] for row in found.objects] == [[4, 4, 4, 2]] * 2


def test_settings_name_every_format_that_is_read() -> None:
    assert set(FORMATS) == {"auto", *TABLE_FORMS, *formats()}


@pytest.mark.parametrize("form", EXAMPLES)
def test_every_format_is_recognised_by_its_content(tmp_path: Path, form: str) -> None:
    name, content = EXAMPLES[form]
    recognised = recognise(file_of(written(tmp_path / name, content)))
    assert recognised.form == form
    found = recognised.read()
    assert len(found.objects) + len(found.labels) >= 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", {"boxes": [], "img": 1}, "a JSON object with boxes, img"),
        ("a.json.gz", "\x1f", "a file packed by gzip, which is to be unpacked"),
        ("a.xml", "<kml/>", "XML with the root <kml>"),
        ("a.txt", "Car 0.00 0 -1.57 599.41 156.40 629.75\n", "begins 'Car 0"),
        ("a.json", "{", "JSONDecodeError"), ("a.xml", "<a", "ParseError"),
    ],
)  # fmt: skip
def test_what_is_not_recognised_is_refused_in_one_line(tmp_path: Path, name: str, content: Any, said: str) -> None:
    if name.endswith(".gz"):
        (tmp_path / name).write_bytes(gzip.compress(b"{}"))
        found = recognise(file_of(tmp_path / name)).read()
    else:
        found = read(tmp_path / name, content)
    assert told(found) == [(0, "unreadable" if said.endswith("Error") else "unknown_format")]
    assert said in found.rejected[0].detail
    assert said.endswith("Error") or "understood are COCO" in found.rejected[0].detail
    assert "\n" not in found.rejected[0].detail


ODD = [None, -1, "", "odd", [], {}, [1], {"a": 1}, float("inf"), 10**30, True, "\ud800"]


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return where the values of a tree stand."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))]


@SHARED
@given(st.sampled_from([name for name, (file, _) in EXAMPLES.items() if file.endswith("json")]), st.data())
def test_no_value_of_a_file_ends_its_reading(tmp_path: Path, form: str, data: st.DataObject) -> None:
    """Of two entries, one is odd somewhere: the other is read where nothing that both need was touched."""
    name, content = EXAMPLES[form]
    tree = json.loads(json.dumps(content))
    path = data.draw(st.sampled_from(places(tree)[1:]))
    parent = tree
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = data.draw(st.sampled_from(ODD))
    found = read(tmp_path / name, tree, form)
    if set(path) >= {"annotations", 1} or set(path) >= {"shapes", 1} or set(path) >= {"objects", 1}:
        assert len(found.objects) >= 1


@SHARED
@given(st.sampled_from(["yolo", "voc", "cvat", "coco", "kitti", "dota", "lists", "webdataset"]), st.data())
def test_no_damage_to_a_file_ends_its_reading(tmp_path: Path, form: str, data: st.DataObject) -> None:
    name, content = EXAMPLES[form]
    whole = bytearray(written(tmp_path / name, content).read_bytes())
    start = data.draw(st.integers(0, len(whole)))
    whole[start : start + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=6))
    read(tmp_path / name, bytes(whole), form)
    read(tmp_path / name, bytes(whole))
