"""When to look again: media, labels, predictions or settings of a dataset differ from what was published of it."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import dagster as dg

from brain_assets.assets.lineage import REFRESH
from brain_assets.resources.settings.home import DatasetPaths, Home
from brain_assets.resources.store.publishing import manifest
from brain_assets.sensors.abandoned import end_abandoned_runs
from brain_assets.sensors.asking import answer, ask, mark_of
from brain_assets.sensors.looking import PATIENCE_SECONDS, Found, hangs, look_at
from brain_assets.sensors.slow_sources import LIST_SOURCE, ask_for_listing, found_by_run, progress_of_run

# A source that takes long to list is listed less often, so that looking costs at most this share of one core.
LOOKING_SHARE = 0.05


@dataclass
class Look:
    """What the sensor remembers of a dataset between two ticks.

    Attributes
    ----------
    state : str
        As it was at the look before the last, so that one that two looks saw counts as settled.
    next_at : float
        When to look again, in seconds since the epoch.
    reason : str
        What was last said of it.
    found : Found, optional
        What the last look found.
    slow : bool
        Whether a run lists its source, as no tick can.
    asked_at : float
        When that run was asked for, in seconds since the epoch.
    """

    state: str = ""
    next_at: float = 0.0
    reason: str = ""
    found: Found | None = None
    slow: bool = False
    asked_at: float = 0.0


@dg.sensor(
    jobs=[REFRESH, LIST_SOURCE],
    minimum_interval_seconds=int(os.environ.get("BRAIN_SENSOR_INTERVAL", "5")),
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts a run for every dataset whose media, labels, predictions or settings differ from what was published of"
    " them, once they have been quiet for a moment. The run does what the change asks for and nothing else. A dataset whose"
    " source takes longer to list than a tick may is listed by a run of its own, and no other waits for it.",
)
def new_samples(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Ask for one run per dataset that changed; the cursor only saves work, losing it starts nothing twice."""
    home = Home.default()
    end_abandoned_runs(context, home)
    known = _remembered(context.cursor)
    looks = {name: known.get(name, Look()) for name in home.names()}
    requests: list[dg.RunRequest] = []
    _look(context, home, looks, requests)
    for name, look in looks.items():
        said: list[str] = []
        if look.found:
            requests.extend(_requests(context, home.paths(name), look, look.found, said))
        look.reason = "; ".join(said) or look.reason or f"{name}: waits for its turn to be looked at"
    cursor = json.dumps({name: asdict(look) for name, look in looks.items()})
    return answer(context, requests, [look.reason for look in looks.values()], cursor)


def _remembered(cursor: str | None) -> dict[str, Look]:
    """Return what the cursor holds; nothing where another version wrote it."""
    try:
        looks = {name: Look(**look) for name, look in json.loads(cursor or "{}").items()}
        for look in looks.values():
            look.found = Found(**look.found) if look.found else None  # type: ignore[arg-type]
    except (ValueError, TypeError, AttributeError):
        return {}
    return looks


def _look(
    context: dg.SensorEvaluationContext, home: Home, looks: dict[str, Look], requests: list[dg.RunRequest]
) -> None:
    """Look at the datasets that it is time for, those that waited longest first; ask for runs that list slow sources."""
    due = sorted(
        (name for name, look in looks.items() if look.next_at <= time.time()), key=lambda name: looks[name].next_at
    )
    quick = [home.paths(name) for name in due if not looks[name].slow]
    for name, found in look_at(quick):
        looks[name].slow = found is None
        if found:
            _take_in(context, name, looks[name], found)
    for name in sorted((name for name in due if looks[name].slow), key=lambda name: looks[name].asked_at):
        requests.extend(_listed_by_run(context, home.paths(name), looks[name], len(requests)))


def _take_in(context: dg.SensorEvaluationContext, name: str, look: Look, found: Found) -> None:
    """Remember what a look found, and when to look again."""
    look.state, look.found = look.found.state if look.found else look.state, found
    look.next_at = time.time() + found.seconds / LOOKING_SHARE
    if found.said and not found.state:
        context.log.warning(f"{name}: {found.said}")


def _listed_by_run(
    context: dg.SensorEvaluationContext, paths: DatasetPaths, look: Look, asked_before: int
) -> Iterator[dg.RunRequest]:
    """Take in what a run found of a slow source, or yield a request for such a run."""
    if found := found_by_run(paths, look.asked_at):
        _take_in(context, paths.name, look, found)
        look.slow, look.asked_at = found.seconds > PATIENCE_SECONDS / 2 or hangs(paths), 0.0
        return
    told, pause = progress_of_run(context, paths.name, look.asked_at) if look.asked_at else ("", 0.0)
    if told:
        look.found, look.reason = None, f"{paths.name}: {told}"
        look.next_at = time.time() + pause
        look.asked_at *= not pause
        return
    asked_at = time.time()
    requests = list(ask_for_listing(context, paths.name, asked_at, asked_before))
    look.asked_at = asked_at if requests else 0.0
    what = "asked for a run that lists" if requests else "waits for its turn to have a run that lists"
    look.found, look.reason = None, f"{paths.name}: {what} its media, which take too long for a tick"
    yield from requests


def _requests(
    context: dg.SensorEvaluationContext, paths: DatasetPaths, look: Look, found: Found, reasons: list[str]
) -> Iterator[dg.RunRequest]:
    """Yield a request when the dataset has settled in a state that was not ingested; say what was found."""
    if found.said:
        reasons.append(f"{paths.name}: {found.said}")
        return
    published = manifest(paths.published)
    if (published["number"] if published else 0) != found.published:
        # Whether it still differs the next look tells: what was found is older than what is published.
        reasons.append(f"{paths.name}: brought up to date since it was last looked at")
        return
    if look.state != found.state and time.time() - found.newest < found.quiet_seconds:
        look.next_at = 0.0
        reasons.append(f"{paths.name}: changed a moment ago, waiting until it is quiet")
        return
    mark = mark_of(f"{found.published} {found.state}")
    yield from ask(context, paths.name, mark, found.attempts, reasons)
