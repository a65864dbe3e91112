"""What became of a dataset's newest run, where it left something undone."""

from brain_assets.resources.settings import instance
from brain_assets.resources.settings.home import Home


def cancelled(name: str) -> str:
    """Return what to say of a run that somebody cancelled."""
    return f"cancelled; 'brain materialize {name}' or the next change goes on"


def left_undone(home: Home, name: str) -> str | None:
    """Return why the newest run of a dataset ended early; None where it did not.

    Opens Dagster's history, which costs a second of imports: ask only when something is pending.
    """
    if not instance.locate_history(home) and not (home.dagster / "history").exists():
        return None
    import dagster as dg

    from brain_assets.assets.place import PARTITION_TAG

    with dg.DagsterInstance.from_config(str(home.dagster)) as dagster_instance:
        newest = dagster_instance.get_runs(dg.RunsFilter(tags={PARTITION_TAG: name}), limit=1)
        if not newest:
            return None
        if newest[0].status == dg.DagsterRunStatus.CANCELED:
            return cancelled(name)
        if newest[0].status == dg.DagsterRunStatus.FAILURE:
            return f"failed: {why_failed(dagster_instance, newest[0].run_id)}; 'brain materialize {name}' tries again"
        return None


def why_failed(instance: "dg.DagsterInstance", run_id: str) -> str:  # type: ignore[name-defined]  # noqa: F821
    """Return in one line why a run failed."""
    import dagster as dg

    from brain_assets.assets.reasons import reason_of

    failures = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    entries = instance.all_logs(run_id, of_type=failures)
    return reason_of(entry.dagster_event for entry in entries if entry.dagster_event)
