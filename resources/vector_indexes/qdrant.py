"""Qdrant, as a server or as a folder that its client reads by itself."""

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from brain_assets.resources.vector_indexes.door import Collection, Matrix, Place, VectorIndex, credential, folder_of

BATCH = 1000
METRICS = {"cosine": "Cosine", "euclidean": "Euclid", "dotproduct": "Dot", "manhattan": "Manhattan"}
STAMP = "brain_assets"


class QdrantCollection:
    """A collection whose points carry our id as payload, and whose metadata holds the stamp."""

    def __init__(self, place: Place) -> None:
        from qdrant_client import QdrantClient

        self.place = place
        # A folder is searched by comparing with every vector.
        self.is_exact = not _is_address(place.url)
        self.client = (
            QdrantClient(path=str(folder_of(place)))
            if self.is_exact
            else QdrantClient(url=place.url, api_key=credential("qdrant", "api_key"), timeout=60)
        )

    @property
    def name(self) -> str:
        return self.place.collection

    def stamp(self) -> str | None:
        if not self.client.collection_exists(self.name):
            return None
        return str((self.client.get_collection(self.name).config.metadata or {}).get(STAMP, ""))

    def create(self, stamp: str) -> None:
        from qdrant_client import models

        self.drop()
        distance = models.Distance(METRICS[self.place.metric])
        self.client.create_collection(
            self.name,
            vectors_config=models.VectorParams(size=self.place.width, distance=distance),
            metadata={STAMP: stamp},
            **self.place.options,
        )

    def mark(self, stamp: str) -> None:
        self.client.update_collection(self.name, metadata={STAMP: stamp})

    def count(self) -> int:
        return int(self.client.count(self.name, exact=True).count)

    def ids(self) -> Iterator[Sequence[str]]:
        at: Any = None
        while True:
            points, at = self.client.scroll(self.name, limit=BATCH, offset=at, with_payload=["id"])
            yield [_id(point) for point in points]
            if at is None:
                return

    def put(self, ids: Sequence[str], vectors: Matrix) -> None:
        from qdrant_client import models

        payloads = [{"id": one} for one in ids]
        batch = models.Batch(ids=[_point(one) for one in ids], vectors=vectors.tolist(), payloads=payloads)
        self.client.upsert(self.name, points=batch, wait=True)

    def delete(self, ids: Sequence[str]) -> None:
        self.client.delete(self.name, points_selector=[_point(one) for one in ids], wait=True)

    def search(self, vector: Matrix, k: int) -> Sequence[str]:
        found = self.client.query_points(self.name, query=vector.tolist(), limit=k, with_payload=["id"])
        return [_id(point) for point in found.points]

    def drop(self) -> None:
        self.client.delete_collection(self.name)

    def close(self) -> None:
        self.client.close()


def _is_address(url: str | None) -> bool:
    return bool(url) and "://" in str(url)


def _id(point: Any) -> str:
    return str(point.payload["id"])


def _point(name: str) -> str:
    """Return the UUID under which a point is kept: Qdrant takes no other text as an id."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


class Qdrant:
    """Qdrant."""

    name = "qdrant"
    title = "Qdrant"
    metrics = frozenset(METRICS)
    most = 10_000

    def open(self, place: Place) -> Collection:
        return QdrantCollection(place)


BACKENDS: dict[str, VectorIndex] = {"qdrant": Qdrant()}
