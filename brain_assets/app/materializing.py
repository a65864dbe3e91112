"""Bring a dataset up to date from a command or from Python, as a run of the instance that the service shows."""

import json
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence

from brain_assets.assets import catalog
from brain_assets.assets.declarations import check_declaration
from brain_assets.assets.reasons import INTERRUPTS, reason_of
from brain_assets.resources import progress
from brain_assets.resources.errors import BrainError, MissingError
from brain_assets.resources.settings import instance
from brain_assets.resources.settings.configuration import load_dataset, load_service
from brain_assets.resources.settings.home import Home
from brain_assets.resources.settings.private import private_files
from brain_assets.resources.store import locks


def materialize(
    home: Home,
    name: str,
    select: Sequence[str] = (),
    settings: Mapping[str, str] | None = None,
    waiting: Callable[[str], None] | None = None,
) -> str:
    """Run the assets of a dataset in this process and return the run's id.

    Parameters
    ----------
    home : Home
    name : str
        The dataset.
    select : sequence of str
        Names of assets; all when empty.
    settings : mapping of str to str, optional
        Settings for this run alone, dotted key to YAML value.
    waiting : callable, optional
        Told once who is waited for, when another run holds the dataset.

    Raises
    ------
    BrainError
        With the reason, when the run failed.
    KeyboardInterrupt
        When it was interrupted; the run is recorded as failed, and what it committed stays.
    """
    check_declaration(load_dataset(home.existing(name).config, settings).settings)
    unknown = [asset for asset in select if asset not in catalog.BY_NAME]
    if unknown:
        raise MissingError(f"no asset {unknown[0]!r} (assets: {', '.join(catalog.BY_NAME)})")
    with private_files(home.root), progress.shown():
        _wait_for_turn(home, name, waiting)
        progress.tell("starting")
        return _execute(home, name, select, settings or {})


def _wait_for_turn(home: Home, name: str, waiting: Callable[[str], None] | None) -> None:
    """Wait before there is a run, which could tell nobody whom it waits for."""
    timeout = load_service(home.settings).settings.lock_timeout
    with locks.exclusive(home.existing(name).lock, "brain materialize", timeout=timeout, waiting=waiting):
        return


def _execute(home: Home, name: str, select: Sequence[str], settings: Mapping[str, str]) -> str:
    instance.prepare(home)
    import dagster as dg

    from brain_assets.assets.lineage import REFRESH
    from brain_assets.assets.opening import SETTINGS_TAG, STARTED_HERE
    from brain_assets.assets.place import PARTITION_TAG
    from brain_assets.definitions import definitions

    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    with dg.DagsterInstance.get() as dagster_instance:
        dagster_instance.add_dynamic_partitions(instance.PARTITIONS, [name])
        job = definitions().resolve_job_def(REFRESH.name)
        STARTED_HERE.add(run_id := str(uuid.uuid4()))
        result = job.execute_in_process(
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            instance=dagster_instance,
            partition_key=name,
            asset_selection=[dg.AssetKey(asset) for asset in select] or None,
            tags={PARTITION_TAG: name, SETTINGS_TAG: json.dumps(dict(settings))},
            raise_on_error=False,
            run_id=run_id,
        )
    if _interrupted(result):
        raise KeyboardInterrupt
    if not result.success:
        raise BrainError(reason_of(result.all_events))
    return result.run_id


def _interrupted(result: "dg.ExecuteInProcessResult") -> bool:  # type: ignore[name-defined]  # noqa: F821
    errors = [getattr(event.event_specific_data, "error", None) for event in result.all_events if event.is_failure]
    return any(error and error.cls_name in INTERRUPTS for error in errors)
