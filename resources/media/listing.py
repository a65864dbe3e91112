"""What a media source holds: one item per sample, and a state that changes with any of them.

Files that hold many samples, archives and videos, are *containers*: what is inside is listed only where it is asked for
and not known, because the container's own state tells whether anything in it can have changed.
"""

import hashlib
import math
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_to_bytes

import pyarrow as pa

from brain_assets.resources import progress
from brain_assets.resources.limits import saturated
from brain_assets.resources.media.splits import FolderSplits
from brain_assets.resources.media.splits import split_of as split_of
from brain_assets.resources.tabular import without_point

SOURCE_NAME = "media"
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")

# Within a year of what 64 bits of nanoseconds hold (1677 to 2262).
LATEST_NS = 9_223_286_400_000_000_000

ITEM = pa.schema([
    ("sample_id", pa.string()),
    ("filepath", pa.string()),
    ("uri", pa.string()),
    ("bytes", pa.int64()),
    ("modified_ns", pa.int64()),
    ("touched_ns", pa.int64()),
    ("split", pa.string()),
    ("tags", pa.list_(pa.string())),
    ("groups", pa.list_(pa.string())),
    ("content_hash", pa.string()),
    ("error", pa.string()),
])  # fmt: skip


@dataclass(frozen=True)
class Status:
    """What tells whether an item changed, without reading it.

    Attributes
    ----------
    bytes : int
        Size; -1 where the item is named but not there.
    modified_ns : int
        Time of the last change of its content.
    touched : int
        Whatever else changes with it: a file's time of change, a member's checksum, an object's ETag.
    """

    bytes: int = -1
    modified_ns: int = 0
    touched: int = 0

    def __post_init__(self) -> None:
        """Bring what file systems and archives say, which is anything, into the range of what can be kept."""
        if max(abs(self.bytes), abs(self.modified_ns), abs(self.touched)) <= LATEST_NS:
            return
        object.__setattr__(self, "bytes", saturated(self.bytes))
        object.__setattr__(self, "modified_ns", max(-LATEST_NS, min(self.modified_ns, LATEST_NS)))
        object.__setattr__(self, "touched", saturated(self.touched))


