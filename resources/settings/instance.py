"""The Dagster instance: its settings are written by the first command, with telemetry off."""

import os
from importlib.util import find_spec
from pathlib import Path

from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.settings.configuration import load_service
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
IN_POSTGRES = (
    WITHOUT_DIALOG
    + """\
# The history of runs is in Postgres: history_url in settings.yaml says where, and 'brain' sets this; PGPASSWORD lets in.
storage:
  postgres:
    postgres_url:
      env: BRAIN_HISTORY_ADDRESS
# Connections stay open.
instance_class:
  module: brain_assets.resources.history.storage
  class: HistoryInstance
"""
)
EARLIER = (FORMER, WITH_RETENTION, WITHOUT_DIALOG)
# Set by us alone, for this process and those that it starts: it is that of one home.
ADDRESS = "BRAIN_HISTORY_ADDRESS"
CONNECT_SECONDS = 10


def prepare(home: Home) -> Path:
    """Write the instance's settings where there are none of a person's, point this process at them, and return their folder.

    Raises
    ------
    ConfigurationError
        If the home cannot be made or written, or the history is not where settings say.
    """
    try:
        close_to_others(home.root)
        home.dagster.mkdir(parents=True, exist_ok=True)
        settings = home.dagster / "dagster.yaml"
        there = settings.read_text("utf-8") if settings.exists() else None
        wanted = IN_POSTGRES if (url := locate_history(home)) else SETTINGS
        if url:
            _require_answer(url)
        if there is None or (there in {*EARLIER, SETTINGS} and there != wanted):
            settings.write_text(wanted, "utf-8")
    except OSError as error:
        raise unusable(home, error) from None
    os.environ["BRAIN_HOME"] = str(home.root)
    os.environ["DAGSTER_HOME"] = str(home.dagster)
    return home.dagster


def locate_history(home: Home) -> str | None:
    """Return the address of the history where it is in Postgres, and have Dagster find it in this process; else None.

    Raises
    ------
    ConfigurationError
        If settings and dagster.yaml are not of one mind, or what talks to Postgres is not installed.
    """
    url = load_service(home.settings).settings.history_url
    file = home.dagster / "dagster.yaml"
    there = file.read_text("utf-8") if file.exists() else SETTINGS
    if url is None:
        if ADDRESS in there:
            raise ConfigurationError(
                f"the history of runs is in Postgres: say where by history_url in {home.settings}, or by BRAIN_HISTORY_URL; who"
                f" wants it in files again deletes {file}"
            )
        return None
    if there not in {*EARLIER, SETTINGS} and ADDRESS not in there:
        raise ConfigurationError(f"history_url has no effect, as {file} is one of your own: delete it, or say it there")
    if find_spec("dagster_postgres") is None:
        raise ConfigurationError("a history in Postgres needs a package: pip install 'brain-assets[postgres]'")
    # The driver that Dagster's storage is written for, whichever SQLAlchemy would take by itself.
    server = url.partition("://")[2]
    os.environ[ADDRESS] = f"postgresql+psycopg2://{server}"
    return f"postgresql://{server}"


def _require_answer(url: str) -> None:
    """Raise ConfigurationError where Postgres does not let us in; Dagster would ask six times, and say how often."""
    import psycopg2

    try:
        psycopg2.connect(url, connect_timeout=CONNECT_SECONDS).close()
    except psycopg2.Error as error:
        said = " ".join(str(error).split())
        raise ConfigurationError(f"the history of runs cannot be opened at {url} (history_url): {said}") from None


def complaint(home: Home) -> str | None:
    """Return what to say when definitions are loaded under another instance than the home's, else None."""
    current = os.environ.get("DAGSTER_HOME")
    if current and Path(current).absolute() == home.dagster:
        return None
    return (
        f"runs are recorded elsewhere than the brain command does: set DAGSTER_HOME={home.dagster} (or use 'brain up')"
    )
