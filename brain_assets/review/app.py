"""The review page as an ASGI application, and the server that runs it."""

import getpass
import secrets
import socket
import threading
import webbrowser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from brain_assets.answers.exposition import CONTENT_TYPE, exposition
from brain_assets.resources.errors import BrainError, ConfigurationError
from brain_assets.resources.settings.home import Home
from brain_assets.review.endpoints import Page, routes
from brain_assets.review.invitations import Invitations
from brain_assets.review.links import link
from brain_assets.review.methods import Methods
from brain_assets.review.refusal import Refused
from brain_assets.review.security import Guard, is_loopback, known_hosts
from brain_assets.review.sets import Sets
from brain_assets.review.stage import Stage
from brain_assets.review.thumbnails import Pictures, Previews, packed_preview

__all__ = ["create_app", "link", "serve"]

STATIC = Path(__file__).parent / "static"
MOST_BODY = 4 << 20


def create_app(
    home: Path,
    *,
    token: str,
    host: str = "127.0.0.1",
    previews: Previews = packed_preview,
    methods: Methods | None = None,
    stage: Stage | None = None,
) -> Starlette:
    """Return the review page over the datasets in ``home``.

    Parameters
    ----------
    home : Path
        ``$BRAIN_HOME``.
    token : str
        What a browser must bring once, as ``/?token=...``; at least 16 characters.
    host : str
        Address that the server is bound to; decides which ``Host`` headers are answered.
    previews : callable, optional
        ``previews(opened, content_hash)`` returns the preview kept for a content, or None.
    methods : Methods, optional
        Computes what the page asks for; closed with the page. Without, the page computes nothing.
    stage : Stage, optional
        What a program wants its pages to show.

    Raises
    ------
    ConfigurationError
        If the token is too short to keep anybody out.
    """
    if len(token) < 16:
        raise ConfigurationError("the token of the review page must have at least 16 characters")
    page = Page(Sets(Home(Path(home))), Pictures(previews), _user(), methods=methods, stage=stage)
    hosts = known_hosts(host)
    open_to: dict[str, Any] = {
        "hosts": hosts,
        "literal_hosts": not is_loopback(host),
        "invitations": Invitations(Path(home)),
    }
    guard = Middleware(Guard, token=token, **open_to)
    static: list[Any] = [
        Route("/", _index),
        Route("/metrics", _metrics(Home(Path(home)))),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    return Starlette(
        routes=[*static, *routes(page)],
        middleware=[guard],
        exception_handlers={Refused: _refused, BrainError: _failed, HTTPException: _http_error},
        lifespan=_closing(page),
        max_body_size=MOST_BODY,
    )


def serve(
    home: Path,
    address: tuple[str, int] = ("127.0.0.1", 3001),
    token: str | None = None,
    dataset: str | None = None,
    *,
    browser: bool = False,
    methods: Methods | None = None,
) -> None:
    """Serve the review page until interrupted, printing the link that opens it, and opening it where wanted.

    Raises
    ------
    ConfigurationError
        If other machines could reach the page and no token was given.
    BrainError
        If the port is taken.
    """
    import uvicorn

    from brain_assets.review.patience import SERVED

    host, port = address
    token = checked_token(host, token)
    app = create_app(home, token=token, host=host, methods=methods)
    with _listening(host, port) as listener:
        port = listener.getsockname()[1]
        url = sign_in_url(host, port, token, dataset)
        print(f"review page: {url}", flush=True)  # noqa: T201 - the command's output
        if browser:
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
        config = uvicorn.Config(app, log_level="warning", access_log=False, **SERVED)
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run([listener])


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens before the link is told."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise BrainError(
            f"the review page cannot listen on {host} port {port}: {error.strerror}; choose another"
        ) from None


def checked_token(host: str, token: str | None) -> str:
    """Return the token to use: the one given, or a fresh one where only this machine can reach the page."""
    if token is None and not is_loopback(host):
        raise ConfigurationError(
            f"other machines can reach {host}: give the review page a token of your own with --token"
        )
    return token or secrets.token_urlsafe(24)


def sign_in_url(host: str, port: int, token: str, dataset: str | None = None) -> str:
    """Return the link that signs a browser in."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/?token={token}" + (f"&dataset={dataset}" if dataset else "")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "reviewer"


async def _index(request: Request) -> Response:
    return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})


def _metrics(home: Home) -> Any:
    async def respond(request: Request) -> Response:
        return Response(await run_in_threadpool(exposition, home), media_type=CONTENT_TYPE)

    return respond


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return JSONResponse({"error": error.message}, error.status)


async def _failed(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 503)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code)


def _closing(page: Page) -> Any:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        page.sets.close()
        page.pictures.close()
        if page.methods is not None:
            page.methods.close()

    return lifespan
