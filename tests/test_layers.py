"""Imports run one way: sensors -> brain_assets -> resources, and brain_assets -> brain_assets.methods."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# A module, by its longest matching prefix, and what of ours it may import.
MAY_IMPORT = {
    "brain_assets.definitions": ("brain_assets", "resources", "sensors"),
    "brain_assets.methods": ("brain_assets.methods",),
    "brain_assets": ("brain_assets", "resources"),
    "resources": ("resources",),
    "sensors": ("brain_assets", "resources", "sensors"),
}
FOREIGN_TO_METHODS = {"dagster", "duckdb", "PIL", "requests", "os", "pathlib", "sqlite3", "urllib"}
MODULES = sorted(path for top in ("brain_assets", "resources", "sensors") for path in (ROOT / top).rglob("*.py"))


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported_names(path: Path) -> set[str]:
    """Every name imported anywhere in the file, functions included, so that a lazy import cannot hide."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write the import out in full"
            names.add(node.module or "")
    return names


def within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_run_one_way(path: Path) -> None:
    module = module_name(path)
    allowed = MAY_IMPORT[max((prefix for prefix in MAY_IMPORT if within(module, prefix)), key=len)]
    ours = {name for name in imported_names(path) if name.split(".")[0] in {"brain_assets", "resources", "sensors"}}
    assert not {name for name in ours if not any(within(name, prefix) for prefix in allowed)}


@pytest.mark.parametrize("path", [path for path in MODULES if "methods" in path.parts], ids=module_name)
def test_methods_know_only_arrays(path: Path) -> None:
    assert not FOREIGN_TO_METHODS & {name.split(".")[0] for name in imported_names(path)}
