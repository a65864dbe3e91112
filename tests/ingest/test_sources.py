"""Datasets from what people have: other files beside the images, several folders, a data.yaml, a first look."""

import os
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from brain_assets.app.cli import main
from tests.workshop import Workshop, write_pictures

FEW = ("samples", "media", "ground_truth", "objects", "published")


def brain(home: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--home", str(home), *words])


def declared(home: Path) -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load((home / "datasets" / "a" / "dataset.yaml").read_text())
    return found


def write_yolo(folder: Path) -> None:
    for seed, split in enumerate(("train", "valid")):
        (image,) = write_pictures(folder / split / "images", [seed])
        (folder / split / "labels").mkdir()
        (folder / split / "labels" / f"{image.stem}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
        (folder / split / "labels.cache").write_bytes(b"cache")
    (folder / "data.yaml").write_text("train: ../train/images\nval: ../valid/images\nnc: 1\nnames: [cat]\n")


@pytest.mark.parametrize("words", [["--media", "data.yaml"], ["data.yaml"]])
def test_a_data_yaml_is_a_whole_dataset(tmp_path: Path, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    write_yolo(tmp_path / "set")
    monkeypatch.chdir(tmp_path / "set")
    assert brain(tmp_path / "home", "add", "a", *words).exit_code == 0
    settings = declared(tmp_path / "home")
    assert settings["split_from"] == "column"
    workshop = Workshop(tmp_path / "other", str(settings.pop("media")), **settings)
    workshop.run(FEW)
    assert workshop.rows("select filepath, split, label from samples join objects using (sample_id) order by 1") == [
        ("train/images/00000.png", "train", "cat"),
        ("valid/images/00001.png", "val", "cat"),
    ]


def test_what_is_left_out_is_told_when_a_dataset_is_declared_and_by_its_status(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(2))
    for name in ("a.xmp", "b.xmp", "clip.MOV"):
        (tmp_path / "media" / name).write_bytes(b"no picture")
    told = "3 files are no images: 1 videos (with --frames, frames are taken of them), 2 .xmp"
    assert told in brain(tmp_path / "home", "add", "a", "--media", str(tmp_path / "media")).stderr
    workshop = Workshop(tmp_path / "other", tmp_path / "media")
    workshop.run(FEW)
    assert told in brain(workshop.home.root, "status", "test").stdout
    assert workshop.rows("select count(*), count(error) from samples") == [(2, 0)]
    # What lies beside images starts no run.
    os.utime(tmp_path / "media" / "a.xmp")
    assert "up to date" in brain(workshop.home.root, "status", "test").stdout


def test_several_folders_are_one_dataset(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for seed, folder in enumerate(folders):
        write_pictures(folder, [seed])
    home = tmp_path / "home"
    assert brain(home, "add", "a", "--media", str(folders[0]), "--media", str(folders[1])).exit_code == 0
    settings = declared(home)
    assert settings["media"] == [str(folder) for folder in folders]
    workshop = Workshop(tmp_path / "other", folders[0])
    workshop.declare(**settings)
    workshop.run(("samples", "media", "published"))
    assert workshop.rows("select filepath, status from samples") == [("one/00000.png", "ok"), ("two/00001.png", "ok")]


def test_a_first_look_takes_a_few_samples_and_can_be_made_a_whole(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(8))
    workshop = Workshop(tmp_path / "home", tmp_path / "media", limit=3)
    workshop.run(FEW)
    first = set(workshop.rows("select sample_id from samples"))
    assert len(first) == 3
    workshop.declare(media=str(tmp_path / "media"), embeddings={"model": "python:tests.models:Pixels"})
    workshop.run(FEW)
    assert first < set(workshop.rows("select sample_id from samples"))
    assert workshop.rows("select count(*) from samples") == [(8,)]


def test_small_files_and_other_names_are_left_out_where_that_is_asked_for(tmp_path: Path) -> None:
    paths = write_pictures(tmp_path / "media", range(6))
    least = sorted(path.stat().st_size for path in paths)[2]
    workshop = Workshop(tmp_path / "home", tmp_path / "media", min_file_size=least, pattern=r"[0-4]\.png$")
    report = workshop.run(FEW)["samples"]
    kept = {path.name for path in paths if path.stat().st_size >= least and path.name != "00005.png"}
    assert {name for (name,) in workshop.rows("select filepath from samples")} == kept
    assert f"{6 - len(kept)} images left out by min_file_size or pattern" in report.notes.values()
    workshop.declare(media=str(tmp_path / "media"), embeddings={"model": "python:tests.models:Pixels"})
    workshop.run(FEW)
    assert workshop.rows("select count(*) from samples") == [(6,)]


def test_lists_beside_annotations_of_voc_and_lists_of_classes_give_splits(tmp_path: Path) -> None:
    write_pictures(tmp_path / "JPEGImages", range(4))
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Main" / "train.txt").write_text("00000\n00001\n")
    (tmp_path / "ImageSets" / "Main" / "val.txt").write_text("00002\n")
    (tmp_path / "test.txt").write_text("JPEGImages/00003.png 1\n")
    labels = [{"uri": str(tmp_path / "Annotations"), "format": "voc"}, {"uri": str(tmp_path / "test.txt")}]
    workshop = Workshop(tmp_path / "home", tmp_path / "JPEGImages", labels=labels, split_from="column")
    workshop.run(("samples", "media", "ground_truth", "published"))
    splits = workshop.rows("select filepath, split from samples order by filepath")
    assert splits == [(f"{number:05}.png", split) for number, split in enumerate(["train", "train", "val", "test"])]
    assert workshop.rows("select filepath, labels from ground_truth join samples using (sample_id)") == [
        ("00003.png", ["1"])
    ]
    assert workshop.rows("select reason, file from rejected_rows") == []
