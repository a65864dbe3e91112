"""Histories: what a service goes through, told from one integer, and whether all is well at its end and was throughout.

Whatever else happens, what is published is whole whenever somebody reads it, nothing that people said is lost, the sensors come
to rest once nothing goes wrong any more, and then everything equals what is computed from nothing.
"""

import contextlib
import logging
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import dagster as dg
import pytest

from brain_assets.answers.issues import issues
from brain_assets.answers.published import published
from brain_assets.assets import catalog
from brain_assets.assets.place import PARTITION_TAG, UNDER_WAY
from brain_assets.incremental.signal import Signal
from brain_assets.incremental.tables import make_tables
from brain_assets.incremental.update import bring_up_to_date, wrong_rows
from brain_assets.ingest import previews as packs
from brain_assets.resources.dataset import Opening, open_dataset
from brain_assets.resources.errors import BrainError, LockedError
from brain_assets.sensors import arrivals, looking
from brain_assets.sensors.arrivals import new_samples
from brain_assets.sensors.reviews import review_events
from brain_assets.sensors.slow_sources import LISTED_TAG
from tests import templates
from tests.simulation import faults
from tests.simulation.clock import Clock
from tests.simulation.readers import Reader
from tests.stories import MEMORY, NAMES, Author, World
from tests.workshop import (
    Workshop,
    assert_same_tables,
    copy_calibrations,
    give_events,
    previews,
    published_tables,
)

ALWAYS = ("reviews", "samples", "media", "exact_duplicates")
# What is cheap enough to be run many times in two seconds; of the signals before them only those that are named are run.
FAMILIES: tuple[tuple[str, ...], ...] = (
    (), ("ground_truth",), ("image_quality",), ("leaks",),
    ("predictions", "hardness"), ("ground_truth", "predictions", "hardness"),
    ("embeddings", "similarity", "uniqueness"),
)  # fmt: skip
STARTED, DONE = dg.DagsterEventType.RUN_START, dg.DagsterEventType.RUN_SUCCESS
AT_REST = ("up to date", "all that was said is taken in", "nothing published yet")
HOUR, DAY = 3600.0, 86400.0
# Rounds within which the sensors must come to rest.
ROUNDS = 8


