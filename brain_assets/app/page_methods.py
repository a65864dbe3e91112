"""Further runs of methods and other settings for the review page: declared in the dataset's file, and computed."""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brain_assets.app import changing
from brain_assets.app.run_options import as_yaml, options_of, said
from brain_assets.app.what_if import Supposed, what_if
from brain_assets.assets import catalog
from brain_assets.resources.errors import BrainError, MissingError
from brain_assets.resources.settings.configuration import DatasetSettings, load_dataset
from brain_assets.resources.settings.home import Home
from brain_assets.resources.store import locks
from brain_assets.review.methods import Method, Progress, Setting

STOP_SECONDS = 20
AGAIN_SECONDS = 3.0
BUSY = "a run that this page started is not done yet: wait for it, or cancel it"


class DeclaredMethods:
    """Has the sensors of the service take up what is declared, and runs a command where no service runs.

    Parameters
    ----------
    home : Home
    """

    def __init__(self, home: Home) -> None:
        self.home = home
        self._commands: dict[str, _Command] = {}
        self._supposing = threading.Lock()

    def offered(self, dataset: str) -> list[Method]:
        """Return the methods that can have further runs, with those that are declared."""
        settings = load_dataset(self.home.existing(dataset).config).settings
        return [
            Method(
                one.name,
                one.description,
                [run.brain_key for run in settings.runs if run.method == one.name],
                "where" in one.options,
                options_of(one, settings),
            )
            for one in catalog.ALL
            if one.options
        ]

    def compute(
        self, dataset: str, method: str, brain_key: str, where: str | None, options: Mapping[str, str] | None = None
    ) -> None:
        """Declare a run and have it computed; raises BrainError in one line, if there can be no such run."""
        self._require_idle(dataset)
        settings = load_dataset(self.home.existing(dataset).config).settings
        offered = options_of(catalog.BY_NAME[method], settings) if method in catalog.BY_NAME else []
        narrowed = {"where": where} if where else {}
        entry = {"brain_key": brain_key, "method": method, **narrowed, **said(options or {}, offered)}
        if brain_key in {run.brain_key for run in settings.runs}:
            raise BrainError(f"there is a run {brain_key!r} already: choose another key")
        changing.put_run(self.home, dataset, entry)
        if not self._is_served():
            self._start(dataset, "materialize", dataset)

    def delete(self, dataset: str, brain_key: str) -> None:
        """Have a declared run deleted, with its rows."""
        self._require_idle(dataset)
        if brain_key not in {run.brain_key for run in load_dataset(self.home.existing(dataset).config).settings.runs}:
            raise MissingError(f"dataset.yaml declares no run {brain_key!r}")
        self._start(dataset, "runs", dataset, "delete", brain_key)

    def setting(self, dataset: str, key: str) -> Setting:
        """Return a setting by its dotted key."""
        known = load_dataset(self.home.existing(dataset).config)
        found = next(one for one in known.values if one.key == key)
        return Setting(found.value, found.origin, found.description)

    def suppose(self, dataset: str, key: str, value: float | None) -> Mapping[str, Any]:
        """Return what would follow from a setting; one question after the other, as each holds the dataset."""
        with self._supposing:
            return what_if(self.home, dataset, Supposed({key: as_yaml(value)})).as_json()

    def assign(self, dataset: str, key: str, value: float | None) -> str | None:
        """Write a setting into the dataset's file, and have what follows computed; return what overrides it, if anything."""
        self._require_idle(dataset)
        overridden = changing.set_value(self.home, dataset, key, as_yaml(value))
        if not self._is_served():
            self._start(dataset, "materialize", dataset)
        return overridden

    def progress(self, dataset: str) -> Progress:
        """Return who works on the dataset, and why the last command failed."""
        running = locks.holder(self.home.existing(dataset).lock)
        command, place = self._commands.get(dataset), self._place(dataset)
        if command is not None and command.is_running:
            return Progress(running or "starting", None, place)
        return Progress(running, command.failure if command else None, place)

    def _place(self, dataset: str) -> str:
        """Return who would compute, and where, in words."""
        engine = load_dataset(self.home.existing(dataset).config).settings.engine
        by = (
            "the service of this home, after what it does now"
            if self._is_served()
            else "a command on this machine, now"
        )
        return by if engine == DatasetSettings.model_fields["engine"].default else f"{by}, heavy steps by {engine}"

    def cancel(self, dataset: str) -> bool:
        """Interrupt the command of the page, or have the service's run of the dataset terminated."""
        command = self._commands.get(dataset)
        if command is not None and command.is_running:
            command.interrupt()
            return True
        return self._is_served() and _terminate(self.home, dataset)

    def close(self) -> None:
        """Interrupt the commands that still run, and wait for them to have stopped."""
        for command in self._commands.values():
            command.stop()

    def _is_served(self) -> bool:
        return locks.holder(self.home.service_lock) is not None

    def _require_idle(self, dataset: str) -> None:
        if (command := self._commands.get(dataset)) is not None and command.is_running:
            raise BrainError(BUSY)

    def _start(self, dataset: str, *arguments: str) -> None:
        self._commands[dataset] = _Command(self.home.root, *arguments)


class _Command:
    """A command of ``brain`` in a process group of its own, and what it writes to standard error."""

    def __init__(self, home: Path, *arguments: str) -> None:
        descriptor, name = tempfile.mkstemp(prefix="brain-")
        self.errors = Path(name)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "brain_assets.app.cli", "--home", str(home), *arguments],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=descriptor,
        )
        os.close(descriptor)

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    @property
    def failure(self) -> str | None:
        """The last line that it wrote, where it failed."""
        if not self.process.returncode:
            return None
        lines = self.errors.read_text("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else f"it ended with code {self.process.returncode}"

    def interrupt(self) -> None:
        """Interrupt it as Ctrl-C does, and again while it goes on: an interrupt that comes amid an import can be lost.

        Ctrl-C itself is ignored by what a script has started in the background, and by all that this starts.
        """
        if self.is_running:
            self.process.terminate()
            again = threading.Timer(AGAIN_SECONDS, self.interrupt)
            again.daemon = True
            again.start()

    def stop(self) -> None:
        """Interrupt it and wait; insist where it does not stop."""
        if self.is_running:
            self.interrupt()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.errors.unlink(missing_ok=True)


def _terminate(home: Home, dataset: str) -> bool:
    """Have the run of a dataset that the service carries out terminated; return whether there was one."""
    import dagster as dg

    from brain_assets.assets.place import PARTITION_TAG
    from brain_assets.resources.settings import instance

    instance.prepare(home)
    with dg.DagsterInstance.get() as dagster:
        going = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED], tags={PARTITION_TAG: dataset})
        runs = [run.run_id for run in dagster.get_runs(going, limit=10)]
        stopped = [dagster.run_launcher.terminate(run_id) for run_id in runs]
        return any(stopped)
