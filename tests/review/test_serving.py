"""The server as a process: the link it prints opens the page, and it ends when asked."""

import asyncio
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from click.testing import CliRunner
from starlette.responses import PlainTextResponse

from brain_assets.app.cli import main
from brain_assets.resources.errors import BrainError
from brain_assets.review import patience, serve
from tests.review_data import Synthetic


@pytest.fixture(scope="module")
def process(synthetic: Synthetic) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "brain_assets.app.cli", "--home", str(synthetic.home), "review", "demo"]
    with subprocess.Popen(
        [*command, "--port", "0", "--no-browser"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def test_the_printed_link_opens_the_page_and_interrupting_ends_it(process: subprocess.Popen[str]) -> None:
    assert process.stdout
    assert process.stderr
    address = urlsplit(process.stdout.readline().split()[-1])
    assert re.fullmatch(r"token=[\w-]{32,}&dataset=demo", address.query)
    connection = http.client.HTTPConnection(address.netloc, timeout=20)
    connection.request("GET", f"/?{address.query}")
    reply = connection.getresponse()
    reply.read()
    assert (reply.status, reply.headers["location"]) == (303, "/?dataset=demo")
    connection.request("GET", "/", headers={"cookie": str(reply.headers["set-cookie"]).split(";")[0]})
    page = connection.getresponse()
    assert (page.status, "server" in page.headers) == (200, False)
    assert b"/static/js/app.js" in page.read()
    connection.close()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert process.stderr.read() == ""


def test_a_connection_that_never_asks_is_closed_and_a_slow_answer_is_not(
    synthetic: Synthetic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "HEAD_SECONDS", 0.4)

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(1)
        await PlainTextResponse("there")(scope, receive, send)

    server = uvicorn.Server(uvicorn.Config(slow, port=0, log_level="error", lifespan="off", **patience.SERVED))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            for said in (b"", b"GET / HTTP/1.1\r\nhost: a\r\n"):
                with socket.create_connection(listener.getsockname(), timeout=20) as waiting:
                    waiting.sendall(said)
                    assert waiting.recv(100) == b""
            with socket.create_connection(listener.getsockname(), timeout=20) as asking:
                for _ in range(2):
                    asking.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                    assert b"200 OK" in asking.recv(1000)
                asking.sendall(b"GET / HT")
                left = b"x"
                while left:
                    left = asking.recv(1000)
        finally:
            server.should_exit = True
            thread.join()


def test_a_taken_port_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(BrainError, match="choose another"):
        serve(tmp_path, taken.getsockname())


def test_the_command_serves_the_page_alone(synthetic: Synthetic) -> None:
    command = [sys.executable, "-m", "brain_assets.app.cli", "--home", str(synthetic.home), "review", "demo"]
    environment = {**os.environ, "BROWSER": "echo opened %s"}
    with subprocess.Popen(
        [*command, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout
        killer = threading.Timer(60, process.kill)
        killer.start()
        link = process.stdout.readline().split()[-1]
        assert process.stdout.readline().split() == ["opened", link]
        address = urlsplit(link)
        connection = http.client.HTTPConnection(address.netloc, timeout=20)
        connection.request("GET", f"/?{address.query}")
        assert connection.getresponse().status == 303
        connection.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        killer.cancel()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "no dataset 'nowhere'"),
        (["fresh"], "nothing is published of fresh yet: run 'brain materialize fresh'"),
        (["--host", "0.0.0.0"], "give the review page a token"),
        (["--token", "short"], "must have at least 16 characters"),
    ],
)
def test_the_command_refuses_in_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "datasets" / "fresh").mkdir(parents=True)
    (tmp_path / "datasets" / "fresh" / "dataset.yaml").write_text("media: /nowhere")
    ended = CliRunner().invoke(main, ["--home", str(tmp_path), "review", *arguments, "--no-browser"])
    assert ended.exit_code == 1
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1
