"""The walk of a new user: a folder as people have it, two commands, and what the second one says in its last line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from brain_assets.app.cli import main
from tests.ingest.test_videos import write_video
from tests.workshop import TINY, encoded, picture, write_archive, write_pictures

VOC = """<annotation><filename>{stem}.png</filename><size><width>20</width><height>16</height></size><object><name>cat</name>
<bndbox><xmin>2</xmin><ymin>2</ymin><xmax>12</xmax><ymax>10</ymax></bndbox></object></annotation>"""
BOX = {"category_id": 1, "bbox": [1, 1, 10, 8]}


def class_folders(root: Path) -> Path:
    for place, split in enumerate(("train", "val", "test")):
        for name in ("cat", "dog"):
            write_pictures(root / split / name, [10 * place + len(name) + (name == "dog"), 10 * place + 7])
    return root


def tables(root: Path) -> Path:
    write_pictures(root / "images", range(4))
    labels = [f"0000{place}.png;{'cat' if place == 1 else 'dog'}" for place in range(4)]
    (root / "labels.csv").write_text("\n".join(["filename;class", *labels]))
    logits = [f"0000{place}.png,{place % 2 * 8},4" for place in range(4)]
    (root / "predictions.csv").write_text("\n".join(["filename,logit_cat,logit_dog", *logits]))
    return root


def coco(root: Path) -> Path:
    write_pictures(root / "images", range(3))
    images = [{"id": place, "file_name": f"0000{place}.png", "width": 20, "height": 16} for place in range(3)]
    found = [{"id": place, "image_id": place, **BOX} for place in range(3)]
    tree = {"images": images, "annotations": found, "categories": [{"id": 1, "name": "cat"}]}
    (root / "annotations.json").write_text(json.dumps(tree))
    (root / "results.json").write_text(json.dumps([{"image_id": place, "score": 0.9, **BOX} for place in range(2)]))
    return root


def ultralytics(root: Path) -> Path:
    for place, split in enumerate(("train", "val")):
        write_pictures(root / "images" / split, [place])
        (root / "labels" / split).mkdir(parents=True)
        (root / "labels" / split / f"0000{place}.txt").write_text("0 .5 .5 .4 .4\n")
    write_pictures(root / "runs" / "detect" / "predict", [1])
    (root / "runs" / "detect" / "predict" / "labels").mkdir()
    (root / "runs" / "detect" / "predict" / "labels" / "00001.txt").write_text("0 .5 .5 .4 .4 0.9\n")
    (root / "data.yaml").write_text("path: /content/set\ntrain: images/train\nval: images/val\nnames: [cat]\n")
    return root


def voc(root: Path) -> Path:
    (root / "Annotations").mkdir(parents=True)
    for path in write_pictures(root / "JPEGImages", range(2)):
        (root / "Annotations" / f"{path.stem}.xml").write_text(VOC.format(stem=path.stem))
    (root / "ImageSets" / "Main").mkdir(parents=True)
    for place, split in enumerate(("train", "val")):
        (root / "ImageSets" / "Main" / f"{split}.txt").write_text(f"0000{place}\n")
    return root


def video(root: Path) -> Path:
    return write_video(root / "clip.mkv", [1, 2, 1, 3])


def packed(root: Path) -> Path:
    splits = [(split, name) for split in ("train", "val") for name in ("cat", "dog")]
    members = {f"set/{'/'.join(path)}/{place}.png": encoded(picture(place)) for place, path in enumerate(splits)}
    return write_archive(root.with_suffix(".zip"), {**members, "__MACOSX/set/._0.png": b"\0"})


WALKS: dict[Callable[[Path], Path], str] = {
    class_folders: "12 samples, 0 errors; train 4, val 4, test 4; labels: 12 used; 3 exact_duplicate",
    tables: "4 samples, 0 errors; labels: 4 used; predictions: 4 used; 1 label_mistake",
    coco: "3 samples, 0 errors; labels: 3 used; predictions: 2 used; no issues",
    ultralytics: "2 samples, 0 errors; train 1, val 1; labels: 2 used; predictions: 1 used; no issues",
    voc: "2 samples, 0 errors; train 1, val 1; labels: 2 used; no issues",
    video: "4 samples, 0 errors; 4 blurry, 1 exact_duplicate",
    packed: "4 samples, 0 errors; train 2, val 2; labels: 4 used; no issues",
}


@pytest.mark.slow
@pytest.mark.parametrize("made", WALKS, ids=lambda one: one.__name__)
def test_two_commands_lead_to_an_answer(tmp_path: Path, made: Callable[[Path], Path]) -> None:
    source = made(tmp_path / "set")
    for words in (("add", "mine", str(source), "--model", TINY), ("materialize", "mine")):
        said = CliRunner().invoke(main, ["--home", str(tmp_path / "home"), *words])
        assert said.exit_code == 0, said.output
    assert said.output.splitlines()[-1] == WALKS[made]
