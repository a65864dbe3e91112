"""A backend of somebody else: a dictionary, which tests can wipe, spoil and take away."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from brain_assets.resources.vector_indexes.door import Place


@dataclass
class Held:
    stamp: str
    vectors: dict[str, np.ndarray] = field(default_factory=dict)


SERVER: dict[str, Held] = {}
SENT: list[str] = []


class ToyCollection:
    is_exact = True

    def __init__(self, place: Place) -> None:
        if None in SERVER:
            raise ConnectionError("nobody is there")
        self.name = place.collection

    def stamp(self) -> str | None:
        return SERVER[self.name].stamp if self.name in SERVER else None

    def create(self, stamp: str) -> None:
        SERVER[self.name] = Held(stamp)

    def mark(self, stamp: str) -> None:
        SERVER[self.name].stamp = stamp

    def count(self) -> int:
        return len(SERVER[self.name].vectors)

    def ids(self) -> Iterator[Sequence[str]]:
        yield list(SERVER[self.name].vectors)

    def put(self, ids: Sequence[str], vectors: np.ndarray) -> None:
        SENT.extend(ids)
        SERVER[self.name].vectors.update(zip(ids, vectors, strict=True))

    def delete(self, ids: Sequence[str]) -> None:
        for one in ids:
            SERVER[self.name].vectors.pop(one, None)

    def search(self, vector: np.ndarray, k: int) -> Sequence[str]:
        held = SERVER[self.name].vectors
        return sorted(held, key=lambda one: (-float(held[one] @ vector), one))[:k]

    def drop(self) -> None:
        SERVER.pop(self.name, None)

    def close(self) -> None:
        pass


class Toy:
    name = "toy"
    title = "Toy"
    metrics = frozenset({"cosine", "dotproduct"})
    most = 8

    def open(self, place: Place) -> ToyCollection:
        return ToyCollection(place)
