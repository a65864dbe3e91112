"""Where the images of a dataset lie, and how to list and read them; nothing is ever copied.

A source lists *items*: one row per sample with its stable id, its address and what the file system says of it. The
listing has a *state*, a digest that changes when any item is added, changed or gone, and costs one ``stat`` per file.
"""

import glob
import hashlib
import os
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, unquote_to_bytes

import pyarrow as pa

from resources.errors import SourceError

SOURCE_NAME = "media"
SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
LIST_SUFFIXES = {".txt", ".lst"}
MANIFEST_SUFFIXES = {".csv", ".parquet", ".jsonl"}
# What lies beside images in a folder and is not one; a named list or manifest may still name such files.
BESIDE_SUFFIXES = {
    ".txt", ".lst", ".csv", ".json", ".tsv", ".jsonl", ".parquet", ".arrow", ".xml", ".yaml", ".yml", ".toml", ".ini",
    ".cfg", ".log", ".md", ".rst", ".html", ".htm", ".css", ".js", ".py", ".ipynb", ".sh", ".npy", ".npz", ".pt",
    ".pth", ".onnx", ".pkl", ".pickle", ".h5", ".hdf5", ".db", ".sqlite", ".duckdb", ".lock", ".tmp", ".part", ".crdownload",
    ".swp", ".bak", ".md5", ".sha1", ".sha256", ".doc", ".docx", ".xls", ".xlsx",
}  # fmt: skip
BESIDE_NAMES = {"thumbs.db", "desktop.ini", "license", "readme", "makefile"}

ITEM = pa.schema([
    ("sample_id", pa.string()),
    ("filepath", pa.string()),
    ("uri", pa.string()),
    ("bytes", pa.int64()),
    ("modified_ns", pa.int64()),
    ("touched_ns", pa.int64()),
    ("split", pa.string()),
    ("tags", pa.list_(pa.string())),
])  # fmt: skip


@dataclass(frozen=True)
class Listing:
    """What a source holds now.

    Attributes
    ----------
    items : pyarrow.Table
        One row per sample, columns as in ``ITEM``.
    state : str
        Digest of all items; equal listings have equal states, in whatever order they were found.
    newest : float
        Seconds since the epoch of the latest touch of a file or folder.
    unreadable : list of str
        Folders below the root, relative to it, that could not be listed; what was known below them still stands.
    """

    items: pa.Table
    state: str
    newest: float
    unreadable: list[str]


class MediaSource(Protocol):
    """Lists and reads the images of a dataset."""

    def list(self) -> Listing:
        """Return what is there now; raises SourceError when the source as a whole cannot be reached."""

    def read(self, uri: str) -> bytes:
        """Return the bytes of one item; raises OSError."""


def open_source(uri: str, split_from: str = "none") -> MediaSource:
    """Return the source that ``uri`` names.

    Parameters
    ----------
    uri : str
        A folder (searched with its subfolders), a glob, a text file of paths, or a manifest (CSV, Parquet or JSONL with
        a ``filepath`` column, optionally ``split`` and ``tags``).
    split_from : {"folder", "column", "none"}
        Where a sample's split comes from.

    Raises
    ------
    SourceError
        If there is nothing of that name.
    """
    path = Path(uri).expanduser()
    if path.is_dir():
        return FolderSource(path.absolute(), split_from)
    if path.suffix.lower() in LIST_SUFFIXES | MANIFEST_SUFFIXES and path.is_file():
        return ManifestSource(path.absolute(), split_from)
    if glob.has_magic(uri):
        return GlobSource(str(Path(uri).expanduser().absolute()), split_from)
    raise SourceError(
        f"no media at {uri}: give a folder, a glob, a list of paths (.txt) or a manifest (.csv, .parquet, .jsonl)"
    )


@dataclass(frozen=True)
class FolderSource:
    """All images below a folder."""

    root: Path
    split_from: str

    def list(self) -> Listing:
        """Return every file below the root that may be an image; links are followed, loops are not."""
        collector = _Collector(self.root, self.split_from)
        pending, seen = [self.root], {os.path.realpath(self.root)}
        while pending:
            folder = pending.pop()
            try:
                entries = list(os.scandir(folder))
                collector.touch(os.stat(folder).st_ctime_ns)
            except OSError as error:
                if folder == self.root:
                    raise SourceError(f"the media folder {self.root} cannot be listed: {error.strerror}") from None
                collector.unreadable.append(_readable(folder.relative_to(self.root).as_posix()))
                continue
            for entry in entries:
                if _is_folder(entry):
                    if (real := os.path.realpath(entry.path)) not in seen:
                        seen.add(real)
                        pending.append(Path(entry.path))
                elif _may_be_image(entry.name):
                    collector.add(entry.path, ask=entry.stat)
        return collector.listing()

    def read(self, uri: str) -> bytes:
        """Return the bytes of one file."""
        return read_local(uri)


@dataclass(frozen=True)
class GlobSource:
    """All files that match a pattern; paths are relative to the folder before its first wildcard."""

    pattern: str
    split_from: str

    def list(self) -> Listing:
        """Return every match that is a file."""
        fixed = Path(*_before_wildcard(Path(self.pattern).parts))
        if not fixed.is_dir():
            raise SourceError(f"no media match {self.pattern}: there is no folder {fixed}")
        collector = _Collector(fixed, self.split_from)
        for match in glob.iglob(self.pattern, recursive=True):
            if os.path.isfile(match) and _may_be_image(os.path.basename(match)):
                collector.add(match)
        return collector.listing()

    def read(self, uri: str) -> bytes:
        """Return the bytes of one file."""
        return read_local(uri)


