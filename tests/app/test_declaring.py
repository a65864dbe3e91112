"""A folder is looked at before it is declared; declarations are added to and changed in the file, comments kept."""

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from PIL import Image

from brain_assets.app.cli import main
from brain_assets.app.scanning import as_options, look_at, says_where_to_look
from tests.workshop import encoded, picture, write_archive, write_pictures

VOC = "<annotation><filename>00000.png</filename></annotation>"
COCO = {
    "images": [{"id": 1, "file_name": "00000.png"}],
    "annotations": [{"image_id": 1, "bbox": [0, 0, 1, 1]}],
    "categories": [],
}


def class_folders(root: Path) -> None:
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            write_pictures(root / split / name, [1])


def perhaps_classes(root: Path) -> None:
    for name in ("monday", "tuesday"):
        write_pictures(root / name, [1])


def yolo(root: Path) -> None:
    for split in ("train", "val"):
        write_pictures(root / "images" / split, [0])
        (root / "labels" / split).mkdir(parents=True)
        (root / "labels" / split / "00000.txt").write_text("0 .5 .5 .1 .1\n")
    (root / "classes.txt").write_text("cat\n")


def coco(root: Path) -> None:
    write_pictures(root / "train2017", [0])
    write_pictures(root / "val2017", [1])
    (root / "annotations").mkdir()
    for split in ("train", "val"):
        (root / "annotations" / f"instances_{split}2017.json").write_text(json.dumps(COCO))
        (root / "annotations" / f"person_keypoints_{split}2017.json").write_text(json.dumps(COCO))
        (root / "annotations" / f"captions_{split}2017.json").write_text(json.dumps({"images": [], "annotations": []}))
    (root / "results.json").write_text(json.dumps([{"image_id": 1, "bbox": [0, 0, 1, 1], "score": 0.5}]))


def voc(root: Path) -> None:
    write_pictures(root / "JPEGImages", [0])
    (root / "Annotations").mkdir()
    (root / "Annotations" / "00000.xml").write_text(VOC)


def voc_lists(root: Path) -> None:
    voc(root)
    write_pictures(root / "JPEGImages", range(2))
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "ImageSets" / "Main" / "train.txt").write_text("00000\n")
    (root / "ImageSets" / "Main" / "val.txt").write_text("00001\n")


def kitti(root: Path) -> None:
    write_pictures(root / "image_2", [0])
    (root / "label_2").mkdir()
    (root / "label_2" / "00000.txt").write_text(f"Car 0 0 0 1 2 9 8{' 0' * 7}\n")


def dota(root: Path) -> None:
    write_pictures(root / "images", [0])
    (root / "labelTxt").mkdir()
    (root / "labelTxt" / "00000.txt").write_text("gsd:1\n1 1 9 1 9 5 1 5 ship 0\n")


def lists(root: Path) -> None:
    write_pictures(root, range(2))
    (root / "train.txt").write_text("00000.png 1\n00001.png 0\n")


def shards(root: Path) -> None:
    root.mkdir()
    with tarfile.open(root / "a-000000.tar", "w") as tar:
        for name, data in {"0.png": encoded(picture(1)), "0.cls": b"0"}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    (root / "classes.txt").write_text("cat\n")


def videos(root: Path) -> None:
    root.mkdir()
    (root / "clip.mp4").write_bytes(b"")


def cvat(root: Path) -> None:
    write_pictures(root / "images", [0])
    image = '<image id="0" name="00000.png" width="20" height="16"></image>'
    (root / "annotations.xml").write_text(f"<annotations><version>1.1</version>{image}</annotations>")


def labelme(root: Path) -> None:
    write_pictures(root, [0])
    found = {"version": "5.0", "shapes": [], "imagePath": "00000.png", "imageHeight": 16, "imageWidth": 20, "flags": {}}
    (root / "00000.json").write_text(json.dumps(found))


def tables(root: Path) -> None:
    write_pictures(root / "images", range(2))
    (root / "labels.csv").write_text("filename;class\n00000.png;cat\n")
    (root / "predictions.csv").write_text("filename,logit_0,logit_1\n00000.png,1,2\n")
    (root / "notes.csv").write_text("a,b\n")


def listed_splits(root: Path) -> None:
    """As darknet and ultralytics have them: one folder of images, and lists of which are in which split."""
    write_pictures(root / "images", [0, 1])
    (root / "labels").mkdir()
    for place, split in enumerate(("train", "val")):
        (root / "labels" / f"0000{place}.txt").write_text("0 .5 .5 .1 .1\n")
        (root / f"{split}.txt").write_text(f"./images/0000{place}.png\n")
    (root / "data.yaml").write_text("train: train.txt\nval: val.txt\nnames: [cat]\n")


