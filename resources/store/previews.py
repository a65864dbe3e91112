"""Small previews of images in one append-only file, addressed by offset and length.

A preview is written first and synced before the row that points at it is committed, so that a row never points at
nothing; what a killed process wrote and never committed is dead space at the end, and the next append goes behind it.
Each entry has a header with its length and checksum, so that a wrong address is noticed rather than shown.
"""

import os
import struct
import threading
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Self

HEADER = struct.Struct("<4sII")
MAGIC = b"pvw1"
Address = tuple[int, int]


class PreviewPack:
    """An append-only file of previews; a context manager. Many threads may append and read; one process appends.

    Parameters
    ----------
    path : Path
        The pack file; created with its folder when missing, unless ``readonly``.
    readonly : bool
        Opened by readers such as the review page while the pipeline appends.

    Examples
    --------
    >>> import tempfile
    >>> with PreviewPack(Path(tempfile.mkdtemp()) / "previews.pack") as pack:
    ...     address = pack.append(b"pixels")
    ...     pack.sync()
    ...     print(address, pack.read(*address))
    (0, 18) b'pixels'
    """

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        self.path = path
        flags = os.O_RDONLY
        if not readonly:
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT
        self._file = os.open(path, flags, 0o644)
        self._end = os.fstat(self._file).st_size
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, preview: bytes) -> Address:
        """Write a preview at the end and return its (offset, length); durable only after `sync`."""
        entry = HEADER.pack(MAGIC, len(preview), zlib.crc32(preview)) + preview
        with self._lock:
            offset = self._end
            self._end += len(entry)
        _write_at(self._file, entry, offset)
        return offset, len(entry)

    def sync(self) -> None:
        """Force everything that was appended to disk; call before committing the rows that point at it."""
        os.fsync(self._file)

    def read(self, offset: int, length: int) -> bytes:
        """Return the preview at an address; raise ValueError when no intact preview is there."""
        entry = os.pread(self._file, length, offset)
        if len(entry) < HEADER.size:
            raise ValueError(self._complaint(offset))
        magic, count, checksum = HEADER.unpack_from(entry)
        preview = entry[HEADER.size :]
        if magic != MAGIC or count != len(preview) or checksum != zlib.crc32(preview):
            raise ValueError(self._complaint(offset))
        return preview

    def _complaint(self, offset: int) -> str:
        return f"no intact preview at offset {offset} of {self.path}: decode the sample again"

    def close(self) -> None:
        """Close the file; safe to call twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _write_at(file: int, entry: bytes, offset: int) -> None:
    view = memoryview(entry)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written


def compact(source: PreviewPack, target: Path, kept: Iterable[Address]) -> list[Address]:
    """Copy the previews at ``kept`` into a new pack and return their new addresses in the same order.

    The caller commits the new addresses together with the name of the new pack and removes the old file afterwards, so
    that a kill at any moment leaves one pack to which the rows belong. A ``target`` left over from such a kill is
    overwritten.
    """
    target.unlink(missing_ok=True)
    with PreviewPack(target) as pack:
        addresses = [pack.append(source.read(*address)) for address in kept]
        pack.sync()
    _sync_folder(target.parent)
    return addresses


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
