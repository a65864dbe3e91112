"""Published sets held open: one confined in-memory DuckDB per set, with a view over each of its tables."""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from brain_assets.resources.errors import MissingError
from brain_assets.resources.settings.home import DatasetPaths, Home
from brain_assets.resources.store import deltas, history
from brain_assets.resources.store.history import History, Published, open_history
from brain_assets.resources.store.publishing import make_views, open_set
from brain_assets.review.refusal import Refused

Frame = Literal["images", "objects"]
PAST = "past-"
"""What names of versions begin with that are no longer current; their number follows."""
IDLE_SECONDS = 300.0
"""How long an earlier version is held open for nobody: meanwhile none of the history is given up."""

# Settings that hold before and after the lock; user SQL runs inside the same walls as our own.
START = {
    "python_enable_replacements": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
}
# What is shown of every image; it is kept in memory in the order of positions, where a few rows are found at once.
CARD = ("filepath", "status", "error", "content_hash", "split")
OBJECT_CARD = ("label", "source", "confidence", "x", "y", "width", "height")
# Filled from the page's own store, so that what was just said counts before the pipeline has taken it in.
REVIEW_TABLES = (
    "create table review_tags (subject_id varchar, tag varchar)",
    "create table review_decisions (subject_id varchar, kind varchar, content_hash varchar)",
)


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
    past : tuple of History and Published, or None
        The earlier version that is read back from this set, if it is not the set itself.
    damaged : set of str
        Tables that are seen as empty until the next run writes them again.
    tables : dict of str to dict of str to str
        Columns of each table, with DuckDB's names of their types.
    """

    paths: DatasetPaths
    folder: Path
    past: tuple[History, Published] | None = None
    memory: str = "2GB"
    users: int = 0
    used_at: float = 0.0
    damaged: set[str] = field(default_factory=set)
    tables: dict[str, dict[str, str]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    memo: dict[str, Any] = field(default_factory=dict)
    turns: dict[str, threading.Lock] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.database = duckdb.connect(":memory:", config=dict(START))
        if self.past:
            history.make_views(self.database, *self.past)
        else:
            self.damaged = make_views(self.database, self.folder, tolerant=True)
        for (name,) in self.database.execute("select view_name from duckdb_views() where not internal").fetchall():
            described = self.database.execute(f"describe {quote(name)}").fetchall()
            self.tables[name] = {row[0]: row[1] for row in described}
        for statement in REVIEW_TABLES:
            self.database.execute(statement)
        self._confine()

    def _confine(self) -> None:
        folders = [self.folder, *([deltas.folder_of(self.past[0].published)] if self.past else [])]
        for setting in (
            f"allowed_directories=[{', '.join(literal(f'{folder}/') for folder in folders)}]",
            "temp_directory=''",
            "TimeZone='UTC'",
            f"memory_limit={literal(self.memory)}",
            "enable_external_access=false",
            "lock_configuration=true",
        ):
            self.database.execute(f"set {setting}")

    @property
    def version(self) -> str:
        """What the browser quotes."""
        return f"{PAST}{self.past[1].number}" if self.past else self.folder.name

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a connection of the caller's own to the set's database."""
        return self.database.cursor()

    def has(self, table: str, *columns: str) -> bool:
        """Return whether a table is published and has these columns."""
        return table in self.tables and set(columns) <= self.tables[table].keys()

    def frames(self) -> list[Frame]:
        """Return the kinds of subject that can be shown."""
        with self.lock:
            if "frames" not in self.memo:
                known = (
                    self.has("objects", "object_id")
                    and self.cursor().execute("select 1 from objects limit 1").fetchone()
                )
                self.memo["frames"] = ["images", "objects"] if known else ["images"]
        found: list[Frame] = self.memo["frames"]
        return found

    def table(self, name: str, query: str) -> str:
        """Return the identifier of a table in memory, made from a query when it is first asked for."""
        with self.lock:
            turn = self.turns.setdefault(name, threading.Lock())
        with turn:
            if name not in self.memo:
                self.cursor().execute(f"create table {quote(name)} as {query}")
                self.memo[name] = True
        return quote(name)

    def frame(self, frame: Frame) -> str:
        """Return the table that numbers the subjects in the order of their ids, with what cards show of them.

        A position is valid within one version. Both have position, subject_id; images have the columns of ``CARD``,
        objects those of ``OBJECT_CARD`` and the position of their image, ``sample_at``.
        """
        if frame not in self.frames():
            raise Refused(404, f"this dataset has no {frame}")
        numbered = f"select (row_number() over () - 1)::integer as position, * from ({self._ordered(frame)})"
        return self.table(f"{frame}_frame", numbered)

    def _ordered(self, frame: Frame) -> str:
        if frame == "images":
            return f"select sample_id as subject_id, {self._known('samples', CARD)} from samples order by sample_id"
        shown = self._known("objects", OBJECT_CARD)
        images = f"select position as sample_at, subject_id as sample_id from {self.frame('images')}"
        joined = f"objects join ({images}) using (sample_id)"
        return f"select object_id as subject_id, sample_at, {shown} from {joined} order by object_id"

    def _known(self, table: str, names: tuple[str, ...]) -> str:
        known = {name: quote(name) if self.has(table, name) else f"null::varchar as {quote(name)}" for name in names}
        return ", ".join(known.values())

    def ids(self, frame: Frame) -> NDArray[np.bytes_]:
        """Return the ids of a frame by position, which is to say ascending."""
        with self.lock:
            if f"ids of {frame}" not in self.memo:
                query = f"select subject_id from {self.frame(frame)} order by position"
                self.memo[f"ids of {frame}"] = _bytes_of(self.cursor().sql(query).to_arrow_table()["subject_id"])
            found: NDArray[np.bytes_] = self.memo[f"ids of {frame}"]
        return found

    def positions(self, frame: Frame, ids: Iterable[str]) -> list[int]:
        """Return the position of each id, -1 for those that this set does not know."""
        known, wanted = self.ids(frame), [text.encode("utf-8", "replace") for text in ids]
        if not len(known):
            return [-1] * len(wanted)
        if not wanted:
            return []
        places = np.minimum(np.searchsorted(known, np.array(wanted, np.bytes_)), len(known) - 1).tolist()
        return [place if known[place] == text else -1 for place, text in zip(places, wanted, strict=True)]

    def count(self, frame: Frame) -> int:
        """Return the number of subjects of a frame."""
        return len(self.ids(frame))

    def close(self) -> None:
        """Forget the database."""
        self.database.close()