def food(root: Path) -> None:
    """As Food-101: folders of classes, and lists of names without a suffix."""
    (root / "meta").mkdir(parents=True)
    for place, name in enumerate(("apple_pie", "beet_salad")):
        write_pictures(root / "images" / name, [place, place + 2])
    for split, first in (("train", 0), ("test", 2)):
        (root / "meta" / f"{split}.txt").write_text(f"apple_pie/0000{first}\nbeet_salad/0000{first + 1}\n")
    (root / "meta" / "classes.txt").write_text("apple_pie\nbeet_salad\n")


def tiny_imagenet(root: Path) -> None:
    """Folders of classes in one split, in which a folder of images says nothing, and a list in another."""
    for place, name in enumerate(("n01", "n02")):
        write_pictures(root / "train" / name / "images", [place])
    write_pictures(root / "val" / "images", [5, 6])
    (root / "val" / "val_annotations.txt").write_text("00005.png\tn01\t0\t0\t9\t9\n00006.png\tn02\t0\t0\t9\t9\n")


def cityscapes(root: Path) -> None:
    for split, city in (("train", "aachen"), ("val", "lindau")):
        (root / "leftImg8bit" / split / city).mkdir(parents=True)
        (root / "gtFine" / split / city).mkdir(parents=True)
        stem = f"{city}_000000_000019"
        (root / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png").write_bytes(encoded(picture(len(city))))
        (root / "gtFine" / split / city / f"{stem}_gtFine_polygons.json").write_text(
            json.dumps({"imgHeight": 16, "imgWidth": 20, "objects": []})
        )


def faces(root: Path) -> None:
    write_pictures(root / "WIDER_val" / "images" / "0--Parade", [0])
    (root / "split").mkdir()
    (root / "split" / "wider_face_val_bbx_gt.txt").write_text("0--Parade/00000.png\n1\n1 2 5 6 0 0 0 0 0 0 \n")


def boxes_and_classes(root: Path) -> None:
    write_pictures(root / "images", [0])
    (root / "boxes.json").write_text(json.dumps(COCO | {"annotations": [{"image_id": 1, "category_id": 1}]}))
    (root / "labels.csv").write_text("filename,class\n00000.png,cat\n")


def tables_of_splits(root: Path) -> None:
    write_pictures(root / "images", [0, 1])
    (root / "train.csv").write_text("image,label\n00000.png,cat\n")
    (root / "test.csv").write_text("image,label\n00001.png,dog\n")


def attributes(root: Path) -> None:
    """As CelebA: what is so and what is not, and splits by numbers in a table of their own."""
    write_pictures(root / "images", [0, 1])
    (root / "attributes.csv").write_text("image_id,Bald,Smiling\n00000.png,-1,1\n00001.png,1,1\n")
    (root / "list_eval_partition.csv").write_text("image_id,partition\n00000.png,0\n00001.png,2\n")


def classified(root: Path) -> None:
    """As ultralytics has classifiers write what they found."""
    class_folders(root)
    (root / "runs" / "classify" / "predict" / "labels").mkdir(parents=True)
    (root / "runs" / "classify" / "predict" / "labels" / "00001.txt").write_text("0.98 cat\n0.02 dog\n")


def nothing(root: Path) -> None:
    write_pictures(root, range(2))
    (root / "notes.json").write_text("{}")
    (root / "broken.parquet").write_text("none")


# What lies in a folder, and which settings take it in; paths are relative to the folder.
LAYOUTS: dict[Callable[[Path], None], dict[str, object]] = {
    class_folders: {"split_from": "folder", "labels": ["folder"]},
    perhaps_classes: {},
    yolo: {"split_from": "folder", "labels": ["labels"], "labels_format": "yolo"},
    coco: {
        "split_from": "folder",
        "labels": ["annotations/instances_train2017.json", "annotations/instances_val2017.json"],
        "labels_format": "coco",
        "predictions": ["results.json"],
        "predictions_format": "coco",
    },
    voc: {"labels": ["Annotations"], "labels_format": "voc"},
    voc_lists: {"split_from": "column", "labels": ["Annotations"], "labels_format": "voc"},
    kitti: {"labels": ["label_2"], "labels_format": "kitti"},
    dota: {"labels": ["labelTxt"], "labels_format": "dota"},
    lists: {"split_from": "column", "labels": ["train.txt"], "labels_format": "lists"},
    shards: {"labels": ["."]},
    videos: {"frames": 1.0},
    cvat: {"labels": ["annotations.xml"], "labels_format": "cvat"},
    labelme: {"labels": ["."], "labels_format": "labelme"},
    tables: {"labels": ["labels.csv"], "predictions": ["predictions.csv"]},
    listed_splits: {
        "split_from": "column",
        "labels": [
            {"uri": "labels", "format": "yolo"},
            {"uri": "train.txt", "format": "lists"},
            {"uri": "val.txt", "format": "lists"},
        ],
    },
    food: {
        "split_from": "column",
        "labels": [
            {"uri": "meta/test.txt", "format": "lists"},
            {"uri": "meta/train.txt", "format": "lists"},
            {"uri": "folder"},
        ],
    },
    tiny_imagenet: {
        "split_from": "folder",
        "labels": [{"uri": "val/val_annotations.txt", "format": "lists"}, {"uri": "folder"}],
    },
    cityscapes: {
        "split_from": "folder",
        "labels": ["gtFine/train/aachen", "gtFine/val/lindau"],
        "labels_format": "cityscapes",
    },
    faces: {
        "labels": ["split/wider_face_val_bbx_gt.txt"],
        "labels_format": "widerface",
    },
    boxes_and_classes: {"labels": [{"uri": "boxes.json", "format": "coco"}, {"uri": "labels.csv"}]},
    classified: {
        "split_from": "folder",
        "labels": ["folder"],
        "predictions": ["runs/classify/predict/labels"],
        "predictions_format": "yolo-classes",
    },
    tables_of_splits: {"split_from": "column", "labels": ["test.csv", "train.csv"]},
    attributes: {"split_from": "column", "labels": ["attributes.csv", "list_eval_partition.csv"]},
    nothing: {},
}


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_usual_layouts_are_seen(layout: Callable[[Path], None], tmp_path: Path) -> None:
    layout(tmp_path / "set")
    proposal = look_at(tmp_path / "set").proposal(unsure=False)
    for role in {"labels", "predictions"} & proposal.keys():
        proposal[role] = [
            one | {"uri": relative(one["uri"], tmp_path)} if isinstance(one, dict) else relative(one, tmp_path)
            for one in proposal[role]
        ]
    assert proposal == LAYOUTS[layout]


def relative(address: str, root: Path) -> str:
    return address if address == "folder" else str(Path(address).relative_to(root / "set"))


def test_pictures_of_a_models_runs_are_no_images(tmp_path: Path) -> None:
    """What was found is drawn into them: each would be a copy of an image of the set."""
    write_pictures(tmp_path / "set" / "images", [1, 2])
    write_pictures(tmp_path / "set" / "runs" / "detect" / "predict2", [1])
    look = look_at(tmp_path / "set")
    assert look.proposal(unsure=True) == {"pattern": "^(?!runs/)"}
    assert (look.samples, "no images (1): runs/" in "\n".join(look.lines())) == (2, True)
    assert look_at(tmp_path / "set" / "runs").samples == 1


def test_what_is_not_taken_is_told_and_how_to_take_it(tmp_path: Path) -> None:
    yolo(tmp_path / "set")
    (tmp_path / "set" / "annotations.xml").write_text(
        "<annotations><version>1.1</version><image id='0' name='x'/></annotations>"
    )
    (tmp_path / "set" / "odd.json").write_text(json.dumps({"boxes": {"00000.png": 1}, "x": [1], "y": [2]}))
    said = brain(tmp_path, "add", "a", "--media", str(tmp_path / "set")).stderr
    assert f"brain attach a --labels {tmp_path / 'set/annotations.xml'} --labels-format cvat" in said
    write_pictures(tmp_path / "other" / "images", [0])
    (tmp_path / "other" / "labels").mkdir()
    (tmp_path / "other" / "labels" / "00000.txt").write_text("0 10 8 4 4\n")
    (left,) = [line for line in look_at(tmp_path / "other").lines() if "left out" in line]
    assert "labels/00000.txt: text that begins '0 10 8 4 4" in left
    assert left.endswith("of no format that is read")
    write_pictures(tmp_path / "third" / "images", [0, 1])
    (tmp_path / "third" / "ann").mkdir()
    for name in ("00000", "00001"):
        (tmp_path / "third" / "ann" / f"{name}.json").write_text('{"odd": [1, 2]}')
    (left,) = look_at(tmp_path / "third").left_out.values()
    assert left == "a JSON object with odd: of no format that is read (2 such files or more)"


def test_frames_that_somebody_asks_for_are_those_that_are_taken(tmp_path: Path) -> None:
    videos(tmp_path / "set")
    said = brain(tmp_path, "add", "a", "--media", str(tmp_path / "set"))
    assert "1 video, of which frames are taken, one a second" in said.stderr
    assert declared(tmp_path)["frames"] == 1.0
    assert brain(tmp_path, "remove", "a", "--yes").exit_code == 0
    brain(tmp_path, "add", "a", "--media", str(tmp_path / "set"), "--frames", "key")
    assert declared(tmp_path)["frames"] == "key"


def test_labels_beside_a_folder_of_images_are_seen(tmp_path: Path) -> None:
    yolo(tmp_path / "set")
    proposal = look_at(tmp_path / "set" / "images").proposal(unsure=False)
    assert proposal["labels"] == [str(tmp_path / "set" / "labels")]
    voc(tmp_path / "other")
    assert look_at(tmp_path / "other" / "JPEGImages").proposal(unsure=False)["labels_format"] == "voc"


def test_annotations_with_scores_are_a_models(tmp_path: Path) -> None:
    write_pictures(tmp_path / "set" / "images", [0])
    scored = [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 0.5}]
    for name, said in {"gt": COCO, "full": COCO | {"annotations": scored}, "wrapped": {"predictions": scored}}.items():
        (tmp_path / "set" / f"{name}.json").write_text(json.dumps(said))
    proposal = look_at(tmp_path / "set").proposal(unsure=False)
    assert [Path(uri).stem for uri in proposal["labels"]] == ["gt"]
    assert [Path(uri).stem for uri in proposal["predictions"]] == ["full", "wrapped"]


