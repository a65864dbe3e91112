"""How a sensor asks for a run: one per state of a dataset, tried a bounded number of times, and never beside another."""

import hashlib
from dataclasses import dataclass, field

import dagster as dg

from brain_assets.assets.last_run import cancelled, why_failed
from brain_assets.assets.lineage import refresh_of
from brain_assets.assets.place import UNDER_WAY, Place
from brain_assets.resources.store import locks

STATE_TAG = "brain/state"
TRIED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
Event = dg.AssetObservation | dg.AssetMaterialization | dg.AssetCheckEvaluation


@dataclass
class Tick:
    """What one tick of a sensor asks for and tells.

    Attributes
    ----------
    context : SensorEvaluationContext
    place : Place
        Where the assets stand whose datasets it looks at.
    requests : list of RunRequest
    events : list
        What was observed of assets.
    """

    context: dg.SensorEvaluationContext
    place: Place
    requests: list[dg.RunRequest] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    @property
    def instance(self) -> dg.DagsterInstance:
        """Dagster's history of runs."""
        return self.context.instance

    def ask(self, name: str, mark: str, attempts: int) -> str:
        """Ask for a run for the state that ``mark`` names unless one is under way, was cancelled, or was tried too often.

        A run that succeeded without publishing the state, as the source was another by then, counts as a try. Whoever
        cancels a run does not want it to start again by itself; what arrives later is another state, and goes on.

        Returns
        -------
        str
            What to say of it.
        """
        runs, own = self.instance.get_runs, self.place.tags(name)
        if under_way := runs(dg.RunsFilter(tags=own, statuses=UNDER_WAY), limit=1):
            return f"run {under_way[0].run_id[:8]} is under way"
        if holder := locks.holder(self.place.home.paths(name).lock):
            return f"{holder} is under way"
        tags = own | {STATE_TAG: mark}
        newest = next(iter(runs(dg.RunsFilter(tags=tags), limit=1)), None)
        if newest and newest.status == dg.DagsterRunStatus.CANCELED:
            return cancelled(name)
        tried = self.instance.get_runs_count(dg.RunsFilter(tags=tags, statuses=TRIED))
        failed = newest and newest.is_failure and why_failed(self.instance, newest.run_id)
        why = f", the last failed: {failed}" if failed else ""
        if tried >= attempts:
            return f"gave up after {tried} runs{why}; run 'brain materialize {name}' to try again"
        self.requests.append(self._request(name, mark, tried))
        return "asked for a run" + (f" again{why}" if why else "")

    def _request(self, name: str, mark: str, tried: int) -> dg.RunRequest:
        partition = self.place.partition_of(name)
        # Dagster itself adds the tag of the partition.
        tags = {STATE_TAG: mark} | (self.place.tags(name) if self.place.slug else {})
        job = refresh_of(self.place).name
        return dg.RunRequest(f"{name}:{mark}:{tried}", tags=tags, job_name=job, partition_key=partition)

    def answer(self, reasons: dict[str, str], cursor: str) -> dg.SensorResult:
        """Return what the sensor found, with partitions for datasets that have none yet, and the reason for each dataset.

        Dagster shows a tick's reasons only where it asks for no run; where it does, they stand in its log.
        """
        said = [f"{name}: {reason}" for name, reason in reasons.items()]
        if self.requests:
            for line in said:
                self.context.log.info(line)
        return dg.SensorResult(
            run_requests=self.requests,
            skip_reason=None if self.requests else "; ".join(said) or "there is no dataset",
            dynamic_partitions_requests=self._fresh_partitions(),
            asset_events=self.events,
            cursor=cursor,
        )

    def _fresh_partitions(self) -> list[dg.AddDynamicPartitionsRequest]:
        partitions = self.place.partitions
        if partitions is None:
            return []
        known = set(self.instance.get_dynamic_partitions(str(partitions.name)))
        wanted = {request.partition_key for request in self.requests} | {event.partition for event in self.events}
        fresh = sorted({key for key in wanted if key} - known)
        return [partitions.build_add_request(fresh)] if fresh else []


def mark_of(state: str) -> str:
    """Return the short name of a state."""
    return hashlib.blake2b(state.encode(), digest_size=8).hexdigest()
