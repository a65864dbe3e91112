"""Workers that tests can open anywhere: they are imported where they are opened."""

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from brain_assets.resources.errors import ConfigurationError


@dataclass(frozen=True)
class Squares:
    """Yields each number, its square and which opening made it; refuses what it is told to."""

    refused: int = -1
    seconds: float = 0

    @contextmanager
    def __call__(self, threads: int, *, careful: bool) -> Iterator[Any]:
        opening = os.urandom(8).hex()

        def work(items: Iterable[int]) -> Iterator[tuple[int, int, str]]:
            for item in items:
                if item == self.refused:
                    raise ConfigurationError(f"{item} is refused")
                time.sleep(self.seconds)
                yield item, item * item, opening

        yield work


@dataclass(frozen=True)
class Deadly:
    """Ends its process at an item, as a decoder may, unless it is careful and that helps; notes the processes that work."""

    folder: Path
    fatal: int = -1
    seconds: float = 0
    always: bool = False

    @contextmanager
    def __call__(self, threads: int, *, careful: bool) -> Iterator[Any]:
        (self.folder / str(os.getpid())).touch()

        def work(items: Iterable[int]) -> Iterator[tuple[int, bool]]:
            for item in items:
                if item == self.fatal and (self.always or not careful):
                    os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(self.seconds)
                yield item, careful

        yield work


@dataclass(frozen=True)
class Photos:
    """Stands for decoder and model: sleeps as long as they take and yields as much as they give."""

    seconds: float
    width: int = 1280
    preview: int = 20_000

    @contextmanager
    def __call__(self, threads: int, *, careful: bool) -> Iterator[Any]:
        def work(items: Iterable[int]) -> Iterator[tuple[int, bytes, np.ndarray, int]]:
            for item in items:
                time.sleep(self.seconds)
                yield item, bytes(self.preview), np.full(self.width, item, np.float32), os.getpid()

        yield work
