"""Stories: what happens to a dataset between runs, told from one integer, and whether it then equals its rebuild.

``python -m tests.stories --seeds 1-500`` tells five hundred of them, and prints those that end badly, shortened to the
steps that matter, as what ``tests/incremental/test_stories.py`` pins. A story runs few signals, on tiny pictures whose
vectors are given, without Dagster, on a file system in memory where there is one.
"""

import contextlib
import functools
import json
import os
import pprint
import shutil
import tempfile
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from brain_assets.app.calibrating import forget
from brain_assets.assets import catalog
from brain_assets.assets.declarations import check_declaration
from brain_assets.incremental.signal import Signal
from brain_assets.incremental.tables import make_tables
from brain_assets.incremental.update import bring_up_to_date, wrong_rows
from brain_assets.ingest import previews as packs
from brain_assets.resources.dataset import Dataset, Opening, open_dataset
from brain_assets.resources.errors import BrainError
from brain_assets.resources.media.media_source import content_hash, sample_id
from brain_assets.resources.settings.configuration import load_dataset
from brain_assets.resources.store.events import Event, EventKind, Events
from brain_assets.resources.store.store import Store
from tests import seeds
from tests.workshop import (
    Tables,
    Workshop,
    assert_same_tables,
    copy_calibrations,
    encoded,
    give_events,
    picture,
    previews,
    published_tables,
    read_tables,
    write_archive,
)

Step = tuple[Any, ...]
Settings = dict[str, Any]
Run = dict[str, Any]

MEMORY = Path("/dev/shm")
NAMES = [f"{split}/{letter}.{form}" for split in ("train", "test") for letter in "abcdefg" for form in ("png", "bmp")]
ARCHIVES = ["train/e.zip", "test/e.tgz"]
CLASSES = ["cat", "dog", "owl"]
OBJECT_KINDS: list[EventKind] = ["drop", "relabel", "keep", "draw", "reshape", "confirm"]
SHAPES: list[dict[str, Any]] = [
    {"x": 0.25, "y": 0.25, "width": 0.5, "height": 0.5, "polygon": None},
    {"x": 0.0, "y": 0.0, "width": 0.5, "height": 0.25, "polygon": [[0.0, 0.0, 0.5, 0.0, 0.5, 0.25]]},
]
BOXES = [[0, 0, 8, 8], [1, 1, 4, 4], [2, 1, 4, 4], [5, 3, 9, 9]]
CONDITIONS = ["split = 'train'", "width > 8", "filepath < 'train/d'", "list_contains(tags, 'cat')", "bytes > 250"]
PIXELS = "python:tests.models:Pixels"
# What a story may be about; the signals that they read are run as well.
SUBJECTS = [
    "exact_duplicates", "image_quality", "leaks", "near_duplicates", "uniqueness", "outliers", "representativeness", "selections",
    "builtin_predictions", "hardness", "mistakenness", "label_issues", "object_mistakenness", "object_embeddings",
    "visualization",
]  # fmt: skip
# They read all that there is: a story's other signals decide what that is.
ANSWERS = ("issues", "health", "published")
PARAMETERS: dict[str, list[Settings]] = {
    "uniqueness": [{}, {"mode": "compat"}],
    "representativeness": [{"clusters": 2}, {"method": "cluster-center-downweight"}, {"mode": "compat", "clusters": 2}],
    "near_duplicates": [{}, {"threshold": 0.3}, {"radius": 0.2, "candidates": 1}, {"keep": ["size"]}],
    "selections": [{"method": method, "count": 3} for method in ("unique", "k-center", "facility-location")],
    "label_issues": [{}, {"views": "neighbors"}, {"views": "predictions", "models": ["net"]}],
    "mistakenness": [{}, {"mode": "compat"}],
    "outliers": [{}],
}
# Sections that a signal reads, beside its own, and values for them: limits at which files become too large, and come back.
SECTIONS: dict[str, list[Settings]] = {
    "similarity": [{"k": 2}, {"k": 5}, {"k": 3, "metric": "euclidean"}],
    "media": [{}, {"preview_size": 32}, {"max_bytes": 250}, {"max_pixels": 70}],
    "image_quality": [{}, {"thresholds": {"dark": False, "bright": 0.5}}],
    **{name: values for name, values in PARAMETERS.items() if name not in ("selections", "outliers")},
}
OPENING: dict[Step, float] = {
    ("beside",): 0.1,
    ("calibrate_early",): 0.5,
    ("embed_pixels",): 0.3,
    ("set", "split_from", "column"): 0.2,
}
SECTION_NAMES = {"media": "decoding"}


