"""Dagster's code server, whose runs begin at once: a module that takes the options of ``dagster api grpc``.

Dagster starts a new interpreter for every run, which imports for seconds what the last one imported. Here a process of
its own has imported it all, has no threads and opens nothing; runs are forked from it (multiprocessing's *forkserver*).
Each is still a process of its own: one that is killed, or runs out of memory, is a failed run and nothing else.
"""

import multiprocessing
import sys
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from typing import Any

from dagster._cli.api import api_cli
from dagster._grpc import server

# macOS forbids to fork what has used its frameworks, and Windows knows no forks.
FORKS = sys.platform == "linux"
IMPORTED = ["brain_assets.app.code_server", "brain_assets.app.run_imports"]


class CodeServer(server.DagsterApiServer):
    """Dagster's, but for how the process of a run comes about."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._mp_ctx = runs_context()  # type: ignore[assignment]


def runs_context() -> BaseContext:
    """Return how the processes of runs come about on this system."""
    return multiprocessing.get_context("forkserver" if FORKS else "spawn")


def main() -> None:
    """Serve until ended."""
    if FORKS:
        multiprocessing.set_forkserver_preload(IMPORTED)
        forkserver.ensure_running()
    server.DagsterApiServer = CodeServer  # type: ignore[misc]
    api_cli(["grpc", *sys.argv[1:]], prog_name="dagster api")


if __name__ == "__main__":
    main()
