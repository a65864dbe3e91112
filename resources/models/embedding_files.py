"""Model files that a user brings: ``onnx:PATH`` and ``torchscript:PATH``.

What an ONNX file declares (batch size, height, width, layout, number type) is taken from it; a file that takes uint8
gets the pixels as they are. What a file leaves open comes from the JSON file beside it, or from the defaults in
`embedding_preprocessing`. External weights must lie beside the model and begin with its file name, as
exporters name them (``model.onnx.data``, ``model.onnx_data``), so that the model version covers them.
"""

import pickle
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brain_assets.resources.errors import ConfigurationError, MissingError
from brain_assets.resources.models.embedding_archives import ADVICE, check_archive, weights_only
from brain_assets.resources.models.embedding_cache import files_digest
from brain_assets.resources.models.embedding_networks import (
    Network,
    Placement,
    first_line,
    onnx_session,
    probe,
    torch_runner,
)
from brain_assets.resources.models.embedding_preprocessing import DEFAULT_SIZE, Layout, Preprocessing, Sidecar

if TYPE_CHECKING:
    from torch import nn

GENERATION = 1  # raise when the same file and sidecar would give other vectors
PREPROCESSING = {"resize", "interpolation", "mean", "std"}
ONNX_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


@dataclass(frozen=True)
class OnnxSource:
    """A network in an ONNX file, run by ONNX Runtime."""

    target: str
    cache: Path
    runtimes = ("onnxruntime",)

    def identity(self) -> list[object]:
        """Return what its vectors depend on, apart from the runtime."""
        return ["onnx", GENERATION, _digest(existing_file(self.target), self.cache)]

    def load(self, placement: Placement) -> Network:
        """Return the network, tried once."""
        path = existing_file(self.target)
        sidecar = Sidecar.beside(path)
        try:
            session = onnx_session(path, placement)
        except MissingError:
            raise
        except Exception as error:
            raise ConfigurationError(f"{path} is not a usable ONNX model: {first_line(error)}") from error
        return _onnx_network(session, sidecar, placement, str(path))


