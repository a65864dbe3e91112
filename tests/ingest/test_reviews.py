"""What people say on the review page counts in the tables at the cost of what was said, and is undone without a trace."""

import json
import sqlite3
from pathlib import Path

import pytest
import yaml

from brain_assets.resources.errors import SourceError
from brain_assets.resources.store.events import Event, EventKind, Events
from brain_assets.review import create_app
from tests import models
from tests.review.client import TOKEN, Client
from tests.templates import Snapshot
from tests.workshop import (
    TABLES,
    Workshop,
    assert_equals_rebuild,
    encoded,
    give_calibrations,
    give_events,
    picture,
    tables_naming,
    write_pictures,
)

# Where a dropped sample is still named: what it is, and what was said of it.
LISTS = {"samples", "tags", "tag_history", "decisions"}
EVERY_OTHER_TABLE_WITH_SAMPLES = {
    *("embeddings", "neighbors", "uniqueness", "outliers", "representativeness", "visualization", "image_quality"),
    *("exact_duplicates", "near_duplicates", "components", "pairs", "leaks", "selections", "issues"),
    *("ground_truth", "predictions", "hardness", "mistakenness", "objects", "object_mistakenness"),
}
EVERY_TABLE_WITH_OBJECTS = {"objects", "embeddings", "neighbors", "uniqueness", "object_mistakenness"}
# What needs no vectors, for the tests that are not about them.
QUICK = (
    *("reviews", "samples", "media", "ground_truth", "predictions", "hardness", "objects", "object_mistakenness"),
    *("mistakenness", "issues", "health", "published"),
)
MISTAKES = "select coalesce(object_id, sample_id) from issues where issue = 'label_mistake'"
COUNT = 14


def declared(root: Path, home: str = "home") -> Workshop:
    return Workshop(
        root / home,
        root / "media",
        select=QUICK,
        split_from="folder",
        similarity={"k": 4},
        labels=[{"uri": str(root / "labels.csv")}, {"uri": str(root / "coco.json")}],
        predictions=[{"uri": str(root / "net.csv")}, {"uri": str(root / "found.json"), "model": "detector"}],
        runs=[
            {"brain_key": "first", "method": "selections", "parameters": {"count": 50}},
            {"brain_key": "crops", "method": "object_embeddings"},
            {"brain_key": "alike", "method": "similarity", "embeddings": "crops", "parameters": {"k": 1}},
            {"brain_key": "odd_crops", "method": "uniqueness", "similarity": "alike"},
        ],
        image_quality={"thresholds": {"dark": 0.99}},
    )


def written(folder: Path) -> Path:
    """Write images in two splits, with labels, predictions and objects; a model contradicts 00000, which is copied and leaks."""
    write_pictures(folder / "media" / "train", range(COUNT))
    write_pictures(folder / "media" / "test", [0])
    names = [f"train/{number:05}.png" for number in range(COUNT)]
    rows = "".join(f"{name},{'cat' if number % 2 else 'dog'}\n" for number, name in enumerate(names))
    (folder / "labels.csv").write_text("filepath,label\n" + rows)
    rows = "".join(f"{name},cat,0.9\n" for name in names)
    (folder / "net.csv").write_text("filepath,label,confidence\n" + rows)
    images = [{"id": number, "file_name": name, "width": 20, "height": 16} for number, name in enumerate(names)]
    boxes = [
        {"id": n, "image_id": n, "category_id": 1, "bbox": [2, 2, 8, 8], "area": 64, "iscrowd": 0} for n in range(3)
    ]
    coco = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "ear"}, {"id": 2, "name": "eye"}]}
    (folder / "coco.json").write_text(json.dumps(coco))
    found = [{"image_id": n, "category_id": 2, "bbox": [2, 2, 8, 8], "score": 0.9} for n in range(3)]
    (folder / "found.json").write_text(json.dumps(found))
    return folder


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """All that, with a dataset that was run without vectors."""
    folder = written(tmp_path_factory.mktemp("reviews") / "root")
    declared(folder).run()
    return Snapshot(folder)


@pytest.fixture
def root(seen: Snapshot) -> Path:
    return seen.restored()


class Reviewer:
    """Somebody who says things about a workshop's samples as they were published."""

    def __init__(self, workshop: Workshop) -> None:
        self.workshop, self.events = workshop, Events(workshop.paths.events)

    def say(self, kind: EventKind, filepath: str, value: str | None = None) -> int:
        query = f"select sample_id, content_hash from samples where filepath = '{filepath}'"
        return self.events.append(Event(kind, "ada", value), self.workshop.rows(query))

    def undo(self, event: int) -> None:
        assert self.events.undo(event, "bo")


