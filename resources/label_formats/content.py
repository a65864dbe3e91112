"""The content of a file, as text, JSON or XML; each is made once, however many formats look at it."""

import json
import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brain_assets.resources.local_files import bytes_of_sized

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def xml_text(text: str) -> str:
    """Return a text without the characters that XML cannot hold."""
    return NOT_IN_XML.sub("\ufffd", text)


def line_of(error: Exception) -> str:
    """Return an error in one line of valid text."""
    return text_of(" ".join(f"{type(error).__name__}: {error}".split())[:300])


def mostly(answers: Iterable[object]) -> bool:
    """Tell whether more than half of some answers are yes: one odd line does not make a file another one's."""
    given = [bool(answer) for answer in answers]
    return 2 * sum(given) > len(given)


def text_of(value: Any) -> str:
    """Return a value of a file as valid text; half characters, which JSON can spell, are replaced."""
    if isinstance(value, list | dict):
        raise TypeError("a list or an object where a text is expected")
    return str(value).encode("utf-8", "replace").decode()


class Content:
    """A file that may hold annotations; whoever asks for what it is not gets an error.

    Parameters
    ----------
    path : Path
    size : int
        How many bytes it was just seen to have; 0 where nobody has looked.
    """

    def __init__(self, path: Path, size: int = 0) -> None:
        self.path = path
        self._size = size
        self.suffix = path.suffix.lower()

    @cached_property
    def data(self) -> bytes:
        """Its bytes; raises OSError."""
        return bytes_of_sized(self.path, self._size)

    @cached_property
    def text(self) -> str:
        """Its text: UTF-8, UTF-16 with a mark, else what Windows writes in Western Europe."""
        if self.data.startswith((b"\xff\xfe", b"\xfe\xff")):
            return self.data.decode("utf-16", "replace")
        try:
            return self.data.decode("utf-8-sig")
        except UnicodeDecodeError:
            return self.data.decode("cp1252", "replace")

    @cached_property
    def json(self) -> Any:
        """What its JSON holds; raises ValueError where it is none, RecursionError where it is nested too deep."""
        try:
            return json.loads(self.text)
        except json.JSONDecodeError:
            raise
        except ValueError:
            # Python reads no whole number of more than some thousand digits.
            return json.loads(self.text, parse_int=float)

    @cached_property
    def xml(self) -> "Element":
        """The root of its XML; raises ParseError where it is none."""
        from xml.etree import ElementTree

        return ElementTree.fromstring(self.data)
