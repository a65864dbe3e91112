"""Alerts: a line in the home's alerts file, and a message where a webhook is configured."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime

from brain_assets.resources.errors import BrainError
from brain_assets.resources.settings.configuration import load_service
from brain_assets.resources.settings.home import Home

ALERTS = "alerts.jsonl"
TIMEOUT = 10


def alert(home: Home, dataset: str | None, run_id: str, message: str, warn: Callable[[str], object]) -> None:
    """Write an alert, and send it to ``alert_webhook`` where one is configured.

    Parameters
    ----------
    home : Home
    dataset : str or None
    run_id : str
    message : str
    warn : callable
        Is told in one line why an alert could not be sent; none fails for it.
    """
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    line = json.dumps({"at": moment, "dataset": dataset, "run_id": run_id, "message": message})
    with (home.root / ALERTS).open("a", encoding="utf-8") as handle:
        handle.write(line + "\n")
    try:
        webhook = load_service(home.settings).settings.alert_webhook
    except BrainError as error:
        warn(f"no alert was sent: {error}")
        return
    if webhook:
        _send(webhook, line, warn)


def _send(webhook: str, line: str, warn: Callable[[str], object]) -> None:
    try:
        request = urllib.request.Request(webhook, line.encode(), {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=TIMEOUT).close()
    except (urllib.error.URLError, OSError, ValueError) as error:
        warn(f"the alert could not be sent to {webhook}: {error}")
