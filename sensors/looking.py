"""What a look at a dataset finds, and how the looks of one tick are made so that none of them holds up another.

Looking lists a source, which may take seconds, minutes, or for ever. Each look is a thread of its own that a tick waits
for only as long as it is patient; a source that takes longer is listed by a run, in a process of its own.
"""

import json
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path

import duckdb

from brain_assets.answers.published import code_state
from brain_assets.assets import catalog
from brain_assets.assets.sources import SOURCES, states
from brain_assets.ingest.accounting import accounts, losses_told
from brain_assets.ingest.samples import ANOTHER_TIME
from brain_assets.resources.errors import BrainError
from brain_assets.resources.label_formats.input_files import input_state
from brain_assets.resources.media.media_source import open_media
from brain_assets.resources.settings.configuration import load_dataset
from brain_assets.resources.settings.home import DatasetPaths
from brain_assets.resources.store import locks
from brain_assets.resources.store.publishing import connect, damage, manifest

# Dagster ends a tick after 60 s and forgets all that it found.
BUDGET_SECONDS = 20.0
# What has not answered by then is too slow for a tick; the others of this tick still have their turn.
PATIENCE_SECONDS = 10.0
ABREAST = 4
# What could not be read is read again after this long, and then at ever longer intervals: as long as it has failed so far.
AGAIN_SECONDS, LONGEST_AGAIN_SECONDS = 300.0, 86_400.0
UNREAD = f"""
    select epoch(min(changed_at) filter (content_hash is null and ({ANOTHER_TIME}))), epoch(min(retry_at)) from samples"""


@dataclass(frozen=True)
class Found:
    """What one look at a dataset found.

    Attributes
    ----------
    said : str
        Why nothing is to be done; empty where something is.
    state : str
        Names the state of media, labels, predictions, settings and code together; empty where that is not known.
    newest : float
        Seconds since the epoch of the latest touch of a file.
    published : int
        Number of the published set, 0 where there is none.
    quiet_seconds, attempts, fresh_seconds
        As `DatasetSettings.sensor` has them.
    sources : dict of str to str
        The state of each source by its name.
    addresses : dict of str to list of str
        Where each source lies.
    began, seconds : float
        When the look began, in seconds since the epoch, and how long it took.
    """

    said: str = ""
    state: str = ""
    newest: float = 0.0
    published: int = 0
    quiet_seconds: float = 0.0
    attempts: int = 1
    fresh_seconds: float = 3600.0
    sources: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, list[str]] = field(default_factory=dict)
    began: float = 0.0
    seconds: float = 0.0


def look(paths: DatasetPaths) -> Found:
    """Return how a dataset differs from what is published of it, or in a line why that cannot be told."""
    began, started = time.time(), time.monotonic()
    try:
        configuration = load_dataset(paths.config)
        settings, sensor = configuration.settings, configuration.settings.sensor
        if not sensor.enabled:
            return Found("sensor.enabled is off", began=began)
        listing = open_media(settings).list()
        inputs, newest_input = input_state(settings, paths)
        state = f"{listing.state} {inputs} {configuration.digest} {code_state(catalog.ALL)}"
        published = manifest(paths.published)
        number = published["number"] if published else 0
        said = _up_to_date(paths, number) if published and _stands(paths, published["facts"], state) else ""
        if said and (tried := _tried_before(paths, number)):
            # Another name for the same state, as a state that was tried is not tried again.
            said, state = "", f"{state} again after {tried:.0f}"
    except (BrainError, OSError) as error:
        return Found(str(error), began=began, seconds=time.monotonic() - started)
    return Found(
        said,
        state,
        max(listing.newest, newest_input),
        number,
        sensor.quiet_seconds,
        sensor.attempts,
        sensor.fresh_seconds,
        states(settings, paths, listing.state),
        {source.name: list(source.addresses(settings, paths)) for source in SOURCES},
        began,
        time.monotonic() - started,
    )


def _up_to_date(paths: DatasetPaths, number: int) -> str:
    lost = _losses(paths.published, number)
    return "up to date" + (f"; {lost}" if lost else "")


@lru_cache(256)
def _losses(published: Path, _: int) -> str:
    """Return what of labels and predictions is not used in one published set, as a line; empty where all of it is."""
    try:
        with connect(published, tolerant=True) as connection:
            return losses_told(accounts(connection))
    except BrainError:
        return ""


