"""Where the images of a dataset lie, and how to list and read them; nothing is ever copied.

A source lists *items*: one row per sample with its stable id, its address and what the file system says of it. The
listing has a *state*, a digest that changes when any item is added, changed or gone, and costs one ``stat`` per file.
"""

import errno
import glob
import io
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import repeat
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import pyarrow as pa

from brain_assets.resources.column_names import places_of
from brain_assets.resources.errors import SourceError
from brain_assets.resources.fiftyone_samples import FILE as SAMPLES
from brain_assets.resources.fiftyone_samples import columns_of
from brain_assets.resources.limits import DEFAULT_LIMITS, Limits
from brain_assets.resources.local_files import bytes_of, open_local
from brain_assets.resources.machine import collected_rarely
from brain_assets.resources.media import addresses, archives, object_stores, videos
from brain_assets.resources.media.addresses import read_local
from brain_assets.resources.media.candidates import count_other, is_image, may_be_image
from brain_assets.resources.media.data_yaml import SUFFIXES as YAML_SUFFIXES
from brain_assets.resources.media.data_yaml import read_data_yaml
from brain_assets.resources.media.listing import (
    Collector,
    Kind,
    Listing,
    Status,
    content_hash,
    groups_of,
    is_archive,
    readable,
    sample_id,
    status_of,
)
from brain_assets.resources.media.object_stores import Keeper, is_remote, is_store, without_query
from brain_assets.resources.media.splits import split_of
from brain_assets.resources.media.videos import DEFAULT_SECONDS, Frames, is_video
from brain_assets.resources.settings.configuration import DatasetSettings
from brain_assets.resources.tabular import check_names, is_deeply_nested
from brain_assets.resources.tabular import read_table as read_rows

__all__ = [
    "Listing", "MediaSource", "content_hash", "open_media", "open_source", "read_local", "read_table", "sample_id", "split_of",
]  # fmt: skip

Row = dict[str, Any]
LIST_SUFFIXES = {".txt", ".lst"}
MANIFEST_SUFFIXES = {".csv", ".parquet", ".jsonl"}
# A path, white space or a comma, and the rest: ImageNet's and Caffe's lists have a number, others a name.
LABEL_BEHIND = re.compile(r"(.*?\.\w{2,5})(?:\s*[,;\t]\s*|\s+)(\S.*)")


class MediaSource(Protocol):
    """Lists and reads the images of a dataset."""

    def list(self) -> Listing:
        """Return what is there now; raises SourceError when the source as a whole cannot be reached."""

    def gather(self, collector: Collector) -> None:
        """Add what is there now to what is gathered; raises SourceError."""

    def read(self, uri: str) -> bytes:
        """Return the bytes of one item; raises OSError, or Refused where it is damaged where it lies."""

    def locate(self, filepath: str) -> str | None:
        """Return the address of a sample by its path, or None where that leads out of the source."""


def open_media(settings: DatasetSettings, limits: Limits = DEFAULT_LIMITS) -> MediaSource:
    """Return the source of a dataset's images; raises SourceError if there is nothing of that name."""
    return open_source(settings.media, settings.split_from, settings.frames, limits, settings.group_columns)


def open_source(
    uri: str | Sequence[str],
    split_from: str = "none",
    frames: Frames = None,
    limits: Limits = DEFAULT_LIMITS,
    groups: Sequence[str] = (),
) -> MediaSource:
    """Return the source that ``uri`` names.

    Parameters
    ----------
    uri : str or sequence of str
        A folder (searched with its subfolders), an archive (zip, tar, tar.gz), a video, a glob, a text file of paths, a
        manifest (CSV, Parquet or JSONL with a ``filepath`` column, optionally ``split`` and ``tags``), or a ``data.yaml``;
        or a folder of an object store (``s3://``, ``gs://``, ``az://``), an archive or a video there or behind a web address.
        ``samples.json`` of a FiftyOne dataset is a manifest, too; a tag that names a split is its ``split``.
        Lists and manifests may name folders, objects and web addresses. Of several, the paths begin with their names.
    split_from : {"folder", "column", "none"}
        Where a sample's split comes from.
    frames : float or "key", optional
        Seconds between the frames that are taken of videos, or all key frames; without it, videos among other files are no
        samples, and one that is given as such is looked at every second.
    limits : Limits
        What decoding a video may use.
    groups : sequence of str
        Columns of a manifest that say what belongs together.

    Raises
    ------
    SourceError
        If there is nothing of that name.
    """
    if not isinstance(uri, str):
        sources = [open_source(one, split_from, frames, limits, groups) for one in uri]
        return sources[0] if len(sources) == 1 else _several(uri, sources, Reading(split_from, frames, limits))
    reading = Reading(split_from, frames, limits, tuple(groups))
    return _far_source(uri, reading) if is_remote(uri) else _near_source(uri, reading)


