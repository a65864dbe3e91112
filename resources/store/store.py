"""The DuckDB file of one dataset: short transactions that stamp what they change.

Every transaction that changes rows takes the next *change number*; each row it writes carries it in ``changed``, and
``versions`` knows the newest number of every table. Whoever remembers the number it has seen can ask what is new.
The file belongs to the run that holds the dataset's lock; everybody else reads what was published.
"""

import json
import re
import shutil
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from brain_assets.resources.errors import DamagedError, MemoryExhausted, StoreError, disk_full, naming_full_disk
from brain_assets.resources.machine import available_memory
from brain_assets.resources.store import interrupts

# By the number that starts the file's name; each is applied once.
MIGRATIONS = {
    int(entry.name.partition("_")[0]): entry
    for entry in files("brain_assets.resources.store.schema").iterdir()
    if entry.name.endswith(".sql")
}
# What the machine may do at any time, unlike an error in our own SQL.
WORLDLY = (duckdb.OperationalError, duckdb.FatalException, duckdb.InternalError)
# What a database may write to disk when its memory is full, unless it is told otherwise.
SPILL = "20GB"
# A database takes more memory only where what it has is no more than this share of what the machine has left.
MOST_OF_FREE = 0.5
# A commit that runs out of memory says so in other words.
OUT_OF_MEMORY = ("Out of Memory", "failed to pin block", "failed to allocate", "could not allocate", "std::bad_alloc")
DISK_FULL = ("No space left", "Disk quota", "File too large")
UNCOMPARED = {"changed", "added_at", "changed_at", "calibrated_at", "measured_at"}
Value = TypeVar("Value")


@dataclass(frozen=True)
class Merge:
    """Rows that shall stand in a table.

    Attributes
    ----------
    table : str
        Name of the table.
    rows : pyarrow.Table or str
        The rows, or the query that gives them; columns in any order, those left out are NULL.
    within : str, optional
        SQL condition. Rows of the table inside it whose key is not among ``rows`` are deleted. None deletes nothing.
    """

    table: str
    rows: pa.Table | str
    within: str | None = None


@dataclass
class Counts:
    """Rows that a merge wrote."""

    added: int = 0
    changed: int = 0
    deleted: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.added + other.added, self.changed + other.changed, self.deleted + other.deleted)

    @property
    def total(self) -> int:
        """All rows touched."""
        return self.added + self.changed + self.deleted


