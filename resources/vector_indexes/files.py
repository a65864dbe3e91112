"""Indexes that are a file of the dataset: scikit-learn's, which compares with everything, and faiss's."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.vector_indexes.door import Collection, Matrix, Place, VectorIndex, folder_of

BATCH = 10_000
PROBED = 16
"""Inverted lists that a search of faiss looks through, unless the option ``nprobe`` says otherwise."""
METRICS = {"cosine": "cosine", "euclidean": "euclidean", "manhattan": "cityblock"}


class _File:
    """Ids, in the order in which they came, beside the stamp and what else a kind of index keeps, in one ``.npz`` file.

    What was put and deleted is written when the collection is marked, in place of what was there.
    """

    suffix = ".npz"
    is_exact = True

    def __init__(self, place: Place) -> None:
        self.place = place
        self.path: Path = folder_of(place) / f"{place.collection}{self.suffix}"
        self.rows: dict[str, Any] = {}
        self.kept = self._empty()
        if self.path.exists():
            with np.load(self.path, allow_pickle=False) as stored:
                self.kept = {name: stored[name] for name in stored.files}
        self.rows = dict.fromkeys(self.kept["ids"].tolist())

    def _empty(self) -> dict[str, NDArray[Any]]:
        return {"stamp": np.array(""), "ids": np.zeros(0, dtype="<U1")}

    def stamp(self) -> str | None:
        return str(self.kept["stamp"]) if self.path.exists() else None

    def create(self, stamp: str) -> None:
        self.rows, self.kept = {}, self._empty()
        self.mark(stamp)

    def mark(self, stamp: str) -> None:
        self.kept = self._now() | {"stamp": np.array(stamp), "ids": np.array(list(self.rows), dtype=np.str_)}
        draft = self.path.with_suffix(f".{os.getpid()}.draft")
        with draft.open("wb") as file:
            np.savez(file, allow_pickle=False, **self.kept)
        draft.replace(self.path)

    def _now(self) -> dict[str, NDArray[Any]]:
        return {}

    def count(self) -> int:
        return len(self.rows)

    def ids(self) -> Iterator[Sequence[str]]:
        known = list(self.rows)
        for first in range(0, len(known), BATCH):
            yield known[first : first + BATCH]

    def drop(self) -> None:
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        self.rows = {}


class SklearnCollection(_File):
    """Vectors as they are, compared one by one."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.rows = dict(zip(self.rows, self.kept["vectors"], strict=True))

    def _empty(self) -> dict[str, NDArray[Any]]:
        return super()._empty() | {"vectors": np.zeros((0, self.place.width), np.float32)}

    def _now(self) -> dict[str, NDArray[Any]]:
        return {"vectors": self._matrix}

    @property
    def _matrix(self) -> Matrix:
        return np.stack(list(self.rows.values())) if self.rows else self._empty()["vectors"]

    def put(self, ids: Sequence[str], vectors: Matrix) -> None:
        self.rows.update(zip(ids, vectors, strict=True))
        self.__dict__.pop("_searcher", None)

    def delete(self, ids: Sequence[str]) -> None:
        for one in ids:
            self.rows.pop(one, None)
        self.__dict__.pop("_searcher", None)

    @cached_property
    def _searcher(self) -> tuple[list[str], Any]:
        from sklearn.neighbors import NearestNeighbors

        searcher = NearestNeighbors(metric=METRICS[self.place.metric], algorithm="brute")
        return list(self.rows), searcher.fit(self._matrix)

    def search(self, vector: Matrix, k: int) -> Sequence[str]:
        if not self.rows:
            return []
        ids, searcher = self._searcher
        found = searcher.kneighbors(vector[None], min(k, len(ids)), return_distance=False)
        return [ids[row] for row in found[0]]


class FaissCollection(_File):
    """An index of faiss: compared with everything, or what ``options.factory`` says, in faiss's own words."""

    def __init__(self, place: Place) -> None:
        self.factory = str(place.options.get("factory", "Flat"))
        self.is_exact = self.factory == "Flat"
        if "HNSW" in self.factory or "NSG" in self.factory:
            raise ConfigurationError(f"faiss's {self.factory} cannot forget what was deleted: use Flat or IVF")
        super().__init__(place)
        self.names = {_number(one): one for one in self.rows}

    def _empty(self) -> dict[str, NDArray[Any]]:
        return super()._empty() | {"index": np.zeros(0, np.uint8)}

    @cached_property
    def _index(self) -> Any:
        import faiss

        if len(self.kept["index"]):
            index = faiss.deserialize_index(self.kept["index"])
        else:
            metric = faiss.METRIC_L2 if self.place.metric == "euclidean" else faiss.METRIC_INNER_PRODUCT
            index = faiss.index_factory(self.place.width, self.factory, metric)
            # One of inverted lists knows ids itself, and ends the process where it is asked to forget rows by position.
            index = index if "IVF" in self.factory else faiss.IndexIDMap2(index)
        if "IVF" in self.factory:
            faiss.extract_index_ivf(index).nprobe = int(self.place.options.get("nprobe", PROBED))
        return index

    def _now(self) -> dict[str, NDArray[Any]]:
        import faiss

        return {"index": faiss.serialize_index(self._index)}

    def create(self, stamp: str) -> None:
        self.__dict__.pop("_index", None)
        self.names = {}
        super().create(stamp)

    def put(self, ids: Sequence[str], vectors: Matrix) -> None:
        self.delete(ids)
        rows = np.ascontiguousarray(vectors, np.float32)
        if not self._index.is_trained:
            self._index.train(rows)
        numbers = [_number(one) for one in ids]
        self._index.add_with_ids(rows, np.array(numbers, np.int64))
        self.rows.update(dict.fromkeys(ids))
        self.names.update(zip(numbers, ids, strict=True))

    def delete(self, ids: Sequence[str]) -> None:
        known = [_number(one) for one in ids if one in self.rows]
        if known:
            self._index.remove_ids(np.array(known, np.int64))
        for one in ids:
            self.rows.pop(one, None)

    def search(self, vector: Matrix, k: int) -> Sequence[str]:
        if not self.rows:
            return []
        _, found = self._index.search(np.ascontiguousarray(vector[None], np.float32), min(k, len(self.rows)))
        return [self.names[number] for number in found[0].tolist() if number >= 0]


def _number(name: str) -> int:
    """Return the number by which faiss knows an id: 63 bits of its hash."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") >> 1


class Sklearn:
    """scikit-learn's `NearestNeighbors`, which compares a query with every vector."""

    name = "sklearn"
    title = "scikit-learn"
    metrics = frozenset(METRICS)
    most = 1 << 31

    def open(self, place: Place) -> Collection:
        return SklearnCollection(place)


class Faiss:
    """An index of faiss, in a file."""

    name = "faiss"
    title = "faiss"
    metrics = frozenset({"cosine", "dotproduct", "euclidean"})
    most = 1 << 31

    def open(self, place: Place) -> Collection:
        import faiss  # noqa: F401 - what is not installed is told before anything is written

        return FaissCollection(place)


BACKENDS: dict[str, VectorIndex] = {"sklearn": Sklearn(), "faiss": Faiss()}
