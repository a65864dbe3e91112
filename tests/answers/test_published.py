"""The published tables have the columns that readers rely on, under names that SQL takes as they are."""

import json
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from brain_assets.resources.store.publishing import RENAMED, connect_to
from brain_assets.resources.store.seals import seal_of
from tests.workshop import Workshop, described_columns, write_pictures

# What every version has to publish at least; columns are added freely, and none goes or gets another name unannounced.
CONTRACT = {
    "samples": "sample_id uri filepath status error content_hash bytes width height format split tags added_at changed_at",
    "objects": "object_id sample_id label_field source label confidence x y width height polygon logits iscrowd",
    "ground_truth": "sample_id label_field labels origin",
    "predictions": "sample_id label_field model position label confidence logits is_probability",
    "embeddings": "subject_id sample_id object_id brain_key model vector",
    "neighbors": "subject_id sample_id object_id brain_key rank neighbor_id distance",
    "exact_duplicates": "group_id sample_id kind keep reason",
    "pairs": "brain_key subject_id partner_id distance verification",
    "near_duplicates": "brain_key group_id subject_id sample_id object_id nearest_id distance keep reason",
    "components": "brain_key component_id subject_id size threshold",
    "leaks": "brain_key subject_id sample_id object_id split partner_id partner_split distance kind",
    "uniqueness": "brain_key subject_id sample_id object_id uniqueness raw",
    "representativeness": "brain_key subject_id sample_id object_id representativeness cluster",
    "outliers": "brain_key subject_id sample_id object_id outlier_score is_outlier",
    "hardness": "sample_id label_field model hardness",
    "mistakenness": "sample_id label_field model mistakenness possible_missing possible_spurious",
    "object_mistakenness": "object_id sample_id label_field model source mistakenness mistakenness_loc possible_missing"
    " possible_spurious missing_score spurious_score matched_id iou",
    "visualization": "brain_key subject_id sample_id object_id x y z",
    "image_quality": "sample_id",
    "issues": "subject_id sample_id object_id issue source score is_issue evidence",
    "calibrations": "calibration_id brain_key issue value evidence fitted_at",
    "tags": "subject_id tag tagged_by tagged_at",
    "decisions": "decision_id subject_id content_hash kind value decided_by decided_at undone_at",
    "health": "recorded_at run_id metric value",
    "runs": "run_id brain_key method config state started_at finished_at code_version model_version rows_changed",
}


@pytest.fixture(scope="module")
def published() -> dict[str, list[str]]:
    return {publication.table: columns for publication, columns in described_columns()}


def test_every_table_has_the_columns_that_readers_rely_on(published: dict[str, list[str]]) -> None:
    missing = {table: set(names.split()) - set(published[table]) for table, names in CONTRACT.items()}
    assert {table: names for table, names in missing.items() if names} == {}


def test_no_column_has_to_be_quoted(published: dict[str, list[str]]) -> None:
    with duckdb.connect() as connection:
        for table, columns in published.items():
            former = RENAMED.get(table, {}).values()
            for name in set(columns) - set(former):
                connection.execute(f'select {name} from (select 1 as "{name}") order by {name}')


def test_former_names_can_be_read_for_one_version_more(published: dict[str, list[str]]) -> None:
    assert all({*names, *names.values()} <= set(published[table]) for table, names in RENAMED.items())


def test_both_names_give_the_same(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(3))
    workshop = Workshop(
        tmp_path / "home", tmp_path / "media", select=("samples", "media", "image_quality", "health", "published")
    )
    workshop.run()
    assert workshop.rows('select distinct recorded_at = "at" from health where "at" is not null') == [(True,)]
    assert workshop.rows('select distinct fitted_at = "at" from calibrations where "at" is not null') == [(True,)]


@pytest.mark.parametrize("damaged", [False, True])
def test_a_set_of_the_version_before_is_read_under_both_names(tmp_path: Path, *, damaged: bool) -> None:
    rows = pa.table({"at": [3, 1], "run_id": ["b", "a"], "metric": ["samples"] * 2, "value": [2.0, 1.0]})
    pq.write_table(rows, tmp_path / "health.parquet")
    columns = {"at": "BIGINT", "run_id": "VARCHAR", "metric": "VARCHAR", "value": "DOUBLE"}
    files = {} if damaged else {"health.parquet": seal_of(tmp_path / "health.parquet")}
    said = {"number": 1, "columns": {"health": columns}, "files": files}
    (tmp_path / "manifest.json").write_text(json.dumps(said), "utf-8")
    with connect_to(tmp_path, tolerant=True) as connection:
        query = 'select recorded_at, run_id from health where "at" > 0 order by recorded_at'
        assert connection.execute(query).fetchall() == ([] if damaged else [(1, "a"), (3, "b")])
