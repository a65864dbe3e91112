"""Signals that other packages bring: entry points of the group ``brain_assets.signals``.

What cannot be used is left out with one line that names it; everything else goes on without it.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points

import duckdb

from brain_assets.incremental.signal import Histogram, PerSubject, Scatter, Sheet, Signal
from brain_assets.incremental.tables import columns_of
from brain_assets.incremental.update import example
from brain_assets.resources.store.store import trying

GROUP = "brain_assets.signals"
COLUMNS = "subject_id, sample_id, object_id, issue, source, score, is_issue, evidence"
NAME = re.compile("[a-z][a-z0-9_]*")
# What the engine adds to every table.
ADDED = {"brain_key", "changed"}
# More are an error in Dagster.
MOST_KINDS = 3
# Of what is made of all signals together.
TAKEN = {"issues", "health", "published", "report", "runs", "calibrations"}


# What was left out, by its entry point, and why.
LEFT_OUT: dict[str, str] = {}


class Unusable(Exception):
    """Why a signal is left out."""


def with_plugins(built_in: Sequence[Signal]) -> tuple[Signal, ...]:
    """Return the signals, and after them those of other packages, each after what it reads."""
    known = list(built_in)
    waiting = list(_loaded())
    while waiting:
        ready = [one for one in waiting if not _missing(one, known)] or waiting[:1]
        waiting.remove(ready[0])
        try:
            _check(ready[0], known)
        except Unusable as error:
            _leave_out(ready[0].plugin, str(error))
        else:
            known.append(ready[0])
    return tuple(known)


def _loaded() -> Iterator[Signal]:
    for entry in sorted(entry_points(group=GROUP), key=lambda one: (one.name, one.value)):
        named = f"{entry.name} = {entry.value}"
        try:
            yield replace(_signal_of(entry), plugin=named)
        except Exception as error:  # noqa: BLE001 - whatever a foreign module raises
            _leave_out(named, f"{type(error).__name__}: {error}")


def _signal_of(entry: EntryPoint) -> Signal:
    found = entry.load()
    signal = found if isinstance(found, Signal) else found()
    if not isinstance(signal, Signal):
        raise TypeError(f"a Signal is wanted, or a function that returns one, not {type(signal).__name__}")
    return signal


def _leave_out(named: str, reason: str) -> None:
    text = LEFT_OUT[named] = " ".join(reason.split())
    logging.getLogger("brain").warning(f"signal {named} is left out: {text}")


def _missing(signal: Signal, known: Sequence[Signal]) -> set[str]:
    """Return the tables that it reads and that nobody writes before it."""
    return set(signal.reads) - {table for one in known for table in one.writes} - set(signal.writes)


def _check(signal: Signal, known: Sequence[Signal]) -> None:
    """Refuse what would break others: names that are taken, and queries that do not run.

    Raises
    ------
    Unusable
        In words for whoever wrote the signal.
    """
    if missing := _missing(signal, known):
        raise Unusable(f"it reads {', '.join(sorted(missing))}, which no signal before it writes")
    for what, own, taken in _names(signal, known):
        if twice := own & taken:
            raise Unusable(f"there is a {what} {sorted(twice)[0]!r} already")
    _check_shape(signal)
    _try_queries(signal)


def _check_shape(signal: Signal) -> None:
    checks = [check.name for check in signal.checks]
    names = [signal.name, signal.group, *(table.name for table in signal.tables), *checks, *signal.kinds]
    if wrong := [name for name in names if not NAME.fullmatch(name)]:
        raise Unusable(f"{wrong[0]!r} is no name: use a to z, digits and _")
    if len(signal.kinds) > MOST_KINDS or len(set(checks)) < len(checks):
        raise Unusable(f"give it at most {MOST_KINDS} kinds, and each check a name of its own")
    written = {*signal.writes, *([signal.update.table] if isinstance(signal.update, PerSubject) else [])}
    if undeclared := written - {table.name for table in signal.tables}:
        raise Unusable(f"it writes {sorted(undeclared)[0]}, which is not among its tables")
    if added := [name for table in signal.tables for name in table.columns if name in ADDED]:
        raise Unusable(f"the column {added[0]} is added by itself: take it out of its tables")


def _names(signal: Signal, known: Sequence[Signal]) -> Iterator[tuple[str, set[str], set[str]]]:
    yield "signal", {signal.name}, {one.name for one in known} | TAKEN
    tables = {publication.table for one in known for publication in one.publishes} | TAKEN
    yield "table", {publication.table for publication in signal.publishes} | set(signal.writes), tables
    yield "metric", {*signal.metrics}, {name for one in known for name in one.metrics}
    theirs = {issue for one in known for query in one.issues for issue in query.issues}
    own = {issue for query in signal.issues for issue in query.issues} - theirs
    yield "issue", {issue.name for issue in own}, {issue.name for issue in theirs}


def _try_queries(signal: Signal) -> None:
    """Make its tables in an empty database, where they stay, and have every query planned there."""
    try:
        with trying() as connection:
            for table in signal.tables:
                listed = ", ".join(f"{name} {kind}" for name, kind in columns_of(table).items())
                connection.execute(f"create table {table.name} ({listed})")
            for query in _queries(signal):
                connection.execute(f"explain {example(query)}")
    except (duckdb.Error, LookupError, ValueError) as error:
        raise Unusable(str(error).partition("\n")[0]) from None


def _queries(signal: Signal) -> Iterator[str]:
    yield from (f"select {COLUMNS} from ({one.query})" for one in signal.issues)
    yield from signal.metrics.values()
    yield from (check.query for check in signal.checks)
    yield from (publication.query for publication in signal.publishes)
    if isinstance(signal.update, PerSubject) and isinstance(signal.update.inputs, str):
        yield f"select {', '.join(signal.update.key)} from ({signal.update.inputs})"
    match signal.chart:
        case Histogram(values=query):
            yield f"select isfinite(value::double) from ({query}) as given(value)"
        case Sheet(samples=query):
            yield f"select sample_id from ({query}) as given(sample_id)"
        case Scatter(points=query):
            yield f"select x, y from ({query})"
