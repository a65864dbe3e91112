"""The service: the sensors' daemon, Dagster's pages and the review page, started, guarded and stopped together.

Nothing that is opened can be used by others: both pages ask for the session, the code server listens on a socket in a
folder of its owner's alone, and every file is its owner's alone.
"""

import errno
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click
import yaml

from brain_assets.resources.errors import BrainError, ConfigurationError
from brain_assets.resources.settings import instance
from brain_assets.resources.settings.home import Home
from brain_assets.resources.settings.private import private_files
from brain_assets.resources.store import locks
from brain_assets.review.security import is_loopback
from brain_assets.sensors import waiting

HOST = "127.0.0.1"
TOKEN = "BRAIN_REVIEW_TOKEN"
SHORTEST_TOKEN = 16
LOCATION = "brain_assets.definitions"
START_SECONDS, STOP_SECONDS = 120, 20
MOST_LOG = 16 << 20
# A socket's path may have some hundred bytes, which the usual folder for temporary files may exceed.
LONGEST_FOLDER = 60


class Service:
    """Processes that live and end together, and the file that all of them write to.

    Parameters
    ----------
    log : Path
        The file; what was in it before is kept beside it.
    folder : Path
        For sockets; readable by its owner alone.
    """

    def __init__(self, log: Path, folder: Path) -> None:
        self.log, self.folder = log, folder
        self.parts: dict[str, subprocess.Popen[bytes]] = {}
        self.turn_log(0)

    def turn_log(self, most: int = MOST_LOG) -> None:
        """Start a new log where it is larger; those who write to it continue at its new end."""
        if self.log.exists() and self.log.stat().st_size > most:
            shutil.copyfile(self.log, self.log.with_name(f"{self.log.name}.1"))
            os.truncate(self.log, 0)

    @property
    def workspace(self) -> Path:
        """The file that tells Dagster where the code server listens."""
        return self.folder / "workspace.yaml"

    def start(self, name: str, *command: str, environment: Mapping[str, str] | None = None) -> None:
        """Start a module with arguments, in a process group of its own; it ends when this process does.

        What it writes to standard output is dropped: the review page's is the link with its token.
        """
        with self.log.open("ab") as out:
            self.parts[name] = subprocess.Popen(
                [sys.executable, "-m", "brain_assets.app.attended", *command],
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=out,
                env={**os.environ, "TMPDIR": str(self.folder), **(environment or {})},
            )

    def require_alive(self) -> None:
        """Raise BrainError when one of the parts has ended by itself."""
        for name, process in self.parts.items():
            if process.poll() is not None:
                raise BrainError(f"{name} ended with code {process.returncode}; the end of {self.log} says why")

    def await_answer(self, url: str) -> None:
        """Wait until a page answers, if only by asking who is there."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            self.require_alive()
            try:
                urllib.request.urlopen(url, timeout=5).close()
                return
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.2)
        raise BrainError(f"{url} does not answer; the end of {self.log} may say why")

    def stop(self) -> None:
        """Stop all parts with all they started: ask first, then insist."""
        self.workspace.unlink(missing_ok=True)
        for process in self.parts.values():
            _signal(process, signal.SIGINT)
        for process in self.parts.values():
            _end(process)


@contextmanager
def background(home: Home, purpose: str) -> Iterator[Service]:
    """Run the code server and the daemon with its sensors while the block runs.

    Parameters
    ----------
    home : Home
    purpose : str
        What runs, reported to whoever wants to start a second service.

    Raises
    ------
    LockedError
        If a service runs on this home already.
    BrainError
        If one of the parts does not start.
    """
    home.root.mkdir(parents=True, exist_ok=True)
    with (
        locks.exclusive(home.service_lock, purpose),
        private_files(home.root),
        tempfile.TemporaryDirectory(prefix="brain-", dir=_folder_for_sockets()) as folder,
    ):
        instance.prepare(home)
        service = Service(home.service_log, Path(folder))
        try:
            _start_code_server(service)
            service.start(
                "the daemon", "brain_assets.app.daemon", "run", "-w", str(service.workspace), "--log-level", "warning"
            )
            yield service
        finally:
            service.stop()


def serve(home: Home, port: int, review_port: int, *, browser: bool, host: str = HOST) -> None:
    """Run until interrupted, telling in one line what each run found.

    Parameters
    ----------
    home : Home
    port, review_port : int
        Where Dagster's pages and the review page listen.
    browser : bool
        Whether a browser is opened.
    host : str
        The address that both listen on.

    Raises
    ------
    ConfigurationError
        If the token that the environment gives is too short to keep anybody out, or there is none where others can come.
    LockedError
        If a service runs on this home already.
    BrainError
        If a port is taken, or one of the parts ends by itself.
    """
    pages, review = address(host, port), address(host, review_port)
    os.environ["BRAIN_REVIEW_URL"] = review
    token = _token(host)
    with background(home, f"brain up at {pages}") as service:
        _require_free(host, port, "--port")
        _require_free(host, review_port, "--review-port")
        start_pages(service, port, token, host)
        arguments = ["--home", str(home.root), "review", "--host", host, "--port", str(review_port), "--no-browser"]
        service.start("the review page", "brain_assets.app.cli", *arguments, environment={TOKEN: token})
        for page in (pages, review):
            service.await_answer(page)
        _announce(pages, review, token, browser=browser)
        _tell_of_runs(home, service)


def address(host: str, port: int) -> str:
    """Return where a page is found that listens on an address; this machine finds what listens on all of its own here."""
    here = {"0.0.0.0": HOST, "::": "::1"}.get(host, host)
    return f"http://[{here}]:{port}" if ":" in here else f"http://{here}:{port}"


def _token(host: str) -> str:
    """Return what opens the pages: what the environment gives, or a fresh one where only this machine can reach them."""
    token = os.environ.get(TOKEN)
    if not token and not is_loopback(host):
        raise ConfigurationError(
            f"other machines can reach {host}: set {TOKEN} to a secret of yours, which opens the pages"
        )
    token = token or secrets.token_urlsafe(24)
    if len(token) < SHORTEST_TOKEN:
        raise ConfigurationError(f"{TOKEN} must have at least {SHORTEST_TOKEN} characters")
    return token


def start_pages(service: Service, port: int, token: str, host: str = HOST) -> None:
    """Start Dagster's pages behind their guard."""
    arguments = ["--workspace", str(service.workspace), "--host", host, "--port", str(port)]
    service.start("dagster", "brain_assets.app.dagster_pages", *arguments, environment={TOKEN: token})