@pytest.fixture
def workshop(root: Path) -> Workshop:
    return declared(root)


@pytest.fixture
def ada(workshop: Workshop) -> Reviewer:
    return Reviewer(workshop)


def labels(workshop: Workshop, filepath: str) -> list[tuple]:
    query = "select labels, origin from ground_truth join samples using (sample_id) where filepath = '{}'"
    return workshop.rows(query.format(filepath))


def growth(workshop: Workshop) -> float:
    """Return by how many samples the last run has changed the dataset's health, as the report tells it."""
    course = workshop.rows("select value from health where metric = 'samples' order by recorded_at")
    return float(course[-1][0] - course[-2][0])


@pytest.mark.slow
def test_dropped_samples_leave_every_signal_and_come_back(workshop: Workshop, ada: Reviewer, root: Path) -> None:
    workshop.run(TABLES)
    ((dropped,),) = workshop.rows("select sample_id from samples where filepath = 'train/00000.png'")
    ((inside,),) = workshop.rows(
        f"select object_id from objects where source = 'ground_truth' and sample_id = '{dropped}'"
    )
    before = tables_naming(workshop, dropped)
    assert tables_naming(workshop, inside) >= EVERY_TABLE_WITH_OBJECTS
    assert before >= EVERY_OTHER_TABLE_WITH_SAMPLES
    stood = {name: workshop.rows(f"select count(*) from {name}") for name in before}
    event = ada.say("drop", "train/00000.png")
    models.EMBEDDED.clear()
    reports = workshop.run(TABLES)
    assert (tables_naming(workshop, dropped), growth(workshop)) == (LISTS & {"samples", "decisions"}, -1)
    assert tables_naming(workshop, inside) == set()
    assert workshop.rows("select filepath, status, error, width from samples where status != 'ok'") == [
        ("train/00000.png", "dropped", None, 20)
    ]
    # At the cost of the change: nothing is read, decoded, embedded or searched for.
    assert reports["samples"].notes["read"] == reports["media"].notes.get("decoded", 0) == 0
    assert models.EMBEDDED == []
    assert reports["similarity"].notes["searched"] == 0
    assert workshop.wrong(TABLES) == {}
    rebuild = declared(root, "rebuild")
    give_calibrations(workshop, rebuild)
    give_events(workshop, rebuild)
    rebuild.run(TABLES)
    assert_equals_rebuild(workshop, rebuild)

    ada.undo(event)
    models.EMBEDDED.clear()
    reports = workshop.run(TABLES)
    assert models.EMBEDDED == []
    # The neighbours of its object; of the image there is a copy.
    assert reports["similarity"].notes["searched"] == 1
    assert tables_naming(workshop, dropped) == before | {"decisions"}
    assert {name: workshop.rows(f"select count(*) from {name}") for name in before} == stood
    assert workshop.run(TABLES)["published"].notes["written"] == ""


def test_a_relabel_is_judged_alone_and_wins_until_undone(workshop: Workshop, ada: Reviewer, root: Path) -> None:
    mistakes = (
        "select filepath from issues join samples using (sample_id) where issue = 'label_mistake' and object_id is null"
    )
    assert len(workshop.rows(mistakes)) == COUNT / 2
    workshop.run()
    event = ada.say("relabel", "train/00002.png", "cat")
    reports = workshop.run()
    assert labels(workshop, "train/00002.png") == [(["cat"], "review")]
    assert reports["ground_truth"].counts.total == reports["mistakenness"].counts.total == 1
    assert reports["mistakenness"].notes["judged"] == 1
    assert reports["hardness"].counts.total == 0
    assert reports["issues"].counts.total == 1
    assert ("train/00002.png",) not in workshop.rows(mistakes)

    file = root / "labels.csv"
    file.write_text(file.read_text().replace("00002.png,dog", "00002.png,owl"))
    workshop.run()
    assert labels(workshop, "train/00002.png") == [(["cat"], "review")]
    workshop.declare(media=str(root / "media"), split_from="folder", embeddings={"model": "python:tests.models:Pixels"})
    workshop.run()
    assert labels(workshop, "train/00002.png") == [(["cat"], "review")]
    declared(root)
    ada.undo(event)
    workshop.run()
    assert labels(workshop, "train/00002.png") == [(["owl"], "file")]


