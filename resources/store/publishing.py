"""What readers may open: sets of Parquet files that are switched as one.

``published/sets/000007/`` holds one consistent set and its manifest; ``published/current`` is a link to the newest. A new
set is written beside the old ones, files that did not change are linked from the set before, and the link is replaced in
one step. A reader takes a shared lock on the set it reads (its lease); pruning spares leased and young sets.
What the disk or a hand did to a set is noticed by its seals: the next run writes the damaged files again and links the
others, and until then readers go without the damaged tables alone.
"""

import json
import os
import shutil
import time
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa

from brain_assets.resources.errors import FULL, MemoryExhausted, MissingError, StoreError, disk_full
from brain_assets.resources.store import deltas, interrupts, locks, seals
from brain_assets.resources.store.store import Store, bound_spill, ended, out_of_memory, told

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetWriter

LEASE = "lease"
MANIFEST = "manifest.json"
SPARED_SECONDS = 3600
# Files of parts that are written at once, and the bytes of rows that wait for others of their part.
OPEN_PARTS = 256
WAITING_BYTES = 1 << 26
# Columns that version 0.1 published under another name, by table: of its sets both names can be read, too.
RENAMED = {
    "health": {"recorded_at": "at"},
    "calibrations": {"fitted_at": "at"},
    "tags": {"tagged_by": "by", "tagged_at": "at"},
    "tag_history": {"tagged_by": "by", "tagged_at": "at"},
    "decisions": {"decided_by": "by", "decided_at": "at"},
}
NEEDS_MEMORY = "the query needs more memory than this machine has: ask for fewer rows or columns at once"


@dataclass(frozen=True)
class TableQuery:
    """A table to publish: its query, what it depends on, and for a large one the query of its parts and their marks."""

    table: str
    query: str
    parts: str | None = None


@dataclass
class Publishing:
    """What publishing did: ``number`` of the current set, which tables were written or linked, and what was damaged."""

    number: int
    written: list[str] = field(default_factory=list)
    linked: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


def publish(
    store: Store,
    folder: Path,
    tables: Sequence[TableQuery],
    facts: Mapping[str, Any],
    keep_sets: int = 3,
    retention: deltas.Retention = deltas.NOTHING,
) -> Publishing:
    """Bring the published set up to date with the store.

    Parameters
    ----------
    store : Store
    folder : Path
        The dataset's ``published`` folder.
    tables : sequence of TableQuery
    facts : mapping
        JSON values that the manifest shall carry.
    keep_sets : int
        Sets to keep beside those in use.
    retention : Retention
        How long it can be read what was published before; by default not at all, but for what has a tag.

    Raises
    ------
    StoreError
        If the disk is full; what was published before stays as it is.
    """
    before = _sealed(folder)
    thorough = before is not None and seals.check_is_due(folder)
    spoiled = _spoiled(folder / "current", before, thorough=thorough) if before else set()
    wanted = {"facts": dict(facts), "tables": {table.table: _marks(store, table) for table in tables}}
    if before and not spoiled and {key: before.get(key) for key in wanted} == wanted:
        if thorough:
            seals.note_check(folder)
        return Publishing(before["number"], linked=[table.table for table in tables])
    number = max([int(path.name) for path in _sets(folder)], default=0) + 1
    result = Publishing(number, damaged=sorted(spoiled))
    staging = folder / "sets" / f".{number:06}"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir(parents=True)
        for table in tables:
            _write_table(store, table, staging, wanted["tables"][table.table], before, result)
        files = _seals(staging, before, spoiled)
        stamp = {
            "number": number,
            "published_at": datetime.now(UTC).isoformat(),
            "columns": (columns := _columns(store, staging, before or {}, result.linked)),
        }
        _finish(staging, seals.sealed({**stamp, **wanted, "files": files}))
        if before and (retention.any or deltas.tags_of(folder)):
            version, changes = _way_back(folder, before, spoiled, staging, wanted["tables"], columns)
            deltas.record(folder, version, changes, columns, store.connection)
        _switch(folder, staging, number)
        if thorough or before is None:
            seals.note_check(folder)
    except (duckdb.Error, OSError, StoreError) as error:
        shutil.rmtree(staging, ignore_errors=True)
        raise _failed(folder, error) from None
    prune(folder, keep_sets)
    deltas.thin(folder, number, retention)
    return result


