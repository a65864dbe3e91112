"""The one door of vector indexes: which backend keeps a collection of vectors, and what every one of them can do.

A backend is an object with the attributes of `VectorIndex`; other packages bring theirs by entry points of the group
``brain_assets.vector_indexes``, and settings may name any class as ``module:Class``.
"""

import importlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from brain_assets.resources.entries import loaded
from brain_assets.resources.errors import BrainError, ConfigurationError
from brain_assets.resources.settings.configuration import BACKENDS, ENVIRONMENT_PREFIX, VECTOR_INDEXES

Matrix = NDArray[np.float32]
HOUSE = "brain_assets.resources.vector_indexes"


class UnreachableIndexError(BrainError):
    """A vector index could not be reached, or refused what was asked; the message says which and why."""


@dataclass(frozen=True)
class Place:
    """Where a collection of vectors is kept, and what they are.

    Attributes
    ----------
    backend : str
        As settings name it.
    collection : str
        Its name there.
    width : int
        Numbers in each vector.
    metric : {"cosine", "euclidean", "dotproduct", "manhattan"}
    folder : str
        Folder that a backend without a server may use for its files.
    url : str, optional
        Address of the server.
    options : mapping of str to object
        What the collection is made with, as the backend's own client names it.
    """

    backend: str
    collection: str
    width: int
    metric: str
    folder: str
    url: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.backend} collection {self.collection!r}{f' at {self.url}' if self.url else ''}"


@runtime_checkable
class Collection(Protocol):
    """A named collection of vectors with string ids, open for reading and writing.

    It bears a *stamp*, a text of ours that is kept beside the vectors, so that a collection that was wiped, is foreign or
    was left half-written is told from one that is as we left it.

    Attributes
    ----------
    is_exact : bool
        Whether a search finds the true nearest.
    """

    is_exact: bool

    def stamp(self) -> str | None:
        """Return the stamp: None where there is no such collection, "" where it bears none."""

    def create(self, stamp: str) -> None:
        """Make the collection, empty, in place of one that may be there."""

    def mark(self, stamp: str) -> None:
        """Give the collection another stamp."""

    def count(self) -> int:
        """Return how many vectors it holds."""

    def ids(self) -> Iterable[Sequence[str]]:
        """Yield all ids, in batches."""

    def put(self, ids: Sequence[str], vectors: Matrix) -> None:
        """Add vectors, or replace those with these ids; searches that follow see them."""

    def delete(self, ids: Sequence[str]) -> None:
        """Delete vectors; ids that it does not hold are no error."""

    def search(self, vector: Matrix, k: int) -> Sequence[str]:
        """Return the ids of the ``k`` vectors nearest to one of shape (width,), nearest first; fewer where it holds fewer."""

    def drop(self) -> None:
        """Delete the collection; one that is not there is no error."""

    def close(self) -> None:
        """Let go of connections and files."""


@runtime_checkable
class VectorIndex(Protocol):
    """A kind of index or server that keeps collections of vectors.

    Attributes
    ----------
    name : str
        What settings call it.
    title : str
        What people call it.
    metrics : frozenset of str
        Distances that it can search by.
    most : int
        Most answers that one search gives.
    """

    name: str
    title: str
    metrics: frozenset[str]
    most: int

    def open(self, place: Place) -> Collection:
        """Connect to where a collection is, or shall be; the collection need not be there."""


@contextmanager
def opened(place: Place) -> Iterator[Collection]:
    """Connect to a collection, and let go of it in the end.

    Raises
    ------
    ConfigurationError
        If there is no such backend, its package is not installed, or it has no such metric.
    UnreachableIndexError
        In one line, if the backend cannot be reached or refuses what is asked.
    """
    with told(place):
        collection = backend(place.backend, place.metric).open(place)
    try:
        with told(place):
            yield collection
    finally:
        collection.close()


@contextmanager
def told(place: Place) -> Iterator[None]:
    """Say in one line which index failed, and why; our own errors pass."""
    try:
        yield
    except BrainError:
        raise
    except ImportError as error:
        raise ConfigurationError(
            f"similarity.backend {place.backend} needs a package that is not installed ({error.name}):"
            f" pip install 'brain-assets[{place.backend}]'"
        ) from None
    except Exception as error:
        line = " ".join(str(error).split())[:200]
        raise UnreachableIndexError(f"{place} does not answer: {type(error).__name__}: {line}") from error


def backend(name: str, metric: str | None = None) -> VectorIndex:
    """Return a backend by its name in settings.

    Raises
    ------
    ConfigurationError
        If there is none, it cannot be loaded, or it has no such metric.
    """
    found = _loaded(name)
    if metric and metric not in found.metrics:
        raise ConfigurationError(
            f"similarity.backend {name} has no metric {metric!r}: use one of {', '.join(sorted(found.metrics))}"
        )
    return found


def credential(name: str, part: str) -> str | None:
    """Return a secret of a backend from the environment, such as ``BRAIN_SIMILARITY_QDRANT_API_KEY``; None if not given."""
    return os.environ.get(f"{ENVIRONMENT_PREFIX}SIMILARITY_{name.upper()}_{part.upper()}") or None


def within(collection: Collection, vector: Matrix, distances: "Distances", radius: float, most: int) -> list[str]:
    """Return the ids of all vectors at most ``radius`` away, nearest first.

    Parameters
    ----------
    collection : Collection
    vector : (width,) float32
    distances : callable
        Takes ids and returns their distances from the vector, as a (len(ids),) array.
    radius : float
    most : int
        Most answers that one search of the backend gives: no more are returned.
    """
    held, k = collection.count(), 64
    while True:
        found = list(collection.search(vector, min(k, held, most)))
        near = distances(found)
        if k >= min(held, most) or (len(found) and near[-1] > radius):
            return [one for one, distance in zip(found, near, strict=True) if distance <= radius]
        k *= 4


class Distances(Protocol):
    """Takes ids and returns how far each is."""

    def __call__(self, ids: Sequence[str], /) -> NDArray[np.floating]:
        """Return one distance per id."""


@cache
def _loaded(name: str) -> VectorIndex:
    if name in BACKENDS:
        module = importlib.import_module(f"{HOUSE}.{MODULES.get(name, name)}")
        ours: VectorIndex = module.BACKENDS[name]
        return ours
    try:
        value = loaded(VECTOR_INDEXES, name)
        member = value() if isinstance(value, type) else value
    except Exception as error:  # noqa: BLE001 - whatever a foreign module raises
        raise ConfigurationError(f"similarity.backend {name} cannot be loaded: {error}") from None
    if not isinstance(member, VectorIndex):
        raise ConfigurationError(f"similarity.backend {name} is no VectorIndex but a {type(member).__name__}")
    return member


# Two backends that speak one protocol are one module.
MODULES = {"sklearn": "files", "faiss": "files", "opensearch": "elasticsearch"}


def folder_of(place: Place) -> Path:
    """Return the folder of a backend that keeps files: the address where one is given, else the dataset's; it is made."""
    folder = Path(place.url).expanduser() if place.url else Path(place.folder) / place.backend
    folder.mkdir(parents=True, exist_ok=True)
    return folder
