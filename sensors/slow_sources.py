"""Sources too slow for a sensor's tick: each is listed by a run of its own, which leaves what it found for the sensor."""

import time
from functools import cache

import dagster as dg

from brain_assets.assets.place import SERVICE, UNDER_WAY, Place
from brain_assets.resources.settings.history import purge
from brain_assets.resources.settings.home import DatasetPaths
from brain_assets.sensors.asking import Tick
from brain_assets.sensors.looking import Found, write_down, written_down

# The dataset whose source a run lists. Not its partition: such a run holds no lock, and no other waits for it.
LISTED_TAG = "brain/lists"
ASKED_TAG = "brain/asked"
# So many sources that hang leave room in the queue for the runs of all others, until they are ended.
AT_ONCE = 2
LONGEST_SECONDS = 7200
# The daemon starts a run within a few seconds of the request; one that it lost is asked for again.
STARTING_SECONDS = 120.0
PAUSE_SECONDS = 1800.0
KEPT = 5


@cache
def list_source_of(place: Place) -> dg.JobDefinition:
    """Return the job that lists the source of one of a place's datasets."""

    @dg.op(
        name=place.named("list_source"),
        description="Lists media, labels and predictions, and compares them with what is published.",
    )
    def list_source(context: dg.OpExecutionContext) -> None:
        name = context.run.tags.get(LISTED_TAG)
        if not name:
            raise dg.Failure(f"the sensor starts such runs; by hand, give the tag {LISTED_TAG} with a dataset's name")
        place.prepare()
        found = write_down(place.home.existing(name))
        context.log.info(f"{name}: {found.said or 'something changed'}, looked at for {found.seconds:.1f} s")
        if not place.slug:
            purge(context.instance, {LISTED_TAG: name}, KEPT)

    @dg.job(
        name=place.named("list_slow_source"),
        executor_def=dg.in_process_executor,
        description="Lists the source of one dataset that takes longer than a sensor's tick may; started by the sensor"
        " new_samples.",
    )
    def list_slow_source() -> None:
        list_source()

    return list_slow_source


LIST_SOURCE = list_source_of(SERVICE)


def found_by_run(paths: DatasetPaths, asked_at: float) -> Found | None:
    """Return what the run found that was asked for at a moment; None where it has not told yet."""
    found = written_down(paths)
    return found if found and found.began >= asked_at > 0 else None


def progress_of_run(instance: dg.DagsterInstance, name: str, asked_at: float) -> tuple[str, float]:
    """Return what has become of the run that lists a dataset's source, and how long to wait before asking again.

    Returns
    -------
    told : str
        What to say of it; empty where another run may be asked for now.
    pause : float
        Seconds.
    """
    tags = {LISTED_TAG: name, ASKED_TAG: f"{asked_at:.3f}"}
    newest = next(iter(instance.get_runs(dg.RunsFilter(tags=tags), limit=1)), None)
    if newest is None:
        starting = time.time() - asked_at < STARTING_SECONDS
        return ("asked for a run that lists its media, which take too long for a tick" if starting else ""), 0.0
    short = newest.run_id[:8]
    if newest.status in UNDER_WAY:
        return f"run {short} lists its media, which take too long for a tick", 0.0
    if newest.status == dg.DagsterRunStatus.SUCCESS:
        return "", 0.0
    how = "was cancelled" if newest.status == dg.DagsterRunStatus.CANCELED else "failed"
    return f"run {short}, which listed its media, {how}; they are listed again later", PAUSE_SECONDS


def ask_for_listing(tick: Tick, name: str, asked_at: float) -> bool:
    """Ask for a run that lists a dataset's source, unless as many as may be are under way; return whether it was asked for."""
    job = list_source_of(tick.place)
    under_way = tick.instance.get_runs_count(dg.RunsFilter(job_name=job.name, statuses=UNDER_WAY))
    if under_way + sum(request.job_name == job.name for request in tick.requests) >= AT_ONCE:
        return False
    tags = {LISTED_TAG: name, ASKED_TAG: f"{asked_at:.3f}", "dagster/max_runtime": str(LONGEST_SECONDS)}
    tick.requests.append(dg.RunRequest(run_key=f"list:{name}:{asked_at:.3f}", job_name=job.name, tags=tags))
    return True
