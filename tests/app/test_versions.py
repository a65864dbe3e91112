"""What was published before: asked by SQL and Python, tagged, and compared with reasons."""

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from brain_assets.app.api import DatasetReader
from brain_assets.app.cli import main
from brain_assets.resources.errors import MissingError
from brain_assets.resources.store.events import Event, Events
from brain_assets.review import create_app, sets
from tests.review.client import TOKEN, Client
from tests.workshop import Workshop, write_pictures

ASSETS = (
    "reviews", "samples", "media", "ground_truth", "exact_duplicates", "image_quality", "issues", "health", "published",
)  # fmt: skip


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Four versions: 1 as it came; 2 with a copy, without a file, one renamed; 3 as a reviewer left it; 4 with other settings."""
    root = tmp_path_factory.mktemp("versions")
    media = root / "media"
    write_pictures(media, range(8))
    labels = [f"{seed:05}.png,{'cat' if seed % 2 else 'dog'}" for seed in range(8)]
    (root / "labels.csv").write_text("\n".join(["filepath,label", *labels]))
    declared = {"labels": [{"uri": str(root / "labels.csv")}]}
    found = Workshop(root / "home", media, **declared)
    found.run(ASSETS)
    (media / "copy.png").write_bytes((media / "00001.png").read_bytes())
    (media / "00002.png").unlink()
    (media / "00003.png").rename(media / "moved.png")
    (root / "labels.csv").write_text(
        "\n".join(["filepath,label", *labels, "moved.png,cat"]).replace("00004.png,dog", "00004.png,owl")
    )
    found.run(ASSETS)
    contents = {row[0]: row[1:] for row in found.rows("select filepath, sample_id, content_hash from samples")}
    events = Events(found.paths.events)
    events.append(Event("drop", "ann"), [contents["00005.png"]])
    events.append(Event("relabel", "bob", "cat"), [contents["00006.png"]])
    found.run(ASSETS)
    found.declare(
        media=str(media), embeddings={"model": "python:tests.models:Pixels"}, **declared,
        image_quality={"thresholds": {"dark": 0.9}},
    )  # fmt: skip
    found.run(ASSETS)
    return found


def brain(workshop: Workshop, *words: str) -> Result:
    return CliRunner().invoke(main, ["--home", str(workshop.home.root), *words])


def told(workshop: Workshop, *words: str) -> list[str]:
    result = brain(workshop, "diff", "test", *words)
    assert result.exit_code == 0, result.output
    return [line.strip() for line in result.output.splitlines()]


def test_sql_and_python_answer_of_what_was_published(workshop: Workshop) -> None:
    listed = json.loads(brain(workshop, "versions", "test", "--format", "json").output)
    assert [(one["version"], one["samples"]) for one in listed] == [(4, 8), (3, 8), (2, 8), (1, 8)]
    query = "select string_agg(filepath, ' ' order by filepath) as files from samples where filepath not like '0%'"
    answers = {
        spec: json.loads(brain(workshop, "sql", "test", query, "--at", spec, "--format", "json").output)[0]["files"]
        for spec in ("1", "2", "current")
    }
    assert answers == {"1": None, "2": "copy.png moved.png", "current": "copy.png moved.png"}
    assert brain(workshop, "tag", "test", "1", "as-it-came").exit_code == 0
    with DatasetReader(workshop.name, str(workshop.home.root)) as dataset, dataset.at("as-it-came") as past:
        assert past.version.number == 1
        assert past.table("exact_duplicates").count("*").fetchall() == [(0,)]
        assert dataset.table("exact_duplicates").count("*").fetchall() == [(2,)]
        assert [one[2] for one in dataset.versions().fetchall()] == [[], [], [], ["as-it-came"]]
        with pytest.raises(MissingError, match="no version 'as-it'"):
            dataset.at("as-it")
    refused = brain(workshop, "sql", "test", "from read_text('/etc/hostname')", "--at", "1")
    assert refused.exit_code == 1
    assert "ermission" in refused.output


def test_the_page_shows_what_was_published(workshop: Workshop) -> None:
    page = Client(create_app(workshop.home.root, token=TOKEN), workshop.name).sign_in()
    assert [one["number"] for one in page.get("versions").json()] == [4, 3, 2, 1]
    now, then = page.get("overview").json(), page.get("overview", at="1").json()
    assert (now["past"], then["past"][:12]) == (None, "version 1 of")
    assert page.get("overview", at="4").json()["version"] == now["version"]
    assert len(page.found(version=then["version"], where="filepath = '00002.png'")) == 1
    assert page.found(version=now["version"], where="filepath = '00002.png'") == []
    (row,) = page.post("rows", {"version": then["version"], "positions": [0]}).json()
    refused = page.post("say", {"version": then["version"], "kind": "drop", "ids": [row["subject_id"]]})
    assert (refused.status, "go back to now" in refused.json()["error"]) == (409, True)
    assert page.get("overview", at="before-all").status == 404
    # What it can read is that version, and no file beside it.
    asked = {"version": then["version"], "where": "exists (from read_text('/etc/hostname'))"}
    assert page.post("find", asked).status == 422


def test_a_version_that_nobody_looks_at_any_more_is_let_go(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "IDLE_SECONDS", 0.1)
    opened = sets.Sets(workshop.home)
    with opened.use(workshop.name, opened.past_version(workshop.name, "1")) as past:
        assert past.count("images") == 8
    assert len(opened.held) == 1
    deadline = time.monotonic() + 30
    while opened.held:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_difference_says_what_and_why(workshop: Workshop) -> None:
    first = told(workshop, "1", "2")
    assert first[0].startswith("version 1 of ")
    assert "samples: 2 came, 2 went" in first
    assert {"1 came: arrived (copy.png)", "1 came: moved from 00003.png (moved.png)"} <= set(first)
    assert {"1 went: moved to moved.png (00003.png)", "1 went: no longer in the source (00002.png)"} <= set(first)
    assert "1 changed: a file of labels (00004.png)" in first
    assert "1 exact_duplicate came: its image came: arrived (copy.png)" in first
    second = told(workshop, "2", "3")
    assert "1 changed: drop by ann (00005.png)" in second
    assert "1 changed: relabel by bob (00006.png)" in second
    assert "dropped: 0 -> 1" in second
    third = told(workshop, "3")
    assert "image_quality.thresholds.dark: none -> 0.9" in third
    assert any("dark came: " in line and "thresholds.dark" in line for line in third), third
    assert told(workshop, "4", "current")[1:] == ["nothing is different"]


def test_a_difference_for_machines_has_all_of_it(workshop: Workshop, tmp_path: Path) -> None:
    found = json.loads(brain(workshop, "diff", "test", "1", "3", "--json").output)
    assert (found["from"]["version"], found["to"]["version"]) == (1, 3)
    assert {one["filepath"]: one["change"] for one in found["samples"]} == {
        "copy.png": "came", "moved.png": "came", "00002.png": "went", "00003.png": "went", "00005.png": "changed",
    }  # fmt: skip
    assert found["numbers"]["dropped"] == {"before": 0.0, "after": 1.0}
    assert found["tables"]["samples"] == {"came": 3, "went": 3}
    with DatasetReader(workshop.name, str(workshop.home.root)) as dataset:
        assert json.loads(json.dumps(dataset.diff(1, 3).as_json(), default=str)) == found
    rows = json.loads(brain(workshop, "diff", "test", "1", "2", "--table", "samples", "--format", "json").output)
    assert sorted((one["filepath"], one["_count"]) for one in rows) == [
        ("00002.png", -1), ("00003.png", -1), ("copy.png", 1), ("moved.png", 1),
    ]  # fmt: skip


def test_two_datasets_are_compared_by_paths_and_contents(workshop: Workshop, tmp_path: Path) -> None:
    media = tmp_path / "media"
    write_pictures(media, [0, 1, 4, 20])
    (media / "00004.png").write_bytes((media / "00020.png").read_bytes())
    (media / "00020.png").unlink()
    (media / "00000.png").rename(media / "zero.png")
    (tmp_path / "labels.csv").write_text("filepath,label\n00001.png,owl\nzero.png,dog\n")
    labels = [{"uri": str(tmp_path / "labels.csv")}]
    Workshop(workshop.home.root, media, "other", labels=labels).run(ASSETS)
    lines = told(workshop, "other")
    assert lines[0].startswith("test, version 4 of ")
    assert " -> other, version 1 of " in lines[0]
    assert {"1 came: is 00000.png in test (zero.png)", "1 went: is zero.png in other (00000.png)"} <= set(lines)
    assert any(line.startswith("5 went: in test alone (") for line in lines), lines
    assert {"1 changed: another content (00004.png)", "1 changed: a file of labels (00001.png)"} <= set(lines)
    found = json.loads(brain(workshop, "diff", "test", "other", "--json").output)
    assert (found["from"]["dataset"], found["to"]["dataset"], found["tables"]) == ("test", "other", {})
    with DatasetReader("other", str(workshop.home.root)) as dataset:
        back = dataset.diff("test").as_json()
    assert sorted(one["change"] for one in back["samples"]) == ["came"] * 6 + ["changed", "went"]
    rows = json.loads(brain(workshop, "diff", "test", "other", "--table", "ground_truth", "--format", "json").output)
    assert sum(one["_count"] > 0 for one in rows) == 2
    assert "no version 'nobody'" in brain(workshop, "diff", "test", "nobody").output
    assert "no version 'other'" in brain(workshop, "diff", "test", "other", "3").output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("diff", "test", "3", "2"), "version 3 is later than 2: name the older one first"),
        (("diff", "test", "yesterday"), "there is no version 'yesterday'"),
        (("diff", "test", "1", "2", "--table", "sample"), "there is no table 'sample'"),
        (("tag", "test", "2", "2026-11-11"), "a tag is a word"),
        (("tag", "test", "2"), "say brain tag NAME VERSION TAG"),
        (("sql", "test", "from samples", "--at", "1999-01-01"), "nothing of 1999-01-01 is kept"),
    ],
)
def test_what_cannot_be_told_is_one_line(workshop: Workshop, words: tuple[str, ...], said: str) -> None:
    found = brain(workshop, *words)
    assert found.exit_code in {1, 2}
    assert said in " ".join(found.output.split())


def test_a_run_with_nothing_new_makes_no_version(workshop: Workshop) -> None:
    before = workshop.rows("select count(*) from runs")
    workshop.run(("samples", "published"))
    assert brain(workshop, "versions", "test", "--format", "csv").output.count("\n") == 5
    assert workshop.rows("select count(*) from runs") == before
