"""Dagster's pages behind the review page's guard: ``python -m brain_assets.app.dagster_pages`` serves them until ended.

``dagster-webserver`` executes whatever GraphQL it is sent, also by GET and under any name of this machine, and offers
nothing to keep others out. So its application runs here, inside a process that asks for the session first.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click
import dagster as dg
import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from brain_assets.app.daemon import trust_code_server
from brain_assets.review.patience import SERVED
from brain_assets.review.security import HEADERS, Guard, is_loopback, known_hosts

HOST = "127.0.0.1"
# How often open pages ask for what is new, in milliseconds.
POLL = 2000
# Dagster's pages write styles and scripts into themselves; theirs name the scripts, ours keeps all of it on this server.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
)


class PostedOnly:
    """ASGI middleware that has GraphQL answered by POST and websocket only, since a GET would execute mutations, too."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a query in an address, let everything else pass."""
        asked = scope["type"] == "http" and scope["path"].rstrip("/") == "/graphql"
        if asked and scope["method"] != "POST":
            refusal = JSONResponse({"error": "send queries by POST"}, 405, {"allow": "POST"})
            await refusal(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def guarded(app: ASGIApp, token: str, host: str = HOST) -> Guard:
    """Return Dagster's application as it may be served on an address."""
    headers = HEADERS | {"content-security-policy": POLICY}
    literal = not is_loopback(host)
    return Guard(PostedOnly(app), token, known_hosts(host), literal_hosts=literal, headers=headers, deep=True)


@contextmanager
def dagster_app(workspace: Path) -> Iterator[ASGIApp]:
    """Yield Dagster's own application over the code locations that a workspace file names."""
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import WorkspaceFileTarget
    from dagster_webserver.webserver import DagsterWebserver

    with (
        dg.DagsterInstance.get() as instance,
        WorkspaceProcessContext(instance, WorkspaceFileTarget([str(workspace)])) as context,
    ):
        yield DagsterWebserver(context, live_data_poll_rate=POLL).create_asgi_app()


@click.command()
@click.option("--workspace", type=click.Path(path_type=Path), required=True, help="File that names the code servers.")
@click.option("--host", default=HOST, show_default=True, help="Address to listen on.")
@click.option("--port", default=3000, show_default=True, help="Port to listen on.")
@click.option("--token", envvar="BRAIN_REVIEW_TOKEN", required=True, help="What opens the pages.")
def main(workspace: Path, host: str, port: int, token: str) -> None:
    """Serve Dagster's pages."""
    trust_code_server()
    with dagster_app(workspace) as app, suppress(KeyboardInterrupt):
        config = uvicorn.Config(guarded(app, token, host), host, port, log_level="warning", **SERVED)
        uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
