"""When: arrivals of samples and predictions, reviews, failures."""

from brain_assets.resources import telemetry  # noqa: F401 - first of all, before any library is imported
