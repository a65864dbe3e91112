"""Where the images of a dataset lie, and how to list and read them; nothing is ever copied.

A source lists *items*: one row per sample with its stable id, its address and what the file system says of it. The
listing has a *state*, a digest that changes when any item is added, changed or gone, and costs one ``stat`` per file.
"""

import errno
import glob
import io
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import repeat
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import pyarrow as pa

from brain_assets.resources.errors import SourceError
from brain_assets.resources.limits import DEFAULT_LIMITS, Limits
from brain_assets.resources.local_files import bytes_of, open_local
from brain_assets.resources.media import addresses, archives, object_stores, videos
from brain_assets.resources.media.addresses import read_local
from brain_assets.resources.media.listing import (
    Collector,
    Kind,
    Listing,
    content_hash,
    is_archive,
    may_be_image,
    readable,
    sample_id,
    split_of,
    status_of,
)
from brain_assets.resources.media.object_stores import Keeper, is_remote, is_store, without_query
from brain_assets.resources.media.videos import DEFAULT_SECONDS, Frames, is_video
from brain_assets.resources.tabular import check_names, is_deeply_nested

__all__ = ["Listing", "MediaSource", "content_hash", "open_source", "read_local", "read_table", "sample_id", "split_of"]

Row = dict[str, Any]
LIST_SUFFIXES = {".txt", ".lst"}
MANIFEST_SUFFIXES = {".csv", ".parquet", ".jsonl"}


class MediaSource(Protocol):
    """Lists and reads the images of a dataset."""

    def list(self) -> Listing:
        """Return what is there now; raises SourceError when the source as a whole cannot be reached."""

    def read(self, uri: str) -> bytes:
        """Return the bytes of one item; raises OSError, or Refused where it is damaged where it lies."""

    def locate(self, filepath: str) -> str | None:
        """Return the address of a sample by its path, or None where that leads out of the source."""


def open_source(
    uri: str, split_from: str = "none", frames: Frames = None, limits: Limits = DEFAULT_LIMITS
) -> MediaSource:
    """Return the source that ``uri`` names.

    Parameters
    ----------
    uri : str
        A folder (searched with its subfolders), an archive (zip, tar, tar.gz), a video, a glob, a text file of paths, or a
        manifest (CSV, Parquet or JSONL with a ``filepath`` column, optionally ``split`` and ``tags``); or a folder of an
        object store (``s3://``, ``gs://``, ``az://``), an archive or a video there or behind a web address. Lists and
        manifests may name objects and web addresses.
    split_from : {"folder", "column", "none"}
        Where a sample's split comes from.
    frames : float or "key", optional
        Seconds between the frames that are taken of videos, or all key frames; without it, videos among other files are no
        samples, and one that is given as such is looked at every second.
    limits : Limits
        What decoding a video may use.

    Raises
    ------
    SourceError
        If there is nothing of that name.
    """
    reading = Reading(split_from, frames, limits)
    if is_remote(uri):
        return _far_source(uri, reading)
    path = Path(uri).expanduser().absolute()
    if path.is_dir():
        return FolderSource(reading, str(path))
    if path.suffix.lower() in LIST_SUFFIXES | MANIFEST_SUFFIXES and path.is_file():
        return ManifestSource(reading, path)
    if path.is_file() and _holds_samples(path.name):
        return _file_source(str(path), reading)
    if glob.has_magic(uri):
        return GlobSource(reading, str(Path(*_before_wildcard(path.parts))), str(path))
    raise SourceError(
        f"no media at {uri}: give a folder, an archive (.zip, .tar, .tar.gz, .tgz), a video, a glob, a list of paths"
        " (.txt), a manifest (.csv, .parquet, .jsonl) or an object store (s3://, gs://, az://)"
    )


def _far_source(uri: str, reading: "Reading") -> MediaSource:
    if _holds_samples(without_query(uri)):
        return _file_source(uri, reading)
    if is_store(uri):
        return StoreSource(reading, uri.rstrip("/"))
    raise SourceError(
        f"{uri} cannot be listed: give a list (.txt) or a manifest (.csv, .parquet, .jsonl) of addresses, an archive or a video"
    )


def _file_source(uri: str, reading: "Reading") -> MediaSource:
    return FileSource(replace(reading, frames=reading.frames or DEFAULT_SECONDS), uri)


def _holds_samples(name: str) -> bool:
    return is_archive(name) or is_video(name)


