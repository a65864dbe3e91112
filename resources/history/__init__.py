"""Dagster's history of runs, events and ticks: kept in SQLite files below the home, whose connections stay open."""

from brain_assets.resources import telemetry  # noqa: F401 - first of all, before any library is imported
