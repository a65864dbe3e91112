"""The datasets of a home in numbers for Prometheus, in its text format, version 0.0.4.

Everything is read from what is published, so that to ask often costs little; no source is listed for it.
"""

import math
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from brain_assets.answers.gates import examine
from brain_assets.answers.published import failed
from brain_assets.resources.errors import BrainError
from brain_assets.resources.settings.home import DatasetPaths, Home
from brain_assets.resources.store.label_tasks import OUT, LabelTasks
from brain_assets.resources.store.publishing import connect, manifest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
HELP = {
    "brain_up": "Whether a dataset could be read: 0 where nothing is published, or what is cannot be read.",
    "brain_samples": "Images, by status: ok, error, dropped.",
    "brain_issues": "Images and objects with an issue.",
    "brain_gate_failing": "Whether a gate fails: 1 where it does.",
    "brain_failed_methods": "Runs of methods that failed the last time.",
    "brain_published_timestamp_seconds": "When the current set was published.",
    "brain_last_run_timestamp_seconds": "When the last run that did anything finished.",
    "brain_last_run_seconds": "How long the last run that did anything took.",
    "brain_oldest_waiting_seconds": "How long the oldest arrival that is not published yet has waited; kept by the service.",
    "brain_label_tasks_out": "Images that were sent to a label tool and are not finished.",
}
SAMPLES = "select status, count(*) from samples group by 1 order by 1"
ISSUES = "select issue, count(distinct coalesce(object_id, sample_id)) from issues where is_issue group by 1 order by 1"
LAST_RUN = """
    select epoch(max(finished_at)), epoch(max(finished_at)) - epoch(min(started_at)) from runs
    where run_id = (select run_id from runs where state = 'done' order by finished_at desc, run_id limit 1)"""


class Measured(NamedTuple):
    """A number with what it is of."""

    name: str
    labels: Mapping[str, str]
    value: float


def exposition(home: Home) -> str:
    """Return the numbers of all datasets of a home as Prometheus reads them.

    A dataset that cannot be read has ``brain_up`` 0 and no other number, and holds up none.

    Parameters
    ----------
    home : Home
    """
    found: dict[str, list[Measured]] = {name: [] for name in HELP}
    for name in home.names():
        for one in _measured(home, home.paths(name)):
            found[one.name].append(one)
    return "".join(f"{line}\n" for name, numbers in found.items() if numbers for line in _lines(name, numbers))


def _lines(name: str, numbers: list[Measured]) -> Iterator[str]:
    yield f"# HELP {name} {HELP[name]}"
    yield f"# TYPE {name} gauge"
    for one in numbers:
        labels = ",".join(f'{key}="{_escaped(value)}"' for key, value in one.labels.items())
        yield f"{name}{{{labels}}} {one.value!r}" if math.isfinite(one.value) else f"{name}{{{labels}}} NaN"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _measured(home: Home, paths: DatasetPaths) -> Iterator[Measured]:
    own = {"dataset": paths.name}
    try:
        numbers = [Measured(name, own | labels, float(value)) for name, labels, value in _numbers(home, paths)]
    except (BrainError, duckdb.Error, OSError, ValueError):
        numbers = []
    yield Measured("brain_up", own, float(bool(numbers)))
    yield from numbers
    yield Measured("brain_oldest_waiting_seconds", own, waiting_seconds(paths))
    for count in LabelTasks(paths.label_tasks).counts():
        yield Measured("brain_label_tasks_out", own | count.place._asdict(), float(count.states.get(OUT, 0)))


def _numbers(home: Home, paths: DatasetPaths) -> Iterator[tuple[str, dict[str, str], Any]]:
    with connect(paths.published, tolerant=True) as connection:
        for status, count in connection.execute(SAMPLES).fetchall():
            yield "brain_samples", {"status": status}, count
        for issue, count in connection.execute(ISSUES).fetchall():
            yield "brain_issues", {"issue": issue}, count
        yield "brain_failed_methods", {}, len(failed(connection))
        ((finished, seconds),) = connection.execute(LAST_RUN).fetchall()
    if finished is not None:
        yield "brain_last_run_timestamp_seconds", {}, finished
        yield "brain_last_run_seconds", {}, seconds
    if moment := _published_at(paths):
        yield "brain_published_timestamp_seconds", {}, moment
    for verdict in examine(home, paths.name).verdicts:
        gate = verdict.gate
        yield "brain_gate_failing", {"metric": gate.metric, "severity": gate.severity}, not verdict.passed


def _published_at(paths: DatasetPaths) -> float:
    """Return when the current set was published, in seconds since the epoch; 0 where that is not known."""
    moment = (manifest(paths.published) or {}).get("published_at")
    return datetime.fromisoformat(moment).timestamp() if moment else 0.0


def _waiting_file(paths: DatasetPaths) -> Path:
    return paths.folder / "waiting_since"


def note_waiting(paths: DatasetPaths, since: float) -> None:
    """Note since when something has waited to be published, in seconds since the epoch; 0 where nothing does."""
    path = _waiting_file(paths)
    if not since:
        path.unlink(missing_ok=True)
    elif not path.exists() or path.read_text("utf-8") != repr(since):
        path.write_text(repr(since), "utf-8")


def waiting_seconds(paths: DatasetPaths) -> float:
    """Return how long the oldest arrival has waited, by what the service noted last; 0 where nothing waits.

    What was noted before the current set was published is in it; where more has come since, the service notes that.
    """
    try:
        since = float(_waiting_file(paths).read_text("utf-8"))
    except (OSError, ValueError):
        return 0.0
    return 0.0 if _published_at(paths) > since else max(0.0, time.time() - since)
