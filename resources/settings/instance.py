"""The Dagster instance: its settings are written by the first command, with telemetry off."""

import os
from pathlib import Path

from brain_assets.resources.settings.home import Home, unusable
from brain_assets.resources.settings.private import close_to_others

PARTITIONS = "dataset"
FORMER = """\
# Written once; yours to edit.
telemetry:
  enabled: false
run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
  config:
    dequeue_interval_seconds: 1
concurrency:
  runs:
    max_concurrent_runs: 4
    # One run per dataset at a time; datasets do not wait for each other.
    tag_concurrency_limits:
      - key: dagster/partition
        value:
          applyLimitPerUniqueValue: true
        limit: 1
run_monitoring:
  enabled: true
  start_timeout_seconds: 180
  poll_interval_seconds: 10
sensors:
  use_threads: true
  num_workers: 4
"""
WITH_RETENTION = (
    FORMER
    + """\
# Ticks of sensors, one every few seconds, are forgotten after so many days; of runs settings.yaml says it (keep_runs).
retention:
  sensor:
    purge_after_days:
      skipped: 1
      started: 7
      success: 30
      failure: 30
"""
)
WITHOUT_DIALOG = (
    WITH_RETENTION
    + """\
# No dialog asks for an address.
nux:
  enabled: false
"""
)
SETTINGS = (
    WITHOUT_DIALOG
    + """\
# The history of runs is where Dagster keeps it, over connections that stay open.
instance_class:
  module: brain_assets.resources.history.storage
  class: HistoryInstance
"""
)
EARLIER = (FORMER, WITH_RETENTION, WITHOUT_DIALOG)


def prepare(home: Home) -> Path:
    """Write the instance's settings where there are none of a person's, point this process at them, and return their folder.

    Raises
    ------
    ConfigurationError
        If the home cannot be made or written.
    """
    try:
        close_to_others(home.root)
        home.dagster.mkdir(parents=True, exist_ok=True)
        settings = home.dagster / "dagster.yaml"
        if not settings.exists() or settings.read_text("utf-8") in EARLIER:
            settings.write_text(SETTINGS, "utf-8")
    except OSError as error:
        raise unusable(home, error) from None
    os.environ["BRAIN_HOME"] = str(home.root)
    os.environ["DAGSTER_HOME"] = str(home.dagster)
    return home.dagster


def complaint(home: Home) -> str | None:
    """Return what to say when definitions are loaded under another instance than the home's, else None."""
    current = os.environ.get("DAGSTER_HOME")
    if current and Path(current).absolute() == home.dagster:
        return None
    return (
        f"runs are recorded elsewhere than the brain command does: set DAGSTER_HOME={home.dagster} (or use 'brain up')"
    )
