"""What a run is at, on one line of a terminal that is written over; silent where nobody watches."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from tqdm import tqdm

CLEARED = "\r\x1b[K"
EVERY = 1000


class _Line:
    """The line, and how many steps were shown on it."""

    def __init__(self) -> None:
        self.stream: TextIO | None = None
        self.steps = 0


_LINE = _Line()


@contextmanager
def shown() -> Iterator[None]:
    """Show what is reported while the block runs, where standard error is a terminal, and leave no trace of it."""
    if _LINE.stream is not None or not sys.stderr.isatty():
        yield
        return
    # A terminal of our own: while a step runs, Dagster has standard error lead through a pipe to its log.
    with os.fdopen(os.dup(sys.stderr.fileno()), "w") as stream:
        _LINE.stream, _LINE.steps = stream, 0
        try:
            yield
        finally:
            _LINE.stream = None
            stream.write(CLEARED)


def tell(text: str) -> None:
    """Say what is done now."""
    if _LINE.stream is not None:
        # A line that wraps could not be written over.
        _LINE.stream.write(CLEARED + text[: shutil.get_terminal_size().columns - 1])
        _LINE.stream.flush()


def step(name: str, total: int) -> None:
    """Say that the next of ``total`` steps begins."""
    _LINE.steps += 1
    tell(f"[{_LINE.steps}/{total}] {name}")


def bar(what: str, total: int) -> "tqdm[Any]":
    """Return a bar that shows how much of something is done."""
    from tqdm import tqdm

    if _LINE.stream is None:
        return tqdm(total=total, desc=what, disable=None)
    tell("")
    return tqdm(total=total, desc=what, file=_LINE.stream, ncols=shutil.get_terminal_size().columns, leave=False)


def count(what: str, number: int) -> None:
    """Say how many there are by now, once in a thousand."""
    if number % EVERY == 0:
        tell(f"{what}: {number:,}")
