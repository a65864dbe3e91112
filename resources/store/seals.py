"""Whether what was published is still what was written: size, time and checksum of every file of a set.

The manifest of a set holds them, and is itself sealed. Size and time are compared at every look, as that costs one
``stat`` per file; the checksum is computed where the time is another, which is then set right, and of all
files once a week, which finds what decayed on the disk.
"""

import contextlib
import hashlib
import json
import os
import stat
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypedDict

SEAL = "seal"
CHECKED = "checked"
CHECK_SECONDS = 7 * 24 * 3600
BLOCK = 1 << 20


class Seal(TypedDict):
    """What is kept of a file: ``checksum`` is its BLAKE2b, 128 bits in hexadecimal."""

    bytes: int
    mtime_ns: int
    checksum: str


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return JSON values with their checksum beside them."""
    return {**content, SEAL: _digest(content)}


def is_sealed(content: Any) -> bool:
    """Return whether JSON values are those that were sealed."""
    if not isinstance(content, dict) or SEAL not in content:
        return False
    return bool(content[SEAL] == _digest({key: value for key, value in content.items() if key != SEAL}))


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()


def files_in(folder: Path) -> set[str]:
    """Return the paths of all that lies below a folder, relative to it, except folders."""
    if not folder.is_dir():
        return set()
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()}


def seal_of(path: Path) -> Seal:
    """Return what to keep of a file; raises OSError."""
    found = path.lstat()
    return {"bytes": found.st_size, "mtime_ns": found.st_mtime_ns, "checksum": checksum(path)}


def checksum(path: Path) -> str:
    """Return the checksum of a file's bytes; raises OSError."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as handle:
        while block := handle.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def damaged(folder: Path, seals: Mapping[str, Seal], *, others: Iterable[str] = (), thorough: bool = False) -> set[str]:
    """Return what is missing below a folder, is another than it was, or does not belong there.

    Parameters
    ----------
    folder : Path
    seals : mapping of str to Seal
        By path relative to the folder.
    others : iterable of str
        Files that must be there, whatever is in them.
    thorough : bool
        Whether to read also files whose size and time are as they were.
    """
    others = set(others)
    there = files_in(folder)
    wrong = there ^ (seals.keys() | others)
    return wrong | {name for name in there & seals.keys() if not _is_sound(folder / name, seals[name], thorough)}


def _is_sound(path: Path, seal: Seal, thorough: bool) -> bool:  # noqa: FBT001
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_size != seal["bytes"]:
            return False
        same_time = found.st_mtime_ns == seal["mtime_ns"]
        if same_time and not thorough:
            return True
        sound = checksum(path) == seal["checksum"]
    except OSError:
        return False
    if sound and not same_time:
        # What a backup or a copy has dated anew would be read at every look; where that is forbidden, it is.
        with contextlib.suppress(OSError):
            os.utime(path, ns=(found.st_atime_ns, seal["mtime_ns"]))
    return sound


def check_is_due(folder: Path) -> bool:
    """Return whether it is a week since all files were read, or nobody knows when they were."""
    try:
        age = time.time() - (folder / CHECKED).stat().st_mtime
    except OSError:
        return True
    # A clock that was set back makes it look as if that were still to come.
    return not 0 <= age < CHECK_SECONDS


def note_check(folder: Path) -> None:
    """Remember that all files were read just now; raises OSError."""
    (folder / CHECKED).touch()
    os.utime(folder / CHECKED)