@dataclass(frozen=True)
class Story:
    """The signals that a story is about, and its steps: a method of `World` each, and what it is given."""

    subjects: tuple[str, ...]
    steps: tuple[Step, ...]

    def __hash__(self) -> int:
        return hash(repr(self))

    @property
    def signals(self) -> frozenset[str]:
        """The signals that are run."""
        names = {name for name in self.subjects if name not in ANSWERS}
        open_ = set(names)
        while open_:
            open_ = {one for name in open_ for one in catalog.upstream(catalog.BY_NAME[name])} - names
            names |= open_
        return frozenset(names.union(self.subjects))


class Author:
    """Writes the story of a seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        answers = [name for name in ANSWERS if self._sometimes(0.25)]
        self.subjects = (*sorted(self.random.sample(SUBJECTS, self.random.choice([1, 2, 2, 3]))), *answers)
        self.signals = Story(self.subjects, ()).signals

    def story(self) -> Story:
        """Return the story: a dataset, some changes, a run; then more of them, and a last comparison."""
        steps = list(self._opening())
        for _ in range(self.random.choice([1, 1, 2])):
            steps += [("compare",) if self._sometimes(0.1) else self._run()]
            steps += [self._change() for _ in range(self.random.randint(2, 5))]
        return Story(self.subjects, (*steps, ("compare",)))

    def _sometimes(self, share: float) -> bool:
        return self.random.random() < share

    def _opening(self) -> Iterator[Step]:
        yield from (step for step, share in OPENING.items() if self._sometimes(share))
        if "embeddings" in self.signals:
            yield self._vectors("main", 0.9)
        for name in self.random.sample(NAMES, self.random.randint(5, 14)):
            yield "picture", name, self.random.randrange(20)
        for write in self._writers():
            if self._sometimes(0.8):
                yield write()
        if self._sometimes(0.7):
            yield self._runs()

    def _run(self) -> Step:
        return ("killed", self.random.randrange(70)) if self._sometimes(0.3) else ("run",)

    def _change(self) -> Step:
        kinds: list[tuple[int, Callable[[], Step]]] = [
            (5, self._picture), (2, self._delete), (3, self._rename), (2, self._copy), (1, self._touch), (1, self._corrupt),
            (1, self._archive), (3, self._say), (1, self._undo), (2, self._runs), (1, self._recalibrate),
            (1, self._calibrate_early),
            (1, self._remove),
            *((3, one) for one in self._writers()),
        ]  # fmt: skip
        if self.signals & SECTIONS.keys():
            kinds.append((3, self._setting))
        if "objects" in self.signals:
            kinds.append((3, self._say_of_object))
        if "near_duplicates" in self.signals:
            kinds.append((1, self._say_of_pair))
        (chosen,) = self.random.choices([one for _, one in kinds], [weight for weight, _ in kinds])
        return chosen()

    def _writers(self) -> list[Callable[[], Step]]:
        """Return what writes the files that the story's signals read."""
        found: list[tuple[str, Callable[[], Step]]] = [
            ("embeddings", lambda: self._vectors(self.random.choice(["main", "main", "second"]), 0.8)),
            ("samples", self._labels), ("predictions", self._predictions), ("objects", self._boxes),
            ("object_mistakenness", self._found),
        ]  # fmt: skip
        return [write for name, write in found if name in self.signals]

    def _name(self) -> str:
        return self.random.choice(NAMES)

    def _some(self, share: float = 0.4) -> list[str]:
        return [name for name in NAMES if self._sometimes(share)]

    def _class(self) -> str:
        return self.random.choice([*CLASSES, *CLASSES, "emu"])

    def _picture(self) -> Step:
        return "picture", self._name(), self.random.randrange(20)

    def _delete(self) -> Step:
        return "delete", self._name()

    def _rename(self) -> Step:
        name = self._name()
        splits = ("train/", "test/") if name.startswith("train/") else ("test/", "train/")
        return "rename", name, self._name() if self._sometimes(0.5) else name.replace(*splits)

    def _copy(self) -> Step:
        return "copy", self._name(), self._name()

    def _touch(self) -> Step:
        return "touch", self._name()

    def _corrupt(self) -> Step:
        return "corrupt", self._name(), self.random.randrange(120)

    def _archive(self) -> Step:
        members = {name: self.random.randrange(20) for name in self.random.sample(NAMES, self.random.randrange(3))}
        return "archive", self.random.choice(ARCHIVES), members, self.random.choice([None, None, 150])

    def _vectors(self, name: str, share: float) -> Step:
        return "vectors", name, {one: self.random.randrange(-1, 24) for one in self._some(share)}

    def _labels(self) -> Step:
        return "labels", self.random.choice("ab"), {name: self._class() for name in self._some(0.6)}

    def _predictions(self) -> Step:
        kind = self.random.choice(["logits", "probabilities", "confidence", "label"])
        said = {name: (self._class(), self.random.randrange(1, 10)) for name in self._some(0.6)}
        return "predictions", self.random.choice("ab"), self.random.choice(["net", "other"]), kind, said

    def _boxes(self) -> Step:
        return "boxes", {name: self._boxes_of() for name in self._some()}

    def _found(self) -> Step:
        scored = {name: [[*one, self.random.randrange(1, 10)] for one in self._boxes_of()] for name in self._some()}
        return "found", scored, self._sometimes(0.3)

    def _boxes_of(self) -> list[list[Any]]:
        return [
            [self.random.choice(CLASSES), self.random.randrange(len(BOXES))] for _ in range(self.random.randrange(3))
        ]

    def _remove(self) -> Step:
        return "remove", self.random.choice(["labels", "predictions"]), self.random.choice(["a", "b", "boxes"])

    def _say(self) -> Step:
        return (
            "say",
            self._name(),
            self.random.choice(["keep", "drop", "drop", "relabel", "tag", "untag"]),
            self._class(),
        )

    def _say_of_object(self) -> Step:
        return "say_of_object", self.random.randrange(8), self.random.choice(OBJECT_KINDS), self._class()

    def _say_of_pair(self) -> Step:
        return "say_of_pair", self._name(), self._name(), self.random.choice(["not_copy", "not_copy", "same_scene"])

    def _undo(self) -> Step:
        return "undo", self.random.randrange(3)

    def _calibrate_early(self) -> Step:
        return ("calibrate_early",)

    def _recalibrate(self) -> Step:
        return ("recalibrate",)

    def _setting(self) -> Step:
        own = [name for name in sorted(SECTIONS) if name in self.signals]
        name = self.random.choice(own)
        return "set", SECTION_NAMES.get(name, name), self.random.choice(SECTIONS[name])

    def _runs(self) -> Step:
        """Declare runs: other vectors, another graph of them, and what is computed from these; one may be bound to fail."""
        runs: list[Run] = []
        vectors, graphs = ["embeddings"], {"neighbors": "embeddings"}
        if "embeddings" in self.signals and self._sometimes(0.6):
            runs.append({"brain_key": "second", "method": "embeddings", "model": "second"})
            vectors.append("second")
        if "object_embeddings" in self.signals and self._sometimes(0.8):
            runs.append({"brain_key": "crops", "method": "object_embeddings", "model": PIXELS})
            vectors.append("crops")
        if "similarity" in self.signals and self._sometimes(0.7):
            graphs["far"] = self.random.choice(vectors)
            settings = self.random.choice([{}, {"k": 2}, {"metric": "euclidean"}])
            runs.append(self._declared("similarity", "far", settings, {"embeddings": graphs["far"]}))
        runs += [self._read(method, graphs, vectors) for method in sorted(PARAMETERS) if self._declares(method)]
        if "visualization" in self.signals:
            broken = {"method": "custom", "reducer": "tests.models:misshapen"}
            runs.append({"brain_key": "broken", "method": "visualization", "parameters": broken})
        return "runs", runs

    def _declares(self, method: str) -> bool:
        return method in self.signals and method != "mistakenness" and self._sometimes(0.6)

    def _read(self, method: str, graphs: Mapping[str, str], vectors: list[str]) -> Run:
        # Labels of whole images say nothing of crops.
        fit = [name for name, of in graphs.items() if method != "label_issues" or of != "crops"]
        graph, parameters = self.random.choice(fit), self.random.choice(PARAMETERS[method])
        alone = method == "representativeness" and "method" not in parameters
        given = {"embeddings": self.random.choice(vectors) if alone else graphs[graph]}
        return self._declared(method, f"{method}_b", parameters, given | ({} if alone else {"similarity": graph}))

    def _declared(self, method: str, key: str, parameters: Settings, given: Settings) -> Run:
        """Return a run that says of all this, and of a condition, what its method understands."""
        if self._sometimes(0.4):
            given = given | {"where": self.random.choice(CONDITIONS)}
        options = catalog.BY_NAME[method].options
        said = {name: value for name, value in given.items() if name in options}
        return {"brain_key": key, "method": method, **said} | ({"parameters": parameters} if parameters else {})


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


