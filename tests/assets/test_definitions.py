"""What Dagster shows of the code location: it loads, explains itself, and its shape changes only on purpose."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from brain_assets.assets import catalog, column_lineage
from brain_assets.assets.lineage import REFRESH
from brain_assets.assets.opening import SETTINGS_TAG
from brain_assets.assets.place import PARTITION_TAG, SERVICE
from brain_assets.assets.reasons import reason_of
from brain_assets.assets.run_settings import RunSettings
from brain_assets.definitions import definitions
from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.settings.configuration import DatasetSettings, check_sent, fields, is_plain
from brain_assets.resources.settings.home import Home
from tests.workshop import Workshop, write_pictures

MOST_READ = 8
# Asset: group <- what it reads.
LINEAGE = """
box_faults: labels <- ground_truth, media, objects, predictions, samples
builtin_predictions: labels <- embeddings, ground_truth, media, near_duplicates, object_embeddings, samples
contamination: duplicates <- embeddings, fingerprints, media, object_embeddings, reviews, samples
embedding_models: sources <- the outside world
embeddings: similarity <- embedding_models, media, samples
exact_duplicates: duplicates <- ground_truth, media, objects, samples
fingerprints: duplicates <- embeddings, media, object_embeddings, reviews, samples
ground_truth: labels <- label_files, reviews, samples
hardness: labels <- builtin_predictions, ground_truth, predictions
health: answers <- everything
image_quality: media <- media, samples
issues: answers <- everything
label_files: sources <- the outside world
label_issues: labels <- builtin_predictions, ground_truth, media, predictions, reviews, samples, similarity
leaks: duplicates <- everything
media: media <- embedding_models, samples
mistakenness: labels <- builtin_predictions, ground_truth, predictions
near_duplicates: duplicates <- everything
object_embeddings: similarity <- embedding_models, media, objects, samples
object_mistakenness: labels <- media, objects, samples
objects: labels <- ground_truth, label_files, media, prediction_files, predictions, reviews, samples
outliers: similarity <- embeddings, media, object_embeddings, similarity
planned_splits: duplicates <- exact_duplicates, ground_truth, media, near_duplicates, objects, reviews, samples
prediction_files: sources <- the outside world
predictions: labels <- prediction_files, samples
published: answers <- everything
report: answers <- published
representativeness: similarity <- embeddings, media, object_embeddings, samples, similarity
review_page: sources <- the outside world
reviews: reviews <- review_page
samples: media <- label_files, reviews, source_images
selections: similarity <- embeddings, media, object_embeddings, samples, similarity
similarity: similarity <- embeddings, media, object_embeddings, samples
source_images: sources <- the outside world
table_formats: answers <- published
uniqueness: similarity <- embeddings, media, object_embeddings, similarity
vector_indexes: similarity <- embeddings, media, object_embeddings, samples, similarity
visualization: similarity <- embeddings, media, object_embeddings, samples, similarity
"""


@pytest.fixture(scope="module")
def location() -> dg.Definitions:
    return definitions()


@pytest.fixture(scope="module")
def specs(location: dg.Definitions) -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in location.resolve_all_asset_specs()}


def lineage(specs: dict[str, dg.AssetSpec]) -> str:
    lines = []
    for name, spec in specs.items():
        above = sorted(dep.asset_key.to_user_string() for dep in spec.deps)
        reads = "everything" if len(above) > MOST_READ else ", ".join(above)
        lines.append(f"{name}: {spec.group_name} <- {reads or 'the outside world'}")
    return "\n".join(sorted(lines))


def test_the_code_location_loads(location: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(location)


def test_the_lineage_is_as_drawn(specs: dict[str, dg.AssetSpec]) -> None:
    assert lineage(specs) == LINEAGE.strip()


@pytest.mark.parametrize("name", catalog.BY_NAME)
def test_every_asset_explains_itself(specs: dict[str, dg.AssetSpec], name: str) -> None:
    spec = specs[name]
    assert len(spec.description or "") > 40
    assert (spec.description or "").endswith(".")
    assert spec.group_name != "default"
    assert spec.kinds
    assert spec.code_version == catalog.BY_NAME[name].version
    assert spec.owners == ["team:data-quality"]
    assert spec.partitions_def == SERVICE.partitions


def test_every_check_explains_itself_and_is_of_one_dataset(location: dg.Definitions) -> None:
    graph = location.resolve_asset_graph()
    assert len(graph.asset_check_keys) >= sum(len(signal.checks) for signal in catalog.ALL)
    for key in graph.asset_check_keys:
        node = graph.get(key)
        assert node.partitions_def == SERVICE.partitions, key
        assert (node.description or "").endswith("."), key


def test_names_are_unique_where_they_are_shared() -> None:
    tables = [publication.table for signal in catalog.ALL for publication in signal.publishes]
    checks = [check.name for signal in catalog.ALL for check in signal.checks]
    metrics = [name for signal in catalog.ALL for name in signal.metrics]
    for names in (tables, checks, metrics):
        assert len(names) == len(set(names))


# Read as the last run left them: vectors that are kept by their content, and the files of both labels and predictions.
WRITTEN_LATER = {"vectors", "input_files", "rejected_rows"}


def test_every_asset_comes_after_what_it_reads() -> None:
    written = set(WRITTEN_LATER)
    for signal in catalog.ALL:
        assert set(signal.reads) & catalog.WRITTEN <= written | set(signal.writes), signal.name
        written |= set(signal.writes)


def test_the_service_looks_and_alerts_by_itself(location: dg.Definitions) -> None:
    sensors = {sensor.name: sensor for sensor in location.sensors or []}
    assert {"new_samples", "review_events", "finished_labels", "alert_on_failure"} <= sensors.keys()
    for sensor in sensors.values():
        assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
        assert (sensor.description or "").endswith(".")


def test_definitions_under_another_instance_say_once_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("BRAIN_HOME", str(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "elsewhere"))
    definitions()
    assert [record.message for record in caplog.records if record.name == "brain"] == [
        f"runs are recorded elsewhere than the brain command does: set DAGSTER_HOME={tmp_path}/dagster (or use 'brain up')"
    ]
    caplog.clear()
    monkeypatch.setenv("DAGSTER_HOME", str(Home(tmp_path).dagster))
    definitions()
    assert [record for record in caplog.records if record.name == "brain"] == []


@pytest.fixture(scope="module")
def refreshed(
    location: dg.Definitions, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[dg.ExecuteInProcessResult, dg.DagsterInstance]]:
    """A run of everything over three images, and where it is recorded."""
    root = tmp_path_factory.mktemp("run")
    write_pictures(root / "media", range(3))
    Workshop(root / "home", root / "media", "flowers")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setenv("BRAIN_HOME", str(root / "home"))
        with dg.DagsterInstance.ephemeral() as instance:
            instance.add_dynamic_partitions("dataset", ["flowers"])
            result = location.resolve_job_def(REFRESH.name).execute_in_process(
                instance=instance,
                partition_key="flowers",
                tags={PARTITION_TAG: "flowers"},
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
            yield result, instance


@pytest.fixture(scope="module")
def run(refreshed: tuple[dg.ExecuteInProcessResult, dg.DagsterInstance]) -> dg.ExecuteInProcessResult:
    return refreshed[0]


def test_a_run_of_everything_leaves_nothing_stale(
    refreshed: tuple[dg.ExecuteInProcessResult, dg.DagsterInstance], location: dg.Definitions
) -> None:
    result, instance = refreshed
    assert result.success
    stale = CachingStaleStatusResolver(instance, location.resolve_asset_graph(), LoadingContextForTest(instance))
    found = {name: stale.get_status(dg.AssetKey(name), "flowers") for name in catalog.BY_NAME}
    assert {name for name, status in found.items() if status != StaleStatus.FRESH} == set()


@pytest.mark.parametrize("name", catalog.BY_NAME)
def test_a_run_shows_rows_and_columns(run: dg.ExecuteInProcessResult, name: str) -> None:
    (materialization,) = run.asset_materializations_for_node(name)
    metadata = {key: value.value for key, value in materialization.metadata.items()}
    numbers = [key for key in metadata if key in catalog.BY_NAME[name].metrics]
    assert list(metadata)[: len(numbers)] == numbers
    assert {"was up to date", "rows added", "rows changed", "rows deleted"} <= metadata.keys()
    if not catalog.BY_NAME[name].publishes:
        return
    assert metadata["dagster/row_count"] >= 0
    schema = metadata["dagster/column_schema"]
    assert isinstance(schema, dg.TableSchema)
    assert [column.name for column in schema.columns if not (column.description or "").endswith(".")] == []
    assert len(schema.columns) >= 2


def test_a_run_shows_which_columns_of_others_a_column_is_made_of(run: dg.ExecuteInProcessResult) -> None:
    def made(asset: str) -> dict[str, list[str]]:
        (materialization,) = run.asset_materializations_for_node(asset)
        lineage = materialization.metadata["dagster/column_lineage"].value
        assert isinstance(lineage, dg.TableColumnLineage)
        return {
            column: [f"{dep.asset_key.to_user_string()}.{dep.column_name}" for dep in deps]
            for column, deps in lineage.deps_by_column.items()
        }

    assert made("samples")["width"] == ["media.width"]
    assert made("leaks")["sample_id"] == ["samples.sample_id"]
    assert "distance" not in made("leaks")
    assert {"label_issues.score", "image_quality.score", "near_duplicates.distance"} <= {*made("issues")["score"]}


def test_the_lineage_of_columns_is_current() -> None:
    kept = json.loads(column_lineage.FILE.read_text("utf-8"))
    assert kept == column_lineage.derived(), "run `make docs`"
    named = {one.split(".")[0] for columns in kept.values() for sources in columns.values() for one in sources}
    assert named <= catalog.BY_NAME.keys()


def test_a_run_answers_every_check(run: dg.ExecuteInProcessResult, location: dg.Definitions) -> None:
    evaluations = run.get_asset_check_evaluations()
    assert {one.asset_check_key for one in evaluations} == location.resolve_asset_graph().asset_check_keys
    assert [one.check_name for one in evaluations if not one.passed] == []


def test_a_run_without_a_partition_says_what_to_choose(location: dg.Definitions) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = location.resolve_job_def(REFRESH.name).execute_in_process(
            instance=instance,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        assert reason_of(result.all_events) == "choose one dataset (a partition) to materialize"


def refused(location: dg.Definitions, home: Path, tag: str = "{}", **settings: Any) -> str | None:
    """Return why a run that somebody launched with a tag or config failed, as Dagster's pages and API can."""
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        patch.setenv("BRAIN_HOME", str(home))
        instance.add_dynamic_partitions("dataset", ["flowers"])
        result = location.resolve_job_def(REFRESH.name).execute_in_process(
            instance=instance,
            partition_key="flowers",
            asset_selection=[dg.AssetKey("reviews")],
            tags={PARTITION_TAG: "flowers", SETTINGS_TAG: tag},
            raise_on_error=False,
            run_config={
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                "resources": {"dataset": {"config": {"settings": settings}}},
            },
        )
    return None if result.success else reason_of(result.all_events)


