"""After any sequence of changes every table equals a computation from scratch, at the cost of the change."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from brain_assets.ingest import previews as packs
from brain_assets.resources.media.media_source import content_hash, sample_id
from brain_assets.resources.store.events import Event, EventKind, Events
from brain_assets.resources.store.store import Store
from tests import models
from tests.workshop import (
    Workshop,
    assert_equals_rebuild,
    encoded,
    give_calibrations,
    give_events,
    picture,
    previews,
    write_archive,
    write_pictures,
)

NAMES = [
    f"{folder}{letter}.{suffix}" for folder in ("", "train/", "test/") for letter in "abcd" for suffix in ("png", "bmp")
]
names = st.sampled_from(NAMES)
seeds = st.integers(0, 6)
archives = st.sampled_from(["e.zip", "train/e.tar", "test/e.tgz"])
classes = st.sampled_from(["cat", "dog", "owl"])


RUNS = [
    {"brain_key": "crops", "method": "object_embeddings"},
    {"brain_key": "alike", "method": "similarity", "embeddings": "crops"},
    {"brain_key": "copies", "method": "near_duplicates", "embeddings": "crops", "similarity": "alike"},
]
# Limits at which some of the files become too large, and come back.
SETTINGS: list[dict[str, dict[str, object]]] = [
    {"similarity": {"k": 2}},
    {"similarity": {"k": 5}},
    {"representativeness": {"method": "cluster-center-downweight", "clusters": 2}},
    {"near_duplicates": {}},
    {"near_duplicates": {"threshold": 0.85, "candidates": 1, "hash_bits": 0}},
    {"decoding": {}},
    {"decoding": {"preview_size": 32}},
    {"decoding": {"max_bytes": 900}},
    {"decoding": {"max_pixels": 200}},
]


class Killed(BaseException):
    """Stands for the end of the process: nothing is written after it."""


def dying(write: Callable[..., Any], after: int) -> Callable[..., Any]:
    """Return ``Store.write`` of a process that is killed after some transactions."""
    left = iter(range(after))

    def write_or_die(store: Store, run_id: str, asset: str) -> Any:
        if next(left, None) is None:
            raise Killed
        return write(store, run_id, asset)

    return write_or_die


class ChangingFolder(RuleBasedStateMachine):
    """A folder in which anything happens between runs."""

    @initialize()
    def make_folder(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="brain-test-"))
        self.media = self.root / "media"
        self.media.mkdir()
        self.patch = pytest.MonkeyPatch()
        # As small as these previews, so that packs are rewritten.
        self.patch.setattr(packs, "SMALL_PACK", 3000)
        for folder in ("labels", "predictions"):
            (self.root / folder).mkdir()
        inputs = {name: [{"uri": str(self.root / name)}] for name in ("labels", "predictions")}
        self.settings = {"split_from": "folder", "similarity": {"k": 3}, "decoding": {}, "runs": RUNS, **inputs}
        self.workshop = self.make_workshop("home")

    def make_workshop(self, home: str) -> Workshop:
        return Workshop(self.root / home, self.media, **self.settings)

    @rule(settings=st.sampled_from(SETTINGS))
    def change_settings(self, settings: dict[str, dict[str, object]]) -> None:
        self.settings |= settings
        self.make_workshop("home")

    @rule(name=names, seed=seeds)
    def add_or_change(self, name: str, seed: int) -> None:
        path = self.media / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded(picture(seed), "BMP" if name.endswith("bmp") else "PNG"))

    @rule(name=names)
    def delete(self, name: str) -> None:
        (self.media / name).unlink(missing_ok=True)

    @rule(name=names, other=names)
    def rename(self, name: str, other: str) -> None:
        if (self.media / name).exists():
            (self.media / other).parent.mkdir(exist_ok=True)
            (self.media / name).rename(self.media / other)

    @rule(name=names, other=names)
    def copy(self, name: str, other: str) -> None:
        if (self.media / name).exists() and name != other:
            (self.media / other).parent.mkdir(exist_ok=True)
            (self.media / other).write_bytes((self.media / name).read_bytes())

    @rule(name=names)
    def touch(self, name: str) -> None:
        if (self.media / name).exists():
            os.utime(self.media / name)

    @rule(name=names, keep=st.integers(0, 120))
    def corrupt(self, name: str, keep: int) -> None:
        path = self.media / name
        if path.exists():
            path.write_bytes(path.read_bytes()[:keep])

    @rule(name=archives, members=st.dictionaries(names, seeds, max_size=4), keep=st.none() | st.integers(0, 3000))
    def write_archive(self, name: str, members: dict[str, int], keep: int | None) -> None:
        path = self.media / name
        path.parent.mkdir(exist_ok=True)
        write_archive(path, {member: encoded(picture(seed)) for member, seed in members.items()}, mtime=0)
        path.write_bytes(path.read_bytes()[:keep])

    @rule(name=archives)
    def delete_archive(self, name: str) -> None:
        (self.media / name).unlink(missing_ok=True)

    @rule(file=st.sampled_from("ab"), labels=st.dictionaries(names, classes, max_size=6))
    def write_labels(self, file: str, labels: dict[str, str]) -> None:
        rows = [f"{name},{label}\n" for name, label in labels.items()]
        (self.root / "labels" / f"{file}.csv").write_text("filepath,label\n" + "".join(rows))

    @rule(
        boxes=st.dictionaries(
            names, st.lists(st.sampled_from([(0, 0, 20, 16), (2, 2, 8, 8), (5, 1, 30, 9)])), max_size=6
        )
    )
    def write_boxes(self, boxes: dict[str, list[tuple[int, ...]]]) -> None:
        images = [{"id": name, "file_name": name, "width": 20, "height": 16} for name in boxes]
        annotations = [
            {"image_id": name, "category_id": 0, "bbox": box} for name, found in boxes.items() for box in found
        ]
        content = {"images": images, "annotations": annotations, "categories": [{"id": 0, "name": "cat"}]}
        (self.root / "labels" / "c.json").write_text(json.dumps(content))

    @rule(
        file=st.sampled_from("ab"),
        predictions=st.dictionaries(names, st.tuples(classes, st.floats(-0.2, 1.0), st.sampled_from("mn")), max_size=6),
    )
    def write_predictions(self, file: str, predictions: dict[str, tuple[str, float, str]]) -> None:
        rows = [f"{name},{label},{sure},{model}\n" for name, (label, sure, model) in predictions.items()]
        (self.root / "predictions" / f"{file}.csv").write_text("filepath,label,confidence,model\n" + "".join(rows))

    @rule(folder=st.sampled_from(["labels", "predictions"]), file=st.sampled_from("ab"))
    def delete_input(self, folder: str, file: str) -> None:
        (self.root / folder / f"{file}.csv").unlink(missing_ok=True)

    @rule(name=names, kind=st.sampled_from(["keep", "drop", "drop", "relabel", "tag", "untag"]), word=classes)
    def say(self, name: str, kind: EventKind, word: str) -> None:
        path = self.media / name
        content = content_hash(path.read_bytes()) if path.exists() else None
        value = None if kind in ("keep", "drop") else word
        Events(self.workshop.paths.events).append(Event(kind, "ada", value), [(sample_id(name), content)])

    @rule(back=st.integers(0, 3))
    def undo(self, back: int) -> None:
        events = Events(self.workshop.paths.events)
        if events.last() > back:
            events.undo(events.last() - back, "bo")

    @rule()
    def run(self) -> None:
        self.workshop.run()

    @rule(after=st.integers(0, 40))
    def run_and_be_killed(self, after: int) -> None:
        with pytest.MonkeyPatch.context() as patch, suppress(Killed):
            patch.setattr(Store, "write", dying(Store.write, after))
            self.workshop.run()

    @rule()
    def run_and_compare(self) -> None:
        self.workshop.run()
        assert self.workshop.wrong() == {}
        rebuild = self.make_workshop("rebuild")
        give_calibrations(self.workshop, rebuild)
        give_events(self.workshop, rebuild)
        rebuild.run()
        assert_equals_rebuild(self.workshop, rebuild)
        assert previews(self.workshop) == previews(rebuild)
        rebuild.remove()

    def teardown(self) -> None:
        if hasattr(self, "root"):
            try:
                self.run_and_compare()
            finally:
                self.patch.undo()
                shutil.rmtree(self.root)


TestChangingFolder = ChangingFolder.TestCase
TestChangingFolder.settings = settings(max_examples=5, stateful_step_count=12, deadline=None)


def test_a_run_with_nothing_new_does_nothing(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(30))
    workshop = Workshop(tmp_path / "home", tmp_path / "media")
    workshop.run()
    before = workshop.rows("select max(number) from (select count(*) as number from runs)")
    models.EMBEDDED.clear()
    reports = workshop.run()
    assert models.EMBEDDED == []
    assert {name: report.counts.total for name, report in reports.items() if report.counts.total} == {}
    assert reports["samples"].notes.get("read", 0) == 0
    assert reports["published"].notes["written"] == ""
    assert workshop.rows("select max(number) from (select count(*) as number from runs)") == before


def test_additions_cost_what_they_are(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(200))
    workshop = Workshop(tmp_path / "home", tmp_path / "media", similarity={"k": 5})
    workshop.run()
    models.EMBEDDED.clear()
    write_pictures(tmp_path / "media", range(1000, 1010))
    reports = workshop.run()
    assert sum(models.EMBEDDED) == 10
    assert reports["samples"].notes["read"] == 10
    assert reports["media"].notes["decoded"] == 10
    assert reports["similarity"].notes["searched"] == 10
    assert workshop.rows("select count(*) from uniqueness") == [(210,)]


def test_a_deletion_searches_only_lists_that_are_too_short(tmp_path: Path) -> None:
    paths = write_pictures(tmp_path / "media", range(60))
    workshop = Workshop(tmp_path / "home", tmp_path / "media", similarity={"k": 3})
    workshop.run()
    for path in paths[:5]:
        path.unlink()
    reports = workshop.run()
    assert reports["similarity"].notes["searched"] == 0
    assert reports["media"].notes["decoded"] == 0


def test_a_moved_file_is_read_but_not_decoded(tmp_path: Path) -> None:
    paths = write_pictures(tmp_path / "media", range(5))
    workshop = Workshop(tmp_path / "home", tmp_path / "media")
    workshop.run()
    models.EMBEDDED.clear()
    paths[0].rename(tmp_path / "media" / "moved.png")
    reports = workshop.run()
    assert reports["samples"].notes["read"] == 1
    assert reports["media"].notes["decoded"] == 0
    assert models.EMBEDDED == []
    assert workshop.rows("select filepath from samples where filepath = 'moved.png'") == [("moved.png",)]


def test_another_model_embeds_again_and_leaves_nothing_of_the_old(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(8))
    workshop = Workshop(tmp_path / "home", tmp_path / "media")
    workshop.run()
    old = workshop.rows("select distinct model from embeddings")
    workshop.declare(media=str(tmp_path / "media"), embeddings={"model": "python:tests.models:Silent"})
    workshop.run()
    assert len(old) == 1
    assert workshop.rows("select distinct model from embeddings") != old
    assert workshop.wrong() == {}
