"""The arrival sensor asks for one run per state of a source, whatever it remembers and however often it looks."""

import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from brain_assets.app.status import status
from brain_assets.assets.place import PARTITION_TAG
from brain_assets.resources.settings import instance as dagster_instance
from brain_assets.resources.store import locks
from brain_assets.sensors import abandoned, looking, slow_sources
from brain_assets.sensors.arrivals import new_samples
from brain_assets.sensors.asking import STATE_TAG
from brain_assets.sensors.slow_sources import LIST_SOURCE, LISTED_TAG
from tests.workshop import Workshop, encoded, picture, write_pictures

SUCCESS, FAILURE, CANCELED = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED
STARTED, STARTING = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING
# What the state of the source is made of.
STATEFUL = ("samples", "ground_truth", "predictions", "published")


class Clock:
    """Looks of the sensor, with the cursor kept between them."""

    sensor = new_samples

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance, self.cursor = instance, None

    def look(self) -> dg.SensorResult:
        context = dg.build_sensor_context(self.instance, cursor=self.cursor)
        result = type(self).sensor(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        return result

    def requests(self) -> list[dg.RunRequest]:
        return list(self.look().run_requests or [])

    def reason(self) -> str:
        reason = self.look().skip_reason
        return str(getattr(reason, "skip_message", reason))

    def record(self, request: dg.RunRequest, status: dg.DagsterRunStatus) -> dg.DagsterRun:
        """Add the run that the daemon would have made of a request."""
        tags = {**request.tags, PARTITION_TAG: str(request.partition_key)}
        job = request.job_name or "refresh"
        return self.instance.add_run(dg.DagsterRun(job, run_id=str(uuid.uuid4()), tags=tags, status=status))


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as one:
        yield one


@pytest.fixture
def clock(instance: dg.DagsterInstance) -> Clock:
    return Clock(instance)


@pytest.fixture
def media(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "media", range(3))
    return tmp_path / "media"


@pytest.fixture
def workshop(tmp_path: Path, media: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    monkeypatch.setenv("BRAIN_HOME", str(tmp_path / "home"))
    # Looking is never put off, however long it took.
    monkeypatch.setattr("brain_assets.sensors.arrivals.LOOKING_SHARE", float("inf"))
    # Nor is what these tests leave out of their runs, to be quick.
    monkeypatch.setattr("brain_assets.answers.published._behind", lambda *_: [])
    return Workshop(tmp_path / "home", media, sensor={"quiet_seconds": 0, "attempts": 2})


def settings(media: Path, **sensor: Any) -> dict[str, Any]:
    return {"media": str(media), "embeddings": {"model": "python:tests.models:Pixels"}, "sensor": sensor}


def test_a_new_dataset_gets_one_run_and_its_partition(workshop: Workshop, clock: Clock) -> None:
    result = clock.look()
    (request,) = result.run_requests or []
    (partition,) = result.dynamic_partitions_requests or []
    assert request.partition_key == "test"
    assert list(partition.partition_keys) == ["test"]
    clock.record(request, STARTING)
    assert "under way" in clock.reason()


def test_what_is_published_starts_nothing_even_without_the_cursor(workshop: Workshop, clock: Clock) -> None:
    workshop.run(STATEFUL)
    assert clock.reason() == "test: up to date"
    clock.cursor = None
    assert clock.requests() == []


@pytest.mark.parametrize("change", ["add", "edit", "touch", "delete", "settings", "model file"])
def test_every_change_is_noticed(workshop: Workshop, clock: Clock, media: Path, change: str) -> None:
    model = media.parent / "vectors.csv"
    model.write_text('filepath,vector\n00000.png,"[1, 2]"\n')
    workshop.declare(**settings(media, quiet_seconds=0) | {"embeddings": {"model": f"precomputed:{model}"}})
    workshop.run(STATEFUL)
    assert clock.requests() == []
    {
        "add": lambda: write_pictures(media, [9]),
        "edit": lambda: (media / "00000.png").write_bytes(encoded(picture(77))),
        "touch": lambda: os.utime(media / "00000.png"),
        "delete": lambda: (media / "00001.png").unlink(),
        "settings": lambda: workshop.declare(**settings(media, quiet_seconds=0)),
        "model file": lambda: model.write_text('filepath,vector\n00000.png,"[1, 22]"\n'),
    }[change]()
    assert len(clock.requests()) == 1


def test_a_change_waits_until_it_is_quiet(workshop: Workshop, clock: Clock, media: Path) -> None:
    workshop.declare(**settings(media, quiet_seconds=0.4))
    workshop.run(STATEFUL)
    write_pictures(media, [9])
    assert "waiting until it is quiet" in clock.reason()
    write_pictures(media, [10])
    assert "waiting until it is quiet" in clock.reason()
    time.sleep(0.5)
    assert len(clock.requests()) == 1


def test_a_disabled_dataset_is_left_alone(workshop: Workshop, clock: Clock, media: Path) -> None:
    workshop.declare(**settings(media, enabled=False))
    assert clock.requests() == []


def test_a_lost_cursor_starts_nothing_twice(workshop: Workshop, clock: Clock) -> None:
    (request,) = clock.requests()
    clock.record(request, STARTED)
    clock.cursor = None
    assert clock.requests() == []


def test_a_failing_state_is_tried_a_bounded_number_of_times(workshop: Workshop, clock: Clock, media: Path) -> None:
    keys = set()
    for _ in range(2):
        (request,) = clock.requests()
        keys.add(request.run_key)
        clock.record(request, FAILURE)
    assert len(keys) == 2
    assert "gave up after 2 runs, the last failed: the run failed; run 'brain materialize test'" in clock.reason()
    write_pictures(media, [9])
    assert len(clock.requests()) == 1


def test_a_canceled_run_is_told_of_and_what_arrives_later_goes_on(
    workshop: Workshop, clock: Clock, media: Path
) -> None:
    (request,) = clock.requests()
    clock.record(request, CANCELED)
    for _ in range(2):
        assert clock.reason() == "test: cancelled; 'brain materialize test' or the next change goes on"
    write_pictures(media, [9])
    (later,) = clock.requests()
    assert later.run_key != request.run_key
    clock.record(later, FAILURE)
    (again,) = clock.requests()
    assert again.tags[STATE_TAG] == later.tags[STATE_TAG]


def test_a_canceled_run_is_told_of_beside_the_requests_of_others(workshop: Workshop, clock: Clock, media: Path) -> None:
    (request,) = clock.requests()
    clock.record(request, CANCELED)
    Workshop(workshop.home.root, media, "sound", sensor={"quiet_seconds": 0})
    context = dg.build_sensor_context(clock.instance)
    said: list[str] = []
    context.log.addHandler(_Keeping(said))
    result = new_samples(context)
    assert isinstance(result, dg.SensorResult)
    assert [one.partition_key for one in result.run_requests or []] == ["sound"]
    assert any("test: cancelled" in line for line in said)


class _Keeping(logging.Handler):
    """Keeps the lines of a log."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.mark.parametrize(
    ("ending", "told"),
    [
        (CANCELED, "nothing published yet; cancelled; 'brain materialize test' or the next change goes on"),
        (FAILURE, "nothing published yet; failed: the run failed; 'brain materialize test' tries again"),
        (SUCCESS, "nothing published yet"),
    ],
)
def test_status_says_how_the_last_run_ended(workshop: Workshop, ending: dg.DagsterRunStatus, told: str) -> None:
    dagster_instance.prepare(workshop.home)
    with dg.DagsterInstance.from_config(str(workshop.home.dagster)) as kept:
        Clock(kept).record(dg.RunRequest(partition_key="test"), ending)
    assert status(workshop.home, "test")["state"] == told


def test_between_looks_at_a_slow_source_the_reason_is_said_again(
    workshop: Workshop, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    (request,) = clock.requests()
    clock.record(request, CANCELED)
    monkeypatch.setattr("brain_assets.sensors.arrivals.LOOKING_SHARE", 1e-9)
    assert clock.reason() == clock.reason() == "test: cancelled; 'brain materialize test' or the next change goes on"


def test_a_state_that_comes_back_is_ingested_again(workshop: Workshop, clock: Clock, media: Path) -> None:
    workshop.run(STATEFUL)
    (media / "00000.png").rename(media.parent / "aside.png")
    (away,) = clock.requests()
    clock.record(away, SUCCESS)
    workshop.run(STATEFUL)
    (media.parent / "aside.png").rename(media / "00000.png")
    (back,) = clock.requests()
    clock.record(back, SUCCESS)
    workshop.run(STATEFUL)
    (media / "00000.png").rename(media.parent / "aside.png")
    (again,) = clock.requests()
    assert len({away.run_key, back.run_key, again.run_key}) == 3


def test_a_run_that_came_too_late_for_its_state_does_not_use_up_the_key(
    workshop: Workshop, clock: Clock, media: Path
) -> None:
    workshop.run(STATEFUL)
    os.link(media / "00000.png", media.parent / "aside.png")
    (media / "00000.png").rename(media / "other.png")
    (first,) = clock.requests()
    # It ran while the old state was back, found nothing new, and succeeded.
    clock.record(first, SUCCESS)
    (second,) = clock.requests()
    assert second.tags[STATE_TAG] == first.tags[STATE_TAG]
    assert second.run_key != first.run_key


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("media: [", "not YAML"),
        ("media: /nowhere/at/all", "no media at /nowhere/at/all"),
        ("media: x\nsensr: {}", "did you mean 'sensor'"),
    ],
)
def test_broken_settings_are_a_reason_and_other_datasets_go_on(
    workshop: Workshop, clock: Clock, media: Path, text: str, reason: str
) -> None:
    Workshop(workshop.home.root, media, "sound", sensor={"quiet_seconds": 0})
    workshop.paths.config.write_text(text)
    result = clock.look()
    assert [request.partition_key for request in result.run_requests or []] == ["sound"]
    clock.record((result.run_requests or [])[0], STARTED)
    assert reason in clock.reason()


def test_what_a_run_was_not_asked_for_is_still_due(
    workshop: Workshop, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("BRAIN_HOME", str(workshop.home.root))
    workshop.run(STATEFUL)
    assert "uniqueness" in status(workshop.home, "test")["state"]
    assert len(clock.requests()) == 1


def test_another_version_of_the_code_is_noticed(
    workshop: Workshop, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.run(STATEFUL)
    assert clock.requests() == []
    monkeypatch.setattr("brain_assets.sensors.looking.code_state", lambda _: "newer")
    assert len(clock.requests()) == 1


def test_what_could_not_be_read_is_read_again_at_ever_longer_intervals(
    workshop: Workshop, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> str:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("brain_assets.ingest.samples.content_hash", refused)
    workshop.run(STATEFUL)
    assert clock.reason() == "test: up to date"
    began = now = time.time()
    waits = []
    for _ in range(4):
        while not (requests := _requests_at(clock, monkeypatch, now)):
            now += 60
        clock.record(requests[0], SUCCESS)
        waits.append(now - began)
        monkeypatch.setattr(time, "time", time_of_day)
        workshop.run(STATEFUL)
        os.utime(workshop.paths.lock, (now, now))
        assert _requests_at(clock, monkeypatch, now + 1) == []
    assert waits[0] == pytest.approx(300, abs=60)
    assert [after / before for before, after in pairwise(waits)] == pytest.approx([2, 2, 2], abs=0.3)
    monkeypatch.undo()
    workshop.run(STATEFUL)
    assert workshop.rows("select count(*) from samples where content_hash is null") == [(0,)]


time_of_day = time.time


def _requests_at(clock: Clock, monkeypatch: pytest.MonkeyPatch, moment: float) -> list[dg.RunRequest]:
    monkeypatch.setattr(time, "time", lambda: moment)
    return clock.requests()


def test_a_damaged_manifest_is_as_good_as_none(workshop: Workshop, clock: Clock) -> None:
    workshop.run(STATEFUL)
    (workshop.paths.published / "current" / "manifest.json").write_text("{")
    assert len(clock.requests()) == 1
    workshop.run(STATEFUL)
    assert clock.requests() == []


def test_a_source_that_takes_long_is_looked_at_less_often(
    workshop: Workshop, clock: Clock, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.run(STATEFUL)
    monkeypatch.setattr("brain_assets.sensors.arrivals.LOOKING_SHARE", 1e-9)
    clock.look()
    write_pictures(media, [9])
    assert clock.requests() == []
    assert json.loads(str(clock.cursor))["test"]["next_at"] > time.time()


def test_a_run_whose_process_is_gone_is_ended(
    workshop: Workshop, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    (request,) = clock.requests()
    run = clock.record(request, STARTED)
    clock.instance.report_engine_event("it began", run)
    now = time.time()
    with locks.exclusive(workshop.paths.lock, "run"):
        monkeypatch.setattr(abandoned.time, "time", lambda: now + 1000)
        assert clock.requests() == []
        assert clock.instance.get_run_by_id(run.run_id).status == STARTED
    monkeypatch.setattr(abandoned.time, "time", lambda: now + 60)
    assert clock.requests() == []
    monkeypatch.setattr(abandoned.time, "time", lambda: now + 1000)
    monkeypatch.setattr(dg.DagsterInstance, "get_run_records", _started_at(now, dg.DagsterInstance.get_run_records))
    (second,) = clock.requests()
    assert clock.instance.get_run_by_id(run.run_id).status == FAILURE
    assert second.run_key != request.run_key


def _started_at(at: float, original: Any) -> Any:
    """Return ``get_run_records`` with the time at which runs that were only added would have started."""

    def get_run_records(self: dg.DagsterInstance, *arguments: Any, **options: Any) -> Any:
        return [record._replace(start_time=at) for record in original(self, *arguments, **options)]

    return get_run_records


def test_what_of_labels_is_not_used_is_in_the_log(
    workshop: Workshop, clock: Clock, media: Path, tmp_path: Path
) -> None:
    (tmp_path / "labels.csv").write_text("filepath,label\n00000.png,cat\n00001.png,\n")
    workshop.declare(**settings(media, quiet_seconds=0), labels=[{"uri": str(tmp_path / "labels.csv")}])
    workshop.run((*STATEFUL, "objects"))
    assert clock.reason() == "test: up to date; labels: 1 used, 1 rejected (1 no_label, as labels.csv line 3)"


@pytest.fixture
def hanging(workshop: Workshop, media: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Yield what lets the listing of one of two datasets go on; until then it hangs."""
    Workshop(workshop.home.root, media, "quick", sensor={"quiet_seconds": 0})
    monkeypatch.setattr(looking, "PATIENCE_SECONDS", 0.2)
    go_on, inside = threading.Event(), looking.load_dataset

    def load_dataset(path: Path) -> Any:
        if path.parent.name == "test":
            go_on.wait(60)
        return inside(path)

    monkeypatch.setattr(looking, "load_dataset", load_dataset)
    yield go_on
    go_on.set()


def names(requests: list[dg.RunRequest]) -> list[tuple[str | None, str | None]]:
    return [(one.job_name, one.partition_key or one.tags.get(LISTED_TAG)) for one in requests]


def test_a_source_that_hangs_holds_up_no_other_and_is_listed_by_a_run(
    workshop: Workshop, clock: Clock, hanging: threading.Event
) -> None:
    first = clock.requests()
    assert names(first) == [(LIST_SOURCE.name, "test"), ("refresh", "quick")]
    threads = [thread for thread in threading.enumerate() if thread.name == "look at test"]
    listing = clock.record(first[0], STARTED)
    clock.record(first[1], STARTED)
    for _ in range(3):
        reason = clock.reason()
        assert f"test: run {listing.run_id[:8]} lists its media, which take too long for a tick" in reason
        assert "quick: run" in reason
    assert [thread for thread in threading.enumerate() if thread.name == "look at test"] == threads
    hanging.set()
    threads[0].join()
    looking.write_down(workshop.paths)
    assert names(clock.requests()) == [("refresh", "test")]


@pytest.mark.parametrize(("ending", "told"), [(CANCELED, "was cancelled"), (FAILURE, "failed")])
def test_a_run_that_cannot_list_a_source_is_told_of_and_tried_again_later(
    workshop: Workshop, clock: Clock, hanging: threading.Event, ending: dg.DagsterRunStatus, told: str
) -> None:
    del workshop, hanging
    listing, quick = clock.requests()
    clock.record(listing, ending)
    clock.record(quick, STARTED)
    for _ in range(2):
        assert told in (reason := clock.reason())
        assert "they are listed again later" in reason
    cursor = json.loads(str(clock.cursor))
    cursor["test"]["next_at"] = 0
    clock.cursor = json.dumps(cursor)
    (again,) = clock.requests()
    assert names([again]) == [(LIST_SOURCE.name, "test")]
    assert again.run_key != listing.run_key


def test_sources_that_hang_leave_room_in_the_queue(
    workshop: Workshop, clock: Clock, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abcd":
        Workshop(workshop.home.root, media, name, sensor={"quiet_seconds": 0})
    monkeypatch.setattr(looking, "PATIENCE_SECONDS", -1.0)
    monkeypatch.setattr(looking, "look", lambda _: time.sleep(1))
    requests = clock.requests()
    assert len(requests) == slow_sources.AT_ONCE
    for request in requests:
        clock.record(request, STARTED)
    assert "waits for its turn to have a run that lists its media" in clock.reason()


def test_what_had_no_turn_in_a_tick_has_it_in_the_next(
    workshop: Workshop, clock: Clock, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Workshop(workshop.home.root, media, "other", sensor={"quiet_seconds": 0})
    with monkeypatch.context() as patch:
        patch.setattr(looking, "BUDGET_SECONDS", 0.0)
        assert clock.reason() == "other: waits for its turn to be looked at; test: waits for its turn to be looked at"
    assert len(clock.requests()) == 2


def test_the_run_that_lists_a_source_leaves_what_it_found(workshop: Workshop) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = LIST_SOURCE.execute_in_process(instance=instance, tags={LISTED_TAG: "test"})
    assert result.success
    found = looking.written_down(workshop.paths)
    assert found
    assert found == replace(looking.look(workshop.paths), began=found.began, seconds=found.seconds)


def test_a_cursor_of_another_version_is_as_good_as_none(workshop: Workshop, clock: Clock) -> None:
    workshop.run(STATEFUL)
    clock.cursor = json.dumps({"test": {"remembered": 1}})
    assert clock.reason() == "test: up to date"


def _verdicts(result: dg.SensorResult) -> list[bool]:
    return [event.passed for event in result.asset_events if isinstance(event, dg.AssetCheckEvaluation)]


def test_what_waits_too_long_is_stale_and_a_quiet_week_is_not(
    workshop: Workshop, clock: Clock, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.declare(**settings(media, quiet_seconds=0, fresh_seconds=100))
    workshop.run(STATEFUL)
    assert _verdicts(clock.look()) == []
    start = time.time() + 7 * 86_400
    seconds = 0.0
    monkeypatch.setattr("brain_assets.sensors.arrivals.time.time", lambda: start + seconds)
    assert _verdicts(clock.look()) == []
    write_pictures(media, [9])
    clock.record(clock.requests()[0], STARTED)
    for seconds, told in ((99.0, []), (200.0, [False]), (300.0, [])):
        assert _verdicts(clock.look()) == told, seconds
    workshop.run(STATEFUL)
    assert _verdicts(clock.look()) == [True]


def test_dagster_is_told_once_of_each_source_that_is_in_another_state(
    workshop: Workshop, clock: Clock, media: Path
) -> None:
    def told() -> set[str]:
        events = clock.look().asset_events
        return {event.asset_key.to_user_string() for event in events if isinstance(event, dg.AssetObservation)}

    sources = {"source_images", "label_files", "prediction_files", "embedding_models", "review_page"}
    assert told() == sources
    assert told() == set()
    write_pictures(media, [9])
    assert told() == {"source_images"}
    (workshop.paths.folder / "predictions").mkdir()
    (workshop.paths.folder / "predictions" / "model.csv").write_text("filepath,label\n00000.png,cat\n")
    assert told() == {"prediction_files"}