@dataclass(frozen=True)
class Outcome:
    """The runs that failed, why all of it did, the checks that fail, and the tables."""

    failed: frozenset[str]
    reason: str
    wrong: Mapping[str, int] = field(default_factory=dict)
    tables: Tables = field(default_factory=dict)


class Quick(Workshop):
    """A dataset that is run in one thread."""

    def bring(self, select: Collection[str], *, look: bool = False, given: Workshop | None = None) -> Outcome:
        """Run some signals, with the calibrations of ``given``, and tell what came of it: with the tables for who looks."""
        try:
            with open_dataset(self.home, self.name, Opening(uuid.uuid4().hex, "test", frozenset(select))) as dataset:
                make_tables(dataset.store, catalog.ALL, dataset.run_id)
                dataset.store.connection.execute("set threads = 1")
                if given:
                    copy_calibrations(given, dataset.store)
                chosen = [signal for signal in catalog.ALL if signal.name in select]
                reports = [bring_up_to_date(signal, dataset) for signal in chosen]
                failed = frozenset(key for report in reports for key in report.failed)
                return Outcome(failed, "", *(_look(dataset, chosen) if look else ({}, {})))
        except BrainError as error:
            return Outcome(frozenset(), str(error).replace(str(self.home.root), "HOME"))


def _look(dataset: Dataset, signals: Iterable[Signal]) -> tuple[dict[str, int], Tables]:
    """Return the checks that fail, with what they count, and what the signals' tables hold, as they are published."""
    checks = {one.name: wrong_rows(one, signal, dataset) for signal in signals for one in signal.checks}
    queries = {one.table: one.query for signal in signals for one in signal.publishes}
    return {name: count for name, count in checks.items() if count}, read_tables(dataset.store.connection, queries)