FREE_TEXT = [
    *("media", "labels", "predictions", "embeddings.model", "visualization.reducer", "visualization.points", "runs"),
    *("gates", "tag_settings", "object_embeddings.source", "engine"),
]


def test_a_runs_tag_sets_no_code_and_no_paths(location: dg.Definitions, tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(2))
    workshop = Workshop(tmp_path / "home", tmp_path / "media", "flowers")
    sentinel = tmp_path / "ran"
    (tmp_path / "crafted.py").write_text(f"open({str(sentinel)!r}, 'w')")
    crafted = {"embeddings.model": "python:crafted:Model"}
    for tag in (crafted, {"tag_settings": "[embeddings.model]"} | crafted):
        told = refused(location, workshop.home.root, json.dumps(tag))
        assert told is not None
        assert told.startswith("the run's tag or config sets"), told
    for text in ("{", '{"similarity.k": 3}'):
        assert "must be JSON" in str(refused(location, workshop.home.root, text))
    assert not sentinel.exists()
    assert refused(location, workshop.home.root, json.dumps({"similarity.k": "3", "uniqueness.mode": "compat"})) is None


def test_dataset_yaml_allows_a_tag_by_name(location: dg.Definitions, tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(2))
    allowed = {"tag_settings": ["embeddings.model", "tag_settings"]}
    workshop = Workshop(tmp_path / "home", tmp_path / "media", "flowers", **allowed)
    tag = {"embeddings.model": "python:tests.models:Pixels"}
    assert refused(location, workshop.home.root, json.dumps(tag)) is None
    told = refused(location, workshop.home.root, json.dumps(tag | {"visualization.reducer": "os:system"}))
    assert told is not None
    assert "'visualization.reducer'" in told
    assert "'tag_settings'" in str(refused(location, workshop.home.root, json.dumps({"tag_settings": "[media]"})))