@dataclass
class Transaction:
    """Changes that become visible together."""

    connection: duckdb.DuckDBPyConnection
    store: "Store"
    number: int
    touched: dict[str, Counts] = field(default_factory=dict)

    def merge(self, merge: Merge) -> Counts:
        """Bring a table to hold ``merge.rows``; rows that stand there already keep their change number."""
        if merge.within is not None:
            self.store.note(f"select 1 from {merge.table} where {merge.within}")
        table, key, counts = merge.table, self.store.keys[merge.table], Counts()
        is_empty = self._is_empty(table)
        if is_empty and isinstance(merge.rows, pa.Table) and not merge.rows.num_rows:
            self._touch(table, counts)
            return counts
        staged = self._stage(merge)
        if staged > 1:
            self._refuse_twice(table, key)
        same_key = " and ".join(f"{table}.{name} = staged.{name}" for name in key)
        if merge.within is not None and not is_empty:
            absent = f" and not exists (select 1 from staged where {same_key})" if staged else ""
            counts.deleted = self._count(f"delete from {table} where ({merge.within}){absent}")
        if staged:
            changed, columns = 0, self._staged_columns(merge)
            if not is_empty:
                changed = self._clear_changed(table, same_key, [name for name in columns if name not in key])
            names = ", ".join(columns)
            written = self._count(f"insert into {table} ({names}, changed) select {names}, {self.number} from staged")
            counts.added, counts.changed = written - changed, changed
        self._run("drop table staged")
        self._touch(table, counts)
        return counts

    def delete(self, table: str, condition: str) -> Counts:
        """Delete the rows of a table that meet an SQL condition."""
        self.store.note(f"select 1 from {table} where {condition}")
        counts = Counts(deleted=self._count(f"delete from {table} where {condition}"))
        self._touch(table, counts)
        return counts

    def create(self, table: str, columns: Mapping[str, str], key: Sequence[str]) -> None:
        """Create a table that is not part of the schema, in place of one of this name."""
        self._run(f"drop table if exists {table}")
        self._run(f"create table {table} ({', '.join(f'{name} {kind}' for name, kind in columns.items())})")
        self.put("keys", table_name=table, columns=list(key))
        self.store.keys[table] = list(key)
        self.store.tables.add(table)
        self._touch(table, Counts(changed=1))

    def put(self, table: str, **row: Any) -> None:
        """Write a row of a bookkeeping table in place of the one that has its key: cheaper than to have DuckDB find out."""
        key = self.store.keys[table]
        self._run(
            f"delete from {table} where {' and '.join(f'{name} = ?' for name in key)}", [row[name] for name in key]
        )
        self._run(f"insert into {table} ({', '.join(row)}) values ({', '.join('?' * len(row))})", [*row.values()])

    def execute(self, query: str, parameters: Sequence[Any] = ()) -> duckdb.DuckDBPyConnection:
        """Run a statement on a bookkeeping table, which carries no change numbers."""
        return self._run(query, parameters)

    def _run(self, query: str, parameters: Sequence[Any] = ()) -> duckdb.DuckDBPyConnection:
        # The handler of a signal that ended the statement runs on the way out of here, not amid the rollback.
        with told(self.store.path):
            return self.connection.execute(query, parameters)

    def mark(self, table: str) -> None:
        """Let whoever reads a bookkeeping table know that it is another now."""
        self._touch(table, Counts(changed=1))

    def _stage(self, merge: Merge) -> int:
        """Lay the rows beside the table, and return how many they are."""
        if isinstance(merge.rows, str):
            self.store.note(merge.rows)
            return self._count(f"create temp table staged as {merge.rows}")
        self.connection.register("incoming", merge.rows)
        try:
            return self._count("create temp table staged as select * from incoming")
        finally:
            self.connection.unregister("incoming")

    def _staged_columns(self, merge: Merge) -> list[str]:
        if isinstance(merge.rows, pa.Table):
            return [name for name in merge.rows.column_names if name != "changed"]
        return [name for name, *_ in self._run("from staged limit 0").description or () if name != "changed"]

    def _is_empty(self, table: str) -> bool:
        """Return whether a table has no rows; asked of those alone that nothing was ever written to, as in a first run."""
        if table in self.store.versions or table in self.touched:
            return False
        return not self._run(f"select 1 from {table} limit 1").fetchall()

    def _clear_changed(self, table: str, same_key: str, columns: Sequence[str]) -> int:
        """Leave staged what does not stand in the table as it is, delete what that replaces, and return how many rows it is."""
        # Of the whole table only keys are read; the other columns only of the rows that stand there already.
        standing = f"select {table}.rowid as place, staged.rowid as row from {table} join staged on {same_key}"
        changed = 0
        if self._count(f"create temp table standing as {standing}"):
            self._drop_unchanged(table, [name for name in columns if name not in UNCOMPARED])
            other = "select place from standing join staged on staged.rowid = standing.row"
            changed = self._count(f"delete from {table} where rowid in ({other})")
        self._run("drop table standing")
        return changed

    def _refuse_twice(self, table: str, key: Sequence[str]) -> None:
        """Raise where two staged rows have one key, as not every table has an index that would."""
        names = ", ".join(key)
        twice = self.store.rows(f"select {names} from staged group by {names} having count(*) > 1 limit 1")
        if twice:
            named = ", ".join(f"{name} {value!r}" for name, value in zip(key, twice[0], strict=True))
            raise StoreError(
                f"{self.store.path}: two rows for the table {table} have one key ({named}): nothing was written"
            )

    def _drop_unchanged(self, table: str, compared: Sequence[str]) -> None:
        """Take from the staged rows those that stand in the table as they are."""
        same = " and ".join(["true", *(f"{table}.{name} is not distinct from staged.{name}" for name in compared)])
        # Materialized, as the comparisons would else be taken for ways to join: by a label that ten thousand rows have.
        self._run(f"""
            delete from staged where rowid in (
                with compared as materialized (
                    select standing.row, {same} as same from standing join {table} on {table}.rowid = standing.place
                    join staged on staged.rowid = standing.row)
                select row from compared where same)""")

    def _count(self, statement: str) -> int:
        return int(self._run(statement).fetchall()[0][0])

    def _touch(self, table: str, counts: Counts) -> None:
        self.touched[table] = self.touched.get(table, Counts()) + counts

    def number_changes(self, run_id: str, asset: str) -> dict[str, int]:
        """Note who changed how many rows, where any were changed, and return the newest number of each table of them."""
        versions = {table: self.number for table, counts in self.touched.items() if counts.total}
        if versions:
            rows = sum(counts.total for counts in self.touched.values())
            self._run("insert into changes values (?, ?, ?, ?, now())", [self.number, run_id, asset, rows])
            self._run("delete from versions where list_contains(?, table_name)", [[*versions]])
            self._run("insert into versions select unnest(?), ?", [[*versions], self.number])
        return versions


