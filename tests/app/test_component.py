"""A Dagster project of somebody else that has a dataset by a few lines of YAML, beside assets and packages of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

import brain_assets
from brain_assets.app.status import status
from brain_assets.assets import catalog
from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.settings.home import Home
from tests.service.dev import shown
from tests.test_layers import ROOT
from tests.workshop import TINY, Workshop, write_pictures

DEFINITIONS = """
from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
"""
OWN = """
import dagster as dg

from resources.shelves import SHELF


@dg.asset(deps=[dg.AssetKey(["vision", "flowers", "published"])], group_name="training")
def training_set() -> str:
    return SHELF
"""
PROJECT = """
[project]
name = "shop"
version = "0.1.0"
requires-python = ">=3.11"

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "shop"
"""
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class Project:
    """A project in a folder, with an instance and a `resources` of its own."""

    def __init__(self, root: Path) -> None:
        self.root, self.home = root, Home(root / "brain")
        self.file = root / "shop" / "defs" / "flowers" / "defs.yaml"
        for path, text in {
            "pyproject.toml": PROJECT,
            "shop/__init__.py": "",
            "shop/definitions.py": DEFINITIONS,
            "shop/defs/__init__.py": "",
            "shop/defs/own.py": OWN,
            "resources/__init__.py": "",
            "resources/shelves.py": "SHELF = 'third'",
            "history/dagster.yaml": "telemetry:\n  enabled: false\n",
        }.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        write_pictures(root / "images", range(4))
        (root / "labels.csv").write_text("filepath,label\n00000.png,cat\n00001.png,dog\n")

    def declare(self, **attributes: Any) -> None:
        said = {
            "name": "flowers",
            "media": "../../../images",
            "labels": "../../../labels.csv",
            "home": "../../../brain",
        }
        said |= {"key_prefix": ["vision", "flowers"], "group": "pictures", "settings": {"embeddings": {"model": TINY}}}
        self.file.parent.mkdir(exist_ok=True)
        tree = {"type": "brain_assets.BrainDataset", "attributes": said | attributes}
        self.file.write_text(yaml.safe_dump(tree))

    def run(self, *command: str) -> str:
        """Return what a command prints in the project's folder, under its instance."""
        path = os.pathsep.join([str(self.root), str(ROOT)])
        environment = {**os.environ, "DAGSTER_HOME": str(self.root / "history"), "PYTHONPATH": path, "COLUMNS": "200"}
        done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def dg(self, *arguments: str) -> str:
        """Return what Dagster's `dg` prints."""
        return self.run(sys.executable, "-c", "from dagster_dg_cli.cli import main; main()", *arguments)

    def ask(self, *assets: str) -> dict[str, Any]:
        """Bring assets of the project, by default all, up to date and return what is to be seen of it then."""
        return json.loads(self.run(sys.executable, "-W", "ignore", "-c", SCRIPT, *assets).splitlines()[-1])


SCRIPT = """
import json
import sys
import dagster as dg
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest
from shop.definitions import defs

location = defs()
with dg.DagsterInstance.get() as instance:
    job = location.resolve_job_def("brain_vision_flowers_refresh")
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    chosen = [dg.AssetKey(["vision", "flowers", name]) for name in sys.argv[1:]] or None
    done = job.execute_in_process(instance=instance, run_config=quiet, asset_selection=chosen)
    own = location.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance, asset_selection=[dg.AssetKey("training_set")], run_config=quiet
    )
    graph = location.resolve_asset_graph()
    stale = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    keys = graph.get_all_asset_keys()
    (sensor,) = [one for one in location.sensors if one.name == "brain_vision_flowers_new_samples"]
    tick = sensor.evaluate_tick(dg.build_sensor_context(instance, definitions=location))
    checks = done.get_asset_check_evaluations()
    print(json.dumps({
        "succeeded": [done.success, own.success],
        "shelf": own.output_for_node("training_set"),
        "groups": sorted({graph.get(key).group_name for key in keys}),
        "keys": sorted(key.to_user_string() for key in keys),
        "stale": sorted(key.to_user_string() for key in keys if stale.get_status(key).value != "FRESH"),
        "failed checks": [check.check_name for check in checks if not check.passed],
        "checks": len(checks),
        "told": tick.skip_message,
        "runs": len(instance.get_runs(dg.RunsFilter(tags={"brain/dataset": "flowers"}))),
    }))
"""


# What changes when pictures or settings of neighbours do, and nothing that takes long.
FEW = ("reviews", "samples", "media", "ground_truth", "embeddings", "similarity", "published")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    one = Project(tmp_path)
    one.declare()
    return one


def assert_stands(seen: dict[str, Any], key: str = "vision/flowers/") -> None:
    assert seen["succeeded"] == [True, True]
    assert seen["shelf"] == "third"
    assert seen["groups"] == ["pictures", "training"]
    assert {f"{key}{name}" for name in catalog.BY_NAME} | {"training_set"} <= set(seen["keys"])


@pytest.mark.slow
def test_a_project_has_the_dataset_beside_its_own_assets(project: Project) -> None:
    seen = project.ask(*FEW)
    assert_stands(seen)
    # What is published is behind what this run was not asked for.
    assert seen["failed checks"] == ["fresh"]
    assert {f"vision/flowers/{name}" for name in FEW}.isdisjoint(seen["stale"])
    assert "vision/flowers/uniqueness" in seen["stale"]
    assert seen["checks"] >= sum(len(catalog.BY_NAME[name].checks) for name in FEW)
    assert not (seen["told"] or "").startswith("flowers: up to date")
    assert seen["runs"] == 1
    assert status(project.home, "flowers")["samples"] == 4


