"""What a disk and its machine do to a run, at moments that were chosen before.

A moment is a step that a kill could come before or after: a transaction that begins or was committed, and every link, name,
folder and forced write that Python asks for.
"""

import errno
import io
import os
import resource
import shutil
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from brain_assets.resources import local_files
from brain_assets.resources.media import media_source
from brain_assets.resources.store.store import Store

ASKED_FOR = ("link", "rename", "replace", "unlink", "rmdir", "symlink", "mkdir", "fsync")
NEEDS_ROOM = {"link", "symlink", "mkdir", "fsync"}
Action = Callable[[], None]


class Killed(BaseException):
    """Stands for the end of the process."""


class Disk:
    """The disk that a home is on.

    Attributes
    ----------
    home : Path
    count : int
        Moments of the run that is or was under way.
    full : int
        For how many further moments there is no room.
    largest : int
        Bytes beyond which no file of the run grows.
    after_listing : callable, optional
        What happens once the run has listed the source.
    """

    def __init__(self, home: Path) -> None:
        self.home, self.count, self.full = home, 0, 0
        self.largest = resource.RLIM_INFINITY
        self._plan: Mapping[int, Action] = {}
        self._under_way = False
        self._left: Path | None = None
        self.after_listing: Action | None = None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Have all that this process asks of the disk pass by here."""
        with pytest.MonkeyPatch.context() as patch:
            for name in ASKED_FOR:
                patch.setattr(os, name, self._passing(name, getattr(os, name)))
            patch.setattr(Store, "write", self._writing(Store.write))
            listed = media_source._Source.list
            patch.setattr(media_source._Source, "list", lambda source: self._listed(listed(source)))
            yield

    @contextmanager
    def run(self, plan: Mapping[int, Action]) -> Iterator[None]:
        """Let happen at its moments what a run is to meet; after a kill the disk is left as that found it."""
        self._plan, self.count, self.full = plan, 0, 0
        self._under_way, before = True, _largest_file(self.largest)
        try:
            yield
        finally:
            _largest_file(before)
            self._under_way, self.largest = False, resource.RLIM_INFINITY
            self._plan, self.full, self.after_listing = {}, 0, None
            if self._left:
                shutil.rmtree(self.home)
                self._left.rename(self.home)
                self._left = None

    def kill(self) -> None:
        """End the process here: what it does on its way out never was."""
        self._left = self.home.with_name("left")
        with self._aside():
            shutil.copytree(self.home, self._left, symlinks=True)
        raise Killed

    def fill(self, moments: int) -> None:
        """Leave no room for a while."""
        self.full = moments

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """Do something that is no part of the run."""
        before, limit, self._under_way = self._under_way, _largest_file(resource.RLIM_INFINITY), False
        try:
            yield
        finally:
            _largest_file(limit)
            self._under_way = before

    def _moment(self, kind: str) -> None:
        if not self._under_way or threading.current_thread() is not threading.main_thread():
            return
        if self._left:
            raise Killed
        self.count += 1
        if action := self._plan.get(self.count):
            with self._aside():
                action()
        if self.full:
            self.full -= 1
            if kind in NEEDS_ROOM:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _passing(self, kind: str, asked: Callable[..., Any]) -> Callable[..., Any]:
        def passing(*given: Any, **named: Any) -> Any:
            self._moment(kind)
            return asked(*given, **named)

        return passing

    def _writing(self, write: Callable[..., Any]) -> Callable[..., Any]:
        @contextmanager
        def writing(store: Store, run_id: str, asset: str) -> Iterator[Any]:
            self._moment("transaction")
            with write(store, run_id, asset) as transaction:
                yield transaction
            self._moment("committed")

        return writing

    def _listed(self, listing: Any) -> Any:
        if self._under_way and self.after_listing:
            action, self.after_listing = self.after_listing, None
            with self._aside():
                action()
        return listing


def _largest_file(size: int) -> int:
    """Let no file grow beyond a size, whoever writes it, the database too; return what held before."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    return before


class _Halting(io.FileIO):
    """A file of which every read gives less than was asked for."""

    readall = io.RawIOBase.readall

    def readinto(self, buffer: Any) -> Any:
        return super().readinto(memoryview(buffer)[: max(1, min(len(buffer), 97))])


@contextmanager
def halting_reads() -> Iterator[None]:
    """Have reads of the world's files give less than was asked for, as they may."""

    def opened(descriptor: int, _: str) -> io.BufferedReader:
        return io.BufferedReader(_Halting(descriptor))

    class Halting:
        def __getattr__(self, name: str) -> Any:
            return opened if name == "fdopen" else getattr(os, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_files, "os", Halting())
        yield


@contextmanager
def forbidden(paths: Collection[Path]) -> Iterator[None]:
    """Have some files refuse to be read; not by their permissions, which do not hold for the administrator."""
    names = {os.fsencode(path) for path in paths}
    opened = os.open

    def refusing(path: Any, *given: Any, **named: Any) -> int:
        if not isinstance(path, int) and os.fsencode(path) in names:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, *given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", refusing)
        yield
    for path in filter(Path.exists, paths):
        # To be permitted again is a change of the file.
        os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))


def write_alike(path: Path, data: bytes) -> None:
    """Put other bytes of the same number into a file, with the time that it had."""
    before = path.stat()
    assert len(data) == before.st_size
    while True:
        path.write_bytes(data)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        with suppress(FileNotFoundError):
            if path.stat().st_ctime_ns != before.st_ctime_ns:
                return
