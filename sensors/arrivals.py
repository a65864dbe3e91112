"""When to look again: media, labels, predictions or settings of a dataset differ from what was published of it."""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import dagster as dg

from brain_assets.lineage import DATASETS, PARTITION_TAG, REFRESH, UNDER_WAY
from resources.configuration import load_dataset
from resources.errors import BrainError
from resources.home import DatasetPaths, Home
from resources.input_files import input_state
from resources.media_source import open_source
from resources.publishing import manifest

STATE_TAG = "brain/state"
# A source that takes long to list is listed less often, so that looking costs at most this share of one core.
LOOKING_SHARE = 0.05


@dataclass
class Look:
    """What the sensor remembers of a dataset between two looks."""

    state: str = ""
    next_at: float = 0.0


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
    looks = {name: Look(**look) for name, look in json.loads(context.cursor or "{}").items()}
    known = set(context.instance.get_dynamic_partitions(str(DATASETS.name)))
    names = home.names()
    requests: list[dg.RunRequest] = []
    reasons: list[str] = []
    for name in names:
        look = looks.setdefault(name, Look())
        requests.extend(_requests(context, home.paths(name), look, reasons))
    fresh = sorted({str(request.partition_key) for request in requests} - known)
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else "; ".join(reasons) or "no dataset changed",
        dynamic_partitions_requests=[DATASETS.build_add_request(fresh)] if fresh else [],
        cursor=json.dumps({name: asdict(look) for name, look in looks.items() if name in names}),
    )


def _requests(
    context: dg.SensorEvaluationContext, paths: DatasetPaths, look: Look, reasons: list[str]
) -> Iterator[dg.RunRequest]:
    """Yield a request when the dataset has settled in a state that was not ingested; else add a reason."""
    now = time.time()
    if now < look.next_at:
        return
    try:
        configuration = load_dataset(paths.config)
        settings = configuration.settings
        if not settings.sensor.enabled:
            return
        started = time.monotonic()
        listing = open_source(settings.media, settings.split_from).list()
        inputs, newest_input = input_state(settings, paths)
    except BrainError as error:
        reasons.append(f"{paths.name}: {error}")
        context.log.warning(f"{paths.name}: {error}")
        return
    look.next_at = now + (time.monotonic() - started) / LOOKING_SHARE
    state, before = f"{listing.state} {inputs} {configuration.digest}", look.state
    look.state = state
    published = manifest(paths.published)
    if published and state == _published_state(published["facts"]):
        return
    if before != state and now - max(listing.newest, newest_input) < settings.sensor.quiet_seconds:
        look.next_at = 0.0
        reasons.append(f"{paths.name}: changed a moment ago, waiting until it is quiet")
        return
    yield from _request(context, paths.name, state, published["number"] if published else 0, settings.sensor.attempts)


def _published_state(facts: Mapping[str, Any]) -> str:
    return f"{facts['source_state']} {facts.get('input_state')} {facts['settings']}"


def _request(
    context: dg.SensorEvaluationContext, name: str, state: str, number: int, attempts: int
) -> Iterator[dg.RunRequest]:
    """Yield a request for a state unless a run is under way for it or it has failed too often."""
    mark = hashlib.blake2b(f"{number} {state}".encode(), digest_size=8).hexdigest()
    tags = {STATE_TAG: mark, PARTITION_TAG: name}
    under_way = context.instance.get_runs_count(dg.RunsFilter(tags=tags, statuses=UNDER_WAY))
    failed = context.instance.get_runs_count(dg.RunsFilter(tags=tags, statuses=[dg.DagsterRunStatus.FAILURE]))
    if under_way:
        return
    if failed >= attempts:
        context.log.warning(f"{name}: gave up after {failed} failed runs; run 'brain materialize {name}' to try again")
        return
    yield dg.RunRequest(run_key=f"{name}:{mark}:{failed}", partition_key=name, tags={STATE_TAG: mark})
