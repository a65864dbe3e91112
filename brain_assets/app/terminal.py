"""A terminal shows what names and labels hold, and obeys none of it.

File names, labels and error texts come from other people. A terminal would take some of their characters for commands: to
clear the screen, to write elsewhere, to show text in another order than it has.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

# Control characters of ASCII and Latin-1, and those that turn the direction of writing.
OBEYED = "\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069"
# Bars and progress go back to the beginning of their line.
ALLOWED = {"stdout": "", "stderr": "\r"}


class Shown:
    """A text stream on which control characters are shown as Python writes them, by a backslash and their number.

    Parameters
    ----------
    stream : text stream
    allowed : str
        Characters that go through as they are, beside tab and line feed.
    """

    def __init__(self, stream: TextIO, allowed: str = "") -> None:
        self._stream = stream
        self._pattern = re.compile(f"(?![{allowed}])[{OBEYED}]" if allowed else f"[{OBEYED}]")

    def write(self, text: str) -> int:
        """Write a text as it may be shown."""
        self._stream.write(self._pattern.sub(lambda found: ascii(found[0])[1:-1], text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def showing_all() -> Iterator[None]:
    """Have what is printed in the block shown and not obeyed, where a terminal shows it; files get everything as it is."""
    before = {name: getattr(sys, name) for name in ALLOWED}
    for name, stream in before.items():
        if stream is not None and stream.isatty():
            setattr(sys, name, Shown(stream, ALLOWED[name]))
    try:
        yield
    finally:
        for name, stream in before.items():
            setattr(sys, name, stream)
