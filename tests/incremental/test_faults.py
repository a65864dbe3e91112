"""What was once wrong with the word "up to date" beside it."""

import json
from functools import partial
from pathlib import Path

import pytest

from brain_assets.app.status import status, summary
from brain_assets.assets.declarations import check_declaration
from brain_assets.resources import dataset
from brain_assets.resources.dataset import Opening, open_dataset
from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.settings.configuration import load_dataset
from brain_assets.resources.store.store import Store
from tests.workshop import WHOLE, Workshop, assert_equals_rebuild, give_calibrations, write_pictures

NARROWED = ("uniqueness", "outliers", "near_duplicates", "visualization", "label_issues")
HARDNESS = ("samples", "media", "predictions", "hardness", "published")
NEIGHBORS = ("samples", "media", "ground_truth", "embeddings", "exact_duplicates", "similarity")
CONDITIONED = (*NEIGHBORS, *NARROWED, "representativeness", "published")
COPIES = (*NEIGHBORS, "near_duplicates", "leaks", "issues", "health", "published")


def write_rows(path: Path, rows: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def compare(workshop: Workshop, rebuild: Workshop) -> None:
    give_calibrations(workshop, rebuild)
    rebuild.run()
    assert_equals_rebuild(workshop, rebuild)
    assert workshop.wrong() == {}


def test_a_class_that_waits_for_its_image_counts_for_hardness_by_confidence(tmp_path: Path) -> None:
    names = [path.name for path in write_pictures(tmp_path / "media", range(4))]
    predictions = [{"uri": str(tmp_path / "predictions")}]
    workshop = Workshop(tmp_path / "home", tmp_path / "media", select=HARDNESS, predictions=predictions)
    sure = [{"filepath": name, "label": "cat" if at % 2 else "dog", "confidence": 0.6} for at, name in enumerate(names)]
    write_rows(tmp_path / "predictions" / "net.jsonl", sure)
    workshop.run()
    before = workshop.rows("select hardness from hardness")
    write_rows(
        tmp_path / "predictions" / "other.jsonl", [{"filepath": "arrives.png", "label": "owl", "confidence": 0.9}]
    )
    workshop.run()
    assert workshop.rows("select hardness from hardness") != before
    compare(workshop, Workshop(tmp_path / "rebuild", tmp_path / "media", select=HARDNESS, predictions=predictions))


def test_samples_that_move_into_a_condition_are_scored_in_every_run(tmp_path: Path) -> None:
    media = tmp_path / "media"
    for split, seeds in (("train", range(8)), ("test", range(8, 14))):
        write_pictures(media / split, seeds)
    rows = [
        {"filepath": str(path.relative_to(media)), "label": "ab"[path.stem > "00006"]} for path in media.rglob("*.png")
    ]
    write_rows(tmp_path / "labels.jsonl", rows)
    where = {"where": "split = 'train'"}
    runs = [{"brain_key": f"part_{method}", "method": method, **where} for method in (*NARROWED, "representativeness")]
    declared = {
        "split_from": "folder",
        "runs": runs,
        "labels": [{"uri": str(tmp_path / "labels.jsonl")}],
        "representativeness": {"clusters": 2},
    }
    workshop = Workshop(tmp_path / "home", media, select=CONDITIONED, **declared)
    workshop.run()
    inside = "sample_id in (select sample_id from samples where split = 'train')"
    for table, key in (
        ("uniqueness", "part_uniqueness"),
        ("outliers", "part_outliers"),
        ("visualization", "part_visualization"),
    ):
        assert workshop.rows(f"select count(*), count_if({inside}) from {table} where brain_key = '{key}'") == [(8, 8)]
    listed = "select count(*) from neighbors where brain_key = 'part_uniqueness_neighbors'"
    assert workshop.rows(listed) == [(8 * 7,)]
    for path in sorted((media / "test").iterdir())[:3]:
        path.rename(media / "train" / path.name)
    write_pictures(media / "train", [30])
    workshop.run()
    assert workshop.rows("select count(*) from representativeness where brain_key = 'part_representativeness'") == [
        (12,)
    ]
    compare(workshop, Workshop(tmp_path / "rebuild", media, select=CONDITIONED, **declared))


@pytest.mark.parametrize(
    ("run", "says"),
    [
        ({"method": "uniqueness", "where": "nonsense ("}, "run 'mine': where: Parser Error"),
        ({"method": "outliers", "where": "no_such > 1"}, "run 'mine': where: Binder Error.*no_such"),
        ({"method": "embeddings", "parameters": {"k": 3}}, "run 'mine': embeddings does not use 'parameters'"),
        ({"method": "embeddings", "where": "true"}, "run 'mine': embeddings does not use 'where'"),
        ({"method": "leaks"}, "unknown method 'leaks'"),
    ],
)
def test_a_setting_that_a_run_does_not_use_is_an_error(tmp_path: Path, run: dict[str, object], says: str) -> None:
    workshop = Workshop(tmp_path / "home", tmp_path, runs=[{"brain_key": "mine", **run}])
    with pytest.raises(ConfigurationError, match=says) as caught:
        check_declaration(load_dataset(workshop.paths.config).settings)
    assert "\n" not in str(caught.value)


def test_a_condition_that_never_ends_fails_its_run_alone_and_is_told(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(4))
    greedy = "len((select string_agg(repeat(md5(i::varchar), 99), '') from range(99000000) as r(i))) > 0"
    conditions = {"endless": "(select count(*) from range(10000000000000)) > 0", "greedy": greedy, "sound": "true"}
    runs = [{"brain_key": key, "method": "similarity", "where": where} for key, where in conditions.items()]
    workshop = Workshop(tmp_path / "home", tmp_path / "media", runs=runs)
    (workshop.home.root / "settings.yaml").write_text("condition_seconds: 2\nmemory: 64MB\nspill: 1MB\n")
    failed = workshop.run(("samples", "media", "embeddings", "similarity", "published"))["similarity"].failed
    assert failed.keys() == {"endless", "greedy"}
    assert failed["endless"] == (
        "run endless of similarity: its where took longer than 2 seconds: make it simpler, or raise `condition_seconds`"
        " in settings.yaml"
    )
    assert failed["greedy"].startswith("run greedy of similarity: its where")
    found = workshop.rows("select brain_key, count(*) from neighbors group by 1 order by 1")
    assert found == [("neighbors", 12), ("sound", 12)]


def test_an_update_that_runs_out_of_memory_is_begun_again_with_more_and_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "media").mkdir()
    for path in write_pictures(tmp_path / "one", range(1)):
        for number in range(12_000):
            (tmp_path / "media" / f"{number:06}.png").symlink_to(path)
    rows = [{"filepath": f"{number:06}.png", "label": "ab"[number % 2]} for number in range(12_000)]
    write_rows(tmp_path / "labels.jsonl", rows)
    chosen, settings = ("samples", "ground_truth"), {"labels": [{"uri": str(tmp_path / "labels.jsonl")}]}
    small = partial(Store, memory="12MB", may_grow=True)
    monkeypatch.setattr(dataset, "Store", lambda path, memory, spill, *, may_grow: small(path, spill=spill))
    workshop = Workshop(tmp_path / "home", tmp_path / "media", select=chosen, **settings)
    notes = [report.notes for report in workshop.run().values()]
    assert any("memory of the database" in note for note in notes)
    with open_dataset(workshop.home, workshop.name, Opening("run", "test", frozenset(chosen))) as opened:
        assert opened.store.value("select count(*) from ground_truth") == 12_000
        assert opened.store.value("select count(*) from runs where state != 'done'") == 0


