"""File locks that say who holds them; the kernel lets go of them when a process dies."""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from resources.errors import LockedError

POLL_SECONDS = 0.1


@contextmanager
def exclusive(
    path: Path, purpose: str, *, timeout: float = 0.0, waiting: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Hold ``path`` alone while the block runs.

    Parameters
    ----------
    path : Path
        The lock file; it is made where missing and never removed.
    purpose : str
        What the holder does, told to whoever waits.
    timeout : float
        Seconds to wait for another holder.
    waiting : callable, optional
        Called once with a line that names the holder, when there is one to wait for.

    Raises
    ------
    LockedError
        If another process still holds the lock after ``timeout``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as handle:
        _wait(handle, path, timeout, waiting)
        _sign(handle, purpose)
        try:
            yield
        finally:
            handle.truncate(0)


@contextmanager
def shared(path: Path) -> Iterator[None]:
    """Hold ``path`` together with other readers while the block runs; raises FileNotFoundError when it is gone."""
    with path.open("r") as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield


@contextmanager
def unless_shared(path: Path) -> Iterator[bool]:
    """Yield whether nobody holds ``path``, and keep readers out while the block runs if so."""
    with path.open("r") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def holder(path: Path) -> str | None:
    """Return a phrase that names who holds ``path``, or None when it is free."""
    try:
        with path.open("r") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _signature(handle)
    except FileNotFoundError:
        pass
    return None


def _wait(handle: IO[str], path: Path, timeout: float, waiting: Callable[[str], None] | None) -> None:
    deadline = time.monotonic() + timeout
    told = False
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = _signature(handle)
            if time.monotonic() >= deadline:
                raise LockedError(f"{path.parent.name} is in use by {who}; wait for it or stop it") from None
            if waiting and not told:
                waiting(f"waiting for {who}")
                told = True
            time.sleep(POLL_SECONDS)
        else:
            return


def _sign(handle: IO[str], purpose: str) -> None:
    handle.truncate(0)
    signature = {"pid": os.getpid(), "purpose": purpose, "since": datetime.now(UTC).isoformat(timespec="seconds")}
    handle.write(json.dumps(signature))
    handle.flush()


def _signature(handle: IO[str]) -> str:
    handle.seek(0)
    try:
        signature = json.loads(handle.read())
    except ValueError:
        return "another process"
    return f"{signature['purpose']} (process {signature['pid']}, since {signature['since']})"