@dataclass(frozen=True)
class Member:
    """A sample inside a container.

    Attributes
    ----------
    name : str
        Its path or time inside the container.
    status : Status
    content_hash : str or None
        Where listing had to read it anyway.
    error : str or None
        Why it is not read at all, ``code: line``.
    """

    name: str
    status: Status
    content_hash: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class Contents:
    """What is inside a container.

    Attributes
    ----------
    members : list of Member
    error : str or None
        Why the container could not be listed to its end, ``code: line``.
    """

    members: list[Member]
    error: str | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of container: what stands before the names of members, how they are listed, and with which options."""

    separator: str
    contents: Callable[[str], Contents]
    options: str = ""


@dataclass(frozen=True)
class Container:
    """A file that holds samples.

    Attributes
    ----------
    filepath, uri : str
        Its path below the media root and its address.
    separator : str
        What stands between it and the name of a member: ``!/`` for archives, ``#t=`` for videos.
    mark : str
        Changes with the container and with how its members are made samples.
    status : Status
    contents : callable
        Lists what is inside; raises OSError where it cannot be read this time.
    splits : callable
        Returns the split of each member, given their paths below the media root.
    tags, groups : list of str
        Of each member.
    """

    filepath: str
    uri: str
    separator: str
    mark: str
    status: Status
    contents: Callable[[], Contents]
    splits: Callable[[Sequence[str]], list[str | None]]
    tags: list[str]
    groups: list[str]

    @property
    def prefix(self) -> str:
        """What the paths of all members begin with."""
        return self.filepath + self.separator

    def items(self) -> pa.Table:
        """Return a row per member, columns as in ``ITEM``, and one for the container itself where it is damaged.

        Raises
        ------
        OSError
            If it cannot be read this time.
        """
        found = self.contents()
        rows = {self.separator + member.name: member for member in found.members}
        if found.error:
            rows[""] = Member("", self.status, error=found.error)
        return self._table(rows)

    def unreadable(self, error: Exception) -> pa.Table:
        """Return the row of a container that cannot be read this time."""
        line = readable(str(getattr(error, "strerror", None) or error or type(error).__name__))
        return self._table({"": Member("", Status(), error=f"unreadable: {line}")})

    def _table(self, rows: Mapping[str, Member]) -> pa.Table:
        splits = self.splits([self.filepath + suffix for suffix in rows])
        return _table(
            self._row(suffix, member, split) for (suffix, member), split in zip(rows.items(), splits, strict=True)
        )

    def _row(self, suffix: str, member: Member, split: str | None) -> tuple[Any, ...]:
        path, status = self.filepath + suffix, member.status
        touched = int(content_hash(member.error.encode())[:15], 16) if member.error else status.touched
        known = (status.bytes, status.modified_ns, touched, split, self.tags, self.groups)
        return (sample_id(path), readable(path), address(self.uri + suffix), *known, member.content_hash, member.error)


@dataclass(frozen=True)
class Listing:
    """What a source holds now.

    Attributes
    ----------
    items : pyarrow.Table
        One row per sample that is no member of a container, columns as in ``ITEM``.
    state : str
        Digest of all items and containers; equal listings have equal states, in whatever order they were found.
    newest : float
        Seconds since the epoch of the latest touch of a file or folder.
    unreadable : list of str
        Folders below the root, relative to it, that could not be listed; what was known below them is kept.
    containers : list of Container
        Archives and videos; their members are samples too.
    left_out : dict of str to int
        How many files of each kind are no samples.
    told : list of str
        What the source has to say of itself, a line each.
    """

    items: pa.Table
    state: str
    newest: float
    unreadable: list[str]
    containers: list[Container] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)

    def expanded(self) -> pa.Table:
        """Return a row per sample, those inside containers too; these are all listed for it."""
        return distinct(pa.concat_tables([self.items, *(container.items() for container in self.containers)]))


def distinct(items: pa.Table) -> pa.Table:
    """Return items of which no two have one id.

    Names that differ only by their Unicode form have the same id, so that a file keeps it on another system; where both
    are there, the one in composed form does, and the others are named by their very spelling.
    """
    import pyarrow.compute as pc

    if pc.count_distinct(items.column("sample_id")).as_py() == items.num_rows:
        return items
    ids = items.column("sample_id").to_pylist()
    shared = {one for one, count in Counter(ids).items() if count > 1}
    names, uris = items.column("filepath").to_pylist(), items.column("uri").to_pylist()
    groups: dict[str, list[int]] = {}
    for place, one in enumerate(ids):
        if one in shared:
            groups.setdefault(one, []).append(place)
    for places in groups.values():
        places.sort(key=lambda place: (not unicodedata.is_normalized("NFC", names[place]), names[place], uris[place]))
        for number, place in enumerate(places[1:], 1):
            same = sum(names[other] == names[place] for other in places[:number])
            ids[place] = _spelled_id(names[place], same)
    return items.set_column(0, ITEM.field("sample_id"), pa.array(ids, pa.string()))


def _spelled_id(filepath: str, number: int) -> str:
    text = f"{SOURCE_NAME}\0spelled\0{number}\0{filepath}"
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=10).hexdigest()


def _table(rows: Iterable[tuple[Any, ...]]) -> pa.Table:
    columns = list(zip(*rows, strict=True))
    return pa.table(columns, schema=ITEM) if columns else ITEM.empty_table()


def sample_id(filepath: str) -> str:
    """Return the stable id of an item: a hash of the source's name and the normalised path inside it."""
    normal = filepath if filepath.isascii() else unicodedata.normalize("NFC", filepath)
    return hashlib.blake2b(f"{SOURCE_NAME}\0{normal}".encode(errors="surrogateescape"), digest_size=10).hexdigest()