def test_what_changes_in_the_project_reaches_the_datasets_declaration(project: Project) -> None:
    said = {"name": "flowers", "media": "images", "home": "brain"}
    for settings in ({"embeddings": {"model": TINY}}, {"similarity": {"k": 2}}):
        brain_assets.BrainDataset(**said, settings=settings).place(project.root).prepare()
        written = yaml.safe_load(project.home.paths("flowers").config.read_text())
        assert settings.items() <= written.items()
    assert "embeddings" not in written


@pytest.mark.slow
def test_a_whole_run_leaves_nothing_stale_and_takes_up_what_changes(project: Project) -> None:
    seen = project.ask()
    assert_stands(seen)
    assert (seen["stale"], seen["failed checks"]) == ([], [])
    assert seen["checks"] >= sum(len(signal.checks) for signal in catalog.ALL)
    assert seen["told"].startswith("flowers: up to date")
    assert seen["runs"] == 1
    write_pictures(project.root / "images", [7])
    project.declare(settings={"embeddings": {"model": TINY}, "similarity": {"k": 2}})
    again = project.ask()
    assert_stands(again)
    assert (again["stale"], again["failed checks"]) == ([], [])
    assert again["told"].startswith("flowers: up to date")
    assert "k: 2" in project.home.paths("flowers").config.read_text()
    assert status(project.home, "flowers")["samples"] == 5


@pytest.mark.slow
def test_dagsters_own_commands_read_the_project(project: Project) -> None:
    pytest.importorskip("dagster_dg_cli", reason="comes with the extra test")
    assert "validated successfully" in project.dg("check", "yaml")
    assert "loaded successfully" in project.dg("check", "defs")
    assert '"vision/flowers/published"' in project.dg("list", "defs", "--json")
    project.dg("scaffold", "defs", "brain_assets.BrainDataset", "birds", "--media", "../../../images")
    made = yaml.safe_load((project.file.parents[1] / "birds" / "defs.yaml").read_text())
    expected = {"name": "birds", "media": "../../../images", "key_prefix": "birds", "group": "birds"}
    assert made == {"type": "brain_assets.BrainDataset", "attributes": expected}
    assert "validated successfully" in project.dg("check", "yaml")
    project.dg("check", "defs")


@pytest.mark.slow
def test_dagster_dev_shows_the_project(project: Project) -> None:
    path = os.pathsep.join([str(project.root), str(ROOT)])
    with shown(sys.executable, project.root, {**os.environ, "PYTHONPATH": path}, "shop.definitions") as assets:
        assert {"training_set"} | {f"vision/flowers/{name}" for name in catalog.BY_NAME} <= assets


@pytest.mark.slow
def test_dagsters_own_commands_read_the_checkout(tmp_path: Path) -> None:
    pytest.importorskip("dagster_dg_cli", reason="comes with the extra test")
    folders = {"DAGSTER_HOME": str(tmp_path), "BRAIN_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    dg_command = (sys.executable, "-c", "from dagster_dg_cli.cli import main; main()")
    for command in (
        (sys.executable, "-m", "dagster", "definitions", "validate", "-m", "brain_assets.definitions"),
        (*dg_command, "check", "defs"),
        (*dg_command, "list", "defs", "--json"),
    ):
        done = subprocess.run(command, cwd=ROOT, env=os.environ | folders, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    assert '"published"' in done.stdout


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"media": "images"}, "a dataset has a name"),
        ({"name": "../x", "media": "images"}, "cannot name a dataset"),
        ({"name": "a", "labels": "x.csv"}, "say media here, too"),
        ({"name": "a", "media": "images", "settings": {"similarity": {"k": 0}}}, "similarity.k: must be at least 1"),
        ({"name": "a", "media": "images", "settings": {"sensr": {}}}, "sensr"),
        ({"name": "a", "media": "i", "settings": {"gates": [{"metric": "x", "limit": 1}]}}, "unknown metric 'x'"),
    ],
)
def test_what_cannot_be_is_refused_when_the_project_is_loaded(
    tmp_path: Path, attributes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        brain_assets.BrainDataset(**attributes).place(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_that_somebody_else_declared_is_left_alone(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path / "home", tmp_path, "flowers")
    before = workshop.paths.config.read_text()
    made = brain_assets.BrainDataset(name="flowers", media="images", home="home").place(tmp_path)
    with pytest.raises(ConfigurationError, match=r"is declared in .* already"):
        made.prepare()
    other = tmp_path / "elsewhere"
    brain_assets.BrainDataset(name="trees", media="images", home="../home").place(other).prepare()
    with pytest.raises(ConfigurationError, match=r"is declared in .* already"):
        brain_assets.BrainDataset(name="trees", media="images", home="home").place(tmp_path).prepare()
    assert workshop.paths.config.read_text() == before
    brain_assets.BrainDataset(name="flowers", home="home").place(tmp_path).prepare()


def test_without_a_name_all_datasets_are_partitions(tmp_path: Path) -> None:
    Workshop(tmp_path / "home", tmp_path, "flowers")
    place = brain_assets.BrainDataset(key_prefix="vision", home="home").place(tmp_path)
    assert place.names() == ["flowers"]
    assert place.partitions == dg.DynamicPartitionsDefinition(name="brain_vision_dataset")
