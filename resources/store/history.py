"""Reading what was published before, by number, tag or date."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import duckdb

from brain_assets.resources.errors import ConfigurationError, MissingError, StoreError
from brain_assets.resources.store import deltas, interrupts, publishing
from brain_assets.resources.store.store import ended

CURRENT = "current"
SHOWN = 8


@dataclass(frozen=True)
class Published:
    """A set as it was published, with the steps that lead back to it.

    Attributes
    ----------
    number : int
    at : datetime
        When it was published.
    tags : list of str
    facts : mapping
        What its manifest said.
    columns : mapping of str to mapping of str to str
        The types of each table's columns.
    samples : int or None
        How many rows its table of samples has.
    steps : sequence of Version
        From the current set back to this one; empty for the current one.
    """

    number: int
    at: datetime
    tags: list[str]
    facts: Mapping[str, Any]
    columns: Mapping[str, Mapping[str, str]]
    samples: int | None
    steps: Sequence[deltas.Version]

    @property
    def name(self) -> str:
        """How it is told."""
        tags = f", {', '.join(self.tags)}" if self.tags else ""
        return f"version {self.number} of {self.at:%Y-%m-%d %H:%M} UTC{tags}"


@dataclass(frozen=True)
class History:
    """The versions of a dataset that can be read, the current one first, while they are held open."""

    published: Path
    path: Path
    versions: Sequence[Published]

    @property
    def name(self) -> str:
        """The dataset."""
        return self.published.parent.name

    @property
    def unreachable(self) -> str | None:
        """In a line which versions are kept and cannot be read, None where there are none."""
        numbers = deltas.unreachable(self.published, self.versions[0].number)
        if not numbers:
            return None
        told = ", ".join(map(str, numbers[:SHOWN])) + (
            f" and {len(numbers) - SHOWN} more" if len(numbers) > SHOWN else ""
        )
        return (
            f"kept in {deltas.folder_of(self.published)} and not readable, as the set that followed was damaged: {told}"
        )

    def at(self, spec: str | int) -> Published:
        """Return the version that a number, a tag, a date or ``current`` names.

        A date means the end of that day, a time that moment, both in UTC unless they say otherwise: what was current then.

        Raises
        ------
        MissingError
            If there is none, with those that there are.
        """
        text = str(spec).strip()
        if text == CURRENT:
            return self.versions[0]
        for one in self.versions:
            if text in one.tags or (text.isdecimal() and one.number == int(text)):
                return one
        moment = _moment(text)
        if moment is None:
            raise MissingError(f"there is no version {text!r} (versions: {self._known()}; or a tag, or a date)")
        if found := next((one for one in self.versions if one.at <= moment), None):
            return found
        first = self.versions[-1]
        raise MissingError(
            f"nothing of {text} is kept: the first version is {first.number}, of {first.at:%Y-%m-%d %H:%M} UTC"
        )

    def _known(self) -> str:
        names = [", ".join([str(one.number), *one.tags]) for one in self.versions]
        return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


@contextmanager
def open_history(published: Path) -> Iterator[History]:
    """Yield the versions of a dataset, which stay as they are while the block runs.

    Raises
    ------
    MissingError
        If nothing was published yet.
    """
    with ExitStack() as stack:
        stack.enter_context(deltas.hold(published)) if published.is_dir() else None
        path = stack.enter_context(publishing.open_set(published))
        said = publishing.manifest_of(path)
        if said is None:
            raise StoreError(f"what is published of {published.parent.name} is damaged: run 'brain materialize'")
        yield History(published, path, list(_versions(published, path, said)))


def _versions(published: Path, path: Path, said: Mapping[str, Any]) -> Iterator[Published]:
    names: dict[int, list[str]] = {}
    for tag, number in deltas.tags_of(published).items():
        names.setdefault(number, []).append(tag)
    samples = path / "samples.parquet"
    rows = deltas.rows_in(samples)
    at = datetime.fromisoformat(said["published_at"])
    yield Published(said["number"], at, names.get(said["number"], []), said["facts"], said.get("columns", {}), rows, ())
    steps = deltas.steps(published, said["number"])
    for place, one in enumerate(steps, 1):
        known = one.facts, one.columns, one.samples, steps[:place]
        yield Published(one.number, one.at, names.get(one.number, []), *known)


def _moment(text: str) -> datetime | None:
    """Return the last moment that a date or time means, None for what is neither."""
    try:
        if len(text) <= len("2026-10-01"):
            return datetime.combine(date.fromisoformat(text), time(), UTC) + timedelta(days=1, microseconds=-1)
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@contextmanager
def connect_at(history: History, version: Published) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection that sees the tables of a version as they were published then; nothing can be written to them."""
    with ended(publishing.NEEDS_MEMORY), duckdb.connect() as connection, interrupts.ending_on_signals(connection):
        publishing.prepare(connection)
        make_views(connection, history, version)
        yield connection


