"""What was published before, at the cost of what changed since.

``published/versions/000007-000008/`` leads from set 8 back to set 7: a Parquet file for each table that differs, with the rows
that only one of the two has and in ``_count`` how many more of each the older one has. Going on from there, any set
that was published can be read back. A version that need not be kept any more is merged into the one before it.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from brain_assets.resources.store import interrupts, locks, seals
from brain_assets.resources.store.store import bound_spill

VERSION, LOCK, TAGS = "version.json", "lock", "tags.json"
COUNT = "_count"
# Files of so many bytes in all are compared in memory.
HELD_BYTES = 1 << 26
# All bits of a mark but the last, and marks of which it is found out at once which differ.
MARK = np.uint64((1 << 64) - 2)
SORTED_OUT = 1 << 20
Columns = Mapping[str, str]


@dataclass(frozen=True)
class Retention:
    """Which versions are kept beside tagged ones: all for some hours, then one a day, then one a week."""

    hours: int = 24
    days: int = 31
    weeks: int = 53

    @property
    def any(self) -> bool:
        """Whether a version without a tag is kept at all."""
        return bool(self.hours or self.days or self.weeks)


NOTHING = Retention(0, 0, 0)


@dataclass(frozen=True)
class Version:
    """A set that was published, as the step that leads back to it.

    Attributes
    ----------
    number, next : int
        Of the set, and of the one that the step leads from.
    published_at : str
        In ISO format, UTC.
    samples : int or None
        How many rows its table of samples has.
    facts : mapping
        What its manifest said.
    columns : mapping of str to mapping of str to str
        The types of each table's columns.
    whole : list of str
        Tables that are kept as they were, as they had other columns or are not there any more.
    lost : list of str
        Tables of which files were damaged before they were kept.
    """

    number: int
    next: int
    published_at: str
    samples: int | None
    facts: Mapping[str, Any]
    columns: Mapping[str, Columns]
    whole: Sequence[str] = field(default_factory=list)
    lost: Sequence[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The folder's name."""
        return f"{self.number:06}-{self.next:06}"

    @property
    def at(self) -> datetime:
        """When it was published."""
        return datetime.fromisoformat(self.published_at)


@dataclass(frozen=True)
class Change:
    """The files of a table that differ between two sets; the older set's may be damaged."""

    older: Sequence[Path]
    newer: Sequence[Path]
    damaged: bool = False


def folder_of(published: Path) -> Path:
    """Return the folder of the versions of a dataset."""
    return published / "versions"


def record(
    published: Path,
    version: Version,
    changes: Mapping[str, Change],
    newer: Mapping[str, Columns],
    connection: duckdb.DuckDBPyConnection,
) -> None:
    """Keep the way back from a set that is about to be current to the one before it.

    Parameters
    ----------
    published : Path
        The dataset's ``published`` folder.
    version : Version
        The set before.
    changes : mapping of str to Change
        Tables of which files differ; of those that are to be kept whole, all files of the older set.
    newer : mapping of str to mapping of str to str
        The columns of the tables of the new set.
    connection : DuckDBPyConnection
        Any database, which compares the files.

    Raises
    ------
    OSError, duckdb.Error
        If it cannot be written.
    """
    folder = folder_of(published)
    draft = folder / f".{version.name}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    whole = [table for table in changes if version.columns[table] != newer.get(table)]
    lost = [table for table, change in changes.items() if change.damaged]
    for table, change in changes.items():
        target = draft / f"{table}.parquet"
        if table in whole and table not in lost:
            _write(connection, _rows(change.older), target, always=True)
        elif table not in lost:
            _write_difference(connection, version.columns[table], change, target)
    _finish(draft, replace(version, whole=[one for one in whole if one not in lost], lost=lost))
    shutil.rmtree(folder / version.name, ignore_errors=True)
    draft.rename(folder / version.name)


def steps(published: Path, current: int) -> list[Version]:
    """Return the versions that can be read back from a set, the newest first."""
    found: dict[int, list[int]] = {}
    for path in folder_of(published).glob("[0-9]*-[0-9]*"):
        number, following = map(int, path.name.split("-"))
        found.setdefault(following, []).append(number)
    versions, at = [], current
    while at in found:
        # Of two ways, left by a merge that was killed, the finer one.
        version = _read(folder_of(published) / f"{max(found[at]):06}-{at:06}")
        if version is None or version.number >= at:
            break
        versions.append(version)
        at = version.number
    return versions


