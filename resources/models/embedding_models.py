"""Embedding models behind one interface, named by a URI such as ``builtin:efficientnet-lite0``.

What a model version covers
---------------------------
The version names everything that decides a vector up to rounding: the weights (by content), the preprocessing, and the
runtime (``onnxruntime`` or ``torch``). Vectors of different versions are never compared.

It does not cover the runtime's release, nor the device: these move a vector by float32 rounding (about 1e-6 of its
length), as another processor does too, and far less than any threshold can tell. An upgrade of a library therefore
embeds nothing again. The runtime's name is in the version because two libraries may also differ in more than rounding;
a dataset keeps the runtime it began with when its caller passes ``model.runtime`` back as ``runtime``.
"""

import difflib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from brain_assets.resources.errors import ConfigurationError, MissingError
from brain_assets.resources.fiftyone_samples import file_and_field
from brain_assets.resources.image_input import InputSpec
from brain_assets.resources.models.embedding_builtin import BuiltinSource
from brain_assets.resources.models.embedding_cache import fingerprint
from brain_assets.resources.models.embedding_custom import CustomSource
from brain_assets.resources.models.embedding_files import OnnxSource, TorchFileSource
from brain_assets.resources.models.embedding_huggingface import HuggingFaceSource
from brain_assets.resources.models.embedding_libraries import OpenClipSource, TimmSource
from brain_assets.resources.models.embedding_networks import Placement, TextFunction, place
from brain_assets.resources.models.embedding_precomputed import VERSION, load_vectors

__all__ = ["EmbeddingModel", "check_model", "load_model", "model_version"]


@runtime_checkable
class EmbeddingModel(Protocol):
    """What turns images into vectors.

    Attributes
    ----------
    name : str
        The URI as configured.
    version : str
        Changes whenever the vectors would, see the module's description.
    runtime : str
        The library it runs in; pass it to ``load_model`` to keep a dataset on it.
    dimension : int
        Length of its vectors.
    input : InputSpec or None
        The pixels it takes; None when vectors are looked up rather than computed.
    supports_text : bool
        Whether ``embed_text`` works.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def version(self) -> str: ...  # noqa: D102
    @property
    def runtime(self) -> str: ...  # noqa: D102
    @property
    def dimension(self) -> int: ...  # noqa: D102
    @property
    def input(self) -> InputSpec | None: ...  # noqa: D102
    @property
    def supports_text(self) -> bool: ...  # noqa: D102

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return ``(b, dimension)`` vectors of ``(b, h, w, 3)`` RGB images, not normalised.

        A vector depends on its own image only, never on the batch. Safe to call from several threads at once. NaN and
        zero vectors are returned as they are.
        """
        ...

    def embed_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return ``(n, dimension)`` vectors of texts in the space of the images; TypeError when not supported."""
        ...


class ImageNetwork(Protocol):
    """A loaded model without its name."""

    @property
    def input(self) -> InputSpec: ...
    @property
    def dimension(self) -> int: ...
    @property
    def run_text(self) -> TextFunction | None: ...

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return ``(b, dimension)`` vectors of ``(b, h, w, 3)`` images."""
        ...


class ModelSource(Protocol):
    """One scheme of model URIs; made from what follows the colon, without reading anything large."""

    @property
    def runtimes(self) -> Sequence[str]:
        """The runtimes that can run it, the one preferred on a CPU first."""
        ...

    def identity(self) -> Sequence[object]:
        """Return what its vectors depend on apart from the runtime, as JSON values, without heavy imports."""
        ...

    def load(self, placement: Placement) -> ImageNetwork:
        """Return the network, ready to run."""
        ...


PRECOMPUTED = "precomputed"
SOURCES: dict[str, Callable[[str, Path], ModelSource]] = {
    "builtin": BuiltinSource,
    "onnx": OnnxSource,
    "torchscript": TorchFileSource,
    "hf": HuggingFaceSource,
    "timm": TimmSource,
    "open_clip": OpenClipSource,
    "python": CustomSource,
}
SCHEMES = (*SOURCES, PRECOMPUTED)
# What other tools call models, and what comes nearest to each among those that libraries bring.
ALIASES = {
    "clip": "open_clip:ViT-B-32/openai",
    "clip336": "open_clip:ViT-L-14-336/openai",
    "clip-vit-base32-torch": "open_clip:ViT-B-32/openai",
    "dinov2s": "timm:vit_small_patch14_dinov2.lvd142m",
    "dinov2b": "timm:vit_base_patch14_dinov2.lvd142m",
    "dinov2-vits14-torch": "timm:vit_small_patch14_dinov2.lvd142m",
    "dinov2-vitb14-torch": "timm:vit_base_patch14_dinov2.lvd142m",
    "efficientnet": "builtin:efficientnet-lite0",
    "mobilenet-v2-imagenet-torch": "timm:mobilenetv2_100.ra_in1k",
    "resnet18-imagenet-torch": "timm:resnet18.tv_in1k",
    "resnet50": "timm:resnet50.tv_in1k",
    "resnet50-imagenet-torch": "timm:resnet50.tv_in1k",
}
# What some need beside what is always there: the module, and the extra that installs it.
LIBRARIES = {"hf": ("transformers", "hf"), "timm": ("timm", "timm"), "open_clip": ("open_clip", "open-clip")}
# Of these some embed text.
WITH_TEXT = ("hf", "open_clip", "python")
# Of these what follows is the path of a file.
FILES = ("onnx", "torchscript", PRECOMPUTED)


