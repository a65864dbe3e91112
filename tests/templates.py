"""Stores for tests: every new one begins as a copy of one that the real migrations have made, under an identity of its own."""

import contextlib
import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from brain_assets.resources.store import store as module
from brain_assets.resources.store.store import Store

MIGRATIONS = module.MIGRATIONS
_open: Callable[..., None] = Store.__init__
OWN_IDENTITY = "update facts set value = to_json(uuid()::varchar) where name = 'store_id'"


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
