"""LanceDB, as a folder, in an object store, or in its cloud."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from brain_assets.resources.vector_indexes.door import Collection, Matrix, Place, VectorIndex, credential, folder_of

METRICS = {"cosine": "cosine", "euclidean": "l2", "dotproduct": "dot"}
STAMP = "brain_assets"
# Older versions of a table are deleted; a reader may hold one for as long.
KEPT = timedelta(hours=1)
# LanceDB trains no index on fewer.
INDEXED = 256


class LanceCollection:
    """A table of ids and vectors; the metadata of its first column hold the stamp."""

    def __init__(self, place: Place) -> None:
        import lancedb

        self.place = place
        self.is_exact = not place.options
        uri = place.url if place.url and "://" in place.url else str(folder_of(place))
        self.connection: Any = lancedb.connect(uri, api_key=credential("lancedb", "api_key"))

    @property
    def table(self) -> Any:
        return self.connection.open_table(self.place.collection)

    def _exists(self) -> bool:
        try:
            self.connection.open_table(self.place.collection)
        except (FileNotFoundError, ValueError):
            return False
        return True

    def stamp(self) -> str | None:
        if not self._exists():
            return None
        return ((self.table.schema.field("id").metadata or {}).get(STAMP.encode()) or b"").decode()

    def create(self, stamp: str) -> None:
        vectors = pa.list_(pa.float32(), self.place.width)
        schema = pa.schema([pa.field("id", pa.string(), metadata={STAMP: stamp}), pa.field("vector", vectors)])
        self.connection.create_table(self.place.collection, schema=schema, mode="overwrite")

    def mark(self, stamp: str) -> None:
        table = self.table
        table.update_field_metadata({"path": "id", "metadata": {STAMP: stamp}})
        if self.place.options and table.count_rows() >= INDEXED:
            table.create_index(metric=METRICS[self.place.metric], replace=True, **self.place.options)
        table.optimize(cleanup_older_than=KEPT)

    def count(self) -> int:
        return int(self.table.count_rows())

    def ids(self) -> Iterator[Sequence[str]]:
        for batch in self.table.search().select(["id"]).to_batches():
            yield batch.column("id").to_pylist()

    def put(self, ids: Sequence[str], vectors: Matrix) -> None:
        flat = pa.array(np.ascontiguousarray(vectors, np.float32).ravel())
        rows = pa.table({"id": list(ids), "vector": pa.FixedSizeListArray.from_arrays(flat, self.place.width)})
        self.table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(rows)

    def delete(self, ids: Sequence[str]) -> None:
        listed = ", ".join("'" + one.replace("'", "''") + "'" for one in ids)
        self.table.delete(f"id in ({listed})")

    def search(self, vector: Matrix, k: int) -> Sequence[str]:
        query = self.table.search(vector).distance_type(METRICS[self.place.metric]).limit(k)
        found: list[str] = query.select(["id", "_distance"]).to_arrow().column("id").to_pylist()
        return found

    def drop(self) -> None:
        if self._exists():
            self.connection.drop_table(self.place.collection)

    def close(self) -> None:
        """Do nothing: a connection holds nothing open."""


class LanceDb:
    """LanceDB."""

    name = "lancedb"
    title = "LanceDB"
    metrics = frozenset(METRICS)
    most = 100_000

    def open(self, place: Place) -> Collection:
        return LanceCollection(place)


BACKENDS: dict[str, VectorIndex] = {"lancedb": LanceDb()}