def test_the_last_word_counts_and_history_stays(workshop: Workshop, ada: Reviewer) -> None:
    ada.say("drop", "train/00003.png")
    ada.say("keep", "train/00003.png")
    ada.say("relabel", "train/00003.png", "owl")
    last = ada.say("relabel", "train/00003.png", "dog")
    workshop.run()
    assert workshop.rows("select count(*) from samples where status = 'dropped'") == [(0,)]
    assert labels(workshop, "train/00003.png") == [(["dog"], "review")]
    ada.undo(last)
    workshop.run()
    assert labels(workshop, "train/00003.png") == [(["owl"], "review")]
    said = workshop.rows("select kind, value, decided_by, undone_at is null, holds from decisions order by decided_at")
    assert said == [
        ("drop", None, "ada", True, False),
        ("keep", None, "ada", True, True),
        ("relabel", "owl", "ada", True, True),
        ("relabel", "dog", "ada", False, False),
    ]


def test_a_decision_is_about_the_content_that_was_seen(workshop: Workshop, ada: Reviewer, root: Path) -> None:
    path = root / "media" / "train" / "00004.png"
    seen = path.read_bytes()
    ada.say("drop", "train/00004.png")
    ada.say("relabel", "train/00004.png", "owl")
    ada.say("tag", "train/00004.png", "odd")
    path.write_bytes(encoded(picture(99)))
    workshop.run()
    status = "select status from samples where filepath = 'train/00004.png'"
    assert workshop.rows(status) == [("ok",)]
    assert labels(workshop, "train/00004.png") == [(["dog"], "file")]
    assert workshop.rows("select distinct holds from decisions") == [(False,)]
    assert workshop.rows("select tag, is_current from tags") == [("odd", False)]
    path.write_bytes(seen)
    workshop.run()
    assert workshop.rows(status) == [("dropped",)]
    assert workshop.rows("select distinct holds from decisions") == [(True,)]
    assert workshop.rows("select tag, is_current from tags") == [("odd", True)]


def test_what_was_said_follows_a_renamed_file(workshop: Workshop, ada: Reviewer, root: Path) -> None:
    folder = root / "media" / "train"
    ada.say("drop", "train/00005.png")
    ada.say("relabel", "train/00006.png", "owl")
    ada.say("tag", "train/00006.png", "odd")
    # The drop of a copy is not about the other, whether that copy is there or not.
    ada.say("drop", "train/00000.png")
    workshop.run()
    (folder / "00000.png").unlink()
    for step in ("moved", "moved_again"):
        for number in (5, 6):
            path = next(folder.glob(f"*{number:05}.png"))
            path.rename(folder / f"{step}_{number:05}.png")
        workshop.run()
    gone = workshop.rows("select filepath from samples where status = 'dropped'")
    assert gone == [("train/moved_again_00005.png",)]
    assert labels(workshop, "train/moved_again_00006.png") == [(["owl"], "review")]
    named = "select filepath, tag, is_current from tags join samples on sample_id = subject_id"
    assert workshop.rows(named) == [("train/moved_again_00006.png", "odd", True)]
    held = "select kind, said_of != subject_id from decisions where holds order by 1"
    assert workshop.rows(held) == [("drop", True), ("relabel", True)]
    assert workshop.rows("select count(*), count(distinct decision_id) from decisions") == [(3, 3)]
    page = Client(create_app(workshop.home.root, token=TOKEN), "test").sign_in()
    ((moved,),) = workshop.rows("select sample_id from samples where filepath = 'train/moved_again_00006.png'")
    shown = page.get("subject", id=moved).json()
    assert (shown["decided"]["label"]["value"], shown["tags"]) == ("owl", ["odd"])
    assert len(page.found(where="decision = 'relabel' and list_contains(tags, 'odd')")) == 1
    left = {item["subject_id"] for item in page.get("queue", issue="label_mistake").json()["items"]}
    assert left == {row[0] for row in workshop.rows(f"{MISTAKES} and sample_id != '{moved}'")} != set()
    ada.say("keep", "train/moved_again_00005.png")
    workshop.run()
    assert workshop.rows("select count(*) from samples where status = 'dropped'") == [(0,)]


