"""Thresholds stay until someone asks for new ones."""

import uuid
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from brain_assets.app.calibrating import forget
from brain_assets.app.cli import main
from brain_assets.resources.dataset import Opening, open_dataset
from tests.workshop import Workshop, write_pictures

SELECT = ("samples", "media", "embeddings", "similarity", "near_duplicates", "outliers", "published")
CUTS = "select brain_key, value from calibrations where issue = 'outlier' order by brain_key"


def make(root: Path, count: int = 14) -> Workshop:
    write_pictures(root / "media", range(count))
    declared = [{"brain_key": "few_outliers", "method": "outliers"}]
    workshop = Workshop(
        root / "home",
        root / "media",
        select=SELECT,
        calibration={"min_samples": 10, "sample_size": 20},
        runs=declared,
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


@pytest.mark.slow
def test_thresholds_stay_until_someone_asks_for_new_ones(tmp_path: Path) -> None:
    workshop = make(tmp_path)
    before = workshop.rows(CUTS)
    assert [key for key, _ in before] == ["few_outliers", "outliers"]
    # The same dataset gets the same thresholds again.
    assert redone(workshop, None) == before
    write_pictures(tmp_path / "media", range(100, 110))
    workshop.run()
    assert workshop.rows(CUTS) == before
    # Those of other issues stay.
    assert redone(workshop, "near_duplicate") == before
    assert_is_one_line(workshop, "outlier")
    # The command prints old and new values.
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


def assert_is_one_line(workshop: Workshop, says: str) -> None:
    """Check what is said of an unknown issue."""
    before = workshop.rows(CUTS)
    result = calibrate(workshop, "--issue", "outlyer")
    assert result.exit_code == 1
    assert "'outlyer'" in result.stderr
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert workshop.rows(CUTS) == before


def test_too_few_samples_keep_the_defaults(tmp_path: Path) -> None:
    workshop = make(tmp_path, 3)
    assert_is_one_line(workshop, "nothing yet")
    result = calibrate(workshop)
    assert result.exit_code == 0
    assert "too few samples" in result.stdout
