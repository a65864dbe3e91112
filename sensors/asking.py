"""How a sensor asks for a run: one per state of a dataset, tried a bounded number of times, and never beside another."""

import hashlib
from collections.abc import Iterator, Sequence

import dagster as dg

from brain_assets.lineage import DATASETS, PARTITION_TAG, UNDER_WAY

STATE_TAG = "brain/state"
TRIED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]


def mark_of(state: str) -> str:
    """Return the short name of a state."""
    return hashlib.blake2b(state.encode(), digest_size=8).hexdigest()


def ask(
    context: dg.SensorEvaluationContext, name: str, mark: str, attempts: int, reasons: list[str]
) -> Iterator[dg.RunRequest]:
    """Yield a request for the state that ``mark`` names unless a run is under way or it was tried too often.

    A run that succeeded without publishing the state, as the source was another by then, counts as a try.
    """
    count = context.instance.get_runs_count
    if count(dg.RunsFilter(tags={PARTITION_TAG: name}, statuses=UNDER_WAY)):
        reasons.append(f"{name}: a run is under way")
        return
    tried = count(dg.RunsFilter(tags={PARTITION_TAG: name, STATE_TAG: mark}, statuses=TRIED))
    if tried >= attempts:
        reasons.append(f"{name}: gave up after {tried} runs; run 'brain materialize {name}' to try again")
        return
    yield dg.RunRequest(run_key=f"{name}:{mark}:{tried}", partition_key=name, tags={STATE_TAG: mark})


def answer(
    context: dg.SensorEvaluationContext, requests: Sequence[dg.RunRequest], reasons: Sequence[str], cursor: str
) -> dg.SensorResult:
    """Return what a sensor found: the requests, with partitions for datasets that have none yet, or why there are none."""
    known = set(context.instance.get_dynamic_partitions(str(DATASETS.name)))
    fresh = sorted({str(request.partition_key) for request in requests} - known)
    return dg.SensorResult(
        run_requests=list(requests),
        skip_reason=None if requests else "; ".join(reasons) or "no dataset changed",
        dynamic_partitions_requests=[DATASETS.build_add_request(fresh)] if fresh else [],
        cursor=cursor,
    )
