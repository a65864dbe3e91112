"""Milvus, as a server or as a file of Milvus Lite."""

from collections.abc import Iterator, Sequence
from typing import Any

from brain_assets.resources.vector_indexes.door import Collection, Matrix, Place, VectorIndex, credential, folder_of

BATCH = 1000
METRICS = {"cosine": "COSINE", "euclidean": "L2", "dotproduct": "IP"}
STAMP = "brain_assets"


class MilvusCollection:
    """A collection of ids and vectors whose properties hold the stamp."""

    def __init__(self, place: Place) -> None:
        from pymilvus import MilvusClient

        self.place = place
        self.kind = str(place.options.get("index_type", "FLAT"))
        self.is_exact = self.kind == "FLAT"
        served = bool(place.url) and "://" in str(place.url)
        uri = str(place.url) if served else str(folder_of(place) / "milvus.db")
        self.client: Any = MilvusClient(uri, token=credential("milvus", "token") or "", timeout=60)
        self.is_loaded = False

    @property
    def name(self) -> str:
        return self.place.collection

    def _loaded(self) -> Any:
        """Return the client, with the collection in memory, where a server that was started anew has none."""
        if not self.is_loaded:
            self.client.load_collection(self.name)
            self.is_loaded = True
        return self.client

    def stamp(self) -> str | None:
        if not self.client.has_collection(self.name):
            return None
        return str(self.client.describe_collection(self.name).get("properties", {}).get(STAMP, ""))

    def create(self, stamp: str) -> None:
        from pymilvus import DataType

        self.drop()
        self.is_loaded = False
        schema = self.client.create_schema(auto_id=False)
        schema.add_field("id", DataType.VARCHAR, max_length=512, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self.place.width)
        index, options = self.client.prepare_index_params(), dict(self.place.options) | {"index_type": self.kind}
        index.add_index("vector", metric_type=METRICS[self.place.metric], **options)
        self.client.create_collection(
            self.name, schema=schema, index_params=index, properties={STAMP: stamp}, consistency_level="Strong"
        )

    def mark(self, stamp: str) -> None:
        # What is not flushed is searched row by row: 30 times as slow in Milvus Lite.
        self.client.flush(self.name)
        self.client.alter_collection_properties(self.name, properties={STAMP: stamp})

    def count(self) -> int:
        found = self._loaded().query(self.name, output_fields=["count(*)"], consistency_level="Strong")
        return int(found[0]["count(*)"])

    def ids(self) -> Iterator[Sequence[str]]:
        rows = self._loaded().query_iterator(self.name, batch_size=BATCH, filter="id != ''", output_fields=["id"])
        while batch := rows.next():
            yield [row["id"] for row in batch]
        rows.close()

    def put(self, ids: Sequence[str], vectors: Matrix) -> None:
        rows = [{"id": one, "vector": vector} for one, vector in zip(ids, vectors.tolist(), strict=True)]
        self.client.upsert(self.name, rows)

    def delete(self, ids: Sequence[str]) -> None:
        self.client.delete(self.name, ids=list(ids))

    def search(self, vector: Matrix, k: int) -> Sequence[str]:
        found = self._loaded().search(
            self.name, data=[vector.tolist()], limit=k, output_fields=["id"], consistency_level="Strong"
        )
        return [one["id"] for one in found[0]]

    def drop(self) -> None:
        self.client.drop_collection(self.name)

    def close(self) -> None:
        self.client.close()


class Milvus:
    """Milvus."""

    name = "milvus"
    title = "Milvus"
    metrics = frozenset(METRICS)
    most = 16_384

    def open(self, place: Place) -> Collection:
        return MilvusCollection(place)


BACKENDS: dict[str, VectorIndex] = {"milvus": Milvus()}
