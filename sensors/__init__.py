"""When: arrivals of samples and predictions, reviews, failures."""

from resources import telemetry  # noqa: F401 - first of all, before any library is imported
