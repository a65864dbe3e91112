"""The tables that readers may open, switched as one consistent set."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb

from brain_assets.answers import gates
from brain_assets.answers.retention import thin
from brain_assets.incremental.signal import Publication, Signal, Whole
from brain_assets.incremental.update import FAILED, Update, is_up_to_date
from brain_assets.ingest.decode_pass import COLORS_VERSION
from brain_assets.ingest.reviews import REVIEW_STATE
from brain_assets.ingest.samples import SOURCE_STATE
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.label_formats.input_files import joined_state
from brain_assets.resources.settings import remembered
from brain_assets.resources.store.deltas import Retention
from brain_assets.resources.store.publishing import TableQuery, publish
from brain_assets.resources.store.store import Merge

INPUT_STATES = ("labels_state", "predictions_state")
BOOKKEEPING = (
    Publication(
        "runs",
        """
        select run_id, brain_key, method, config, state, started_at, finished_at, code_version, model_version,
            rows_changed, error
        from runs order by started_at, brain_key""",
        {
            "run_id": "The run, as Dagster names it.",
            "brain_key": "The configured run of the method.",
            "method": "The asset.",
            "config": "Its full configuration, as JSON.",
            "state": "running, done or failed.",
            "started_at": "When it started.",
            "finished_at": "When it ended.",
            "code_version": "Version of the asset's code.",
            "model_version": "Version of the embedding model behind it.",
            "rows_changed": "Rows that it added, changed or deleted.",
            "error": "Why it failed.",
        },
    ),
    Publication(
        "calibrations",
        """
        select calibration_id, brain_key, issue, value, evidence, calibrated_at as fitted_at, calibrated_at as "at"
        from calibrations""",
        {
            "calibration_id": "Names the calibration.",
            "brain_key": "The run it belongs to.",
            "issue": "The issue whose threshold it sets.",
            "value": "The threshold.",
            "evidence": "What it was computed from, as JSON.",
            "fitted_at": "When.",
            "at": "Former name of `fitted_at`, until version 0.3.",
        },
    ),
)


def published(signals: Sequence[Signal]) -> Signal:
    """Return the signal that publishes the tables of all others."""
    publications = [publication for signal in signals for publication in signal.publishes]
    tables = [TableQuery(one.table, one.query, one.parts) for one in [*publications, *BOOKKEEPING]]

    def publish_tables(update: Update) -> Iterator[Merge]:
        dataset = update.dataset
        if thinned := thin(dataset):
            update.notes["old records deleted"] = thinned
        facts: dict[str, Any] = {"source_state": dataset.store.fact(SOURCE_STATE), "settings": dataset.settings_digest}
        facts["declared"] = dataset.settings.model_dump(mode="json")
        facts["code"] = code_state(signals)
        facts["behind"] = _behind(signals, dataset)
        facts[REVIEW_STATE] = dataset.store.fact(REVIEW_STATE) or ""
        facts["runtimes"] = dataset.runtimes
        facts["input_state"] = joined_state(*(dataset.store.fact(name) or "" for name in INPUT_STATES))
        gates.enforce(dataset)
        retention = Retention(**dataset.settings.versions.model_dump())
        keep_sets = dataset.service.keep_sets
        result = publish(dataset.store, dataset.paths.published, tables, facts, keep_sets, retention)
        gates.release(dataset.paths)
        if missing := remembered.keep(dataset.paths):
            update.notes["no longer set"] = ", ".join(missing)
        update.notes |= {"set": result.number, "written": ", ".join(result.written), "linked": len(result.linked)}
        if result.damaged:
            update.notes["damaged, written again"] = ", ".join(result.damaged)
        yield from ()

    return Signal(
        name="published",
        description="What readers open: one Parquet file per table, switched as one consistent set, so that SQL and the review"
        " page never see a run half done.",
        group="answers",
        reads=(),
        writes=(),
        update=Whole(publish_tables),
        always=True,
        kinds=("parquet", "duckdb"),
        after=tuple(signal.name for signal in signals),
        view={},
    )


def failed(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str, str]]:
    """Return the key, method and reason of every run that failed the last time, from the published tables."""
    return connection.execute(FAILED).fetchall()


def _behind(signals: Sequence[Signal], dataset: Dataset) -> list[str]:
    """Return the names of what this run was not asked to bring up to date, though it needs to be."""
    left_out = [one for one in signals if one.name not in dataset.selected and not one.always]
    return [one.name for one in left_out if not is_up_to_date(one, dataset)]


def code_state(signals: Sequence[Signal]) -> str:
    """Return what changes when a version of the code knows more, or computes it otherwise."""
    known = sorted((one.name, one.version) for one in signals if one.writes)
    return hashlib.blake2b(repr((known, COLORS_VERSION)).encode(), digest_size=8).hexdigest()