def _tried_before(paths: DatasetPaths, number: int) -> float | None:
    """Return when the last run ended where files failed in it for a reason outside of them and are due again; else None.

    Neither the listing nor any content tells of a share that was away for a moment.
    """
    failed, retry_at = _unread(paths.published, number)
    last = locks.free_since(paths.lock)
    if last is None or failed is retry_at is None:
        return None
    due = [] if failed is None else [last + min(max(last - failed, AGAIN_SECONDS), LONGEST_AGAIN_SECONDS)]
    due += [] if retry_at is None or retry_at <= last else [retry_at]
    return last if due and min(due) <= time.time() else None


@lru_cache(256)
def _unread(published: Path, _: int) -> tuple[float | None, float | None]:
    """Return of one published set since when files could not be read, and when the first is to be decoded again."""
    try:
        with connect(published, tolerant=True) as connection:
            failed, retry_at = connection.execute(UNREAD).fetchall()[0]
            return failed, retry_at
    except (BrainError, duckdb.Error):
        return None, None


def _stands(paths: DatasetPaths, facts: dict[str, object], state: str) -> bool:
    """Return whether what is published is of this state, whole and undamaged."""
    published = " ".join(str(facts.get(name)) for name in ("source_state", "input_state", "settings", "code"))
    return state == published and not facts.get("behind") and damage(paths.published) is None


class _Looking(threading.Thread):
    """A look under way. It ends with the process, as nothing else could end one that hangs."""

    def __init__(self, paths: DatasetPaths) -> None:
        super().__init__(name=f"look at {paths.name}", daemon=True)
        self.paths, self.since = paths, time.monotonic()
        self.found: Found | None = None
        self.given_up = False

    def run(self) -> None:
        try:
            self.found = look(self.paths)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told of this dataset and stops no other
            self.found = Found(f"looking failed: {type(error).__name__}: {error}", began=time.time())

    @property
    def seconds(self) -> float:
        """How long it has been under way."""
        return time.monotonic() - self.since


# By folder. What a tick did not wait for is still here for the next; there is never a second look at one dataset.
_UNDER_WAY: dict[Path, _Looking] = {}


def hangs(paths: DatasetPaths) -> bool:
    """Return whether a look that no tick waits for any more is still under way."""
    looking = _UNDER_WAY.get(paths.folder)
    return looking is not None and looking.given_up and looking.is_alive()


def look_at(datasets: Iterable[DatasetPaths]) -> Iterator[tuple[str, Found | None]]:
    """Yield, by name and as they end, what looks at datasets found; None of one that is too slow for a tick.

    Datasets that had no turn before the tick's time was over are left out, and so is one whose look had just begun.
    """
    deadline = time.monotonic() + BUDGET_SECONDS
    waiting, looking = list(datasets)[::-1], list[_Looking]()
    while (waiting or looking) and time.monotonic() < deadline:
        while waiting and len(looking) < ABREAST:
            looking.append(_begun(waiting.pop()))
        looking[0].join(0.01)
        for one in list(looking):
            if not one.is_alive() or one.seconds > PATIENCE_SECONDS:
                looking.remove(one)
                yield one.paths.name, _ended(one)


def _begun(paths: DatasetPaths) -> _Looking:
    """Return the look at a dataset that is under way, else a new one."""
    known = _UNDER_WAY.get(paths.folder)
    if known is None or (known.given_up and not known.is_alive()):
        known = _UNDER_WAY[paths.folder] = _Looking(paths)
        known.start()
    return known


def _ended(looking: _Looking) -> Found | None:
    looking.given_up = looking.is_alive()
    if looking.given_up:
        return None
    _UNDER_WAY.pop(looking.paths.folder, None)
    return looking.found


def _file(paths: DatasetPaths) -> Path:
    return paths.folder / "look.json"


def write_down(paths: DatasetPaths) -> Found:
    """Look at a dataset and keep what was found for the sensor, which then need not look itself."""
    found, draft = look(paths), _file(paths).with_suffix(".draft")
    draft.write_text(json.dumps(asdict(found)), "utf-8")
    draft.replace(_file(paths))
    return found


def written_down(paths: DatasetPaths) -> Found | None:
    """Return what the last look of a run found; None where there was none, or an older version wrote it."""
    try:
        return Found(**json.loads(_file(paths).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