def _near_source(uri: str, reading: "Reading") -> MediaSource:
    path = Path(uri).expanduser().absolute()
    if path.is_dir():
        return FolderSource(reading, str(path))
    if path.is_file() and (made := _of_file(path, reading)):
        return made
    if glob.has_magic(uri):
        return GlobSource(reading, str(Path(*_before_wildcard(path.parts))), str(path))
    raise SourceError(
        f"no media at {uri}: give a folder, an archive (.zip, .tar, .tar.gz, .tgz), a video, a glob, a list of paths"
        " (.txt), a manifest (.csv, .parquet, .jsonl, samples.json of FiftyOne), a data.yaml or an object store (s3://, gs://, az://)"
    )


def _of_file(path: Path, reading: "Reading") -> MediaSource | None:
    suffix = path.suffix.lower()
    if suffix in LIST_SUFFIXES | MANIFEST_SUFFIXES or path.name == SAMPLES:
        return ManifestSource(reading, path)
    if suffix in YAML_SUFFIXES:
        return DataYamlSource(reading, path)
    return _file_source(str(path), reading) if _holds_samples(path.name) else None


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
    groups: tuple[str, ...] = ()

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

    def list(self) -> Listing:
        """Return what is there now; raises SourceError when the source as a whole cannot be reached."""
        collector = self.reading.collector("")
        with collected_rarely():
            self.gather(collector)
            return collector.listing()

    def gather(self, collector: Collector) -> None:
        """Add what is there now; raises SourceError."""
        raise NotImplementedError


@dataclass(frozen=True)
class _Folder(_Source):
    """A source whose files all lie below one folder, here or in an object store."""

    root: str

    def locate(self, filepath: str) -> str | None:
        """Return the address of a file below the root."""
        return addresses.below(self.root, filepath)


class StoreSource(_Folder):
    """All images below a folder of an object store."""

    def gather(self, collector: Collector) -> None:
        """Add every object that may be an image by its name, as the store lists them."""
        collector.root = self.root
        for uri, status in object_stores.list_objects(self.root):
            if uri.endswith("/"):
                continue
            kind = collector.kind_of(uri)
            if kind or may_be_image(uri.rpartition("/")[2]):
                collector.put(uri, status, kind)
            else:
                count_other(collector.left_out, uri, Status())


class FolderSource(_Folder):
    """All images below a folder."""

    def gather(self, collector: Collector) -> None:
        """Add every file below the root that is an image; links are followed, loops are not."""
        collector.root = self.root
        _walk(collector, self.root)


def _walk(collector: Collector, root: str, row: Row | None = None) -> None:
    pending, seen = [root], {os.path.realpath(root)}
    while pending:
        folder = pending.pop()
        try:
            entries = list(os.scandir(folder))
            collector.touch(os.stat(folder).st_ctime_ns)
        except OSError as error:
            if folder == root:
                raise SourceError(f"the media folder {root} cannot be listed: {error.strerror}") from None
            _note(collector, folder, error)
            continue
        for entry in entries:
            if _is_folder(entry):
                if (real := os.path.realpath(entry.path)) not in seen:
                    seen.add(real)
                    pending.append(entry.path)
            elif not entry.name.startswith("."):
                _offer(collector, entry.path, status_of(entry.path, entry.stat), row)


def _note(collector: Collector, folder: str, error: OSError) -> None:
    """Note that a folder cannot be listed, this time or ever."""
    if error.errno == errno.ENAMETOOLONG:
        collector.refuse(folder, "unsupported: the folder is deeper than any path can name")
    else:
        collector.unreadable.append(readable(collector.relative(folder)))


def _offer(collector: Collector, path: str, status: Status, row: Row | None = None) -> None:
    """Add a file that was found, where it is an image or holds some; count it otherwise."""
    kind = collector.kind_of(path)
    if kind or is_image(path, status):
        collector.put(path, status, kind, row)
    else:
        count_other(collector.left_out, path, status)


@dataclass(frozen=True)
class GlobSource(_Folder):
    """All files that match a pattern; paths are relative to the folder before its first wildcard."""

    pattern: str

    def gather(self, collector: Collector) -> None:
        """Add every match that is a file; a pattern that ends in a suffix says itself that such files are images."""
        if not os.path.isdir(self.root):
            raise SourceError(f"no media match {self.pattern}: there is no folder {self.root}")
        collector.root = self.root
        _glob(collector, self.pattern)