@dataclass(frozen=True)
class ManifestSource:
    """The files that a list or manifest names; relative paths start at its folder."""

    path: Path
    split_from: str

    def list(self) -> Listing:
        """Return the named files; a file that is missing is listed with -1 bytes."""
        try:
            rows, touched = list(self._rows()), os.stat(self.path).st_ctime_ns
        except OSError as error:
            raise SourceError(f"{self.path} cannot be read: {error.strerror}") from None
        paths = [Path(os.path.normpath(self.path.parent / Path(str(row["filepath"])).expanduser())) for row in rows]
        root = Path(os.path.commonpath([path.parent for path in paths])) if paths else self.path.parent
        collector = _Collector(root, self.split_from)
        collector.touch(touched)
        for path, row in zip(paths, rows, strict=True):
            collector.add(str(path), row)
        return collector.listing()

    def read(self, uri: str) -> bytes:
        """Return the bytes of one file."""
        return read_local(uri)

    def _rows(self) -> Iterator[dict[str, Any]]:
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


def sample_id(filepath: str) -> str:
    """Return the stable id of an item: a hash of the source's name and the normalised path inside it."""
    normal = unicodedata.normalize("NFC", filepath)
    return hashlib.blake2b(f"{SOURCE_NAME}\0{normal}".encode(errors="surrogateescape"), digest_size=10).hexdigest()


def content_hash(data: bytes) -> str:
    """Return the name of a content, 128 bits of BLAKE2b."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def read_local(uri: str) -> bytes:
    """Return the bytes of a local file; raises OSError, also for what is no file, such as a pipe, which might block."""
    name = unquote_to_bytes(uri.removeprefix("file://")) if uri.startswith("file://") else os.fsencode(uri)
    with os.fdopen(os.open(name, os.O_RDONLY | os.O_NONBLOCK), "rb") as handle:
        if not stat.S_ISREG(os.fstat(handle.fileno()).st_mode):
            raise OSError("not a regular file")
        return handle.read()


def split_of(name: str | None) -> str | None:
    """Return the split that a folder or a column names, spelled one way.

    Examples
    --------
    >>> split_of("Validation"), split_of("holdout"), split_of(None)
    ('val', 'holdout', None)
    """
    if not name:
        return None
    return SPLITS.get(str(name).strip().lower(), str(name).strip())


@dataclass
class _Collector:
    root: Path
    split_from: str
    unreadable: list[str] = field(default_factory=list)
    rows: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    digest: int = 0
    newest_ns: int = 0

    def touch(self, at_ns: int) -> None:
        self.newest_ns = max(self.newest_ns, at_ns)

    def add(
        self, path: str, row: dict[str, Any] | None = None, ask: Callable[[], os.stat_result] | None = None
    ) -> None:
        try:
            status = ask() if ask else os.stat(path)
            size, modified, touched = status.st_size, status.st_mtime_ns, status.st_ctime_ns
        except (OSError, ValueError):
            size, modified, touched = -1, 0, 0
        relative = path[len(str(self.root).rstrip("/")) + 1 :]
        item_id, split, tags = sample_id(relative), self._split(relative, row or {}), _tags((row or {}).get("tags"))
        self.touch(touched)
        self.rows[item_id] = (item_id, _readable(relative), _uri(path), size, modified, touched, split, tags)
        mark = f"{item_id}{size} {modified} {touched} {split} {tags}".encode()
        self.digest += int.from_bytes(hashlib.blake2b(mark, digest_size=16).digest(), "big")

    def listing(self) -> Listing:
        columns = zip(*self.rows.values(), strict=True)
        items = pa.table(list(columns), schema=ITEM) if self.rows else ITEM.empty_table()
        state = f"{len(self.rows):x}-{self.digest % 2**128:032x}"
        if self.unreadable:
            state += "-" + content_hash("\n".join(sorted(self.unreadable)).encode(errors="surrogateescape"))[:8]
        return Listing(items, state, self.newest_ns / 1e9, sorted(self.unreadable))

    def _split(self, relative: str, row: dict[str, Any]) -> str | None:
        if self.split_from == "column":
            return split_of(row.get("split"))
        if self.split_from == "folder" and "/" in relative:
            return SPLITS.get(relative.split("/", 1)[0].lower())
        return None


def _tags(value: Any) -> list[str]:
    if not value:
        return []
    parts = value.replace(";", ",").split(",") if isinstance(value, str) else value
    return sorted({str(part).strip() for part in parts if str(part).strip()})


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


def _may_be_image(name: str) -> bool:
    lower = name.lower()
    return not name.startswith(".") and lower not in BESIDE_NAMES and os.path.splitext(lower)[1] not in BESIDE_SUFFIXES


def _readable(path: str) -> str:
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _uri(text: str) -> str:
    """Return the absolute path; one that is not valid UTF-8 as a percent-encoded file URI."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "file://" + quote(os.fsencode(text))
    return text
