"""What people said, in the page's own append-only store: tags, decisions and saved views.

Nothing is ever changed or deleted: a tag is taken off by an ``untag``, anything is taken back by an ``undo``. The
pipeline reads the same file to build its tables ``tags`` and ``decisions``.
"""

import json
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from brain_assets.resources.errors import disk_full, naming_full_disk, says_full

EventKind = Literal["tag", "untag", "keep", "drop", "confirm", "relabel", "draw", "reshape", "not_copy", "same_scene"]
LAST = (1 << 63) - 1
PAIR_KINDS = ("not_copy", "same_scene")
# On which matter each decision is the last word until the next; all others decide on a subject's fate.
ASPECTS = {"relabel": "label", "draw": "made", "reshape": "shape", "not_copy": "pair", "same_scene": "pair"}
# Id and content of what is meant; and what is said of it alone, in place of what the event says of all.
Subject = tuple[str, str | None] | tuple[str, str | None, str | None]

VERSION = 2
EVENTS = """
create table {name} (
    event_id integer primary key autoincrement, at text not null, "by" text not null,
    kind text not null check (kind in ('tag', 'untag', 'keep', 'drop', 'confirm', 'relabel', 'draw', 'reshape',
        'not_copy', 'same_scene', 'undo')),
    value text, issue text, undoes integer unique references events (event_id)
) strict;
"""
TABLES = """
create table subjects (
    event_id integer not null references events (event_id), subject_id text not null, content_hash text, value text,
    primary key (event_id, subject_id)
) strict, without rowid;
create index subjects_by_id on subjects (subject_id);
create table views (
    view_id integer primary key autoincrement, at text not null, "by" text not null, name text not null, state text
) strict;
"""
APPEND_ONLY = """
create trigger {table}_stay before update on {table} begin select raise(abort, 'append only'); end;
create trigger {table}_remain before delete on {table} begin select raise(abort, 'append only'); end;
"""
SCHEMA = "".join([
    EVENTS.format(name="events"),
    TABLES,
    *(APPEND_ONLY.format(table=table) for table in ("events", "subjects", "views")),
    f"pragma user_version = {VERSION};",
])  # fmt: skip
# A store of the first version knows fewer kinds, and nothing said of one subject alone. A check is changed by a new table.
UPGRADE = "".join([
    "begin immediate;",
    EVENTS.format(name="events_of_all_kinds"),
    "insert into events_of_all_kinds select * from events; drop table events;",
    "alter table events_of_all_kinds rename to events;",
    "alter table subjects add column value text;",
    APPEND_ONLY.format(table="events"),
    f"pragma user_version = {VERSION}; commit;",
])  # fmt: skip
DECISIONS = """
select e.event_id || '-' || s.subject_id as decision_id, s.subject_id, s.content_hash, e.kind,
       coalesce(s.value, e.value) as value, e.issue, e."by", e.at, u.at as undone_at
from events e join subjects s using (event_id) left join events u on u.undoes = e.event_id
where e.kind not in ('tag', 'untag', 'undo') {condition} order by e.event_id, s.subject_id
"""
# What was said after one event and up to another, and what was said before but taken back since.
SAID = """
select e.event_id, s.subject_id, s.content_hash, e.kind, coalesce(s.value, e.value) as value, e.issue, e."by", e.at,
       u.at as undone_at
from events e join subjects s using (event_id) left join events u on u.undoes = e.event_id and u.event_id <= :until
where e.event_id <= :until and (e.event_id > :since or u.event_id > :since) order by e.event_id, s.subject_id
"""
AMONG = "and s.subject_id in (select value from json_each(:subjects))"
# Of some images and all of their objects, whose ids begin with those of their images and go on in hexadecimal digits.
INSIDE = """
and s.subject_id in (
    select t.subject_id from json_each(:subjects) image
    join subjects t on t.subject_id >= image.value and t.subject_id < image.value || 'g'
)"""
OF_PAIRS = "and e.kind in ('not_copy', 'same_scene')"
TOUCHED = """
and s.subject_id in (
    select subject_id from subjects where event_id > :since
        or event_id in (select undoes from events where event_id > :since and undoes is not null)
)"""
OWN = """
select e.event_id, e.at, e.kind, e.value, e.issue, count(*) as subjects from events e join subjects s using (event_id)
where e."by" = :by and e.event_id not in (select undoes from events where undoes is not null)
group by e.event_id order by e.event_id desc
"""
UNDOABLE = "kind <> 'undo' and event_id not in (select undoes from events where undoes is not null)"
# The last word on each tag of each subject that this store has ever had a word on.
TAGS = """
select subject_id, tag, "by", at, kind = 'tag' and not undone as present from (
    select s.subject_id, e.value as tag, e."by", e.at, e.kind, u.event_id is not null as undone,
           row_number() over (
               partition by s.subject_id, e.value order by u.event_id is not null, e.event_id desc
           ) as age
    from events e join subjects s using (event_id) left join events u on u.undoes = e.event_id
    where e.kind in ('tag', 'untag') {condition}
) where age = 1
"""


