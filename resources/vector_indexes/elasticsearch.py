"""Elasticsearch and OpenSearch: one way to keep vectors, in two dialects."""

from collections.abc import Iterator, Sequence
from typing import Any

from brain_assets.resources.vector_indexes.door import Collection, Matrix, Place, VectorIndex, credential

BATCH = 1000
STAMP = "brain_assets"
DEFAULT_URL = "http://127.0.0.1:9200"
# Lucene compares vectors of length 1 by their product alone; it refuses a cosine of vectors without a direction.
METRICS = {"cosine": "max_inner_product", "euclidean": "l2_norm", "dotproduct": "max_inner_product"}
SPACES = {"cosine": "innerproduct", "euclidean": "l2", "dotproduct": "innerproduct", "manhattan": "l1"}


class _SearchEngineCollection:
    """An index of documents with a vector and our id; its mapping holds the stamp."""

    client: Any
    is_exact: bool

    def __init__(self, place: Place) -> None:
        self.place = place

    @property
    def name(self) -> str:
        return self.place.collection

    def stamp(self) -> str | None:
        if not self.client.indices.exists(index=self.name):
            return None
        mapping = self.client.indices.get_mapping(index=self.name)
        (found,) = (one["mappings"] for one in dict(mapping).values())
        return str(found.get("_meta", {}).get(STAMP, ""))

    def count(self) -> int:
        self.client.indices.refresh(index=self.name)
        return int(self.client.count(index=self.name)["count"])

    def ids(self) -> Iterator[Sequence[str]]:
        asked: dict[str, Any] = {"size": BATCH, "sort": [{"id": "asc"}], "_source": False}
        while found := self._search(asked):
            yield [hit["_id"] for hit in found]
            asked["search_after"] = found[-1]["sort"]

    def put(self, ids: Sequence[str], vectors: Matrix) -> None:
        lines: list[dict[str, Any]] = []
        for one, vector in zip(ids, vectors.tolist(), strict=True):
            lines += [{"index": {"_index": self.name, "_id": one}}, {"id": one, "vector": vector}]
        self._bulk(lines)

    def delete(self, ids: Sequence[str]) -> None:
        self._bulk([{"delete": {"_index": self.name, "_id": one}} for one in ids])

    def drop(self) -> None:
        if self.client.indices.exists(index=self.name):
            self.client.indices.delete(index=self.name)

    def close(self) -> None:
        self.client.close()

    def _bulk(self, lines: list[dict[str, Any]]) -> None:
        answer = self._sent(lines)
        rows = [next(iter(item.values())) for item in answer["items"]] if answer["errors"] else []
        failed = [row["error"] for row in rows if "error" in row]
        if failed:
            raise RuntimeError(f"{len(failed)} documents were refused: {failed[0]}")

    def _sent(self, lines: list[dict[str, Any]]) -> Any:
        raise NotImplementedError

    def _search(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        raise NotImplementedError


class ElasticsearchCollection(_SearchEngineCollection):
    """An index of Elasticsearch: ``dense_vector``, compared one by one unless ``options`` say how to index them."""

    def __init__(self, place: Place) -> None:
        from elasticsearch import Elasticsearch

        super().__init__(place)
        self.options = dict(place.options) or {"type": "flat"}
        self.is_exact = self.options["type"] == "flat"
        key, password = credential("elasticsearch", "api_key"), credential("elasticsearch", "password")
        login = ("elastic", password) if password and not key else None
        self.client = Elasticsearch(place.url or DEFAULT_URL, api_key=key, basic_auth=login, request_timeout=60)

    def create(self, stamp: str) -> None:
        self.drop()
        similarity = METRICS[self.place.metric]
        vector = {"type": "dense_vector", "dims": self.place.width, "index": True, "similarity": similarity}
        fields = {"id": {"type": "keyword"}, "vector": vector | {"index_options": self.options}}
        self.client.indices.create(index=self.name, mappings={"_meta": {STAMP: stamp}, "properties": fields})

    def mark(self, stamp: str) -> None:
        self.client.indices.put_mapping(index=self.name, meta={STAMP: stamp})

    def search(self, vector: Matrix, k: int) -> Sequence[str]:
        if not k:
            return []
        seen = min(max(2 * k, 100), ElasticsearchIndex.most)
        near = {"field": "vector", "query_vector": vector.tolist(), "k": k, "num_candidates": seen}
        return [hit["_id"] for hit in self._search({"knn": near, "size": k, "_source": False})]

    def _sent(self, lines: list[dict[str, Any]]) -> Any:
        return self.client.bulk(operations=lines, refresh=True)

    def _search(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        names = {"_source": "source"}
        found: list[dict[str, Any]] = self.client.search(
            index=self.name, **{names.get(name, name): value for name, value in asked.items()}
        )["hits"]["hits"]
        return found


class OpensearchCollection(_SearchEngineCollection):
    """An index of OpenSearch: ``knn_vector``, compared one by one unless ``options`` name a method of its plugin."""

    def __init__(self, place: Place) -> None:
        from opensearchpy import OpenSearch

        super().__init__(place)
        self.is_exact = not place.options
        password = credential("opensearch", "password")
        login = (credential("opensearch", "user") or "admin", password) if password else None
        self.client = OpenSearch(place.url or DEFAULT_URL, http_auth=login, timeout=60)

    def create(self, stamp: str) -> None:
        self.drop()
        vector: dict[str, Any] = {"type": "knn_vector", "dimension": self.place.width}
        if self.place.options:
            vector["method"] = {"space_type": SPACES[self.place.metric], **self.place.options}
        mappings = {"_meta": {STAMP: stamp}, "properties": {"id": {"type": "keyword"}, "vector": vector}}
        self.client.indices.create(
            index=self.name, body={"settings": {"index": {"knn": bool(self.place.options)}}, "mappings": mappings}
        )

    def mark(self, stamp: str) -> None:
        self.client.indices.put_mapping(index=self.name, body={"_meta": {STAMP: stamp}})

    def search(self, vector: Matrix, k: int) -> Sequence[str]:
        if not k:
            return []
        near: dict[str, Any] = {"knn": {"vector": {"vector": vector.tolist(), "k": k}}}
        if self.is_exact:
            given = {"field": "vector", "query_value": vector.tolist(), "space_type": SPACES[self.place.metric]}
            script = {"lang": "knn", "source": "knn_score", "params": given}
            near = {"script_score": {"query": {"match_all": {}}, "script": script}}
        return [hit["_id"] for hit in self._search({"query": near, "size": k, "_source": False})]

    def _sent(self, lines: list[dict[str, Any]]) -> Any:
        return self.client.bulk(body=lines, refresh=True)

    def _search(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.client.search(index=self.name, body=asked)["hits"]["hits"]
        return found


class ElasticsearchIndex:
    """Elasticsearch 8.12 and newer."""

    name = "elasticsearch"
    title = "Elasticsearch"
    metrics = frozenset(METRICS)
    most = 10_000

    def open(self, place: Place) -> Collection:
        return ElasticsearchCollection(place)


class OpensearchIndex:
    """OpenSearch 2 and newer, with its k-NN plugin."""

    name = "opensearch"
    title = "OpenSearch"
    metrics = frozenset(SPACES)
    most = 10_000

    def open(self, place: Place) -> Collection:
        return OpensearchCollection(place)


BACKENDS: dict[str, VectorIndex] = {"elasticsearch": ElasticsearchIndex(), "opensearch": OpensearchIndex()}
