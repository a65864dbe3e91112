"""A signal ends the query that is under way.

Python runs its handlers between two of its own instructions, so while the database works on one of its own, which may
take minutes, Ctrl-C would only be noted. The signal's number is therefore also written to a socket, where a thread waits
that interrupts all open connections; the query fails at once, and the handler runs.
"""

import atexit
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from weakref import WeakSet

import duckdb

ENDING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
_connections: "WeakSet[duckdb.DuckDBPyConnection]" = WeakSet()
_lock = threading.Lock()


class _Watch:
    """The socket that signals are told to, and who had asked to be told before."""

    def __init__(self) -> None:
        self.told, self.teller = socket.socketpair()
        self.teller.setblocking(False)
        self.before = -1
        self.thread = threading.Thread(target=self._wait, name="interrupts", daemon=True)
        self.thread.start()
        # A thread that still waits would keep the database's module alive, which then complains on stderr.
        atexit.register(self._close)

    def _close(self) -> None:
        self.end()
        self.teller.close()
        self.thread.join(1)
        self.told.close()

    def begin(self) -> None:
        """Have signals told to us, which is for the main thread to ask; in others no handler runs."""
        if threading.current_thread() is threading.main_thread():
            before = signal.set_wakeup_fd(self.teller.fileno(), warn_on_full_buffer=False)
            self.before = self.before if before == self.teller.fileno() else before

    def end(self) -> None:
        """Have them told to whom they were told before."""
        if threading.current_thread() is threading.main_thread():
            current = signal.set_wakeup_fd(-1)
            signal.set_wakeup_fd(self.before if current == self.teller.fileno() else current)

    def _wait(self) -> None:
        while numbers := self.told.recv(256):
            if ENDING & set(numbers):
                _interrupt_all()
            if self.before >= 0:
                with suppress(OSError):
                    os.write(self.before, numbers)


_watch: _Watch | None = None


def watch(connection: duckdb.DuckDBPyConnection) -> None:
    """Have a signal end what the connection does."""
    global _watch
    with _lock:
        _watch = _watch or _Watch()
        _connections.add(connection)
        _watch.begin()


def unwatch(connection: duckdb.DuckDBPyConnection) -> None:
    """Leave the connection alone, which is about to be closed."""
    with _lock:
        _connections.discard(connection)
        if _watch and not _connections:
            _watch.end()


@contextmanager
def ending_on_signals(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Have a signal end what the connection does while the block runs."""
    watch(connection)
    try:
        yield
    finally:
        unwatch(connection)


def was_interrupted(error: BaseException) -> bool:
    """Return whether this is what a query ends with on a signal; DuckDB has an error of its own, and one of Python's."""
    return isinstance(error, duckdb.InterruptException) or (
        isinstance(error, RuntimeError) and str(error) == "Query interrupted"
    )


def _interrupt_all() -> None:
    with _lock:
        for connection in list(_connections):
            with suppress(duckdb.Error):
                connection.interrupt()


def _forget() -> None:
    """Have a forked child tell its signals to nobody, and begin anew where it opens a connection."""
    global _watch, _lock
    if _watch:
        signal.set_wakeup_fd(-1)
        atexit.unregister(_watch._close)
    _watch, _lock = None, threading.Lock()
    _connections.clear()


os.register_at_fork(after_in_child=_forget)