def _failed(folder: Path, error: Exception) -> StoreError:
    """Return what to say of a set that could not be written."""
    reason = " ".join(str(error).split())
    if isinstance(error, MemoryExhausted) or (isinstance(error, duckdb.Error) and out_of_memory(reason)):
        return MemoryExhausted(f"publishing to {folder} needs more memory, raise `memory` in settings.yaml: {reason}")
    if isinstance(error, OSError) and error.errno in FULL:
        return disk_full(folder, f"{reason}; the set before stays current")
    return StoreError(f"publishing to {folder} failed, the set before stays current: {reason}")


def _way_back(
    folder: Path,
    before: Mapping[str, Any],
    spoiled: set[str],
    staging: Path,
    marks: Mapping[str, Mapping[str, str]],
    columns: Mapping[str, Mapping[str, str]],
) -> tuple[deltas.Version, dict[str, deltas.Change]]:
    """Return the set before the staged one, and which files of it are others."""
    older = folder / "sets" / f"{before['number']:06}"
    changes = {}
    for table, had in before["columns"].items():
        was, now = before["tables"].get(table, {}), marks.get(table, {})
        kept = had == columns.get(table)
        parts = [part for part in sorted(was.keys() | now.keys()) if not kept or was.get(part) != now.get(part)]
        files = [_file_of(older, table, part) for part in parts if part in was]
        damaged = any(path.relative_to(older).as_posix() in spoiled for path in files)
        if parts:
            changes[table] = deltas.Change(
                files, [_file_of(staging, table, part) for part in parts if part in now], damaged
            )
    samples = deltas.rows_in(older / "samples.parquet") if "samples.parquet" not in spoiled else None
    stamp = (before["number"], int(staging.name.lstrip(".")), before["published_at"], samples)
    return deltas.Version(*stamp, before["facts"], before["columns"]), changes


def manifest(folder: Path) -> dict[str, Any] | None:
    """Return what the current set says of itself, or None when nothing was published or it cannot be understood."""
    return manifest_of(folder / "current")


