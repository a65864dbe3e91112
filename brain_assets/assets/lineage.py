"""Signals as Dagster assets: each brings itself up to date, and shows what that did."""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import dagster as dg

from brain_assets.answers import alarms, gates
from brain_assets.assets import catalog, pages
from brain_assets.assets.column_lineage import lineage_of
from brain_assets.assets.opening import resource_of
from brain_assets.assets.place import DATASET_TAG, SERVICE, Place
from brain_assets.assets.sources import external_assets, observe, sources_of
from brain_assets.assets.versions import data_version
from brain_assets.incremental.signal import Signal
from brain_assets.incremental.update import Report, bring_up_to_date, failed_runs, wrong_rows
from brain_assets.ingest import accounting
from brain_assets.ingest.samples import SOURCE_STATE
from brain_assets.resources import progress
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.errors import BrainError, naming_full_disk
from brain_assets.resources.settings.alerts import alert
from brain_assets.resources.store.publishing import connect, manifest
from brain_assets.signals.registry import ISSUES

OWNERS = ["team:data-quality"]
GATES, CONTRACT, RUNS, FRESH, QUALITY = "gates", "contract", "declared_runs", "fresh", "quality"
RESOURCE = "dataset"


@cache
def refresh_of(place: Place) -> Any:
    """Return the job that brings all assets of a place up to date."""
    keys = [place.key(signal.name) for signal in catalog.ALL]
    return dg.define_asset_job(
        place.named("refresh"),
        selection=dg.AssetSelection.assets(*keys),
        description="Brings everything that is known of a dataset up to date, at the cost of what changed.",
        tags={DATASET_TAG: place.dataset} if place.dataset else None,
        # A step process costs 2 s of imports, and the steps share what is open.
        executor_def=dg.in_process_executor,
    )


REFRESH = refresh_of(SERVICE)


def assets_of(place: Place) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """Return all assets of a place: the sources, and every signal."""
    return [*external_assets(place), *(asset_of(signal, place) for signal in catalog.ALL)]


def asset_of(signal: Signal, place: Place = SERVICE) -> dg.AssetsDefinition:
    """Return the asset that keeps a signal current."""
    upstream = [*catalog.upstream(signal), *(source.name for source in sources_of(signal.name))]

    @dg.asset(
        key=place.key(signal.name),
        description=signal.description,
        deps=[place.key(name) for name in upstream],
        partitions_def=place.partitions,
        group_name=place.group or signal.group,
        kinds=set(signal.kinds),
        owners=OWNERS,
        tags={"brain/role": "answer" if signal.group == "answers" else "signal"},
        metadata=_definition(signal),
        code_version=signal.version,
        check_specs=[_check_spec(signal, place, *named) for named in _named_checks(signal)],
        required_resource_keys={place.named(RESOURCE)},
    )
    def compute(context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg]
        dataset: Dataset = getattr(context.resources, place.named(RESOURCE)).opened
        progress.step(signal.name, len(dataset.selected))
        report = _brought_up_to_date(signal, dataset)
        if sources_of(signal.name):
            observe(context, place, signal.name, dataset, dataset.store.fact(SOURCE_STATE))
        return dg.MaterializeResult(
            metadata=_metadata(signal, place, dataset, report),
            check_results=list(_check_results(signal, place, dataset, report)),
            data_version=dg.DataVersion(data_version(signal, dataset)),
        )

    return compute


def resources_of(place: Place) -> dict[str, Any]:
    """Return the resources that the assets of a place need."""
    return {place.named(RESOURCE): resource_of(place)}


def _definition(signal: Signal) -> dict[str, Any]:
    """Return what Dagster shows of an asset before it ever ran."""
    tables = [one.table for one in signal.publishes]
    found = [issue.title for query in signal.issues for issue in query.issues]
    return {
        **({"dagster/table_name": tables[0]} if tables else {}),
        **({"published tables": ", ".join(tables)} if tables else {}),
        **({"finds": ", ".join(dict.fromkeys(found))} if found and len(found) < len(ISSUES) else {}),
        **({"brought by": signal.plugin} if signal.plugin else {}),
    }


def _brought_up_to_date(signal: Signal, dataset: Dataset) -> Report:
    known = set(failed_runs(dataset))
    try:
        with naming_full_disk(dataset.paths.folder):
            report = bring_up_to_date(signal, dataset)
    except BrainError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    for key, method, reason in failed_runs(dataset):
        if (key, method, reason) not in known:
            message = f"run {key} of {method}: {reason}"
            alert(dataset.home, dataset.paths.name, dataset.run_id, message, logging.getLogger("brain").warning)
    return report


