"""What reviewers draw, move, confirm and say of pairs becomes labels and stays out of copies: as shown at once, until undone."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from brain_assets.resources.store.events import Event, Events
from brain_assets.review import create_app
from tests.ingest import test_reviews
from tests.ingest.test_reviews import declared
from tests.review.client import TOKEN, Client
from tests.workshop import Workshop, assert_equals_rebuild, give_calibrations, give_events, picture, write_pictures

seen, root = test_reviews.seen, test_reviews.root
BOX = {"x": 0.5, "y": 0.5, "width": 0.25, "height": 0.25}
OUTLINE = {**BOX, "polygon": [[0.5, 0.5, 0.75, 0.5, 0.75, 0.75]]}
LABELS = """
    select filepath, label, round(x, 3), round(y, 3), round(objects.width, 3), round(objects.height, 3), origin
    from objects join samples using (sample_id) where source = 'ground_truth' order by all"""
EAR = (0.1, 0.125, 0.4, 0.5)
COPIES = (
    *("reviews", "samples", "media", "embeddings", "exact_duplicates", "similarity", "near_duplicates", "leaks"),
    *("issues", "published"),
)


class Page:
    """The review page of a workshop, asked as a browser does."""

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop
        self.client = Client(create_app(workshop.home.root, token=TOKEN), workshop.name).sign_in()

    def id(self, filepath: str) -> str:
        ((found,),) = self.workshop.rows(f"select sample_id from samples where filepath = '{filepath}'")
        return str(found)

    def objects(self, filepath: str, source: str = "ground_truth") -> list[str]:
        query = "select object_id from objects where sample_id = '{}' and source = '{}' order by x, object_id"
        return [row[0] for row in self.workshop.rows(query.format(self.id(filepath), source))]

    def correct(self, filepath: str, kind: str, **asked: Any) -> dict[str, Any]:
        reply = self.client.post("correct", {"sample": self.id(filepath), "kind": kind, **asked})
        assert reply.status == 200, reply
        return dict(reply.json())

    def post(self, name: str, **given: Any) -> dict[str, Any]:
        reply = self.client.post(name, given)
        assert reply.status == 200, reply
        return dict(reply.json())

    def shown(self) -> list[tuple[Any, ...]]:
        """What the page shows of labels, as ``LABELS`` tells it of the published table."""
        rows = []
        for sample, filepath in self.workshop.rows("select sample_id, filepath from samples where status = 'ok'"):
            for box in self.client.get("subject", id=sample).json().get("boxes", []):
                if box["source"] == "ground_truth" and not box.get("dropped"):
                    place = tuple(round(box[name], 3) for name in ("x", "y", "width", "height"))
                    rows.append((filepath, box["label"], *place))
        return sorted(rows)


@pytest.fixture
def workshop(root: Path) -> Workshop:
    return declared(root)


@pytest.fixture
def page(workshop: Workshop) -> Page:
    return Page(workshop)


def said(page: Page) -> list[int]:
    """Draw, confirm, move, take a model's box, rename and remove; return the events."""
    first, second, third = (page.objects(f"train/0000{number}.png")[0] for number in range(3))
    found = page.objects("train/00000.png", "detector")[0]
    return [
        one["event_id"]
        for one in (
            page.correct("train/00005.png", "draw", label="nose", shape=OUTLINE),
            page.correct("train/00000.png", "confirm", object=found),
            page.correct("train/00000.png", "reshape", object=first, shape=BOX),
            page.correct("train/00001.png", "reshape", object=second, like=page.objects("train/00001.png", "detector")[0]),
            page.correct("train/00001.png", "relabel", object=second, label="eye"),
            page.correct("train/00002.png", "drop", object=third),
        )
    ]  # fmt: skip


CORRECTED = [
    ("train/00000.png", "ear", 0.5, 0.5, 0.25, 0.25, "review"),
    ("train/00000.png", "eye", *EAR, "review"),
    ("train/00001.png", "eye", *EAR, "review"),
    ("train/00005.png", "nose", 0.5, 0.5, 0.25, 0.25, "review"),
]
AS_FILED = [(f"train/0000{number}.png", "ear", *EAR, "file") for number in range(3)]


@pytest.mark.slow
def test_corrections_are_labels_until_they_are_undone(workshop: Workshop, page: Page, root: Path) -> None:
    events = said(page)
    assert page.shown() == [row[:-1] for row in CORRECTED]
    workshop.run()
    assert workshop.rows(LABELS) == CORRECTED
    assert page.shown() == [row[:-1] for row in CORRECTED]
    outline = "select polygon from objects where label = 'nose'"
    assert workshop.rows(outline) == [([[0.5, 0.5, 0.75, 0.5, 0.75, 0.75]],)]
    # What was confirmed is missing no more.
    missing = workshop.rows("select 1 from issues join samples using (sample_id) where issue = 'missing_object'"
                            " and filepath = 'train/00000.png'")  # fmt: skip
    assert missing == []
    assert workshop.rows("select kind, holds from decisions order by decided_at") == [
        (kind, True) for kind in ("draw", "confirm", "reshape", "reshape", "relabel", "drop")
    ]
    rebuild = declared(root, "rebuild")
    give_calibrations(workshop, rebuild)
    give_events(workshop, rebuild)
    rebuild.run()
    assert_equals_rebuild(workshop, rebuild)
    assert workshop.wrong() == {}
    for event in events:
        page.post("undo", event_id=event)
    # What was made is gone at once; what files say of the rest is asked by the next run.
    assert {row[0] for row in page.shown()} == {"train/00000.png", "train/00001.png"}
    workshop.run()
    assert workshop.rows(LABELS) == AS_FILED
    assert page.shown() == [row[:-1] for row in AS_FILED]


