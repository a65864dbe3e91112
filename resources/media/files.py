"""Files near and far, opened alike: seekable, and read by ranges where they are far away; nothing is copied to disk."""

import errno
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, cast

from brain_assets.resources.local_files import open_local
from brain_assets.resources.media import listing, object_stores
from brain_assets.resources.media.listing import Status
from brain_assets.resources.media.object_stores import Version, is_remote

# Bytes that are fetched at a time of a file that is read from one place on.
READ_AHEAD = 1 << 22


@contextmanager
def open_file(uri: str) -> Iterator[IO[bytes]]:
    """Open a file to read and seek in it, as it is now.

    Raises
    ------
    OSError
        If it cannot be read this time; also where who reads it took that for damage.
    """
    if not is_remote(uri):
        with open_local(uri) as file:
            yield file
        return
    far = _FarFile(uri)
    try:
        yield cast(IO[bytes], io.BufferedReader(far, READ_AHEAD))
    finally:
        if far.failure:
            raise far.failure


def read_range(uri: str, start: int, stop: int) -> bytes:
    """Return the bytes of a file from ``start`` up to ``stop`` or its end; raises OSError."""
    if is_remote(uri):
        version = object_stores.version(uri)
        return object_stores.read_range(uri, start, min(stop, version.status.bytes), version)
    with open_local(uri) as file:
        file.seek(start)
        return file.read(stop - start)


def status_of(uri: str, *, anew: bool = False) -> Status:
    """Return what shows whether a file changed; far away, what was last known unless it is asked for again."""
    return object_stores.version(uri, anew=anew).status if is_remote(uri) else listing.status_of(uri)


class _FarFile(io.RawIOBase):
    """An object or a file on the web; each read fetches a range of the version that was there when it was opened."""

    def __init__(self, uri: str) -> None:
        self._uri, self._at = uri, 0
        self._version: Version = object_stores.version(uri, anew=True)
        self.failure: OSError | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place without fetching anything."""
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._version.status.bytes}[whence]
        if begin + offset < 0:
            raise OSError(errno.EINVAL, "before the beginning of the file")
        self._at = begin + offset
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fetch as much as the buffer takes."""
        stop = min(self._at + len(buffer), self._version.status.bytes)
        if stop <= self._at:
            return 0
        try:
            data = object_stores.read_range(self._uri, self._at, stop, self._version)
        except OSError as error:
            self.failure = error
            raise
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
