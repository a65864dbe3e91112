"""What became of what was given: splits are counted wherever a dataset is told of."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from brain_assets.app.cli import main
from brain_assets.ingest.accounting import splits_told
from tests.workshop import Workshop, write_pictures

FEW = ("samples", "media", "ground_truth", "published")


def said(workshop: Workshop, *words: str) -> str:
    result = CliRunner().invoke(main, ["--home", str(workshop.home.root), *words])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("above", ["", "images/"])
@pytest.mark.parametrize("names", [("train2017", "val2017"), ("training_set", "valid")])
def test_splits_at_any_depth_are_counted_and_told(tmp_path: Path, above: str, names: tuple[str, str]) -> None:
    for seed, name in enumerate(names):
        write_pictures(tmp_path / "media" / above / name / "cat", [seed])
        write_pictures(tmp_path / "media" / above / name, [seed + 2])
    write_pictures(tmp_path / "media", [9])
    workshop = Workshop(tmp_path / "home", tmp_path / "media", split_from="folder", labels=[{"uri": "folder"}])
    workshop.run(FEW)
    assert "5 samples, 0 errors; train 2, val 2, none 1;" in said(workshop, "status", "test")
    assert json.loads(said(workshop, "status", "test", "--json"))["splits"] == {"train": 2, "val": 2, "none": 1}
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
