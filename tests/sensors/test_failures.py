"""A failed run leaves one line that says why, and is told to a webhook only where one is configured."""

import json
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from brain_assets.assets.place import PARTITION_TAG
from brain_assets.resources.settings.alerts import ALERTS
from brain_assets.sensors.failures import alert_on_failure


@dg.op
def broken() -> None:
    raise dg.Failure("the disk is full", allow_retries=False)


@dg.op
def buggy() -> None:
    raise ZeroDivisionError("division by zero")


@dg.job(tags={PARTITION_TAG: "flowers"})
def failing() -> None:
    broken()


@dg.job(tags={PARTITION_TAG: "flowers"})
def surprising() -> None:
    buggy()


def fail(job: dg.JobDefinition = failing) -> None:
    """Run a job that fails, and the sensor on its failure."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(
            instance=instance,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        context = dg.build_run_status_sensor_context(
            sensor_name="alert_on_failure",
            dagster_event=result.get_run_failure_event(),
            dagster_instance=instance,
            dagster_run=result.dagster_run,
        )
        alert_on_failure(context.for_run_failure())


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BRAIN_HOME", str(tmp_path))
    return tmp_path


def alerts(home: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (home / ALERTS).read_text("utf-8").splitlines()]


class Webhook(BaseHTTPRequestHandler):
    """Keeps what it is sent."""

    received: list[Any]

    def do_POST(self) -> None:
        self.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[Any]]]:
    Webhook.received = []
    with HTTPServer(("127.0.0.1", 0), Webhook) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/alert", Webhook.received
        server.shutdown()
        thread.join()


def test_a_failed_run_leaves_a_line_that_says_why(home: Path) -> None:
    fail()
    fail(surprising)
    first, second = alerts(home)
    assert (first["dataset"], first["message"]) == ("flowers", "the disk is full")
    assert first["run_id"] != second["run_id"]
    assert "ZeroDivisionError" in second["message"]
    assert "\n" not in second["message"]


def test_nothing_is_sent_by_default(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(urllib.request, "urlopen", lambda *arguments, **_: sent.append(arguments))
    fail()
    assert sent == []
    assert len(alerts(home)) == 1


def test_a_configured_webhook_is_sent_the_alert(home: Path, webhook: tuple[str, list[Any]]) -> None:
    address, received = webhook
    (home / "settings.yaml").write_text(f"alert_webhook: {address}")
    fail()
    assert received == alerts(home)


@pytest.mark.parametrize("text", ["alert_webhook: http://127.0.0.1:9/nobody", "alert_webhook: nonsense", "alert: ["])
def test_a_webhook_that_does_not_work_costs_no_alert(home: Path, text: str) -> None:
    (home / "settings.yaml").write_text(text)
    fail()
    assert [alert["message"] for alert in alerts(home)] == ["the disk is full"]