def content_hash(data: bytes) -> str:
    """Return the name of a content, 128 bits of BLAKE2b."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def content_hash_of(blocks: Iterable[bytes]) -> str:
    """Return the name of a content that is too large to hold."""
    digest = hashlib.blake2b(digest_size=16)
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def is_archive(name: str) -> bool:
    """Tell whether a file's name is that of an archive whose members are samples."""
    return name.lower().endswith(ARCHIVE_SUFFIXES)


def readable(path: str) -> str:
    """Return a path as valid UTF-8."""
    if path.isascii():
        return path
    try:
        return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return path.encode("utf-8", "backslashreplace").decode()


def address(text: str) -> str:
    """Return the address of a path: the path itself; one that is not valid UTF-8 as a percent-encoded file URI."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return "file://" + quote(os.fsencode(text))
    return text


def file_name(uri: str) -> bytes:
    """Return the name of the local file that an address stands for."""
    return unquote_to_bytes(uri.removeprefix("file://")) if uri.startswith("file://") else os.fsencode(uri)


def status_of(path: str, ask: Callable[[], os.stat_result] | None = None) -> Status:
    """Return what the file system says of a file; -1 bytes where it is not there."""
    try:
        found = ask() if ask else os.stat(path)
    except (OSError, ValueError):
        return Status()
    return Status(found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class _Found(NamedTuple):
    """A file that a source holds, with what a manifest says of it."""

    relative: str
    uri: str
    status: Status
    row: Mapping[str, Any]
    kind: Kind | None = None
    error: str | None = None


@dataclass
class Collector:
    """Gathers the items of a listing.

    Attributes
    ----------
    root : str
        What stands before every path: a folder, or the address of one.
    split_from : str
        Where a sample's split comes from.
    kind_of : callable
        Returns the kind of container that a file of some name is, or None.
    prefix : str
        What stands before every path in their stead, where there are several roots.
    left_out : Counter
        How many files of each kind are no samples.
    told : list of str
        What there is to say of the source, a line each.
    """

    root: str
    split_from: str
    kind_of: Callable[[str], Kind | None]
    prefix: str = ""
    left_out: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    found: dict[str, _Found] = field(default_factory=dict)
    newest_ns: int = 0

    def touch(self, at_ns: int) -> None:
        """Note when something was touched."""
        self.newest_ns = max(self.newest_ns, at_ns)

    def add(self, path: str, status: Status, row: Mapping[str, Any] | None = None, uri: str | None = None) -> None:
        """Add a file: a sample, or a container of samples, which is not opened.

        ``row`` is what a manifest says of it, ``uri`` its address where that is not the path.
        """
        self.put(path, status, self.kind_of(path), row, uri)

    def put(
        self,
        path: str,
        status: Status,
        kind: Kind | None,
        row: Mapping[str, Any] | None = None,
        uri: str | None = None,
    ) -> None:
        """Add a file of which the kind is known."""
        progress.count("files listed", len(self.found))
        self.touch(status.touched if self.root.startswith("/") else status.modified_ns)
        relative = self.relative(path)
        self.found[relative] = _Found(relative, uri or (path if kind else address(path)), status, row or {}, kind)

    def refuse(self, path: str, error: str) -> None:
        """Add what cannot be listed, with the reason."""
        relative = self.relative(path)
        self.found[relative] = _Found(relative, address(path), Status(), {}, error=error)

    def listing(self) -> Listing:
        """Return what was gathered."""
        splits = _Splits(self.split_from, self.found.values())
        containers = [_container(one, one.kind, splits) for one in self.found.values() if one.kind]
        rows = [_row(one, splits) for one in self.found.values() if not one.kind]
        items = _table(rows)
        digest = sum(map(_digest, [*map(_mark, rows), *(container.mark for container in containers)])) % 2**128
        state = f"{len(self.found):x}-{digest:032x}"
        if self.unreadable:
            state += "-" + content_hash("\n".join(sorted(self.unreadable)).encode(errors="surrogateescape"))[:8]
        newest, unreadable = self.newest_ns / 1e9, sorted(self.unreadable)
        return Listing(distinct(items), state, newest, unreadable, containers, dict(self.left_out), self.told)

    def relative(self, path: str) -> str:
        """Return the path of a file below the media root."""
        return self.prefix + path[len(self.root) :].lstrip("/")


class _Splits:
    """Tells in which split a file is, once all are known."""

    def __init__(self, split_from: str, found: Iterable[_Found]) -> None:
        self.split_from = split_from
        folders = {_folder(one.relative + (one.kind.separator if one.kind else "")) for one in found}
        self._splits = FolderSplits(folders if split_from == "folder" else ())

    def of(self, relative: str, row: Mapping[str, Any]) -> str | None:
        """Return the split of a file."""
        if self.split_from == "column":
            return split_of(row.get("split"))
        return self._splits.of(_folder(relative)) if self.split_from == "folder" else None

    def of_members(self, container: str, row: Mapping[str, Any], paths: Sequence[str]) -> list[str | None]:
        """Return the splits of what is in a container: what is above it counts, then what is inside, then its name."""
        above, own = self.of(container.rstrip("/").removesuffix("!"), row), self.of(container, row)
        if above or self.split_from != "folder":
            return [own] * len(paths)
        folders = [_folder(path.removeprefix(container)) for path in paths]
        inside = FolderSplits(folders)
        return [inside.of(folder) or own for folder in folders]


def _folder(relative: str) -> str:
    return relative.rpartition("/")[0]


def _row(found: _Found, splits: _Splits) -> tuple[Any, ...]:
    status, split = found.status, splits.of(found.relative, found.row)
    said = (split, tags_of(found.row.get("tags")), found.row.get("groups") or [])
    known = (status.bytes, status.modified_ns, status.touched, *said)
    return (sample_id(found.relative), readable(found.relative), found.uri, *known, None, found.error)


def _container(found: _Found, kind: Kind, splits: _Splits) -> Container:
    prefix, tags = found.relative + kind.separator, tags_of(found.row.get("tags"))
    groups = found.row.get("groups") or []
    # Where another file beside it changes its split, it is listed again.
    split = f"{splits.split_from} {splits.of(prefix, found.row)} {found.row.get('split')}"
    said = " ".join(map(str, [found.uri, found.status, kind.options, split, tags, *([groups] if groups else [])]))
    mark = content_hash(said.encode(errors="surrogateescape"))
    contents = partial(kind.contents, found.uri)
    of_members = partial(splits.of_members, readable(prefix), found.row)
    return Container(
        readable(found.relative), found.uri, kind.separator, mark, found.status, contents, of_members, tags, groups
    )


def _mark(row: tuple[Any, ...]) -> str:
    item_id, _, _, size, modified, touched, split, tags, groups, *_ = row
    return f"{item_id}{size} {modified} {touched} {split} {tags}" + (f" {groups}" if groups else "")


def _digest(mark: str) -> int:
    return int.from_bytes(hashlib.blake2b(mark.encode(errors="surrogateescape"), digest_size=16).digest())


def tags_of(value: Any) -> list[str]:
    """Return the tags that a manifest gives as a list or as a text with commas or semicolons."""
    if not value:
        return []
    parts: Iterable[Any]
    if isinstance(value, str):
        parts = value.replace(";", ",").split(",")
    else:
        parts = value if isinstance(value, list | tuple | dict) else [value]
    return sorted({str(part).strip() for part in parts if str(part).strip()})


def groups_of(values: Mapping[str, Any]) -> list[str]:
    """Return what a sample belongs to, as ``NAME=VALUE``; a value that is missing or empty is none, a list several.

    Examples
    --------
    >>> groups_of({"patient": 17, "site": ["north", " "], "camera": None})
    ['patient=17', 'site=north']
    """
    found = set()
    for name, value in values.items():
        for one in value if isinstance(value, list | tuple) else [value]:
            if text := _plainly(one):
                found.add(f"{name}={text}")
    return sorted(found)


def _plainly(value: Any) -> str:
    """Return a value as text, empty for none; whole numbers without a point, as a column with a gap would give them one."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return without_point(str(value).strip())
