"""Limits on a dataset's health: told by `brain check`, recorded as an asset check, kept before publishing."""

import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner, Result

from brain_assets.answers.gates import evaluate
from brain_assets.app.cli import main
from brain_assets.app.materializing import materialize
from brain_assets.assets.declarations import check_declaration, metrics
from brain_assets.resources.errors import BrainError, ConfigurationError
from brain_assets.resources.settings.configuration import GateSettings, load_dataset
from brain_assets.resources.store.publishing import manifest
from tests.workshop import TINY, Workshop, write_pictures


def gate(metric: str, limit: float, operator: str = "<=", severity: str = "warn") -> dict[str, Any]:
    return {"metric": metric, "operator": operator, "limit": limit, "severity": severity}


# What the gates here are about.
GATED = ("reviews", "samples", "media", "ground_truth", "exact_duplicates", "leaks", "issues", "health", "published")


def redeclare(workshop: Workshop, media: Path, *gates: dict[str, Any]) -> None:
    workshop.declare(media=str(media), embeddings={"model": TINY}, gates=list(gates))


def check(workshop: Workshop) -> Result:
    return CliRunner().invoke(main, ["--home", str(workshop.home.root), "check", "test"])


@pytest.fixture
def media(tmp_path: Path) -> Path:
    paths = write_pictures(tmp_path / "media", range(4))
    shutil.copy(paths[0], tmp_path / "media" / "copy.png")
    return tmp_path / "media"


@pytest.mark.parametrize(
    ("operator", "passing"), [("<=", (1, 2)), ("<", (1,)), (">=", (2, 3)), (">", (3,)), ("==", (2,))]
)
def test_every_operator_compares_the_value_with_the_limit(operator: str, passing: tuple[int, ...]) -> None:
    wanted = GateSettings.model_validate(gate("samples", 2, operator))
    assert [value for value in (1, 2, 3) if evaluate([wanted], {"samples": value})[0].passed] == list(passing)


def test_an_issue_without_rows_counts_0_and_what_was_never_measured_fails() -> None:
    gates = [GateSettings.model_validate(gate(metric, 9)) for metric in ("issue_leak", "samples")]
    found = evaluate(gates, {"issues": 1.0})
    assert [verdict.value for verdict in found] == [0.0, None]
    assert [verdict.passed for verdict in found] == [True, False]
    assert not evaluate(gates[:1], {})[0].passed


def test_check_says_every_gate_and_exits_1_when_one_fails(tmp_path: Path, media: Path) -> None:
    workshop = Workshop(tmp_path / "home", media)
    redeclare(
        workshop, media, gate("exact_duplicate_share", 0.1), gate("issue_leak", 0, "=="), gate("samples", 5, ">=")
    )
    workshop.run(GATED)
    result = check(workshop)
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["exact_duplicate_share", "0.2", "<=", "0.1", "FAILED"],
        ["issue_leak", "0", "==", "0", "ok"],
        ["samples", "5", ">=", "5", "ok"],
    ]
    assert result.exit_code == 1
    assert result.stderr.splitlines() == ["brain: 1 of 3 gates failed: exact_duplicate_share <= 0.1"]
    redeclare(workshop, media, gate("exact_duplicate_share", 0.2))
    assert check(workshop).exit_code == 0


def test_no_gates_and_nothing_published_are_one_line(tmp_path: Path, media: Path) -> None:
    workshop = Workshop(tmp_path / "home", media)
    assert check(workshop).exit_code == 1
    assert "nothing is published" in check(workshop).stderr
    workshop.run(GATED)
    assert check(workshop).exit_code == 0
    assert "no gates" in check(workshop).stdout


def test_a_blocking_gate_keeps_the_set_before_and_check_still_says_why(tmp_path: Path, media: Path) -> None:
    workshop = Workshop(tmp_path / "home", media)
    redeclare(workshop, media, gate("exact_duplicates", 1, severity="block"))
    workshop.run(GATED)
    before = manifest(workshop.paths.published)
    shutil.copy(media / "copy.png", media / "another.png")
    with pytest.raises(BrainError, match=r"exact_duplicates 2 <= 1 FAILED") as caught:
        workshop.run(GATED)
    assert "\n" not in str(caught.value)
    assert manifest(workshop.paths.published) == before
    assert workshop.rows("select count(*) from samples") == [(5,)]
    result = check(workshop)
    assert result.exit_code == 1
    assert "exact_duplicates  2 <= 1  FAILED" in result.stdout
    assert "held back" in result.stdout
    (media / "another.png").unlink()
    workshop.run(GATED)
    assert check(workshop).stdout.splitlines() == ["exact_duplicates  1 <= 1  ok"]


def test_a_first_set_can_be_held_back_and_is_published_when_the_gate_is_eased(tmp_path: Path, media: Path) -> None:
    workshop = Workshop(tmp_path / "home", media)
    redeclare(workshop, media, gate("issue_exact_duplicate", 0, severity="block"))
    with pytest.raises(BrainError, match="issue_exact_duplicate"):
        workshop.run(GATED)
    assert check(workshop).exit_code == 1
    redeclare(workshop, media, gate("issue_exact_duplicate", 5, severity="block"))
    workshop.run(GATED)
    assert workshop.rows("select count(*) from samples") == [(5,)]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"metric": "unreadable_shar", "limit": 0}, "did you mean 'unreadable_share'"),
        ({"metric": "issue_exact_duplicat", "limit": 0}, "did you mean 'issue_exact_duplicate'"),
        ({"metric": "samples", "limit": 0, "operator": "=<"}, "gates"),
        ({"metric": "samples", "limit": "many"}, "number"),
    ],
)
def test_wrong_gates_are_told_before_anything_runs(tmp_path: Path, media: Path, wrong: dict, says: str) -> None:
    workshop = Workshop(tmp_path / "home", media, gates=[wrong])
    with pytest.raises(ConfigurationError, match=says):
        check_declaration(load_dataset(workshop.paths.config).settings)


def test_every_metric_of_health_can_be_a_gate(tmp_path: Path, media: Path) -> None:
    workshop = Workshop(tmp_path / "home", media)
    workshop.run()
    measured = {row[0] for row in workshop.rows("select distinct metric from health")}
    assert measured <= metrics(load_dataset(workshop.paths.config).settings)


def test_dagster_records_the_gates_as_a_check_and_names_what_blocks(tmp_path: Path, media: Path) -> None:
    workshop = Workshop(tmp_path / "home", media)
    redeclare(workshop, media, gate("exact_duplicates", 0), gate("samples", 4, severity="block"))
    with pytest.raises(BrainError, match=r"a gate keeps test from being published.*samples 5 <= 4 FAILED"):
        materialize(workshop.home, "test", GATED)
    with dg.DagsterInstance.get() as instance:
        records = instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(dg.AssetKey("health"), "gates"), limit=1
        )
    evaluation = records[0].event.dagster_event.event_specific_data
    assert not evaluation.passed
    assert evaluation.severity == dg.AssetCheckSeverity.ERROR
    assert {name: value.value.split()[-1] for name, value in evaluation.metadata.items()} == {
        "exact_duplicates <= 0": "FAILED",
        "samples <= 4": "FAILED",
    }