def _onnx_network(session: Any, sidecar: Sidecar, placement: Placement, name: str) -> Network:
    image = _only_input(session.get_inputs(), name)
    output = _output_name([output.name for output in session.get_outputs()], sidecar.output, name)
    batch, preprocessing = _declared(image.shape, sidecar, name)
    number = ONNX_TYPES[image.type]

    def run(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        pixels = preprocessing.arrange(images) if number is np.uint8 else preprocessing.prepare(images)
        vectors = session.run([output], {image.name: pixels.astype(number, copy=False)})[0]
        return flat(np.asarray(vectors, np.float32))

    return probe(preprocessing.spec, batch or placement.batch, run, name)


def _only_input(inputs: Sequence[Any], name: str) -> Any:
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in ONNX_TYPES:
        found = ", ".join(f"{value.name} {value.type} {value.shape}" for value in inputs)
        raise ConfigurationError(f"{name} must have one input, images of four axes in float or uint8; it has {found}")
    return inputs[0]


def _output_name(names: Sequence[str], wanted: str | None, model: str) -> str:
    if wanted is not None and wanted not in names:
        raise ConfigurationError(f"{model} has no output {wanted!r}: it has {', '.join(names)}")
    return wanted or names[0]


@dataclass(frozen=True)
class TorchFileSource:
    """A network in a file of ``torch.jit.save`` or ``torch.export.save``, run by torch."""

    target: str
    cache: Path
    runtimes = ("torch",)

    def identity(self) -> list[object]:
        """Return what its vectors depend on, apart from the runtime."""
        return ["torchscript", GENERATION, _digest(existing_file(self.target), self.cache)]

    def load(self, placement: Placement) -> Network:
        """Return the network, tried once."""
        path = existing_file(self.target)
        sidecar = Sidecar.beside(path)
        try:
            module, shape = _load_torch(path)
        except ConfigurationError:
            raise
        except pickle.UnpicklingError as error:
            raise ConfigurationError(f"{path} holds more than tensors, which may run code: {ADVICE}") from error
        except Exception as error:
            raise ConfigurationError(f"{path} is not a usable torch model: {first_line(error)}") from error
        batch, preprocessing = _declared(shape, sidecar, str(path))
        forward = torch_runner(module, placement)

        def run(images: NDArray[np.uint8]) -> NDArray[np.float32]:
            return flat(forward(preprocessing.prepare(images)))

        return probe(preprocessing.spec, batch or placement.batch, run, str(path))


def _load_torch(path: Path) -> tuple["nn.Module", Sequence[int | None]]:
    """Return the module in a file and the shape it declares, None where it is open."""
    import torch

    kind = _archive_kind(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, its files live on
        if kind == "torchscript":
            module: nn.Module = torch.jit.load(path, map_location="cpu").eval()  # type: ignore[no-untyped-call]
            return module, (None, None, None, None)
        check_archive(path)
        with weights_only():
            program = torch.export.load(path)
        # Its own checks of inputs are code that torch would make of texts in the file.
        return program.module(check_guards=False), _exported_shape(program, path)


def _archive_kind(path: Path) -> str:
    """Tell TorchScript from torch.export by the entries of the archive that either is."""
    names = zipfile.ZipFile(path).namelist() if zipfile.is_zipfile(path) else []
    if any(name.endswith("/constants.pkl") for name in names):
        return "torchscript"
    if any(name.endswith(("/models/model.json", "serialized_exported_program.json")) for name in names):
        return "export"
    raise ConfigurationError(
        f"{path} holds no runnable network (weights alone?): write it with torch.jit.trace(model, example).save(path) "
        "or torch.export.save(torch.export.export(model, (example,)), path)"
    )


def _exported_shape(program: Any, path: Path) -> Sequence[int | None]:
    wanted = program.graph_signature.user_inputs
    values = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
    if len(wanted) != 1 or values[wanted[0]].ndim != 4:
        raise ConfigurationError(f"{path} must have one input, images of four axes; it has {', '.join(wanted)}")
    return [side if isinstance(side, int) else None for side in values[wanted[0]].shape]


def _declared(shape: Sequence[int | str | None], sidecar: Sidecar, name: str) -> tuple[int | None, Preprocessing]:
    """Return the batch size, None where the file leaves it open, and what is done to an image."""
    batch, *rest = [side if isinstance(side, int) and side > 0 else None for side in shape]
    layout: Layout = sidecar.layout or ("NHWC" if rest[2] == 3 and rest[0] != 3 else "NCHW")
    channels, sides = (rest[0], rest[1:]) if layout == "NCHW" else (rest[2], rest[:2])
    if channels not in (None, 3):
        raise ConfigurationError(f"{name} takes {channels} channels as {layout}, not RGB")
    given = sidecar.shape or (sides[0] or DEFAULT_SIZE, sides[1] or DEFAULT_SIZE)
    if any(side not in (None, wanted) for side, wanted in zip(sides, given, strict=True)):
        raise ConfigurationError(f"{name} takes height and width {tuple(sides)}; its sidecar says {given}")
    return batch, Preprocessing(size=given, layout=layout, **sidecar.model_dump(include=PREPROCESSING))


def existing_file(target: str) -> Path:
    """Return a file that a user named; MissingError when there is none."""
    path = Path(target).expanduser()
    if not path.is_file():
        raise MissingError(f"model file {path} does not exist" if not path.exists() else f"{path} is not a model file")
    return path


def flat(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Drop trailing axes of length one, as a network leaves them that pools but does not flatten."""
    while vectors.ndim > 2 and vectors.shape[-1] == 1:
        vectors = vectors[..., 0]
    return vectors


def _digest(path: Path, cache: Path) -> list[tuple[str, str]]:
    """Return the digests of a model file, its sidecar and its external weights."""
    beginnings = (f"{path.name}.", f"{path.name}_data")
    beside = [other for other in path.parent.iterdir() if other.is_file() and other.name.startswith(beginnings)]
    return [(name.removeprefix(path.name), digest) for name, digest in files_digest([path, *beside], cache)]
