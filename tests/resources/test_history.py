"""Dagster's history is kept within bounds: what a deleted run left is gone everywhere, and what is kept stays whole."""

import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from brain_assets.app.declaring import remove
from brain_assets.app.materializing import materialize
from brain_assets.app.status import status
from brain_assets.assets.place import PARTITION_TAG
from brain_assets.resources.settings import instance
from brain_assets.resources.settings.history import BATCH, SEEN_DAYS, purge
from brain_assets.resources.settings.home import Home
from tests.workshop import Workshop, write_pictures

FLOWERS = {PARTITION_TAG: "flowers"}
SUCCESS, FAILURE, STARTED = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.STARTED
DATASETS = dg.StaticPartitionsDefinition(["flowers", "trees"])


@dg.asset(check_specs=[dg.AssetCheckSpec("sound", asset="petals")], partitions_def=DATASETS)
def petals() -> dg.MaterializeResult:  # type: ignore[type-arg]
    return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=True)])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in ("BRAIN_HOME", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "")
    one = Home(tmp_path / "home")
    instance.prepare(one)
    return one


@pytest.fixture
def kept(home: Home) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.get() as one:
        yield one


def run(kept: dg.DagsterInstance, name: str = "flowers") -> str:
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    return dg.materialize([petals], instance=kept, partition_key=name, run_config=quiet).run_id


def ended(
    kept: dg.DagsterInstance, status: dg.DagsterRunStatus = SUCCESS, assets: frozenset[dg.AssetKey] | None = None
) -> str:
    """Add a run that ended, without events."""
    one = dg.DagsterRun("refresh", run_id=str(uuid.uuid4()), tags=FLOWERS, status=status, asset_selection=assets)
    return kept.add_run(one).run_id


def traces(home: Home, run_id: str) -> list[str]:
    """Return the tables and files that still know a run."""
    found = [str(path.relative_to(home.root)) for path in home.dagster.rglob(f"*{run_id}*")]
    for path in home.dagster.rglob("*.db"):
        with sqlite3.connect(path) as connection:
            for (table,) in connection.execute("select name from sqlite_master where type = 'table'").fetchall():
                columns = [row[1] for row in connection.execute(f"pragma table_info({table})")]
                count = f"select count(*) from {table} where run_id = ?"
                if "run_id" in columns and connection.execute(count, [run_id]).fetchone()[0]:
                    found.append(f"{path.name} {table}")
        connection.close()
    return found


def test_of_a_deleted_run_nothing_is_left(home: Home, kept: dg.DagsterInstance) -> None:
    first, other, *rest = [run(kept), run(kept, "trees"), run(kept), run(kept)]
    assert len(traces(home, first)) >= 6
    assert purge(kept, FLOWERS, 2) == 1
    assert traces(home, first) == []
    for run_id in (other, *rest):
        assert len(traces(home, run_id)) >= 6
        assert kept.all_logs(run_id)
    assert kept.get_latest_materialization_event(petals.key) is not None


def test_a_long_history_drains_some_at_a_time(kept: dg.DagsterInstance) -> None:
    runs = [ended(kept) for _ in range(BATCH + 6)]
    assert [purge(kept, FLOWERS, 3) for _ in range(3)] == [BATCH, 3, 0]
    assert {one.run_id for one in kept.get_runs()} == set(runs[-3:])


def test_the_last_run_of_all_assets_stays(kept: dg.DagsterInstance) -> None:
    whole = [ended(kept), ended(kept)]
    ended(kept, FAILURE)
    some = [ended(kept, assets=frozenset({petals.key})) for _ in range(2)]
    assert purge(kept, FLOWERS, 2) == 2
    assert {one.run_id for one in kept.get_runs()} == {whole[1], *some}


def test_what_is_under_way_stays(kept: dg.DagsterInstance) -> None:
    ended(kept, STARTED)
    ended(kept)
    assert purge(kept, FLOWERS, 1) == 0


def test_an_instance_that_keeps_nothing_on_disk_is_purged_too() -> None:
    with dg.DagsterInstance.ephemeral() as one:
        old, new = run(one), run(one)
        assert purge(one, FLOWERS, 1) == 1
        assert (one.has_run(old), one.has_run(new)) == (False, True)


def test_each_run_deletes_what_is_beyond_the_setting(
    home: Home, kept: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(tmp_path / "media", range(2))
    workshop = Workshop(home.root, tmp_path / "media", "flowers")
    old = [ended(kept) for _ in range(54)]
    materialize(home, "flowers", ["samples"])
    left = {one.run_id for one in kept.get_runs()}
    assert set(old[4:]) < left
    assert len(left) == 51
    monkeypatch.setattr(
        "brain_assets.assets.opening.purge", lambda *_: (_ for _ in ()).throw(OSError("the disk is gone"))
    )
    materialize(workshop.home, "flowers", ["samples"])
    assert len(kept.get_runs()) == 52


def test_what_was_seen_of_sources_is_forgotten_but_for_the_last(home: Home, kept: dg.DagsterInstance) -> None:
    def see(partition: str, version: str) -> None:
        tags = {"dagster/data_version": version}
        kept.report_runless_asset_event(dg.AssetObservation("source", partition=partition, tags=tags))

    for version in ("1", "2", "3"):
        see("flowers", version)
    see("trees", "1")
    _make_older(home, SEEN_DAYS + 1)
    for version in ("4", "5"):
        see("flowers", version)
    purge(kept, FLOWERS, 2)
    _make_older(home, 1)
    found = kept.fetch_observations(dg.AssetKey("source"), limit=10).records
    seen = [(one.asset_observation.partition, one.asset_observation.tags["dagster/data_version"]) for one in found]  # type: ignore[union-attr]
    assert seen == [("flowers", "5"), ("flowers", "4"), ("trees", "1")]
    latest = kept.get_latest_data_version_record(dg.AssetKey("source"), partition_key="flowers")
    assert latest is not None
    purge(kept, FLOWERS, 2)
    assert len(kept.fetch_observations(dg.AssetKey("source"), limit=10).records) == 3


def _make_older(home: Home, days: int) -> None:
    for path in (home.dagster / "history" / "runs").glob("**/*.db"):
        with sqlite3.connect(path) as connection:
            connection.execute(
                f"update event_logs set timestamp = datetime(timestamp, '-{days} days') where run_id = ''"
            )
        connection.close()


def test_settings_that_nobody_edited_gain_what_came_later(home: Home) -> None:
    settings = home.dagster / "dagster.yaml"
    former = [(text, instance.SETTINGS) for text in instance.EARLIER]
    for text, after in (*former, ("# mine\n", "# mine\n")):
        settings.write_text(text)
        instance.prepare(home)
        assert settings.read_text() == after


def test_ticks_are_forgotten(kept: dg.DagsterInstance) -> None:
    days = {status.value: days for status, days in kept.get_tick_retention_settings(_sensor()).items()}
    assert days == {"SKIPPED": 1, "STARTED": 7, "SUCCESS": 30, "FAILURE": 30}


def _sensor() -> object:
    from dagster._core.definitions.run_request import InstigatorType

    return InstigatorType.SENSOR


def test_a_removed_dataset_leaves_no_runs_to_another_of_its_name(
    home: Home, kept: dg.DagsterInstance, tmp_path: Path
) -> None:
    workshop = Workshop(home.root, tmp_path, "flowers")
    ended(kept, FAILURE)
    other = run(kept, "trees")
    remove(home, "flowers")
    assert [one.run_id for one in kept.get_runs()] == [other]
    Workshop(home.root, tmp_path, "flowers")
    assert status(workshop.home, "flowers")["state"] == "nothing published yet"