def _glob(collector: Collector, pattern: str, row: Row | None = None) -> None:
    suffix = os.path.splitext(pattern)[1]
    named = bool(suffix) and not glob.has_magic(suffix)
    for match in glob.iglob(pattern, recursive=True):
        if os.path.isdir(match):
            continue
        if named and may_be_image(os.path.basename(match)):
            collector.add(match, status_of(match), row)
        else:
            _offer(collector, match, status_of(match), row)


@dataclass(frozen=True)
class FileSource(_Source):
    """All images inside one archive, or frames of one video, here or far away; their paths begin with its name."""

    uri: str

    def gather(self, collector: Collector) -> None:
        """Add the file as the only container."""
        path = without_query(self.uri)
        status = object_stores.statuses([self.uri])[0] if is_remote(self.uri) else status_of(self.uri)
        if status.bytes < 0:
            raise SourceError(f"the file {path} is not there")
        collector.root = path.rpartition("/")[0]
        collector.add(path, status, uri=self.uri)

    def locate(self, filepath: str) -> str | None:
        """Return the address of a member."""
        name = without_query(self.uri).rpartition("/")[2]
        own = filepath.startswith((f"{name}{archives.SEPARATOR}", f"{name}{videos.SEPARATOR}"))
        return self.uri + filepath.removeprefix(name) if own else None


@dataclass(frozen=True)
class DataYamlSource(_Source):
    """The images that a ``data.yaml`` names, in the splits that it names; paths start at the folder that they share."""

    path: Path

    def gather(self, collector: Collector) -> None:
        """Add what lies in its folders, and what its lists and patterns name; what is not there is told."""
        named = read_data_yaml(self.path).images
        collector.touch(status_of(str(self.path)).touched)
        collector.root = self._root(named)
        for split, path in named:
            self._gather(collector, split, path)
        if not collector.found:
            raise SourceError(f"{self.path} names no images that are there: {', '.join(path for _, path in named)}")

    def _gather(self, collector: Collector, split: str, path: str) -> None:
        row = {"split": split}
        if os.path.isdir(path):
            _walk(collector, path, row)
        elif Path(path).suffix.lower() in LIST_SUFFIXES and os.path.isfile(path):
            for name in _lines_of(Path(path)):
                collector.add(name, status_of(name), row)
        elif glob.has_magic(path):
            _glob(collector, path, row)
        else:
            collector.told.append(f"{self.path.name} names {path} for {split}, which is not there")

    def _root(self, named: Sequence[tuple[str, str]]) -> str:
        """Return the file's own folder where all lies below it, else what the paths have in common."""
        own = str(self.path.absolute().parent)
        folders = [path if os.path.isdir(path) else os.path.dirname(path) for _, path in named]
        shared = os.path.commonpath([*folders, own])
        return own if shared == own else os.path.commonpath(folders)

    def locate(self, filepath: str) -> str | None:
        """Return the address of a file below the root."""
        try:
            return addresses.below(self._root(read_data_yaml(self.path).images), filepath)
        except SourceError:
            return None


@dataclass(frozen=True)
class SeveralSources(_Source):
    """Several sources as one; the paths in each begin with the name that tells it from the others."""

    sources: dict[str, MediaSource]

    def gather(self, collector: Collector) -> None:
        """Add what is in each."""
        for prefix, source in self.sources.items():
            collector.prefix = f"{prefix}/"
            source.gather(collector)

    def locate(self, filepath: str) -> str | None:
        """Return the address of a file in the source whose name its path begins with."""
        prefix = next((one for one in self.sources if filepath.startswith(f"{one}/")), None)
        return self.sources[prefix].locate(filepath.removeprefix(f"{prefix}/")) if prefix else None


def _several(uris: Sequence[str], sources: Sequence[MediaSource], reading: Reading) -> MediaSource:
    if not sources:
        raise SourceError("media names nothing: give at least one folder")
    return SeveralSources(reading, dict(zip(_told_apart(uris), sources, strict=True)))


