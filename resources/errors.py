"""What is reported to a user.

BrainError              one clear line: what is wrong and what to do; commands print it without a traceback
├── ConfigurationError  a wrong key or value in dataset.yaml, settings.yaml, the environment or an argument
├── LockedError         another process works on the same dataset
├── SourceError         a media source, label or prediction file cannot be reached or read as a whole
├── StoreError          the database of a dataset cannot be opened or written
│   ├── DamagedError    it was opened, and is no longer what was written
│   └── MemoryExhausted it may not hold as much in memory as it needs
└── MissingError        something optional is not installed, or a named thing does not exist
"""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# With so few bytes left hardly anything can be written.
LEAST_FREE = 1 << 20
# A disk, a quota, or what one file may hold.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class BrainError(Exception):
    """An error whose message is meant for the user: one line that says what is wrong and what to do."""


class ConfigurationError(BrainError):
    """A wrong key or value in a configuration file, the environment or an argument."""


class LockedError(BrainError):
    """Another process works on the same dataset."""


class SourceError(BrainError):
    """A media source, label or prediction file cannot be reached or read as a whole."""


class StoreError(BrainError):
    """The database of a dataset cannot be opened or written."""


class DamagedError(StoreError):
    """The database of a dataset, or of Dagster's history, is no longer what was written."""


class MemoryExhausted(StoreError):
    """The database of a dataset may not hold as much in memory as a query needs."""


class MissingError(BrainError):
    """Something optional is not installed, or a named thing does not exist."""


class Refused(Exception):
    """A file that is not decoded; the text is the reason, ``code: line``."""


def disk_full(folder: Path, reason: object) -> StoreError:
    """Return what to say when there is no room below a folder; what was committed before stays, whoever meets this."""
    return StoreError(f"the disk is full, free some space below {folder} and run again (nothing was lost): {reason}")


@contextmanager
def naming_full_disk(folder: Path) -> Iterator[None]:
    """Call a full disk by its name, whatever was being written in the block.

    Parameters
    ----------
    folder : Path
        Where there is no room, unless the error names a file elsewhere.

    Raises
    ------
    StoreError
        In place of an OSError that says so; all others stay what they are.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise disk_full(Path(error.filename).parent if error.filename else folder, error.strerror) from error


def says_full(text: str, folder: Path) -> bool:
    """Return whether an error of SQLite's, which has several words for it, means that the disk is full."""
    return "full" in text or ("disk I/O" in text and shutil.disk_usage(folder).free < LEAST_FREE)
