"""What became of what was given: splits are counted wherever a dataset is told of."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from brain_assets.app.cli import main
from brain_assets.app.status import summary
from brain_assets.ingest.accounting import Account, Reason, accounts, losses_told, rows_told, splits_told
from brain_assets.resources.store.publishing import connect
from brain_assets.review.endpoints import inputs
from brain_assets.review.sets import Sets
from tests.workshop import Workshop, write_pictures

FEW = ("samples", "media", "ground_truth", "published")


def said(workshop: Workshop, *words: str) -> str:
    result = CliRunner().invoke(main, ["--home", str(workshop.home.root), *words])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_splits_at_any_depth_are_counted_and_told(tmp_path: Path) -> None:
    names = ("train2017", "val2017", "training_set", "valid")
    for seed, name in enumerate(names):
        for above in ("", "images/"):
            write_pictures(tmp_path / "media" / above / name / "cat", [seed])
            write_pictures(tmp_path / "media" / above / name, [seed + 4])
    write_pictures(tmp_path / "media", [9])
    workshop = Workshop(tmp_path / "home", tmp_path / "media", split_from="folder", labels=[{"uri": "folder"}])
    workshop.run(FEW)
    assert "17 samples, 0 errors; train 8, val 8, none 1;" in said(workshop, "status", "test")
    assert json.loads(said(workshop, "status", "test", "--json"))["splits"] == {"train": 8, "val": 8, "none": 1}
    # A folder that says the split is no class.
    assert workshop.rows("select distinct labels from ground_truth") == [(["cat"],)]


def test_a_source_of_splits_that_gives_none_is_told(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media" / "cats", range(2))
    workshop = Workshop(tmp_path / "home", tmp_path / "media", split_from="folder")
    workshop.run(FEW)
    assert "no sample has a split: no folder is called like one (split_from: folder)" in said(
        workshop, "status", "test"
    )


def test_many_splits_make_no_long_line() -> None:
    counts = {f"fold{number}": 1 for number in range(30)}
    assert splits_told(counts, "column").endswith("fold5 1, 24 more splits")
    assert splits_told({}, "folder") == splits_told({"none": 4}, "none") == ""


ALL = (*FEW[:3], "predictions", "objects", "health", "published")


def account(workshop: Workshop) -> dict[str, Account]:
    with connect(workshop.paths.published) as connection:
        return {one.role: one for one in accounts(connection)}


def make(root: Path, labels: str, **settings: object) -> Workshop:
    write_pictures(root / "media", range(3))
    (root / "labels.csv").write_text(labels)
    declared = {"labels": [{"uri": str(root / "labels.csv")}], "classes": ["cat", "dog"], **settings}
    return Workshop(root / "home", root / "media", **declared)


MIXED = """filepath,label
00000.png,cat
00001.png,zebra
00002.png,
later.png,dog
00001.png,"ant, small"
"""


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    workshop = make(tmp_path_factory.mktemp("mixed"), MIXED)
    workshop.run(ALL)
    return workshop


def test_rows_are_used_wait_or_are_rejected_and_every_face_says_so(mixed: Workshop) -> None:
    (found,) = account(mixed).values()
    assert (found.files, found.used, found.waiting, found.rejected) == (1, 1, 1, 3)
    assert [(one.reason, one.rows, one.line) for one in found.reasons] == [
        ("unknown_class", 2, 3), ("no_label", 1, 4), ("no_sample", 1, 5),
    ]  # fmt: skip
    line = "labels: 1 used, 1 wait for their sample, 3 rejected (2 unknown_class, as labels.csv line 3"
    assert line in summary(mixed.home, "test").splitlines()[-1]
    assert line in said(mixed, "status", "test").splitlines()[0]
    assert json.loads(said(mixed, "status", "test", "--json"))["inputs"][0]["used"] == 1


def test_report_and_review_page_say_so_in_their_heads(mixed: Workshop, tmp_path: Path) -> None:
    (found,) = json.loads(said(mixed, "report", "test", "--json"))["inputs"]
    assert (found["role"], found["used"], len(found["reasons"])) == ("labels", 1, 3)
    assert "wrote" in said(mixed, "report", "test", "-o", str(tmp_path / "page.html"))
    head, _, _ = (tmp_path / "page.html").read_text().partition("<nav")
    assert "Labels: 1 used, 1 wait for their sample, 3 rejected (2 unknown_class, as labels.csv line 3: " in head
    with Sets(mixed.home).use("test") as opened:
        assert inputs(opened) == [{"says": str(account(mixed)["labels"]), "lossy": True}]


def test_a_rejected_row_is_kept_with_its_line_and_file(mixed: Workshop) -> None:
    assert mixed.rows("select file, line, reason, row_text from rejected_rows order by line") == [
        ("labels.csv", 3, "unknown_class", "00001.png,zebra"),
        ("labels.csv", 4, "no_label", "00002.png,"),
        ("labels.csv", 5, "no_sample", None),
        ("labels.csv", 6, "unknown_class", '00001.png,"ant, small"'),
    ]


def gates(workshop: Workshop) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["--home", str(workshop.home.root), "check", "test"])
    return result.exit_code, result.output


def test_a_hundredth_of_rejected_rows_warns(mixed: Workshop) -> None:
    assert gates(mixed) == (0, "rejected_labels_share  0.75 < 0.01  warning\n")


def test_nothing_used_fails(tmp_path: Path) -> None:
    workshop = make(tmp_path, "filepath,label\n00000.png,ape\n")
    workshop.run(ALL)
    code, output = gates(workshop)
    assert code == 1
    assert "unused_labels  1 <= 0  FAILED" in output
    assert "labels: none used, 1 rejected" in summary(workshop.home, "test")


def test_rows_that_wait_fail_no_gate_while_others_are_used(tmp_path: Path) -> None:
    waiting = "".join(f"later{number}.png,cat\n" for number in range(50))
    workshop = make(tmp_path, f"filepath,label\n00000.png,cat\n{waiting}")
    workshop.run(ALL)
    assert gates(workshop)[0] == 0
    assert "no gates" in gates(workshop)[1]
    assert account(workshop)["labels"].waiting == 50


def test_a_file_that_gives_nothing_is_told(tmp_path: Path) -> None:
    workshop = make(tmp_path, "filepath,label\n")
    workshop.run(ALL)
    assert "labels: none used" in summary(workshop.home, "test")
    assert gates(workshop)[0] == 1


def test_a_declared_gate_replaces_the_default_one(tmp_path: Path) -> None:
    workshop = make(tmp_path, MIXED, gates=[{"metric": "rejected_labels_share", "limit": 0.9}])
    workshop.run(ALL)
    assert gates(workshop) == (0, "rejected_labels_share  0.75 <= 0.9  ok\n")


def test_objects_predictions_and_images_without_objects_are_used(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(2))
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "00000.txt").write_text("0 .5 .5 .2 .2\n0 .2 .2 .1 .1\n")
    (tmp_path / "labels" / "00001.txt").touch()
    (tmp_path / "model.csv").write_text("filepath,label\n00000.png,cat\n")
    labels = [{"uri": str(tmp_path / "labels"), "format": "yolo"}]
    predictions = [{"uri": str(tmp_path / "model.csv")}]
    workshop = Workshop(tmp_path / "home", tmp_path / "media", labels=labels, predictions=predictions)
    workshop.run(ALL)
    found = account(workshop)
    assert (found["labels"].used, found["predictions"].used) == (3, 1)
    assert rows_told(list(found.values())) == "labels: 3 used; predictions: 1 used"
    assert losses_told(list(found.values())) == ""
    assert workshop.rows("select role, file from input_files order by all") == [
        ("labels", "00000.txt"), ("labels", "00001.txt"), ("predictions", "model.csv"),
    ]  # fmt: skip


def test_a_dataset_without_labels_says_nothing_of_them(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(2))
    workshop = Workshop(tmp_path / "home", tmp_path / "media")
    workshop.run(ALL)
    assert account(workshop) == {}
    assert "labels" not in summary(workshop.home, "test")


def test_a_line_stays_short() -> None:
    reasons = [Reason(f"reason{number}", 1, "a.csv", number, "x" * 500) for number in range(9)]
    assert len(str(Account("labels", 1, 0, reasons))) < 500
