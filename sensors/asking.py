"""How a sensor asks for a run: one per state of a dataset, tried a bounded number of times, and never beside another."""

import hashlib
from collections.abc import Iterator, Sequence

import dagster as dg

from brain_assets.assets.last_run import cancelled, why_failed
from brain_assets.assets.lineage import DATASETS, PARTITION_TAG, REFRESH, UNDER_WAY

STATE_TAG = "brain/state"
TRIED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]


def mark_of(state: str) -> str:
    """Return the short name of a state."""
    return hashlib.blake2b(state.encode(), digest_size=8).hexdigest()


def ask(
    context: dg.SensorEvaluationContext, name: str, mark: str, attempts: int, reasons: list[str]
) -> Iterator[dg.RunRequest]:
    """Yield a request for the state that ``mark`` names unless a run is under way, was cancelled, or it was tried too often.

    A run that succeeded without publishing the state, as the source was another by then, counts as a try. Whoever cancels
    a run does not want it to start again by itself; what arrives later is another state, and goes on.
    """
    runs, tags = context.instance.get_runs, {PARTITION_TAG: name, STATE_TAG: mark}
    if under_way := runs(dg.RunsFilter(tags={PARTITION_TAG: name}, statuses=UNDER_WAY), limit=1):
        reasons.append(f"{name}: run {under_way[0].run_id[:8]} is under way")
        return
    newest = next(iter(runs(dg.RunsFilter(tags=tags), limit=1)), None)
    if newest and newest.status == dg.DagsterRunStatus.CANCELED:
        reasons.append(f"{name}: {cancelled(name)}")
        return
    tried = context.instance.get_runs_count(dg.RunsFilter(tags=tags, statuses=TRIED))
    failed = newest and newest.is_failure and why_failed(context.instance, newest.run_id)
    why = f", the last failed: {failed}" if failed else ""
    if tried >= attempts:
        reasons.append(f"{name}: gave up after {tried} runs{why}; run 'brain materialize {name}' to try again")
        return
    reasons.append(f"{name}: asked for a run" + (f" again{why}" if why else ""))
    yield dg.RunRequest(
        run_key=f"{name}:{mark}:{tried}", partition_key=name, job_name=REFRESH.name, tags={STATE_TAG: mark}
    )


def answer(
    context: dg.SensorEvaluationContext, requests: Sequence[dg.RunRequest], reasons: Sequence[str], cursor: str
) -> dg.SensorResult:
    """Return what a sensor found: the requests, with partitions for datasets that have none yet, or why there are none.

    Dagster shows a tick's reasons only where it asks for no run; where it does, they stand in its log.
    """
    if requests:
        for reason in reasons:
            context.log.info(reason)
    known = set(context.instance.get_dynamic_partitions(str(DATASETS.name)))
    fresh = sorted({request.partition_key for request in requests if request.partition_key} - known)
    return dg.SensorResult(
        run_requests=list(requests),
        skip_reason=None if requests else "; ".join(reasons) or "there is no dataset",
        dynamic_partitions_requests=[DATASETS.build_add_request(fresh)] if fresh else [],
        cursor=cursor,
    )
