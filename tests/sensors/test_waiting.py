"""A tick that waits notices at once what happens meanwhile, and ends when the service does."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from brain_assets.sensors import arrivals, reviews, waiting
from brain_assets.sensors.arrivals import new_samples
from brain_assets.sensors.reviews import review_events
from tests.sensors.test_reviews import say
from tests.workshop import Workshop, write_pictures

SOON = 20.0


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file while which is there ticks may wait."""
    monkeypatch.setenv("BRAIN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv(waiting.WHILE, str(tmp_path / "service"))
    monkeypatch.setattr("brain_assets.answers.published._behind", lambda *_: [])
    for module in (arrivals, reviews):
        monkeypatch.setattr(module, "LONGEST_SECONDS", SOON)
    (tmp_path / "service").touch()
    return tmp_path / "service"


@pytest.fixture
def workshop(tmp_path: Path, service: Path) -> Workshop:
    write_pictures(tmp_path / "media" / "rose", range(3))
    one = Workshop(tmp_path / "home", tmp_path / "media", sensor={"quiet_seconds": 0, "attempts": 2})
    one.run(("samples", "ground_truth", "predictions", "reviews", "published"))
    return one


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as one:
        yield one


def settled(instance: dg.DagsterInstance, sensor: dg.SensorDefinition, service: Path) -> str | None:
    """Return the cursor of a tick that found nothing to do, and waited for nothing."""
    service.unlink()
    first = sensor(dg.build_sensor_context(instance))
    service.touch()
    assert isinstance(first, dg.SensorResult)
    assert first.run_requests == []
    return first.cursor


def tick_while(
    instance: dg.DagsterInstance, sensor: dg.SensorDefinition, cursor: str | None, happens: Callable[[], object]
) -> tuple[list[dg.RunRequest], float]:
    """Return what a tick asks for while which something happens, and how long it took."""
    timer = threading.Timer(1.0, happens)
    timer.start()
    began = time.monotonic()
    result = sensor(dg.build_sensor_context(instance, cursor=cursor))
    timer.join()
    assert isinstance(result, dg.SensorResult)
    return list(result.run_requests or []), time.monotonic() - began


@pytest.mark.parametrize("what", ["file", "folder", "prediction", "setting"])
def test_what_arrives_while_a_tick_waits_is_noticed_by_it(
    what: str, workshop: Workshop, instance: dg.DagsterInstance, service: Path, tmp_path: Path
) -> None:
    cursor = settled(instance, new_samples, service)
    media, dropped = tmp_path / "media", workshop.paths.predictions
    dropped.mkdir(exist_ok=True)
    happens = {
        "file": lambda: write_pictures(media / "rose", [9]),
        "folder": lambda: write_pictures(media / "tulip", [9]),
        "prediction": lambda: (dropped / "net.csv").write_text("filepath,label\nrose/00000.png,rose\n"),
        "setting": lambda: workshop.declare(media=str(media), sensor={"quiet_seconds": 0}, similarity={"k": 3}),
    }
    requests, seconds = tick_while(instance, new_samples, cursor, happens[what])
    assert [request.partition_key for request in requests] == ["test"]
    assert seconds < SOON


def test_a_dataset_that_is_declared_while_a_tick_waits_is_looked_at_by_it(
    workshop: Workshop, instance: dg.DagsterInstance, service: Path, tmp_path: Path
) -> None:
    cursor = settled(instance, new_samples, service)
    declare = lambda: Workshop(workshop.home.root, tmp_path / "media", "other", sensor={"quiet_seconds": 0})  # noqa: E731
    requests, _ = tick_while(instance, new_samples, cursor, declare)
    assert [request.partition_key for request in requests] == ["other"]


def test_what_somebody_says_while_a_tick_waits_is_noticed_by_it(
    workshop: Workshop, instance: dg.DagsterInstance, service: Path
) -> None:
    cursor = settled(instance, review_events, service)
    requests, _ = tick_while(instance, review_events, cursor, lambda: say(workshop))
    assert [request.partition_key for request in requests] == ["test"]


@pytest.mark.parametrize("sensor", [new_samples, review_events], ids=lambda sensor: sensor.name)
def test_a_tick_ends_with_its_service(
    sensor: dg.SensorDefinition, workshop: Workshop, instance: dg.DagsterInstance, service: Path
) -> None:
    cursor = settled(instance, sensor, service)
    requests, seconds = tick_while(instance, sensor, cursor, service.unlink)
    assert requests == []
    assert seconds < SOON


def test_nothing_waits_where_no_service_says_so(
    workshop: Workshop, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(waiting.WHILE)
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it waits"))
    monkeypatch.setattr(waiting.Watch, "changed", lambda *_: pytest.fail("it waits"))
    assert isinstance(new_samples(dg.build_sensor_context(instance)), dg.SensorResult)
    assert isinstance(review_events(dg.build_sensor_context(instance)), dg.SensorResult)
