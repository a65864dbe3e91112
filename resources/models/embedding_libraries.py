"""Models of libraries: ``timm:NAME`` and ``open_clip:NAME/WEIGHTS``.

The library finds the weights by name and may download them: naming them is asking for it. The model version covers the
name, which for both libraries fixes the weights when it says which (``timm:vit_small_patch14_dinov2.lvd142m``,
``open_clip:ViT-B-32/laion2b_s34b_b79k``); a timm name without a tag also covers timm's release, whose default it takes.
"""

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_assets.resources.errors import ConfigurationError, MissingError
from brain_assets.resources.image_input import Interpolation
from brain_assets.resources.models.embedding_archives import weights_only
from brain_assets.resources.models.embedding_cache import file_digest
from brain_assets.resources.models.embedding_networks import (
    Network,
    Placement,
    first_line,
    one_by_one,
    probe,
    torch_runner,
)
from brain_assets.resources.models.embedding_preprocessing import Preprocessing

GENERATION = 1  # raise when the same name would give other vectors


def import_library(name: str, extra: str) -> Any:
    """Return an optional library; MissingError says what to install when it is absent or broken."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if error.name == name:
            raise MissingError(f"{name} is not installed: pip install 'brain-assets[{extra}]'") from None
        raise MissingError(f"{name} cannot be imported ({first_line(error)}): {_torchvision_hint()}") from error
    except RuntimeError as error:
        raise MissingError(f"{name} cannot be imported ({first_line(error)}): {_torchvision_hint()}") from error


def _torchvision_hint() -> str:
    return f"install the torchvision that belongs to torch {metadata.version('torch')}, CPU or CUDA build alike"


@dataclass(frozen=True)
class TimmSource:
    """Pooled features of a pretrained timm model."""

    target: str
    cache: Path
    runtimes = ("torch",)

    def identity(self) -> list[object]:
        """Return what its vectors depend on, apart from the runtime."""
        tagged = "." in self.target or ":" in self.target
        return ["timm", GENERATION, self.target, None if tagged else self._release()]

    def load(self, placement: Placement) -> Network:
        """Return the network, tried once."""
        timm = import_library("timm", "timm")
        try:
            with weights_only():
                model = timm.create_model(self.target, pretrained=True, num_classes=0).eval()
        except Exception as error:
            raise ConfigurationError(f"timm cannot create {self.target!r}: {first_line(error)}") from error
        preprocessing = _timm_preprocessing(timm.data.resolve_model_data_config(model))
        forward = torch_runner(model, placement)
        return image_network(forward, preprocessing, placement, f"timm:{self.target}")

    def _release(self) -> str:
        try:
            return metadata.version("timm")
        except metadata.PackageNotFoundError:
            import_library("timm", "timm")
            raise


def _timm_preprocessing(config: dict[str, Any]) -> Preprocessing:
    _, height, width = config["input_size"]
    squash = config.get("crop_mode") == "squash"
    return Preprocessing(
        size=(height, width),
        scaled=(math.floor(height / config["crop_pct"]), math.floor(width / config["crop_pct"])),
        resize="squash" if squash else "crop",
        interpolation=_interpolation(config["interpolation"]),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
    )


@dataclass(frozen=True)
class OpenClipSource:
    """Images and texts in the common space of an OpenCLIP model."""

    target: str
    cache: Path
    runtimes = ("torch",)

    def identity(self) -> list[object]:
        """Return what its vectors depend on, apart from the runtime."""
        name, weights = self._parts()
        local = Path(weights).expanduser() if weights else None
        return ["open_clip", GENERATION, name, file_digest(local, self.cache) if local and local.is_file() else weights]

    def load(self, placement: Placement) -> Network:
        """Return the network, tried once."""
        name, weights = self._parts()
        open_clip = import_library("open_clip", "open-clip")
        try:
            with weights_only():
                model = open_clip.create_model(name, pretrained=weights).eval()
            tokenizer = open_clip.get_tokenizer(name)
        except Exception as error:
            raise ConfigurationError(f"open_clip cannot create {self.target!r}: {first_line(error)}") from error
        preprocessing = _open_clip_preprocessing(open_clip.get_model_preprocess_cfg(model), self.target)
        images = torch_runner(model, placement, model.encode_image)
        texts = torch_runner(model, placement, model.encode_text)
        network = image_network(images, preprocessing, placement, f"open_clip:{self.target}")
        return replace(network, run_text=one_by_one(texts, lambda text: [tokenizer([text]).numpy()]))

    def _parts(self) -> tuple[str, str | None]:
        """Return the architecture and its weights; a name with a scheme of its own holds both."""
        if self.target.startswith(("hf-hub:", "local-dir:")):
            return self.target, None
        name, _, weights = self.target.partition("/")
        if not weights:
            raise ConfigurationError(
                f"open_clip:{self.target} does not say which weights: write for example open_clip:{name}/openai"
            )
        return name, weights


def _open_clip_preprocessing(config: dict[str, Any], name: str) -> Preprocessing:
    mode = config.get("resize_mode") or "shortest"
    if mode not in ("shortest", "squash"):
        raise ConfigurationError(f"open_clip:{name} pads its images (resize_mode {mode!r}), which is not supported")
    size = config["size"]
    return Preprocessing(
        size=(size, size) if isinstance(size, int) else tuple(size),
        resize="squash" if mode == "squash" else "crop",
        interpolation=_interpolation(config.get("interpolation") or "bicubic"),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
    )


def _interpolation(name: str) -> Interpolation:
    """Return the nearest filter that the decode pass has."""
    return "bicubic" if name in ("bicubic", "lanczos", "random") else "bilinear"


def image_network(
    forward: Callable[..., NDArray[np.float32]], preprocessing: Preprocessing, placement: Placement, name: str
) -> Network:
    """Return the network of a torch function of normalised pixels, tried once."""

    def run(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return forward(preprocessing.prepare(images))

    return probe(preprocessing.spec, placement.batch, run, name)