def test_tags_stand_until_taken_off_or_back(workshop: Workshop, ada: Reviewer) -> None:
    workshop.run()
    first = ada.say("tag", "train/00001.png", "odd")
    ada.say("tag", "train/00002.png", "odd")
    reports = workshop.run()
    assert {name for name, report in reports.items() if report.counts.total} == {"reviews"}
    assert workshop.rows("select tag, tagged_by, count(*) from tags group by all") == [("odd", "ada", 2)]
    ada.undo(first)
    ada.say("untag", "train/00002.png", "odd")
    assert workshop.run()["reviews"].notes["said"] == 2
    assert workshop.rows("from tags") == []
    history = "select event_id, present, undone_at is not null from tag_history order by 1"
    assert workshop.rows(history) == [(1, True, True), (2, True, False), (4, False, False)]


def test_objects_are_relabelled_and_dropped(workshop: Workshop, ada: Reviewer) -> None:
    objects = "select object_id, content_hash from objects join samples using (sample_id) where source = 'ground_truth'"
    (one, content), (other, _), _ = workshop.rows(f"{objects} order by filepath")
    relabel = ada.events.append(Event("relabel", "ada", "eye"), [(one, content)])
    drop = ada.events.append(Event("drop", "ada"), [(other, content)])
    workshop.run()
    # The drop was made on another content than that of its image.
    label = "select object_id, label from objects where source = 'ground_truth'"
    assert dict(workshop.rows(label))[one] == "eye"
    assert other in dict(workshop.rows(label))
    assert workshop.rows("select kind, holds from decisions order by decision_id") == [
        ("relabel", True),
        ("drop", False),
    ]
    issue = f"select issue from issues where object_id = '{one}'"
    assert ("label_mistake",) not in workshop.rows(issue)
    ada.undo(drop)
    ((_, content),) = [row for row in workshop.rows(objects) if row[0] == other]
    drop = ada.events.append(Event("drop", "ada"), [(other, content)])
    workshop.run()
    assert tables_naming(workshop, other) == {"decisions"}
    assert workshop.rows("select holds from decisions where kind = 'drop' and undone_at is null") == [(True,)]
    for event in (relabel, drop):
        ada.undo(event)
    workshop.run()
    assert dict(workshop.rows(label)) | {one: "ear", other: "ear"} == dict(workshop.rows(label))
    assert workshop.wrong() == {}


def test_what_cannot_be_read_may_be_dropped_too(workshop: Workshop, ada: Reviewer, root: Path) -> None:
    (root / "media" / "train" / "broken.png").write_bytes(b"\x89PNG no more")
    (root / "media" / "train" / "large.png").write_bytes(bytes(100_000))
    settings = yaml.safe_load(workshop.paths.config.read_text())
    workshop.declare(**settings, decoding={"max_bytes": 50_000})
    workshop.run()
    unreadable = "select filepath from issues join samples using (sample_id) where issue = 'unreadable' order by 1"
    assert workshop.rows(unreadable) == [("train/broken.png",), ("train/large.png",)]
    events = [ada.say("drop", f"train/{name}.png") for name in ("broken", "large")]
    workshop.run()
    assert workshop.rows(unreadable) == []
    status = "select status, error is not null from samples where filepath = 'train/{}.png'"
    assert [workshop.rows(status.format(name)) for name in ("broken", "large")] == [[("dropped", True)]] * 2
    for event in events:
        ada.undo(event)
    workshop.run()
    assert len(workshop.rows(unreadable)) == 2


def test_several_classes_stand_between_commas(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(3))
    rows = [{"filepath": f"{number:05}.png", "labels": ["cat", "dog"]} for number in range(2)]
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, rows)))
    labels = [{"uri": str(tmp_path / "labels.jsonl"), "field": "pets"}]
    select = ("reviews", "samples", "media", "ground_truth", "published")
    workshop = Workshop(tmp_path / "home", tmp_path / "media", select=select, labels=labels)
    workshop.run()
    for name in ("00000.png", "00002.png"):
        Reviewer(workshop).say("relabel", name, "owl, cat")
    workshop.run()
    assert workshop.rows("select label_field, labels from ground_truth where origin = 'review'") == [
        ("pets", ["owl", "cat"])
    ] * 2  # fmt: skip


def test_another_store_replaces_what_was_taken_in(workshop: Workshop, ada: Reviewer) -> None:
    ada.say("tag", "train/00001.png", "odd")
    ada.say("drop", "train/00001.png")
    workshop.run()
    ada.events.path.rename(ada.events.path.with_suffix(".aside"))
    workshop.run()
    assert workshop.rows("select (select count(*) from tags), (select count(*) from decisions)") == [(0, 0)]
    assert workshop.rows("select count(*) from samples where status = 'dropped'") == [(0,)]
    for _ in range(2):
        ada.say("keep", "train/00002.png")
    workshop.run()
    assert workshop.rows("select kind, count(*) from decisions group by kind") == [("keep", 2)]


