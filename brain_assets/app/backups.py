"""All that a home keeps of a dataset as one file, and back: a tar archive that is checked to the last byte.

Images, labels and models lie elsewhere and stay there. The first member says what the archive is, the last one lists the
checksums of all others: an archive that was cut short has no end, and is refused before anything is put in place.
"""

import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import IO, Any

from brain_assets.app.declaring import add_partition, undeclared
from brain_assets.resources.errors import BrainError, SourceError, naming_full_disk
from brain_assets.resources.settings import instance
from brain_assets.resources.settings.configuration import load_dataset
from brain_assets.resources.settings.home import DatasetPaths, Home
from brain_assets.resources.settings.private import private_files
from brain_assets.resources.store import locks

HEADER, CHECKSUMS = "brain-backup.json", "brain-checksums.json"
FORMAT = 1
BLOCK = 1 << 20
# What nothing can derive again.
SMALL = ("dataset.yaml", "backups", "review", "predictions")
# What the next run writes anew from what is published.
COPIES = "formats"
# What a run needs while it lasts, and what was left or set aside.
PASSING = ("run.lock", "waiting_since", "decoding.journal", "store.spill", "store.damaged-*", "*.draft", ".draft")


def back_up(
    home: Home, name: str, target: Path, *, small: bool = False, waiting: Callable[[str], None] | None = None
) -> int:
    """Write a dataset to a file, in one step, while no run changes it; return how many files are in it.

    Parameters
    ----------
    home : Home
    name : str
    target : Path
        A tar archive; compressed where its name ends in ``.gz`` or ``.tgz``.
    small : bool
        Whether to leave out all that can be derived again from the images.
    waiting : callable, optional
        Told once who is waited for.

    Raises
    ------
    BrainError
        If there is no such dataset, a run holds it, or the file cannot be written.
    """
    paths = home.existing(name)
    target = target.resolve()
    if target.exists() and not target.is_file():
        raise BrainError(f"{target} is a device, a pipe or a folder: name a file to write the backup to")
    draft = target.with_name(f".{target.name}.draft")
    mode = "w:gz" if target.suffix in (".gz", ".tgz") else "w"
    try:
        with (
            private_files(home.root),
            naming_full_disk(target.parent),
            locks.exclusive(paths.lock, "brain backup", timeout=60, waiting=waiting),
        ):
            with draft.open("wb") as raw:
                with tarfile.open(fileobj=raw, mode=mode, format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
                    count = _write(archive, paths, small=small)
                raw.flush()
                os.fsync(raw.fileno())
            draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return count


def restore(home: Home, source: Path, name: str | None = None) -> DatasetPaths:
    """Put a dataset back from a file, whole or not at all.

    Parameters
    ----------
    home : Home
    source : Path
        What `back_up` wrote.
    name : str, optional
        Another name than it had.

    Raises
    ------
    SourceError
        If the file is no backup, is damaged or cut short, or was written by a newer version.
    ConfigurationError
        If there is a dataset of that name.
    """
    with private_files(home.root), naming_full_disk(home.root), _opened(source) as archive:
        header = _header(archive, source)
        paths = undeclared(home, name or header["name"])
        if paths.folder.exists() and any(paths.folder.iterdir()):
            raise BrainError(f"{paths.folder} is not empty: move it away, or give another name with --name")
        folder = Path(tempfile.mkdtemp(prefix=".restoring-", dir=home.root))
        try:
            _extract(archive, folder, source)
            load_dataset(folder / "dataset.yaml")
            if current := header.get("current"):
                (folder / "published" / "current").symlink_to(Path("sets") / str(current))
            instance.prepare(home)
            home.datasets.mkdir(exist_ok=True)
            folder.chmod(0o700)
            folder.replace(paths.folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    add_partition(paths.name)
    return paths


def _write(archive: tarfile.TarFile, paths: DatasetPaths, *, small: bool) -> int:
    link = paths.published / "current"
    current = link.resolve().name if link.is_symlink() and not small else None
    header = {
        "format": FORMAT,
        "name": paths.name,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "by": f"brain-assets {version('brain-assets')}",
        "current": current,
    }
    _add_text(archive, HEADER, json.dumps(header))
    sums = {}
    with _said(paths) as said:
        for relative in sorted(_kept(paths, current, small=small)):
            path = said if relative == _relative(paths, paths.events) else paths.folder / relative
            sums[relative] = _add(archive, path, relative)
    _add_text(archive, CHECKSUMS, json.dumps(sums))
    return len(sums)


@contextmanager
def _said(paths: DatasetPaths) -> Iterator[Path]:
    """Yield a copy of what people said, who may go on saying it."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / paths.events.name
        if paths.events.exists():
            with closing(sqlite3.connect(paths.events)) as source, closing(sqlite3.connect(copy)) as target:
                source.backup(target)
        yield copy


def _kept(paths: DatasetPaths, current: str | None, *, small: bool) -> Iterator[str]:
    """Yield what of a dataset's folder goes into the file, by its path in it."""
    for folder, folders, files in os.walk(paths.folder):
        inside = Path(folder).relative_to(paths.folder)
        folders[:] = [one for one in folders if not _passes(one) and _is_wanted(inside / one, current, small=small)]
        for one in files:
            path = inside / one
            wal = one.startswith(f"{paths.events.name}-")
            if (
                not _passes(one)
                and not wal
                and _is_wanted(path, current, small=small)
                and (paths.folder / path).is_file()
            ):
                yield path.as_posix()


def _passes(name: str) -> bool:
    return any(PurePosixPath(name).match(pattern) for pattern in PASSING)


def _is_wanted(path: Path, current: str | None, *, small: bool) -> bool:
    if small and path.parts[0] not in SMALL:
        return False
    if path.parts[0] == COPIES:
        return False
    return path.parts[:2] != ("published", "sets") or len(path.parts) == 2 or path.parts[2] == current


def _relative(paths: DatasetPaths, path: Path) -> str:
    return path.relative_to(paths.folder).as_posix()


def _add(archive: tarfile.TarFile, path: Path, name: str) -> str:
    """Add a file and return its checksum."""
    info = archive.gettarinfo(path, name)
    info.type, info.linkname, info.mode, info.uname, info.gname = tarfile.REGTYPE, "", 0o600, "", ""
    found = path.stat()
    info.size, info.mtime, info.uid, info.gid = found.st_size, found.st_mtime, 0, 0
    with path.open("rb") as handle:
        hashed = _Hashed(handle)
        archive.addfile(info, hashed)
    return hashed.digest.hexdigest()


def _add_text(archive: tarfile.TarFile, name: str, text: str) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(text.encode()), 0o600
    archive.addfile(info, io.BytesIO(text.encode()))


class _Hashed(io.RawIOBase):
    """A file of which a checksum is taken as it is read."""

    def __init__(self, handle: IO[bytes]) -> None:
        self.handle, self.digest = handle, hashlib.blake2b(digest_size=16)

    def read(self, size: int = -1) -> bytes:
        data = self.handle.read(size)
        self.digest.update(data)
        return data


@contextmanager
def _opened(source: Path) -> Iterator[tarfile.TarFile]:
    """Yield an archive to be read from its beginning to its end; what is wrong with its bytes is one line."""
    try:
        with tarfile.open(source, "r|*") as archive:
            yield archive
    except (tarfile.TarError, EOFError, ValueError, KeyError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None and not isinstance(error, tarfile.TarError):
            raise
        raise SourceError(f"{source} is damaged or no backup: {error}; nothing was changed") from None


def _header(archive: tarfile.TarFile, source: Path) -> dict[str, Any]:
    first = archive.next()
    header = _json(archive, first) if first and first.name == HEADER else None
    if not isinstance(header, dict) or not isinstance(header.get("name"), str):
        raise SourceError(f"{source} is no backup of a dataset: give a file that 'brain backup' wrote")
    if header.get("format") != FORMAT:
        raise SourceError(f"{source} was written by a newer version ({header.get('by')}): upgrade")
    if not (header.get("current") is None or str(header["current"]).isdigit()):
        raise SourceError(f"{source} is damaged: it names no published set; nothing was changed")
    return header


def _json(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Any:
    handle = archive.extractfile(member)
    return json.loads(handle.read()) if handle else None


def _extract(archive: tarfile.TarFile, folder: Path, source: Path) -> None:
    """Write all members below a folder, and compare them with the list at the end."""
    found: dict[str, str] = {}
    listed: Any = None
    while member := archive.next():
        if member.name == CHECKSUMS:
            listed = _json(archive, member)
            break
        found[member.name] = _extract_member(archive, member, folder)
    if listed is None:
        raise SourceError(f"{source} is cut short: its last files are missing; nothing was changed")
    if wrong := sorted(name for name, _ in listed.items() ^ found.items()):
        raise SourceError(f"{source} is damaged ({', '.join(wrong[:3])}); nothing was changed")


def _extract_member(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> str:
    parts = PurePosixPath(member.name).parts
    handle = archive.extractfile(member) if member.isreg() else None
    if handle is None or not parts or member.name.startswith("/") or ".." in parts:
        raise ValueError(f"it has a member that no backup has, {member.name!r}")
    target = folder.joinpath(*parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    with handle, target.open("xb") as out:
        hashed = _Hashed(handle)
        while block := hashed.read(BLOCK):
            out.write(block)
        out.flush()
        os.fsync(out.fileno())
    os.utime(target, (member.mtime, member.mtime))
    return hashed.digest.hexdigest()
