"""Where the images of a dataset lie, and how to list and read them; nothing is ever copied.

A source lists *items*: one row per sample with its stable id, its address and what the file system says of it. The
listing has a *state*, a digest that changes when any item is added, changed or gone, and costs one ``stat`` per file.
"""

import glob
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from resources import addresses, archives, object_stores, videos
from resources.addresses import read_local
from resources.errors import SourceError
from resources.listing import (
    Collector,
    Listing,
    content_hash,
    is_archive,
    may_be_image,
    readable,
    sample_id,
    split_of,
    status_of,
)
from resources.videos import DEFAULT_SECONDS, Frames, is_video

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


def open_source(uri: str, split_from: str = "none", frames: Frames = None) -> MediaSource:
    """Return the source that ``uri`` names.

    Parameters
    ----------
    uri : str
        A folder (searched with its subfolders), an archive (zip, tar, tar.gz), a glob, a text file of paths, or a manifest
        (CSV, Parquet or JSONL with a ``filepath`` column, optionally ``split`` and ``tags``); or a folder of an object
        store (``s3://``, ``gs://``, ``az://``). Lists and manifests may name objects and web addresses.
    split_from : {"folder", "column", "none"}
        Where a sample's split comes from.
    frames : float or "key", optional
        Seconds between the frames that are taken of videos, or all key frames; without it, videos among other files are no
        samples, and one that is given as such is looked at every second.

    Raises
    ------
    SourceError
        If there is nothing of that name.
    """
    if object_stores.is_remote(uri):
        return _remote_source(uri, split_from)
    path = Path(uri).expanduser().absolute()
    if path.is_dir():
        return FolderSource(path, split_from, frames)
    if path.suffix.lower() in LIST_SUFFIXES | MANIFEST_SUFFIXES and path.is_file():
        return ManifestSource(path, split_from, frames)
    if path.is_file() and (is_archive(path.name) or is_video(path.name)):
        return FileSource(path, split_from, frames or DEFAULT_SECONDS)
    if glob.has_magic(uri):
        return GlobSource(str(path), split_from, frames)
    raise SourceError(
        f"no media at {uri}: give a folder, an archive (.zip, .tar, .tar.gz, .tgz), a video, a glob, a list of paths"
        " (.txt), a manifest (.csv, .parquet, .jsonl) or an object store (s3://, gs://, az://)"
    )


def _remote_source(uri: str, split_from: str) -> MediaSource:
    if object_stores.is_store(uri):
        return StoreSource(uri.rstrip("/"), split_from)
    raise SourceError(f"{uri} cannot be listed: give a list (.txt) or a manifest (.csv, .parquet, .jsonl) of addresses")


class _LocalSource:
    """A source whose files lie on this machine."""

    frames: Frames

    def _add(
        self, collector: Collector, path: str, row: Row | None = None, ask: Callable[[], os.stat_result] | None = None
    ) -> None:
        if is_archive(path):
            collector.add_container(path, archives.KIND, row)
        elif self.frames and is_video(path):
            collector.add_container(path, videos.kind(self.frames), row)
        else:
            collector.add(path, status_of(path, ask), row)

    def read(self, uri: str) -> bytes:
        """Return the bytes of one sample."""
        return addresses.read(uri)


@dataclass(frozen=True)
class StoreSource:
    """All images below a folder of an object store."""

    root: str
    split_from: str
    keeper: object_stores.Keeper = field(default_factory=object_stores.Keeper, compare=False)

    def list(self) -> Listing:
        """Return every object that may be an image, as the store lists them."""
        collector = Collector(self.root, self.split_from)
        for uri, status in object_stores.list_objects(self.root):
            if not uri.endswith("/") and may_be_image(uri.rpartition("/")[2]):
                collector.add(uri, status)
        return collector.listing()

    def read(self, uri: str) -> bytes:
        """Return the bytes of one object."""
        return self.keeper.read(uri)

    def locate(self, filepath: str) -> str | None:
        """Return the address of an object below the root."""
        return None if ".." in filepath.split("/") else f"{self.root}/{filepath}"


@dataclass(frozen=True)
class FolderSource(_LocalSource):
    """All images below a folder."""

    root: Path
    split_from: str
    frames: Frames

    def list(self) -> Listing:
        """Return every file below the root that may be an image; links are followed, loops are not."""
        collector = Collector(str(self.root), self.split_from)
        pending, seen = [self.root], {os.path.realpath(self.root)}
        while pending:
            folder = pending.pop()
            try:
                entries = list(os.scandir(folder))
                collector.touch(os.stat(folder).st_ctime_ns)
            except OSError as error:
                if folder == self.root:
                    raise SourceError(f"the media folder {self.root} cannot be listed: {error.strerror}") from None
                collector.unreadable.append(readable(folder.relative_to(self.root).as_posix()))
                continue
            for entry in entries:
                if _is_folder(entry):
                    if (real := os.path.realpath(entry.path)) not in seen:
                        seen.add(real)
                        pending.append(Path(entry.path))
                elif may_be_image(entry.name):
                    self._add(collector, entry.path, ask=entry.stat)
        return collector.listing()

    def locate(self, filepath: str) -> str | None:
        """Return the address of a file below the root."""
        return addresses.below(self.root, filepath)


