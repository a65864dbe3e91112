"""When to look again: media, labels, predictions or settings of a dataset differ from what was published of it."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import dagster as dg

from brain_assets.answers.published import code_state
from brain_assets.assets import catalog
from brain_assets.assets.lineage import REFRESH
from brain_assets.ingest.accounting import accounts, losses_told
from brain_assets.resources.errors import BrainError
from brain_assets.resources.label_formats.input_files import input_state
from brain_assets.resources.media.media_source import open_media
from brain_assets.resources.settings.configuration import load_dataset
from brain_assets.resources.settings.home import DatasetPaths, Home
from brain_assets.resources.store.publishing import connect, damage, manifest
from brain_assets.sensors.abandoned import end_abandoned_runs
from brain_assets.sensors.asking import answer, ask, mark_of

# A source that takes long to list is listed less often, so that looking costs at most this share of one core.
LOOKING_SHARE = 0.05


@dataclass
class Look:
    """What the sensor remembers of a dataset between two looks."""

    state: str = ""
    next_at: float = 0.0
    reason: str = ""


@dg.sensor(
    job=REFRESH,
    minimum_interval_seconds=int(os.environ.get("BRAIN_SENSOR_INTERVAL", "5")),
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts a run for every dataset whose media, labels, predictions or settings differ from what was published of"
    " them, once they have been quiet for a moment. The run does what the change asks for and nothing else.",
)
def new_samples(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Ask for one run per dataset that changed; the cursor only saves work, losing it starts nothing twice."""
    home = Home.default()
    end_abandoned_runs(context, home)
    looks = {name: Look(**look) for name, look in json.loads(context.cursor or "{}").items()}
    names = home.names()
    requests: list[dg.RunRequest] = []
    reasons: list[str] = []
    for name in names:
        look = looks.setdefault(name, Look())
        said: list[str] = []
        requests.extend(_requests(context, home.paths(name), look, said))
        # Between two looks at a source that takes long to list, what was found at the last one is said again.
        look.reason = "; ".join(said) or look.reason
        reasons.append(look.reason)
    cursor = json.dumps({name: asdict(look) for name, look in looks.items() if name in names})
    return answer(context, requests, reasons, cursor)


def _requests(
    context: dg.SensorEvaluationContext, paths: DatasetPaths, look: Look, reasons: list[str]
) -> Iterator[dg.RunRequest]:
    """Yield a request when the dataset has settled in a state that was not ingested; say what was found, if it was looked at."""
    now = time.time()
    if now < look.next_at:
        return
    try:
        configuration = load_dataset(paths.config)
        settings = configuration.settings
        if not settings.sensor.enabled:
            reasons.append(f"{paths.name}: sensor.enabled is off")
            return
        started = time.monotonic()
        listing = open_media(settings).list()
        inputs, newest_input = input_state(settings, paths)
    except (BrainError, OSError) as error:
        reasons.append(f"{paths.name}: {error}")
        context.log.warning(f"{paths.name}: {error}")
        return
    look.next_at = now + (time.monotonic() - started) / LOOKING_SHARE
    state, before = f"{listing.state} {inputs} {configuration.digest} {code_state(catalog.ALL)}", look.state
    look.state = state
    published = manifest(paths.published)
    if published and _stands(paths, published["facts"], state):
        lost = _losses(paths.published, published["number"])
        reasons.append(f"{paths.name}: up to date" + (f"; {lost}" if lost else ""))
        return
    if before != state and now - max(listing.newest, newest_input) < settings.sensor.quiet_seconds:
        look.next_at = 0.0
        reasons.append(f"{paths.name}: changed a moment ago, waiting until it is quiet")
        return
    mark = mark_of(f"{published['number'] if published else 0} {state}")
    yield from ask(context, paths.name, mark, settings.sensor.attempts, reasons)


@lru_cache(256)
def _losses(published: Path, _: int) -> str:
    """Return what of labels and predictions is not used in one published set, as a line; empty where all of it is."""
    try:
        with connect(published, tolerant=True) as connection:
            return losses_told(accounts(connection))
    except BrainError:
        return ""


def _stands(paths: DatasetPaths, facts: Mapping[str, Any], state: str) -> bool:
    """Return whether what is published is of this state, whole and undamaged."""
    return state == _published_state(facts) and not facts.get("behind") and damage(paths.published) is None


def _published_state(facts: Mapping[str, Any]) -> str:
    return " ".join(str(facts.get(name)) for name in ("source_state", "input_state", "settings", "code"))