def _check_results(signal: Signal, place: Place, dataset: Dataset, report: Report) -> Iterator[dg.AssetCheckResult]:
    key = place.key(signal.name)
    for check in signal.checks:
        wrong = wrong_rows(check, signal, dataset)
        yield dg.AssetCheckResult(passed=wrong == 0, check_name=check.name, asset_key=key, metadata={"wrong": wrong})
    if signal.may_fail_in_part:
        yield dg.AssetCheckResult(
            passed=not report.failed, check_name=RUNS, asset_key=key, metadata=dict(report.failed)
        )
    if signal is catalog.HEALTH:
        yield _gates_result(GATES, gates.verdicts(dataset), key)
        yield _gates_result(CONTRACT, gates.contract_verdicts(dataset), key)
        yield _quality_result(dataset, key)
    if signal is catalog.PUBLISHED:
        yield _fresh_result(dataset, key)


def _named_checks(signal: Signal) -> Iterator[tuple[str, str]]:
    yield from ((check.name, check.description) for check in signal.checks)
    if signal.may_fail_in_part:
        yield RUNS, "Each run that dataset.yaml declares was brought up to date; one that fails stops nothing else."
    if signal is catalog.HEALTH:
        yield GATES, "The limits that dataset.yaml sets; an error keeps the tables from being published."
        yield (
            CONTRACT,
            "The clauses of the contract that dataset.yaml names, each with its number; without one nothing is asked.",
        )
        yield (
            QUALITY,
            (
                "No number jumped beyond its usual noise, and the newest images are like the rest; with gates that fail, what"
                " alerts are sent of."
            ),
        )
    if signal is catalog.PUBLISHED:
        yield (
            FRESH,
            (
                "What arrived is published within sensor.fresh_seconds; the arrival sensor says so where it is not. A dataset to"
                " which nothing comes is fresh."
            ),
        )


def _quality_result(dataset: Dataset, key: dg.AssetKey) -> dg.AssetCheckResult:
    found = alarms.tell(dataset, catalog.ALL, logging.getLogger("brain").warning)
    return dg.AssetCheckResult(
        passed=not found,
        check_name=QUALITY,
        asset_key=key,
        severity=dg.AssetCheckSeverity.WARN,
        metadata=alarms.as_metadata(found),
    )


def _fresh_result(dataset: Dataset, key: dg.AssetKey) -> dg.AssetCheckResult:
    published = manifest(dataset.paths.published)
    behind = published["facts"].get("behind") if published else None
    return dg.AssetCheckResult(
        passed=not behind,
        check_name=FRESH,
        asset_key=key,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"this run was not asked for {', '.join(behind)}" if behind else "all that arrived is published",
        metadata={"oldest waiting (seconds)": 0.0},
    )


def _gates_result(name: str, verdicts: Sequence[gates.Verdict], key: dg.AssetKey) -> dg.AssetCheckResult:
    blocked = any(verdict.blocks or (verdict.is_default and not verdict.warns) for verdict in verdicts)
    return dg.AssetCheckResult(
        passed=all(verdict.passed for verdict in verdicts),
        check_name=name,
        asset_key=key,
        severity=dg.AssetCheckSeverity.ERROR if blocked else dg.AssetCheckSeverity.WARN,
        metadata={verdict.condition: str(verdict) for verdict in verdicts},
    )


def _check_spec(signal: Signal, place: Place, name: str, description: str) -> dg.AssetCheckSpec:
    key = place.key(signal.name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(name, asset=key, description=description, partitions_def=place.partitions)


def _metadata(signal: Signal, place: Place, dataset: Dataset, report: Report) -> Mapping[str, Any]:
    counts = report.counts
    shown: dict[str, Any] = {"was up to date": report.up_to_date}
    shown |= {"rows added": counts.added, "rows changed": counts.changed, "rows deleted": counts.deleted}
    shown |= report.notes
    for publication in signal.publishes[:1]:
        described = dataset.store.rows(f"describe {publication.query}")
        table = dataset.paths.published / "current" / publication.table
        shown["dagster/uri"] = f"file://{table if publication.parts else table.with_suffix('.parquet')}"
        shown["dagster/row_count"] = int(dataset.store.value(f"select count(*) from ({publication.query})"))
        shown["dagster/column_schema"] = dg.TableSchema(
            [
                dg.TableColumn(name, kind.lower(), publication.columns.get(name))
                for name, kind, *_ in described
                if name != "part"
            ]
        )
    shown |= lineage_of(signal, place)
    if signal is catalog.PUBLISHED:
        with connect(dataset.paths.published) as connection:
            shown |= accounting.as_metadata(accounting.accounts(connection))
    # Dagster lists what it is given in this order: numbers and pictures come before what is about the run.
    seen = pages.shown(signal, dataset, changed=not report.up_to_date)
    return seen | shown | seen