@dataclass(frozen=True)
class FileSource(_LocalSource):
    """All images inside one archive, or frames of one video; their paths begin with its name."""

    path: Path
    split_from: str
    frames: Frames

    def list(self) -> Listing:
        """Return the file as the only container."""
        if not self.path.is_file():
            raise SourceError(f"the file {self.path} is not there")
        collector = Collector(str(self.path.parent), self.split_from)
        self._add(collector, str(self.path))
        return collector.listing()

    def locate(self, filepath: str) -> str | None:
        """Return the address of a member."""
        own = filepath.startswith((f"{self.path.name}{archives.SEPARATOR}", f"{self.path.name}{videos.SEPARATOR}"))
        return addresses.below(self.path.parent, filepath) if own else None


@dataclass(frozen=True)
class GlobSource(_LocalSource):
    """All files that match a pattern; paths are relative to the folder before its first wildcard."""

    pattern: str
    split_from: str
    frames: Frames

    def list(self) -> Listing:
        """Return every match that is a file."""
        if not self.root.is_dir():
            raise SourceError(f"no media match {self.pattern}: there is no folder {self.root}")
        collector = Collector(str(self.root), self.split_from)
        for match in glob.iglob(self.pattern, recursive=True):
            if os.path.isfile(match) and may_be_image(os.path.basename(match)):
                self._add(collector, match)
        return collector.listing()

    @property
    def root(self) -> Path:
        """The folder before the first wildcard."""
        return Path(*_before_wildcard(Path(self.pattern).parts))

    def locate(self, filepath: str) -> str | None:
        """Return the address of a file below the folder before the first wildcard."""
        return addresses.below(self.root, filepath)


@dataclass(frozen=True)
class _Named:
    """What a manifest names: the parent that all have in common, paths, and for objects far away their addresses."""

    root: str
    names: list[str]
    addresses: list[str]


@dataclass(frozen=True)
class ManifestSource(_LocalSource):
    """The files and addresses that a list or manifest names; relative paths start at its folder."""

    path: Path
    split_from: str
    frames: Frames = None
    keeper: object_stores.Keeper = field(default_factory=object_stores.Keeper, compare=False)

    def list(self) -> Listing:
        """Return what is named; what is missing is listed with -1 bytes."""
        try:
            rows, touched = list(self._rows()), os.stat(self.path).st_ctime_ns
        except OSError as error:
            raise SourceError(f"{self.path} cannot be read: {error.strerror}") from None
        named = self._named(rows)
        collector = Collector(named.root, self.split_from)
        collector.touch(touched)
        states = object_stores.statuses(named.addresses)
        for number, (name, row) in enumerate(zip(named.names, rows, strict=True)):
            if named.addresses:
                collector.add(name, states[number], row, named.addresses[number])
            else:
                self._add(collector, name, row)
        return collector.listing()

    def read(self, uri: str) -> bytes:
        """Return the bytes of one sample."""
        return self.keeper.read(uri) if object_stores.is_remote(uri) else addresses.read(uri)

    def locate(self, filepath: str) -> str | None:
        """Return the address of a file below the common parent of all that are named, or of a named object."""
        try:
            named = _named(self, os.stat(self.path).st_mtime_ns)
        except (OSError, SourceError):
            return None
        if not named.addresses:
            return addresses.below(Path(named.root), filepath)
        place = {name[len(named.root) :]: place for place, name in enumerate(named.names)}.get(filepath)
        return None if place is None else named.addresses[place]

    def _named(self, rows: Iterable[Row]) -> _Named:
        given = [str(row["filepath"]) for row in rows]
        remote = [uri for uri in given if object_stores.is_remote(uri)]
        if remote and len(remote) < len(given):
            raise SourceError(f"{self.path} mixes files with addresses: give a list for each, as a dataset of its own")
        if remote:
            names = _without_queries(remote)
            return _Named(_common_address(names), names, remote)
        names = [os.path.normpath(self.path.parent / Path(name).expanduser()) for name in given]
        root = os.path.commonpath([os.path.dirname(name) for name in names]) if names else str(self.path.parent)
        return _Named(root, names, [])

    def _rows(self) -> Iterator[Row]:
        if self.path.suffix.lower() in LIST_SUFFIXES:
            for line in self.path.read_text("utf-8", errors="surrogateescape").splitlines():
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
        if path.suffix.lower() == ".csv":
            from pyarrow import csv

            return csv.read_csv(path)
        if path.suffix.lower() == ".parquet":
            from pyarrow import parquet

            return parquet.read_table(path)
        from pyarrow import json

        return json.read_json(path)
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"{path} cannot be read as {path.suffix[1:]}: {' '.join(str(error).split())}") from None


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
