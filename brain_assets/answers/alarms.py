"""What somebody should be told of after a run: gates that fail, numbers that jump, new images that are unlike the rest.

Each is told once when it begins, with the samples that caused it, and once more when it has ended.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from brain_assets.answers import gates
from brain_assets.incremental.signal import Signal
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.settings.alerts import Warn, alert

OPEN = "alarms.json"
SHOWN = 10
ISSUE = gates.ISSUE
# A number jumps that is as far from the median of the runs before as 8 times what they usually are, and a tenth of a share or
# a fiftieth of all samples at least; with fewer runs nobody knows what is usual.
RUNS, FEWEST, DEVIATIONS, LEAST = 20, 5, 8.0, 0.02
MAD_TO_DEVIATION = 1.4826
# New images are unlike the rest of which an issue is found this many standard errors more often, and twice as often.
BATCH, ERRORS, TIMES = 20, 5.0, 2.0
HISTORY = f"""
    select metric, list(value order by measured_at desc)[:{RUNS + 1}] from (
        select health.metric, health.measured_at,
            health.value / if(starts_with(health.metric, '{ISSUE}'), greatest(samples.value, 1), 1) as value
        from health join (from health where metric = 'samples') as samples using (run_id)
        where starts_with(health.metric, '{ISSUE}') or ends_with(health.metric, '_share') or starts_with(health.metric, 'mean_'))
    group by metric order by metric"""
# What the last run that brought any images brought, and the issues of these and of all others.
FRESH = """
    with live as (select sample_id, added_at = max(added_at) over () as fresh from samples where not dropped),
    flagged as (select distinct issue, sample_id from issues where is_issue)
    select issue, count(*) filter (fresh), count(*) filter (not fresh),
        (select count(*) from live where fresh), (select count(*) from live where not fresh)
    from flagged join live using (sample_id) group by issue order by issue"""
NEW_WITH = """
    select filepath from samples where added_at = (select max(added_at) from samples where not dropped)
        and sample_id in (select sample_id from issues where is_issue and issue = ?) order by filepath limit ?"""
WITH = """
    select filepath from samples join (
        select sample_id, max(score) as score from issues where is_issue and issue in (select unnest(?::varchar[])) group by 1)
    using (sample_id) order by score desc, filepath limit ?"""


@dataclass(frozen=True)
class Alarm:
    """Something that is wrong.

    Attributes
    ----------
    key : str
        Names it as long as it goes on.
    message : str
    samples : sequence of str
        Paths of those that caused it, the surest first; empty where no issue stands behind it.
    """

    key: str
    message: str
    samples: Sequence[str]


def tell(dataset: Dataset, signals: Sequence[Signal], warn: Warn) -> list[Alarm]:
    """Send an alert of each alarm that is new and of each that has ended, and return those that go on.

    Parameters
    ----------
    dataset : Dataset
        Whose health was just measured.
    signals : sequence of Signal
    warn : callable
        Is told in one line why an alert could not be sent.
    """
    path = dataset.paths.folder / OPEN
    before, now = _read(path), {alarm.key: alarm for alarm in alarms(dataset, signals)}
    sending = dataset.home, dataset.paths.name, dataset.run_id
    for key in now.keys() - before.keys():
        alert(*sending, now[key].message, warn, state="open", alarm=key, samples=list(now[key].samples))
    for key in before.keys() - now.keys():
        alert(*sending, before[key], warn, state="resolved", alarm=key)
    if before.keys() != now.keys():
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps({key: alarm.message for key, alarm in sorted(now.items())}), "utf-8")
        draft.replace(path)
    return list(now.values())


def _read(path: Path) -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def alarms(dataset: Dataset, signals: Sequence[Signal]) -> list[Alarm]:
    """Return what is wrong by the newest numbers."""
    return [*_gates(dataset, signals), *_jumps(dataset, signals), *_batch(dataset)]


def _gates(dataset: Dataset, signals: Sequence[Signal]) -> Iterator[Alarm]:
    for verdict in gates.verdicts(dataset):
        if not verdict.passed and not verdict.warns:
            value = "not measured" if verdict.value is None else f"{verdict.value:g}"
            message = f"gate {verdict.condition} fails: {value}"
            yield Alarm(f"gate {verdict.condition}", message, _samples(dataset, signals, verdict.gate.metric))


def _jumps(dataset: Dataset, signals: Sequence[Signal]) -> Iterator[Alarm]:
    for metric, (now, *before) in dataset.store.rows(HISTORY):
        usual = jump(now, before)
        if usual is not None:
            what = f"{metric} per sample" if metric.startswith(ISSUE) else metric
            message = f"{what} jumped from {usual:.4g} to {now:.4g}"
            yield Alarm(f"jump {metric}", message, _samples(dataset, signals, metric) if now > usual else ())


def jump(now: float, before: Sequence[float]) -> float | None:
    """Return the usual value where a number is far from it, None where it is not, or nobody knows what is usual.

    Parameters
    ----------
    now : float
    before : sequence of float
        The values of the runs before.

    Examples
    --------
    >>> jump(0.5, [0.1, 0.11, 0.1, 0.09, 0.1])
    0.1
    >>> jump(0.11, [0.1, 0.11, 0.1, 0.09, 0.1]) is jump(0.5, [0.1]) is None
    True
    """
    if len(before) < FEWEST:
        return None
    usual = float(np.median(before))
    deviation = MAD_TO_DEVIATION * float(np.median(np.abs(np.array(before) - usual)))
    return usual if abs(now - usual) > max(DEVIATIONS * deviation, LEAST, abs(usual) / 10) else None


def _batch(dataset: Dataset) -> Iterator[Alarm]:
    for issue, fresh, others, new, rest in dataset.store.rows(FRESH):
        if unlike(fresh, new, others, rest):
            message = f"{fresh} of {new} new images have {issue}, of {rest} others {others}"
            yield Alarm(f"batch {issue}", message, [path for (path,) in dataset.store.rows(NEW_WITH, [issue, SHOWN])])


def unlike(fresh: int, new: int, others: int, rest: int) -> bool:
    """Return whether something is found among new images far more often than among the rest.

    Examples
    --------
    >>> unlike(15, 50, 10, 1000), unlike(1, 50, 10, 1000), unlike(15, 15, 0, 5)
    (True, False, False)
    """
    if new < BATCH or rest < BATCH:
        return False
    share, usual = fresh / new, others / rest
    # One more of each, so that what was never seen has an error, too.
    together = (fresh + others + 1) / (new + rest + 2)
    error = float(np.sqrt(together * (1 - together) * (1 / new + 1 / rest)))
    return share > TIMES * usual and share - usual > ERRORS * error


def _samples(dataset: Dataset, signals: Sequence[Signal], metric: str) -> list[str]:
    """Return the samples behind a number: of an issue's count, or of the issues of the signal that offers it."""
    offered = [signal for signal in signals if metric.partition(".")[0] in signal.metrics]
    issues = [issue.name for signal in offered for query in signal.issues for issue in query.issues]
    named = [metric.removeprefix(ISSUE)] if metric.startswith(ISSUE) else issues
    return [path for (path,) in dataset.store.rows(WITH, [named, SHOWN])]


def as_metadata(found: Sequence[Alarm]) -> dict[str, Any]:
    """Return alarms as Dagster shows them."""
    return {alarm.key: "; ".join([alarm.message, *alarm.samples]) for alarm in found}