@dataclass(frozen=True)
class Event:
    """Something said about some subjects.

    Attributes
    ----------
    kind : str
        ``tag`` and ``untag`` carry the tag in ``value``, ``relabel`` the new label; ``keep`` (nothing is wrong),
        ``confirm`` (it is so) and ``drop`` carry none. ``draw`` makes a labelled object and ``reshape`` moves one, as
        JSON; a ``confirm`` of what a model found carries what it found, and makes it a label. ``not_copy`` and
        ``same_scene`` are said of pairs: of each subject with the contents of its partners, as JSON.
    by : str
        Who said it.
    value : str, optional
        The tag or label.
    issue : str, optional
        The queue in which it was said.
    """

    kind: EventKind
    by: str
    value: str | None = None
    issue: str | None = None


class Decision(NamedTuple):
    """Anything but a tag that was said of one subject, as in the published table ``decisions``."""

    decision_id: str
    subject_id: str
    content_hash: str | None
    kind: str
    value: str | None
    issue: str | None
    by: str
    at: str
    undone_at: str | None


class Said(NamedTuple):
    """One thing said about one subject, with when it was taken back."""

    event_id: int
    subject_id: str
    content_hash: str | None
    kind: EventKind
    value: str | None
    issue: str | None
    by: str
    at: str
    undone_at: str | None


class OwnEvent(NamedTuple):
    """An event that stands, with how many subjects it is about."""

    event_id: int
    at: str
    kind: EventKind
    value: str | None
    issue: str | None
    subjects: int


class TagState(NamedTuple):
    """The last word on one tag of one subject; ``present`` is false once it was taken off or undone."""

    subject_id: str
    tag: str
    by: str
    at: str
    present: bool