def test_a_declared_run_that_fails_stops_nothing_else_and_is_named(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(12))
    wrong = {"method": "custom", "reducer": "tests.incremental.test_faults:takes_nothing"}
    # Of these not even the version of the model can be told.
    absent = [
        {"brain_key": f"absent_{method}", "method": method, "model": "python:tests.no_such_module:Model"}
        for method in ("embeddings", "object_embeddings")
    ]
    runs = [{"brain_key": "odd", "method": "visualization", "parameters": wrong}, *absent]
    workshop = Workshop(tmp_path / "home", tmp_path / "media", runs=runs)
    reports = workshop.run(WHOLE)
    for key, method in (("odd", "visualization"), *((run["brain_key"], run["method"]) for run in absent)):
        assert list(reports[method].failed) == [key]
    assert workshop.rows("select brain_key from visualization group by 1") == [("visualization",)]
    found = status(workshop.home, "test")["failed_runs"]
    assert {one.partition(":")[0] for one in found} == {
        "odd of visualization",
        *(f"{run['brain_key']} of {run['method']}" for run in absent),
    }
    assert "the run odd of visualization" in summary(workshop.home, "test")
    assert "odd of visualization" in workshop.paths.report.read_text()


def takes_nothing() -> None:
    """Stand for a reducer with a wrong signature."""


def test_what_two_runs_find_counts_once(tmp_path: Path) -> None:
    media = tmp_path / "media"
    for split in ("train", "test"):
        write_pictures(media / split, range(3))
        write_pictures(media / split, [{"train": 10, "test": 20}[split]])
    settings = {"split_from": "folder", "near_duplicates": {"threshold": 0.2}}
    workshop = Workshop(tmp_path / "home", media, select=COPIES, **settings)
    workshop.run()
    query = (
        "select metric, arg_max(value, \"at\") from health where metric like 'issue_%' or metric = 'leaks' group by all"
    )
    once = dict(workshop.rows(query))
    assert once["issue_leak"] == once["leaks"] == 6
    runs = [{"brain_key": "again", "method": "near_duplicates", "parameters": {"threshold": 0.3}}]
    workshop.declare(media=str(media), embeddings={"model": "python:tests.models:Pixels"}, runs=runs, **settings)
    workshop.run()
    twice = dict(workshop.rows(query))
    assert {name: twice[name] for name in once} == once
    assert dict(workshop.rows("select brain_key, count(distinct sample_id) from leaks group by 1"))["again_leaks"] >= 6
    assert workshop.rows("select count(*) from health where metric = 'leaks.again_leaks'") == [(1,)]
