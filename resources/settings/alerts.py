"""Alerts: a line in the home's alerts file, and a message where a webhook or an address is configured."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from brain_assets.resources.errors import BrainError
from brain_assets.resources.settings.configuration import EmailSettings, ServiceSettings, load_service
from brain_assets.resources.settings.home import Home

ALERTS = "alerts.jsonl"
TIMEOUT = 10
Warn = Callable[[str], object]


def alert(home: Home, dataset: str | None, run_id: str, message: str, warn: Warn, **more: Any) -> None:
    """Write an alert, and send it to ``alert_webhook`` and ``alert_email`` where they are configured.

    Parameters
    ----------
    home : Home
    dataset : str or None
    run_id : str
    message : str
    warn : callable
        Is told in one line why an alert could not be sent; none fails for it.
    **more
        What else the alert says, as JSON values: such as ``state`` and ``samples``.
    """
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    told = {"at": moment, "dataset": dataset, "run_id": run_id, "message": message, **more}
    with (home.root / ALERTS).open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(told) + "\n")
    try:
        settings = load_service(home.settings).settings
    except BrainError as error:
        warn(f"no alert was sent: {error}")
        return
    if settings.alert_webhook:
        _post(settings.alert_webhook, _body(settings, told), warn)
    if settings.alert_email:
        _mail(settings.alert_email, told, warn)


def _body(settings: ServiceSettings, told: Mapping[str, Any]) -> bytes:
    """Return what a webhook is sent: the alert itself, or the message that Slack, Mattermost and others show."""
    return json.dumps(told if settings.alert_format == "json" else {"text": "\n".join(_lines(told))}).encode()


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    state = "resolved: " if told.get("state") == "resolved" else ""
    yield f"{told['dataset'] or 'brain'}: {state}{told['message']}"
    yield from told.get("samples") or ()


def _post(webhook: str, body: bytes, warn: Warn) -> None:
    import urllib.error
    import urllib.request

    try:
        request = urllib.request.Request(webhook, body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=TIMEOUT).close()
    except (urllib.error.URLError, OSError, ValueError) as error:
        warn(f"the alert could not be sent to {webhook}: {error}")


def _mail(settings: EmailSettings, told: Mapping[str, Any], warn: Warn) -> None:
    import smtplib
    from email.message import EmailMessage

    first, *rest = _lines(told)
    message = EmailMessage()
    message["Subject"] = " ".join(first.split())
    message["From"] = settings.sender
    message["To"] = ", ".join(settings.to)
    message.set_content("\n".join([first, *rest, f"run {told['run_id']}, {told['at']}"]))
    try:
        with smtplib.SMTP(settings.host, settings.port, timeout=TIMEOUT) as server:
            if settings.starttls:
                server.starttls()
            if settings.user:
                server.login(settings.user, os.environ[settings.password_from])
            server.send_message(message)
    except KeyError:
        warn(
            f"the alert could not be mailed: the environment has no {settings.password_from} (alert_email.password_from)"
        )
    except (smtplib.SMTPException, OSError, ValueError) as error:
        warn(f"the alert could not be mailed by {settings.host}: {error}")
