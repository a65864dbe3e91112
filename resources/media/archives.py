"""Images inside zip and tar archives: listed and read in place, nothing is unpacked.

A member's address is ``ARCHIVE!/NAME``. Names are never used as paths of the file system, so none can lead out of the
archive. Of several members with one name the last counts, as it would after unpacking. A compressed tar has no order but
its own, and to jump about in one that lies far away costs more than to pass what lies between: these are read from their
beginning, in one pass, with memory for one member.
"""

import calendar
import errno
import io
import lzma
import math
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from pathlib import PurePosixPath
from typing import IO, Self, cast

from brain_assets.resources.errors import Refused
from brain_assets.resources.media.candidates import may_be_image
from brain_assets.resources.media.files import open_file, read_range, status_of
from brain_assets.resources.media.listing import Contents, Kind, Member, Status, content_hash_of, readable
from brain_assets.resources.media.object_stores import is_remote, without_query

SEPARATOR = "!/"
COMPRESSED = (".tar.gz", ".tgz")
# No photo shrinks by more; what does and is large is made to fill memory or time.
BOMB_RATIO, BOMB_BYTES = 250, 1 << 24
BLOCK = 1 << 20
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
ENCRYPTED, SYMBOLIC_LINK = 1, 0o120000
# What stands before a member in a zip: a signature and the lengths of name and extra field, at most 65 535 each.
ZIP_HEADER, ZIP_SIGNATURE = struct.Struct("<4s22xHH"), b"PK\x03\x04"
ZIP_HEADER_BYTES = ZIP_HEADER.size + 2 * 65535
# What zipfile and tarfile raise for content that contradicts itself; OSError is left to the caller.
DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError, ValueError, KeyError, IndexError,
    NotImplementedError, RuntimeError, OverflowError,
)  # fmt: skip
# How tarfile says that an archive ends, rather than that a header is wrong.
ENDS = {"EmptyHeaderError", "EOFHeaderError"}
OPEN_ARCHIVES = 8


def list_members(path: str) -> Contents:
    """Return what an archive holds; raises OSError where the file cannot be read.

    A zip is listed by its directory, a tar by its headers, and a compressed tar in one pass that also hashes what it
    passes. What cannot be read in the end is reported beside the members that can.
    """
    members: dict[str, Member] = {}
    try:
        for member in _members(path):
            if _is_listed(member.name):
                members[member.name] = member
    except Refused as refused:
        return Contents(list(members.values()), str(refused))
    except (*DAMAGED, OSError) as error:
        if not _is_damage(error):
            raise
        return Contents(list(members.values()), f"damaged: the archive cannot be read to its end: {_line(error)}")
    return Contents(list(members.values()))


def other_members(path: str) -> list[str]:
    """Return the names of members that are no images, as far as the archive can be read; what is hidden is left out."""
    names: list[str] = []
    with suppress(Refused, OSError, *DAMAGED):
        for member in _members(path):
            if _is_shown(member.name) and not may_be_image(PurePosixPath(member.name).name):
                names.append(member.name)
    return names


KIND = Kind(SEPARATOR, list_members)


def read_member(path: str, name: str) -> bytes:
    """Return the bytes of a member.

    Raises
    ------
    OSError
        If the archive cannot be read, or has no such member.
    Refused
        If the member is damaged.
    """
    if is_sequential(path):
        found = dict(read_members(path, {name}))
        if name not in found:
            raise FileNotFoundError(errno.ENOENT, f"no member {name}")
        return found[name]
    with _told(name):
        return _read_zip(path, name) if _is_zip(path) else _read_tar(path, name)


