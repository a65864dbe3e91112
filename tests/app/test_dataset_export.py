"""The cleaned dataset written in every format, with what was left out or changed, and read back."""

import csv
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from brain_assets.app.api import DatasetReader
from brain_assets.app.cli import main
from brain_assets.app.dataset_export import ExportedDataset
from brain_assets.resources.errors import BrainError
from brain_assets.resources.label_formats.door import writers
from brain_assets.resources.label_formats.labelled import Labelled
from brain_assets.resources.store.events import Event, EventKind, Events
from tests.workshop import Workshop, encoded, picture, write_archive, write_pictures

KEPT = """sample_id in (select sample_id from samples where filepath in ('test/00010.png', 'test/00011.png', 'test/copy.png',
    'train/00001.png', 'train/00002.png'))"""
STEPS = (
    "reviews", "samples", "media", "embeddings", "ground_truth", "predictions", "objects", "exact_duplicates", "similarity",
    "near_duplicates", "leaks", "issues", "published",
)  # fmt: skip
BOXES = """
    select label, round(x, 5), round(y, 5), round(objects.width, 5), round(objects.height, 5), iscrowd
    from objects where source = 'ground_truth' order by all"""
LABELS = "select label from (select unnest(labels) as label from ground_truth) order by all"
# How each format is declared when it is read back: media, labels, and how the splits are found.
READ_BACK: dict[str, tuple[str, tuple[str, ...]]] = {
    "coco": ("images", ("annotations",)), "yolo": ("images", ("labels",)), "voc": ("JPEGImages", ("Annotations",)),
    "cvat": ("images", ("annotations.xml",)), "fiftyone": ("data", ("labels.json",)), "labelstudio": (".", ("tasks.json",)),
    "fiftyone-dataset": ("samples.json", ("ground_truth=samples.json", "labels=samples.json")),
    "csv": ("images", ("labels.csv", "boxes.csv")),
    "parquet": ("images", ("labels.parquet", "boxes.parquet")), "folders": (".", ("folder",)),
    "webdataset": (".", (".",)),
    "huggingface": (".", ("test/metadata.jsonl", "train/metadata.jsonl")),
}  # fmt: skip


def say(workshop: Workshop, kind: EventKind, query: str, value: str | None = None) -> None:
    Events(workshop.paths.events).append(Event(kind, "ada", value), workshop.rows(query))


