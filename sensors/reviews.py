"""When to take in what people said on the review page: once they pause, or after a while if they do not."""

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from datetime import datetime

import dagster as dg

from brain_assets.assets.lineage import REFRESH
from brain_assets.ingest.reviews import REVIEW_STATE, state_of
from brain_assets.resources.errors import BrainError
from brain_assets.resources.settings.configuration import load_dataset
from brain_assets.resources.settings.home import DatasetPaths, Home
from brain_assets.resources.store.events import Events
from brain_assets.resources.store.publishing import manifest
from brain_assets.sensors.asking import answer, ask, mark_of

# Whoever works through a long queue sees what it leads to meanwhile.
PATIENCE_SECONDS = 30.0


@dg.sensor(
    job=REFRESH,
    minimum_interval_seconds=int(os.environ.get("BRAIN_SENSOR_INTERVAL", "5")),
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts a run for every dataset about which people said something on the review page that is not in the"
    " published tables yet: tags, drops, new labels, and what was undone.",
)
def review_events(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Ask for one run per dataset with new reviews; the cursor only says whether somebody is still at it."""
    home = Home.default()
    looks: dict[str, str] = json.loads(context.cursor or "{}")
    states: dict[str, str] = {}
    requests: list[dg.RunRequest] = []
    reasons: list[str] = []
    for name in home.names():
        paths = home.paths(name)
        try:
            states[name] = state_of(Events(paths.events))
            requests.extend(_requests(context, paths, states[name], looks.get(name), reasons))
        except (BrainError, sqlite3.DatabaseError, ValueError) as error:
            reasons.append(f"{name}: {error}")
            context.log.warning(f"{name}: {error}")
    return answer(context, requests, reasons, json.dumps(states))


def _requests(
    context: dg.SensorEvaluationContext, paths: DatasetPaths, state: str, before: str | None, reasons: list[str]
) -> Iterator[dg.RunRequest]:
    """Yield a request when what was said is not published and nobody is about to say more; else add a reason."""
    published = manifest(paths.published)
    if published is None:
        reasons.append(f"{paths.name}: nothing published yet")
        return
    taken_in = str(published["facts"].get(REVIEW_STATE) or "")
    if state == taken_in:
        reasons.append(f"{paths.name}: all that was said is taken in")
        return
    settings = load_dataset(paths.config).settings.sensor
    if not settings.enabled:
        reasons.append(f"{paths.name}: sensor.enabled is off")
        return
    if before != state and _busy(Events(paths.events), state, taken_in, settings.quiet_seconds):
        reasons.append(f"{paths.name}: reviewed a moment ago, waiting for a pause")
        return
    yield from ask(context, paths.name, mark_of(f"{published['number']} reviews {state}"), settings.attempts, reasons)


def _busy(events: Events, state: str, taken_in: str, quiet: float) -> bool:
    """Return whether the last word is fresh while the first that waits is not old."""
    waiting = events.at(int(taken_in.partition(" ")[0] or 0) + 1)
    newest = state.partition(" ")[2]
    return bool(newest) and _age(newest) < quiet and _age(waiting or newest) < PATIENCE_SECONDS


def _age(moment: str) -> float:
    return time.time() - datetime.fromisoformat(moment).timestamp()