def test_texts_with_confidences_are_a_models(tmp_path: Path) -> None:
    """As a training folder has them: labels beside images, and what a run of the model wrote."""
    write_pictures(tmp_path / "set" / "images" / "train", [1, 2])
    for folder, confidence in (("labels/train", ""), ("runs/detect/predict/labels", " 0.9")):
        (tmp_path / "set" / folder).mkdir(parents=True)
        for name in ("00001", "00002"):
            (tmp_path / "set" / folder / f"{name}.txt").write_text(f"0 .5 .5 .2 .2{confidence}\n")
    proposal = look_at(tmp_path / "set").proposal(unsure=False)
    assert proposal["labels"] == [str(tmp_path / "set" / "labels")]
    assert proposal["predictions"] == [str(tmp_path / "set" / "runs" / "detect" / "predict" / "labels")]
    assert proposal["labels_format"] == proposal["predictions_format"] == "yolo"


def test_masks_are_left_out_and_told(tmp_path: Path) -> None:
    write_pictures(tmp_path / "set" / "images", [1, 2])
    (tmp_path / "set" / "masks").mkdir()
    for name in ("00001.png", "00002.png"):
        Image.new("L", (20, 16), 1).save(tmp_path / "set" / "masks" / name)
    said = brain(tmp_path, "add", "a", "--media", str(tmp_path / "set"), "--yes")
    assert "masks of these, which are no images (2): masks/" in said.stderr
    assert declared(tmp_path)["pattern"] == "^(?!masks/)"