def test_what_was_confirmed_stands_without_the_model(workshop: Workshop, page: Page, root: Path) -> None:
    page.correct("train/00001.png", "confirm", object=page.objects("train/00001.png", "detector")[0], label="tail")
    workshop.run()
    (root / "found.json").write_text("[]")
    workshop.run()
    assert ("train/00001.png", "tail", *EAR, "review") in workshop.rows(LABELS)
    assert workshop.rows("select kind, holds from decisions") == [("confirm", True)]
    made = next(one for one in page.objects("train/00001.png") if ("tail",) in workshop.rows(
        f"select label from objects where object_id = '{one}'"))  # fmt: skip
    page.correct("train/00001.png", "reshape", object=made, shape=BOX)
    page.correct("train/00001.png", "drop", object=made)
    workshop.run()
    assert len(workshop.rows(LABELS)) == 3


def test_corrections_follow_a_renamed_file_and_ask_again_of_another_picture(
    workshop: Workshop, page: Page, root: Path
) -> None:
    page.correct("train/00005.png", "draw", label="nose", shape=BOX)
    page.correct("train/00006.png", "draw", label="tail", shape=BOX)
    workshop.run()
    folder = root / "media" / "train"
    (folder / "00005.png").rename(folder / "moved.png")
    picture(77).save(folder / "00006.png")
    workshop.run()
    made = [row[:2] for row in workshop.rows(LABELS) if row[-1] == "review"]
    assert made == [("train/moved.png", "nose")]
    assert ("train/moved.png", "nose", 0.5, 0.5, 0.25, 0.25) in page.shown()


def test_what_files_hold_by_now_is_there_once(workshop: Workshop, page: Page, root: Path) -> None:
    page.correct("train/00003.png", "draw", label="ear", shape={**BOX, "width": 0.26})
    workshop.run()
    coco = json.loads((root / "coco.json").read_text())
    coco["annotations"].append(
        {"id": 9, "image_id": 3, "category_id": 1, "bbox": [10, 8, 5, 4], "area": 20, "iscrowd": 0}
    )
    (root / "coco.json").write_text(json.dumps(coco))
    workshop.run()
    assert [row for row in workshop.rows(LABELS) if row[0] == "train/00003.png"] == [
        ("train/00003.png", "ear", 0.5, 0.5, 0.25, 0.25, "file")
    ]


def test_what_models_found_is_approved_in_a_batch_each_object_once(workshop: Workshop, page: Page, root: Path) -> None:
    found = [{"image_id": n, "category_id": 2, "bbox": [2, 2, 8, 8], "score": 0.9} for n in range(3)]
    found += [
        {"image_id": 0, "category_id": 2, "bbox": [2, 2, 8, 7], "score": 0.8},
        {"image_id": 1, "category_id": 1, "bbox": [2, 2, 8, 8], "score": 0.7},
    ]
    (root / "found.json").write_text(json.dumps(found))
    workshop.run()
    ids = [row[0] for row in workshop.rows("select object_id from objects where source = 'detector'")]
    done = page.post("approve", frame="objects", ids=ids)
    # One lies on another, one on a label of its class.
    assert (done["count"], done["left_out"]) == (3, 2)
    again = page.client.post("approve", {"frame": "objects", "ids": ids})
    assert again.status == 422
    workshop.run()
    assert [row[:2] for row in workshop.rows(LABELS) if row[-1] == "review"] == [
        (f"train/0000{number}.png", "eye") for number in range(3)
    ]
    page.post("undo", event_id=done["event_id"])
    workshop.run()
    assert workshop.rows(LABELS) == AS_FILED


def test_predicted_classes_are_approved_in_a_batch(workshop: Workshop, page: Page) -> None:
    ids = [page.id(f"train/{number:05}.png") for number in range(6)]
    done = page.post("approve", frame="images", ids=ids)
    assert (done["count"], done["left_out"]) == (3, 3)
    workshop.run()
    labels = workshop.rows("select labels, origin, count(*) from ground_truth group by all order by all")
    assert labels == [(["cat"], "file", 7), (["cat"], "review", 3), (["dog"], "file", 4)]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"kind": "draw", "label": "nose"}, "needs a class and a box"),
        ({"kind": "draw", "label": "nose", "shape": {**BOX, "x": 0.9}}, "must lie inside the image"),
        ({"kind": "draw", "label": "nose", "shape": {**BOX, "polygon": [[0.1] * 7]}}, "x and y in turn"),
        ({"kind": "reshape", "object": "found", "shape": BOX}, "not what a model found"),
        ({"kind": "relabel", "object": "given"}, "needs a class"),
        ({"kind": "reshape", "object": "given"}, "a new box is needed"),
        ({"kind": "drop", "object": "nobody"}, "no such object"),
    ],
)
def test_what_cannot_be_corrected_is_refused(workshop: Workshop, page: Page, asked: dict[str, Any], says: str) -> None:
    known = {"given": page.objects("train/00000.png")[0], "found": page.objects("train/00000.png", "detector")[0]}
    if "object" in asked:
        asked = asked | {"object": known.get(asked["object"], asked["object"])}
    reply = page.client.post("correct", {"sample": page.id("train/00000.png"), **asked})
    assert (reply.status in (404, 422), says in reply.json()["error"]) == (True, True), reply