class World:
    """One or two datasets over a folder in which anything happens between runs."""

    def __init__(self, root: Path, signals: Collection[str]) -> None:
        self.root, self.signals, self.names = root, signals, ["one"]
        self.settings: Settings = {"split_from": "folder", "similarity": {"k": 3}, "runs": []}
        for folder in ("media", "labels", "predictions", "vectors"):
            (root / folder).mkdir()
        for name in ("main", "second"):
            self.vectors(name, {"nowhere.png": 0})

    def _workshop(self, home: str, name: str) -> Quick:
        """Declare a dataset; the second knows no splits and has runs and a graph of its own."""
        runs = [run | ({"model": self._precomputed(run["model"])} if run.get("model") == "second" else {})
                for run in self.settings["runs"]]  # fmt: skip
        own = {"split_from": "none", "similarity": {"k": 1}} if name == "two" else {}
        inputs = {role: [{"uri": str(self.root / role)}] for role in ("labels", "predictions")}
        given = {"embeddings": {"model": self._precomputed("main")}}
        settings = given | self.settings | {"runs": runs} | inputs | own
        return Quick(self.root / home, self.root / "media", name, **settings)

    def _precomputed(self, name: str) -> str:
        return f"precomputed:{self.root / 'vectors' / name}.npz"

    def _media(self, name: str) -> Path:
        path = self.root / "media" / name
        path.parent.mkdir(exist_ok=True)
        return path

    def beside(self) -> None:
        self.names = ["one", "two"]

    def calibrate_early(self) -> None:
        self.set("calibration", {"min_samples": 10, "sample_size": 10})
        self.set("builtin_model", {"min_samples": 10})

    def embed_pixels(self) -> None:
        """Give copies the same vector: that of their content, where given vectors are those of samples."""
        self.set("embeddings", {"model": PIXELS})

    def set(self, section: str, values: Any) -> None:
        self.settings |= {section: values}

    def runs(self, runs: list[Run]) -> None:
        self.settings |= {"runs": runs}
        check_declaration(load_dataset(self._workshop("home", "one").paths.config).settings)

    def picture(self, name: str, number: int) -> None:
        self._media(name).write_bytes(_image(name, number))

    def delete(self, name: str) -> None:
        self._media(name).unlink(missing_ok=True)

    def rename(self, name: str, other: str) -> None:
        if self._media(name).exists():
            self._media(name).rename(self._media(other))

    def copy(self, name: str, other: str) -> None:
        if self._media(name).exists() and name != other:
            self._media(other).write_bytes(self._media(name).read_bytes())

    def touch(self, name: str) -> None:
        if self._media(name).exists():
            os.utime(self._media(name))

    def corrupt(self, name: str, keep: int) -> None:
        if self._media(name).exists():
            self._media(name).write_bytes(self._media(name).read_bytes()[:keep])

    def archive(self, name: str, members: Mapping[str, int], keep: int | None) -> None:
        path = write_archive(self._media(name), {one: _image(one, number) for one, number in members.items()}, mtime=0)
        path.write_bytes(path.read_bytes()[:keep])

    def vectors(self, name: str, numbers: Mapping[str, int]) -> None:
        matrix = np.array([_vector(number, 3 + len(name)) for number in numbers.values()], np.float32)
        rows = {"filepath": np.array(list(numbers)), "vectors": matrix.reshape(len(numbers), -1)}
        np.savez(self.root / "vectors" / f"{name}.npz", **rows)

    def labels(self, file: str, labels: Mapping[str, str]) -> None:
        """Write labels, each also as a tag, and the splits that go by them where they do not go by folders."""
        rows = [
            {"filepath": name, "label": label, "tags": [label], "split": "train" if label == "cat" else "test"}
            for name, label in labels.items()
        ]
        (self.root / "labels" / f"{file}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))

    def predictions(self, file: str, model: str, kind: str, said: Mapping[str, tuple[str, int]]) -> None:
        rows = [{"filepath": name, "model": model, **_said(kind, *one)} for name, one in said.items()]
        (self.root / "predictions" / f"{file}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))

    def boxes(self, boxes: Mapping[str, list[list[Any]]]) -> None:
        images = [{"id": name, "file_name": name, "width": 8, "height": 8} for name in boxes]
        annotations = [
            {"image_id": name, "category_id": CLASSES.index(label), "bbox": BOXES[box]}
            for name, found in boxes.items()
            for label, box in found
        ]
        categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES)]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (self.root / "labels" / "boxes.json").write_text(json.dumps(content))

    def found(self, found: Mapping[str, list[list[Any]]], with_logits: bool) -> None:
        rows = [
            {"image_id": name, "category_id": CLASSES.index(label), "bbox": BOXES[box], "score": tenths / 10}
            | ({"logits": _logits(CLASSES, label, tenths)} if with_logits else {})
            for name, boxes in found.items()
            for label, box, tenths in boxes
        ]
        (self.root / "predictions" / "boxes.json").write_text(json.dumps(rows))

    def remove(self, role: str, file: str) -> None:
        for path in (self.root / role).glob(f"{file}.*"):
            path.unlink()

    def say(self, name: str, kind: EventKind, word: str) -> None:
        path = self._media(name)
        content = content_hash(path.read_bytes()) if path.exists() else None
        self._append(kind, word, sample_id(name), content)

    def say_of_object(self, number: int, kind: EventKind, word: str) -> None:
        """Speak of one of the objects of the first dataset."""
        workshop = self._workshop("home", "one")
        store = Store(workshop.paths.store)
        rows = store.rows(
            "select object_id, content_hash, model from objects join samples using (sample_id) order by all"
        )
        store.close()
        if not rows:
            return
        subject, content, model = rows[number % len(rows)]
        shape = json.dumps({"label": word, "label_field": "ground_truth", **SHAPES[number % len(SHAPES)]})
        if kind == "draw":
            self._append(kind, shape, f"{subject[:20]}{number:012x}", content)
        else:
            value = {"relabel": word, "reshape": shape, "confirm": shape if model != "ground_truth" else None}.get(kind)
            self._append(kind, value, subject, content)

    def say_of_pair(self, one: str, other: str, kind: EventKind) -> None:
        paths = [self._media(one), self._media(other)]
        if one == other or not all(path.exists() for path in paths):
            return
        contents = [content_hash(path.read_bytes()) for path in paths]
        if len(set(contents)) == 2:
            said = zip((one, other), contents, reversed(contents), strict=True)
            subjects = [(sample_id(name), content, json.dumps([partner])) for name, content, partner in said]
            for name in self.names:
                Events(self._workshop("home", name).paths.events).append(Event(kind, "ada"), subjects)

    def _append(self, kind: EventKind, word: str | None, subject: str, content: str | None) -> None:
        value = None if kind in ("keep", "drop") else word
        for name in self.names:
            events = Events(self._workshop("home", name).paths.events)
            events.append(Event(kind, "ada", value), [(subject, content)])

    def undo(self, back: int) -> None:
        for name in self.names:
            events = Events(self._workshop("home", name).paths.events)
            if events.last() > back:
                events.undo(events.last() - back, "bo")

    def recalibrate(self) -> None:
        for name in self.names:
            workshop = self._workshop("home", name)
            with open_dataset(workshop.home, name, Opening("recalibrate", "test")) as dataset:
                forget(dataset)

    def run(self) -> None:
        for name in self.names:
            self._workshop("home", name).bring(self.signals)

    def killed(self, after: int) -> None:
        with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Killed):
            patch.setattr(Store, "write", dying(Store.write, after))
            self.run()

    def compare(self) -> None:
        for name in self.names:
            self._compare(name)

    def _compare(self, name: str) -> None:
        """Check that a dataset is what its rebuild is, but for the rows of runs that fail, which stay as they were."""
        workshop, rebuild = self._workshop("home", name), self._workshop("rebuild", name)
        ours = workshop.bring(self.signals, look=True)
        give_events(workshop, rebuild)
        theirs = rebuild.bring(self.signals, look=True, given=workshop)
        assert ours.reason == theirs.reason, f"failure: {ours.reason!r}, that of a rebuild is {theirs.reason!r}"
        assert ours.failed == theirs.failed, f"failed: {ours.failed}, in a rebuild {theirs.failed}"
        # What a run that fails owes, such as scores of too few vectors, a rebuild owes as well.
        owed = theirs.wrong if ours.failed else {}
        assert ours.wrong == owed or ours.reason, f"checks: {ours.wrong}"
        assert_same_tables(ours.tables, theirs.tables, without=ours.failed)
        if "published" in self.signals and not ours.reason:
            assert_same_tables(published_tables(workshop), published_tables(rebuild), without=ours.failed)
            assert previews(workshop) == previews(rebuild), "previews: differ from those of a rebuild"
        shutil.rmtree(rebuild.paths.folder)