def tags_of(published: Path) -> dict[str, int]:
    """Return the tags of versions, with the number of each."""
    try:
        found: dict[str, int] = json.loads((folder_of(published) / TAGS).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def write_tags(published: Path, tags: Mapping[str, int]) -> None:
    """Replace the tags of versions; raises OSError."""
    folder = folder_of(published)
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{TAGS}"
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(tags, sort_keys=True), "utf-8")
    draft.replace(folder / TAGS)


def hold(published: Path) -> AbstractContextManager[None]:
    """Return the lock under which versions stay as they are; whoever may not write there reads without one."""
    lock = folder_of(published) / LOCK
    with suppress(OSError):
        _make_lock(lock)
    return locks.shared(lock) if lock.exists() else nullcontext()


def _make_lock(lock: Path) -> None:
    lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not lock.exists():
        lock.touch(mode=0o600)


def thin(published: Path, current: int, retention: Retention, now: datetime | None = None) -> list[int]:
    """Merge what need not be kept into the versions before it, unless somebody reads; return the numbers that are gone."""
    lock = folder_of(published) / LOCK
    if not lock.parent.is_dir():
        return []
    _make_lock(lock)
    with locks.unless_shared(lock) as free:
        if not free:
            return []
        kept = wanted(steps(published, current), retention, tags_of(published), now or datetime.now(UTC))
        gone = []
        while doomed := next((one for one in steps(published, current)[::-1] if one.number not in kept), None):
            _merge(published, doomed, steps(published, current))
            gone.append(doomed.number)
        _sweep(published, current, all_others=not (retention.any or tags_of(published)))
    return gone


def wanted(versions: Sequence[Version], retention: Retention, tags: Mapping[str, int], now: datetime) -> frozenset[int]:
    """Return the numbers of the versions to keep: those tagged, and of each hour, day and week what the retention says.

    Of a day or a week the last version counts.
    """
    kept = set(tags.values())
    days: dict[object, int] = {}
    weeks: dict[object, int] = {}
    for one in sorted(versions, key=lambda one: one.number):
        age = now - one.at
        if age < timedelta(hours=retention.hours):
            kept.add(one.number)
        if age < timedelta(days=retention.days):
            days[one.at.date()] = one.number
        if age < timedelta(weeks=retention.weeks):
            weeks[one.at.isocalendar()[:2]] = one.number
    return frozenset(kept | set(days.values()) | set(weeks.values()))


def delta(published: Path, version: Version, table: str) -> Path | None:
    """Return the file with what a step changes of a table, or with all of it where it is kept whole; None without any."""
    path = folder_of(published) / version.name / f"{table}.parquet"
    return path if path.is_file() else None


def summed(columns: Columns, files: Sequence[Path], sign: int = 1) -> str:
    """Return the query of what several steps together change of a table: its rows, and ``_count``, never 0."""
    names = ", ".join(f'"{name}"' for name in columns)
    return f"""
        select {names}, ({sign} * sum({COUNT}))::bigint as {COUNT} from {_files(files)}
        group by {names} having sum({COUNT}) != 0"""


def applied(columns: Columns, base: str, changes: str) -> str:
    """Return the query of the rows of a table before some steps, given the query of its rows after them, and what they change.

    Rows that no step touches are passed through; only the others are counted.
    """
    names = ", ".join(f'"{name}"' for name in columns)
    same = " and ".join(f'changes."{name}" is not distinct from base."{name}"' for name in columns)
    return f"""
        with changes as materialized ({changes}), base as ({base})
        select {names} from base where not exists (select 1 from changes where {same})
        union all
        select {names} from (
            select {names}, sum({COUNT}) as {COUNT} from (
                select {names}, {COUNT} from changes
                union all
                select {names}, 1 from base where exists (select 1 from changes where {same})
            ) group by {names}
        ), range({COUNT}::bigint)"""


