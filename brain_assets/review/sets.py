"""Published sets held open: one confined in-memory DuckDB per set, with a view over each of its tables."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import duckdb

from brain_assets.review.refusal import Refused
from resources.home import DatasetPaths, Home

Frame = Literal["images", "objects"]
OpenCurrent = Callable[[DatasetPaths], AbstractContextManager[Path]]

# Settings that hold before and after the lock; user SQL runs inside the same walls as our own.
START = {
    "python_enable_replacements": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
}
FRAMES = {
    "images": "select sample_id as subject_id, sample_id from samples",
    "objects": "select object_id as subject_id, sample_id from objects",
}
# Filled from the page's own store, so that what was just said counts before the pipeline has taken it in.
REVIEW_TABLES = (
    "create table review_tags (subject_id varchar, tag varchar)",
    "create table review_decisions (subject_id varchar, kind varchar, content_hash varchar)",
)


@contextmanager
def open_current(paths: DatasetPaths) -> Iterator[Path]:
    """Yield the folder of the current published set, resolved once."""
    yield (paths.published / "current").resolve(strict=True)


def quote(name: str) -> str:
    """Return ``name`` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return ``text`` as an SQL string."""
    return "'" + text.replace("'", "''").replace("\0", "") + "'"


@dataclass
class OpenSet:
    """A published set that is held open.

    Its database can read the Parquet files of the set and nothing else: no other file, no network, no setting that
    could change this.

    Attributes
    ----------
    paths : DatasetPaths
        The dataset it belongs to.
    folder : Path
        Where the set lies; its name is the version that the browser quotes.
    tables : dict of str to dict of str to str
        Columns of each table, with DuckDB's names of their types.
    """

    paths: DatasetPaths
    folder: Path
    memory: str = "2GB"
    users: int = 0
    used_at: float = 0.0
    tables: dict[str, dict[str, str]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    memo: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.database = duckdb.connect(":memory:", config=dict(START))
        for name, files in _table_files(self.folder):
            self.database.execute(f"create view {quote(name)} as select * from read_parquet({literal(files)})")
            described = self.database.execute(f"describe {quote(name)}").fetchall()
            self.tables[name] = {row[0]: row[1] for row in described}
        for statement in REVIEW_TABLES:
            self.database.execute(statement)
        self._confine()

    def _confine(self) -> None:
        for setting in (
            f"allowed_directories=[{literal(str(self.folder) + '/')}]",
            "temp_directory=''",
            "TimeZone='UTC'",
            f"memory_limit={literal(self.memory)}",
            "enable_external_access=false",
            "lock_configuration=true",
        ):
            self.database.execute(f"set {setting}")

    @property
    def version(self) -> str:
        """Name of the set."""
        return self.folder.name

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a connection of the caller's own to the set's database."""
        return self.database.cursor()

    def has(self, table: str, *columns: str) -> bool:
        """Return whether a table is published and has these columns."""
        return table in self.tables and set(columns) <= self.tables[table].keys()

    def frames(self) -> list[Frame]:
        """Return the kinds of subject that can be shown."""
        return ["images", "objects"] if self.has("objects", "object_id") else ["images"]

    def frame(self, frame: Frame) -> str:
        """Return the name of the table that numbers the subjects: position, subject_id, sample_id.

        Subjects are numbered in the order of their ids; a position is valid within one version.
        """
        if frame not in self.frames():
            raise Refused(404, f"this dataset has no {frame}")
        name = f"{frame}_frame"
        with self.lock:
            if name not in self.memo:
                ordered = f"select * from ({FRAMES[frame]}) order by subject_id"
                numbered = f"select (row_number() over () - 1)::integer as position, * from ({ordered})"
                cursor = self.cursor()
                cursor.execute(f"create table {name} as {numbered}")
                (self.memo[name],) = cursor.execute(f"select count(*) from {name}").fetchone() or (0,)
        return name

    def count(self, frame: Frame) -> int:
        """Return the number of subjects of a frame."""
        count: int = self.memo[self.frame(frame)]
        return count

    def close(self) -> None:
        """Forget the database."""
        self.database.close()


def _table_files(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the name of each table and the glob of its files."""
    for path in sorted(folder.iterdir()):
        if path.suffix == ".parquet" and path.is_file():
            yield path.stem, str(path)
        elif path.is_dir() and any(path.glob("*.parquet")):
            yield path.name, str(path / "*.parquet")


class Sets:
    """The few sets that are held open, the least recently used given up first.

    Parameters
    ----------
    home : Home
        Where the datasets lie.
    open_current : callable
        Context manager that yields the folder of a dataset's current set and keeps it from being pruned meanwhile.
    capacity : int
        Sets held open beside those in use.
    """

    def __init__(self, home: Home, open_current: OpenCurrent = open_current, capacity: int = 4) -> None:
        self.home = home
        self.open_current = open_current
        self.capacity = capacity
        self.lock = threading.Lock()
        self.held: OrderedDict[tuple[str, str], tuple[OpenSet, ExitStack]] = OrderedDict()

    def datasets(self) -> list[str]:
        """Return the names of the datasets that have published something."""
        return [name for name in self.home.names() if (self.home.paths(name).published / "current").exists()]

    def paths(self, dataset: str) -> DatasetPaths:
        """Return the files of a dataset that has published something."""
        if dataset not in self.datasets():
            raise Refused(404, "there is no such dataset, or nothing is published yet")
        return self.home.paths(dataset)

    def current_version(self, dataset: str) -> str:
        """Return the version that ``current`` names now."""
        return (self.paths(dataset).published / "current").resolve().name

    @contextmanager
    def use(self, dataset: str, version: str | None = None) -> Iterator[OpenSet]:
        """Yield a set, by default the current one, and keep it open meanwhile.

        Raises
        ------
        Refused
            404 for an unknown dataset, 410 for a version that is neither held open nor current.
        """
        opened = self._acquire(dataset, version)
        try:
            yield opened
        finally:
            with self.lock:
                opened.users -= 1
                opened.used_at = time.monotonic()
                self._evict()

    def _acquire(self, dataset: str, version: str | None) -> OpenSet:
        wanted = version or self.current_version(dataset)
        with self.lock:
            if (dataset, wanted) not in self.held:
                self._open(dataset, wanted)
            self.held.move_to_end((dataset, wanted))
            opened, _ = self.held[dataset, wanted]
            opened.users += 1
            return opened

    def _open(self, dataset: str, wanted: str) -> None:
        paths = self.paths(dataset)
        with ExitStack() as stack:
            folder = stack.enter_context(self.open_current(paths))
            if folder.name != wanted:
                raise Refused(410, "newer data has been published; reload to see it")
            opened = OpenSet(paths, folder)
            stack.callback(opened.close)
            self.held[dataset, wanted] = opened, stack.pop_all()

    def _evict(self) -> None:
        idle = [key for key, (opened, _) in self.held.items() if not opened.users]
        for key in idle[: max(0, len(self.held) - self.capacity)]:
            self.held.pop(key)[1].close()

    def close(self) -> None:
        """Give up all sets."""
        with self.lock:
            while self.held:
                self.held.popitem()[1][1].close()