def subject(filepath: str) -> str:
    return f"select sample_id, content_hash from samples where filepath = '{filepath}'"


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Return a dataset with copies across splits, an unreadable file, an archive, and what reviewers said of it."""
    root = tmp_path_factory.mktemp("export")
    write_pictures(root / "media" / "train", range(4))
    write_pictures(root / "media" / "test", range(10, 12))
    shutil.copy(root / "media" / "train" / "00000.png", root / "media" / "test" / "copy.png")
    shutil.copy(root / "media" / "train" / "00001.png", root / "media" / "train" / "twice.png")
    (root / "media" / "train" / "broken.png").write_bytes(b"\x89PNG")
    write_archive(
        root / "media" / "train" / "more.zip", {"in/a.png": encoded(picture(50)), "b.png": encoded(picture(51))}
    )
    names = sorted(path.relative_to(root / "media").as_posix() for path in (root / "media").rglob("*.png"))
    rows = [{"filepath": name, "label": ["cat", "dog"][place % 2]} for place, name in enumerate(names)]
    (root / "labels.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    images = [{"id": n + 40, "file_name": name, "width": 20, "height": 16} for n, name in enumerate(names)]
    annotations = [
        {"id": n, "image_id": image["id"], "category_id": 5 + n % 2, "bbox": [2, 2, 8, 8], "iscrowd": int(n == 1)}
        for n, image in enumerate(images)
    ]
    categories = [{"id": 5, "name": "ear"}, {"id": 6, "name": "eye"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "boxes.json").write_text(json.dumps(content))
    made = Workshop(
        root / "home", root / "media", "pets", labels=[{"uri": str(root / "labels.jsonl")}, {"uri": str(root / "boxes.json")}],
        split_from="folder",
    )  # fmt: skip
    made.run(STEPS)
    say(made, "drop", subject("train/00003.png"))
    say(made, "relabel", subject("train/00002.png"), "owl")
    one = "select object_id, content_hash from objects join samples using (sample_id) where filepath = 'test/{}'"
    say(made, "relabel", one.format("00010.png"), "nose")
    say(made, "drop", one.format("00011.png"))
    made.run(STEPS)
    return made


def export(workshop: Workshop, target: Path, form: str, **choice: Any) -> ExportedDataset:
    with DatasetReader(workshop.name, str(workshop.home.root)) as pets:
        return pets.export(target, form, **choice)


def changes(target: Path) -> list[tuple[str, str, str]]:
    with (target / "CHANGES.csv").open(encoding="utf-8", newline="") as file:
        return [(row["filepath"], row["change"], row["reason"]) for row in csv.DictReader(file)]


def pictures(target: Path) -> list[Path]:
    return sorted(path for path in target.rglob("*.png") if path.is_file())


def test_what_is_left_out_or_changed_is_told(workshop: Workshop, tmp_path: Path) -> None:
    exported = export(workshop, tmp_path / "out", "coco")
    assert changes(tmp_path / "out") == [
        ("test/00010.png", "object_relabelled", "review"),
        ("test/00011.png", "object_dropped", "review"),
        ("train/00000.png", "left_out", "exact_duplicate"),
        ("train/00002.png", "relabelled", "review"),
        ("train/00003.png", "left_out", "dropped"),
        ("train/broken.png", "left_out", "unreadable"),
        ("train/twice.png", "left_out", "exact_duplicate"),
    ]
    assert exported.left_out == {"exact_duplicate": 2, "dropped": 1, "unreadable": 1}
    assert (exported.images, exported.objects, exported.changed) == (7, 4, 3)
    assert exported.lost == {"labels of whole images": 5}
    assert len(pictures(tmp_path / "out")) == 7
    assert "left out 4 (exact_duplicate 2, dropped 1, unreadable 1); changed 3" in str(exported)


def test_what_is_left_in_can_be_chosen(workshop: Workshop, tmp_path: Path) -> None:
    only = export(workshop, tmp_path / "a", "csv", splits=("train",))
    # A copy of what is in another split stays out.
    assert ("train/00000.png", "left_out", "exact_duplicate") in changes(tmp_path / "a")
    assert only.left_out["split"] == 3
    small = export(workshop, tmp_path / "b", "csv", where="filepath like 'train/%'")
    # One whose copy is not asked for is not left out for it.
    assert "train/00000.png" not in {name for name, _, _ in changes(tmp_path / "b")}
    assert small.left_out["where"] == 3
    both = export(workshop, tmp_path / "c", "csv", retain=("exact_duplicate",))
    assert both.left_out == {"dropped": 1, "leak": 1, "unreadable": 1}
    all_of_it = export(workshop, tmp_path / "d", "csv", retain=("exact_duplicate", "leak"))
    assert all_of_it.left_out == {"dropped": 1, "unreadable": 1}
    blurry = export(workshop, tmp_path / "e", "csv", without=("exact_duplicate", "dark"))
    assert blurry.images == 7


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"form": "kml"}, "no format 'kml' is written"),
        ({"where": "nonsense >"}, "--where is no condition over samples"),
        ({"without": ("blurred",)}, "there is no issue 'blurred'"),
        ({"splits": ("dev",)}, "there is no split 'dev' (splits: test, train)"),
        ({"retain": ("dark",)}, "'dark' is not left out by itself"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    workshop: Workshop, tmp_path: Path, choice: dict[str, Any], said: str
) -> None:
    with pytest.raises(BrainError) as error:
        export(workshop, tmp_path / "out", **{"form": "coco", **choice})
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_format_that_fails_leaves_nothing(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(target: Path, dataset: Labelled) -> None:
        raise ZeroDivisionError("of\nthe plugin")

    monkeypatch.setattr(writers()["csv"], "write", write)
    with pytest.raises(BrainError, match=r"CSV tables cannot be written: ZeroDivisionError: of the plugin"):
        export(workshop, tmp_path / "out", "csv")
    assert not list(tmp_path.iterdir())


def test_only_an_export_is_replaced(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    for force in (False, True):
        with pytest.raises(BrainError, match="is not empty"):
            export(workshop, tmp_path / "mine", "csv", force=force)
    export(workshop, tmp_path / "out", "csv")
    with pytest.raises(BrainError, match="earlier export"):
        export(workshop, tmp_path / "out", "coco")
    export(workshop, tmp_path / "out", "coco", force=True)
    assert not (tmp_path / "out" / "labels.csv").exists()
    media = workshop.home.root.parent / "media" / "train"
    with pytest.raises(BrainError, match="reads images from"):
        export(workshop, media / "out", "csv")


def test_images_are_links_or_copies(workshop: Workshop, tmp_path: Path) -> None:
    export(workshop, tmp_path / "links", "yolo")
    export(workshop, tmp_path / "copies", "yolo", images="copy")
    links, copies = pictures(tmp_path / "links"), pictures(tmp_path / "copies")
    assert sum(path.is_symlink() for path in links) == 5
    assert not any(path.is_symlink() for path in copies)
    assert [path.read_bytes() for path in links] == [path.read_bytes() for path in copies]
    assert [path.relative_to(tmp_path / "links" / "images").as_posix() for path in links][-3:] == [
        "train/00002.png", "train/more.zip/b.png", "train/more.zip/in/a.png",
    ]  # fmt: skip


@pytest.mark.parametrize("form", READ_BACK)
def test_what_is_read_back_is_what_was_written(workshop: Workshop, tmp_path: Path, form: str) -> None:
    exported = export(workshop, tmp_path / "out", form, images="copy")
    media, labels = READ_BACK[form]
    fields = [one.rpartition("=")[::2] for one in labels]
    declared = [
        {"uri": one if one == "folder" else str(tmp_path / "out" / one), "field": field or "ground_truth"}
        for field, one in fields
    ]
    again = Workshop(tmp_path / "home", tmp_path / "out" / media, "again", labels=declared, split_from="folder")
    again.run(("samples", "media", "ground_truth", "predictions", "objects", "published"))
    holds = writers()[form].holds
    # Hugging Face wants a line of each image, also of the two that nobody says anything of.
    told = [("no_label", "metadata.jsonl")] * 2 if form == "huggingface" else []
    assert again.rows("select reason, file from rejected_rows") == told
    if "boxes" in holds:
        crowds = "crowds" in holds
        left = [(*row[:5], row[5] and crowds) for row in workshop.rows(BOXES.replace("order", f"and {KEPT} order"))]
        assert again.rows(BOXES) == sorted(left)
        assert len(left) == exported.objects
    if "labels" in holds and form != "fiftyone":
        assert len(again.rows(LABELS)) == exported.labels
        assert again.rows(LABELS) == workshop.rows(LABELS.replace("ground_truth", f"ground_truth where {KEPT}"))


def test_holes_survive_coco(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(1))
    import numpy as np

    from brain_assets.methods.labels.objects import encode_rle

    mask = np.zeros((16, 20), bool)
    mask[2:14, 3:17] = True
    mask[5:9, 6:12] = False
    content = {
        "images": [{"id": 1, "file_name": "00000.png", "width": 20, "height": 16}], "categories": [{"id": 1, "name": "a"}],
        "annotations": [{"image_id": 1, "category_id": 1, "segmentation": {"size": [16, 20], "counts": encode_rle(mask)}}],
    }  # fmt: skip
    (tmp_path / "c.json").write_text(json.dumps(content))
    made = Workshop(tmp_path / "home", tmp_path / "media", "donut", labels=[{"uri": str(tmp_path / "c.json")}])
    made.run(("samples", "media", "ground_truth", "predictions", "objects", "published"))
    export(made, tmp_path / "out", "coco")
    (one,) = json.loads((tmp_path / "out" / "annotations" / "instances_all.json").read_text())["annotations"]
    assert (one["area"], one["segmentation"]["counts"]) == (mask.sum(), encode_rle(mask))
    assert one["bbox"] == [3, 2, 14, 12]


def test_the_others_hold_what_they_should(workshop: Workshop, tmp_path: Path) -> None:
    for form in ("webdataset", "huggingface", "fiftyone", "csv", "parquet", "folders"):
        export(workshop, tmp_path / form, form)
    with tarfile.open(tmp_path / "webdataset" / "train-000000.tar") as tar:
        names = tar.getnames()
        assert names[:3] == ["train/00001.png", "train/00001.json", "train/00001.cls"]
        assert json.loads(tar.extractfile(names[1]).read())["objects"][0]["bbox"] == [2, 2, 8, 8]
    lines = (tmp_path / "huggingface" / "train" / "metadata.jsonl").read_text().splitlines()
    assert json.loads(lines[1])["label"] == "owl"
    assert all((tmp_path / "huggingface" / "train" / json.loads(line)["file_name"]).is_file() for line in lines)
    labels = json.loads((tmp_path / "fiftyone" / "labels.json").read_text())
    assert {(tmp_path / "fiftyone" / "data" / f"{name}.png").is_file() for name in labels["labels"]} == {True}
    assert [labels["classes"][one["label"]] for one in labels["labels"]["test_00010"]] == ["nose"]
    assert (
        (tmp_path / "csv" / "boxes.csv")
        .read_text()
        .startswith("filename,width,height,class,xmin,ymin,xmax,ymax\ntest/")
    )
    assert ("train/more.zip!/b.png", "left_out", "no_label") in changes(tmp_path / "folders")
    assert (tmp_path / "folders" / "train" / "owl" / "00002.png").is_file()


def test_the_command_line(workshop: Workshop, tmp_path: Path) -> None:
    def run(*words: str) -> Any:
        return CliRunner().invoke(main, ["--home", str(workshop.home.root), "export", "pets", *words])

    done = run("--format", "voc", "--split", "test", "--without", "dark, bright", "-o", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    assert done.output.startswith(f"wrote {tmp_path}/out: 3 images")
    assert "CHANGES.csv says why" in done.output
    assert run("--where", "true", "-o", str(tmp_path / "a.json")).exit_code == 2
    assert run("--format", "coco", "--missing-objects", "-o", str(tmp_path / "b")).exit_code == 2
    assert run("--format", "kml", "-o", str(tmp_path / "b")).exit_code == 1
