"""When to look again: media, labels, predictions or settings of a dataset differ from what was published of it."""

import json
import os
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import dagster as dg

from brain_assets.answers.exposition import note_waiting
from brain_assets.assets.lineage import FRESH, refresh_of
from brain_assets.assets.place import SERVICE, Place
from brain_assets.assets.sources import changed, observation
from brain_assets.resources.errors import BrainError
from brain_assets.resources.settings.home import DatasetPaths
from brain_assets.resources.store.publishing import manifest
from brain_assets.sensors import waiting
from brain_assets.sensors.abandoned import end_abandoned_runs
from brain_assets.sensors.asking import Tick, mark_of
from brain_assets.sensors.looking import PATIENCE_SECONDS, Found, hangs, look_at
from brain_assets.sensors.slow_sources import ask_for_listing, found_by_run, list_source_of, progress_of_run
from brain_assets.sensors.waiting import LONGEST_SECONDS, PAUSE_SECONDS

# A source that takes long to list is listed less often, so that looking costs at most this share of one core.
LOOKING_SHARE = 0.05
# Where listing takes longer, to find all folders would cost too much, too.
WATCHED_SECONDS = 2.0
# The same while a source changes, as somebody waits for it.
SETTLING_SHARE = 0.2


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
    observed : dict of str to str
        The state of each source of which Dagster was told.
    since : float
        When what is not published yet was first seen, in seconds since the epoch; 0 where all is.
    stale : bool
        Whether Dagster was told that it waits too long.
    """

    state: str = ""
    next_at: float = 0.0
    reason: str = ""
    found: Found | None = None
    slow: bool = False
    asked_at: float = 0.0
    observed: dict[str, str] = field(default_factory=dict)
    since: float = 0.0
    stale: bool = False


def arrivals_of(place: Place) -> dg.SensorDefinition:
    """Return the sensor that looks at the datasets of a place."""

    @dg.sensor(
        name=place.named("new_samples"),
        jobs=[refresh_of(place), list_source_of(place)],
        minimum_interval_seconds=int(os.environ.get("BRAIN_SENSOR_INTERVAL", "5")),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts a run for every dataset whose media, labels, predictions or settings differ from what was"
        " published of them, once they have been quiet for a moment. The run does what the change asks for and nothing else."
        " A dataset whose source takes longer to list than a tick may is listed by a run of its own, and no other waits for it.",
    )
    def new_samples(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        try:
            place.prepare()
        except BrainError as error:
            return dg.SensorResult(skip_reason=str(error), cursor=context.cursor)
        end_abandoned_runs(context, place)
        tick, looks, deadline = Tick(context, place), _remembered(context.cursor), time.monotonic() + LONGEST_SECONDS
        looks = {name: looks.get(name, Look()) for name in place.names()}
        looking = True
        while looking:
            watch = _watch(tick, looks) if waiting.allowed() else None
            _look_and_judge(tick, looks)
            looking = watch is not None and not tick.requests and _something_happens(looks, watch, deadline)
        cursor = json.dumps({name: asdict(look) for name, look in looks.items()})
        return tick.answer({name: look.reason for name, look in looks.items()}, cursor)

    return new_samples


new_samples = arrivals_of(SERVICE)


def _remembered(cursor: str | None) -> dict[str, Look]:
    """Return what the cursor holds, which only saves work: losing it starts nothing twice. Nothing of another version's."""
    try:
        looks = {name: Look(**look) for name, look in json.loads(cursor or "{}").items()}
        for look in looks.values():
            look.found = Found(**look.found) if look.found else None  # type: ignore[arg-type]
    except (ValueError, TypeError, AttributeError):
        return {}
    return looks


def _look_and_judge(tick: Tick, looks: dict[str, Look]) -> None:
    _look(tick, looks)
    for name, look in looks.items():
        if look.found:
            look.reason = _judged(tick, tick.place.home.paths(name), look, look.found)
        look.reason = look.reason or "waits for its turn to be looked at"


def _watch(tick: Tick, looks: dict[str, Look]) -> waiting.Watch:
    """Return a watch over what is known of all datasets that are quick to look at, and over which there are."""
    places = {name: waiting.sources(tick.place.home.paths(name)) for name, look in looks.items() if _is_quick(look)}

    def stamps() -> dict[str, Any]:
        times = {name: waiting.times(paths) for name, paths in places.items()}
        return times | {name: () for name in tick.place.names() if name not in looks}

    return waiting.Watch(stamps)


