"""The review page beside a program or notebook: it shows what the program says."""

import secrets
import socket
import threading
import time
import weakref
import webbrowser
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING, Self

from brain_assets.app.api import DatasetReader
from brain_assets.app.views import View
from brain_assets.resources.errors import BrainError, ConfigurationError, MissingError
from brain_assets.review.stage import Stage

if TYPE_CHECKING:
    from uvicorn import Server

HOST = "127.0.0.1"
START_SECONDS = 30


class Session:
    """A review page in this process, on this machine alone, which shows a dataset or a view of it.

    Assigning to `view` has every open page show that view within a second, assigning to `selected` select those images; what is
    selected on a page is found in `selected`. It ends with `close`, with the block that it is used for, or with the process.

    Parameters
    ----------
    shown : DatasetReader
        The dataset, or a view of it.
    port : int
        0 for any that is free.
    browser : bool
        Whether a browser is opened.

    Attributes
    ----------
    url : str
        The link that opens the page; whoever has it may review.

    Raises
    ------
    BrainError
        If the port is taken, or nothing is published yet.
    """

    def __init__(self, shown: DatasetReader, *, port: int = 0, browser: bool = False) -> None:
        import uvicorn

        from brain_assets.app.page_methods import DeclaredMethods
        from brain_assets.review.app import create_app, sign_in_url
        from brain_assets.review.patience import SERVED

        self.dataset: DatasetReader = _dataset_of(shown)
        self._stage = Stage(shown.name)
        self.view = shown
        token, home = secrets.token_urlsafe(24), shown.home
        app = create_app(home.root, token=token, methods=DeclaredMethods(home), stage=self._stage)
        listener = _listening(port)
        self.url = sign_in_url(HOST, listener.getsockname()[1], token, shown.name) + "&tab=explore"
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, **SERVED))
        self._thread = threading.Thread(target=self._server.run, args=([listener],), daemon=True)
        self._thread.start()
        self._finish = weakref.finalize(self, _stop, self._server, self._thread)
        _await(self._server, self._thread)
        if browser:
            webbrowser.open(self.url)

    @property
    def view(self) -> DatasetReader:
        """What is shown: the dataset, or a view of it; another may be assigned, None for the whole dataset.

        A view is shown as of the moment when it is assigned.
        """
        return self._view

    @view.setter
    def view(self, shown: DatasetReader | None) -> None:
        shown = self.dataset if shown is None else shown
        self._require_own(shown)
        self._stage.show(shown.ids if isinstance(shown, View) else None)
        self._view = shown

    @property
    def selected(self) -> list[str]:
        """Ids of the images that are selected on the page, or that hold the objects selected there.

        Images may be assigned by id or filepath, as a view, or None for nothing; every open page selects them within a second.
        """
        return list(self._stage.selected[0])

    @selected.setter
    def selected(self, samples: DatasetReader | Iterable[str] | None) -> None:
        self._stage.select(self._ids(samples))

    @property
    def selected_labels(self) -> list[str]:
        """Ids of the objects that are selected on the page, nothing where it is images."""
        return list(self._stage.selected[1])

    def _require_own(self, shown: DatasetReader) -> None:
        if (shown.name, shown.home.root) != (self.dataset.name, self.dataset.home.root):
            raise ConfigurationError(
                f"the session shows {self.dataset.name}: a view of {shown.name} needs one of its own"
            )

    def _ids(self, samples: DatasetReader | Iterable[str] | None) -> list[str]:
        if isinstance(samples, DatasetReader):
            self._require_own(samples)
            return (samples if isinstance(samples, View) else samples.where("true")).ids
        if isinstance(samples, str):
            raise ConfigurationError(f"samples are several: [{samples!r}] selects this one")
        wanted = list(dict.fromkeys(samples or ()))
        found = self.dataset.select(wanted)
        known = {*found.ids, *found.values("filepath")}
        if unknown := [one for one in wanted if one not in known]:
            raise MissingError(f"no sample {unknown[0]!r} (ids and filepaths count)")
        return found.ids

    def close(self) -> None:
        """Stop serving the page."""
        self._finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<session of {self.view!r} at {self.url}>"

    def _repr_html_(self) -> str:
        return f'<a href="{escape(self.url)}" target="_blank">Review {escape(repr(self.view))}</a>'


def _dataset_of(shown: DatasetReader) -> DatasetReader:
    return shown.dataset if isinstance(shown, View) else shown


def _listening(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise BrainError(f"the page cannot listen on port {port}: {error.strerror}; choose another") from None


def _await(server: "Server", thread: threading.Thread) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise BrainError("the page does not start")
        time.sleep(0.02)


def _stop(server: "Server", thread: threading.Thread) -> None:
    server.should_exit = True
    thread.join(START_SECONDS)