@dataclass(frozen=True)
class Reading:
    """How files are made samples; the fields are the arguments of `open_source`."""

    split_from: str
    frames: Frames
    limits: Limits

    def kind_of(self, path: str) -> Kind | None:
        """Return the kind of container that a file is by its name, or None."""
        name = without_query(path)
        if is_archive(name):
            return archives.KIND
        return videos.kind(self.frames, self.limits) if self.frames and is_video(name) else None

    def collector(self, root: str) -> Collector:
        """Return what gathers the files of a source."""
        return Collector(root, self.split_from, self.kind_of)


@dataclass(frozen=True)
class _Source:
    """Reads what it lists; an object far away that is needed twice is fetched once, while there is room to keep it."""

    reading: Reading
    keeper: Keeper = field(default_factory=Keeper, compare=False, kw_only=True)

    def read(self, uri: str) -> bytes:
        """Return the bytes of one sample."""
        fetch = partial(addresses.read, uri, self.reading.limits)
        return self.keeper.read(uri, fetch) if is_remote(uri) else fetch()


@dataclass(frozen=True)
class _Folder(_Source):
    """A source whose files all lie below one folder, here or in an object store."""

    root: str

    def locate(self, filepath: str) -> str | None:
        """Return the address of a file below the root."""
        return addresses.below(self.root, filepath)


class StoreSource(_Folder):
    """All images below a folder of an object store."""

    def list(self) -> Listing:
        """Return every object that may be an image, as the store lists them."""
        collector = self.reading.collector(self.root)
        for uri, status in object_stores.list_objects(self.root):
            if not uri.endswith("/") and may_be_image(uri.rpartition("/")[2]):
                collector.add(uri, status)
        return collector.listing()


class FolderSource(_Folder):
    """All images below a folder."""

    def list(self) -> Listing:
        """Return every file below the root that may be an image; links are followed, loops are not."""
        collector = self.reading.collector(self.root)
        pending, seen = [self.root], {os.path.realpath(self.root)}
        while pending:
            folder = pending.pop()
            try:
                entries = list(os.scandir(folder))
                collector.touch(os.stat(folder).st_ctime_ns)
            except OSError as error:
                self._note(collector, folder, error)
                continue
            for entry in entries:
                if _is_folder(entry):
                    if (real := os.path.realpath(entry.path)) not in seen:
                        seen.add(real)
                        pending.append(entry.path)
                elif may_be_image(entry.name):
                    collector.add(entry.path, status_of(entry.path, entry.stat))
        return collector.listing()

    def _note(self, collector: Collector, folder: str, error: OSError) -> None:
        """Note that a folder cannot be listed, this time or ever."""
        if folder == self.root:
            raise SourceError(f"the media folder {self.root} cannot be listed: {error.strerror}") from None
        if error.errno == errno.ENAMETOOLONG:
            collector.refuse(folder, "unsupported: the folder is deeper than any path can name")
        else:
            collector.unreadable.append(readable(os.path.relpath(folder, self.root)))


@dataclass(frozen=True)
class GlobSource(_Folder):
    """All files that match a pattern; paths are relative to the folder before its first wildcard."""

    pattern: str

    def list(self) -> Listing:
        """Return every match that is a file."""
        if not os.path.isdir(self.root):
            raise SourceError(f"no media match {self.pattern}: there is no folder {self.root}")
        collector = self.reading.collector(self.root)
        for match in glob.iglob(self.pattern, recursive=True):
            if not os.path.isdir(match) and may_be_image(os.path.basename(match)):
                collector.add(match, status_of(match))
        return collector.listing()


@dataclass(frozen=True)
class FileSource(_Source):
    """All images inside one archive, or frames of one video, here or far away; their paths begin with its name."""

    uri: str

    def list(self) -> Listing:
        """Return the file as the only container."""
        path = without_query(self.uri)
        status = object_stores.statuses([self.uri])[0] if is_remote(self.uri) else status_of(self.uri)
        if status.bytes < 0:
            raise SourceError(f"the file {path} is not there")
        collector = self.reading.collector(path.rpartition("/")[0])
        collector.add(path, status, uri=self.uri)
        return collector.listing()

    def locate(self, filepath: str) -> str | None:
        """Return the address of a member."""
        name = without_query(self.uri).rpartition("/")[2]
        own = filepath.startswith((f"{name}{archives.SEPARATOR}", f"{name}{videos.SEPARATOR}"))
        return self.uri + filepath.removeprefix(name) if own else None


@dataclass(frozen=True)
class _Named:
    """What a manifest names: the parent that all have in common, paths, and for objects far away their addresses."""

    root: str
    names: list[str]
    addresses: list[str]


