"""What tests begin with, made once: stores, as copies of one that the real migrations have made, and folders with datasets."""

import contextlib
import functools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from brain_assets.resources.store import store as module
from brain_assets.resources.store.store import Store

MIGRATIONS = module.MIGRATIONS
_open: Callable[..., None] = Store.__init__
OWN_IDENTITY = "update facts set value = to_json(uuid()::varchar) where name = 'store_id'"


class Snapshot:
    """A folder that everybody finds as it is now, under its path, as datasets name their files by it.

    What is put back are other files with the same bytes: the next run reads them again, and finds nothing new.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.kept = folder, folder.with_name(f"{folder.name}.kept")
        folder.rename(self.kept)

    def restored(self) -> Path:
        """Return the folder as it was."""
        if self.folder.exists():
            shutil.rmtree(self.folder)
        shutil.copytree(self.kept, self.folder, symlinks=True)
        return self.folder


@functools.cache
def migrated() -> bytes:
    """Return a store without rows: making its tables takes longer than most of what tests store."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.duckdb"
        store = object.__new__(Store)
        _open(store, path)
        store.close()
        return path.read_bytes()


def _from_template(store: Store, path: Path, *given: Any, **named: Any) -> None:
    """Open a store as ever, but for what there is before anything is stored; under other migrations these are applied."""
    fresh = False
    if module.MIGRATIONS is MIGRATIONS and not path.exists():
        # Where a file cannot be made, the store itself shall say so.
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = _is_put(path, migrated())
    _open(store, path, *given, **named)
    if fresh:
        store.connection.execute(OWN_IDENTITY)


def _is_put(path: Path, data: bytes) -> bool:
    """Write a file, all of it or nothing; return whether it is there."""
    try:
        path.write_bytes(data)
    except OSError:
        path.unlink(missing_ok=True)
        return False
    return True


def use() -> None:
    """Let this process, which is that of tests, make stores so."""
    Store.__init__ = _from_template  # type: ignore[method-assign]
