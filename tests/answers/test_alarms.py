"""What people are told of quality: once when it begins, with the samples that caused it, and once when it has ended."""

import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from brain_assets.answers.alarms import BATCH, FEWEST, jump, tell
from brain_assets.assets import catalog
from brain_assets.resources.dataset import Opening, open_dataset
from brain_assets.resources.settings.alerts import ALERTS, alert
from brain_assets.resources.settings.home import Home
from tests.workshop import Workshop, picture, write_pictures

CHAIN = ("samples", "media", "exact_duplicates", "image_quality", "issues", "health", "published")
GATE = {"metric": "exact_duplicates", "operator": "<=", "limit": 0, "severity": "warn"}


def told(workshop: Workshop) -> list[dict[str, Any]]:
    """Bring the dataset up to date, and return what was told of this run."""
    path = workshop.home.root / ALERTS
    before = len(path.read_text().splitlines()) if path.exists() else 0
    workshop.run(CHAIN)
    with open_dataset(workshop.home, workshop.name, Opening("told", "test")) as dataset:
        tell(dataset, catalog.ALL, pytest.fail)
        tell(dataset, catalog.ALL, pytest.fail)
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines[before:]]


def test_a_gate_is_told_once_with_its_samples_and_once_when_it_holds_again(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(4))
    one = Workshop(tmp_path / "home", tmp_path / "media", gates=[GATE])
    assert told(one) == []
    copy = tmp_path / "media" / "copy.png"
    copy.write_bytes((tmp_path / "media" / "00002.png").read_bytes())
    (opened,) = told(one)
    assert (opened["state"], opened["dataset"]) == ("open", "test")
    assert opened["message"] == "gate exact_duplicates <= 0 fails: 1"
    assert len(opened["samples"]) == 1
    assert set(opened["samples"]) <= {"copy.png", "00002.png"}
    write_pictures(tmp_path / "media", [9])
    assert told(one) == []
    copy.unlink()
    (resolved,) = told(one)
    assert (resolved["state"], resolved["alarm"]) == ("resolved", opened["alarm"])


def test_new_images_that_are_unlike_the_rest_are_told(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(2 * BATCH))
    one = Workshop(tmp_path / "home", tmp_path / "media", image_quality={"thresholds": {"dark": 0.1}})
    assert told(one) == []
    for number in range(BATCH):
        picture(900 + number).point(lambda level: level // 40).save(tmp_path / "media" / f"night {number:02}.png")
    found = {line["alarm"]: line for line in told(one)}
    dark = found["batch dark"]
    assert dark["message"] == f"{BATCH} of {BATCH} new images have dark, of {2 * BATCH} others 0"
    assert all(path.startswith("night ") for path in dark["samples"])


def test_a_number_jumps_only_out_of_its_usual_noise() -> None:
    steady, noisy = [0.1, 0.1, 0.11, 0.1, 0.09, 0.1], [0.1, 0.3, 0.05, 0.2, 0.25, 0.15]
    assert jump(0.25, steady) == pytest.approx(0.1)
    assert jump(0.35, noisy) is None
    assert jump(0.11, steady) is None
    assert jump(0.9, steady[: FEWEST - 1]) is None


class Mail(socketserver.StreamRequestHandler):
    """Takes a mail as a server does, and keeps what it was sent."""

    received: list[str]

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline():
            if line.upper().startswith(b"DATA"):
                self.wfile.write(b"354 go on\r\n")
                while (line := self.rfile.readline()) != b".\r\n":
                    self.received.append(line.decode().rstrip())
            self.wfile.write(b"221 bye\r\n" if line.upper().startswith(b"QUIT") else b"250 ok\r\n")


class Chat(BaseHTTPRequestHandler):
    received: list[Any]

    def do_POST(self) -> None:
        self.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def servers() -> Iterator[tuple[int, int]]:
    """Ports of a mail server and of a chat."""
    Mail.received, Chat.received = [], []
    with socketserver.TCPServer(("127.0.0.1", 0), Mail) as mail, HTTPServer(("127.0.0.1", 0), Chat) as chat:
        threads = [threading.Thread(target=one.serve_forever, args=(0.05,)) for one in (mail, chat)]
        for thread in threads:
            thread.start()
        yield mail.server_address[1], chat.server_address[1]
        for one in (mail, chat):
            one.shutdown()
        for thread in threads:
            thread.join()


def test_alerts_go_by_mail_and_to_a_chat(tmp_path: Path, servers: tuple[int, int]) -> None:
    mail, chat = servers
    (tmp_path / "settings.yaml").write_text(
        f"alert_webhook: http://127.0.0.1:{chat}\nalert_format: slack\n"
        f"alert_email: {{to: [ann@example.org], host: 127.0.0.1, port: {mail}}}\n"
    )
    alert(Home(tmp_path), "flowers", "run", "gate leaks <= 0 fails: 3", pytest.fail, state="open", samples=["a.png"])
    assert Chat.received == [{"text": "flowers: gate leaks <= 0 fails: 3\na.png"}]
    assert "Subject: flowers: gate leaks <= 0 fails: 3" in Mail.received
    assert {"To: ann@example.org", "a.png"} <= set(Mail.received)
    alert(Home(tmp_path), "flowers", "run", "gate leaks <= 0 fails: 3", pytest.fail, state="resolved")
    assert Chat.received[1] == {"text": "flowers: resolved: gate leaks <= 0 fails: 3"}


def test_mail_that_cannot_be_sent_costs_no_alert(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("alert_email: {to: [ann@example.org], host: 127.0.0.1, port: 1}\n")
    warned: list[str] = []
    alert(Home(tmp_path), None, "run", "the disk is full", warned.append)
    assert len(warned) == 1
    assert len((tmp_path / ALERTS).read_text().splitlines()) == 1
