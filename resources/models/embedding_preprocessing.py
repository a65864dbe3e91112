"""From decoded pixels to what a network computes with: size, centre crop, normalisation, layout.

The decode pass brings an image to ``Preprocessing.spec``; ``Preprocessing.prepare`` does the rest. A model file can say
how it wants its images in a JSON file beside it, ``model.onnx.json`` for ``model.onnx``:

    {"size": [224, 224], "resize": "squash", "interpolation": "bilinear", "layout": "NCHW",
     "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "output": "features"}

All keys are optional; the values shown for ``resize``, ``interpolation``, ``mean`` and ``std`` are the defaults.
``size`` is height and width or one number for both, ``mean`` and ``std`` are those of pixels scaled to [0, 1], and
``output`` picks one of several outputs by name.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.image_input import InputSpec, Interpolation, Resize
from brain_assets.resources.local_files import bytes_of
from brain_assets.resources.settings.validation import where, wrong

Color = tuple[float, float, float]
Layout = Literal["NCHW", "NHWC"]
Side = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]

IMAGENET_MEAN: Color = (0.485, 0.456, 0.406)
IMAGENET_STD: Color = (0.229, 0.224, 0.225)
DEFAULT_SIZE = 224


class Sidecar(BaseModel):
    """What ``MODEL.json`` may say about the images that a model file wants."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    size: Side | tuple[Side, Side] | None = Field(
        None, description="Height and width in pixels, or one number for both."
    )
    resize: Resize = Field("squash", description="squash: scale each side; crop: scale the shorter, cut the centre.")
    interpolation: Interpolation = Field("bilinear", description="Resampling filter.")
    mean: Color = Field(IMAGENET_MEAN, description="Mean of red, green and blue, of pixels in [0, 1].")
    std: tuple[Positive, Positive, Positive] = Field(
        IMAGENET_STD, description="Standard deviation of red, green and blue, of pixels in [0, 1]."
    )
    layout: Layout | None = Field(None, description="NCHW or NHWC; needed when the file leaves it open.")
    output: str | None = Field(None, description="Name of the output that holds the vectors; by default the first.")

    @classmethod
    def beside(cls, path: Path) -> Self:
        """Return the sidecar of a model file, or the defaults when there is none."""
        sidecar = sidecar_path(path)
        if not sidecar.exists():
            return cls.model_validate({})
        try:
            return cls.model_validate_json(bytes_of(sidecar))
        except OSError as error:
            raise ConfigurationError(f"{sidecar} cannot be read: {error.strerror}") from None
        except ValidationError as error:
            first = error.errors()[0]
            known = ", ".join(cls.model_fields)
            said = "is not JSON" if first["type"] == "json_invalid" else f"{where(first)}: {wrong(first)}"
            raise ConfigurationError(f"{sidecar}: {said} (keys are {known})") from None

    @property
    def shape(self) -> tuple[int, int] | None:
        """Height and width, when given."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How an image is brought to a network.

    Attributes
    ----------
    size : (int, int)
        Height and width of the network's input.
    scaled : (int, int) or None
        Height and width to which the image is resized before the centre of ``size`` is cut out; None for ``size``.
    resize, interpolation : str
        As in ``InputSpec``.
    mean, std : (float, float, float)
        Of pixels scaled to [0, 1].
    layout : {"NCHW", "NHWC"}
        Order of the axes.
    """

    size: tuple[int, int]
    scaled: tuple[int, int] | None = None
    resize: Resize = "squash"
    interpolation: Interpolation = "bilinear"
    mean: Color = IMAGENET_MEAN
    std: Color = IMAGENET_STD
    layout: Layout = "NCHW"

    def __post_init__(self) -> None:
        scaled = self.scaled or self.size
        if scaled[0] < self.size[0] or scaled[1] < self.size[1] or min(self.std) <= 0:
            raise ValueError(f"cannot cut {self.size} (height, width) out of {scaled}, or divide by std {self.std}")

    @property
    def spec(self) -> InputSpec:
        """The pixels asked of the decode pass; equal inputs have equal names and are made once."""
        height, width = self.scaled or self.size
        return InputSpec(
            f"{width}x{height}-{self.resize}-{self.interpolation}", height, width, self.resize, self.interpolation
        )

    def prepare(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return normalised pixels of ``(b, h, w, 3)`` images, in the network's size and layout."""
        pixels = self.arrange(images)
        shape = (3, 1, 1) if self.layout == "NCHW" else (3,)
        scale = np.reshape(1 / (255 * np.asarray(self.std)), shape).astype(np.float32)
        offset = np.reshape(np.asarray(self.mean) / self.std, shape).astype(np.float32)
        normalised: NDArray[np.float32] = pixels * scale - offset
        return normalised

    def arrange(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the centre of ``(b, h, w, 3)`` images in the network's layout, contiguous, not normalised."""
        (height, width), (full_height, full_width) = self.size, images.shape[1:3]
        top, left = (full_height - height) // 2, (full_width - width) // 2
        centre = images[:, top : top + height, left : left + width]
        return np.ascontiguousarray(centre.transpose(0, 3, 1, 2) if self.layout == "NCHW" else centre)


def sidecar_path(path: Path) -> Path:
    """Return where the sidecar of a model file lies."""
    return path.with_name(f"{path.name}.json")


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object from a file; ConfigurationError when it is none."""
    try:
        content = json.loads(bytes_of(path))
    except ValueError as error:
        raise ConfigurationError(f"{path} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path} must hold a JSON object")
    return content