def open_lasting(published: Path, spec: str | int) -> tuple[Published, duckdb.DuckDBPyConnection, Callable[[], object]]:
    """Return a version, a connection as `connect_at` yields one, and what lets go of it; see `publishing.lasting`."""
    with ExitStack() as held:
        history = held.enter_context(open_history(published))
        version = history.at(spec)
        with ended(publishing.NEEDS_MEMORY):
            connection = duckdb.connect()
            publishing.prepare(connection)
            make_views(connection, history, version)
        return version, connection, publishing.lasting(connection, held.pop_all())


def make_views(connection: duckdb.DuckDBPyConnection, history: History, version: Published) -> None:
    """Make a view of every table of a version; one that was damaged before it was kept fails with a clear line when read."""
    if not version.steps:
        publishing.make_views(connection, history.path)
        return
    spoiled = publishing.damaged_tables(history.path)
    for table in sorted(version.columns):
        connection.execute(f'create view "{table}" as {rows_of(history, version, table, spoiled)}')


def rows_of(history: History, version: Published, table: str, spoiled: set[str]) -> str:
    """Return the query of a table's rows in a version.

    Parameters
    ----------
    history : History
    version : Published
        An earlier one.
    table : str
    spoiled : set of str
        Tables of the current set that are damaged.
    """
    columns = version.columns[table]
    files: list[Path] = []
    for step in reversed(version.steps):
        if table in step.lost:
            return _refusing(
                columns, f"{table} of version {version.number} is lost: it was damaged when version {step.next} came"
            )
        file = deltas.delta(history.published, step, table)
        if table in step.whole:
            return _before(columns, f"select * from read_parquet('{_quoted(file)}')", files)
        if file:
            files.append(file)
    if table in spoiled:
        name = history.published.parent.name
        return _refusing(
            columns, f"the published table {table} is damaged: run 'brain materialize {name}', which writes it again"
        )
    there = publishing.tables_in(history.path)
    return _before(columns, f"select * from read_parquet('{_quoted(there[table])}')", files)


def _before(columns: Mapping[str, str], base: str, files: Sequence[Path]) -> str:
    return deltas.applied(columns, base, deltas.summed(columns, files)) if files else base


def _refusing(columns: Mapping[str, str], line: str) -> str:
    listed = ", ".join(f'null::{kind} as "{name}"' for name, kind in columns.items())
    return f"select {listed} from range(1) as rows(row) where if(row = 0, error('{_quoted(line)}'), true)"


def change(history: History, older: Published, newer: Published, table: str) -> str | None:
    """Return the query of what came (``_count`` above 0) and went of a table from a version to a later one.

    Returns
    -------
    str or None
        None where nothing differs. A table whose columns changed in between has no such query.

    Raises
    ------
    ConfigurationError
        If the versions are in the wrong order.
    """
    if older.number > newer.number:
        raise ConfigurationError(f"version {older.number} is later than {newer.number}")
    between = older.steps[len(newer.steps) :]
    files = [file for step in between if (file := deltas.delta(history.published, step, table))]
    return deltas.summed(older.columns[table], files, -1) if files else None


def comparable(older: Published, newer: Published, table: str) -> bool:
    """Return whether the rows of a table can be told apart between two versions: it has the same columns all along."""
    between = older.steps[len(newer.steps) :]
    return not any(table in step.whole or table in step.lost for step in between) and table in older.columns


def tag(published: Path, spec: str | int, name: str | None) -> Published:
    """Give a version a tag, which keeps it for ever; a tag that is elsewhere moves.

    Parameters
    ----------
    published : Path
        The dataset's ``published`` folder.
    spec : str or int
        The version, or with no name the tag that is taken away.
    name : str or None

    Raises
    ------
    ConfigurationError
        If the tag would be taken for a number or a date.
    MissingError
        If there is no such version or tag.
    """
    with open_history(published) as history:
        tags = deltas.tags_of(published)
        if name is None:
            if str(spec) not in tags:
                raise MissingError(f"there is no tag {str(spec)!r} (tags: {', '.join(sorted(tags)) or 'none'})")
            found = history.at(spec)
            tags.pop(str(spec))
        else:
            if not name.strip() or name.strip().isdecimal() or name.strip() == CURRENT or _moment(name.strip()):
                raise ConfigurationError(f"a tag is a word such as before-cleanup, not {name!r}")
            found = history.at(spec)
            tags[name.strip()] = found.number
        deltas.write_tags(published, tags)
    return found


def _quoted(path: Path | str | None) -> str:
    return str(path).replace("'", "''")
