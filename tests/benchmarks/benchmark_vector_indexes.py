"""What the backends of vector indexes cost beside the exact graph, and how much of it they find.

Run as ``python -m tests.benchmarks.benchmark_vector_indexes [FILE.npy,... | ROWS] [MEMBER[:MODE],...]``, for instance
``20000 faiss,faiss:ivf,redis:hnsw``. Vectors are those of the files, or 20 000 clustered ones of 1 280 numbers that are
made. CPU seconds are of all processes, those of a server among them; those of the graph, all neighbours of all vectors, are
measured in the same run. A fill is that of an empty collection, a change replaces one vector in a hundred and deletes as
many. A search asks for the 20 nearest of a vector that is there. The recall is the share of the graph's neighbours among
the answers; equal distances count as found.
"""

import resource
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import psutil

from brain_assets.methods.similarity.similarity import build_graph, normalize
from brain_assets.resources.errors import BrainError
from brain_assets.resources.vector_indexes.door import Collection, Place, opened
from tests.benchmarks.benchmark_similarity import clustered_vectors
from tests.vector_indexes.servers import pgvector_server, redis_server

K, QUERIES, BATCH = 20, 100, 4096
EQUAL = 1e-5
SERVERS = {"redis": redis_server, "pgvector": pgvector_server}
# Approximate modes, as docs/backends.md names them; by default each member is exact.
MODES: dict[str, dict[str, Any]] = {
    "faiss:ivf": {"factory": "IVF128,Flat"},
    "redis:hnsw": {"type": "HNSW", "M": 16},
    "milvus:hnsw": {"index_type": "HNSW", "params": {"M": 16, "efConstruction": 200}},
    "lancedb:hnsw": {"index_type": "IVF_HNSW_SQ"},
    "pgvector:hnsw": {"index": "hnsw", "m": 16, "ef_construction": 64},
}
MEMBERS = ("sklearn", "faiss", "qdrant", "redis", "milvus", "lancedb", "pgvector", *MODES)


class Measured(NamedTuple):
    """CPU seconds of a fill and a change, CPU milliseconds of a search, and the recall."""

    fill: float
    change: float
    search: float
    recall: float


def cpu(server: int | None) -> float:
    """Return the CPU seconds of this process and a server, with all that they started."""
    spent = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    alive = set(psutil.Process().children(recursive=True))
    if server is not None:
        alive |= {psutil.Process(server), *psutil.Process(server).children(recursive=True)}
    # The last two numbers are of what a process started and saw end.
    return spent + sum(sum(one.cpu_times()[:4]) for one in alive)


def vectors_of(given: str) -> np.ndarray:
    if given.isdecimal():
        return clustered_vectors(int(given), 1280)
    return normalize(np.concatenate([np.load(path) for path in given.split(",")]).astype(np.float32))


@contextmanager
def placed(member: str, width: int) -> Iterator[tuple[Place, int | None]]:
    name, _, _ = member.partition(":")
    server = SERVERS[name]() if name in SERVERS else nullcontext((None, None))
    with tempfile.TemporaryDirectory() as folder, server as (url, pid):
        yield Place(name, f"b_{uuid.uuid4().hex[:8]}", width, "cosine", folder, url, MODES.get(member, {})), pid


def measure(member: str, vectors: np.ndarray, nearest: np.ndarray) -> Measured:
    ids = [f"{row:032x}" for row in range(len(vectors))]
    with placed(member, vectors.shape[1]) as (place, server), opened(place) as collection:

        def spent(work: Callable[[], object]) -> float:
            before = cpu(server)
            work()
            return cpu(server) - before

        def change() -> None:
            rows = np.arange(0, len(ids), 100)
            collection.put([ids[row] for row in rows], vectors[rows])
            collection.delete([ids[row] for row in rows + 1])
            collection.mark("changed")

        filled = spent(lambda: fill(collection, ids, vectors))
        queries = np.linspace(0, len(ids) - 1, QUERIES).astype(int)
        answers: list[list[str]] = []
        asked = spent(lambda: answers.extend(list(collection.search(vectors[row], K + 1)) for row in queries))
        shares = [
            recall([int(one, 16) for one in found], row, vectors, nearest)
            for row, found in zip(queries, answers, strict=True)
        ]
        return Measured(filled, spent(change), 1000 * asked / QUERIES, float(np.mean(shares)))


def fill(collection: Collection, ids: list[str], vectors: np.ndarray) -> None:
    collection.create("filling")
    for start in range(0, len(ids), BATCH):
        collection.put(ids[start : start + BATCH], vectors[start : start + BATCH])
    collection.mark("filled")


def recall(found: list[int], row: int, vectors: np.ndarray, nearest: np.ndarray) -> float:
    distances = 1 - vectors @ vectors[row]
    farthest = distances[nearest[row, K - 1]] + EQUAL
    others = [one for one in found if one != row][:K]
    return float((distances[others] <= farthest).sum()) / K


def main(given: str = "20000", members: str = "") -> None:
    vectors = vectors_of(given)
    before = cpu(None)
    graph = build_graph(vectors, np.arange(len(vectors)), width=K)
    whole = cpu(None) - before
    print(f"{len(vectors)} x {vectors.shape[1]}: the exact graph of {K} neighbours {whole:.1f} CPU-s", flush=True)
    print(f"{'':14} {'fill':>8} {'of graph':>9} {'change':>8} {'search':>9} {'recall':>7} {'wall':>7}")
    for member in members.split(",") if members else MEMBERS:
        started = time.monotonic()
        try:
            one = measure(member, vectors, graph.neighbors)
        except BrainError as error:
            print(f"{member:14} {error}", flush=True)
            continue
        wall = time.monotonic() - started
        numbers = f"{one.fill:7.1f}s {one.fill / whole:8.2f}x {one.change:7.2f}s {one.search:7.2f}ms {one.recall:7.3f}"
        print(f"{member:14} {numbers} {wall:6.0f}s", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
