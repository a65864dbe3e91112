"""Redis with its search module (Redis Stack, or Redis 8)."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from brain_assets.resources.vector_indexes.door import Collection, Matrix, Place, VectorIndex, credential

BATCH = 1000
METRICS = {"cosine": "COSINE", "euclidean": "L2", "dotproduct": "IP"}
DEFAULT_URL = "redis://127.0.0.1:6379"


class RedisCollection:
    """Hashes under a prefix, an index over them, and the stamp in a key beside."""

    def __init__(self, place: Place) -> None:
        import redis

        self.place = place
        self.is_exact = str(place.options.get("type", "FLAT")).upper() == "FLAT"
        self.client: Any = redis.Redis.from_url(
            place.url or DEFAULT_URL, password=credential("redis", "password"), socket_timeout=60
        )

    @property
    def prefix(self) -> str:
        return f"{self.place.collection}:"

    @property
    def index(self) -> Any:
        return self.client.ft(self.place.collection)

    def _exists(self) -> bool:
        names = self.client.execute_command("FT._LIST")
        return self.place.collection in {one.decode() if isinstance(one, bytes) else one for one in names}

    def stamp(self) -> str | None:
        if not self._exists():
            return None
        return (self.client.get(self.place.collection) or b"").decode()

    def create(self, stamp: str) -> None:
        from redis.commands.search.field import VectorField
        from redis.commands.search.index_definition import IndexDefinition, IndexType

        self.drop()
        options = {key: value for key, value in self.place.options.items() if key != "type"}
        kind = str(self.place.options.get("type", "FLAT")).upper()
        described = {"TYPE": "FLOAT32", "DIM": self.place.width, "DISTANCE_METRIC": METRICS[self.place.metric]}
        make: Any = IndexDefinition
        definition = make(prefix=[self.prefix], index_type=IndexType.HASH)
        self.index.create_index([VectorField("vector", kind, described | options)], definition=definition)
        self.mark(stamp)

    def mark(self, stamp: str) -> None:
        self.client.set(self.place.collection, stamp)

    def count(self) -> int:
        return len({one for batch in self.ids() for one in batch})

    def ids(self) -> Iterator[Sequence[str]]:
        keys = self.client.scan_iter(match=_literal(self.prefix) + "*", count=BATCH)
        # A scan may give a key twice while the table of keys grows.
        while batch := dict.fromkeys(islice(keys, BATCH)):
            yield [key.decode().removeprefix(self.prefix) for key in batch]

    def put(self, ids: Sequence[str], vectors: Matrix) -> None:
        with self.client.pipeline(transaction=False) as pipeline:
            for one, vector in zip(ids, vectors, strict=True):
                pipeline.hset(self.prefix + one, mapping={"vector": vector.astype(np.float32).tobytes()})
            pipeline.execute()

    def delete(self, ids: Sequence[str]) -> None:
        self.client.delete(*(self.prefix + one for one in ids))

    def search(self, vector: Matrix, k: int) -> Sequence[str]:
        from redis.commands.search.query import Query

        query = Query(f"*=>[KNN {k} @vector $vector AS distance]").sort_by("distance").paging(0, k).dialect(2)
        query = query.return_fields("distance")
        found = self.index.search(query, query_params={"vector": vector.astype(np.float32).tobytes()})
        return [document.id.removeprefix(self.prefix) for document in found.docs]

    def drop(self) -> None:
        if self._exists():
            self.index.dropindex(delete_documents=False)
        for batch in self.ids():
            self.delete(batch)
        self.client.delete(self.place.collection)

    def close(self) -> None:
        self.client.close()


def _literal(text: str) -> str:
    """Return a pattern of Redis that is met by this text alone."""
    return "".join(f"\\{letter}" if letter in "*?[]\\^-" else letter for letter in text)


class Redis:
    """Redis."""

    name = "redis"
    title = "Redis"
    metrics = frozenset(METRICS)
    most = 10_000

    def open(self, place: Place) -> Collection:
        return RedisCollection(place)


BACKENDS: dict[str, VectorIndex] = {"redis": Redis()}
