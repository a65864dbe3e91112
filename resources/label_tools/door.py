"""The one door of label tools: what goes out as tasks to be labelled, and what comes back.

A tool is an object with the attributes of `LabelTool`. Lengths are parts of the image's sides, as in the table ``objects``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

Box = tuple[float, float, float, float]
Rings = list[list[float]]


@dataclass(frozen=True)
class Region:
    """A labelled part of an image.

    Attributes
    ----------
    name : str
        What the tool calls it; the id of an object where it was sent, and the tool keeps it.
    label : str
    box : (x, y, width, height)
    polygon : list of list of float, optional
        Its outline, x and y in turn.
    """

    name: str
    label: str
    box: Box
    polygon: Rings | None = None


@dataclass(frozen=True)
class Content:
    """What an image is labelled with.

    Attributes
    ----------
    regions : sequence of Region, optional
        None where nobody is asked for any.
    labels : sequence of str, optional
        Classes of the whole image; None where nobody is asked for them.
    """

    regions: Sequence[Region] | None = None
    labels: Sequence[str] | None = None


@dataclass(frozen=True)
class Outgoing:
    """An image that is sent.

    Attributes
    ----------
    sample_id, filepath : str
        As the dataset has them.
    size : (int, int), pixels
        Width and height.
    content : Content
        What is proposed.
    about : mapping of str to str
        What else the task shall say of it, such as why it is sent.
    file : str
        What the picture is called as a file, no other's.
    picture : bytes
        JPEG, PNG, WebP or GIF; empty where the tool loads it from ``address``.
    address : str
        Where the tool finds the picture itself; empty where it is uploaded.
    """

    sample_id: str
    filepath: str
    size: tuple[int, int]
    content: Content
    about: Mapping[str, str] = field(default_factory=dict)
    file: str = ""
    picture: bytes = b""
    address: str = ""


@dataclass(frozen=True)
class Asked:
    """A task that was sent earlier.

    Attributes
    ----------
    task : str
        What the tool calls it.
    size : (int, int), pixels
    mark : str
        State in which its finished work was taken in; empty before.
    """

    task: str
    size: tuple[int, int]
    mark: str = ""


@dataclass(frozen=True)
class Finished:
    """Work that a person declared to be done.

    Attributes
    ----------
    task : str
    mark : str
        Names the state of the work: another one when somebody changes it later.
    by : str
        Who did it, as the tool calls them.
    content : Content, optional
        None where the task was skipped.
    unusable : mapping of str to str
        What of it cannot be used, by the names of regions, and why.
    """

    task: str
    mark: str
    by: str
    content: Content | None
    unusable: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Classes:
    """Which classes a project takes, of boxes, of outlines and of whole images; None where it takes no such thing.

    ``several`` says that an image may have more than one, where a project is made.
    """

    boxes: frozenset[str] | None = None
    outlines: frozenset[str] | None = None
    labels: frozenset[str] | None = None
    several: bool = False


class LabelTool(Protocol):
    """A server on which people label.

    Attributes
    ----------
    name : str
        What commands call it.
    title : str
        What people call it.
    url : str
        Where the server is.
    """

    name: str
    title: str
    url: str

    def create(self, title: str, classes: Classes) -> str:
        """Make a project that takes these classes; return what the tool calls it."""

    def classes(self, project: str) -> Classes:
        """Return what a project takes; raises SourceError where there is no such project."""

    def link(self, project: str) -> str:
        """Return the address at which people open a project."""

    def send(self, project: str, title: str, images: Sequence[Outgoing]) -> Sequence[str]:
        """Make tasks of images, all or none; return what the tool calls each, in their order."""

    def finished(self, project: str, asked: Sequence[Asked]) -> Iterator[Finished]:
        """Yield the work on these tasks that is done and is not in the state that was taken in already."""
