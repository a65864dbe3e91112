"""MongoDB with vector search (Atlas, or 8.2 and newer with its search process)."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from brain_assets.resources.vector_indexes.door import Collection, Matrix, Place, VectorIndex, credential

BATCH = 1000
METRICS = {"cosine": "cosine", "euclidean": "euclidean", "dotproduct": "dotProduct"}
DEFAULT_URL = "mongodb://127.0.0.1:27017"
DATABASE = "brain_assets"
# The document that holds the stamp; it has no vector.
STAMP = "brain_assets stamp"
INDEX = "vectors"
# Seconds that a new index may take until it answers.
READY = 120.0


class MongodbCollection:
    """A collection of documents with a vector, and one with the stamp."""

    is_exact = True

    def __init__(self, place: Place) -> None:
        from pymongo import MongoClient

        self.place = place
        login = {"username": credential("mongodb", "user"), "password": credential("mongodb", "password")}
        given: dict[str, Any] = {name: value for name, value in login.items() if value}
        self.client: Any = MongoClient(place.url or DEFAULT_URL, serverSelectionTimeoutMS=10_000, **given)
        self.database = self.client.get_default_database(DATABASE)
        self.collection = self.database[place.collection]

    def stamp(self) -> str | None:
        if self.place.collection not in self.database.list_collection_names():
            return None
        found = self.collection.find_one({"_id": STAMP})
        return str(found["stamp"]) if found else ""

    def create(self, stamp: str) -> None:
        from pymongo.operations import SearchIndexModel

        self.drop()
        self.mark(stamp)
        similarity = METRICS[self.place.metric]
        vector = {"type": "vector", "path": "vector", "numDimensions": self.place.width, "similarity": similarity}
        definition = {"fields": [vector | dict(self.place.options)]}
        self.collection.create_search_index(SearchIndexModel(definition=definition, name=INDEX, type="vectorSearch"))
        until = time.monotonic() + READY
        while not any(one.get("queryable") for one in self.collection.list_search_indexes(INDEX)):
            if time.monotonic() > until:
                raise TimeoutError(f"the index {INDEX} is not ready after {READY:.0f} seconds")
            time.sleep(0.5)

    def mark(self, stamp: str) -> None:
        self.collection.replace_one({"_id": STAMP}, {"stamp": stamp}, upsert=True)

    def count(self) -> int:
        return int(self.collection.count_documents({"_id": {"$ne": STAMP}}))

    def ids(self) -> Iterator[Sequence[str]]:
        last = ""
        while found := [row["_id"] for row in self._after(last)]:
            last = found[-1]
            yield [one for one in found if one != STAMP]

    def _after(self, last: str) -> Any:
        return self.collection.find({"_id": {"$gt": last}}, {"_id": 1}).sort("_id", 1).limit(BATCH)

    def put(self, ids: Sequence[str], vectors: Matrix) -> None:
        from pymongo import ReplaceOne

        rows = zip(ids, vectors.tolist(), strict=True)
        self.collection.bulk_write([ReplaceOne({"_id": one}, {"vector": vector}, upsert=True) for one, vector in rows])

    def delete(self, ids: Sequence[str]) -> None:
        self.collection.delete_many({"_id": {"$in": list(ids)}})

    def search(self, vector: Matrix, k: int) -> Sequence[str]:
        if not k:
            return []
        near = {"index": INDEX, "path": "vector", "queryVector": vector.tolist(), "limit": k, "exact": True}
        return [row["_id"] for row in self.collection.aggregate([{"$vectorSearch": near}, {"$project": {"_id": 1}}])]

    def drop(self) -> None:
        self.collection.drop()

    def close(self) -> None:
        self.client.close()


class Mongodb:
    """MongoDB."""

    name = "mongodb"
    title = "MongoDB"
    metrics = frozenset(METRICS)
    most = 10_000

    def open(self, place: Place) -> Collection:
        return MongodbCollection(place)


BACKENDS: dict[str, VectorIndex] = {"mongodb": Mongodb()}