class Events:
    """The store of one dataset.

    Parameters
    ----------
    path : Path
        SQLite file; made, with its folder, at the first write.

    Examples
    --------
    >>> import tempfile
    >>> events = Events(Path(tempfile.mkdtemp()) / "events.sqlite")
    >>> last = events.append(Event("tag", "ada", "blurred"), [("id-1", "hash-1"), ("id-2", "hash-2")])
    >>> [(state.subject_id, state.present) for state in events.tags()]
    [('id-1', True), ('id-2', True)]
    >>> events.undo(last, "ada")
    2
    >>> [(state.subject_id, state.present) for state in events.tags()]
    [('id-1', False), ('id-2', False)]
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        if not self.path.exists():
            with _told(self.path):
                self._create()
        with _told(self.path), closing(self._connected()) as connection:
            connection.execute("pragma foreign_keys = on")
            with connection:
                connection.execute("begin immediate")
                yield connection

    def _create(self) -> None:
        """Make the file whole elsewhere and put it in place in one step, so that nobody reads half of it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.path.parent) as folder:
            fresh = Path(folder) / self.path.name
            with closing(sqlite3.connect(fresh)) as connection:
                connection.execute("pragma journal_mode = wal")
                connection.executescript(SCHEMA)
            with suppress(FileExistsError):
                os.link(fresh, self.path)

    def _connected(self) -> sqlite3.Connection:
        """Connect to the file, brought up to the present version first."""
        connection = sqlite3.connect(self.path, timeout=30)
        try:
            if connection.execute("pragma user_version").fetchone()[0] < VERSION:
                _upgrade(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _read(self, query: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        if not self.path.exists():
            return []
        with closing(self._connected()) as connection:
            return connection.execute(query, parameters or {}).fetchall()

    def append(self, event: Event, subjects: Iterable[Subject]) -> int:
        """Note an event and return its number.

        Parameters
        ----------
        event : Event
            What was said.
        subjects : iterable of (str, str or None) or of (str, str or None, str or None)
            The ids of those it is about, with the content hash that was looked at, and with what is said of this one
            where that is not the event's own value.
        """
        with self._writing() as connection:
            event_id = connection.execute(
                'insert into events (at, "by", kind, value, issue) values (?, ?, ?, ?, ?)',
                (_now(), event.by, event.kind, event.value, event.issue),
            ).lastrowid
            assert event_id is not None
            rows = ((event_id, *subject, *[None] * (3 - len(subject))) for subject in subjects)
            connection.executemany("insert into subjects values (?, ?, ?, ?)", rows)
        return event_id

    def undo(self, event_id: int, by: str) -> int | None:
        """Take an event back; return the undo's number, or None where there is nothing to take back."""
        with self._writing() as connection:
            known = connection.execute(
                f"select 1 from events where event_id = ? and {UNDOABLE}",
                (event_id,),
            ).fetchone()
            if not known:
                return None
            return connection.execute(
                "insert into events (at, \"by\", kind, undoes) values (?, ?, 'undo', ?)", (_now(), by, event_id)
            ).lastrowid

    def last(self) -> int:
        """Return the number of the last event, 0 where there is none."""
        return int(next(iter(self._read("select coalesce(max(event_id), 0) from events")), (0,))[0])

    def last_view(self) -> int:
        """Return the number of the last view that was saved or taken off the list, 0 where there is none."""
        return int(next(iter(self._read("select coalesce(max(view_id), 0) from views")), (0,))[0])

    def extend(self, other: "Events", until: int | None = None) -> None:
        """Append what another store holds beyond this one, of which it is a continuation.

        Parameters
        ----------
        other : Events
            There is such a file.
        until : int, optional
            The last event to append; all, and the views, unless given.
        """
        last, view = self.last(), self.last_view()
        parts = [("events", "event_id", last), ("subjects", "event_id", last)]
        parts += [("views", "view_id", view)] if until is None else []
        with closing(other._connected()) as source, self._writing() as connection:
            source.execute("begin")
            for table, number, seen in parts:
                query = f"select * from {table} where {number} > ? and {number} <= ? order by {number}"
                rows = source.execute(query, (seen, until or LAST))
                places = ", ".join("?" * len(rows.description))
                connection.executemany(f"insert into {table} values ({places})", rows)

    def fold(self) -> None:
        """Put into the file itself what lies in its write-ahead log, so that the file can be moved alone."""
        if self.path.exists():
            with closing(self._connected()) as connection:
                connection.execute("pragma wal_checkpoint(truncate)")

    def at(self, event_id: int) -> str | None:
        """Return when an event was noted, or None where there is no such event."""
        return next(
            (row[0] for row in self._read("select at from events where event_id = :id", {"id": event_id})), None
        )

    def said(self, since: int, until: int) -> Iterator[Said]:
        """Yield what was said in events after ``since`` up to ``until``, and what was said before but taken back in them."""
        if since >= until or not self.path.exists():
            return
        with closing(self._connected()) as connection:
            yield from map(Said._make, connection.execute(SAID, {"since": since, "until": until}))

    def by(self, person: str) -> list[OwnEvent]:
        """Return what somebody said and nobody took back, the last first."""
        return list(map(OwnEvent._make, self._read(OWN, {"by": person})))

    def latest_undoable(self) -> int | None:
        """Return the last event that can be taken back, or None."""
        return self._read(f"select max(event_id) from events where {UNDOABLE}")[0][0] if self.path.exists() else None

    def tags(self, subjects: Sequence[str] | None = None, *, since: int = 0) -> Iterator[TagState]:
        """Yield the last word on every tag: of all subjects, of some, or of those that an event after ``since`` is about."""
        for subject, tag, by, at, present in self._about(TAGS, subjects, since):
            yield TagState(subject, tag, by, at, bool(present))

    def decisions(self, subjects: Sequence[str] | None = None, *, since: int = 0) -> list[Decision]:
        """Return all decisions, undone ones included, oldest first: on all subjects or on those that ``tags`` would tell of."""
        return list(map(Decision._make, self._about(DECISIONS, subjects, since)))

    def decisions_inside(self, images: Sequence[str]) -> list[Decision]:
        """Return all decisions on some images and on objects in them, undone ones included, oldest first."""
        query = DECISIONS.format(condition=INSIDE)
        return list(map(Decision._make, self._read(query, {"subjects": json.dumps(list(images))})))

    def pairs(self) -> list[Decision]:
        """Return what was said of pairs, undone or not, oldest first."""
        return list(map(Decision._make, self._read(DECISIONS.format(condition=OF_PAIRS))))

    def _about(self, query: str, subjects: Sequence[str] | None, since: int) -> list[tuple[Any, ...]]:
        if subjects is not None:
            return self._read(query.format(condition=AMONG), {"subjects": json.dumps(list(subjects))})
        return self._read(query.format(condition=TOUCHED if since else ""), {"since": since})

    def save_view(self, name: str, state: dict[str, Any] | None, by: str) -> None:
        """Save a view under a name, in place of any earlier one; ``None`` takes the name off the list."""
        with self._writing() as connection:
            connection.execute(
                'insert into views (at, "by", name, state) values (?, ?, ?, ?)',
                (_now(), by, name, None if state is None else json.dumps(state)),
            )

    def views(self) -> list[dict[str, Any]]:
        """Return the saved views by name: name, state, by, at."""
        rows = self._read(
            'select name, state, "by", at from views where view_id in (select max(view_id) from views group by name) '
            "and state is not null order by name"
        )
        return [{"name": name, "state": json.loads(state), "by": by, "at": at} for name, state, by, at in rows]


def standing(decisions: Iterable[Decision]) -> dict[str, dict[str, Decision]]:
    """Return the last word on each matter of each subject, of what was not taken back; what was said of pairs is left out.

    Matters are ``fate`` (keep, drop or confirm), ``label``, and of an object ``shape`` and how it was ``made``.
    """
    holding: dict[str, dict[str, Decision]] = {}
    for decision in decisions:
        if decision.undone_at is None and decision.kind not in PAIR_KINDS:
            aspect = ASPECTS.get(decision.kind, "fate")
            holding.setdefault(decision.subject_id, {})[aspect] = decision
    return holding


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Call a full disk by its name."""
    try:
        with naming_full_disk(path.parent):
            yield
    except sqlite3.OperationalError as error:
        if not says_full(str(error), path.parent):
            raise
        raise disk_full(path.parent, error) from error


def _upgrade(connection: sqlite3.Connection) -> None:
    """Bring a store of the first version up to the present one; of several processes the first does."""
    connection.execute("pragma foreign_keys = off")
    try:
        connection.executescript(UPGRADE)
    except sqlite3.OperationalError:
        connection.rollback()
        if connection.execute("pragma user_version").fetchone()[0] < VERSION:
            raise


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