def test_folders_of_one_split_each_are_no_classes(tmp_path: Path) -> None:
    """As the cities of a drive: what the splits were made by."""
    for number, path in enumerate(("train/aachen", "train/bremen", "val/lindau")):
        write_pictures(tmp_path / "set" / path, [number])
    assert look_at(tmp_path / "set").proposal(unsure=True) == {"split_from": "folder"}


def test_columns_that_say_what_belongs_together_are_seen(tmp_path: Path) -> None:
    write_pictures(tmp_path / "set", [1, 2, 3])
    rows = "".join(f"0000{number}.png,{number},P{number // 2},mel,{number}\n" for number in (1, 2, 3))
    (tmp_path / "set" / "metadata.csv").write_text(f"image_path,scan,patient_id,dx,case\n{rows}")
    said = brain(tmp_path, "add", "a", "--media", str(tmp_path / "set"), "--yes")
    assert "--groups patient_id --labels" in said.stderr
    assert declared(tmp_path)["groups"] == ["patient_id"]


def test_folders_that_differ_by_a_number_are_what_images_come_from(tmp_path: Path) -> None:
    for number in (1, 2):
        write_pictures(tmp_path / "set" / f"clip_{number}", [number])
    assert look_at(tmp_path / "set").proposal(unsure=True) == {"groups": ["(?P<clip>clip_[0-9]+)/"]}
    said = brain(tmp_path, "add", "a", "--media", str(tmp_path / "set"), "--yes")
    assert said.exit_code == 0, said.stderr
    assert "2 images" in said.stderr


