"""Files that embedding models keep between runs: exported networks, and digests so that large weights are read once."""

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

from brain_assets.resources.local_files import open_local


def fingerprint(*parts: object) -> str:
    """Return 16 hexadecimal digits that stand for the JSON form of ``parts``."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a file that appears under ``path`` only when it is whole.

    Of two processes that write the same path at once, both succeed and the later one's file stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, content: str) -> None:
    """Write a small text file that appears only when it is whole."""

    def write(temporary: Path) -> None:
        temporary.write_text(content, encoding="utf-8")

    write_atomically(path, write)


def file_digest(path: Path, cache: Path) -> str:
    """Return the SHA-256 of a file; it is read again only when its size or modification time changed."""
    status = path.stat()
    stamp = [status.st_size, status.st_mtime_ns]
    note = cache / "digests" / f"{fingerprint(str(path.absolute()))}.json"
    known = _read_note(note)
    if known.get("stamp") == stamp:
        return str(known["sha256"])
    with open_local(path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    write_text(note, json.dumps({"path": str(path.absolute()), "stamp": stamp, "sha256": digest}))
    return digest


def files_digest(paths: Iterable[Path], cache: Path) -> list[tuple[str, str]]:
    """Return the name and SHA-256 of each file, ordered by name."""
    return sorted((path.name, file_digest(path, cache)) for path in paths)


def _read_note(note: Path) -> dict[str, object]:
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