def _start_code_server(service: Service) -> None:
    """Start what loads the definitions, and wait until it answers."""
    listening = service.folder / "code"
    where = {"socket": str(listening), "host": "localhost", "location_name": LOCATION}
    service.workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": where}]}), "utf-8")
    command = ["--socket", str(listening), "-m", LOCATION, "--location-name", LOCATION, "--log-level", "warning"]
    # Ticks of sensors wait for something to happen, until the service stops.
    patient = {waiting.WHILE: str(service.workspace)}
    service.start("the code server", "brain_assets.app.code_server", *command, environment=patient)
    deadline = time.monotonic() + START_SECONDS
    while not _answers(listening):
        service.require_alive()
        if time.monotonic() > deadline:
            raise BrainError(f"the code server does not answer; the end of {service.log} may say why")


def _answers(listening: Path) -> bool:
    import grpc

    with grpc.insecure_channel(f"unix:{listening}") as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=0.5)
        except grpc.FutureTimeoutError:
            return False
    return True


def _folder_for_sockets() -> str:
    usual = tempfile.gettempdir()
    return usual if len(usual) <= LONGEST_FOLDER else "/tmp"


def _end(process: subprocess.Popen[bytes]) -> None:
    for kind, patience in ((None, STOP_SECONDS), (signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        if process.poll() is not None:
            break
        if kind:
            _signal(process, kind)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
    _signal(process, signal.SIGKILL)


def _signal(process: subprocess.Popen[bytes], kind: signal.Signals) -> None:
    try:
        os.killpg(process.pid, kind)
    except ProcessLookupError:
        return


def _require_free(host: str, port: int, option: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise BrainError(f"port {port} is taken: choose another with {option}") from None
            raise BrainError(f"nothing can listen on {host} port {port}: {error.strerror or error}") from None


def _announce(pages: str, review: str, token: str, *, browser: bool) -> None:
    link = f"{pages}/?token={token}"
    click.echo(f"review page:      {review}/?token={token}\nlineage and runs: {link}")
    if browser:
        threading.Thread(target=webbrowser.open, args=(link,), daemon=True).start()


def _tell_of_runs(home: Home, service: Service) -> None:
    from brain_assets.app.run_news import RunNews

    with RunNews(home) as news:
        while True:
            service.require_alive()
            service.turn_log()
            for line in news.lines():
                click.echo(line)
            time.sleep(1)
