"""What runs found, one line for each as it ends."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Self

import dagster as dg

from brain_assets.answers.issues import COUNTED
from brain_assets.assets.place import PARTITION_TAG
from brain_assets.assets.reasons import INTERRUPTS, reason_of
from brain_assets.ingest.accounting import accounts, rows_told
from brain_assets.resources.errors import BrainError
from brain_assets.resources.settings import remembered
from brain_assets.resources.settings.home import Home
from brain_assets.resources.store.publishing import connect
from brain_assets.sensors.slow_sources import LISTED_TAG

ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
MOST = 100


class RunNews:
    """Looks at the instance for runs that ended since it was opened; a context manager."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.since = datetime.now(UTC)
        self.told: set[str] = set()
        self.stack = ExitStack()

    def __enter__(self) -> Self:
        self.instance = self.stack.enter_context(dg.DagsterInstance.get())
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def lines(self) -> Iterator[str]:
        """Yield a line for every run that ended since the last call."""
        # Times are kept to the microsecond and compared strictly: one instant is looked at twice, and reported once.
        filters = dg.RunsFilter(statuses=ENDED, updated_after=self.since - timedelta(seconds=1))
        records = self.instance.get_run_records(filters, limit=MOST, order_by="update_timestamp", ascending=True)
        for record in records:
            run = record.dagster_run
            listed = run.is_success and LISTED_TAG in run.tags
            if run.run_id not in self.told and not listed:
                yield self._line(run, record.update_timestamp.astimezone())
        self.told = {record.dagster_run.run_id for record in records}
        if records:
            self.since = max(self.since, records[-1].update_timestamp.replace(tzinfo=UTC))

    def _line(self, run: dg.DagsterRun, ended: datetime) -> str:
        name = run.tags.get(PARTITION_TAG) or run.tags.get(LISTED_TAG, run.job_name)
        return f"{ended:%H:%M:%S} {name}: {self._outcome(run, name)}"

    def _outcome(self, run: dg.DagsterRun, name: str) -> str:
        if run.status == dg.DagsterRunStatus.CANCELED:
            return "cancelled; what was done is kept"
        if run.status == dg.DagsterRunStatus.FAILURE:
            entries = self.instance.all_logs(run.run_id)
            reason = reason_of(entry.dagster_event for entry in entries if entry.dagster_event)
            interrupted = any(kind in reason for kind in INTERRUPTS)
            return "interrupted; what was done is kept" if interrupted else f"failed: {reason}"
        return findings(self.home, name)


def findings(home: Home, name: str) -> str:
    """Return in a line what is published of a dataset: samples, errors, and how many of each issue."""
    counted = "select count(*), count_if(status = 'error') from samples"
    try:
        with connect(home.existing(name).published) as connection:
            samples, errors = connection.execute(counted).fetchall()[0]
            issues = connection.execute(COUNTED).fetchall()
            told = rows_told(accounts(connection))
    except BrainError as error:
        return str(error)
    missing = remembered.told(home.paths(name))
    return (
        (f"{missing}; " if missing else "")
        + f"{samples} samples, {errors} errors; "
        + (f"{told}; " if told else "")
        + (", ".join(f"{count} {issue}" for issue, count in issues) or "no issues")
    )
