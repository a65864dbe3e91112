"""What belongs together by a column or a path: where it comes from, and the leaks between splits that it shows."""

import json
from pathlib import Path

import pytest

from brain_assets.app.cleaning import Cleaning, left_out
from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.settings.configuration import load_dataset
from brain_assets.resources.store.publishing import connect
from brain_assets.signals.duplicates.leaks import LEAK
from tests.workshop import Workshop, assert_equals_rebuild, give_calibrations, write_archive, write_pictures

ASSETS = (
    "samples", "media", "ground_truth", "objects", "exact_duplicates", "embeddings", "similarity", "near_duplicates", "leaks",
    "issues", "published",
)  # fmt: skip
LABELS = """filepath,label,patient
train/00000.png,cat,1
train/00001.png,cat,2
train/00002.png,dog,
test/00003.png,cat,1
test/00004.png,dog,3
val/00005.png,dog,1
"""
GROUPS = "select filepath, groups from samples where groups != [] order by 1"


def make(root: Path, labels: str = LABELS, home: str = "home", **settings: object) -> Workshop:
    for split, seeds in {"train": (0, 1, 2), "test": (3, 4), "val": (5,)}.items():
        if not (root / "media" / split).exists():
            write_pictures(root / "media" / split, seeds)
    (root / "labels.csv").write_text(labels)
    declared = {"labels": [{"uri": str(root / "labels.csv")}], "split_from": "folder", "groups": ["patient"]}
    return Workshop(root / home, root / "media", **{**declared, **settings})


def test_a_group_in_two_splits_leaks(tmp_path: Path) -> None:
    workshop = make(tmp_path)
    workshop.run(ASSETS)
    assert workshop.rows(GROUPS) == [
        ("test/00003.png", ["patient=1"]), ("test/00004.png", ["patient=3"]), ("train/00000.png", ["patient=1"]),
        ("train/00001.png", ["patient=2"]), ("val/00005.png", ["patient=1"]),
    ]  # fmt: skip
    found = workshop.rows("""
        select one.filepath, leaks.split, other.filepath, partner_split, kind, shared, distance from leaks
        join samples one using (sample_id) join samples other on other.sample_id = partner_id order by 1, 3""")
    names = ["test/00003.png", "train/00000.png", "val/00005.png"]
    pairs = [(one, other) for one in names for other in names if one != other]
    assert [(row[0], row[2]) for row in found] == pairs
    assert {row[4:] for row in found} == {("group", "patient=1", None)}
    ((score, evidence),) = workshop.rows(
        "select score, evidence from issues join samples using (sample_id) where issue = 'leak' and filepath = 'val/00005.png'"
    )
    assert score == 0.5
    assert LEAK.reason(json.loads(evidence)) in {
        f"In val; another of patient=1 is in {split}." for split in ("test", "train")
    }
    with connect(workshop.paths.published) as connection:
        files = dict(connection.execute("select sample_id, filepath from samples").fetchall())
        out = left_out(connection, Cleaning(), ["test", "val", "train"])
    assert {files[one]: why.detail for one, why in out.items()} == {
        "train/00000.png": "others of patient=1 are in test", "val/00005.png": "others of patient=1 are in test",
    }  # fmt: skip


def test_groups_follow_their_files_and_a_change_equals_a_rebuild(tmp_path: Path) -> None:
    workshop = make(tmp_path)
    workshop.run(ASSETS)
    (tmp_path / "labels.csv").write_text(LABELS.replace("test/00003.png,cat,1", "test/00003.png,cat,2"))
    workshop.run(ASSETS)
    assert {row[0] for row in workshop.rows("select shared from leaks")} == {"patient=1", "patient=2"}
    rebuild = make(tmp_path, (tmp_path / "labels.csv").read_text(), "rebuild")
    give_calibrations(workshop, rebuild)
    rebuild.run(ASSETS)
    assert_equals_rebuild(workshop, rebuild)
    workshop.declare(
        media=str(tmp_path / "media"), split_from="folder", embeddings={"model": "python:tests.models:Pixels"}
    )
    workshop.run(ASSETS)
    assert workshop.rows("from leaks") == workshop.rows(GROUPS) == []


def test_of_one_file_every_way_to_say_a_group_counts(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media" / "north", [0])
    data = (tmp_path / "media" / "north" / "00000.png").read_bytes()
    write_archive(tmp_path / "media" / "more.zip", {"south/b.png": data})
    (tmp_path / "media" / "list.csv").write_text("filepath,patient,visit\nnorth/00000.png,7.0,\nmore.zip,8,2\n")
    groups = ["patient", "visit", "(?P<site>north|south)/"]
    workshop = Workshop(tmp_path / "home", tmp_path / "media" / "list.csv", groups=groups)
    notes = workshop.run(("samples", "media", "published"))["samples"].notes
    assert notes["groups by visit"] == "1, 1 samples in none"
    assert workshop.rows(GROUPS) == [
        ("more.zip!/south/b.png", ["patient=8", "site=south", "visit=2"]),
        ("north/00000.png", ["patient=7", "site=north"]),
    ]


def test_a_column_that_stands_twice_says_both(tmp_path: Path) -> None:
    workshop = make(tmp_path, "filepath,label,patient,patient\ntrain/00000.png,cat,1,2\n")
    workshop.run(("samples", "media", "published"))
    assert ("train/00000.png", ["patient=1", "patient=2"]) in workshop.rows(GROUPS)


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ("(?P<a", "groups.0: is no regular expression: .*, got '"),
        ("p[0-9]+", "groups.0: is neither a column's name nor a regular expression with a named part .*, got 'p"),
        (" ", "groups.0: is neither a column's name"),
    ],
)
def test_a_group_that_means_nothing_is_one_line(tmp_path: Path, group: str, words: str) -> None:
    workshop = make(tmp_path, groups=[group])
    with pytest.raises(ConfigurationError, match=words):
        load_dataset(workshop.paths.config)
