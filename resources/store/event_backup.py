"""A second copy of what people said, which no source can give again: each run appends to it what is new.

As the store of events is append-only, so is its backup: an old page of the store that the disk has spoiled since never reaches
it. A store that is no continuation of its backup is another one (put there by hand, or emptied); then the backup is set
aside under the time of its last event and a new one begins. Nothing here ever deletes a backup.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import datetime
from itertools import chain
from pathlib import Path

from brain_assets.resources.store.events import Events

# Each table with the number by which its rows come.
TABLES = {"events": "event_id", "subjects": "event_id", "views": "view_id"}
BESIDE = ("", "-wal", "-shm")


def back_up(events: Events, backup: Events) -> Path | None:
    """Append to a backup what was said since the last time.

    Parameters
    ----------
    events, backup : Events

    Returns
    -------
    Path or None
        Where the former backup lies now, when it holds what the store does not.

    Raises
    ------
    sqlite3.DatabaseError
        If one of the two cannot be read.
    """
    aside = _set_aside(backup) if lacks(events, backup) else None
    if events.path.exists() and (events.last(), events.last_view()) != (backup.last(), backup.last_view()):
        backup.extend(events)
    return aside


def lacks(events: Events, backup: Events) -> bool:
    """Return whether a backup holds what the store does not: it is gone, was emptied, or is another one."""
    number = backup.last()
    return bool(number) and events.at(number) != backup.at(number)


def complaint(events: Events) -> str | None:
    """Return what is wrong with a store, read from end to end, in a line; None where nothing is, or nothing was said yet."""
    if not events.path.exists():
        return None
    try:
        with closing(sqlite3.connect(f"{events.path.as_uri()}?mode=ro", uri=True)) as connection:
            found = [row[0] for row in connection.execute("pragma integrity_check(3)").fetchall()]
            orphans = connection.execute("pragma foreign_key_check").fetchall()
            for (at,) in connection.execute("select at from events"):
                datetime.fromisoformat(at)
    except (sqlite3.DatabaseError, ValueError) as error:
        return str(error)
    if found != ["ok"]:
        return "; ".join(" ".join(line.split()) for line in found)
    return f"{len(orphans)} rows belong to no event" if orphans else None


def put_back(events: Events, backup: Events, moment: str) -> tuple[Path | None, int]:
    """Make the store anew from its backup, with what the store itself still tells of later events.

    Parameters
    ----------
    events, backup : Events
    moment : str
        Part of the name under which the former store is kept.

    Returns
    -------
    (Path or None, int)
        Where the former store lies now, if there was one, and how many events later than the backup were saved.
    """
    draft = Events(events.path.with_name(f"{events.path.name}.draft"))
    _remove(draft.path)
    try:
        if backup.path.exists():
            draft.extend(backup)
        # Of another store nothing is taken: its events bear the same numbers.
        saved = 0 if _is_another(events, backup) else sum(1 for _ in _saved(events, draft))
        draft.fold()
        former = events.path.with_name(f"{events.path.stem}.{moment}{events.path.suffix}")
        _rename(events.path, former)
        if draft.path.exists():
            draft.path.replace(events.path)
    finally:
        _remove(draft.path)
    return (former if former.exists() else None), saved


def _is_another(events: Events, backup: Events) -> bool:
    try:
        return events.path.exists() and lacks(events, backup)
    except sqlite3.DatabaseError:
        return False


def _saved(events: Events, draft: Events) -> Iterator[int]:
    """Yield the numbers of the events that were saved from a damaged store, until the first that cannot be read."""
    if not events.path.exists():
        return
    with suppress(sqlite3.DatabaseError, ValueError):
        for event_id in range(draft.last() + 1, events.last() + 1):
            draft.extend(events, until=event_id)
            yield event_id


def _set_aside(backup: Events) -> Path:
    moment = "".join(filter(str.isdigit, (backup.at(backup.last()) or "").partition(".")[0]))
    names = (
        f"{backup.path.stem}.{moment}{one}{backup.path.suffix}" for one in chain([""], (f".{n}" for n in range(99)))
    )
    aside = next(path for name in names if not (path := backup.path.with_name(name)).exists())
    backup.fold()
    _rename(backup.path, aside)
    return aside


def _rename(path: Path, target: Path) -> None:
    for suffix in BESIDE:
        with suppress(FileNotFoundError):
            os.rename(f"{path}{suffix}", f"{target}{suffix}")


def _remove(path: Path) -> None:
    for suffix in BESIDE:
        Path(f"{path}{suffix}").unlink(missing_ok=True)
