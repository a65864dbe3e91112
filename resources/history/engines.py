"""Connections to SQLite files that stay open from one query to the next, shared by all that a process does.

Opening a file, asking for its schema and closing it again, which as the last to do so also folds the write-ahead log into
it, costs more than nearly every query here. A new engine would moreover translate each query anew.
"""

import atexit
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool, QueuePool

from brain_assets.resources.errors import DamagedError, disk_full, says_full

# Every run has a file of its own: those that were not used for longest are closed.
MOST_OPEN = 16
KEPT_PER_FILE = 4
# As Dagster has it: somebody else's commit may take that long on a slow disk.
BUSY_SECONDS = 30

_Identity = tuple[str, int, int]
_open: OrderedDict[_Identity, Engine] = OrderedDict()
_inherited: list[Engine] = []
_lock = threading.Lock()


@contextmanager
def transaction(path: str) -> Iterator[Connection]:
    """Yield a connection to a file in a transaction that commits with the block, and is undone with an exception.

    Raises
    ------
    DamagedError
        If the file is no longer what was written.
    StoreError
        If the disk is full.
    """
    with told(path), engine_of(path).begin() as connection:
        yield connection


@contextmanager
def told(path: str) -> Iterator[None]:
    """Say in one line what became of a file of the history; raises as `transaction` does."""
    try:
        yield
    except DatabaseError as error:
        text = str(error.orig)
        if "malformed" in text or "not a database" in text:
            raise DamagedError(
                f"Dagster's history is damaged ({path}: {text}): 'brain doctor --repair' sets it aside and begins a new one; no"
                " dataset loses anything by it"
            ) from error
        if says_full(text, Path(path).parent):
            raise disk_full(Path(path).parent, text) from error
        raise


def engine_of(path: str) -> Engine:
    """Return the engine of a file, whose connections are kept; of one that is not there yet, an engine that makes it."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return _engine(path, poolclass=NullPool)
    # A file that was removed and made again under its name is another one.
    identity = (path, found.st_dev, found.st_ino)
    with _lock:
        if identity not in _open:
            _open[identity] = _engine(path, poolclass=QueuePool, pool_size=KEPT_PER_FILE, max_overflow=-1)
        _open.move_to_end(identity)
        engine = _open[identity]
        surplus = [_open.popitem(last=False)[1] for _ in range(len(_open) - MOST_OPEN)]
    for unused in surplus:
        unused.dispose()
    return engine


def close(path: str) -> None:
    """Close what is open of a file, as it is about to be deleted."""
    with _lock:
        closed = [_open.pop(identity) for identity in list(_open) if identity[0] == path]
    for engine in closed:
        engine.dispose()


def _engine(path: str, **pool: Any) -> Engine:
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_SECONDS}, **pool)
    event.listen(engine, "connect", _prepare)
    return engine


def _prepare(connection: Any, _: object) -> None:
    """Have commits wait for the disk at checkpoints only.

    With a write-ahead log a process that is killed loses nothing by this; a machine that loses power may lose the last
    seconds of the history, and never leaves it damaged.
    """
    connection.execute("pragma synchronous = normal")


def _close_all() -> None:
    with _lock:
        engines = list(_open.values())
        _open.clear()
    for engine in engines:
        engine.dispose()


def _leave_to_parent() -> None:
    """Leave the connections of its parent alone in a process that was forked: to close them would be to use them."""
    global _lock
    _lock = threading.Lock()  # a thread of the parent's may have held the former
    _inherited.extend(_open.values())
    _open.clear()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_leave_to_parent)
