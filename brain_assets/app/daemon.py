"""Dagster's daemon beside a code server that lives as long as it does: ``python -m brain_assets.app.daemon run``."""

from dagster._daemon import controller
from dagster._daemon.cli import main
from dagster._grpc import server_watcher

# Dagster asks every second whether another code server has taken the place of one, and loads all definitions anew every
# minute. Here neither changes while the service runs: where the code server ends, so does the service.
ASKED_SECONDS = 60
LOADED_SECONDS = 24 * 3600


def trust_code_server() -> None:
    """Have this process ask the code server less often whether it is still the same."""
    server_watcher.WATCH_INTERVAL = ASKED_SECONDS
    controller.RELOAD_WORKSPACE_INTERVAL = LOADED_SECONDS


if __name__ == "__main__":
    trust_code_server()
    main()
