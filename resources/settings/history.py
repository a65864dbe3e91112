"""Dagster's own history within bounds: a run's events and logs take a megabyte, however little it had to do.

Each run deletes the oldest of its dataset's runs beyond what ``keep_runs`` says, some at a time, so that a long history
drains as runs go by and none of them waits for it. What our own pages tell of runs (tables ``runs`` and ``health``)
is in the dataset's store and is not touched. What sensors saw of sources goes after a month; their ticks are purged by
Dagster's daemon, as dagster.yaml says.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dagster as dg
    from dagster._core.storage.event_log import SqliteEventLogStorage

BATCH = 10
# What sensors saw of sources belongs to no run; but for the last of each it is forgotten like the ticks that saw it.
SEEN_DAYS = 30


def purge(instance: "dg.DagsterInstance", tags: dict[str, str], keep: int) -> int:
    """Delete the finished runs with ``tags`` that are older than the newest ``keep``, at most ``BATCH`` of them.

    The newest run of all assets that succeeded stays, however old, so that Dagster's pages know every asset.

    Parameters
    ----------
    instance : DagsterInstance
    tags : dict of str to str
        Those that the runs of one dataset have.
    keep : int
        How many of the newest stay.

    Returns
    -------
    int
        The number of runs deleted.
    """
    runs = _finished(instance, tags, keep + BATCH + 1)
    whole = [run.run_id for run in runs if run.is_success and not run.asset_selection]
    old = [run.run_id for run in runs[keep:] if run.run_id not in whole[:1]][:BATCH]
    for run_id in old:
        _delete(instance, run_id)
    _forget_seen(instance)
    return len(old)


def forget(instance: "dg.DagsterInstance", tags: dict[str, str]) -> None:
    """Delete all finished runs with ``tags``, those of a dataset that was removed: another may get its name."""
    for run in _finished(instance, tags, None):
        _delete(instance, run.run_id)


def _finished(instance: "dg.DagsterInstance", tags: dict[str, str], limit: int | None) -> "Sequence[dg.DagsterRun]":
    """Return the newest runs with ``tags`` that have ended, the newest first."""
    import dagster as dg

    ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    return instance.get_runs(dg.RunsFilter(tags=tags, statuses=ended), limit=limit)


def _delete(instance: "dg.DagsterInstance", run_id: str) -> None:
    from dagster._core.storage.event_log import SqliteEventLogStorage

    storage = instance.event_log_storage
    if isinstance(storage, SqliteEventLogStorage):
        instance.run_storage.delete_run(run_id)
        _delete_events(storage, run_id)
    else:
        instance.delete_run(run_id)
    instance.compute_log_manager.delete_logs(prefix=[run_id])


def _forget_seen(instance: "dg.DagsterInstance") -> None:
    """Delete what was reported outside of runs and is old, but for the newest of each asset, partition and kind."""
    from dagster._core.instance.utils import RUNLESS_RUN_ID
    from dagster._core.storage.event_log import SqliteEventLogStorage
    from sqlalchemy import text

    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage):
        return
    newest = "select max(id) from event_logs where run_id = :run group by asset_key, partition, dagster_event_type"
    old = f"run_id = :run and timestamp < :before and id not in ({newest})"
    before = datetime.now(UTC) - timedelta(days=SEEN_DAYS)
    values = {"run": RUNLESS_RUN_ID, "before": before.strftime("%Y-%m-%d %H:%M:%S")}
    for connection_to in (storage.index_connection, lambda: storage.run_connection(RUNLESS_RUN_ID)):
        with connection_to() as connection:
            tags = f"delete from asset_event_tags where event_id in (select id from event_logs where {old})"
            connection.execute(text(tags), values)
            connection.execute(text(f"delete from event_logs where {old}"), values)


def _delete_events(storage: "SqliteEventLogStorage", run_id: str) -> None:
    """Delete a run's own file of events, which Dagster would empty and leave, and what other runs share with it."""
    from sqlalchemy import text

    from brain_assets.resources.history.engines import close

    with storage.index_connection() as connection:
        storage.delete_events_for_run(connection, run_id)
        connection.execute(text("delete from asset_check_executions where run_id = :run"), {"run": run_id})
    close(storage.path_for_shard(run_id))
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            Path(storage.path_for_shard(run_id) + suffix).unlink()