@functools.cache
def _image(name: str, number: int) -> bytes:
    """Return a picture; of each four numbers two give copies, and one a larger picture."""
    image = picture(number // 4, (11 if number % 4 == 3 else 8, 8))
    if number % 4 == 1:
        image = image.point(lambda value: min(value + 6, 255))
    return encoded(image, "BMP" if name.endswith("bmp") else "PNG")


def _vector(number: int, width: int) -> "np.ndarray[Any, Any]":
    """Return a vector; even and odd ones are close to each other, and that below 0 has no direction."""
    if number < 0:
        return np.zeros(width)
    near = np.random.default_rng(number).normal(size=width)
    return np.random.default_rng(1000 + number // 2).normal(size=width) + 0.05 * near


def _logits(classes: list[str], label: str, tenths: int) -> list[float]:
    return [tenths / 2 if name == label else number / 10 for number, name in enumerate(classes)]


def _said(kind: str, label: str, tenths: int) -> Settings:
    if kind == "label":
        return {"label": label}
    if kind == "confidence":
        return {"label": label, "confidence": tenths / 10}
    classes = [*CLASSES, "emu"]
    logits = _logits(classes, label, tenths)
    if kind == "probabilities":
        powers = np.exp(logits)
        return {"classes": classes, "probabilities": (powers / powers.sum()).tolist()}
    return {"classes": classes, "logits": logits}


def play(story: Story) -> None:
    """Do what a story says; raises AssertionError where the dataset is not what its rebuild is."""
    folder = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="brain-story-", dir=folder) as root, pytest.MonkeyPatch.context() as patch:
        # As small as these previews, so that packs are rewritten.
        patch.setattr(packs, "SMALL_PACK", 3000)
        world = World(Path(root), story.signals)
        for verb, *given in story.steps:
            getattr(world, verb)(*given)


def problem(story: Story) -> str | None:
    """Return how a story ends badly, None where it ends well."""
    try:
        play(story)
    except Exception as error:  # noqa: BLE001 - whatever a story runs into is what it found
        text = " ".join(str(error).split())
        return text if isinstance(error, AssertionError) and text else f"{type(error).__name__}: {text}"
    return None


def shorten(story: Story, found: str) -> Story:
    """Return a story of as few steps and signals as still end in the same way."""
    kind = found.partition(":")[0]

    def same(one: Story) -> bool:
        return (problem(one) or "").partition(":")[0] == kind

    size = len(story.steps) // 2
    while size:
        for start in range(len(story.steps) - size, -1, -size):
            shorter = replace(story, steps=story.steps[:start] + story.steps[start + size :])
            story = shorter if same(shorter) else story
        size //= 2
    for subject in story.subjects:
        fewer = replace(story, subjects=tuple(one for one in story.subjects if one != subject))
        story = fewer if fewer.subjects and same(fewer) else story
    return story


def main() -> None:
    """Tell the stories of some seeds, and print which end badly."""
    parser = seeds.parser("tests.stories", "story", __doc__)
    parser.add_argument("--whole", action="store_true", help="do not shorten what ends badly")
    given = parser.parse_args()

    def wrong(seed: int) -> str | None:
        story = Author(seed).story()
        found = problem(story)
        shown = story if given.whole or not found else shorten(story, found)
        return f"{found}\n{pprint.pformat(shown, width=120)}" if found else None

    seeds.tell(given, "stories", wrong)


if __name__ == "__main__":
    main()
