"""Several runs of one method: their record, other names for them, and their end."""

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from brain_assets.app import runs
from brain_assets.app.api import DatasetReader
from brain_assets.app.cli import main
from brain_assets.assets.declarations import check_declaration
from brain_assets.resources.dataset import Opening, open_dataset
from brain_assets.resources.errors import BrainError, ConfigurationError, MissingError
from brain_assets.resources.settings.configuration import load_dataset
from brain_assets.resources.settings.home import Home
from brain_assets.resources.store import locks
from brain_assets.resources.store.publishing import connect
from tests.workshop import Workshop, write_pictures

FEW = {"brain_key": "few", "method": "similarity", "parameters": {"k": 2}}
OUT = {"brain_key": "few_outliers", "method": "outliers", "similarity": "few"}
COMPAT = {"brain_key": "compat", "method": "uniqueness", "parameters": {"mode": "compat"}}
DECLARED = (FEW, OUT, COMPAT)


def make(root: Path, home: str = "home", declared: tuple[dict[str, Any], ...] = DECLARED) -> Workshop:
    calibration = {"min_samples": 10, "sample_size": 10}
    return Workshop(root / home, root / "media", calibration=calibration, runs=list(declared))


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Return a dataset that tests copy rather than change."""
    root = tmp_path_factory.mktemp("runs")
    write_pictures(root / "media", range(14))
    made = make(root)
    made.run()
    return made


@pytest.fixture
def workshop(standing: Workshop, tmp_path: Path) -> Workshop:
    """Return a copy of the standing dataset."""
    shutil.copytree(standing.home.root, tmp_path / "home", symlinks=True)
    copied = copy.copy(standing)
    copied.home = Home(tmp_path / "home")
    copied.paths = copied.home.paths("test")
    return copied


def change(workshop: Workshop, how: Any, *keys: str) -> None:
    with open_dataset(workshop.home, workshop.name, Opening("change", "test")) as dataset:
        how(dataset, *keys)


def stored(workshop: Workshop, key: str) -> dict[str, int]:
    """Count the rows of a run in every table of the store."""
    with open_dataset(workshop.home, workshop.name, Opening("look", "test")) as dataset:
        store = dataset.store
        names = store.rows(
            "select distinct table_name from duckdb_columns() join duckdb_tables() using (table_name)"
            " where column_name = 'brain_key'"
        )
        return {name: store.value(f"select count(*) from {name} where brain_key = ?", [key]) for (name,) in names}


def published(workshop: Workshop, table: str, key: str, columns: str = "* exclude (brain_key)") -> list[tuple]:
    return workshop.rows(f"select {columns} from {table} where brain_key = '{key}' order by all")


def call(workshop: Workshop, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--home", str(workshop.home.root), "runs", "test", *arguments])


@pytest.fixture
def reader(workshop: Workshop) -> Iterator[DatasetReader]:
    reader = DatasetReader("test", str(workshop.home.root))
    yield reader
    reader.close()


def test_every_run_is_listed_once_and_filtered(workshop: Workshop, reader: DatasetReader) -> None:
    workshop.declare(**yaml.safe_load(workshop.paths.config.read_text()) | {"similarity": {"k": 5}})
    workshop.run()
    keys = [row[0] for row in reader.runs().fetchall()]
    assert len(keys) == len(set(keys))
    assert {"few", "few_outliers", "compat", "neighbors", "embeddings"} <= set(keys)
    assert {row[0] for row in reader.runs("uniqueness").fetchall()} == {"uniqueness", "compat"}
    assert [row[0] for row in reader.runs(mode="compat").fetchall()] == ["compat"]
    assert [row[0] for row in reader.runs("similarity", k=5).fetchall()] == ["neighbors"]
    assert reader.runs(k=77).fetchall() == []
    assert [row[2] for row in reader.run_history("neighbors").fetchall()] == ["done", "done"]
    assert [json.loads(row[-1])["k"] for row in reader.run_history("neighbors").fetchall()] == [5, 20]
    with pytest.raises(MissingError, match=r"no run 'nothing'.*few_outliers"):
        reader.run_history("nothing")


def test_the_commands_list_and_show(workshop: Workshop) -> None:
    listed = call(workshop, "list", "--method", "uniqueness", "--config", "mode=compat", "--format", "csv")
    assert listed.exit_code == 0, listed.output
    assert [line.split(",")[0] for line in listed.stdout.splitlines()] == ["brain_key", "compat"]
    shown = call(workshop, "show", "few").stdout
    assert "few: a run of similarity" in shown
    assert '"k": 2' in shown
    assert "done" in shown
    assert call(workshop, "show", "nothing").exit_code == 1
    assert call(workshop, "list", "--config", "mode").exit_code == 2


def test_rename_takes_everything_along_and_computes_nothing_again(workshop: Workshop) -> None:
    before = stored(workshop, "few"), stored(workshop, "few_outliers")
    old = {
        table: published(workshop, table, key) for table, key in (("neighbors", "few"), ("outliers", "few_outliers"))
    }
    calibration = published(workshop, "calibrations", "few_outliers", "value, evidence")
    change(workshop, runs.rename_run, "few", "near")
    change(workshop, runs.rename_run, "few_outliers", "near_outliers")
    assert (stored(workshop, "near"), stored(workshop, "near_outliers")) == before
    assert not any(stored(workshop, "few").values())
    declared = yaml.safe_load(workshop.paths.config.read_text())["runs"]
    assert declared[:2] == [FEW | {"brain_key": "near"}, OUT | {"brain_key": "near_outliers", "similarity": "near"}]
    reports = workshop.run()
    assert reports["similarity"].up_to_date
    assert reports["outliers"].counts.total == 0
    assert workshop.wrong() == {}
    assert published(workshop, "neighbors", "near") == old["neighbors"]
    assert published(workshop, "outliers", "near_outliers") == old["outliers"]
    assert calibration
    assert published(workshop, "calibrations", "near_outliers", "value, evidence") == calibration
    for table in ("neighbors", "outliers", "runs", "calibrations"):
        assert not published(workshop, table, "few") + published(workshop, table, "few_outliers")


def test_delete_takes_everything_along_and_nothing_else(workshop: Workshop) -> None:
    others = published(workshop, "neighbors", "neighbors"), published(workshop, "uniqueness", "compat")
    with pytest.raises(ConfigurationError, match="read by run 'few_outliers'"):
        change(workshop, runs.delete_run, "few")
    change(workshop, runs.delete_run, "few_outliers")
    change(workshop, runs.delete_run, "few")
    assert not any(stored(workshop, "few").values())
    assert not any(stored(workshop, "few_outliers").values())
    assert yaml.safe_load(workshop.paths.config.read_text())["runs"] == [COMPAT]
    assert not workshop.run()["similarity"].counts.total
    assert workshop.wrong() == {}
    assert (published(workshop, "neighbors", "neighbors"), published(workshop, "uniqueness", "compat")) == others
    for table in ("neighbors", "outliers", "runs", "calibrations"):
        assert not published(workshop, table, "few") + published(workshop, table, "few_outliers")


def test_a_run_that_was_never_computed_can_be_renamed(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(3))
    workshop = make(tmp_path)
    runs.rename(workshop.home, "test", "compat", "peer")
    assert yaml.safe_load(workshop.paths.config.read_text())["runs"][2]["brain_key"] == "peer"


@pytest.mark.parametrize(
    ("how", "keys", "error", "says"),
    [
        (runs.rename_run, ("neighbors", "mine"), ConfigurationError, "default run"),
        (runs.delete_run, ("uniqueness",), ConfigurationError, "default run"),
        (runs.rename_run, ("nobody", "mine"), MissingError, "no run 'nobody'.*few, few_outliers, compat"),
        (runs.rename_run, ("few", "two words"), ConfigurationError, "Python identifier"),
        (runs.rename_run, ("few", "class"), ConfigurationError, "Python identifier"),
        (runs.rename_run, ("few", "compat"), ConfigurationError, "already"),
        (runs.rename_run, ("few", "neighbors"), ConfigurationError, "already"),
    ],
)
def test_what_cannot_be_changed_is_one_line_and_changes_nothing(
    tmp_path: Path, how: Any, keys: tuple[str, ...], error: type, says: str
) -> None:
    write_pictures(tmp_path / "media", range(2))
    workshop = make(tmp_path)
    text = workshop.paths.config.read_text()
    with pytest.raises(error, match=says) as caught:
        change(workshop, how, *keys)
    assert "\n" not in str(caught.value)
    assert workshop.paths.config.read_text() == text


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ([FEW, FEW | {"method": "outliers"}], "'few' is declared twice"),
        ([FEW | {"brain_key": "neighbors"}], "belongs to a default run"),
        ([FEW | {"method": "similarty"}], "did you mean 'similarity'"),
        ([FEW, OUT | {"similarity": "fev"}], "did you mean 'few'"),
        ([OUT | {"similarity": "few"}], "unknown run of similarity 'few'"),
        ([FEW | {"brain_key": "a-b"}], "runs"),
    ],
)
def test_wrong_declarations_are_one_line(tmp_path: Path, declared: list[dict[str, Any]], says: str) -> None:
    workshop = make(tmp_path, declared=tuple(declared))
    with pytest.raises(ConfigurationError, match=says) as caught:
        check_declaration(load_dataset(workshop.paths.config).settings)
    assert "\n" not in str(caught.value)


def test_a_failed_run_is_marked_and_leaves_no_half_results(workshop: Workshop, tmp_path: Path) -> None:
    wrong = {"brain_key": "wrong", "method": "representativeness", "where": "no_such_column > 1"}
    settings = yaml.safe_load(workshop.paths.config.read_text())
    workshop.declare(**settings | {"runs": [*DECLARED, wrong]})
    report = workshop.run()["representativeness"]
    assert "no_such_column" in report.failed["wrong"]
    assert {name for name, count in stored(workshop, "wrong").items() if count} == {"runs"}
    # At once, though nothing was published since; as published while another run holds the dataset.
    assert "failed" in call(workshop, "show", "wrong").stdout
    assert "wrong,representativeness,failed" in call(workshop, "list", "--format", "csv").stdout
    with locks.exclusive(workshop.paths.lock, "test"):
        assert "failed" in call(workshop, "show", "wrong").stdout
    assert workshop.rows("select state, error is not null from runs where brain_key = 'wrong'") == [("failed", True)]
    workshop.declare(**settings)
    workshop.run()
    with connect(workshop.paths.published) as connection:
        assert connection.execute("select count(*) from representativeness where brain_key = 'wrong'").fetchall() == [
            (0,)
        ]


def test_the_commands_rename_and_delete_and_publish(workshop: Workshop) -> None:
    assert call(workshop, "rename", "compat", "peer").exit_code == 0
    assert workshop.rows("select count(*) from uniqueness where brain_key = 'peer'") == [(14,)]
    assert call(workshop, "delete", "peer").exit_code == 0
    assert workshop.rows("select distinct brain_key from uniqueness") == [("uniqueness",)]
    assert call(workshop, "delete", "peer").exit_code == 1
    with pytest.raises(BrainError):
        runs.delete(workshop.home, "test", "uniqueness")