def _told_apart(uris: Sequence[str]) -> list[str]:
    """Return the shortest ends of some addresses that differ from each other.

    Examples
    --------
    >>> _told_apart(["/a/photos", "/b/photos", "/b/more"])
    ['a/photos', 'b/photos', 'b/more']
    """
    if len(set(uris)) < len(uris):
        raise SourceError("media names the same address twice")
    parts = [without_query(uri).rstrip("/").split("/") for uri in uris]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(one[-length:]).strip("/") for one in parts]
        if len(set(names)) == len(names):
            return names
    return list(uris)


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

    def gather(self, collector: Collector) -> None:
        """Add what is named, and what lies in folders that are; what is missing is listed with -1 bytes."""
        try:
            (rows, told), touched = self._rows(), os.stat(self.path).st_ctime_ns
        except OSError as error:
            raise SourceError(f"{self.path} cannot be read: {error.strerror}") from None
        named = self._named(rows)
        collector.root = named.root
        collector.touch(touched)
        states = object_stores.statuses(named.addresses) if named.addresses else map(status_of, named.names)
        uris = named.addresses or repeat(None, len(rows))
        for name, status, row, uri in zip(named.names, states, rows, uris, strict=True):
            if not uri and os.path.isdir(name):
                _walk(collector, name, row)
            else:
                collector.add(name, status, row, uri)
        collector.told += told
        if labelled := [row for row in rows if "label" in row]:
            collector.told.append(_labels_told(self.path, labelled))

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
        names = [_placed(self.path.parent, name) for name in given]
        root = os.path.commonpath([os.path.dirname(name) for name in names]) if names else str(self.path.parent)
        return _Named(root, names, [])

    def _rows(self) -> tuple[list[Row], list[str]]:
        """Return what is named, and what to tell of rows that cannot be read."""
        if self.path.suffix.lower() in LIST_SUFFIXES:
            return list(_rows_of(self.path)), []
        if self.path.name == SAMPLES:
            return _rows_of_fiftyone(self.path), []
        return _rows_of_table(self.path, self.reading.groups)


def _placed(folder: Path, name: str) -> str:
    """Return the absolute path that a name in a list means; backslashes part folders where nothing is called as written."""
    path = os.path.normpath(folder / os.path.expanduser(name))
    return path if "\\" not in name or os.path.lexists(path) else os.path.normpath(folder / name.replace("\\", "/"))


def _rows_of_table(path: Path, groups: Iterable[str]) -> tuple[list[Row], list[str]]:
    os.stat(path)
    read = read_rows(path, path.suffix[1:].lower())
    faults = [f"line {one.line}: {one.detail or one.reason}" if one.line else one.detail for one in read.rejected]
    if faults and not read.lines.size:
        raise SourceError(f"{path} cannot be read as {path.suffix[1:]}: {faults[0]}")
    names = read.table.column_names
    try:
        places = places_of(read, ("filepath", "split", "tags"))
    except ValueError as error:
        raise SourceError(f"{path}: {error}") from None
    if "filepath" not in places:
        raise SourceError(f"{path} has no column that names images (columns: {', '.join(names)}): call it filepath")
    given = {name: names.index(name) for name in groups if name in names}
    columns = {name: read.table.column(place).to_pylist() for name, place in {**places, **given}.items()}
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    told = [f"{len(faults)} rows of {path.name} cannot be read, as {faults[0]}"] if faults else []
    return [row | {"groups": groups_of({name: row[name] for name in given})} for row in rows if row["filepath"]], told


def _lines_of(path: Path) -> Iterator[str]:
    """Yield the absolute paths that a list of a ``data.yaml`` names, from its own folder on."""
    for row in _rows_of(path):
        yield _placed(path.parent, row["filepath"])


def _rows_of_fiftyone(path: Path) -> list[Row]:
    try:
        return columns_of(json.loads(bytes_of(path)), path.absolute().parent)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path} cannot be read as FiftyOne's samples: {' '.join(str(error).split())}") from None


def _rows_of(path: Path) -> Iterator[Row]:
    """Yield the rows of a list: paths, and the label behind a path where a file of the whole line is not there."""
    for line in _text_of(bytes_of(path)).splitlines():
        text = line.strip()
        if text and not text.startswith("#"):
            yield _row_of(path.parent, text)


def _text_of(data: bytes) -> str:
    """Return the text of a list; what is no UTF-8 in it is part of a path as the file system has it."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    return data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")


def _row_of(folder: Path, text: str) -> Row:
    parted = LABEL_BEHIND.fullmatch(text)
    if not parted or is_remote(text) or os.path.lexists(folder / text):
        return {"filepath": text}
    return {"filepath": parted[1], "label": parted[2]} if os.path.lexists(folder / parted[1]) else {"filepath": text}


def _labels_told(path: Path, rows: Sequence[Row]) -> str:
    example = f"{rows[0]['filepath']} {rows[0]['label']}"
    said = f"{path.name} has labels behind {len(rows)} of its paths, such as {example!r}"
    return f"{said}: they are read where it is given as labels"


@lru_cache(8)
def _named(source: ManifestSource, _: int) -> _Named:
    """Return what a manifest names, as long as it does not change."""
    return source._named(source._rows()[0])


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