def manifest_of(path: Path) -> dict[str, Any] | None:
    """Return what a set says of itself, or None where it cannot be understood."""
    try:
        found: dict[str, Any] = json.loads((path / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    # A set that an older version published has no seal: it can be read, and is rewritten by the next run.
    understood = isinstance(found, dict) and (seals.is_sealed(found) or seals.SEAL not in found)
    return found if understood and "number" in found else None


def _sealed(folder: Path) -> dict[str, Any] | None:
    """Return what the current set says of itself where it can be relied on."""
    found = manifest(folder)
    return found if found and seals.is_sealed(found) and found["number"] == _number(folder / "current") else None


def _number(current: Path) -> int | None:
    """Return the number of the set that ``current`` names, which must be a link to a set beside it."""
    folder = current.parent / "sets"
    name = current.resolve().name
    return int(name) if current.is_symlink() and name.isdigit() and (folder / name).is_dir() else None


def _spoiled(path: Path, said: Mapping[str, Any], *, thorough: bool = False) -> set[str]:
    """Return the files of a set that are no longer what was published, by their paths in it."""
    return seals.damaged(path.resolve(), said["files"], others=(LEASE, MANIFEST), thorough=thorough)


def damaged_tables(path: Path, said: Mapping[str, Any] | None = None) -> set[str]:
    """Return the tables of a set of which files are missing or damaged; none of a set that an older version published."""
    said = said or manifest_of(path)
    if not said or "files" not in said:
        return set()
    tables = {Path(name).parts[0].removesuffix(".parquet") for name in _spoiled(path, said)}
    return {name for name in tables if name in said["columns"]}


def damage(folder: Path, *, thorough: bool = False) -> str | None:
    """Return in a few words what is wrong with what is published, None where nothing is or nothing was published.

    Parameters
    ----------
    folder : Path
        The dataset's ``published`` folder.
    thorough : bool
        Whether to read also files whose size and time are as they were.
    """
    if not (folder / "current").is_symlink() and not _was_published(folder):
        return None
    said = _sealed(folder)
    if said is None:
        known = manifest(folder)
        return None if known and seals.SEAL not in known else "what is published is damaged"
    spoiled = sorted(_spoiled(folder / "current", said, thorough=thorough))
    return (
        f"what is published is damaged ({', '.join(spoiled[:3])}{', ...' if spoiled[3:] else ''})" if spoiled else None
    )


@contextmanager
def open_set(folder: Path) -> Iterator[Path]:
    """Yield the folder of the current set, which stays as it is while the block runs.

    Raises
    ------
    MissingError
        If nothing was published yet.
    StoreError
        If what was published cannot be held, as its lease is gone.
    """
    with ExitStack() as stack:
        yield _leased(folder / "current", stack)


def _leased(current: Path, stack: ExitStack) -> Path:
    """Return the set that ``current`` names once we hold its lease; it may be switched, and pruned, while we look."""
    path = None
    while path != (path := current.resolve()):
        with suppress(FileNotFoundError):
            stack.enter_context(locks.shared(path / LEASE))
            if (path / LEASE).exists():
                return path
    name = current.parent.parent.name
    if _was_published(current.parent):
        raise StoreError(
            f"what is published of {name} is damaged: run 'brain materialize {name}', which writes it again"
        )
    raise MissingError(f"nothing is published of {name} yet: run 'brain materialize {name}'")


@contextmanager
def connect(folder: Path, *, tolerant: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection that sees one consistent set, each published table as a view; nothing can be written to it.

    Parameters
    ----------
    folder : Path
        The dataset's ``published`` folder.
    tolerant : bool
        Whether a damaged table is seen as an empty one; else reading it fails with a line that says so.
    """
    with open_set(folder) as path, connect_to(path, tolerant=tolerant) as connection:
        yield connection


@contextmanager
def connect_to(path: Path, *, tolerant: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection that sees the tables of a set that is held open."""
    with ended(NEEDS_MEMORY), duckdb.connect() as connection, interrupts.ending_on_signals(connection):
        prepare(connection)
        make_views(connection, path, tolerant=tolerant)
        yield connection


def prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Bound what a connection may spill, and have times read alike everywhere."""
    bound_spill(connection)
    connection.execute("set timezone = 'UTC'")


def open_lasting(folder: Path) -> tuple[duckdb.DuckDBPyConnection, Callable[[], object]]:
    """Return a connection as `connect` yields one, and what lets go of its set; see `lasting`."""
    with ExitStack() as held:
        path = held.enter_context(open_set(folder))
        with ended(NEEDS_MEMORY):
            connection = duckdb.connect()
            prepare(connection)
            make_views(connection, path)
        return connection, lasting(connection, held.pop_all())


def lasting(connection: duckdb.DuckDBPyConnection, held: ExitStack) -> Callable[[], object]:
    """Hold what a connection reads for as long as anybody has the connection, or a relation of it; return what lets go now.

    ``held`` must not lead to the connection: who asked for a relation may be gone before it is read, as in
    ``dataset("flowers").table("issues").df()``.
    """
    interrupts.watch(connection)
    return weakref.finalize(connection, held.close)


def apart(relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """Return the rows of a relation as one that lasts when the connection of the former is closed."""
    connection = duckdb.connect()
    prepare(connection)
    return connection.from_arrow(relation.to_arrow_table())


def make_views(connection: duckdb.DuckDBPyConnection, path: Path, *, tolerant: bool = False) -> set[str]:
    """Make a view of every table of a set and return the damaged tables; their views fail with a clear line, or are empty."""
    said = manifest_of(path)
    spoiled = damaged_tables(path, said)
    for name, query in _queries(path, said, spoiled, tolerant=tolerant).items():
        try:
            connection.execute(f'create view "{name}" as {query}')
        except duckdb.Error:
            # Of a set whose manifest is damaged too nobody knows the columns; such a table is absent.
            spoiled.add(name)
    return spoiled


def _queries(path: Path, said: Mapping[str, Any] | None, spoiled: set[str], *, tolerant: bool) -> dict[str, str]:
    """Return the query of every table of a set."""
    columns = (said or {}).get("columns", {})
    there = tables_in(path)
    names = (columns or there).keys() & there.keys() - spoiled
    sound = {
        name: f"select *{_renamed(name, columns.get(name, {}))} from read_parquet('{_quoted(there[name])}')"
        for name in sorted(names)
    }
    return sound | {name: _stand_in(path, name, columns[name], tolerant=tolerant) for name in sorted(spoiled)}


def _renamed(table: str, columns: Collection[str]) -> str:
    """Return today's names of the columns that an older version published under another."""
    pairs = RENAMED.get(table, {}).items()
    return "".join(f', "{former}" as {name}' for name, former in pairs if former in columns and name not in columns)


def _stand_in(path: Path, table: str, columns: Mapping[str, str], *, tolerant: bool) -> str:
    """Return the query that stands for a damaged table: its columns, and no row."""
    dataset = path.parents[2].name
    line = f"the published table {table} is damaged: run 'brain materialize {dataset}', which writes it again"
    listed = ", ".join(f'null::{kind} as "{name}"' for name, kind in columns.items())
    # Said while the rows are made, so that no optimizer says it of those who do not read the table.
    condition = "false" if tolerant else f"if(row = 0, error('{_quoted(line)}'), true)"
    rows = f"select {listed} from range(1) as rows(row) where {condition}"
    return f"select *{_renamed(table, columns)} from ({rows})"


def tables_in(path: Path) -> dict[str, str]:
    """Return the tables of a set with the path or pattern of their files."""
    entries = sorted(entry for entry in path.iterdir() if entry.suffix == ".parquet" or entry.is_dir())
    return {entry.stem: str(entry / "*.parquet") if entry.is_dir() else str(entry) for entry in entries}


def prune(folder: Path, keep_sets: int) -> None:
    """Remove sets that nobody reads, except the newest and those younger than an hour."""
    current = (folder / "current").resolve()
    for path in _sets(folder)[:-keep_sets]:
        if path == current or time.time() - path.stat().st_mtime < SPARED_SECONDS:
            continue
        try:
            with locks.unless_shared(path / LEASE) as free:
                if free:
                    _remove(path)
        except FileNotFoundError:
            shutil.rmtree(path, ignore_errors=True)


def _remove(path: Path) -> None:
    """Remove a set; the lease goes last, so that what a kill leaves behind is found and removed by the next run."""
    for entry in path.iterdir():
        if entry.name != LEASE:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    shutil.rmtree(path, ignore_errors=True)


def _was_published(folder: Path) -> bool:
    """Return whether a set was ever switched to: the first may have been written and left before it was."""
    return bool(_sets(folder)) and (folder / seals.CHECKED).exists()


def _sets(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "sets").glob("[0-9]*") if path.name.isdigit() and path.is_dir())


def _marks(store: Store, table: TableQuery) -> dict[str, str]:
    """Return what each file of a table depends on: its query and the state of the rows behind it."""
    origin = f"{store.fact('store_id')} {table.query}"
    if table.parts is None:
        return {"": f"{store.version(store.tables_of(table.query))} {origin}"}
    rows = store.rows(f"select part, mark from ({table.parts}) order by part")
    return {f"{part:06}": f"{mark} {origin}" for part, mark in rows} or {"empty": origin}


def _write_table(
    store: Store,
    table: TableQuery,
    staging: Path,
    marks: Mapping[str, str],
    before: Mapping[str, Any] | None,
    result: Publishing,
) -> None:
    """Link the files whose mark is the same as before and that are sound, write the others."""
    if table.parts is not None:
        (staging / table.table).mkdir()
    old = before["tables"].get(table.table, {}) if before else {}
    fresh = []
    for part, mark in marks.items():
        target = _file(staging, table, part)
        source = _file(staging.parent / f"{before['number']:06}", table, part) if before else target
        if old.get(part) == mark and target.relative_to(staging).as_posix() not in result.damaged:
            os.link(source, target)
        else:
            fresh.append(part)
    if table.parts is None or fresh == ["empty"]:
        _copy(store, table, {part: _file(staging, table, part) for part in fresh})
    else:
        for start in range(0, len(fresh), OPEN_PARTS):
            _write_parts(
                store, table, {part: _file(staging, table, part) for part in fresh[start : start + OPEN_PARTS]}
            )
    (result.written if fresh or old != marks else result.linked).append(table.table)


def _copy(store: Store, table: TableQuery, targets: Mapping[str, Path]) -> None:
    for path in targets.values():
        query = table.query if table.parts is None else f"select * exclude (part) from ({table.query}) where false"
        with told(store.path):
            store.connection.execute(f"copy ({query}) to '{_quoted(str(path))}' (format parquet)")


def _write_parts(store: Store, table: TableQuery, targets: Mapping[str, Path]) -> None:
    """Write some parts of a table in one pass over its rows, in whatever order these come."""
    numbers = ", ".join(str(int(part)) for part in targets)
    with _PartFiles({int(part): path for part, path in targets.items()}) as files:
        for batch in store.stream(f"select * from ({table.query}) where part in ({numbers})"):
            files.add(batch)


class _PartFiles:
    """Parquet files that are written side by side; rows wait until they are many, or too many in all."""

    def __init__(self, targets: Mapping[int, Path]) -> None:
        self.targets = targets
        self.writers: dict[int, ParquetWriter] = {}
        self.waiting: dict[int, list[pa.RecordBatch]] = {}
        self.sizes: dict[int, int] = {}

    def __enter__(self) -> "_PartFiles":
        return self

    def add(self, batch: pa.RecordBatch) -> None:
        """Deal rows out by their column ``part``."""
        parts = batch.column("part").to_numpy()
        rows = batch.drop_columns(["part"])
        for part in np.unique(parts).tolist():
            dealt = rows.filter(pa.array(parts == part))
            self.waiting.setdefault(part, []).append(dealt)
            self.sizes[part] = self.sizes.get(part, 0) + dealt.nbytes
        while sum(self.sizes.values()) > WAITING_BYTES:
            self._write(max(self.sizes, key=self.sizes.__getitem__))

    def _write(self, part: int) -> None:
        rows = pa.Table.from_batches(self.waiting.pop(part))
        self.sizes.pop(part)
        from pyarrow.parquet import ParquetWriter

        if part not in self.writers:
            texts = [field.name for field in rows.schema if pa.types.is_string(field.type)]
            self.writers[part] = ParquetWriter(self.targets[part], rows.schema, use_dictionary=texts)
        self.writers[part].write_table(rows)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            for part in list(self.waiting):
                self._write(part)
        for writer in self.writers.values():
            writer.close()


def _file(folder: Path, table: TableQuery, part: str) -> Path:
    return _file_of(folder, table.table, part)


def _file_of(folder: Path, table: str, part: str) -> Path:
    """Return the file of a part; that of a table which has none has an empty name."""
    return folder / table / f"part-{part}.parquet" if part else folder / f"{table}.parquet"


def _seals(staging: Path, before: Mapping[str, Any] | None, spoiled: set[str]) -> dict[str, seals.Seal]:
    """Return the seals of a set's files; those of linked ones are known."""
    known: dict[str, seals.Seal] = before["files"] if before else {}
    found = {}
    for name in sorted(seals.files_in(staging)):
        path = staging / name
        linked = name in known and name not in spoiled and path.stat().st_mtime_ns == known[name]["mtime_ns"]
        found[name] = known[name] if linked else seals.seal_of(path)
    return found


def _columns(
    store: Store, staging: Path, before: Mapping[str, Any], linked: Collection[str]
) -> dict[str, dict[str, str]]:
    """Return the columns of a set's tables with their types, so that a table that is damaged later can still be named."""
    described = "describe from read_parquet('{}')"
    known = before.get("columns", {})
    return {
        name: known[name]
        if name in linked and name in known
        else {row[0]: row[1] for row in store.connection.execute(described.format(_quoted(files))).fetchall()}
        for name, files in tables_in(staging).items()
    }


def _finish(staging: Path, content: Mapping[str, Any]) -> None:
    (staging / LEASE).touch()
    (staging / MANIFEST).write_text(json.dumps(content), "utf-8")
    for path in [*staging.rglob("*"), staging]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _switch(folder: Path, staging: Path, number: int) -> None:
    final = folder / "sets" / f"{number:06}"
    staging.rename(final)
    link = folder / ".current"
    link.unlink(missing_ok=True)
    link.symlink_to(Path("sets") / final.name)
    current = folder / "current"
    if current.is_dir() and not current.is_symlink():
        shutil.rmtree(current)
    link.replace(current)


def _quoted(text: str) -> str:
    return text.replace("'", "''")
