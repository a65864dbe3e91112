"""`dagster dev` as a process, and what it answers."""

import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from brain_assets.app.demo import free_port
from brain_assets.resources.errors import MissingError

PATIENCE = 300
ASSETS = "query { assetNodes { assetKey { path } } }"


class Dev:
    """`dagster dev`, in a process group of its own."""

    def __init__(self, python: str, folder: Path, environment: Mapping[str, str], log: Path, *options: str) -> None:
        self.port, self.log = free_port(), log.open("w")
        self.process = subprocess.Popen(
            [python, "-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(self.port), *options],
            cwd=folder,
            env=environment,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )

    def query(self, query: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": variables or {}}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as reply:
            answer: dict[str, Any] = json.load(reply)["data"]
        return answer

    def assets(self) -> set[str]:
        """Return the assets that the pages show, their names parted by slashes."""
        return {"/".join(one["assetKey"]["path"]) for one in self.query(ASSETS)["assetNodes"]}

    def wait(self, probe: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"the service died: {Path(self.log.name).read_text()[-2000:]}"
            try:
                if found := probe():
                    return found
            except (OSError, MissingError):
                pass
            time.sleep(0.3)
        raise AssertionError(f"waited in vain for {what}: {Path(self.log.name).read_text()[-3000:]}")

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.log.close()


@contextlib.contextmanager
def shown(python: str, folder: Path, environment: Mapping[str, str], module: str) -> Iterator[set[str]]:
    """Start `dagster dev` of a module in a folder, with a history of its own, and give the assets that its pages show."""
    history = folder / "dagster_home"
    history.mkdir()
    (history / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    given = {**environment, "DAGSTER_HOME": str(history)}
    dev = Dev(python, folder, given, folder / "dagster_dev.log", "-m", module)
    try:
        yield dev.wait(dev.assets, "assets")
    finally:
        dev.stop()
