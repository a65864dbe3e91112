"""What happens when a run fails: a line in the alerts file, and a message where a webhook is configured."""

import os

import dagster as dg

from brain_assets.assets.lineage import refresh_of
from brain_assets.assets.place import SERVICE, Place
from brain_assets.assets.reasons import reason_of
from brain_assets.resources.settings.alerts import alert
from brain_assets.sensors.slow_sources import LISTED_TAG, list_source_of


def failures_of(place: Place) -> dg.SensorDefinition:
    """Return the sensor that reports failed runs of a place."""

    @dg.run_failure_sensor(
        name=place.named("alert_on_failure"),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=int(os.environ.get("BRAIN_SENSOR_INTERVAL", "15")),
        # In the code location of the service all runs are its own.
        monitored_jobs=[refresh_of(place), list_source_of(place)] if place.slug else None,
        description="Writes a line to alerts.jsonl for every failed run, and sends it to alert_webhook where one is configured.",
    )
    def alert_on_failure(context: dg.RunFailureSensorContext) -> None:
        run = context.dagster_run
        reason = reason_of([*context.get_step_failure_events(), context.failure_event])
        name = place.dataset_of(run) or run.tags.get(LISTED_TAG)
        alert(place.home, name, run.run_id, reason, context.log.warning)

    return alert_on_failure


alert_on_failure = failures_of(SERVICE)