def _something_happens(looks: dict[str, Look], watch: waiting.Watch, deadline: float) -> bool:
    """Wait within the tick until it is time to look again; return whether it is, before the deadline."""
    settling = [look.found.seconds for look in looks.values() if look.found and look.next_at == 0]
    if settling and time.monotonic() < deadline:
        time.sleep(max(PAUSE_SECONDS, *(seconds / SETTLING_SHARE for seconds in settling)))
        return waiting.allowed()
    happened = watch.changed(deadline)
    for name in happened:
        looks.setdefault(name, Look()).next_at = 0.0
    return bool(happened)


def _is_quick(look: Look) -> bool:
    return not look.slow and look.found is not None and look.found.seconds < WATCHED_SECONDS


def _look(tick: Tick, looks: dict[str, Look]) -> None:
    """Look at the datasets that it is time for, those that waited longest first; ask for runs that list slow sources."""
    due = [name for name, look in looks.items() if look.next_at <= time.time()]
    quick = sorted((name for name in due if not looks[name].slow), key=lambda name: looks[name].next_at)
    for name, found in look_at(map(tick.place.home.paths, quick)):
        looks[name].slow = found is None
        if found:
            _take_in(tick, name, looks[name], found)
    for name in sorted((name for name in due if looks[name].slow), key=lambda name: looks[name].asked_at):
        _listed_by_run(tick, tick.place.home.paths(name), looks[name])


def _take_in(tick: Tick, name: str, look: Look, found: Found) -> None:
    """Remember what a look found, and when to look again; tell Dagster which sources are in another state."""
    look.state, look.found = look.found.state if look.found else look.state, found
    look.next_at = time.time() + found.seconds / LOOKING_SHARE
    if found.said and not found.state:
        tick.context.log.warning(f"{name}: {found.said}")
    for source in changed(look.observed, found.sources):
        state, addresses = found.sources[source], found.addresses.get(source, [])
        tick.events.append(observation(tick.place, name, source, state, addresses))
        look.observed[source] = state


def _listed_by_run(tick: Tick, paths: DatasetPaths, look: Look) -> None:
    """Take in what a run found of a slow source, or ask for such a run."""
    if found := found_by_run(paths, look.asked_at):
        _take_in(tick, paths.name, look, found)
        look.slow, look.asked_at = found.seconds > PATIENCE_SECONDS / 2 or hangs(paths), 0.0
        return
    look.found = None
    told, pause = progress_of_run(tick.instance, paths.name, look.asked_at) if look.asked_at else ("", 0.0)
    if told:
        look.reason, look.next_at = told, time.time() + pause
        look.asked_at *= not pause
        return
    now = time.time()
    asked = ask_for_listing(tick, paths.name, now)
    look.asked_at = now if asked else 0.0
    what = "asked for a run that lists" if asked else "waits for its turn to have a run that lists"
    look.reason = f"{what} its media, which take too long for a tick"


def _judged(tick: Tick, paths: DatasetPaths, look: Look, found: Found) -> str:
    """Ask for a run when the dataset has settled in a state that was not ingested; return what to say of it."""
    published = manifest(paths.published)
    # Whether it still differs from what was published since then the next look tells.
    newer = (published["number"] if published else 0) != found.published
    _tell_of_age(tick, paths.name, look, found, waits=not (newer or found.said))
    note_waiting(paths, look.since)
    if found.said:
        return found.said
    if newer:
        return "brought up to date since it was last looked at"
    if look.state != found.state and time.time() - found.newest < found.quiet_seconds:
        look.next_at = 0.0
        return "changed a moment ago, waiting until it is quiet"
    return tick.ask(paths.name, mark_of(f"{found.published} {found.state}"), found.attempts)


def _tell_of_age(tick: Tick, name: str, look: Look, found: Found, *, waits: bool) -> None:
    """Tell Dagster when what arrived has waited too long to be published, and when it waits no more."""
    if found.state:
        look.since = (look.since or found.began) if waits else 0.0
    age = time.time() - look.since if look.since else 0.0
    stale = age > found.fresh_seconds
    if stale == look.stale:
        return
    look.stale = stale
    tick.events.append(
        dg.AssetCheckEvaluation(
            tick.place.key("published"),
            FRESH,
            passed=not stale,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"what arrived has waited {age / 60:.0f} minutes" if stale else "all that arrived is published",
            metadata={"oldest waiting (seconds)": age},
            partition=tick.place.partition_of(name),
        )
    )
