"""What an embedding model wants to be given: the size of its input and how an image is brought to it."""

from dataclasses import dataclass
from typing import Literal

Resize = Literal["squash", "crop"]
Interpolation = Literal["bilinear", "bicubic"]


@dataclass(frozen=True)
class InputSpec:
    """The pixels a model is given; the decode pass makes one such input per model while it holds the image.

    Attributes
    ----------
    name : str
        Distinguishes the inputs of one decode pass; two models with equal inputs may share a name.
    height, width : int
        Size in pixels of the ``(height, width, 3)`` uint8 RGB input.
    resize : {"squash", "crop"}
        ``squash`` scales both sides independently; ``crop`` scales the shorter side and cuts out the centre.
    interpolation : {"bilinear", "bicubic"}
        The resampling filter, antialiased.
    """

    name: str
    height: int
    width: int
    resize: Resize = "squash"
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"input {self.name!r} must be at least 1x1 pixel, not {self.width}x{self.height}")
