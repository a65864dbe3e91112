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
from brain_assets.sensors.asking import Tick, mark_of

# Whoever works through a long queue sees what it leads to meanwhile.
PATIENCE_SECONDS = 30.0


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
        tick, looks = Tick(context, place), json.loads(context.cursor or "{}")
        states: dict[str, str] = {}
        reasons: dict[str, str] = {}
        for name in place.names():
            paths = place.home.paths(name)
            try:
                states[name] = state_of(Events(paths.events))
                reasons[name] = _judged(tick, paths, states[name], looks.get(name))
            except (BrainError, sqlite3.DatabaseError, ValueError) as error:
                reasons[name] = str(error)
                context.log.warning(f"{name}: {error}")
        return tick.answer(reasons, json.dumps(states))

    return review_events


review_events = reviews_of(SERVICE)


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
        return "reviewed a moment ago, waiting for a pause"
    return tick.ask(paths.name, mark_of(f"{published['number']} reviews {state}"), settings.attempts)


def _busy(events: Events, state: str, taken_in: str, quiet: float) -> bool:
    """Return whether the last word is fresh while the first that waits is not old."""
    waiting = events.at(int(taken_in.partition(" ")[0] or 0) + 1)
    newest = state.partition(" ")[2]
    return bool(newest) and _age(newest) < quiet and _age(waiting or newest) < PATIENCE_SECONDS


def _age(moment: str) -> float:
    return time.time() - datetime.fromisoformat(moment).timestamp()
