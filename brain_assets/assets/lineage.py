"""Signals as Dagster assets: each brings itself up to date, and shows what that did."""

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError

from brain_assets.answers import gates
from brain_assets.assets import catalog, pages
from brain_assets.assets.declarations import check_declaration
from brain_assets.incremental.signal import Signal
from brain_assets.incremental.tables import open_with_tables
from brain_assets.incremental.update import Report, bring_up_to_date, failed_runs, wrong_rows
from brain_assets.ingest import accounting
from brain_assets.resources import progress
from brain_assets.resources.dataset import Dataset, Opening
from brain_assets.resources.errors import BrainError, ConfigurationError
from brain_assets.resources.settings.alerts import alert
from brain_assets.resources.settings.configuration import check_sent
from brain_assets.resources.settings.history import purge
from brain_assets.resources.settings.home import Home
from brain_assets.resources.settings.instance import PARTITIONS
from brain_assets.resources.store.publishing import connect

DATASETS = dg.DynamicPartitionsDefinition(name=PARTITIONS)
OWNERS = ["team:data-quality"]
SETTINGS_TAG = "brain/set"
PARTITION_TAG = "dagster/partition"
GATES, RUNS = "gates", "declared_runs"
# Runs that a command of this process started; their settings were typed by its user, those of others came as a tag.
STARTED_HERE: set[str] = set()

UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

REFRESH = dg.define_asset_job(
    "refresh",
    selection=dg.AssetSelection.all(),
    description="Brings everything that is known of a dataset up to date, at the cost of what changed.",
)


@dg.resource(description="The dataset of the run's partition, held under its lock from the first to the last step.")
def dataset(context: dg.InitResourceContext) -> Iterator[Dataset]:
    """Open the dataset that the run's partition names."""
    run = context.run
    if run is None or PARTITION_TAG not in run.tags:
        raise dg.Failure("choose one dataset (a partition) to materialize", allow_retries=False)
    selection = run.asset_selection
    home, name = Home.default(), run.tags[PARTITION_TAG]
    try:
        opening = Opening(
            run.run_id,
            f"run {run.run_id[:8]}",
            frozenset(key.path[-1] for key in selection) if selection else frozenset(catalog.BY_NAME),
            _arguments(home, name, run),
            lambda line: context.log.info(line) if context.log else None,
        )
        with open_with_tables(home, name, opening, catalog.ALL) as opened:
            check_declaration(opened.settings)
            yield opened
            keep = opened.service.keep_runs
    except BrainError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    _forget_old_runs(context, run.tags[PARTITION_TAG], keep)


def _forget_old_runs(context: dg.InitResourceContext, name: str, keep: int) -> None:
    """Keep Dagster's history within bounds; a run whose work is done does not fail for it."""
    if context.instance is None:
        return
    try:
        purge(context.instance, {PARTITION_TAG: name}, keep)
    except (OSError, SQLAlchemyError) as error:
        if context.log:
            context.log.warning(f"old runs could not be deleted: {error}")


def _arguments(home: Home, name: str, run: dg.DagsterRun) -> dict[str, str]:
    """Return the settings that a run's tag gives; whoever can start a run can write it."""
    try:
        given = json.loads(run.tags.get(SETTINGS_TAG, "{}"))
    except ValueError:
        given = None
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise ConfigurationError(f'the tag {SETTINGS_TAG} must be JSON such as {{"similarity.k": "30"}}')
    if run.run_id not in STARTED_HERE:
        check_sent(home.existing(name).config, given)
    return given


def asset_of(signal: Signal) -> dg.AssetsDefinition:
    """Return the asset that keeps a signal current."""

    @dg.asset(
        name=signal.name,
        description=signal.description,
        deps=list(catalog.upstream(signal)),
        partitions_def=DATASETS,
        group_name=signal.group,
        kinds=set(signal.kinds),
        owners=OWNERS,
        code_version=signal.version,
        check_specs=[_check_spec(signal, *named) for named in _named_checks(signal)],
    )
    def compute(dataset: dg.ResourceParam[Dataset]) -> dg.MaterializeResult:  # type: ignore[type-arg]  # dagster refuses a parameter here
        progress.step(signal.name, len(dataset.selected))
        known = set(failed_runs(dataset))
        try:
            report = bring_up_to_date(signal, dataset)
        except BrainError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        for key, method, reason in failed_runs(dataset):
            if (key, method, reason) not in known:
                message = f"run {key} of {method}: {reason}"
                alert(dataset.home, dataset.paths.name, dataset.run_id, message, logging.getLogger("brain").warning)
        checks = [_check_result(signal, check.name, wrong_rows(check, signal, dataset)) for check in signal.checks]
        if signal.options or signal.plugin:
            checks.append(_runs_result(signal, report))
        if signal is catalog.HEALTH:
            checks.append(_gates_result(dataset))
        return dg.MaterializeResult(metadata=_metadata(signal, dataset, report), check_results=checks)

    return compute


def _named_checks(signal: Signal) -> Iterator[tuple[str, str]]:
    yield from ((check.name, check.description) for check in signal.checks)
    if signal.options or signal.plugin:
        yield RUNS, "Each run that dataset.yaml declares was brought up to date; one that fails stops nothing else."
    if signal is catalog.HEALTH:
        yield GATES, "The limits that dataset.yaml sets; an error keeps the tables from being published."


def _gates_result(dataset: Dataset) -> dg.AssetCheckResult:
    verdicts = gates.verdicts(dataset)
    blocked = any(verdict.blocks or (verdict.is_default and not verdict.warns) for verdict in verdicts)
    return dg.AssetCheckResult(
        passed=all(verdict.passed for verdict in verdicts),
        check_name=GATES,
        asset_key=catalog.HEALTH.name,
        severity=dg.AssetCheckSeverity.ERROR if blocked else dg.AssetCheckSeverity.WARN,
        metadata={verdict.condition: str(verdict) for verdict in verdicts},
    )


def _check_spec(signal: Signal, name: str, description: str) -> dg.AssetCheckSpec:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(name, asset=signal.name, description=description, partitions_def=DATASETS)


def _runs_result(signal: Signal, report: Report) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=not report.failed, check_name=RUNS, asset_key=signal.name, metadata=dict(report.failed)
    )


def _check_result(signal: Signal, name: str, wrong: int) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=wrong == 0, check_name=name, asset_key=signal.name, metadata={"wrong": wrong})


def _metadata(signal: Signal, dataset: Dataset, report: Report) -> Mapping[str, Any]:
    counts = report.counts
    shown: dict[str, Any] = {"was up to date": report.up_to_date}
    shown |= {"rows added": counts.added, "rows changed": counts.changed, "rows deleted": counts.deleted}
    shown |= report.notes
    for publication in signal.publishes[:1]:
        described = dataset.store.rows(f"describe {publication.query}")
        shown["dagster/row_count"] = int(dataset.store.value(f"select count(*) from ({publication.query})"))
        shown["dagster/column_schema"] = dg.TableSchema(
            [
                dg.TableColumn(name, kind.lower(), publication.columns.get(name))
                for name, kind, *_ in described
                if name != "part"
            ]
        )
    if signal is catalog.PUBLISHED:
        with connect(dataset.paths.published) as connection:
            shown |= accounting.as_metadata(accounting.accounts(connection))
    return shown | pages.shown(signal, dataset, changed=not report.up_to_date)
