"""The real webserver and daemon: files are dropped, the sensor has them derived and published, and nothing runs twice."""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from brain_assets.resources.settings import instance
from brain_assets.resources.settings.home import Home
from brain_assets.resources.store.publishing import manifest
from tests.service.dev import Dev
from tests.workshop import Workshop, write_pictures

ROOT = Path(__file__).parents[2]
RUNS = "query { runsOrError(limit: 100) { ... on Runs { results { runId status tags { key value } } } } }"


class Service(Dev):
    """`dagster dev` over the project's workspace."""

    def __init__(self, home: Home, log: Path) -> None:
        self.home = home
        instance.prepare(home)
        environment = {**os.environ, "BRAIN_HOME": str(home.root), "DAGSTER_HOME": str(home.dagster)}
        environment |= {"BRAIN_SENSOR_INTERVAL": "1", "PYTHONPATH": str(ROOT)}
        super().__init__(sys.executable, ROOT, environment, log, "-w", str(ROOT / "workspace.yaml"))

    def statuses(self, dataset: str) -> list[str]:
        tag = {"key": "dagster/partition", "value": dataset}
        runs = self.query(RUNS)["runsOrError"]["results"]
        return [run["status"] for run in runs if tag in run["tags"]]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def service(home: Home, tmp_path: Path) -> Iterator[Service]:
    started = Service(home, tmp_path / "service.log")
    yield started
    started.stop()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_dropped_files_are_derived_and_published_once(service: Service, home: Home, tmp_path: Path) -> None:
    media = tmp_path / "media"
    write_pictures(media, range(12))
    dropped = time.monotonic()
    sensor = {"quiet_seconds": 0.5}
    workshop = Workshop(home.root, media, "flowers", sensor=sensor)
    service.wait(lambda: service.statuses("flowers") == ["SUCCESS"], "the first run")
    print(f"declared to published: {time.monotonic() - dropped:.1f} s, service start included")
    assert workshop.rows("select count(*) from uniqueness") == [(12,)]

    write_pictures(media, range(100, 103))
    (media / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 this is no image")
    dropped = time.monotonic()
    service.wait(lambda: service.statuses("flowers") == ["SUCCESS"] * 2, "the run of the dropped files")
    print(f"dropped to published: {time.monotonic() - dropped:.1f} s")
    assert workshop.rows("select count(*) from uniqueness") == [(15,)]
    assert workshop.rows("select filepath, status from samples where status != 'ok'") == [("broken.jpg", "error")]
    assert workshop.rows("select issue from issues") == [("unreadable",)]
    time.sleep(5)
    assert service.statuses("flowers") == ["SUCCESS"] * 2

    _a_dropped_prediction_is_judged_and_nothing_is_embedded(service, workshop)
    _a_failing_dataset_is_tried_a_bounded_number_of_times(service, home, tmp_path)
    assert service.statuses("flowers") == ["SUCCESS"] * 3


def _a_dropped_prediction_is_judged_and_nothing_is_embedded(service: Service, workshop: Workshop) -> None:
    workshop.paths.predictions.mkdir(exist_ok=True)
    embedded = "select max(started_at) from runs where method in ('embeddings', 'similarity')"
    before = workshop.rows(embedded)
    names = [f"{number:05}.png" for number in (1, 4, 7)]
    rows = "".join(f"{name},rose,0.75\n" for name in names)
    dropped = time.monotonic()
    (workshop.paths.predictions / "net.csv").write_text("filepath,label,confidence\n" + rows)
    service.wait(lambda: service.statuses("flowers") == ["SUCCESS"] * 3, "the run of the dropped predictions")
    print(f"predictions dropped to published: {time.monotonic() - dropped:.1f} s")
    for table in ("hardness", "mistakenness"):
        query = f"select filepath from {table} join samples using (sample_id) order by filepath"
        assert workshop.rows(query) == [(name,) for name in names]
    assert workshop.rows(embedded) == before
    time.sleep(4)
    assert service.statuses("flowers") == ["SUCCESS"] * 3


def _a_failing_dataset_is_tried_a_bounded_number_of_times(service: Service, home: Home, tmp_path: Path) -> None:
    write_pictures(tmp_path / "other", range(3))
    settings = {"sensor": {"quiet_seconds": 0.1, "attempts": 2}, "embeddings": {"model": "onnx:/nowhere/model.onnx"}}
    failing = Workshop(home.root, tmp_path / "other", "failing", **settings)
    service.wait(lambda: service.statuses("failing") == ["FAILURE"] * 2, "two failed runs")
    alerts = home.root / "alerts.jsonl"
    service.wait(lambda: alerts.exists() and len(alerts.read_text().splitlines()) == 2, "two alerts")
    assert "/nowhere/model.onnx" in json.loads(alerts.read_text().splitlines()[0])["message"]
    time.sleep(4)
    assert service.statuses("failing") == ["FAILURE"] * 2
    assert manifest(failing.paths.published) is None