class Writer(Author):
    """Writes what happens to the world, step by step."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.random = Random(f"world {seed}")
        self.subjects = (*ALWAYS, *self.random.choice(FAMILIES))
        self.signals = frozenset(self.subjects)

    def opening(self) -> list[Any]:
        """Return the steps that lay out a small dataset."""
        steps = list(self._opening())
        pictures = [step for step in steps if step[0] == "picture"]
        return [step for step in steps if step not in pictures[9:] and step != ("beside",)]

    def change(self) -> Any:
        """Return a step."""
        return self._same_time() if self._sometimes(0.1) else self._change()

    def _say_of_object(self) -> Any:
        """Speak of pictures alone: to know of objects, the store would have to be opened beside a run."""
        return self._say()

    def _same_time(self) -> Any:
        return "alike", self._name(), self.random.randrange(1 << 16)


class Scene(World):
    """The world, with what only a simulation does to it."""

    def alike(self, name: str, number: int) -> None:
        """Change a byte of a file and leave its size and time as they were."""
        path = self._media(name)
        if path.exists() and (data := bytearray(path.read_bytes())):
            data[number % len(data)] ^= 1
            faults.write_alike(path, bytes(data))

    def workshop(self, home: str) -> Workshop:
        """Return the dataset as it is declared now."""
        return self._workshop(home, "one")

    def do(self, step: Any) -> None:
        """Do a step."""
        verb, *given = step
        getattr(self, verb)(*given)


class History:
    """One history under way.

    Parameters
    ----------
    seed : int
    root : Path
        An empty folder.
    instance : DagsterInstance
    """

    def __init__(self, seed: int, root: Path, instance: dg.DagsterInstance) -> None:
        self.seed, self.instance = seed, instance
        self.writer, self.random = Writer(seed), Random(f"service {seed}")
        self.chain = _chain(self.writer.signals)
        self.scene = Scene(root, self.writer.signals)
        self.home = root / "home"
        self.clock, self.disk = Clock(), faults.Disk(self.home)
        self.cursors: dict[str, str | None] = {}
        self.reasons: dict[str, str] = {}
        self.reader: Reader
        self.said = self.runs = 0
        self.slow = False
        self.failed: frozenset[str] = frozenset()
        self.reason = ""
        self.log: list[str] = []

    def play(self) -> None:
        """Let it all happen; raises AssertionError where something is not as it should be."""
        with self._patched():
            self.scene.do(("set", "sensor", {"attempts": 3}))
            for step in self.writer.opening():
                self.scene.do(step)
            workshop = self.scene.workshop("home")
            (self.home / "settings.yaml").write_text("lock_timeout: 0\n")
            self.reader = Reader(workshop.paths.folder)
            for _ in range(self.random.randint(6, 11)):
                self._turn()
            self._come_to_rest()
            self._compare()

    @contextlib.contextmanager
    def _patched(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch, self.clock.running(), self.disk.watched():
            logging.disable(logging.INFO)
            patch.setenv("BRAIN_HOME", str(self.home))
            patch.setattr(packs, "SMALL_PACK", 3000)
            patch.setattr(catalog, "ALL", self.chain)
            patch.setattr(arrivals, "look_at", self._look_at)
            patch.setattr(uuid, "uuid4", self._name_of_run)
            try:
                yield
            finally:
                logging.disable(logging.NOTSET)

    def _name_of_run(self) -> uuid.UUID:
        self.runs += 1
        return uuid.UUID(int=(self.seed << 32) + self.runs)

    def _look_at(self, datasets: Any) -> Iterator[tuple[str, looking.Found | None]]:
        """Look one by one, in this thread; a slow source takes too long for any tick."""
        for paths in datasets:
            yield paths.name, None if self.slow else looking.look(paths)

    def _turn(self) -> None:
        turns: list[tuple[int, Callable[[], None]]] = [
            (6, self._change), (4, self._tick), (4, self._run_next), (1, self._run_by_hand), (1, self._read), (1, self._jump),
            (1, self._slow_down),
        ]  # fmt: skip
        (turn,) = self.random.choices([one for _, one in turns], [weight for weight, _ in turns])
        self.log.append(turn.__name__)
        turn()

    def _change(self) -> None:
        for _ in range(self.random.choice([1, 1, 2, 4])):
            self._step()

    def _step(self) -> None:
        step = self.writer.change()
        self.log.append(repr(step))
        # A declaration is only ever written by hands that look at what they wrote.
        with contextlib.suppress(LockedError):
            self.scene.do(step)

    def _jump(self) -> None:
        self.clock.jump(self.random.choice([60.0, HOUR, DAY, 40 * DAY, -60.0, -HOUR, -DAY]))

    def _slow_down(self) -> None:
        self.slow = not self.slow

    def _read(self) -> None:
        self.random.choice([self.reader.look, self.reader.hold, self.reader.release])()

    def _tick(self) -> None:
        """Have both sensors look, and note the runs that they ask for as the daemon does."""
        for sensor in (new_samples, review_events):
            context = dg.build_sensor_context(self.instance, cursor=self.cursors.get(sensor.name))
            result = sensor(context)
            assert isinstance(result, dg.SensorResult)
            self.cursors[sensor.name] = result.cursor
            skipped = result.skip_reason
            self.reasons[sensor.name] = str(getattr(skipped, "skip_message", skipped) or "asked").partition(": ")[2]
            for request in result.run_requests or []:
                tags = {**request.tags, PARTITION_TAG: str(request.partition_key)}
                tags = dict(request.tags) if LISTED_TAG in request.tags else tags
                run_id = str(uuid.uuid4())
                self.instance.add_run(dg.DagsterRun(request.job_name or "refresh", run_id=run_id, tags=tags))
        self.clock.sleep(5)

    def _note(self, run: dg.DagsterRun, kind: dg.DagsterEventType) -> None:
        self.instance.report_dagster_event(dg.DagsterEvent(kind.value, run.job_name), run.run_id)

    def _run_next(self, *, calm: bool = False) -> bool:
        """Start the run that waits longest, if one does."""
        waiting = self.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.NOT_STARTED]))
        if not waiting:
            return False
        run = waiting[-1]
        self._note(run, STARTED)
        if LISTED_TAG in run.tags:
            looking.write_down(self.scene.workshop("home").paths)
            self._note(run, DONE)
            return True
        # Of one that is killed nobody hears any more.
        with contextlib.suppress(faults.Killed):
            self._bring(run.run_id, calm=calm)
            if self.reason:
                self.instance.report_run_failed(run, self.reason)
            else:
                self._note(run, DONE)
        return True

    def _run_by_hand(self) -> None:
        with contextlib.suppress(faults.Killed):
            self._bring(str(uuid.uuid4()), calm=False)

    def _bring(self, run_id: str, *, calm: bool) -> None:
        """Bring the dataset up to date, while at some moments something else happens."""
        chance, workshop = Random(f"run {self.seed} {run_id}"), self.scene.workshop("home")
        with ExitStack() as stack:
            if not calm:
                for trouble in self._troubles(chance):
                    stack.enter_context(trouble)
            stack.enter_context(self.disk.run({} if calm else self._plan(chance)))
            if not calm and chance.random() < 0.3:
                self.disk.after_listing = self._step
            self._perform(workshop, run_id)
        self.log.append(f"run: {self.reason or 'done'} ({self.disk.count} moments)")
        if chance.random() < 0.3:
            self.reader.look()

    def _troubles(self, chance: Random) -> Iterator[contextlib.AbstractContextManager[None]]:
        if chance.random() < 0.15:
            self.disk.largest = chance.choice([100, 5_000, 50_000, 1_600_000, 1_900_000])
            self.log.append(f"no file grows beyond {self.disk.largest}")
        if chance.random() < 0.2:
            yield faults.halting_reads()
        if chance.random() < 0.15:
            self.log.append("forbidden")
            yield faults.forbidden([self.home.parent / "media" / name for name in chance.sample(NAMES, 5)])

    def _plan(self, chance: Random) -> dict[int, faults.Action]:
        """Return what happens at which moments of a run, of which there are some hundred."""
        actions: list[tuple[int, faults.Action]] = [
            (4, self.disk.kill), (3, self._step), (2, self.reader.look), (1, self.reader.hold), (1, self._second_writer),
            (1, self._tick), (1, self._jump), (1, lambda: self.disk.fill(chance.randint(1, 4))),
        ]  # fmt: skip
        moments = chance.sample(range(1, 140), chance.choice([0, 1, 2, 4]))
        chosen = chance.choices([one for _, one in actions], [weight for weight, _ in actions], k=len(moments))
        return dict(zip(moments, chosen, strict=True))

    def _second_writer(self) -> None:
        """Want to write while a run is under way: refused, and nothing else happens."""
        workshop = self.scene.workshop("home")
        try:
            with open_dataset(workshop.home, workshop.name, Opening("second", "a second run")):
                raise AssertionError("lock: two runs hold one dataset")
        except LockedError:
            pass

    def _perform(self, workshop: Workshop, run_id: str, given: Workshop | None = None) -> dict[str, int]:
        """Run all signals; return the checks that fail."""
        self.reason, self.failed = "", frozenset()
        try:
            with open_dataset(workshop.home, workshop.name, Opening(run_id, "run", self._selected)) as dataset:
                dataset.store.connection.execute("set threads = 1")
                make_tables(dataset.store, self.chain, run_id)
                if given:
                    copy_calibrations(given, dataset.store)
                reports = [bring_up_to_date(signal, dataset) for signal in self.chain]
                self.failed = frozenset(key for report in reports for key in report.failed)
                checks = {one.name: wrong_rows(one, signal, dataset) for signal in self.chain for one in signal.checks}
                return {name: count for name, count in checks.items() if count}
        except BrainError as error:
            self.reason = str(error).replace(str(workshop.home.root), "HOME")
            return {}

    @property
    def _selected(self) -> frozenset[str]:
        return frozenset(signal.name for signal in self.chain)

    def _come_to_rest(self) -> None:
        """Let nothing go wrong any more, and wait until nothing is left to do."""
        self.slow = False
        self.log.append("calm")
        # What was set last is in the file when the last look is taken, as its author's hand left it.
        self.scene.workshop("home")
        for _ in range(ROUNDS):
            self.clock.sleep(HOUR)
            self._tick()
            while self._run_next(calm=True):
                pass
            resting = all(reason.startswith(AT_REST) for reason in self.reasons.values())
            if resting and not self.instance.get_runs_count(dg.RunsFilter(statuses=UNDER_WAY)):
                break
        else:
            # What was tried in vain while something was wrong is tried again when somebody asks for it.
            tried = all(reason.startswith((*AT_REST, "gave up after")) for reason in self.reasons.values())
            assert tried or self.reason, f"rest: {self.reasons}"
        self.reader.look()
        self.reader.release()

    def _compare(self) -> None:
        """Check that what is published is what is computed from nothing."""
        workshop, rebuild = self.scene.workshop("home"), self.scene.workshop("rebuild")
        resting = all(reason.startswith(AT_REST) for reason in self.reasons.values())
        before = os.readlink(workshop.paths.published / "current") if resting else None
        wrong = self._perform(workshop, "last")
        ours = (self.reason, self.failed)
        assert not wrong, f"checks: {wrong}"
        assert not resting or os.readlink(workshop.paths.published / "current") == before, (
            "rest: a run found more to do"
        )
        give_events(workshop, rebuild)
        self._perform(rebuild, "rebuild", given=workshop)
        assert ours == (self.reason, self.failed), f"failure: {ours}, that of a rebuild is {(self.reason, self.failed)}"
        if not self.reason:
            assert_same_tables(published_tables(workshop), published_tables(rebuild), without=self.failed)
            assert previews(workshop) == previews(rebuild), "previews: differ from those of a rebuild"


def _chain(names: frozenset[str]) -> tuple[Signal, ...]:
    """Return the signals of some names, and what answers from these alone."""
    chosen = [signal for signal in catalog.ALL if signal.name in names]
    answers = [issues(chosen)] if "image_quality" in names or "leaks" in names else []
    return (*chosen, *answers, published([*chosen, *answers]))


def problem(seed: int, *, log: bool = False) -> str | None:
    """Return how the history of a seed goes wrong, None where all is well."""
    folder = MEMORY if os.access(MEMORY, os.W_OK) else None
    # Before anything goes wrong.
    templates.migrated()
    with tempfile.TemporaryDirectory(prefix="brain-history-", dir=folder) as root, _instance() as instance:
        history = None
        try:
            history = History(seed, Path(root), instance)
            history.play()
        except (Exception, faults.Killed) as error:  # noqa: BLE001 - whatever a history runs into is what it found
            text = " ".join(str(error).split()).replace(root, "ROOT")
            found = text if isinstance(error, AssertionError) and text else f"{type(error).__name__}: {text}"
            if log and history:
                import traceback

                traceback.print_exception(error)
                print("\n".join(history.log))
            return found
        finally:
            if history and hasattr(history, "reader"):
                history.reader.forget()
    return None


@contextlib.contextmanager
def _instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as one:
        yield one