class Store:
    """One open DuckDB file; made and migrated where needed.

    Parameters
    ----------
    path : Path
        The file.
    memory : str
        What the database may hold in memory, such as ``512MB``; beyond it works on disk, beside the file.
    spill : str
        What it may write there, such as ``20GB``; a query that needs more fails, and the disk does not fill up.
    may_grow : bool
        Whether it may hold more in memory where a query cannot do with that, see `grow`.

    Raises
    ------
    StoreError
        If the file is held by another process, is not a database, or was made by a newer version.
    """

    def __init__(self, path: Path, memory: str = "512MB", spill: str = SPILL, *, may_grow: bool = False) -> None:
        self.path, self.may_grow, self.memory = path, may_grow, bytes_of(memory)
        self._noted: set[str] | None = None
        self._provisional = False
        folder = path.with_suffix(".spill")
        with told(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                _make(path)
            self.connection = duckdb.connect(
                str(path),
                config={"preserve_insertion_order": "false", "memory_limit": memory, "temp_directory": str(folder)},
            )
            # Now that the file is ours alone, what lies here was left by a process that was killed.
            shutil.rmtree(folder, ignore_errors=True)
            interrupts.watch(self.connection)
            try:
                bound_spill(self.connection, spill)
                self.connection.execute("set timezone = 'UTC'")
                _migrate(self.connection, path)
                self.keys = self._keys()
                listed = self.connection.execute(
                    "select table_name from duckdb_tables() where not temporary"
                ).fetchall()
                self.tables = {name for (name,) in listed}
                self.views = _views(self.connection)
                # Nobody else writes to the file while it is ours: what is known of these is kept in step with it.
                self.number = int(self.value("select coalesce(max(number), 0) from changes"))
                self.versions: dict[str, int] = dict(self.rows("select table_name, number from versions"))
                self._known: dict[str, list[tuple[Any, ...]]] = {}
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Let go of the file, and of the connection object, which whoever remembers the store would keep alive."""
        interrupts.unwatch(self.connection)
        self.connection.close()
        del self.connection

    def grow(self) -> str | None:
        """Let the database hold twice as much in memory, where it may and half of what the machine has left is enough for it.

        Not every query can work on disk with what it needs: of a million images some take more than of a hundred thousand.

        Returns
        -------
        str or None
            What it may hold from now on; None where it stays as it is, as where nobody knows what the machine has left.
        """
        free = available_memory()
        if not self.may_grow or self._provisional or free is None or self.memory > free * MOST_OF_FREE:
            return None
        self.memory *= 2
        limit = f"{self.memory // 1_000_000}MB"
        self.rows(f"set memory_limit = '{limit}'")
        return limit

    def growing(self, work: Callable[[], Value]) -> Value:
        """Return what some work gives, which is done again with more memory as long as it runs out of it and may have more."""
        while True:
            try:
                return work()
            except MemoryExhausted:
                if not self.grow():
                    raise

    def query(self, query: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """Return the rows of a query as one Arrow table."""
        self.note(query)
        with told(self.path):
            return self.connection.sql(query, params=list(parameters) or None).to_arrow_table()

    def columns(self, table: str) -> dict[str, str]:
        """Return the SQL type of every column of a table; none where there is no such table."""
        return {name: kind for name, kind, *_ in self.rows(f"describe {table}")} if table in self.tables else {}

    def stream(self, query: str, rows: int = 2048) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a query as they come, so that no more than some batches are in memory.

        No other query may run on the store until the last batch was taken, or the iterator closed.
        """
        self.note(query)
        with told(self.path):
            yield from self.connection.sql(query).to_arrow_reader(rows)

    def value(self, query: str, parameters: Sequence[Any] = ()) -> Any:
        """Return the single value of a query."""
        rows = self.rows(query, parameters)
        return rows[0][0] if rows else None

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query as tuples; fetched to the end, as DuckDB allows one open result per connection."""
        self.note(query)
        with told(self.path):
            return self.connection.execute(query, parameters).fetchall()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """End the query that the block has asked when so many seconds have passed; raises TimeoutError."""
        guard, late, over = threading.Lock(), threading.Event(), threading.Event()

        def end() -> None:
            with guard:
                if not over.is_set():
                    late.set()
                    self.connection.interrupt()

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            yield
        except KeyboardInterrupt:
            # As which the end of a query is told that something other than the query ended.
            if not late.is_set():
                raise
            raise TimeoutError from None
        finally:
            with guard:
                over.set()
            timer.cancel()

    @contextmanager
    def recording(self) -> Iterator[set[str]]:
        """Collect the names of all tables that queries read inside the block, those behind views included."""
        before, self._noted = self._noted, set()
        try:
            yield self._noted
        finally:
            self._noted = before

    def note(self, query: str) -> None:
        """Note the tables that a query reads, while somebody collects them."""
        if self._noted is not None:
            self._noted |= self.tables_of(query)

    def tables_of(self, query: str) -> frozenset[str]:
        """Return the stored tables that a query reads, those behind views included; none for other statements."""
        return reads_of(query, self.views) & self.tables

    @contextmanager
    def write(self, run_id: str, asset: str) -> Iterator[Transaction]:
        """Commit what the block does, all or nothing."""
        transaction = Transaction(self.connection, self, self.number + 1)
        with told(self.path):
            if not self._provisional:
                self.connection.begin()
            try:
                yield transaction
                versions = transaction.number_changes(run_id, asset)
                if not self._provisional:
                    self.connection.commit()
            except BaseException:
                if not self._provisional:
                    self._rollback()
                raise
            finally:
                self._known.clear()
        self.versions |= versions
        self.number += bool(versions)

    @contextmanager
    def provisional(self) -> Iterator[None]:
        """Let the block see what it writes, and undo all of it at the end."""
        known = self.number, dict(self.versions)
        with told(self.path):
            self.connection.begin()
        self._provisional = True
        try:
            yield
        finally:
            self._provisional = False
            self._rollback()
            self.number, self.versions = known
            self._known.clear()

    def version(self, tables: Collection[str]) -> int:
        """Return the newest change number of ``tables``, 0 when nothing was ever written."""
        return max((self.versions.get(name, 0) for name in tables), default=0)

    def known(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query of bookkeeping tables, asked once until something is written."""
        if query not in self._known:
            self._known[query] = self.rows(query)
        return self._known[query]

    def fact(self, name: str) -> Any:
        """Return a remembered value, or None."""
        text = dict(self.known("select name, value from facts")).get(name)
        return None if text is None else json.loads(text)

    def _rollback(self) -> None:
        try:
            self.connection.rollback()
        except duckdb.Error:
            # A fatal error has already ended the transaction; the first error is the one to tell.
            return

    def _keys(self) -> dict[str, list[str]]:
        """Return the columns that name a row of each table: its primary key, or what `keys` says where it has no index."""
        return dict(
            self.rows("""
            select table_name, constraint_column_names from duckdb_constraints() where constraint_type = 'PRIMARY KEY'
            union all select table_name, columns from keys""")
        )


def _make(path: Path) -> None:
    """Make the file whole under another name first, so that a kill or a full disk never leaves a part of it in its place."""
    draft = path.with_name(f".{path.name}")
    _remove(draft)
    try:
        with duckdb.connect(str(draft)) as connection:
            _migrate(connection, path)
            # What closing cannot write it leaves beside the file, and says nothing.
            connection.execute("checkpoint")
        draft.replace(path)
    except BaseException:
        _remove(draft)
        raise


def _remove(path: Path) -> None:
    for left in (path, path.with_name(f"{path.name}.wal")):
        left.unlink(missing_ok=True)


def _migrate(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Apply the migrations that a store has not seen; `path` is how messages name it."""
    connection.execute("create table if not exists schema_version (version integer not null)")
    applied = {version for (version,) in connection.execute("select version from schema_version").fetchall()}
    if newer := applied - MIGRATIONS.keys():
        newest = max(MIGRATIONS)
        raise StoreError(f"{path} was made by a newer version (schema {max(newer)}, known {newest}): upgrade")
    for number in sorted(MIGRATIONS.keys() - applied):
        connection.begin()
        connection.execute(MIGRATIONS[number].read_text("utf-8"))
        connection.execute("insert into schema_version values (?)", [number])
        connection.commit()


def bytes_of(size: str) -> int:
    """Return the bytes of a size as settings have it.

    Examples
    --------
    >>> bytes_of("512MB"), bytes_of("1.5 GiB")
    (512000000, 1610612736)
    """
    number, unit = re.split(r" ?(?=[KMGT])", size)
    base, power = 1024 if "i" in unit else 1000, "KMGT".index(unit[0]) + 1
    return round(float(number) * int(base**power))


def bound_spill(connection: duckdb.DuckDBPyConnection, spill: str = SPILL) -> None:
    """Limit what queries may write to disk; given to ``connect``, DuckDB shows the limit and ignores it."""
    connection.execute(f"set max_temp_directory_size = '{spill}'")


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Say in one line what the world did to the database; errors in our own SQL stay what they are.

    Raises
    ------
    StoreError
        The line.
    KeyboardInterrupt
        Where a signal ended the query.
    """
    try:
        with (
            ended(f"{path}: the database needs more memory, raise `memory` in settings.yaml"),
            naming_full_disk(path.parent),
        ):
            yield
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error
    except duckdb.Error as error:
        # A damaged block is reported as the base class.
        if type(error) is duckdb.Error or isinstance(error, WORLDLY):
            raise _said(path, " ".join(str(error).split())) from error
        raise


@contextmanager
def ended(advice: str) -> Iterator[None]:
    """Say in one line that a query ran out of memory, with what to do, and that a signal ended it by an interrupt.

    Raises
    ------
    MemoryExhausted
        ``advice``, with DuckDB's own words.
    KeyboardInterrupt
        Where a signal ended the query.
    """
    try:
        yield
    except (duckdb.Error, RuntimeError) as error:
        text = " ".join(str(error).split())
        if interrupts.was_interrupted(error):
            raise KeyboardInterrupt from None
        if isinstance(error, duckdb.Error) and out_of_memory(text):
            raise MemoryExhausted(f"{advice}: {text}") from error
        raise


def out_of_memory(text: str) -> bool:
    """Return whether memory ran out, and not the disk on which a query goes on; its error names memory too."""
    disk = _disk_full(text) or "max_temp_directory_size" in text
    return not disk and any(sign in text for sign in OUT_OF_MEMORY)


def _disk_full(text: str) -> bool:
    return any(sign in text for sign in DISK_FULL)


def _said(path: Path, text: str) -> StoreError:
    """Return what to say of an error of the database."""
    if _disk_full(text):
        return disk_full(path.parent, text)
    if "max_temp_directory_size" in text:
        return StoreError(
            f"{path}: the database needs more disk than `spill` in settings.yaml allows,"
            f" raise it, or `memory` (nothing was lost): {text}"
        )
    if "Could not set lock" in text:
        return StoreError(f"{path} is open in another program, close it there: {text}")
    if "not a valid DuckDB" in text or "orrupt" in text or "enough bytes" in text:
        name = path.parent.name
        return DamagedError(
            f"{path} is damaged: 'brain doctor {name} --repair' sets it aside, and 'brain materialize {name}' makes it again:"
            f" {text}"
        )
    return StoreError(f"{path}: {text}")


def empty() -> duckdb.DuckDBPyConnection:
    """Return a new database in memory that has all tables and views, and no rows."""
    connection = duckdb.connect()
    for number in sorted(MIGRATIONS):
        connection.execute(MIGRATIONS[number].read_text("utf-8"))
    return connection


@cache
def _schema() -> duckdb.DuckDBPyConnection:
    return empty()


@contextmanager
def trying() -> Iterator[duckdb.DuckDBPyConnection]:
    """Give the empty database, to be added to or asked; what a block that raises has added is taken back."""
    connection = _schema()
    connection.begin()
    try:
        yield connection
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def wrong_condition(condition: str) -> str | None:
    """Return why an SQL condition cannot be asked of samples, in one line; None where it can."""
    try:
        _schema().execute(f"explain select 1 from sample_facts where ({condition})")
    except duckdb.Error as error:
        return str(error).partition("\n")[0]
    return None


def reads_of(query: str, views: Mapping[str, str]) -> frozenset[str]:
    """Return the names of all tables that a query reads, those behind views included; none for other statements.

    Parameters
    ----------
    query : str
    views : mapping of str to str
        The query of every view.
    """
    named, open_ = set[str](), set(_named(query))
    while open_:
        name = open_.pop()
        if name not in named:
            named.add(name)
            open_ |= _named(views[name]) if name in views else set()
    return frozenset(named - views.keys())


@cache
def _parser() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


@lru_cache(4096)
def _named(query: str) -> frozenset[str]:
    """Return the names of tables and views that the syntax tree of a query holds, without those it defines itself."""
    (tree,) = _parser().execute("select json_serialize_sql(?)", [query]).fetchall()[0]
    return frozenset(re.findall(r'"table_name":"([^"]+)"', tree)) - set(re.findall(r'"key":"([^"]+)","value":', tree))


def _views(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Return the query of every view."""
    rows = connection.execute("select view_name, sql from duckdb_views() where not internal").fetchall()
    return {name: sql.partition(" AS ")[2].rstrip("; \n") for name, sql in rows}
