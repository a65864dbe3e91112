"""Pinecone: an index that was made there, in which a collection is a namespace."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.vector_indexes.door import Collection, Matrix, Place, VectorIndex, credential

BATCH = 100
# What was written is seen by readers a little later: numbers count when they stay so long the same.
SETTLED = 2.0
MOST_WAITED = 60.0


class PineconeCollection:
    """A namespace of vectors, and one beside it with a single vector that carries the stamp."""

    is_exact = False

    def __init__(self, place: Place) -> None:
        from pinecone import Pinecone

        key = credential("pinecone", "api_key")
        if not place.url or not key:
            raise ConfigurationError(
                "pinecone needs similarity.pinecone.url, the address of an index that was made there, and"
                " BRAIN_SIMILARITY_PINECONE_API_KEY in the environment"
            )
        self.place = place
        self.client: Any = Pinecone(api_key=key)
        self.index: Any = self.client.Index(host=place.url)

    @property
    def name(self) -> str:
        return self.place.collection

    @property
    def beside(self) -> str:
        return f"{self.name}_stamp"

    def stamp(self) -> str | None:
        found = self.index.fetch(ids=["stamp"], namespace=self.beside).vectors
        if "stamp" in found:
            return str(found["stamp"].metadata["stamp"])
        return None if not self._held() else ""

    def create(self, stamp: str) -> None:
        width = self.index.describe_index_stats().dimension
        if width not in (None, self.place.width):
            raise ConfigurationError(
                f"the index at {self.place.url} has {width} dimensions, and the vectors have {self.place.width}: make one"
                f" with {self.place.width} dimensions and the metric {self.place.metric}"
            )
        self.drop()
        self.mark(stamp)

    def mark(self, stamp: str) -> None:
        some = [1.0] + [0.0] * (self._width() - 1)
        self.index.upsert(vectors=[("stamp", some, {"stamp": stamp})], namespace=self.beside, show_progress=False)

    def _width(self) -> int:
        return int(self.index.describe_index_stats().dimension or self.place.width)

    def _held(self) -> int:
        found = self.index.describe_index_stats().namespaces.get(self.name)
        return int(found.vector_count) if found else 0

    def count(self) -> int:
        last, since, begun = self._held(), time.monotonic(), time.monotonic()
        while time.monotonic() - since < SETTLED and time.monotonic() - begun < MOST_WAITED:
            time.sleep(SETTLED / 4)
            now = self._held()
            if now != last:
                last, since = now, time.monotonic()
        return last

    def ids(self) -> Iterator[Sequence[str]]:
        for page in self.index.list(namespace=self.name):
            yield [one.id for one in page.vectors]

    def put(self, ids: Sequence[str], vectors: Matrix) -> None:
        rows = list(zip(ids, vectors.tolist(), strict=True))
        for first in range(0, len(rows), BATCH):
            self.index.upsert(vectors=rows[first : first + BATCH], namespace=self.name, show_progress=False)

    def delete(self, ids: Sequence[str]) -> None:
        self.index.delete(ids=list(ids), namespace=self.name)

    def search(self, vector: Matrix, k: int) -> Sequence[str]:
        if not k:
            return []
        found = self.index.query(vector=vector.tolist(), top_k=k, namespace=self.name)
        return [one.id for one in found.matches]

    def drop(self) -> None:
        for namespace in (self.name, self.beside):
            if namespace in self.index.describe_index_stats().namespaces:
                self.index.delete(delete_all=True, namespace=namespace)

    def close(self) -> None:
        self.index.close()
        self.client.close()


class PineconeIndex:
    """Pinecone."""

    name = "pinecone"
    title = "Pinecone"
    metrics = frozenset({"cosine", "euclidean", "dotproduct"})
    most = 10_000

    def open(self, place: Place) -> Collection:
        return PineconeCollection(place)


BACKENDS: dict[str, VectorIndex] = {"pinecone": PineconeIndex()}
