"""Thresholds stay until someone asks for new ones."""

import uuid
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from brain_assets.app.calibrating import forget
from brain_assets.app.cli import main
from brain_assets.resources.dataset import Opening, open_dataset
from tests.workshop import Workshop, write_pictures

CUTS = "select brain_key, value from calibrations where issue = 'outlier' order by brain_key"


def make(root: Path, count: int = 14) -> Workshop:
    write_pictures(root / "media", range(count))
    declared = [{"brain_key": "few_outliers", "method": "outliers"}]
    workshop = Workshop(
        root / "home", root / "media", calibration={"min_samples": 10, "sample_size": 20}, runs=declared
    )
    workshop.run()
    return workshop


def calibrate(workshop: Workshop, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--home", str(workshop.home.root), "calibrate", "test", *arguments])


def redone(workshop: Workshop, issue: str | None) -> list[tuple]:
    with open_dataset(workshop.home, workshop.name, Opening(uuid.uuid4().hex, "test")) as dataset:
        forget(dataset, issue)
    workshop.run()
    return workshop.rows(CUTS)


def test_the_command_prints_old_and_new_values(tmp_path: Path) -> None:
    workshop = make(tmp_path)
    before = workshop.rows(CUTS)
    write_pictures(tmp_path / "media", range(100, 110))
    workshop.run()
    assert workshop.rows(CUTS) == before
    result = calibrate(workshop, "--issue", "outlier")
    after = workshop.rows(CUTS)
    assert result.exit_code == 0
    assert [key for key, _ in after] == ["few_outliers", "outliers"]
    assert all(new != old for (_, old), (_, new) in zip(before, after, strict=True))
    assert result.stdout.splitlines() == [
        f"outlier  {key}  {old:.6g} -> {new:.6g}" for (key, old), (_, new) in zip(before, after, strict=True)
    ]
    assert workshop.rows("select distinct cut from outliers where brain_key = 'outliers'") == [(after[1][1],)]
    assert workshop.wrong() == {}


def test_the_same_dataset_gets_the_same_thresholds_again(tmp_path: Path) -> None:
    workshop = make(tmp_path)
    before = workshop.rows(CUTS)
    assert before
    assert redone(workshop, "outlier") == before
    assert redone(workshop, None) == before


def test_thresholds_of_other_issues_stay(tmp_path: Path) -> None:
    workshop = make(tmp_path)
    write_pictures(tmp_path / "media", range(100, 103))
    before = workshop.rows(CUTS)
    assert redone(workshop, "near_duplicate") == before
    assert redone(workshop, "outlier") != before


@pytest.mark.parametrize(("count", "says"), [(14, "outlier"), (3, "nothing yet")])
def test_an_unknown_issue_is_one_line(tmp_path: Path, count: int, says: str) -> None:
    workshop = make(tmp_path, count)
    before = workshop.rows(CUTS)
    result = calibrate(workshop, "--issue", "outlyer")
    assert result.exit_code == 1
    assert "'outlyer'" in result.stderr
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert workshop.rows(CUTS) == before


def test_too_few_samples_keep_the_defaults(tmp_path: Path) -> None:
    workshop = make(tmp_path, 3)
    result = calibrate(workshop)
    assert result.exit_code == 0
    assert "too few samples" in result.stdout