def _merge(published: Path, doomed: Version, versions: Sequence[Version]) -> None:
    """Take a version out of the chain: what it changes is added to the step of the one before it."""
    before = next((one for one in versions if one.next == doomed.number), None)
    folder = folder_of(published)
    if before is not None:
        merged = replace(before, next=doomed.next)
        draft = folder / f".{merged.name}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        with _connected() as connection:
            whole = [
                table for table in before.columns if _merge_table(connection, published, (before, doomed), table, draft)
            ]
        lost = [one for one in doomed.lost if one in before.columns and one not in before.whole]
        _finish(draft, replace(merged, whole=whole, lost=sorted({*before.lost, *lost})))
        shutil.rmtree(folder / merged.name, ignore_errors=True)
        draft.rename(folder / merged.name)
    # In this order, so that a kill in between leaves a way back to all that is kept.
    shutil.rmtree(folder / doomed.name)
    if before is not None:
        shutil.rmtree(folder / before.name)


def _merge_table(
    connection: duckdb.DuckDBPyConnection, published: Path, pair: tuple[Version, Version], table: str, draft: Path
) -> bool:
    """Write what two steps change of a table; return whether it is kept whole."""
    before, doomed = pair
    own, other = delta(published, before, table), delta(published, doomed, table)
    target = draft / f"{table}.parquet"
    whole = table in before.whole or (table in doomed.whole and table in doomed.columns)
    if table in before.whole or other is None:
        if own:
            os.link(own, target)
    elif own is None:
        os.link(other, target)
    elif table in doomed.whole:
        columns = before.columns[table]
        _write(connection, applied(columns, f"from {_files([other])}", summed(columns, [own])), target, always=True)
    else:
        _write(connection, summed(before.columns[table], [own, other]), target)
    return whole


def unreachable(published: Path, current: int) -> list[int]:
    """Return the versions that are kept and that no way leads to, as a set after them was damaged as a whole."""
    return sorted(
        int(path.name.split("-")[0]) for path in _others(published, current) if not _is_left(path, published, current)
    )


def _sweep(published: Path, current: int, *, all_others: bool) -> None:
    """Remove what a kill left: drafts, and steps that another one took the place of; or all that no way leads to."""
    for path in _others(published, current):
        if all_others or _is_left(path, published, current):
            shutil.rmtree(path, ignore_errors=True)


def _others(published: Path, current: int) -> list[Path]:
    live = {one.name for one in steps(published, current)}
    return [path for path in folder_of(published).glob("*-*") if path.is_dir() and path.name not in live]


def _is_left(path: Path, published: Path, current: int) -> bool:
    """Return whether a folder is a draft, or a step within those that lead back from the current set."""
    first = min((one.number for one in steps(published, current)), default=current)
    return path.name.startswith(".") or int(path.name.split("-")[0]) >= first


def _write_difference(connection: duckdb.DuckDBPyConnection, columns: Columns, change: Change, target: Path) -> None:
    """Write the rows of which the older files have more, or fewer, than the newer ones, block by block."""
    blocks = list(_blocks(change))
    drafts = [target.with_suffix(f".{place}.parquet") for place in range(len(blocks))]
    for block, draft in zip(blocks, drafts, strict=True):
        _write_block(connection, columns, block, draft)
    found = [draft for draft in drafts if draft.exists()]
    if found[1:]:
        # A row may have moved from one block to another.
        _write(connection, summed(columns, found), target)
    elif found:
        found.pop().rename(target)
    for draft in found:
        draft.unlink()


def _write_block(connection: duckdb.DuckDBPyConnection, columns: Columns, block: Change, draft: Path) -> None:
    if _size(block.older, block.newer) <= HELD_BYTES:
        _write(connection, _difference(columns, block), draft)
        return
    connection.register("differing", _differing(connection, columns, block))
    try:
        _write(connection, _difference(columns, block, "from differing"), draft)
    finally:
        connection.unregister("differing")


def _blocks(change: Change) -> Iterator[Change]:
    """Yield the files of a change, those of one name together, so many as are compared in memory."""
    pairs: dict[str, tuple[list[Path], list[Path]]] = {}
    for side, files in enumerate((change.older, change.newer)):
        for path in files:
            pairs.setdefault(path.name, ([], []))[side].append(path)
    block: tuple[list[Path], list[Path]] = ([], [])
    for pair in pairs.values():
        if any(block) and _size(*block, *pair) > HELD_BYTES:
            yield Change(*block)
            block = [], []
        block = block[0] + pair[0], block[1] + pair[1]
    yield Change(*block)


