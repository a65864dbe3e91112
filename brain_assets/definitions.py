"""Where assets, checks, sensors, jobs and resources meet."""

import logging

import dagster as dg

from brain_assets.assets.lineage import REFRESH, assets_of, resources_of
from brain_assets.assets.place import SERVICE
from brain_assets.resources.settings import instance
from brain_assets.resources.settings.home import Home
from brain_assets.sensors.arrivals import new_samples
from brain_assets.sensors.failures import alert_on_failure
from brain_assets.sensors.label_tools import finished_labels
from brain_assets.sensors.reviews import review_events
from brain_assets.sensors.slow_sources import LIST_SOURCE


@dg.definitions
def definitions() -> dg.Definitions:
    """Return the code location."""
    complaint = instance.complaint(Home.default())
    if complaint:
        logging.getLogger("brain").warning(complaint)
    return dg.Definitions(
        assets=assets_of(SERVICE),
        jobs=[REFRESH, LIST_SOURCE],
        sensors=[new_samples, review_events, finished_labels, alert_on_failure],
        resources=resources_of(SERVICE),
        executor=dg.in_process_executor,
    )
