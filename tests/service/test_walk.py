"""The service walked as its pages walk it, by GraphQL: a run from the launchpad, marks of staleness, a run that is cancelled."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brain_assets.assets import catalog
from brain_assets.resources.settings.home import Home
from tests.service.test_daemon import Service
from tests.workshop import Workshop, write_pictures

LOCATIONS = """query { repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"""
PARTITION = """mutation($key: String!, $at: RepositorySelector!) {
    addDynamicPartition(partitionsDefName: "dataset", partitionKey: $key, repositorySelector: $at) { __typename } }"""
LAUNCH = """mutation($params: ExecutionParams!) { launchPipelineExecution(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } } } }"""
STATUS = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
STALE = """query { assetNodes { assetKey { path } staleStatusByPartition(partitions: ["flowers"]) } }"""
MADE_OF = """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
    assetMaterializations(limit: 1) { metadataEntries { label ... on TableColumnLineageMetadataEntry {
    lineage { columnName columnDeps { assetKey { path } columnName } } } } } } } }"""
CANCEL = """mutation($id: String!) { terminateRun(runId: $id) { __typename } }"""


class Pages:
    """What Dagster's pages do with the dataset `flowers`."""

    def __init__(self, service: Service) -> None:
        self.service = service
        service.wait(lambda: self._places(), "the code location")
        (place,) = self._places()
        self.at = {"repositoryName": place["name"], "repositoryLocationName": place["location"]["name"]}
        assert self.ask(PARTITION, key="flowers", at=self.at)["addDynamicPartition"]["__typename"] != "PythonError"

    def _places(self) -> list[dict[str, Any]]:
        return self.ask(LOCATIONS)["repositoriesOrError"].get("nodes", [])

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        return self.service.query(query, variables)

    def launch(self, *assets: str, **settings: Any) -> str:
        """Start a run of some assets, or of all, as the launchpad does; return its id."""
        chosen = assets or tuple(catalog.BY_NAME)
        selector = {**self.at, "pipelineName": "refresh", "assetSelection": [{"path": [name]} for name in chosen]}
        params = {
            "selector": selector,
            "mode": "default",
            "runConfigData": json.dumps(
                {"resources": {"dataset": {"config": {"settings": settings}}}} if settings else {}
            ),
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": "flowers"}]},
        }
        answer = self.ask(LAUNCH, params=params)["launchPipelineExecution"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def ends(self, run: str, status: str) -> None:
        self.service.wait(lambda: self.status(run) in {"SUCCESS", "FAILURE", "CANCELED"}, f"run {run}")
        assert self.status(run) == status

    def status(self, run: str) -> str:
        return str(self.ask(STATUS, id=run)["runOrError"]["status"])

    def made_of(self, asset: str) -> dict[str, list[str]]:
        """Return what the page of an asset says of where its columns come from."""
        (newest,) = self.ask(MADE_OF, key={"path": [asset]})["assetNodeOrError"]["assetMaterializations"]
        (told,) = [one["lineage"] for one in newest["metadataEntries"] if one["label"] == "dagster/column_lineage"]
        return {
            one["columnName"]: [f"{dep['assetKey']['path'][-1]}.{dep['columnName']}" for dep in one["columnDeps"]]
            for one in told
        }

    def stale(self) -> set[str]:
        nodes = self.ask(STALE)["assetNodes"]
        return {one["assetKey"]["path"][-1] for one in nodes if one["staleStatusByPartition"] == ["STALE"]}


@pytest.fixture
def hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file while which is there no run gets beyond embedding."""
    monkeypatch.setenv("BRAIN_TEST_HOLD", str(tmp_path / "hold"))
    return tmp_path / "hold"


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    write_pictures(tmp_path / "media", range(6))
    held = {"model": "python:tests.models:Held"}
    return Workshop(tmp_path / "home", tmp_path / "media", "flowers", sensor={"enabled": False}, embeddings=held)


@pytest.fixture
def pages(workshop: Workshop, hold: Path, tmp_path: Path) -> Iterator[Pages]:
    service = Service(Home(workshop.home.root), tmp_path / "service.log")
    try:
        yield Pages(service)
    finally:
        service.stop()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_pages_start_runs_with_settings_mark_what_is_stale_and_cancel(
    pages: Pages, workshop: Workshop, hold: Path, tmp_path: Path
) -> None:
    pages.ends(pages.launch(), "SUCCESS")
    assert pages.stale() == set()
    assert pages.made_of("samples")["width"] == ["media.width"]
    assert "outliers.raw" in pages.made_of("issues")["score"]

    pages.ends(pages.launch("similarity", "published", similarity={"k": 3}), "SUCCESS")
    assert workshop.rows("select max(rank) from neighbors") == [(3,)]
    assert workshop.rows("select state from runs where method = 'similarity' order by started_at desc limit 1") == [
        ("done",)
    ]
    stale = pages.stale()
    assert "uniqueness" in stale
    assert not {"samples", "media", "similarity"} & stale

    hold.touch()
    write_pictures(tmp_path / "media", range(100, 103))
    run = pages.launch()
    pages.service.wait(lambda: pages.status(run) == "STARTED", "the run to start")
    pages.service.wait(lambda: "media" in pages.stale(), "new samples")
    assert pages.ask(CANCEL, id=run)["terminateRun"]["__typename"] == "TerminateRunSuccess"
    pages.ends(run, "CANCELED")
    assert workshop.rows("select count(*) from samples") == [(6,)]
    hold.unlink()

    pages.ends(pages.launch(), "SUCCESS")
    assert workshop.rows("select count(*) from uniqueness") == [(9,)]
    assert pages.stale() == set()
