"""What was sent to label tools, and how far it has come back: a small database beside what people said.

It is a record and nothing derived: `brain backup` takes it along, as it does what people said.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

OUT, DONE, SKIPPED = "out", "done", "skipped"
SCHEMA = """
create table if not exists tasks (
    tool text not null, url text not null, project text not null, task text not null, sample_id text not null,
    content_hash text, issue text, sent_at text not null, state text not null, mark text not null, finished_by text,
    finished_at text, about text not null, primary key (tool, url, project, task)
) strict;
create index if not exists tasks_of_samples on tasks (sample_id);
"""
PLACE = ("tool", "url", "project")
COLUMNS = (
    *PLACE, "task", "sample_id", "content_hash", "issue", "sent_at", "state", "mark", "finished_by", "finished_at", "about",
)  # fmt: skip
COUNTS = """
select tool, url, project, json_group_object(state, count) from (
    select tool, url, project, state, count(*) as count, max(sent_at) as last from tasks group by 1, 2, 3, 4
) group by 1, 2, 3 order by max(last) desc
"""


class Place(NamedTuple):
    """A project of a label tool's server."""

    tool: str
    url: str
    project: str


@dataclass(frozen=True)
class Task:
    """An image that was sent.

    Attributes
    ----------
    place : Place
    task : str
        What the tool calls it.
    sample_id : str
    content_hash : str or None
        The content that was sent; what is said of it holds of no other.
    about : mapping
        ``size``; ``regions`` and ``labels`` as they stand there as far as is known; ``objects``, which object each region
        is; ``flagged``, the subjects for which it was sent.
    issue : str, optional
        The queue that it was sent from.
    state : str
        ``out``, ``done`` or ``skipped``.
    mark : str
        State in which its work was taken in; empty before.
    sent_at, finished_by, finished_at : str
    """

    place: Place
    task: str
    sample_id: str
    content_hash: str | None
    about: Mapping[str, Any]
    issue: str | None = None
    state: str = OUT
    mark: str = ""
    sent_at: str = ""
    finished_by: str | None = None
    finished_at: str | None = None

    def finished(self, state: str, mark: str, by: str, about: Mapping[str, Any] | None = None) -> "Task":
        """Return the task with its work taken in."""
        return replace(self, state=state, mark=mark, finished_by=by, finished_at=_now(), about=about or self.about)


@dataclass(frozen=True)
class Count:
    """How many tasks of a project there are."""

    place: Place
    states: Mapping[str, int] = field(default_factory=dict)


class LabelTasks:
    """The tasks of one dataset.

    Parameters
    ----------
    path : Path
        SQLite file; made, with its folder, at the first write.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=30)) as connection, connection:
            yield connection

    def put(self, tasks: Iterable[Task]) -> None:
        """Note tasks, or how far they have come."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._connected() as connection:
            connection.executescript(SCHEMA)
            connection.executemany(
                f"insert or replace into tasks ({', '.join(COLUMNS)}) values ({', '.join('?' * len(COLUMNS))})",
                map(_row, tasks),
            )

    def tasks(self, place: Place, states: Sequence[str] = (OUT, DONE, SKIPPED)) -> list[Task]:
        """Return the tasks of a project that are in some states, those first that were sent first."""
        among = "select value from json_each(?)"
        query = f"""select {", ".join(COLUMNS)} from tasks where tool = ? and url = ? and project = ? and state in ({among})
            order by sent_at, rowid"""
        return list(map(_task, self._read(query, (*place, json.dumps(states)))))

    def out(self, place: Place) -> set[str]:
        """Return the samples that are still to be labelled in a project."""
        return {one.sample_id for one in self.tasks(place, (OUT,))}

    def counts(self) -> list[Count]:
        """Return the projects with how many tasks are in which state, those first that were sent to last."""
        return [Count(Place(*row[:3]), json.loads(row[3])) for row in self._read(COUNTS, ())]

    def _read(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        if not self.path.exists():
            return []
        with self._connected() as connection:
            return connection.execute(query, values).fetchall()


def _row(one: Task) -> tuple[Any, ...]:
    sent = one.sent_at or _now()
    return (
        *one.place, one.task, one.sample_id, one.content_hash, one.issue, sent, one.state, one.mark, one.finished_by,
        one.finished_at, json.dumps(one.about),
    )  # fmt: skip


def _task(row: Sequence[Any]) -> Task:
    task, sample, content, issue, sent, state, mark, by, at, about = row[len(PLACE) :]
    place = Place(*row[: len(PLACE)])
    return Task(place, task, sample, content, json.loads(about), issue, state, mark, sent, by, at)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
