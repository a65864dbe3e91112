"""The service: Dagster's pages, the daemon with its sensors, and the review page, started and stopped together."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import webbrowser
from pathlib import Path

import click

from resources import instance
from resources.errors import BrainError
from resources.home import Home

HOST = "127.0.0.1"
STOP_SECONDS = 20


def serve(home: Home, port: int, review_port: int, *, browser: bool) -> None:
    """Run until interrupted.

    Raises
    ------
    BrainError
        If a port is taken, or one of the parts ends by itself.
    """
    instance.prepare(home)
    _require_free(port, "--port")
    _require_free(review_port, "--review-port")
    os.environ["BRAIN_REVIEW_URL"] = f"http://{HOST}:{review_port}"
    parts = {"dagster": start_dagster(port), "review": _start_review(home, review_port)}
    try:
        _announce(port, parts["dagster"], browser=browser)
        _wait(parts)
    finally:
        for part in parts.values():
            stop(part)


def start_dagster(port: int, log: Path | None = None) -> subprocess.Popen[bytes]:
    """Start webserver and daemon in a process group of their own; what they say goes to the terminal, or to a file."""
    command = [sys.executable, "-m", "dagster", "dev", "-m", "brain_assets.definitions", "-h", HOST, "-p", str(port)]
    command += ["--log-level", "warning"]
    if log is None:
        return subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL)
    with log.open("wb") as out:
        return subprocess.Popen(
            command, start_new_session=True, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a process with all it started: ask first, then insist."""
    for kind, patience in ((signal.SIGINT, STOP_SECONDS), (signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        if process.poll() is None:
            _signal(process.pid, kind)
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                continue
    _signal(process.pid, signal.SIGKILL)


def _signal(group: int, kind: signal.Signals) -> None:
    try:
        os.killpg(group, kind)
    except ProcessLookupError:
        return


def _start_review(home: Home, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "brain_assets.review", "--home", str(home.root), "--port", str(port)]
    return subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL)


def _require_free(port: int, option: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise BrainError(f"port {port} is taken: choose another with {option}") from None


def _announce(port: int, process: subprocess.Popen[bytes], *, browser: bool) -> None:
    url = f"http://{HOST}:{port}"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/server_info", timeout=2).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
            continue
        click.echo(
            f"lineage and runs: {url}\nsensors are on: drop images into a dataset's folder; Ctrl-C stops the service"
        )
        if browser:
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
        return


def _wait(parts: dict[str, subprocess.Popen[bytes]]) -> None:
    while True:
        for name, process in parts.items():
            if process.poll() is not None:
                raise BrainError(f"{name} ended with code {process.returncode}; its last lines above say why")
        time.sleep(0.5)
