"""Dagster's own SQLite storages, over connections that stay open."""

import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy
import yaml
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.event_log.sqlite.sqlite_event_log import (
    INDEX_SHARD_NAME,
    SqliteEventLogStorage,
    SqliteEventLogStorageWatchdog,
)
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage
from dagster._core.storage.sqlite import create_db_conn_string
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine
from sqlalchemy.pool import NullPool
from watchdog.events import FileSystemEvent
from watchdog.observers import Observer

from brain_assets.resources.history.engines import engine_of, told, transaction

# A connection to a server is made anew before firewalls forget it; at most so many are open beside the one that stays.
RECYCLED_SECONDS, MOST_CONNECTIONS = 1800, 20


def _is_made(engine: Engine) -> bool:
    """Return whether a file has its tables, which Dagster would compare with all its migrations to find out."""
    with told(str(engine.url.database)), engine.connect() as connection:
        if not sqlalchemy.inspect(connection).has_table("alembic_version"):
            return False
        return bool(connection.execute(sqlalchemy.text("select count(*) from alembic_version")).scalar())


def _path(address: str) -> str:
    return address.removeprefix("sqlite:///")


@contextmanager
def _made_beside(path: Path) -> Iterator[Path]:
    """Yield the path of a draft that takes the name ``path`` when the block ends, unless another process was first."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.draft")
    try:
        yield draft
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)


class Runs(SqliteRunStorage):
    """Which runs there were, and which partitions there are."""

    @classmethod
    def from_local(cls, base_dir: str, inst_data: ConfigurableClassData | None = None) -> "Runs":
        """Open the storage in a folder, making it where it is not there."""
        path = Path(base_dir, "runs.db")
        if not (path.exists() and _is_made(engine_of(str(path)))):
            return super().from_local(base_dir, inst_data)
        return cls(create_db_conn_string(base_dir, "runs"), inst_data)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Yield a connection in a transaction."""
        with transaction(_path(self._conn_string)) as connection:
            yield connection


class Ticks(SqliteScheduleStorage):
    """When the sensors looked, and what they said."""

    @classmethod
    def from_local(cls, base_dir: str, inst_data: ConfigurableClassData | None = None) -> "Ticks":
        """Open the storage in a folder, making it where it is not there."""
        path = Path(base_dir, "schedules.db")
        if not (path.exists() and _is_made(engine_of(str(path)))):
            super().from_local(base_dir, inst_data)
        return cls(create_db_conn_string(base_dir, "schedules"), inst_data)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Yield a connection in a transaction."""
        with transaction(_path(self._conn_string)) as connection:
            yield connection


class Events(SqliteEventLogStorage):
    """What happened in each run, in a file of its own, and what all runs did to assets, in one that they share."""

    _obs: Any

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        path = self.path_for_shard(shard)
        if shard not in self._initialized_dbs:
            with self._db_lock:
                engine = engine_of(path)
                if not (Path(path).exists() and _is_made(engine)):
                    self._initdb(engine)
                self._initialized_dbs.add(shard)
        with transaction(path) as connection:
            yield connection

    def _initdb(self, engine: Engine, for_index_shard: bool = False) -> None:  # noqa: FBT001, FBT002 - as it is there
        """Make the file of a run by copying an empty one, as to make its tables takes Dagster a third of a second."""
        path = Path(str(engine.url.database))
        if for_index_shard or path.name == f"{INDEX_SHARD_NAME}.db" or path.exists():
            super()._initdb(engine, for_index_shard)
            return
        empty = path.parents[1] / f"empty-{dg.__version__}.db"
        if not empty.exists():
            with _made_beside(empty) as draft:
                super()._initdb(sqlalchemy.create_engine(f"sqlite:///{draft}", poolclass=NullPool))
        with _made_beside(path) as draft:
            shutil.copyfile(empty, draft)

    def has_table(self, table_name: str) -> bool:
        """Return whether the file that all runs share has a table; asked for at every look at a partition."""
        known = self.__dict__.setdefault("_tables", set())
        if table_name not in known:
            with self.index_connection() as connection:
                if not sqlalchemy.inspect(connection).has_table(table_name):
                    return False
            known.add(table_name)
        return True

    def has_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> bool:
        """Return whether a partition is known; asked for several times for every edge of the graph of assets."""
        if not self.has_table("dynamic_partitions"):
            return False
        query = "select 1 from dynamic_partitions where partitions_def_name = ? and partition = ? limit 1"
        with self.index_connection() as connection:
            return connection.exec_driver_sql(query, (partitions_def_name, partition_key)).first() is not None

    def _has_asset_key_col_on_connection(self, conn: Connection, column_name: str) -> bool:
        # Asked for at every event; the file was made, or brought up to date, with these columns.
        known = self.__dict__.setdefault("_columns", {})
        if column_name not in known:
            known[column_name] = super()._has_asset_key_col_on_connection(conn, column_name)
        return bool(known[column_name])

    def watch(self, run_id: str, cursor: str | None, callback: Any) -> None:
        """Call back at every event of a run."""
        if not self._obs:
            self._obs = Observer()
            self._obs.start()
        handler = _Watch(self, run_id, callback, cursor)
        self._watchers[run_id][callback] = (handler, self._obs.schedule(handler, self._base_dir, recursive=True))


class _Watch(SqliteEventLogStorageWatchdog):
    """Looks for events when the write-ahead log of a run's file grows: the file itself changes at checkpoints only."""

    def dispatch(self, event: FileSystemEvent) -> None:
        """Look when it is the run's file, or its log, that was written to."""
        if event.event_type == "modified" and event.src_path in (self._log_path, f"{self._log_path}-wal"):
            self._process_log()


class History(DagsterSqliteStorage):
    """All three in one folder, where Dagster's own would put them."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self.base_dir, self._inst_data = base_dir, inst_data
        self._run_storage = Runs.from_local(str(Path(base_dir, "history")))
        self._event_log_storage = Events(str(Path(base_dir, "history", "runs")))
        self._schedule_storage = Ticks.from_local(str(Path(base_dir, "schedules")))

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> "History":
        """Return the storage that dagster.yaml names."""
        return cls(inst_data=inst_data, **config_value)


class HistoryInstance(dg.DagsterInstance):
    """A Dagster instance that keeps its history so, in its own folder, unless its dagster.yaml names another storage.

    Where that is a server, connections to it stay open as well: Dagster would make one for every query.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # What is kept in files takes no notice. No query has to end within a time.
        self.optimize_for_webserver(statement_timeout=0, pool_recycle=RECYCLED_SECONDS, max_overflow=MOST_CONNECTIONS)

    @staticmethod
    def config_defaults(base_dir: str) -> Mapping[str, ConfigurableClassData | None]:
        """Return what holds where dagster.yaml says nothing."""
        storage = ConfigurableClassData(__name__, "History", yaml.safe_dump({"base_dir": base_dir}))
        return {**InstanceRef.config_defaults(base_dir), "storage": storage}

    @classmethod
    def config_schema(cls) -> dict[str, Any]:
        """Return what may be configured of it beyond what any instance has: nothing."""
        return {}
