"""The history of runs over connections that stay open: the same answers as Dagster's own storages give, for several processes."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy
from dagster._core.storage.event_log import SqliteEventLogStorage

from brain_assets.resources.history import engines
from brain_assets.resources.history.storage import History, HistoryInstance
from brain_assets.resources.settings import instance
from brain_assets.resources.settings.home import Home

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
WRITER = """
import sys, dagster as dg
from tests.resources.test_history_storage import petals, run
with dg.DagsterInstance.get() as kept:
    print("ready", flush=True)
    while True:
        print(run(kept), flush=True)
"""
FORK = """
import os, sys
from pathlib import Path
from brain_assets.resources.history import engines
from tests.resources.test_history_storage import count
path = Path(sys.argv[1])
assert count(path) == 2
before = engines.engine_of(str(path))
child = os.fork()
if child == 0:
    os._exit(0 if engines.engine_of(str(path)) is not before and count(path) == 2 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert engines.engine_of(str(path)) is before
"""


@dg.asset(check_specs=[dg.AssetCheckSpec("sound", asset="petals")])
def petals() -> dg.MaterializeResult:  # type: ignore[type-arg]
    return dg.MaterializeResult(metadata={"rows": 3}, check_results=[dg.AssetCheckResult(passed=True)])


def run(kept: dg.DagsterInstance) -> str:
    return dg.materialize([petals], instance=kept, run_config=QUIET).run_id


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


def count(path: Path) -> int:
    with engines.transaction(str(path)) as connection:
        return int(connection.exec_driver_sql("select count(*) from numbers").scalar() or 0)


def make(path: Path, rows: int) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("create table numbers (n)")
        connection.executemany("insert into numbers values (?)", [(row,) for row in range(rows)])
    connection.close()


def test_a_home_uses_it_and_one_of_a_persons_own_is_left_alone(kept: dg.DagsterInstance, home: Home) -> None:
    assert isinstance(kept, HistoryInstance)
    assert isinstance(kept.get_ref().storage, History)
    (home.dagster / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    instance.prepare(home)
    with dg.DagsterInstance.get() as theirs:
        assert not isinstance(theirs, HistoryInstance)


def test_what_dagsters_own_storage_wrote_goes_on_and_can_be_read_by_it_again(home: Home) -> None:
    settings = home.dagster / "dagster.yaml"
    ours = settings.read_text()
    settings.write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.get() as theirs:
        first = run(theirs)
        theirs.add_dynamic_partitions("dataset", ["flowers"])
    settings.write_text(ours)
    with dg.DagsterInstance.get() as kept:
        second = run(kept)
        assert [event.message for event in kept.all_logs(first)]
        assert kept.has_dynamic_partition("dataset", "flowers")
        assert not kept.has_dynamic_partition("dataset", "trees")
    settings.write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.get() as theirs:
        assert [one.run_id for one in theirs.get_runs()] == [second, first]
        assert len(theirs.all_logs(second)) == len(theirs.all_logs(first))
        assert theirs.get_latest_materialization_event(petals.key).run_id == second  # type: ignore[union-attr]


def test_a_run_makes_no_more_connections_than_files_and_threads(kept: dg.DagsterInstance) -> None:
    run(kept)
    opened = []
    listener = lambda *_: opened.append(1)  # noqa: E731
    sqlalchemy.event.listen(sqlalchemy.pool.Pool, "connect", listener)
    try:
        run(kept)
    finally:
        sqlalchemy.event.remove(sqlalchemy.pool.Pool, "connect", listener)
    # Its own file, made and opened, and what another thread uses meanwhile.
    assert 1 <= len(opened) <= 6


def test_a_file_made_again_under_its_name_is_another(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    make(path, 3)
    assert count(path) == 3
    path.unlink()
    make(path, 5)
    assert count(path) == 5


def test_so_many_files_stay_open_and_no_more(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.db" for number in range(engines.MOST_OPEN + 5)]
    for path in paths:
        make(path, 1)
        assert count(path) == 1
    assert sum(str(path) in {key[0] for key in engines._open} for path in paths) <= engines.MOST_OPEN
    engines.close(str(paths[-1]))
    assert count(paths[-1]) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_opens_its_own(tmp_path: Path) -> None:
    # In a process of its own: what else is loaded here, such as Lance, may not bear a fork.
    path = tmp_path / "some.db"
    make(path, 2)
    command = [sys.executable, "-c", FORK, str(path)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_whoever_watches_a_run_is_told_at_once(kept: dg.DagsterInstance, home: Home) -> None:
    seen, told = [], threading.Event()

    def callback(entry: dg.EventLogEntry, _: str) -> None:
        seen.append(entry.message)
        told.set()

    run_id = kept.create_run_for_job(dg.Definitions([petals]).resolve_implicit_global_asset_job_def()).run_id
    storage = kept.event_log_storage
    assert isinstance(storage, SqliteEventLogStorage)
    storage.watch(run_id, None, callback)
    try:
        with dg.DagsterInstance.get() as other:
            other.report_engine_event("something happened", other.get_run_by_id(run_id))
        assert told.wait(30)
    finally:
        storage.end_watch(run_id, callback)


def test_processes_write_beside_each_other_and_one_that_is_killed_leaves_whole_runs(
    kept: dg.DagsterInstance, home: Home
) -> None:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "DAGSTER_HOME": str(home.dagster)}
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER], cwd=root, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout
    assert writer.stdout.readline() == "ready\n"
    ours, theirs = [], []
    for _ in range(3):
        ours.append(run(kept))
        theirs.append(writer.stdout.readline().strip())
    writer.send_signal(signal.SIGKILL)
    theirs += writer.stdout.read().split()
    writer.wait()
    writer.stdout.close()
    # Beside its events a run may log that the other process has made the asset meanwhile.
    lengths = {sum(entry.is_dagster_event for entry in kept.all_logs(one)) for one in (*ours, *theirs)}
    assert len(lengths) == 1
    succeeded = kept.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS]))
    assert {*ours, *theirs} <= {one.run_id for one in succeeded}
    for path in home.dagster.rglob("*.db"):
        with sqlite3.connect(path) as connection:
            assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
        connection.close()
