"""`brain up` as a process, what it opens, and somebody who tries to use that."""

import contextlib
import http.client
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from brain_assets.app.demo import free_port
from brain_assets.resources.settings.home import Home

ROOT = Path(__file__).parents[2]
PATIENCE = 240
LISTENING = "0A"


@dataclass
class Up:
    """A running `brain up`."""

    home: Home
    process: subprocess.Popen[str]
    links: dict[str, str] = field(default_factory=dict)
    lines: "queue.Queue[str]" = field(default_factory=queue.Queue)

    def __post_init__(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout
        with self.process.stdout as printed:
            for line in printed:
                self.lines.put(line)

    def line(self) -> str:
        """Return the next line that it prints."""
        try:
            return self.lines.get(timeout=PATIENCE)
        except queue.Empty:
            raise AssertionError(f"nothing was printed: {self.log()[-3000:]}") from None

    def log(self) -> str:
        return self.home.service_log.read_text() if self.home.service_log.exists() else ""

    def address(self, page: str) -> str:
        return urlsplit(self.links[page]).netloc

    def cookie(self, page: str) -> str:
        """Sign in by the link that was printed."""
        link = urlsplit(self.links[page])
        status, headers, _ = request(link.netloc, "GET", f"/?{link.query}")
        assert (status, headers["location"]) == (303, "/")
        return headers["set-cookie"].split(";")[0]

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(60)
        finally:
            self.process.kill()


def start_up(home: Home) -> Up:
    """Start the service and wait for its two links."""
    environment = {**os.environ, "BRAIN_SENSOR_INTERVAL": "1", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    up = Up(home, subprocess.Popen(
        [*command(home), "up", "--port", str(free_port()), "--review-port", str(free_port()), "--no-browser"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=ROOT, umask=0o022,
    ))  # fmt: skip
    try:
        for _ in range(2):
            told = up.line()
            name, _, link = told.partition(": ")
            assert link.strip().startswith("http://127.0.0.1:"), told
            up.links[name.split()[0]] = link.strip()
    except AssertionError:
        up.stop()
        raise
    return up


def command(home: Home) -> list[str]:
    return [sys.executable, "-m", "brain_assets.app.cli", "--home", str(home.root)]


def request(
    address: str, method: str, target: str, headers: dict[str, str] | None = None, body: str | None = None
) -> tuple[int, http.client.HTTPMessage, str]:
    """Return status, headers and body of what is answered."""
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request(method, target, body, headers or {})
        reply = connection.getresponse()
        text = "" if reply.status == 101 else reply.read().decode("utf-8", "replace")
        return reply.status, reply.headers, text
    finally:
        connection.close()


def descendants(process: int) -> set[int]:
    """Return a process and all that it has started, and they have."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
    found = {process}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def sockets_of(processes: set[int]) -> set[str]:
    """Return the inodes of the sockets that processes hold."""
    found = set()
    for process in processes:
        with contextlib.suppress(OSError):
            for descriptor in Path(f"/proc/{process}/fd").iterdir():
                with contextlib.suppress(OSError):
                    target = os.readlink(descriptor)
                    if target.startswith("socket:["):
                        found.add(target[8:-1])
    return found


def listening_ports(processes: set[int]) -> set[int]:
    """Return the ports on which processes listen, by whatever address."""
    held, found = sockets_of(processes), set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == LISTENING and columns[9] in held:
                found.add(int(columns[1].rpartition(":")[2], 16))
    return found


def listening_paths(processes: set[int]) -> set[Path]:
    """Return the unix sockets with a path in the file system, or an abstract name, on which processes listen."""
    held, found = sockets_of(processes), set()
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        columns = line.split()
        listens = int(columns[3], 16) & 0x10000
        if listens and columns[6] in held and len(columns) > 7:
            found.add(Path(columns[7]))
    return found


def wait_until_gone(processes: set[int], seconds: float) -> set[int]:
    """Return which of some processes are still there after a while."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and (left := {one for one in processes if _lives(one)}):
        time.sleep(0.2)
    return {one for one in processes if _lives(one)} if left else set()


def _lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