def test_a_damaged_store_is_told_in_one_line(workshop: Workshop, ada: Reviewer) -> None:
    ada.events.path.parent.mkdir()
    ada.events.path.write_bytes(b"this is no database, and never was one" * 100)
    with pytest.raises(SourceError, match=r"events\.sqlite cannot be read.*'brain doctor test --repair'"):
        workshop.run()
    ada.events.path.unlink()
    ada.say("tag", "train/00001.png", "odd")
    with sqlite3.connect(ada.events.path) as connection:
        connection.executescript("drop trigger events_stay; update events set at = 'yesterday'")
    connection.close()
    with pytest.raises(SourceError, match="yesterday"):
        workshop.run()


@pytest.fixture
def many(tmp_path: Path) -> Events:
    return Events(tmp_path / "review" / "events.sqlite")


def test_what_was_said_is_told_in_steps_as_at_once(many: Events) -> None:
    many.append(Event("tag", "ada", "x"), [("a", "1"), ("b", "2")])
    first = many.append(Event("drop", "ada"), [("a", "1")])
    middle = many.last()
    many.append(Event("keep", "ada"), [("b", "2")])
    many.undo(first, "bo")
    stepwise = {(one.event_id, one.subject_id): one for one in [*many.said(0, middle), *many.said(middle, many.last())]}
    assert sorted(stepwise.values()) == sorted(many.said(0, many.last()))
    assert [one.undone_at for one in many.said(0, middle)] == [None] * 3
    assert list(many.said(many.last(), many.last())) == []
    assert many.at(99) is None


def test_the_page_may_write_while_a_run_reads(many: Events) -> None:
    many.append(Event("tag", "ada", "x"), [("a", "1")])
    reading = many.said(0, 1)
    with sqlite3.connect(many.path) as connection:
        assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
    connection.close()
    many.append(Event("tag", "ada", "y"), [("a", "1")])
    assert [one.value for one in reading] == ["x"]


def test_what_was_said_of_objects_follows_a_renamed_file(workshop: Workshop, ada: Reviewer, root: Path) -> None:
    objects = "select object_id, content_hash from objects join samples using (sample_id) where source = 'ground_truth'"
    _, (relabelled, content), (dropped, other) = workshop.rows(f"{objects} order by filepath")
    ada.events.append(Event("relabel", "ada", "eye"), [(relabelled, content)])
    ada.events.append(Event("drop", "ada"), [(dropped, other)])
    ada.events.append(Event("tag", "ada", "odd"), [(dropped, other)])
    workshop.run()
    coco = (root / "coco.json").read_text()
    for step in ("moved", "moved_again"):
        for number in (1, 2):
            path = next((root / "media" / "train").glob(f"*{number:05}.png"))
            path.rename(path.with_name(f"{step}_{number:05}.png"))
            renamed = coco.replace("train/0000", f"train/{step}_0000").replace(f"{step}_00000", "00000")
            (root / "coco.json").write_text(renamed)
        workshop.run()
    label = (
        "select filepath, label from objects join samples using (sample_id) where source = 'ground_truth' order by 1"
    )
    assert workshop.rows(label) == [("train/00000.png", "ear"), ("train/moved_again_00001.png", "eye")]
    assert workshop.rows("select count(*) from samples where status = 'dropped'") == [(0,)]
    held = "select kind, said_of, subject_id != said_of, holds from decisions order by 1"
    assert workshop.rows(held) == [("drop", dropped, True, True), ("relabel", relabelled, True, True)]
    assert workshop.rows("select tag, is_current from tags") == [("odd", True)]


def test_what_was_said_of_an_object_is_not_said_of_a_copy_of_its_image(
    workshop: Workshop, ada: Reviewer, root: Path
) -> None:
    objects = "select object_id, content_hash from objects join samples using (sample_id) where source = 'ground_truth'"
    ada.events.append(Event("drop", "ada"), workshop.rows(f"{objects} order by filepath"))
    workshop.run()
    folder = root / "media" / "train"
    (folder / "copy.png").write_bytes((folder / "00001.png").read_bytes())
    (folder / "00002.png").rename(folder / "moved.png")
    workshop.run()
    assert workshop.rows("select filepath from samples where status = 'dropped'") == []
