"""Nothing leaves this machine, and no library keeps anything for its maker: neither from Python nor from native code."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from brain_assets.app.demo import free_port
from brain_assets.resources.settings.home import Home
from brain_assets.resources.store.publishing import manifest
from brain_assets.resources.telemetry import OFF
from tests.workshop import write_pictures

ROOT = Path(__file__).parents[2]
PATIENCE = 800
# A network of one operator, made and run as a model file of a user's is.
ONE_SESSION = """
import sys
import numpy as np
import onnx
from onnx import TensorProto, helper
from pathlib import Path
from brain_assets.resources.models.embedding_models import load_model
values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, *sides]) for name, sides in
          (("images", (8, 8)), ("vectors", (1, 1)))]
graph = helper.make_graph([helper.make_node("GlobalAveragePool", ["images"], ["vectors"])], "g", values[:1], values[1:])
folder = Path(sys.argv[1])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
onnx.save(model, folder / "model.onnx")
loaded = load_model(f"onnx:{folder / 'model.onnx'}", device="cpu", cache=folder)
loaded.embed(np.zeros((2, 8, 8, 3), np.uint8))
"""


class Cage:
    """An environment in which only this machine can be reached, and a home of its own."""

    def __init__(self, folder: Path, library: Path) -> None:
        self.user, self.log = folder / "user", folder / "refused.log"
        self.user.mkdir()
        kept = {name: value for name, value in os.environ.items() if name not in OFF and not name.startswith("XDG_")}
        self.environment: Mapping[str, str] = kept | {
            "HOME": str(self.user),
            "LD_PRELOAD": str(library),
            "REFUSED_LOG": str(self.log),
            "PYTHONPATH": str(ROOT),
            "BRAIN_HOME": str(folder / "brain"),
            "BRAIN_SENSOR_INTERVAL": "1",
        }

    def refused(self) -> list[str]:
        return sorted(set(self.log.read_text().splitlines())) if self.log.exists() else []

    def kept_for_makers(self) -> list[str]:
        """Return what was written into the user's home, where nothing of ours belongs."""
        return sorted(str(path.relative_to(self.user)) for path in self.user.rglob("*") if path.is_file())

    def run(self, *command: str) -> None:
        done = subprocess.run(command, env=self.environment, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture
def cage(tmp_path: Path) -> Cage:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("a C compiler on Linux is needed to see what native code connects to")
    library = tmp_path / "refuse.so"
    source = Path(__file__).with_name("refuse.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return Cage(tmp_path, library)


def test_the_cage_sees_python_and_lets_this_machine_through(cage: Cage) -> None:
    script = """
import socket
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname()).close()
for reach in (lambda: socket.create_connection(("192.0.2.1", 80), 1), lambda: socket.getaddrinfo("example.org", 80)):
    try:
        reach()
    except OSError:
        continue
    raise SystemExit("it was let through")
"""
    cage.run(sys.executable, "-c", script)
    assert cage.refused() == ["connect 192.0.2.1", "getaddrinfo example.org"]


def test_a_session_of_onnx_runtime_tells_nobody(cage: Cage, tmp_path: Path) -> None:
    cage.run(sys.executable, "-c", ONE_SESSION, str(tmp_path))
    assert (cage.refused(), cage.kept_for_makers()) == ([], [])


@pytest.mark.parametrize("package", ["brain_assets", "brain_assets.resources", "brain_assets.sensors"])
def test_every_package_switches_telemetry_off_first(package: str) -> None:
    script = f"import os, {package}; assert {OFF!r}.items() <= os.environ.items()"
    environment = {name: value for name, value in os.environ.items() if name not in OFF}
    subprocess.run([sys.executable, "-c", script], env=environment, cwd=ROOT, check=True)


@pytest.fixture
def service(cage: Cage, tmp_path: Path) -> Iterator[list[str]]:
    """`brain up` over a new dataset: the addresses of Dagster's pages and of the review page."""
    ports = free_port(), free_port()
    write_pictures(tmp_path / "media", range(12))
    brain = [sys.executable, "-m", "brain_assets.app.cli"]
    cage.run(*brain, "add", "flowers", "--media", str(tmp_path / "media"))
    log = tmp_path / "up.log"
    with log.open("wb") as out:
        up = [*brain, "up", "--no-browser", "--port", str(ports[0]), "--review-port", str(ports[1])]
        process = subprocess.Popen(
            up, env=cage.environment, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    home = Home(tmp_path / "brain")
    deadline = time.monotonic() + PATIENCE
    while manifest(home.paths("flowers").published) is None:
        waiting = process.poll() is None and time.monotonic() < deadline
        assert waiting, log.read_text()[-2000:]
        time.sleep(1)
    yield [link_to(port, log.read_text()) for port in ports]
    process.send_signal(signal.SIGINT)
    process.wait(60)


def link_to(port: int, text: str) -> str:
    """Return the address that was printed for a port, with its token where it has one."""
    found = re.findall(rf"http://127\.0\.0\.1:{port}\S*", text)
    return max(found, key=len, default=f"http://127.0.0.1:{port}/")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_whole_chain_the_pages_and_the_service_reach_nobody(cage: Cage, service: list[str]) -> None:
    visitor = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    for address in service:
        visitor.open(address, timeout=60).read()
    time.sleep(5)
    assert (cage.refused(), cage.kept_for_makers()) == ([], [])
