"""Files that are their owner's alone: what a home holds shows images, labels and who said what of them."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OTHERS = 0o077
# What a home holds of ours; people may keep images beside it, whose modes are theirs.
OURS = ("datasets", "dagster", "cache")


@contextmanager
def private_files(home: Path) -> Iterator[None]:
    """Have this process, and those that it starts, write files that others cannot open, while the block runs.

    Parameters
    ----------
    home : Path
        Folder of all state; it is closed to others, and where it was not, so is all that it holds.
    """
    before = os.umask(OTHERS)
    try:
        close_to_others(home)
        yield
    finally:
        os.umask(before)


def close_to_others(home: Path) -> None:
    """Make the folder of all state 0700; where others could enter it, what lies in it was open to them: it is mended."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not home.stat().st_mode & OTHERS:
        return
    try:
        _close(home)
    except PermissionError:
        logging.getLogger("brain").warning(f"{home} belongs to somebody else: others may be able to read it")
        return
    for path in home.iterdir():
        if path.name in OURS or path.is_file():
            _close_if_ours(path)
    for folder, folders, files in (step for name in OURS for step in os.walk(home / name)):
        for name in (*folders, *files):
            _close_if_ours(Path(folder, name))


def _close_if_ours(path: Path) -> None:
    """Close a file that is still there and no link; what belongs to others in a home that is closed is out of reach."""
    try:
        if not path.is_symlink():
            _close(path)
    except (FileNotFoundError, PermissionError):
        return


def _close(path: Path) -> None:
    mode = path.stat().st_mode
    if mode & OTHERS:
        path.chmod(mode & ~OTHERS & 0o7777)
