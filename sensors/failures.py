"""What happens when a run fails: a line in the alerts file, and a message where a webhook is configured."""

import os

import dagster as dg

from brain_assets.assets.lineage import PARTITION_TAG
from brain_assets.assets.reasons import reason_of
from brain_assets.resources.settings.alerts import alert
from brain_assets.resources.settings.home import Home
from brain_assets.sensors.slow_sources import LISTED_TAG


@dg.run_failure_sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=int(os.environ.get("BRAIN_SENSOR_INTERVAL", "5")),
    description="Writes a line to alerts.jsonl for every failed run, and sends it to alert_webhook where one is configured.",
)
def alert_on_failure(context: dg.RunFailureSensorContext) -> None:
    """Report that a run failed, and why."""
    run = context.dagster_run
    reason = reason_of([*context.get_step_failure_events(), context.failure_event])
    alert(
        Home.default(), run.tags.get(PARTITION_TAG) or run.tags.get(LISTED_TAG), run.run_id, reason, context.log.warning
    )
