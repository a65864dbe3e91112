"""What Dagster is told of data: versions that change exactly when tables do, and marks of staleness that are right."""

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from brain_assets.assets import catalog, versions
from brain_assets.assets.lineage import REFRESH
from brain_assets.assets.place import PARTITION_TAG
from brain_assets.assets.sources import SOURCES
from brain_assets.definitions import definitions
from brain_assets.incremental.tables import open_with_tables
from brain_assets.resources.dataset import Opening
from brain_assets.resources.settings.home import Home
from brain_assets.resources.store.store import UNCOMPARED
from tests.workshop import Workshop, encoded, picture, write_pictures

# A chain of assets; that a run of all leaves none stale is seen in test_definitions.
SOME = ("reviews", "samples", "media", "ground_truth", "predictions", "embeddings", "similarity", "uniqueness")
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class Told:
    """The data version and the content of every asset, as they are after a run."""

    def __init__(self, workshop: Workshop) -> None:
        self.versions: dict[str, str] = {}
        self.contents: dict[str, Any] = {}
        with open_with_tables(workshop.home, workshop.name, Opening("look", "test"), catalog.ALL) as dataset:
            for signal in catalog.ALL:
                self.versions[signal.name] = versions.data_version(signal, dataset)
                keys = {run.brain_key for run in signal.method_runs(dataset)}
                self.contents[signal.name] = [
                    sorted(repr(row) for row in self._rows(dataset, table, keys))
                    for table in (versions._tables(signal, dataset) if signal.writes else ())
                ]

    def _rows(self, dataset: Any, table: str, keys: set[str]) -> Iterator[dict[str, Any]]:
        shared = sum(table in signal.writes for signal in catalog.ALL) > 1
        for row in dataset.store.query(f"select * from {table}").to_pylist():
            if not shared or row["brain_key"] in keys:
                yield {name: value for name, value in row.items() if name not in UNCOMPARED}


def copy_and_delete(media: Path, chance: random.Random) -> None:
    paths = sorted(media.glob("*.png"))
    (media / "copy.png").write_bytes(paths[0].read_bytes())
    chance.choice(paths[1:]).unlink()


def relabel(media: Path, chance: random.Random) -> None:
    names = [path.name for path in sorted(media.glob("*.png"))]
    lines = [f"{name},{chance.choice(['cat', 'dog'])}" for name in names]
    (media.parent / "labels.csv").write_text("\n".join(["filepath,label", *lines]) + "\n")


def touch(media: Path, _: random.Random) -> None:
    os.utime(sorted(media.glob("*.png"))[0])


def labelled(tmp_path: Path) -> Workshop:
    write_pictures(tmp_path / "media", range(5))
    relabel(tmp_path / "media", random.Random(0))
    return Workshop(tmp_path / "home", tmp_path / "media", labels=[{"uri": str(tmp_path / "labels.csv")}])


@pytest.mark.slow
def test_a_version_changes_exactly_when_its_tables_do(tmp_path: Path) -> None:
    chance, workshop = random.Random(1), labelled(tmp_path)
    workshop.run()
    before = Told(workshop)
    moved: set[str] = set()
    for step in (touch, relabel, copy_and_delete):
        step(tmp_path / "media", chance)
        workshop.run()
        after = Told(workshop)
        for name in after.versions:
            if not catalog.BY_NAME[name].writes:
                continue
            changed = before.contents[name] != after.contents[name]
            assert (before.versions[name] != after.versions[name]) == changed, (step.__name__, name)
            moved |= {name} if changed else set()
        before = after
    assert {"samples", "similarity", "issues"} <= moved
    # A rebuild has the same versions of what it computes the same.
    workshop.paths.store.unlink()
    workshop.run()
    after = Told(workshop)
    for name in ("samples", "ground_truth", "hardness", "issues", "exact_duplicates"):
        assert (before.versions[name] == after.versions[name]) == (before.contents[name] == after.contents[name]), name


class Pages:
    """Runs recorded in an instance, and what Dagster's pages would mark as stale."""

    def __init__(self, home: Home, instance: dg.DagsterInstance) -> None:
        self.home, self.instance, self.location = home, instance, definitions()

    def run(self, *assets: str, config: dict[str, Any] | None = None, name: str = "test") -> dg.ExecuteInProcessResult:
        self.instance.add_dynamic_partitions("dataset", [name])
        return self.location.resolve_job_def(REFRESH.name).execute_in_process(
            instance=self.instance,
            partition_key=name,
            asset_selection=[dg.AssetKey(asset) for asset in assets] or None,
            tags={PARTITION_TAG: name},
            run_config=QUIET | ({"resources": {"dataset": {"config": {"settings": config}}}} if config else {}),
            raise_on_error=False,
        )

    def stale(self, name: str = "test") -> set[str]:
        graph = self.location.resolve_asset_graph()
        resolver = CachingStaleStatusResolver(self.instance, graph, LoadingContextForTest(self.instance))
        found = {asset: resolver.get_status(dg.AssetKey(asset), name) for asset in catalog.BY_NAME}
        return {asset for asset, status in found.items() if status != StaleStatus.FRESH}

    def versions(self) -> dict[str, str]:
        records = self.instance.get_latest_data_version_record
        found = {source.name: records(dg.AssetKey(source.name), True, "test") for source in SOURCES}
        assert all(found.values())
        return {
            name: str((record.event_log_entry.tags or {})["dagster/data_version"])
            for name, record in found.items()
            if record
        }


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pages]:
    workshop = labelled(tmp_path)
    monkeypatch.setenv("BRAIN_HOME", str(workshop.home.root))
    with dg.DagsterInstance.ephemeral() as instance:
        yield Pages(workshop.home, instance)


def test_marks_of_staleness_are_right_after_partial_runs(pages: Pages, tmp_path: Path) -> None:
    assert pages.run(*SOME).success
    assert pages.stale().isdisjoint(SOME)
    first = pages.versions()
    (tmp_path / "media" / "00001.png").write_bytes(encoded(picture(77)))
    assert pages.run("samples").success
    after = pages.versions()
    assert {name for name in first if first[name] != after[name]} == {"source_images"}
    stale = pages.stale()
    assert {"media", "ground_truth", "exact_duplicates"} <= stale
    assert "samples" not in stale
    assert pages.run("media").success
    assert "media" not in pages.stale()
    assert "embeddings" in pages.stale()
    assert pages.run(*SOME[2:]).success
    assert pages.stale().isdisjoint(SOME)
    assert pages.run("uniqueness").success
    assert pages.stale().isdisjoint(SOME)
