"""When to take in what people said on the review page: once they pause, or after a while if they do not."""

import json
import os
import sqlite3
import time
from datetime import datetime

import dagster as dg

from brain_assets.assets.lineage import refresh_of
from brain_assets.assets.place import SERVICE, Place
from brain_assets.ingest.reviews import REVIEW_STATE, state_of
from brain_assets.resources.errors import BrainError
from brain_assets.resources.settings.configuration import load_dataset
from brain_assets.resources.settings.home import DatasetPaths
from brain_assets.resources.store.events import Events
from brain_assets.resources.store.publishing import manifest
from brain_assets.sensors import waiting
from brain_assets.sensors.asking import Tick, mark_of
from brain_assets.sensors.waiting import LONGEST_SECONDS, PAUSE_SECONDS

# Whoever works through a long queue sees what it leads to meanwhile.
PATIENCE_SECONDS = 30.0
BUSY = "reviewed a moment ago, waiting for a pause"


def reviews_of(place: Place) -> dg.SensorDefinition:
    """Return the sensor that looks at what people said about the datasets of a place."""

    @dg.sensor(
        name=place.named("review_events"),
        job=refresh_of(place),
        minimum_interval_seconds=int(os.environ.get("BRAIN_SENSOR_INTERVAL", "5")),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts a run for every dataset about which people said something on the review page that is not in the"
        " published tables yet: tags, drops, new labels, and what was undone.",
    )
    def review_events(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        # The cursor only says whether somebody is still at it.
        tick, deadline = Tick(context, place), time.monotonic() + LONGEST_SECONDS
        states, looking = json.loads(context.cursor or "{}"), True
        while looking:
            watch = _watch(place) if waiting.allowed() else None
            reasons, states = _look(tick, states)
            looking = watch is not None and not tick.requests and _something_happens(reasons, watch, deadline)
        return tick.answer(reasons, json.dumps(states))

    return review_events


review_events = reviews_of(SERVICE)


def _look(tick: Tick, before: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Look at what was said of each dataset; return what to say of it, and the state that it is in."""
    states: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for name in tick.place.names():
        paths = tick.place.home.paths(name)
        try:
            states[name] = state_of(Events(paths.events))
            reasons[name] = _judged(tick, paths, states[name], before.get(name))
        except (BrainError, sqlite3.DatabaseError, ValueError) as error:
            reasons[name] = str(error)
            tick.context.log.warning(f"{name}: {error}")
    return reasons, states


def _watch(place: Place) -> waiting.Watch:
    def stamps() -> dict[str, tuple[int, ...]]:
        events = {name: str(place.home.paths(name).events) for name in place.names()}
        return {name: waiting.times((path, f"{path}-wal")) for name, path in events.items()}

    return waiting.Watch(stamps)


def _something_happens(reasons: dict[str, str], watch: waiting.Watch, deadline: float) -> bool:
    """Wait within the tick until somebody says something or has paused; return whether that is so before the deadline."""
    if BUSY in reasons.values() and time.monotonic() < deadline:
        time.sleep(PAUSE_SECONDS)
        return waiting.allowed()
    return bool(watch.changed(deadline))


def _judged(tick: Tick, paths: DatasetPaths, state: str, before: str | None) -> str:
    """Ask for a run when what was said is not published and nobody is about to say more; return what to say of it."""
    published = manifest(paths.published)
    if published is None:
        return "nothing published yet"
    taken_in = str(published["facts"].get(REVIEW_STATE) or "")
    if state == taken_in:
        return "all that was said is taken in"
    settings = load_dataset(paths.config).settings.sensor
    if not settings.enabled:
        return "sensor.enabled is off"
    if before != state and _busy(Events(paths.events), state, taken_in, settings.quiet_seconds):
        return BUSY
    return tick.ask(paths.name, mark_of(f"{published['number']} reviews {state}"), settings.attempts)


def _busy(events: Events, state: str, taken_in: str, quiet: float) -> bool:
    """Return whether the last word is fresh while the first that waits is not old."""
    waiting = events.at(int(taken_in.partition(" ")[0] or 0) + 1)
    newest = state.partition(" ")[2]
    return bool(newest) and _age(newest) < quiet and _age(waiting or newest) < PATIENCE_SECONDS


def _age(moment: str) -> float:
    return time.time() - datetime.fromisoformat(moment).timestamp()