def _bytes_of(words: pa.ChunkedArray) -> NDArray[np.bytes_]:
    """Return words as an array of bytes; ids are all of one length, and then the memory is taken as it is."""
    whole = words.cast(pa.binary()).combine_chunks()
    lengths = pc.binary_length(whole).unique().to_pylist()
    if len(lengths) == 1 and lengths[0]:
        fixed = whole.cast(pa.binary(lengths[0]))
        return np.frombuffer(fixed.buffers()[1], f"S{lengths[0]}", len(fixed))
    return np.array(whole.to_pylist(), np.bytes_)


@contextmanager
def _history(paths: DatasetPaths) -> Iterator[History]:
    """Yield what was published of a dataset; what it does not hold is refused (404)."""
    try:
        with open_history(paths.published) as found:
            yield found
    except MissingError as error:
        raise Refused(404, str(error)) from None


class Sets:
    """The few sets that are held open with their leases, the least recently used given up first.

    Parameters
    ----------
    home : Home
        Where the datasets lie.
    capacity : int
        Sets held open beside those in use.
    """

    def __init__(self, home: Home, capacity: int = 4) -> None:
        self.home = home
        self.capacity = capacity
        self.lock = threading.Lock()
        self.held: OrderedDict[tuple[str, str], tuple[OpenSet, ExitStack]] = OrderedDict()
        self.tidying: threading.Timer | None = None

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

    def past_version(self, dataset: str, spec: str) -> str:
        """Return the version that a number, a tag or a date names.

        Raises
        ------
        Refused
            404 where there is none.
        """
        with _history(self.paths(dataset)) as found:
            version = found.at(spec)
            return f"{PAST}{version.number}" if version.steps else found.path.name

    def versions(self, dataset: str) -> list[Published]:
        """Return what was published, the newest first."""
        with _history(self.paths(dataset)) as found:
            return list(found.versions)

    @contextmanager
    def change(self, dataset: str, version: str | None = None) -> Iterator[OpenSet]:
        """Yield a set as `use` does, to say something of it; raises Refused (409) of an earlier version."""
        if version and version.startswith(PAST):
            raise Refused(409, "this is what was published then: go back to now to decide")
        with self.use(dataset, version) as opened:
            yield opened

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
                if opened.past:
                    self._tidy_later()

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
            if wanted.startswith(PAST):
                found = stack.enter_context(_history(paths))
                opened = OpenSet(paths, found.path, (found, found.at(wanted.removeprefix(PAST))))
            else:
                folder = stack.enter_context(open_set(paths.published))
                if folder.name != wanted:
                    raise Refused(410, "newer data has been published; reload to see it")
                opened = OpenSet(paths, folder)
            stack.callback(opened.close)
            self.held[dataset, wanted] = opened, stack.pop_all()

    def _tidy_later(self) -> None:
        """Have earlier versions given up that nobody looks at for a while, though nobody asks for anything then."""
        if self.tidying is None:
            self.tidying = threading.Timer(IDLE_SECONDS + 1, self._tidy)
            self.tidying.daemon = True
            self.tidying.start()

    def _tidy(self) -> None:
        with self.lock:
            self.tidying = None
            self._evict()
            if any(opened.past for opened, _ in self.held.values()):
                self._tidy_later()

    def _evict(self) -> None:
        idle = {key: opened for key, (opened, _) in self.held.items() if not opened.users}
        since = time.monotonic() - IDLE_SECONDS
        left = [key for key, opened in idle.items() if opened.past and opened.used_at < since]
        surplus = [key for key in idle if key not in left][: max(0, len(self.held) - len(left) - self.capacity)]
        for key in (*left, *surplus):
            self.held.pop(key)[1].close()

    def close(self) -> None:
        """Give up all sets."""
        with self.lock:
            while self.held:
                self.held.popitem()[1][1].close()