def test_what_a_data_yaml_leads_to_is_told_and_what_a_model_found_beside_it(tmp_path: Path) -> None:
    write_pictures(tmp_path / "set" / "images" / "train", [1, 2])
    write_pictures(tmp_path / "set" / "images" / "val", [3])
    for folder, confidence in (("labels/train", ""), ("runs/detect/predict/labels", " 0.9")):
        (tmp_path / "set" / folder).mkdir(parents=True)
        (tmp_path / "set" / folder / "00001.txt").write_text(f"0 .5 .5 .2 .2{confidence}\n")
    (tmp_path / "set" / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [cat]\n")
    said = brain(tmp_path, "add", "a", "--media", str(tmp_path / "set" / "data.yaml")).stderr
    assert "data.yaml: 3 images; train 2, val 1; labels: labels/train\n" in said
    assert (
        f"brain attach a --predictions {tmp_path / 'set/runs/detect/predict/labels'} --predictions-format yolo" in said
    )


TABLES = {
    "image_id,healthy,rust\n00001,1,0\n00002,0,1\n": "labels",
    'image_id,width,height,bbox\n00001,20,16,"[1.0, 2.0, 5.0, 6.0]"\n': "labels",
    "Image Index,Finding Labels,Patient Age\n00001.png,Mass|Nodule,50\n00002.png,Mass,60\n": "labels",
    "ImageID,LabelName,Confidence,XMin,XMax,YMin,YMax\n00001,/m/0,1,.1,.5,.2,.6\n00002,/m/0,1,.1,.5,.2,.6\n": "labels",
    "filename,pred,logit_0,logit_1\n00001.png,0,2.5,-1\n": "predictions",
    "image_id,label\n77777,1\n": "it names no image that is here, such as '77777'",
    "image,target\n00001.png,1.5\n00002.png,2.25\n": "its classes are numbers with decimals",
    "ImageId,EncodedPixels\n00001.png,1 3 20 5\n": "masks as runs of pixels",
    "image_id,age\n00001,50\n": "it names images, but no column is known to hold classes",
    "Slide,Grade\n00001,2\n00002,3\n": "its column 'Slide' names images, which is not known by its name",
    "country,population\nA,1\n": "",
    "filename,label\n00001.png\n00002.png\n": "no row of it can be read: 1 columns, expected 2",
    "Slide,,\n00001,x,y\n00002,x,z\n": "its column 'Slide' names images, which is not known by its name",
}


def test_sentences_behind_paths_are_no_classes(tmp_path: Path) -> None:
    write_pictures(tmp_path / "set", [1, 2])
    (tmp_path / "set" / "captions.txt").write_text("00001.png,A brown dog runs .\n00002.png,Two cats on a wall .\n")
    look = look_at(tmp_path / "set")
    assert look.proposal(unsure=True) == {}
    assert list(look.left_out.values()) == ["sentences stand behind its paths, and no classes"]


def test_small_files_of_json_are_tables_where_they_are_nothing_else(tmp_path: Path) -> None:
    write_pictures(tmp_path / "set" / "images", [1, 2])
    (tmp_path / "set" / "labels.json").write_text(json.dumps({"00001.png": "cat", "00002.png": "dog"}))
    (tmp_path / "set" / "notes.json").write_text(json.dumps([{"a": 1}]))
    (tmp_path / "set" / "broken.json").write_text("{")
    (tmp_path / "set" / "lines.json").write_text(
        '{"image": "00001.png", "label": 1}\n{"image": "00002.png", "label": 2}\n'
    )
    found = {one.kind: one.addresses for one in look_at(tmp_path / "set").found}
    assert [Path(uri).stem for uri in found["table of labels"]] == ["labels", "lines"]


def test_a_table_of_what_was_right_and_what_was_predicted_is_both(tmp_path: Path) -> None:
    write_pictures(tmp_path / "set" / "images", [1, 2])
    path = tmp_path / "set" / "eval.csv"
    path.write_text("file,y_true,y_pred,confidence\n00001.png,0,1,.9\n00002.png,1,1,.8\n")
    assert look_at(tmp_path / "set").proposal(unsure=False) == {"labels": [str(path)], "predictions": [str(path)]}


def test_folders_of_one_name_in_several_are_perhaps_no_classes(tmp_path: Path) -> None:
    """Indoors and outdoors, or what was asked of a model: to be told and not taken."""
    for place, path in enumerate(("train/cat/in", "train/cat/out", "train/dog/in", "val/cat/in", "val/dog/out")):
        write_pictures(tmp_path / "set" / path, [place])
    for place, path in enumerate(("train/cat", "train/dog", "val/cat", "val/dog", "seg_pred/seg_pred")):
        write_pictures(tmp_path / "other" / path, [place])
    for name in ("set", "other"):
        look = look_at(tmp_path / name)
        assert look.proposal(unsure=False) == {"split_from": "folder"}
        assert look.proposal(unsure=True) == {"split_from": "folder", "labels": ["folder"]}


@pytest.mark.parametrize(
    ("name", "said", "role"),
    [
        ("dump.json", {"00001.png": [{"label": "cat", "score": 0.9}], "00002.png": []}, "predictions"),
        ("dump.json", {"00001.png": [2.5, -1.0], "00002.png": [0.5, 1.0]}, "predictions"),
        ("dump.json", {"00001.png": ["cat", "dog"], "00002.png": ["dog"]}, "labels"),
        ("my_predictions.json", {"00001.png": 0, "00002.png": 1}, "predictions"),
    ],
)
def test_what_a_classifier_wrote_is_no_label(name: str, said: object, role: str, tmp_path: Path) -> None:
    write_pictures(tmp_path / "set" / "images", [1, 2])
    (tmp_path / "set" / name).write_text(json.dumps(said))
    (found,) = look_at(tmp_path / "set").found
    assert found.role == role


@pytest.mark.parametrize("text", TABLES)
def test_tables_are_taken_by_what_their_readers_understand(text: str, tmp_path: Path) -> None:
    write_pictures(tmp_path / "set" / "images", [1, 2])
    (tmp_path / "set" / "train.csv").write_text(text)
    look, path = look_at(tmp_path / "set"), str(tmp_path / "set" / "train.csv")
    proposal = look.proposal(unsure=True)
    assert {role: proposal[role] for role in ("labels", "predictions") if role in proposal} == (
        {TABLES[text]: [path]} if TABLES[text] in ("labels", "predictions") else {}
    )
    told = [line for line in look.lines() if "left out" in line]
    assert not told if TABLES[text] in ("labels", "predictions", "") else TABLES[text] in told[0]


def test_the_template_of_answers_to_a_contest_is_no_label_and_is_told(tmp_path: Path) -> None:
    write_pictures(tmp_path / "set" / "test", [1, 2])
    (tmp_path / "set" / "sample_submission.csv").write_text("image_id,label\n00001,0\n00002,0\n")
    said = brain(tmp_path, "add", "a", str(tmp_path / "set"), "--yes")
    assert "left out: sample_submission.csv: it is called like the template of answers to a contest" in said.stderr
    assert "labels" not in declared(tmp_path)


def test_a_dataset_that_fiftyone_exported_is_taken_with_all_its_fields(tmp_path: Path) -> None:
    write_pictures(tmp_path / "set" / "data", range(2))
    label = {"_cls": "Classification", "label": "cat"}
    samples = [
        {
            "filepath": f"data/0000{place}.png",
            "tags": ["test", "x"],
            "animal": label,
            "resnet": {**label, "confidence": 0.5},
        }
        for place in range(2)
    ]
    path = tmp_path / "set" / "samples.json"
    path.write_text(json.dumps({"samples": samples}))
    look = look_at(tmp_path / "set")
    assert look.lines()[0].endswith("2 images; splits by tag: test 2")
    form = {"labels_format": "fiftyone-dataset", "predictions_format": "fiftyone-dataset"}
    settings = {"media": [str(path)], "split_from": "column", "labels": [str(path)], "predictions": [f"resnet={path}"]}
    assert look.proposal(unsure=False) == settings | form
    assert brain(tmp_path, "add", "a", str(tmp_path / "set")).exit_code == 0
    assert declared(tmp_path)["media"] == str(path)


def brain(root: Path, *words: str, **more: str) -> Result:
    return CliRunner().invoke(main, ["--home", str(root / "home"), *words], **more)


def declared(root: Path) -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load((root / "home" / "datasets" / "a" / "dataset.yaml").read_text())
    return found


def test_what_is_certain_is_declared_and_told(tmp_path: Path) -> None:
    yolo(tmp_path / "set")
    said = brain(tmp_path, "add", "a", "--media", str(tmp_path / "set"))
    assert said.exit_code == 0
    assert "2 images; splits by folder: train 1, val 1" in said.stderr
    assert "YOLO (detect, segment, pose, OBB) (2 files): labels" in said.stderr
    assert declared(tmp_path)["labels"] == [{"uri": str(tmp_path / "set" / "labels"), "format": "yolo"}]


def test_what_may_be_no_labels_is_taken_only_when_confirmed(tmp_path: Path) -> None:
    perhaps_classes(tmp_path / "set")
    said = brain(tmp_path, "add", "a", "--media", str(tmp_path / "set"))
    assert "brain attach a --labels folder" in said.stderr
    assert "labels" not in declared(tmp_path)
    assert brain(tmp_path, "remove", "a", "--yes").exit_code == 0
    brain(tmp_path, "add", "a", "--media", str(tmp_path / "set"), "--yes")
    assert declared(tmp_path)["labels"] == [{"uri": "folder"}]


def test_classes_in_names_of_images_are_told_and_taken_when_confirmed(tmp_path: Path) -> None:
    """As Kaggle's cats and dogs, of which those of the test have none."""
    (tmp_path / "set" / "train").mkdir(parents=True)
    (tmp_path / "set" / "test1").mkdir()
    names = [f"train/{name}.{number}.png" for name in ("cat", "dog") for number in range(4)]
    for number, name in enumerate([*names, "test1/1.png", "test1/2.png"]):
        picture(number).save(tmp_path / "set" / name)
    said = brain(tmp_path, "add", "a", str(tmp_path / "set")).stderr
    assert "names of images that may hold classes, 2 such as cat, dog" in said
    assert "not taken, as it may be none: brain attach a --labels name" in said
    assert brain(tmp_path, "attach", "a", "--labels", "name").exit_code == 0
    assert declared(tmp_path)["labels"] == [{"uri": "name"}]


def test_what_cameras_and_programs_call_pictures_is_no_class(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for number in range(4):
        for name in ("IMG_{}", "DSC{}", "frame-{}", "train_{}", "test_{}", "0{}"):
            picture(number).save(tmp_path / "set" / f"{name.format(number)}.png")
    assert look_at(tmp_path / "set").found == []


def test_folders_that_say_something_are_told_where_several_or_a_pattern_are_given(tmp_path: Path) -> None:
    class_folders(tmp_path / "set")
    roots = [str(tmp_path / "set" / split) for split in ("train", "test")]
    for name, words in (("a", roots), ("b", [str(tmp_path / "set" / "**" / "*.png")])):
        said = brain(tmp_path, "add", name, *words).stderr
        assert f"folders are called like splits (train 2, test 2): brain set {name} split_from=folder" in said
        assert f"folders of classes, 2 such as cat, dog: brain attach {name} --labels folder" in said


def test_a_manifest_is_looked_at_too(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", [0, 1])
    (tmp_path / "m.csv").write_text("image_path;species;split\nimages/00000.png;cat;train\nimages/00001.png;dog;val\n")
    (tmp_path / "l.txt").write_text("images/00000.png 1\nimages\\00001.png 0\n", "utf-8-sig")
    table, listed = (look_at(tmp_path / name) for name in ("m.csv", "l.txt"))
    assert table.proposal(unsure=False) == {"split_from": "column", "labels": [str(tmp_path / "m.csv")]}
    labels = {"labels": [str(tmp_path / "l.txt")], "labels_format": "lists"}
    assert (listed.proposal(unsure=False), listed.samples) == (labels, 2)
    said = brain(tmp_path, "add", "a", str(tmp_path / "m.csv")).stderr
    assert "2 images; splits by column: train 1, val 1" in said
    assert declared(tmp_path)["split_from"] == "column"


def test_whoever_says_how_a_dataset_is_is_not_told_better(tmp_path: Path) -> None:
    yolo(tmp_path / "set")
    said = brain(tmp_path, "add", "a", "--media", str(tmp_path / "set"), "--split-from", "none")
    assert "YOLO" not in said.stderr
    assert declared(tmp_path) == {"media": str(tmp_path / "set"), "split_from": "none"}


def test_labels_and_predictions_are_attached_and_values_set_with_comments_kept(tmp_path: Path) -> None:
    nothing(tmp_path / "set")
    brain(tmp_path, "add", "a", "--media", str(tmp_path / "set"))
    file = tmp_path / "home" / "datasets" / "a" / "dataset.yaml"
    file.write_text(file.read_text() + "# mine\nsimilarity:\n  k: 5  # few\n")
    (tmp_path / "l.csv").write_text("filepath,label\n")
    said = brain(
        tmp_path, "attach", "a", "--labels", f"color={tmp_path}/l.csv", "--predictions", str(tmp_path / "l.csv")
    )
    assert said.stdout.startswith(f"attached labels: {tmp_path}/l.csv\nattached predictions: ")
    assert brain(tmp_path, "set", "a", "similarity.k=7", "limit=3").exit_code == 0
    settings = declared(tmp_path)
    assert settings["labels"] == [{"uri": f"{tmp_path}/l.csv", "field": "color"}]
    assert settings["predictions"] == [{"uri": f"{tmp_path}/l.csv"}]
    assert (settings["similarity"], settings["limit"]) == ({"k": 7}, 3)
    assert "# mine" in file.read_text()
    assert "k: 7  # few" in file.read_text()


REFUSED: list[tuple[tuple[str, ...], str]] = [
    (("set", "a", "similarity.q=7"), "unknown key 'similarity.q'"),
    (("set", "a", "similarity.k=many"), "similarity.k: must be a whole number, got 'many'"),
    (("set", "a", "media=/nowhere"), "no media at /nowhere"),
    (("set", "a", "media.inner=1"), "there is no media.inner"),
    (("set", "a", "similarity.k=[1"), "is not a value"),
    (("attach", "a", "--labels", "/nowhere.csv"), "no labels or predictions at /nowhere.csv"),
    (("attach", "a", "--labels", "folder", "--labels", "folder", "--labels-format", "xyz"), "labels.0.format: must be"),
]


@pytest.mark.parametrize(("words", "line"), REFUSED)
def test_a_wrong_change_is_refused_in_one_line_and_changes_nothing(
    tmp_path: Path, words: tuple[str, ...], line: str
) -> None:
    file = tmp_path / "home" / "datasets" / "a" / "dataset.yaml"
    file.parent.mkdir(parents=True)
    (tmp_path / "set").mkdir()
    file.write_text(f"media: {tmp_path}/set\n")
    said = brain(tmp_path, *words)
    assert said.exit_code == 1
    assert line in said.stderr
    assert len(said.stderr.splitlines()) == 1
    assert file.read_text() == f"media: {tmp_path}/set\n"
    assert [one.name for one in file.parent.iterdir()] == ["dataset.yaml"]


def test_what_is_attached_already_is_refused(tmp_path: Path) -> None:
    class_folders(tmp_path / "set")
    brain(tmp_path, "add", "a", "--media", str(tmp_path / "set"), "--yes")
    assert "folder is among the labels of a already" in brain(tmp_path, "attach", "a", "--labels", "folder").stderr


def test_settings_are_shown_as_options() -> None:
    assert as_options({"labels": ["a b"], "labels_format": "coco"}) == "--labels 'a b' --labels-format coco"


def test_a_name_that_is_taken_is_refused_before_a_folder_is_looked_at(tmp_path: Path) -> None:
    class_folders(tmp_path / "set")
    assert brain(tmp_path, "add", "set", "--media", str(tmp_path / "set")).exit_code == 0
    again = brain(tmp_path, "add", "set", "--media", str(tmp_path / "set"))
    assert again.exit_code == 1
    assert "declared" not in again.output
    assert "exists already" in again.output


def test_a_link_in_place_of_a_settings_file_stays_one(tmp_path: Path) -> None:
    class_folders(tmp_path / "set")
    brain(tmp_path, "add", "a", "--media", str(tmp_path / "set"), "--yes")
    file, kept = tmp_path / "home" / "datasets" / "a" / "dataset.yaml", tmp_path / "kept.yaml"
    file.replace(kept)
    file.symlink_to(kept)
    assert brain(tmp_path, "set", "a", "similarity.k=7").exit_code == 0
    assert file.is_symlink()
    assert "k: 7" in kept.read_text()


def test_a_home_that_cannot_be_used_is_said_before_a_folder_is_looked_at(tmp_path: Path) -> None:
    class_folders(tmp_path / "set")
    (tmp_path / "home").write_text("a file")
    said = brain(tmp_path, "add", "a", "--media", str(tmp_path / "set"))
    assert said.exit_code == 1
    assert "cannot be used" in said.output
    assert "images" not in said.output


def test_an_archive_is_looked_into(tmp_path: Path) -> None:
    class_folders(tmp_path / "set")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path in (tmp_path / "set").rglob("*.png"):
            archive.write(path, path.relative_to(tmp_path).as_posix())
    with tarfile.open(tmp_path / "set.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "set", "./set")
    (tmp_path / "broken.zip").write_bytes(b"PK")
    proposals = [look_at(tmp_path / name).proposal(unsure=False) for name in ("set.zip", "set.tar.gz", "broken.zip")]
    assert proposals == [{"split_from": "folder", "labels": ["folder"]}] * 2 + [{}]
    assert says_where_to_look([str(tmp_path / "set.tar.gz")], {})
    said = brain(tmp_path, "add", "a", "--media", str(tmp_path / "set.zip"))
    assert "4 images; splits by folder: train 2, test 2" in said.output
    assert "labels:" in (tmp_path / "home" / "datasets" / "a" / "dataset.yaml").read_text()


def test_archives_in_a_folder_are_splits_of_which_a_table_speaks_and_labels_in_them_are_told(tmp_path: Path) -> None:
    """As contests hand them out."""
    (tmp_path / "set").mkdir()
    for place, split in enumerate(("train", "test")):
        members = {f"{place}.png": encoded(picture(place)), "annotations/a.json": b"{}", "__MACOSX/b.json": b"{}"}
        write_archive(tmp_path / "set" / f"{split}.zip", members)
    (tmp_path / "set" / "train.csv").write_text("id,label\n0,cat\n")
    look = look_at(tmp_path / "set")
    labels = [str(tmp_path / "set" / "train.csv")]
    assert look.proposal(unsure=False) == {"split_from": "folder", "labels": labels}
    assert look.splits == {"train": 1, "test": 1}
    told = "left out: train.zip!/annotations/a.json: labels in an archive are not read: unpack it, and give the folder"
    assert told in "\n".join(look.lines())


def test_labels_that_are_compressed_or_packed_beside_the_images_are_told(tmp_path: Path) -> None:
    write_pictures(tmp_path / "set" / "images", range(3))
    (tmp_path / "set" / "images" / "labels.csv.gz").write_bytes(gzip.compress(b"filepath,label\n"))
    (tmp_path / "set" / "images" / "notes.gz").write_bytes(gzip.compress(b"of no kind of labels"))
    write_archive(tmp_path / "set" / "annotations.zip", {"instances.json": b"{}"})
    told = look_at(tmp_path / "set" / "images").lines()
    assert "  left out: labels.csv.gz: compressed labels are not read: unpack it" in told
    packed = "labels in an archive are not read: unpack it, and give the folder"
    assert f"  left out: ../annotations.zip!/instances.json: {packed}" in told
    assert not any("notes" in line for line in told)