@dataclass(frozen=True)
class ManifestSource(_Source):
    """The files and addresses that a list or manifest names; relative paths start at its folder."""

    path: Path

    def list(self) -> Listing:
        """Return what is named; what is missing is listed with -1 bytes."""
        try:
            rows, touched = list(self._rows()), os.stat(self.path).st_ctime_ns
        except OSError as error:
            raise SourceError(f"{self.path} cannot be read: {error.strerror}") from None
        named = self._named(rows)
        collector = self.reading.collector(named.root)
        collector.touch(touched)
        states = object_stores.statuses(named.addresses) if named.addresses else map(status_of, named.names)
        uris = named.addresses or repeat(None, len(rows))
        for name, status, row, uri in zip(named.names, states, rows, uris, strict=True):
            collector.add(name, status, row, uri)
        return collector.listing()

    def locate(self, filepath: str) -> str | None:
        """Return the address of a file below the common parent of all that are named, or of a named object."""
        try:
            named = _named(self, os.stat(self.path).st_mtime_ns)
        except (OSError, SourceError):
            return None
        if not named.addresses:
            return addresses.below(named.root, filepath)
        known = {name[len(named.root) :]: uri for name, uri in zip(named.names, named.addresses, strict=True)}
        path, inside = (filepath, "") if filepath in known else addresses.parted(filepath)
        return known[path] + inside if path in known else None

    def _named(self, rows: Iterable[Row]) -> _Named:
        given = [str(row["filepath"]) for row in rows]
        remote = [uri for uri in given if object_stores.is_remote(uri)]
        if remote and len(remote) < len(given):
            raise SourceError(f"{self.path} mixes files with addresses: give a list for each, as a dataset of its own")
        if remote:
            names = _without_queries(remote)
            return _Named(_common_address(names), names, remote)
        names = [os.path.normpath(self.path.parent / os.path.expanduser(name)) for name in given]
        root = os.path.commonpath([os.path.dirname(name) for name in names]) if names else str(self.path.parent)
        return _Named(root, names, [])

    def _rows(self) -> Iterator[Row]:
        if self.path.suffix.lower() in LIST_SUFFIXES:
            for line in bytes_of(self.path).decode("utf-8", "surrogateescape").splitlines():
                if line.strip() and not line.lstrip().startswith("#"):
                    yield {"filepath": line.strip()}
            return
        table = read_table(self.path)
        if "filepath" not in table.column_names:
            raise SourceError(f"{self.path} has no column 'filepath' (columns: {', '.join(table.column_names)})")
        wanted = [name for name in ("filepath", "split", "tags") if name in table.column_names]
        yield from (row for row in table.select(wanted).to_pylist() if row["filepath"])


@lru_cache(8)
def _named(source: ManifestSource, _: int) -> _Named:
    """Return what a manifest names, as long as it does not change."""
    return source._named(source._rows())


def _common_address(uris: list[str]) -> str:
    """Return what addresses have in common up to a slash."""
    first, last = min(uris), max(uris)
    same = next(
        (place for place, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first)
    )
    return first[: first.rindex("/", 0, same) + 1] if "/" in first[:same] else ""


def _without_queries(uris: list[str]) -> list[str]:
    """Return what names each address: a query, which may hold a signature, does where nothing else tells them apart."""
    plain = [object_stores.without_query(uri) for uri in uris]
    shared = Counter(name for name, _ in set(zip(plain, uris, strict=True)))
    return [name if shared[name] == 1 else uri for name, uri in zip(plain, uris, strict=True)]


def read_table(path: Path) -> pa.Table:
    """Return a CSV, Parquet or JSONL file as an Arrow table; raises SourceError."""
    try:
        with open_local(path) as file:
            table = _parsed(file, path)
        table.validate(full=True)
        return table
    except (OSError, ValueError, pa.ArrowException) as error:
        raise SourceError(f"{path} cannot be read as {path.suffix[1:]}: {' '.join(str(error).split())}") from None


def _parsed(file: BinaryIO, path: Path) -> pa.Table:
    if path.suffix.lower() == ".csv":
        from pyarrow import csv

        table = csv.read_csv(file)
    elif path.suffix.lower() == ".parquet":
        from pyarrow import parquet

        table = parquet.read_table(file)
    else:
        from pyarrow import json

        data = file.read()
        if is_deeply_nested(data):
            raise ValueError("a line is nested too deeply")
        table = json.read_json(io.BytesIO(data))
    check_names(table.column_names, table.column_names)
    return table


def _before_wildcard(parts: Iterable[str]) -> Iterator[str]:
    for part in list(parts)[:-1]:
        if glob.has_magic(part):
            return
        yield part


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir() and not entry.name.startswith(".")
    except OSError:
        return False