@dataclass(frozen=True)
class LoadedModel:
    """A network with its name and version."""

    name: str
    version: str
    runtime: str
    network: ImageNetwork
    load: Callable[[], EmbeddingModel]

    def __reduce__(self) -> tuple[Callable[[], EmbeddingModel], tuple[()]]:
        """Travel as where it is loaded from: other processes load it for themselves."""
        return self.load, ()

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return self.network.dimension

    @property
    def input(self) -> InputSpec:
        """The pixels it takes."""
        return self.network.input

    @property
    def supports_text(self) -> bool:
        """Whether ``embed_text`` works."""
        return self.network.run_text is not None

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return ``(b, dimension)`` vectors of ``(b, h, w, 3)`` images."""
        return self.network.embed(images)

    def embed_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return ``(n, dimension)`` vectors of texts in the space of the images."""
        if self.network.run_text is None:
            raise TypeError(f"{self.name} does not embed text: use a CLIP model, for example hf: or open_clip:")
        return self.network.run_text(texts) if len(texts) else np.empty((0, self.dimension), np.float32)


def load_model(uri: str, *, device: str | None = None, runtime: str | None = None, cache: Path) -> EmbeddingModel:
    """Return the model that a URI names, ready to embed.

    Parameters
    ----------
    uri : str
        ``builtin:efficientnet-lite0``, ``onnx:PATH``, ``torchscript:PATH`` (also files of torch.export),
        ``hf:FOLDER_OR_NAME``, ``timm:NAME``, ``open_clip:NAME/WEIGHTS``, ``precomputed:FILE`` (gives a
        `PrecomputedVectors`), ``python:PACKAGE.MODULE:FACTORY``, or one of `ALIASES`, such as ``dinov2s``.
    device : str, optional
        ``cpu``, ``cuda`` or ``cuda:N``; by default CUDA where there is one and torch can run the model.
    runtime : str, optional
        ``onnxruntime`` or ``torch``; by default torch on CUDA and the model's preferred one on a CPU.
    cache : Path
        A folder for exported networks and digests of weights; several processes may share it.

    Raises
    ------
    ConfigurationError, MissingError
        The model cannot be used; one line says why and what to do.
    """
    scheme, target = _parts(uri)
    if scheme == PRECOMPUTED:
        return load_vectors(target, cache)
    source = SOURCES[scheme](target, cache)
    placement = place(device, runtime, source.runtimes)
    again = partial(load_model, uri, device=device, runtime=placement.runtime, cache=cache)
    return LoadedModel(uri, _version(source, placement), placement.runtime, source.load(placement), again)


def model_version(uri: str, *, device: str | None = None, runtime: str | None = None, cache: Path) -> str:
    """Return the version that ``load_model`` would give its model, without loading it or importing its runtime.

    A model of the hub that was never fetched is fetched; a custom model is made when its factory states no version.
    """
    scheme, target = _parts(uri)
    if scheme == PRECOMPUTED:
        return VERSION
    source = SOURCES[scheme](target, cache)
    return _version(source, place(device, runtime, source.runtimes))


def check_model(uri: str) -> None:
    """Refuse a URI that cannot name a model, without reading, fetching or importing anything.

    Raises
    ------
    ConfigurationError, MissingError
        If the scheme is unknown, there is no such builtin model, or its file is gone.
    """
    scheme, target = _parts(uri)
    if scheme == "builtin":
        BuiltinSource(target, Path())
    if scheme in FILES and not Path(file_and_field(target)[0]).expanduser().is_file():
        raise MissingError(f"no model file at {target}: give {scheme}:FILE")


def require_library(uri: str) -> None:
    """Refuse a model whose library is not installed, without importing it; raises MissingError, and as `check_model`."""
    check_model(uri)
    module, extra = LIBRARIES.get(_parts(uri)[0], ("", ""))
    if module and importlib.util.find_spec(module) is None:
        raise MissingError(f"{module} is not installed: pip install 'brain-assets[{extra}]'")


def may_embed_text(uri: str) -> bool:
    """Return whether a model of this kind may embed text, without loading it."""
    return ALIASES.get(uri, uri).partition(":")[0] in WITH_TEXT


def _version(source: ModelSource, placement: Placement) -> str:
    return fingerprint(*source.identity(), placement.runtime)


def _parts(uri: str) -> tuple[str, str]:
    """Return the scheme and the rest of a model's URI, or of what an alias stands for."""
    scheme, colon, target = ALIASES.get(uri, uri).partition(":")
    if scheme in SCHEMES and target:
        return scheme, target
    known = ", ".join(f"{name}:" for name in SCHEMES)
    if not colon and (near := difflib.get_close_matches(uri.lower(), ALIASES, n=1, cutoff=0.82)):
        raise ConfigurationError(f"unknown model {uri!r}: did you mean {near[0]}?")
    if not colon or scheme in SCHEMES:
        raise ConfigurationError(f"{uri!r} does not name a model: write one of {known} and what follows it")
    near = difflib.get_close_matches(scheme.lower(), SCHEMES, n=1, cutoff=0.0)
    raise ConfigurationError(f"unknown model scheme {scheme + ':'!r} in {uri!r}: did you mean {near[0]}:? ({known})")
