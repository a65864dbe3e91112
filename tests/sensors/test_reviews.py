"""What people said starts one run once they pause, whatever the sensor remembers."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from brain_assets.app.status import status
from brain_assets.resources.store.events import Event, Events
from brain_assets.sensors import reviews
from brain_assets.sensors.reviews import review_events
from tests.sensors.test_arrivals import FAILURE, STARTED, SUCCESS, Clock
from tests.workshop import Workshop, write_pictures

QUICK = ("reviews", "samples", "ground_truth", "predictions", "published")


class Reviews(Clock):
    """Looks of the sensor for reviews."""

    sensor = review_events


@pytest.fixture
def clock() -> Iterator[Reviews]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Reviews(instance)


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    monkeypatch.setenv("BRAIN_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("brain_assets.answers.published._behind", lambda *_: [])
    write_pictures(tmp_path / "media", range(2))
    made = Workshop(tmp_path / "home", tmp_path / "media", sensor={"quiet_seconds": 0, "attempts": 2})
    made.run(QUICK)
    return made


def say(workshop: Workshop) -> Events:
    events = Events(workshop.paths.events)
    events.append(Event("tag", "ada", "odd"), workshop.rows("select sample_id, content_hash from samples limit 1"))
    return events


def test_what_is_said_gets_one_run_and_is_then_at_rest(workshop: Workshop, clock: Reviews) -> None:
    assert clock.reason() == "test: all that was said is taken in"
    events = say(workshop)
    assert "reviews were said" in status(workshop.home, "test")["state"]
    (request,) = clock.requests()
    assert request.partition_key == "test"
    clock.record(request, STARTED)
    assert "under way" in clock.reason()
    clock.instance.delete_run(clock.instance.get_runs()[0].run_id)
    workshop.run(QUICK)
    assert clock.requests() == []
    clock.cursor = None
    assert clock.requests() == []
    assert status(workshop.home, "test")["state"] == "up to date"
    events.undo(1, "bo")
    (undone,) = clock.requests()
    assert undone.run_key != request.run_key


def test_a_lost_cursor_starts_nothing_twice(workshop: Workshop, clock: Reviews) -> None:
    say(workshop)
    (first,) = clock.requests()
    clock.cursor = None
    assert [request.run_key for request in clock.requests()] == [first.run_key]


def test_it_waits_for_a_pause_but_not_for_ever(
    workshop: Workshop, clock: Reviews, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.declare(media=str(workshop.home.root.parent / "media"), sensor={"quiet_seconds": 60})
    say(workshop)
    assert "waiting for a pause" in clock.reason()
    assert len(clock.requests()) == 1
    say(workshop)
    assert "waiting for a pause" in clock.reason()
    say(workshop)
    monkeypatch.setattr(reviews, "PATIENCE_SECONDS", 0.0)
    assert len(clock.requests()) == 1


def test_what_fails_is_tried_a_bounded_number_of_times(workshop: Workshop, clock: Reviews) -> None:
    say(workshop)
    for outcome in (FAILURE, SUCCESS):
        (request,) = clock.requests()
        clock.record(request, outcome)
    assert "gave up after 2 runs" in clock.reason()
    say(workshop)
    assert len(clock.requests()) == 1


def test_nothing_is_asked_before_there_is_something_to_review(workshop: Workshop, clock: Reviews) -> None:
    Workshop(workshop.home.root, workshop.home.root.parent / "media", "fresh")
    Events(workshop.home.paths("fresh").events).append(Event("tag", "ada", "x"), [("a", None)])
    assert clock.requests() == []
    say(workshop)
    workshop.declare(media=str(workshop.home.root.parent / "media"), sensor={"enabled": False})
    assert clock.requests() == []


def test_a_damaged_store_is_a_reason_and_other_datasets_go_on(workshop: Workshop, clock: Reviews) -> None:
    say(workshop)
    broken = workshop.home.paths("broken").events
    Workshop(workshop.home.root, workshop.home.root.parent / "media", "broken")
    broken.parent.mkdir()
    broken.write_bytes(b"this is no database, and never was one" * 100)
    (request,) = clock.requests()
    assert request.partition_key == "test"
    clock.record(request, STARTED)
    assert "broken: file is not a database" in clock.reason()
