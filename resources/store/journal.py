"""A note of what is being worked on, so that what took the process down is known at the next start.

Lines ``+key`` and ``-key`` are appended as work starts and ends. They are not forced to disk: they only have to outlive
the process, not the machine.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LIMIT = 1 << 20


def suspects(path: Path) -> set[str]:
    """Return the keys that were started and never ended: one of them may have ended the process."""
    started: set[str] = set()
    for line in path.read_text("utf-8", "replace").splitlines() if path.exists() else ():
        if line.startswith("+"):
            started.add(line[1:])
        elif line.startswith("-"):
            started.discard(line[1:])
    return started


class Journal:
    """The keys in work, on disk. Keys are single lines, such as content hashes.

    Parameters
    ----------
    path : Path or None
        Where to note; None notes nothing. Suspects already there are kept until they are worked on again.
    """

    def __init__(self, path: Path | None) -> None:
        self.suspects = suspects(path) if path else set()
        self._lock = threading.Lock()
        self._open: set[str] = set(self.suspects)
        self._path, self._size = path, 0
        self._file = -1
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._rewrite(path)

    @contextmanager
    def working_on(self, key: str) -> Iterator[None]:
        """Note that ``key`` is in work; an exception ends it too, only the end of the process does not."""
        self._note("+", key)
        try:
            yield
        finally:
            self._note("-", key)

    def clear(self, key: str) -> None:
        """Note that a suspect has been worked on in safety."""
        if key in self.suspects:
            self.suspects.discard(key)
            self._note("-", key)

    def _note(self, sign: str, key: str) -> None:
        if self._path is None:
            return
        line = f"{sign}{key}\n".encode()
        with self._lock:
            (self._open.add if sign == "+" else self._open.discard)(key)
            self._size += os.write(self._file, line)
            if self._size > LIMIT:
                self._rewrite(self._path)

    def _rewrite(self, path: Path) -> None:
        fresh = path.with_name(path.name + ".new")
        lines = "".join(f"+{key}\n" for key in sorted(self._open))
        fresh.write_text(lines, "utf-8")
        fresh.replace(path)
        self._reopen(path, len(lines))

    def _reopen(self, path: Path, size: int) -> None:
        self.close()
        self._file, self._size = os.open(path, os.O_WRONLY | os.O_APPEND), size

    def close(self) -> None:
        """Close the file; what is noted stays."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
