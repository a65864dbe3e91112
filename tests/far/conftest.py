"""Servers that speak the protocols of object stores and of the web."""

import http.server
import logging
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from brain_assets.resources.media import object_stores
from tests.far.servers import Quiet
from tests.workshop import write_pictures


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """Serve S3's protocol."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Make an empty bucket and the environment that leads to it."""
    import urllib3

    given = {"ENDPOINT_URL": endpoint, "ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "secret", "REGION": "us-east-1"}
    for name, value in given.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    urllib3.request("POST", f"{endpoint}/moto-api/reset")
    object_stores._store.cache_clear()
    object_stores._versions.clear()
    assert urllib3.request("PUT", f"{endpoint}/pictures").status == 200
    yield "s3://pictures"
    object_stores._store.cache_clear()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """Serve the folder ``media`` on the web."""
    write_pictures(tmp_path / "media", range(3))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "media")) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        object_stores._web().clear()
        server.shutdown()
        thread.join()