def test_the_launchpad_offers_what_any_run_may_set_and_nothing_else(location: dg.Definitions, tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(2))
    home = Workshop(tmp_path / "home", tmp_path / "media", "flowers", tag_settings=["visualization.points"]).home.root
    assert refused(location, home, similarity={"k": 3}, near_duplicates={"keep": ["size"]}, frames="key") is None
    assert "must be at most 200" in str(refused(location, home, similarity={"k": 300}))
    assert refused(location, home, other={"visualization.points": "points.csv"}) is None
    # That each of these is kept from runs, the next but one test sees.
    for key in ("media", "embeddings.model"):
        assert str(refused(location, home, other={key: "x"})).startswith("the run's tag or config sets"), key
    for wrong in ({"embeddings": {"model": "python:crafted:Model"}}, {"similarity": {"metric": "hamming"}}):
        with pytest.raises(dg.DagsterInvalidConfigError):
            refused(location, home, **wrong)


def _keys(config: Any, prefix: str = "") -> Iterator[str]:
    for name, field in config.model_fields.items():
        (inner, *_) = [part for part in get_args(field.annotation) if part is not type(None)] or [None]
        if isinstance(inner, type) and issubclass(inner, dg.Config):
            yield from _keys(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def test_every_plain_setting_is_in_the_launchpad() -> None:
    plain = {key for key, field in fields(DatasetSettings) if is_plain(field.annotation)}
    assert set(_keys(RunSettings)) == plain | {"other"}


def test_every_setting_of_free_text_is_kept_from_tags(tmp_path: Path) -> None:
    """A setting that comes later is judged by its type, so that nobody has to remember it."""
    path = tmp_path / "dataset.yaml"
    path.write_text("media: /nowhere")
    free = set()
    for key, _ in fields(DatasetSettings):
        try:
            check_sent(path, {key: "x"})
        except ConfigurationError:
            free.add(key)
    assert set(FREE_TEXT) <= free
    assert {"similarity.k", "frames", "split_from", "near_duplicates.threshold", "near_duplicates.keep"}.isdisjoint(
        free
    )