def _size(*files: Sequence[Path]) -> int:
    return sum(path.stat().st_size for some in files for path in some)


def _difference(columns: Columns, change: Change, differing: str | None = None) -> str:
    """Return the query of the rows of which the older files have more, or fewer, than the newer ones.

    Rows are compared by a hash first. Files that fit into memory are read once, for vectors take longer to read than to
    compare; of others, ``differing`` has the marks of the rows that may differ, and only these are held.
    """
    names = ", ".join(f'"{name}"' for name in columns)
    marked = " union all ".join(
        f"select {names}, {_mark(columns)} as mark, {sign} as {COUNT} from {_files(files)}"
        for files, sign in _sides(change)
    )
    held = "" if differing is None else "not "
    differing = differing or f"select mark from sides group by mark having sum({COUNT}) != 0"
    return f"""
        with sides as {held}materialized ({marked}), marks as materialized ({differing})
        select {names}, sum({COUNT})::bigint as {COUNT} from sides where mark in (select mark from marks)
        group by {names} having sum({COUNT}) != 0"""


def _differing(connection: duckdb.DuckDBPyConnection, columns: Columns, change: Change) -> pa.Table:
    """Return the marks of which the older files have more, or fewer, than the newer ones: sorted here, the database would count.

    Of a row that both sides have, the two marks come one after the other, as their last bit tells the sides apart.
    """
    parts = []
    for files, sign in _sides(change):
        found = connection.sql(f"select {_mark(columns)} as mark from {_files(files)}").to_arrow_table().column("mark")
        parts.append(found.to_numpy() | np.uint64(sign < 0))
    marks = np.concatenate(parts)
    marks.sort()
    differing, first = [np.zeros(0, np.uint64)], 0
    while first < len(marks):
        last = int(np.searchsorted(marks, marks[min(first + SORTED_OUT, len(marks)) - 1] | np.uint64(1), "right"))
        names, sides = marks[first:last] & MARK, 1 - 2 * (marks[first:last] & np.uint64(1)).astype(np.int8)
        begin = np.flatnonzero(np.concatenate([[True], names[1:] != names[:-1]]))
        differing.append(names[begin[np.add.reduceat(sides, begin, dtype=np.int64) != 0]])
        first = last
    return pa.table({"mark": np.concatenate(differing)})


def _mark(columns: Columns) -> str:
    """Return what tells a row from others in SQL: a hash, the last bit of which is free."""
    names = ", ".join(f'"{name}"' for name in columns)
    return f"(hash({names}) & {MARK}::ubigint)"


def _sides(change: Change) -> Iterator[tuple[Sequence[Path], int]]:
    yield from ((files, sign) for files, sign in ((change.older, 1), (change.newer, -1)) if files)


def _rows(files: Sequence[Path]) -> str:
    return f"select * from {_files(files)}"


def _files(files: Sequence[Path]) -> str:
    quoted = ", ".join("'" + str(path).replace("'", "''") + "'" for path in files)
    return f"read_parquet([{quoted}])"


def _write(connection: duckdb.DuckDBPyConnection, query: str, path: Path, *, always: bool = False) -> None:
    """Write the rows of a query; a file without rows is left out, unless it is all there is of a table."""
    target = str(path).replace("'", "''")
    connection.execute(f"copy ({query}) to '{target}' (format parquet, compression zstd)")
    if not always and not rows_in(path):
        path.unlink()


def rows_in(path: Path) -> int | None:
    """Return how many rows a Parquet file has, None where there is none."""
    from pyarrow.parquet import read_metadata  # Brings every file system that Arrow knows, which nobody else asks for.

    return int(read_metadata(path).num_rows) if path.is_file() else None


@contextmanager
def _connected() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection, interrupts.ending_on_signals(connection):
        bound_spill(connection)
        connection.execute("set timezone = 'UTC'")
        yield connection


def _finish(folder: Path, version: Version) -> None:
    (folder / VERSION).write_text(json.dumps(seals.sealed(vars(version))), "utf-8")
    for path in [*folder.iterdir(), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _read(folder: Path) -> Version | None:
    try:
        said = json.loads((folder / VERSION).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return Version(**{name: said[name] for name in said if name != seals.SEAL}) if seals.is_sealed(said) else None