def test_nothing_is_said_of_one_file_alone(workshop: Workshop, page: Page) -> None:
    ids = [page.id(name) for name in ("train/00000.png", "test/00000.png")]
    for chosen, says in (
        (ids, "the same file twice"),
        ([ids[0]] * 2, "the same file twice"),
        (["nobody"] * 2, "two images"),
    ):
        reply = page.client.post("say-of-pairs", {"kind": "not_copy", "ids": chosen})
        assert (reply.status, says in reply.json()["error"]) == (422, True), reply


def test_pairs_that_are_no_copies_are_not_asked_again(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media" / "train", range(8))
    for number, shade in ((0, 2), (1, 3)):
        bright = picture(number).point(lambda value, shade=shade: min(255, value + shade))
        (tmp_path / "media" / "test").mkdir(exist_ok=True)
        bright.save(tmp_path / "media" / "test" / f"copy{number}.png")
    made = Workshop(
        tmp_path / "home",
        tmp_path / "media",
        select=COPIES,
        split_from="folder",
        near_duplicates={"threshold": 0.05},
        similarity={"k": 4},
    )
    made.run()
    pairs = "select filepath from leaks join samples using (sample_id) order by 1"
    names = [row[0] for row in made.rows(pairs)]
    assert {"test/copy0.png", "train/00000.png", "test/copy1.png"} <= set(names)
    page = Page(made)
    ids = [page.id("test/copy0.png"), page.id("train/00000.png")]
    done = page.post("say-of-pairs", kind="not_copy", ids=ids)
    queue = {item["subject"]["filepath"] for item in page.client.get("queue", issue="leak").json()["items"]}
    assert "test/copy1.png" in queue
    assert "test/copy0.png" not in queue
    reports = made.run()
    left = {row[0] for row in made.rows(pairs)}
    assert left == set(names) - {"test/copy0.png", "train/00000.png"}
    assert not made.rows(f"select 1 from near_duplicates where sample_id in ('{ids[0]}', '{ids[1]}')")
    assert reports["similarity"].counts.total == 0
    assert made.rows("select kind, holds from decisions") == [("not_copy", True)] * 2
    # It is said of contents: another name changes nothing.
    (tmp_path / "media" / "test" / "copy0.png").rename(tmp_path / "media" / "test" / "other.png")
    made.run()
    assert {row[0] for row in made.rows(pairs)} == left
    # What is said of something else wakes neither.
    Events(made.paths.events).append(Event("keep", "ada"), [(ids[1], None)])
    assert made.run()["near_duplicates"].counts.total == 0
    page.post("undo", event_id=done["event_id"])
    made.run()
    assert {row[0] for row in made.rows(pairs)} == {*names, "test/other.png"} - {"test/copy0.png"}


def test_a_store_of_the_first_version_is_brought_up(tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite"
    with sqlite3.connect(path) as old:
        old.executescript("""
            create table events (
                event_id integer primary key autoincrement, at text not null, "by" text not null,
                kind text not null check (kind in ('tag', 'untag', 'keep', 'drop', 'relabel', 'undo')),
                value text, issue text, undoes integer unique references events (event_id)
            ) strict;
            create table subjects (
                event_id integer not null references events (event_id), subject_id text not null, content_hash text,
                primary key (event_id, subject_id)
            ) strict, without rowid;
            create index subjects_by_id on subjects (subject_id);
            create table views (
                view_id integer primary key autoincrement, at text not null, "by" text not null, name text not null, state text
            ) strict;
            create trigger events_stay before update on events begin select raise(abort, 'append only'); end;
            insert into events (at, "by", kind, value) values ('2024-01-01T00:00:00+00:00', 'ada', 'relabel', 'cat');
            insert into subjects values (1, 'a', 'x');
            insert into events (at, "by", kind, undoes) values ('2024-01-02T00:00:00+00:00', 'bo', 'undo', 1);
        """)
    old.close()
    events = Events(path)
    assert [(one.kind, one.value, bool(one.undone_at)) for one in events.decisions()] == [("relabel", "cat", True)]
    assert events.append(Event("confirm", "ada"), [("a", "x", "dog")]) == 3
    assert [one.value for one in events.decisions()] == ["cat", "dog"]
    with sqlite3.connect(path) as fresh, pytest.raises(sqlite3.IntegrityError, match="append only"):
        fresh.execute("update events set at = 'never'")
    fresh.close()
