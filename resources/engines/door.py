"""The one door of engines: who carries the heavy work of a run, and what every one of them can do.

An engine is an object with the attributes of `Engine`; other packages bring theirs by entry points of the group
``brain_assets.engines``, and settings may name any class as ``module:Class``. Whichever is used, the run's own process alone
writes the store; workers return what they made.
"""

import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache, partial
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from brain_assets.methods.similarity.distances import Rows, Space
from brain_assets.methods.similarity.shortlists import Progress, candidates_of, shortlist
from brain_assets.resources.entries import loaded
from brain_assets.resources.errors import BrainError, ConfigurationError
from brain_assets.resources.settings.configuration import ENGINES, OWN_ENGINES

HOUSE = "brain_assets.resources.engines"

Work: TypeAlias = Callable[[Iterable[Any]], Iterator[Any]]
"""Takes items and yields results as they are done, in any order, with whatever it keeps open."""


class Worker(Protocol):
    """Opens a worker: what it loads and starts stays open until the context ends. It can be pickled."""

    def __call__(self, threads: int, *, careful: bool) -> AbstractContextManager[Work]:
        """Open a worker that may use so many threads; a careful one expects items that can end its process."""


@runtime_checkable
class Engine(Protocol):
    """Carries heavy work.

    Attributes
    ----------
    name : str
        What settings call it.
    title : str
        What people call it.
    """

    name: str
    title: str

    def map_batches(self, worker: Worker, batches: Iterable[Sequence[Any]]) -> Iterator[Any]:
        """Yield what workers make of the items of all batches, as it is done; every item is worked on to its end once.

        Batches are taken as workers get free, so that memory does not grow with their number. What is lost with a worker is
        worked on again. An error of the work itself ends it all, as the error that it was.
        """

    def top_k(
        self, space: Space, count: int, block: int = 1024, progress: Progress | None = None
    ) -> tuple[Rows, Rows, Rows]:
        """Return candidates for the nearest neighbours of all rows, as `shortlist` does."""


def engine(address: str) -> Engine:
    """Return an engine by what settings say: its name, or its address such as ``ray://head:10001``.

    Raises
    ------
    ConfigurationError
        If there is none of that name, or it cannot be loaded.
    """
    name, separator, _ = address.partition("://")
    kind = _loaded(name)
    with told(name):
        made: Any = kind(address) if separator else kind()
    if not isinstance(made, Engine):
        raise ConfigurationError(f"engine {name} is no Engine but a {type(made).__name__}")
    return made


@contextmanager
def told(name: str) -> Iterator[None]:
    """Say in one line which package an engine lacks, or why it cannot be used; our own errors pass."""
    try:
        yield
    except BrainError:
        raise
    except ImportError as error:
        raise ConfigurationError(
            f"engine {name} needs a package that is not installed ({error.name}): pip install 'brain-assets[{name}]'"
        ) from None
    except Exception as error:
        line = " ".join(str(error).split())[:200]
        raise ConfigurationError(f"engine {name} cannot be used: {type(error).__name__}: {line}") from error


def by_blocks(
    carrier: Engine, space: Space, count: int, block: int, progress: Progress | None
) -> tuple[Rows, Rows, Rows]:
    """Return what `Engine.top_k` owes, each block of rows made by a worker of an engine."""
    starts = list(range(0, len(space), block))
    if len(starts) < 2:
        return shortlist(space, count, block, progress)
    parts = []
    for part in carrier.map_batches(partial(_comparing, space, count, block), [[start] for start in starts]):
        parts.append(part)
        if progress is not None:
            progress(len(parts), len(starts))
    found = [part for _, part in sorted(parts, key=lambda part: int(part[0]))]
    rows, candidates, unsure = (np.concatenate(column) for column in zip(*found, strict=True))
    return rows, candidates, unsure


@contextmanager
def _comparing(space: Space, count: int, block: int, threads: int, *, careful: bool) -> Iterator[Work]:
    """Open a worker that compares blocks, named by their first row, with all rows."""
    from threadpoolctl import threadpool_limits

    def compare(starts: Iterable[int]) -> Iterator[tuple[int, tuple[Rows, Rows, Rows]]]:
        for start in starts:
            yield start, candidates_of(space, count, range(start, min(start + block, len(space))), block)

    del careful
    with threadpool_limits(threads, user_api="blas"):
        yield compare


@cache
def _loaded(name: str) -> Any:
    if name in OWN_ENGINES:
        return importlib.import_module(f"{HOUSE}.{OWN_ENGINES[name][0]}").ENGINE
    try:
        return loaded(ENGINES, name)
    except Exception as error:  # noqa: BLE001 - whatever a foreign module raises
        raise ConfigurationError(f"engine {name} cannot be loaded: {error}") from None
