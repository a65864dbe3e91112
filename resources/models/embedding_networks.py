"""How a network is run: where, in which library, and in batches whose shape never changes.

A vector must not depend on which images happen to share its batch. Libraries choose their kernels by the shape they
are given, so every call has the same shape: one image on a CPU (there larger batches gain nothing worth the padding),
a padded batch on a GPU.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brain_assets.resources.errors import ConfigurationError, MissingError
from brain_assets.resources.image_input import InputSpec

if TYPE_CHECKING:
    from torch import nn

GPU_BATCH = 32

ImageFunction = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
TextFunction = Callable[[Sequence[str]], NDArray[np.float32]]


@dataclass(frozen=True)
class Placement:
    """Where a model runs.

    Attributes
    ----------
    runtime : str
        The library, ``onnxruntime`` or ``torch``; part of the model version.
    device : str
        ``cpu``, ``cuda`` or ``cuda:N``; not part of the model version.
    """

    runtime: str
    device: str

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device != "cpu"

    @property
    def batch(self) -> int:
        """The number of images in every call."""
        return GPU_BATCH if self.on_gpu else 1


@dataclass(frozen=True)
class Network:
    """A loaded model without its name: what it takes, what it gives, and how to run one batch.

    Attributes
    ----------
    input : InputSpec
        The pixels it takes.
    dimension : int
        Length of its vectors.
    batch : int
        The number of images in every call of ``run``.
    run : callable
        ``(batch, h, w, 3)`` uint8 to ``(batch, dimension)`` float32; safe to call from several threads at once.
    run_text : callable or None
        Texts to ``(n, dimension)`` float32 in the same space.
    """

    input: InputSpec
    dimension: int
    batch: int
    run: ImageFunction
    run_text: TextFunction | None = None

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return one vector per image, in batches of the fixed size; the last one is padded with black images."""
        check_images(images, self.input)
        vectors = np.empty((len(images), self.dimension), np.float32)
        for start in range(0, len(images), self.batch):
            part = images[start : start + self.batch]
            batch = np.zeros((self.batch, *images.shape[1:]), np.uint8)
            batch[: len(part)] = part
            vectors[start : start + self.batch] = self.run(batch)[: len(part)]
        return vectors


def check_images(images: NDArray[np.uint8], spec: InputSpec) -> None:
    """Raise ValueError unless the images are what a model takes."""
    expected = (spec.height, spec.width, 3)
    if images.ndim != 4 or images.shape[1:] != expected or images.dtype != np.uint8:
        raise ValueError(f"expected uint8 images of shape (n, {expected}), got {images.dtype} {images.shape}")


def probe(spec: InputSpec, batch: int, run: ImageFunction, name: str) -> Network:
    """Return the network around ``run`` after one black batch, which tells the dimension and whether it works at all.

    Raises
    ------
    ConfigurationError
        The network refuses such a batch, or does not return one vector per image.
    """
    try:
        vectors = run(np.zeros((batch, spec.height, spec.width, 3), np.uint8))
    except Exception as error:
        size = f"{spec.width}x{spec.height}"
        raise ConfigurationError(f"{name} refuses a batch of {batch} images, {size}: {first_line(error)}") from error
    if vectors.ndim != 2 or vectors.shape[0] != batch or vectors.shape[1] == 0:
        raise ConfigurationError(
            f"{name} returns shape {vectors.shape} for {batch} images, not ({batch}, dimension): "
            "export the network up to its pooled features"
        )
    return Network(spec, vectors.shape[1], batch, run)


def one_by_one(forward: Callable[..., NDArray[np.float32]], tokenize: Callable[[str], Sequence[Any]]) -> TextFunction:
    """Return a function of texts that tokenizes and runs each by itself, so that none depends on its neighbours."""
    return lambda texts: np.concatenate([forward(*tokenize(text)) for text in texts])


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type when it has none."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def place(device: str | None, runtime: str | None, supported: Sequence[str]) -> Placement:
    """Return where a model runs that supports some runtimes, by what was asked for and what the machine has.

    Without a wish a GPU is used where there is one, by torch; a CPU runs the first runtime supported. A wish for
    ``onnxruntime`` alone means the CPU. Nothing heavy is imported.
    """
    if runtime is not None and runtime not in supported:
        raise ConfigurationError(f"this model runs in {' or '.join(supported)}, not in {runtime!r}: change `runtime`")
    if device is None:
        device = "cuda" if runtime != "onnxruntime" and "torch" in supported and _has_cuda() else "cpu"
    if device != "cpu" and device.partition(":")[0] != "cuda":
        raise ConfigurationError(f"unknown device {device!r}: use cpu, cuda or cuda:N")
    preferred = "torch" if device != "cpu" and "torch" in supported else supported[0]
    return Placement(runtime or preferred, device)


def _has_cuda() -> bool:
    """Tell whether torch would find a GPU, without the seconds it takes to ask it."""
    visible = any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dxg").exists()
    return visible and not metadata.version("torch").endswith("+cpu")


def torch_runner(
    module: "nn.Module", placement: Placement, call: Callable[..., Any] | None = None
) -> Callable[..., NDArray[np.float32]]:
    """Return a function that runs a torch module, or ``call`` on it, on numpy arrays; its first tensor as float32.

    On a CPU each call computes in its caller's thread: parallelism is the number of callers. On a GPU calls take turns.
    """
    import torch

    _check_gpu(placement)
    device = torch.device(placement.device)
    turn = threading.Lock()
    module.to(device)
    call = call or module

    def run_on_cpu(*arrays: NDArray[Any]) -> NDArray[np.float32]:
        with torch.inference_mode():
            vectors: NDArray[np.float32] = _tensor(call(*map(torch.tensor, arrays))).float().numpy()
        return vectors

    def run_on_gpu(*arrays: NDArray[Any]) -> NDArray[np.float32]:
        exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
        with turn, torch.inference_mode(), exact:
            output = call(*(torch.tensor(array).to(device) for array in arrays))
            vectors: NDArray[np.float32] = _tensor(output).float().cpu().numpy()
        return vectors

    if placement.on_gpu:
        return run_on_gpu
    torch.set_num_threads(1)
    return run_on_cpu


def _tensor(output: Any) -> Any:
    if isinstance(output, Mapping):
        output = next(iter(output.values()))
    return output[0] if isinstance(output, tuple | list) else output


def _check_gpu(placement: Placement) -> None:
    import torch

    if placement.on_gpu and not torch.cuda.is_available():
        raise MissingError(
            f"torch {torch.__version__} cannot use {placement.device!r} on this machine: install a torch build "
            "that fits the GPU's driver, or set `device: cpu`"
        )


def onnx_session(path: Path, placement: Placement) -> Any:
    """Return an ONNX Runtime session that computes in its caller's thread, without spinning."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=_providers(placement))


def _providers(placement: Placement) -> list[Any]:
    import onnxruntime

    if not placement.on_gpu:
        return ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise MissingError(
            f"this ONNX Runtime cannot use {placement.device!r}: install onnxruntime-gpu, or set `device: cpu`"
        )
    options = {"device_id": placement.device.partition(":")[2] or "0", "use_tf32": "0"}
    return [("CUDAExecutionProvider", options), "CPUExecutionProvider"]
