"""From a published set to a report's content."""

import json
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import duckdb

from brain_assets.answers.gates import declared_gates, evaluate_all
from brain_assets.answers.published import failed
from brain_assets.ingest.accounting import accounts
from brain_assets.report import findings, numbers
from brain_assets.report.content import Gate, Map, Metric, Report, Setting
from brain_assets.report.tables import Tables
from brain_assets.resources.settings.configuration import Configuration, DatasetSettings
from brain_assets.resources.settings.home import DatasetPaths

MAP_POINTS = 12_000
WORDS = 8
PACKAGES = ("brain-assets", "dagster", "duckdb", "numpy", "onnxruntime", "pillow", "torch")


def build(
    paths: DatasetPaths,
    connection: duckdb.DuckDBPyConnection,
    manifest: dict[str, Any],
    configuration: Configuration[DatasetSettings],
    damaged: Sequence[str] = (),
) -> Report:
    """Return what there is to say of one published set.

    Parameters
    ----------
    paths : DatasetPaths
    connection : duckdb.DuckDBPyConnection
        That sees the set's tables.
    manifest : dict
        What the set says of itself.
    configuration : Configuration
        The dataset's settings with their origins.
    damaged : sequence of str
        Tables that are seen as empty, as their files are damaged.
    """
    tables = Tables(connection)
    measured = numbers.metrics(tables)
    before = {metric.name: metric.before for metric in measured if metric.before is not None}
    rows, class_count = numbers.classes(tables)
    flagged = "select count(distinct sample_id) from issues where is_issue"
    return Report(
        dataset=paths.name,
        set_number=manifest["number"],
        published_at=manifest.get("published_at", ""),
        samples=numbers.count_samples(tables),
        flagged=tables.value(flagged) if tables.has("issues") else 0,
        behind=manifest.get("facts", {}).get("behind") or (),
        damaged=damaged,
        failed_runs=[f"{key} of {method}: {error}" for key, method, error in failed(connection)]
        if tables.has("runs")
        else [],
        splits=numbers.splits(tables),
        inputs=accounts(connection),
        metrics=measured,
        issues=findings.issues(tables, before),
        map=draw_map(tables),
        distributions=numbers.distributions(tables),
        classes=rows,
        class_count=class_count,
        statistics=numbers.statistics(tables),
        gates=_gates(configuration.settings, measured),
        settings=_settings(configuration),
        versions=_versions(tables),
    )


def draw_map(tables: Tables) -> Map | None:
    """Return the default map, coloured by label, else by split, else by cluster; a fixed choice of points if there are many."""
    if not tables.has("visualization", "x", "y"):
        return None
    total = tables.value("select count(*) from visualization where brain_key = 'visualization'")
    by, words = _colouring(tables)
    flagged = "select distinct subject_id, true as mark from outliers where is_outlier and brain_key = 'outliers'"
    marks = (
        flagged if tables.has("outliers") else "select null::varchar as subject_id, null::boolean as mark where false"
    )
    rows = tables.rows(f"""
        select x, y, coalesce(word, '') as word, coalesce(mark, false) as mark
        from (from visualization where brain_key = 'visualization' and isfinite(x) and isfinite(y)
            order by hash(subject_id) limit {MAP_POINTS}) points
        left join ({words}) using (sample_id) left join ({marks}) using (subject_id) order by hash(subject_id)""")
    if not rows:
        return None
    counted = tables.rows(f"""
        select coalesce(word, '') as word, count(*) as count from visualization left join ({words}) using (sample_id)
        where brain_key = 'visualization' group by 1 order by 2 desc, 1""")
    return _coded(by, total, rows, [(row["word"], row["count"]) for row in counted])


def _coded(by: str, total: int, rows: Sequence[dict[str, Any]], counted: Sequence[tuple[str, int]]) -> Map:
    """Return a map whose commonest words have a number each, in the order of their names; the rest share the last."""
    named = [(word, count) for word, count in counted if word]
    shown = sorted(named[:WORDS]) if len(named) <= WORDS else named[: WORDS - 1]
    rest = sum(count for _, count in counted) - sum(count for _, count in shown)
    place = {word: number for number, (word, _) in enumerate(shown)}
    code = [place.get(row["word"], len(shown)) for row in rows]
    words = [*shown, *([("other", rest)] if rest and shown else [])]
    marked = [number for number, row in enumerate(rows) if row["mark"]]
    x, y = [row["x"] for row in rows], [row["y"] for row in rows]
    return Map("visualization", by if shown else "", total, x, y, code, words, marked)


def _colouring(tables: Tables) -> tuple[str, str]:
    """Return what a map is coloured by, and the query of sample_id and word."""
    if tables.label_field is not None:
        return "label", f"select sample_id, labels[1] as word from ({tables.labels})"
    if tables.has("samples") and tables.value("select count(distinct split) from samples") > 1:
        return "split", "select sample_id, split as word from samples"
    if tables.has("representativeness", "cluster"):
        clusters = "select sample_id, 'cluster ' || cluster as word from representativeness"
        return "cluster", f"{clusters} where brain_key = 'representativeness' and cluster is not null"
    return "", "select null::varchar as sample_id, null::varchar as word where false"


def _gates(settings: DatasetSettings, measured: Sequence[Metric]) -> list[Gate]:
    values = {metric.name: metric.value for metric in measured}
    verdicts = evaluate_all(declared_gates(settings), values)
    return [Gate(verdict.condition, verdict.value, verdict.passed) for verdict in verdicts]


def _settings(configuration: Configuration[DatasetSettings]) -> list[Setting]:
    """Return the settings that hold, those that somebody chose first."""
    told = [Setting(one.key, _text(one.value), one.origin) for one in configuration.values]
    return sorted(told, key=lambda one: one.origin == "default")


def _text(value: Any) -> str:
    if isinstance(value, list):
        return json.dumps(
            [one.model_dump(exclude_defaults=True) if hasattr(one, "model_dump") else one for one in value]
        )
    return "-" if value is None else str(value)


def _versions(tables: Tables) -> list[tuple[str, str]]:
    """Return the versions of the packages behind the numbers, and of the models."""
    found = [("python", platform.python_version())]
    for package in PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            continue
    if tables.has("embeddings", "model"):
        query = "select distinct brain_key, model from embeddings order by all"
        found += [(f"model of {row['brain_key']}", row["model"]) for row in tables.rows(query)]
    return found
