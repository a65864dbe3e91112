"""Runs as the service starts them: forked with everything imported, each a process that can be killed or cancelled alone."""

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from brain_assets.app.code_server import runs_context
from brain_assets.app.serving import Service, background
from tests.workshop import Workshop, write_pictures

ROOT = Path(__file__).parents[2]
PATIENCE = 120
linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere runs are spawned, as Dagster does")
STARTED, SUCCESS, FAILURE, CANCELED = (
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
)


@pytest.fixture
def hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file while which is there no run gets beyond embedding."""
    monkeypatch.setenv("BRAIN_TEST_HOLD", str(tmp_path / "hold"))
    monkeypatch.setenv("BRAIN_SENSOR_INTERVAL", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("BRAIN_HOME", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "")
    return tmp_path / "hold"


@pytest.fixture
def workshop(tmp_path: Path, hold: Path) -> Workshop:
    write_pictures(tmp_path / "media", range(6))
    sensor = {"quiet_seconds": 0.1, "attempts": 4}
    return Workshop(
        tmp_path / "home",
        tmp_path / "media",
        "flowers",
        sensor=sensor,
        embeddings={"model": "python:tests.models:Held"},
    )


@pytest.fixture
def service(workshop: Workshop) -> Iterator[Service]:
    with background(workshop.home, "a test") as started:
        yield started


def wait(service: Service, probe: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        service.require_alive()
        if found := probe():
            return found
        time.sleep(0.2)
    raise AssertionError(f"waited in vain for {what}: {service.log.read_text()[-3000:]}")


def newest(kept: dg.DagsterInstance, *statuses: dg.DagsterRunStatus) -> dg.DagsterRun | None:
    runs = kept.get_runs(dg.RunsFilter(tags={"dagster/partition": "flowers"}), limit=1)
    return runs[0] if runs and runs[0].status in statuses else None


def process_of(kept: dg.DagsterInstance, run: dg.DagsterRun) -> int:
    said = " ".join(entry.message for entry in kept.all_logs(run.run_id))
    found = re.search(r"Executing steps in process \(pid: (\d+)\)", said)
    assert found, said
    return int(found[1])


def embedding(kept: dg.DagsterInstance) -> dg.DagsterRun | None:
    """Return the newest run where it is held at the model."""
    run = newest(kept, STARTED)
    steps = (
        {entry.dagster_event.step_key for entry in kept.all_logs(run.run_id) if entry.dagster_event} if run else set()
    )
    return run if "media" in steps else None


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_files_are_published_and_a_run_that_is_killed_or_cancelled_ends_alone(
    service: Service, workshop: Workshop, hold: Path, tmp_path: Path
) -> None:
    with dg.DagsterInstance.get() as kept:
        wait(service, lambda: newest(kept, SUCCESS), "the first run")
        assert workshop.rows("select count(*) from uniqueness") == [(6,)]

        hold.touch()
        write_pictures(tmp_path / "media", range(100, 103))
        run = wait(service, lambda: embedding(kept), "a run that is held")
        _another_dataset_is_published_meanwhile(service, kept, workshop, tmp_path)
        assert kept.get_run_by_id(run.run_id).status == STARTED  # type: ignore[union-attr]
        process = process_of(kept, run)
        if sys.platform == "linux":
            forked = Path(f"/proc/{process}/cmdline").read_text()
            assert "forkserver" in forked
            assert Path(f"/proc/{process}/oom_score_adj").read_text() == "500\n"
        os.kill(process, signal.SIGKILL)
        wait(service, lambda: kept.get_run_by_id(run.run_id).status == FAILURE, "the killed run to be called failed")  # type: ignore[union-attr]
        hold.unlink()
        wait(service, lambda: newest(kept, SUCCESS), "the run that goes on")
        assert workshop.rows("select count(*) from uniqueness") == [(9,)]

        hold.touch()
        write_pictures(tmp_path / "media", range(200, 202))
        run = wait(service, lambda: embedding(kept), "a second run that is held")
        assert kept.run_launcher.terminate(run.run_id)
        wait(service, lambda: kept.get_run_by_id(run.run_id).status == CANCELED, "the cancelled run to end")  # type: ignore[union-attr]
        hold.unlink()
        # Whoever cancels a run does not want it to start again by itself; what arrives later goes on.
        write_pictures(tmp_path / "media", [300])
        wait(service, lambda: newest(kept, SUCCESS), "the run of what arrived later")
        assert workshop.rows("select count(*) from uniqueness") == [(12,)]


def _another_dataset_is_published_meanwhile(
    service: Service, kept: dg.DagsterInstance, held: Workshop, tmp_path: Path
) -> None:
    """However long a run of one dataset takes, the arrivals of another are noticed and have runs of their own beside it."""
    write_pictures(tmp_path / "birds", range(4))
    birds = Workshop(held.home.root, tmp_path / "birds", "birds", sensor={"quiet_seconds": 0.1})
    for arrived in (1, 2):
        write_pictures(tmp_path / "birds", range(3 + arrived))
        wait(service, lambda: _statuses(kept, "birds").count(SUCCESS) == arrived, "birds beside a run that is held")  # noqa: B023
        assert birds.rows("select count(*) from uniqueness") == [(3 + arrived,)]
    assert _statuses(kept, "birds") == [SUCCESS, SUCCESS]


def _statuses(kept: dg.DagsterInstance, dataset: str) -> list[dg.DagsterRunStatus]:
    return [run.status for run in kept.get_runs(dg.RunsFilter(tags={"dagster/partition": dataset}))]


@linux
def test_runs_are_forked_where_that_is_safe() -> None:
    assert runs_context().get_start_method() == "forkserver"
