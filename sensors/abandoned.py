"""Runs whose process is gone: nobody else would ever end them, and their dataset's next run would wait for ever."""

import time

import dagster as dg

from brain_assets.assets.place import Place
from brain_assets.resources.store import locks

# A run takes its dataset's lock as soon as it has started, so that a free lock and a run under way soon contradict.
GRACE_SECONDS = 120.0
REASON = "the process of this run is gone (killed, or the machine went down); what it committed is kept"


def end_abandoned_runs(context: dg.SensorEvaluationContext, place: Place) -> None:
    """Mark runs as failed that have started, while nobody has touched their dataset's lock for a while."""
    now, home = time.time(), place.home
    started = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])
    for record in context.instance.get_run_records(started):
        # One without the tag holds no lock: it lists a source, or is somebody else's.
        name = next((record.dagster_run.tags[tag] for tag in place.tags("") if tag in record.dagster_run.tags), None)
        if name is None or (place.slug and name not in place.names()):
            continue
        free_since = locks.free_since(home.paths(name).lock) if name in home.names() else 0.0
        if free_since is not None and now - max(free_since, record.start_time or now) > GRACE_SECONDS:
            context.instance.report_run_failed(record.dagster_run, REASON)
            context.log.warning(f"{name}: run {record.dagster_run.run_id[:8]} ended: {REASON}")
