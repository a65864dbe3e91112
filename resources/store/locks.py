"""File locks that say who holds them; the kernel lets go of them when a process dies."""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from brain_assets.resources.errors import LockedError

POLL_SECONDS = 0.1
# Whoever merely asks for the holder has the lock for an instant; that is no reason to give up.
PATIENCE_SECONDS = 0.3
UNKNOWN = "another process"


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
    deadline = time.monotonic() + max(timeout, PATIENCE_SECONDS)
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        while True:
            handle = stack.enter_context(path.open("a+"))
            _wait(handle, path, deadline, waiting)
            if _is_at(handle, path):
                break
        _sign(handle, purpose)
        try:
            yield
        finally:
            os.ftruncate(handle.fileno(), 0)


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


def free_since(path: Path) -> float | None:
    """Return when ``path`` was last taken or let go, in seconds since the epoch; None while somebody holds it."""
    return None if holder(path) else path.stat().st_mtime if path.exists() else 0.0


def _is_at(handle: IO[str], path: Path) -> bool:
    """Tell whether ``path`` is still the open file, and was not removed or replaced while we waited."""
    try:
        return os.path.samestat(os.fstat(handle.fileno()), path.stat())
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return False


def _wait(handle: IO[str], path: Path, deadline: float, waiting: Callable[[str], None] | None) -> None:
    told = False
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = _signature(handle)
            if time.monotonic() >= deadline:
                raise LockedError(f"{path.parent.name} is in use by {who}; wait for it or stop it") from None
            if waiting and not told and who != UNKNOWN:
                waiting(f"waiting for {who}")
                told = True
            time.sleep(POLL_SECONDS)
        else:
            return


def _sign(handle: IO[str], purpose: str) -> None:
    signature = {"pid": os.getpid(), "purpose": purpose, "since": datetime.now(UTC).isoformat(timespec="seconds")}
    os.ftruncate(handle.fileno(), 0)
    # On a full disk the lock holds all the same, it only does not say for whom.
    with suppress(OSError):
        os.write(handle.fileno(), json.dumps(signature).encode())


def _signature(handle: IO[str]) -> str:
    handle.seek(0)
    try:
        signature = json.loads(handle.read())
    except ValueError:
        return UNKNOWN
    return f"{signature['purpose']} (process {signature['pid']}, since {signature['since']})"
