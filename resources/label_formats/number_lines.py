"""Texts of nothing but numbers, thousands in one pass: which lines each has, and which numbers stand in each line."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

PLAIN = b"0123456789.+-eE \t\r\n"
"""What such a text is made of; whatever else stands in one, it is not read here."""
SPACE, BREAK = ord(" "), ord("\n")


@dataclass(frozen=True)
class NumberLines:
    """The lines of some texts that are not blank.

    Attributes
    ----------
    text : (n,) int64
        The position of the text that each line is of; ascending.
    line : (n,) int64
        Its number in that text, from 1; blank lines count.
    first, size : (n,) int64
        Where its numbers begin in ``values``, and how many there are, at least one.
    words : pyarrow.StringArray
        Of length n: the first number of each line, as it is written.
    values : (m,) float64
        The numbers of all lines; infinite where one is too large.
    """

    text: NDArray[np.int64]
    line: NDArray[np.int64]
    first: NDArray[np.int64]
    size: NDArray[np.int64]
    words: pa.Array
    values: NDArray[np.float64]


def is_plain(text: bytes) -> bool:
    """Tell whether a text may be one of numbers: it has no other characters, and breaks its lines in a usual way."""
    return not text.translate(None, PLAIN) and (b"\r" not in text or text.count(b"\r") == text.count(b"\r\n"))


def number_lines(texts: Sequence[bytes]) -> NumberLines:
    r"""Return the lines of plain texts; raises ValueError where a word is no number.

    Parameters
    ----------
    texts : sequence of bytes
        Together less than 2 GiB.

    Examples
    --------
    >>> found = number_lines([b"1 .5", b"", b"2 3 4\n\n5"])
    >>> found.text.tolist(), found.line.tolist(), found.size.tolist(), found.values.tolist()
    ([0, 2, 2], [1, 1, 3], [2, 3, 1], [1.0, 0.5, 2.0, 3.0, 4.0, 5.0])
    """
    data = np.frombuffer(b"\n".join([*texts, b""]), np.uint8)
    ends = np.flatnonzero(data == BREAK)
    words, starts = _words(data)
    before = np.concatenate([[0], np.searchsorted(starts, ends)])
    size = np.diff(before)
    text, line = _places(texts)
    filled = size > 0
    first = before[:-1][filled]
    values = words.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return NumberLines(text[filled], line[filled], first, size[filled], words.take(pa.array(first)), values)


def _words(data: NDArray[np.uint8]) -> tuple[pa.Array, NDArray[np.int64]]:
    """Return the words of a text, which share one buffer, and where they start."""
    ink = np.zeros(len(data) + 2, bool)
    np.greater(data, SPACE, out=ink[1:-1])
    turns = np.flatnonzero(ink[1:] != ink[:-1])
    starts, ends = turns[::2], turns[1::2]
    offsets = np.concatenate([[0], np.cumsum(ends - starts)]).astype(np.int32)
    letters = data[ink[1:-1]]
    return pa.StringArray.from_buffers(len(starts), pa.py_buffer(offsets), pa.py_buffer(letters)), starts


def _places(texts: Sequence[bytes]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return for every line, blank or not, its text and its number in it."""
    lines = np.array([text.count(b"\n") + 1 for text in texts], np.int64)
    before = np.concatenate([[0], np.cumsum(lines)[:-1]]) if len(lines) else lines
    text = np.repeat(np.arange(len(lines)), lines)
    return text, np.arange(len(text)) - before[text] + 1
