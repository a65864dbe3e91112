"""What happens when a run fails: a line in the alerts file, and a message where a webhook is configured."""

import json
import os
import urllib.error
import urllib.request
from datetime import UTC, datetime

import dagster as dg

from brain_assets.assets.lineage import PARTITION_TAG
from brain_assets.assets.reasons import reason_of
from brain_assets.resources.errors import BrainError
from brain_assets.resources.settings.configuration import load_service
from brain_assets.resources.settings.home import Home

ALERTS = "alerts.jsonl"
TIMEOUT = 10


@dg.run_failure_sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=int(os.environ.get("BRAIN_SENSOR_INTERVAL", "5")),
    description="Writes a line to alerts.jsonl for every failed run, and sends it to alert_webhook where one is configured.",
)
def alert_on_failure(context: dg.RunFailureSensorContext) -> None:
    """Tell that a run failed, and why."""
    home = Home.default()
    alert = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "dataset": context.dagster_run.tags.get(PARTITION_TAG),
        "run_id": context.dagster_run.run_id,
        "message": reason_of([*context.get_step_failure_events(), context.failure_event]),
    }
    with (home.root / ALERTS).open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(alert) + "\n")
    try:
        webhook = load_service(home.settings).settings.alert_webhook
    except BrainError as error:
        context.log.warning(f"no alert was sent: {error}")
        return
    if webhook:
        _send(context, webhook, alert)


def _send(context: dg.RunFailureSensorContext, webhook: str, alert: dict[str, str | None]) -> None:
    try:
        request = urllib.request.Request(webhook, json.dumps(alert).encode(), {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=TIMEOUT).close()
    except (urllib.error.URLError, OSError, ValueError) as error:
        context.log.warning(f"the alert could not be sent to {webhook}: {error}")
