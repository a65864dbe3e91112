"""The dataset of a run, as the resource that its assets share: held under its lock from the first to the last step."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import dagster as dg
from pydantic import Field, PrivateAttr

from brain_assets.assets import catalog
from brain_assets.assets.declarations import check_declaration
from brain_assets.assets.place import SERVICE, Place
from brain_assets.assets.run_settings import RunSettings, arguments
from brain_assets.incremental.tables import open_with_tables
from brain_assets.resources.dataset import Dataset, Opening
from brain_assets.resources.errors import BrainError, ConfigurationError
from brain_assets.resources.settings.configuration import check_sent
from brain_assets.resources.settings.history import purge
from brain_assets.resources.settings.home import Home

SETTINGS_TAG = "brain/set"
# Runs that a command of this process started; their settings were typed by its user, those of others came with the run.
STARTED_HERE: set[str] = set()


class DatasetResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The dataset that the run's partition names.

    Where it lies is no setting of a run: whoever may start one could name files.
    """

    settings: RunSettings | None = Field(  # type: ignore[valid-type]
        None, description="Settings for this run alone, beside those of dataset.yaml."
    )
    place: ClassVar[Place] = SERVICE
    _opened: Dataset = PrivateAttr()

    @property
    def opened(self) -> Dataset:
        """The dataset, for the steps of the run."""
        return self._opened

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["DatasetResource"]:
        """Open the dataset for the run, and say in a line why that cannot be."""
        run = context.run
        name = run and self.place.dataset_of(run)
        if run is None or not name:
            raise dg.Failure("choose one dataset (a partition) to materialize", allow_retries=False)
        try:
            self.place.prepare()
            given = _given(self.place.home, name, run, self.settings)
            with open_with_tables(self.place.home, name, self._opening(context, run, given), catalog.ALL) as opened:
                check_declaration(opened.settings)
                self._opened = opened
                yield self
                keep = opened.service.keep_runs
        except BrainError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        if not self.place.slug:
            _forget_old_runs(context, self.place.tags(name), keep)

    def _opening(self, context: dg.InitResourceContext, run: dg.DagsterRun, given: dict[str, str]) -> Opening:
        chosen = {key.path[-1] for key in run.asset_selection or () if key == self.place.key(key.path[-1])}
        return Opening(
            run.run_id,
            f"run {run.run_id[:8]}",
            frozenset(chosen or catalog.BY_NAME),
            given,
            lambda line: context.log.info(line) if context.log else None,
        )


def resource_of(place: Place) -> DatasetResource:
    """Return the resource for the assets that stand in a place."""
    kind: Any = DatasetResource if place is SERVICE else type("DatasetResource", (DatasetResource,), {"place": place})
    resource: DatasetResource = kind()
    return resource


def _forget_old_runs(context: dg.InitResourceContext, tags: dict[str, str], keep: int) -> None:
    """Keep Dagster's history within bounds; a run whose work is done does not fail for it."""
    from sqlalchemy.exc import SQLAlchemyError

    if context.instance is None:
        return
    try:
        purge(context.instance, tags, keep)
    except (BrainError, OSError, SQLAlchemyError) as error:
        if context.log:
            context.log.warning(f"old runs could not be deleted: {error}")


def _given(home: Home, name: str, run: dg.DagsterRun, settings: dg.Config | None) -> dict[str, str]:
    """Return the settings that a run's tag and config give; whoever can start a run can write both."""
    try:
        given = json.loads(run.tags.get(SETTINGS_TAG, "{}"))
    except ValueError:
        given = None
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise ConfigurationError(f'the tag {SETTINGS_TAG} must be JSON such as {{"similarity.k": "30"}}')
    given |= arguments(settings)
    if run.run_id not in STARTED_HERE:
        check_sent(home.existing(name).config, given)
    return given