def read_members(path: str, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Yield members of a sequential archive in the order in which they lie there, in one pass, with all of one name.

    Raises
    ------
    OSError
        If the archive cannot be read.
    Refused
        If it is damaged.
    """
    with _told(os.path.basename(path)), _open_tar(path) as tar:
        for info in _each(tar):
            name = readable(info.name)
            if name in names and not _tar_refusal(info):
                yield name, b"".join(_blocks(tar, info))


def is_sequential(path: str) -> bool:
    """Tell whether members are read one after the other."""
    return _is_compressed(path) or (is_remote(path) and not _is_zip(path))


def _is_compressed(path: str) -> bool:
    return without_query(path).lower().endswith(COMPRESSED)


def _is_zip(path: str) -> bool:
    return without_query(path).lower().endswith(".zip")


def _members(path: str) -> Iterator[Member]:
    if _is_zip(path):
        directory, size = _zip_directory(path), status_of(path).bytes
        refused = _crowded(directory, size)
        yield from (_zip_member(info, refused.get(info)) for info in directory if not info.is_dir())
    else:
        with _open_tar(path) as tar:
            yield from (_tar_member(tar, info) for info in _each(tar) if not info.isdir())


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Turn whatever a damaged archive raises into a reason."""
    try:
        yield
    except (*DAMAGED, OSError) as error:
        if not _is_damage(error):
            raise
        raise Refused(f"damaged: {name} cannot be unpacked: {_line(error)}") from error


def _is_damage(error: Exception) -> bool:
    """Tell damage from a file that cannot be read; no file reaches as far as some headers say, and seeking fails."""
    return not isinstance(error, OSError) or error.errno in {None, errno.EINVAL}


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _zip_directory(path: str) -> list[zipfile.ZipInfo]:
    with open_file(path) as file, zipfile.ZipFile(file) as archive:
        return archive.infolist()


@lru_cache(OPEN_ARCHIVES)
def _zip_index(path: str, status: Status) -> dict[str, tuple[zipfile.ZipInfo, int]]:
    """Return each member of a zip with the place that its bytes do not reach: where the next begins."""
    directory = _zip_directory(path)
    starts = sorted({info.header_offset for info in directory})
    ends = dict(zip(starts, [*starts[1:], status.bytes], strict=True))
    return {readable(info.filename): (info, ends[info.header_offset]) for info in directory}


def _read_zip(path: str, name: str) -> bytes:
    info, end = _zip_index(path, status_of(path))[name]
    if reason := _zip_refusal(info):
        raise Refused(reason)
    start = info.header_offset
    data = read_range(path, start, min(end, start + ZIP_HEADER_BYTES + info.compress_size))
    signature, *lengths = ZIP_HEADER.unpack_from(data)
    if signature != ZIP_SIGNATURE:
        raise zipfile.BadZipFile("the directory points to what is no member")
    packed = io.BytesIO(data)
    packed.seek(ZIP_HEADER.size + sum(lengths))
    with zipfile.ZipExtFile(packed, "r", info) as member:
        return member.read()


@lru_cache(OPEN_ARCHIVES)
def _tar_index(path: str, _: Status) -> dict[str, tuple[int, int]]:
    """Return offset and size of each plain file in a tar; one that is damaged ends where it can be read no further."""
    found = {}
    with _open_tar(path) as tar, suppress(*DAMAGED):
        for info in _each(tar):
            if not _tar_refusal(info):
                found[readable(info.name)] = (info.offset_data, info.size)
    return found


def _read_tar(path: str, name: str) -> bytes:
    offset, size = _tar_index(path, status_of(path))[name]
    data = read_range(path, offset, offset + size)
    if len(data) < size:
        raise Refused(f"truncated: the archive ends within {name}")
    return data


def _is_listed(name: str) -> bool:
    """Tell whether a member may be an image."""
    return _is_shown(name) and may_be_image(PurePosixPath(name).name)


def _is_shown(name: str) -> bool:
    """Tell whether a member is none of hidden folders, nor of what systems put beside files."""
    parts = PurePosixPath(name).parts
    return bool(parts) and not any((part.startswith(".") and part != "..") or part == "__MACOSX" for part in parts)


def _crowded(directory: list[zipfile.ZipInfo], size: int) -> dict[zipfile.ZipInfo, str]:
    """Return the members that make a bomb of an archive in which each alone is none, with the reason.

    Bytes that several members share are unpacked for each of them, however small the archive is. Members that lie side by side
    are bounded together, by what all bytes of the archive might unpack to if they were images.
    """
    order = sorted(directory, key=lambda info: info.header_offset)
    found = {
        info: "damaged: the member's bytes are those of another member, too; no tool writes that: a zip bomb?"
        for info, after in pairwise(order)
        if info.header_offset + ZIP_HEADER.size + info.compress_size > after.header_offset
    }
    total = sum(info.file_size for info in directory if info not in found)
    if reason := _bomb(total, size):
        dense = (info for info in directory if info.file_size > BOMB_RATIO * info.compress_size)
        found |= dict.fromkeys(dense, f"{reason} (all members of the archive together)")
    return found


def _zip_member(info: zipfile.ZipInfo, crowded: str | None) -> Member:
    try:
        modified = calendar.timegm(datetime(*info.date_time).timetuple()) * 10**9
    except ValueError:
        modified = 0
    return Member(
        readable(info.filename), Status(info.file_size, modified, info.CRC), error=_zip_refusal(info) or crowded
    )


def _zip_refusal(info: zipfile.ZipInfo) -> str | None:
    if info.flag_bits & ENCRYPTED:
        return "unsupported: the member is encrypted"
    if info.external_attr >> 16 & 0o170000 == SYMBOLIC_LINK:
        return "unsupported: the member is a link, which is not followed"
    if info.compress_type not in METHODS:
        return f"unsupported: compression method {info.compress_type} of zip"
    return _outside(info.filename) or _bomb(info.file_size, info.compress_size)


def _outside(name: str) -> str | None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not path.parts or path.parts[0].endswith(":"):
        return "unsupported: the member's name leads out of the archive"
    return None


def _bomb(size: int, compressed: int) -> str | None:
    """Return the reason for content that unpacks to far more than an image would."""
    if size <= BOMB_BYTES or size <= BOMB_RATIO * compressed:
        return None
    ratio = size // max(compressed, 1)
    return f"too_large: a zip bomb? {size} bytes from {compressed}, {ratio} times; images reach at most {BOMB_RATIO}"


def _tar_member(tar: tarfile.TarFile, info: tarfile.TarInfo) -> Member:
    """Return a member; its content is hashed where it is passed anyway, or where no time tells that it changed."""
    status = Status(info.size, _nanoseconds(info.mtime), info.offset_data)
    name, refused = readable(info.name), _tar_refusal(info)
    if refused or (info.mtime > 0 and not _is_passed(tar)) or not _is_listed(name):
        return Member(name, status, error=refused)
    digest = content_hash_of(_blocks(tar, info))
    return Member(name, Status(info.size, status.modified_ns, int(digest[:15], 16)), content_hash=digest)


def _nanoseconds(seconds: float) -> int:
    """Return a time as whole nanoseconds; one that is no number says nothing."""
    return round(seconds * 1e9) if math.isfinite(seconds) else 0


def _is_passed(tar: tarfile.TarFile) -> bool:
    return isinstance(tar.fileobj, tarfile._Stream)  # type: ignore[attr-defined]


def _tar_refusal(info: tarfile.TarInfo) -> str | None:
    if info.issym() or info.islnk():
        return "unsupported: the member is a link, which is not followed"
    if info.issparse() or not info.isreg():
        return "unsupported: the member is no plain file"
    return _outside(info.name)


class _Pass:
    """A compressed tar, unpacked while it is passed; refuses to be a bomb.

    Parameters
    ----------
    file : binary file
        The compressed bytes.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._inflate = file, zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._held, self._in, self._out = b"", 0, 0

    def read(self, count: int) -> bytes:
        """Return the next ``count`` bytes, fewer at the end; what follows on damage raises EOFError or zlib.error."""
        parts: list[bytes] = []
        try:
            while count and (part := self._next(count)):
                parts.append(part)
                count -= len(part)
        except (EOFError, zlib.error):
            if not parts:
                raise
        return b"".join(parts)

    def _next(self, most: int) -> bytes:
        while True:
            part = self._inflate.decompress(self._held, most) if self._held else b""
            self._held = self._inflate.unconsumed_tail
            if part:
                return self._counted(part)
            if self._inflate.eof and not self._begin_again():
                return b""
            if not self._held:
                self._held = self._file.read(BLOCK)
                self._in += len(self._held)
                if not self._held:
                    raise EOFError("the compressed data end early")

    def _begin_again(self) -> bool:
        """Go on with another compressed stream behind this one, as tools that compress in parallel write them."""
        rest = self._inflate.unused_data or self._file.read(BLOCK)
        self._in += 0 if self._inflate.unused_data else len(rest)
        if not rest.startswith(b"\x1f\x8b"):
            return False
        self._held, self._inflate = rest, zlib.decompressobj(zlib.MAX_WBITS | 16)
        return True

    def _counted(self, part: bytes) -> bytes:
        self._out += len(part)
        if reason := _bomb(self._out, max(self._in, BLOCK // BOMB_RATIO)):
            raise Refused(reason)
        return part


class _Header(tarfile.TarInfo):
    """A header that says when it is damaged; tarfile would take it for the end of the archive."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        """Return the next header."""
        try:
            header = super().fromtarfile(archive)
            if header.size < 0 or header.offset_data < 0:
                raise tarfile.ReadError(f"a header gives a negative size at byte {archive.offset}")
            return header
        except tarfile.HeaderError as error:
            if type(error).__name__ in ENDS:
                raise
            raise tarfile.ReadError(f"a header is damaged at byte {archive.offset}") from error


@contextmanager
def _open_tar(path: str) -> Iterator[tarfile.TarFile]:
    with open_file(path) as file:
        stream = cast(IO[bytes], _Pass(file)) if _is_compressed(path) else file
        mode = "r|" if is_sequential(path) else "r:"
        with tarfile.TarFile.open(
            fileobj=stream, mode=mode, bufsize=BLOCK, tarinfo=_Header, errors="surrogateescape"
        ) as tar:  # type: ignore[call-overload]
            yield tar


def _each(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield all members, without keeping them."""
    while info := _next(tar):
        yield info
        tar.members.clear()  # type: ignore[attr-defined]


def _next(tar: tarfile.TarFile) -> tarfile.TarInfo | None:
    try:
        return tar.next()
    except OSError as error:
        if not _is_damage(error):
            raise
        raise tarfile.ReadError("a header gives a size that no file has") from error


def _blocks(tar: tarfile.TarFile, info: tarfile.TarInfo) -> Iterator[bytes]:
    reader, missing = cast(IO[bytes], tar.extractfile(info)), info.size
    while missing and (block := reader.read(min(missing, BLOCK))):
        missing -= len(block)
        yield block
    if missing:
        raise Refused(f"truncated: the archive ends within {readable(info.name)}")
