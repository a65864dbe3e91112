"""Imports run one way, room by room, without circles."""

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("brain_assets", "resources", "sensors")
# A room, and the rooms from which it may import; every room may import from those that these may.
ROOMS: dict[str, tuple[str, ...]] = {
    "resources.errors": (),
    "resources.entries": (),
    "resources.telemetry": (),
    "resources.machine": ("resources.errors",),
    "resources.scratch": (),
    "resources.progress": ("resources.errors",),
    "resources.limits": ("resources.errors",),
    "resources.threads": (),
    "resources.local_files": (),
    "resources.image_input": (),
    "resources.fiftyone_samples": (),
    "resources.written_yaml": (),
    "resources.tabular": ("resources.local_files", "resources.errors", "resources.limits"),
    "resources.column_names": ("resources.tabular",),
    "resources.store": ("resources.errors", "resources.machine", "resources.limits"),
    "resources.history": ("resources.errors",),
    "resources.settings": (
        "resources.errors",
        "resources.progress",
        "resources.history",
        "resources.fiftyone_samples",
        "resources.written_yaml",
    ),
    "resources.models": (
        "resources.settings",
        "resources.errors",
        "resources.local_files",
        "resources.image_input",
        "resources.machine",
        "resources.scratch",
    ),
    "resources.decoding": ("resources.store", "resources.local_files", "resources.image_input", "resources.limits"),
    "resources.media": (
        "resources.decoding",
        "resources.settings",
        "resources.column_names",
        "resources.progress",
        "resources.written_yaml",
    ),
    "resources.label_formats": (
        "methods",
        "resources.media",
        "resources.tabular",
        "resources.settings",
        "resources.limits",
    ),
    "resources.label_tools": ("resources.label_formats", "resources.errors"),
    "resources.table_formats": ("resources.media", "resources.errors"),
    "resources.vector_indexes": ("resources.settings", "resources.errors", "resources.entries"),
    "resources.engines": ("methods", "resources.settings", "resources.errors", "resources.entries"),
    "resources.dataset": (
        "resources.engines",
        "resources.label_formats",
        "resources.models",
        "resources.media",
        "resources.threads",
    ),
    "methods": (),
    "incremental": ("resources.dataset", "resources.vector_indexes"),
    "ledger": ("resources.dataset", "methods"),
    "ingest": ("incremental", "methods"),
    "signals": ("ingest", "ledger"),
    "answers": ("ingest", "ledger", "resources.table_formats"),
    "review": ("answers", "signals"),
    "labelling": ("review", "resources.label_tools"),
    "report": ("answers", "signals"),
    "assets": ("signals", "report", "review"),
    "sensors": ("assets", "labelling"),
    "definitions": ("sensors",),
    "component": ("sensors",),
    "app": ("definitions",),
    "python": ("app",),
    "": ("python", "component", "resources.telemetry"),
}
FOREIGN_TO_METHODS = {"dagster", "duckdb", "PIL", "requests", "os", "pathlib", "sqlite3", "urllib"}
MODULES = sorted(path for top in OURS for path in (ROOT / top).rglob("*.py"))


def module_name(path: Path) -> str:
    """Return a module's installed name: `resources` and `sensors` are linked into the package."""
    parts = [part for part in path.relative_to(ROOT).with_suffix("").parts if part != "__init__"]
    return ".".join(parts if parts[0] == "brain_assets" else ["brain_assets", *parts])


def room_of(module: str) -> str:
    inner = module.removeprefix("brain_assets").removeprefix(".")
    return max((room for room in ROOMS if within(inner, room)), key=len)


def within(name: str, prefix: str) -> bool:
    return prefix in ("", name) or name.startswith(prefix + ".")


@cache
def reachable(room: str) -> frozenset[str]:
    return frozenset({room}.union(*(reachable(below) for below in ROOMS[room])))


def imported_names(path: Path) -> set[str]:
    """Every name imported anywhere in the file, functions included, so that a lazy import cannot hide."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write the import out in full"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_run_one_way(path: Path) -> None:
    room, names = room_of(module_name(path)), imported_names(path)
    assert not {name for name in names if name.split(".")[0] in {"resources", "sensors"}}, (
        "install names begin with ours"
    )
    ours = {name for name in names if within(name, "brain_assets") and name != "brain_assets"}
    if path.name == "__init__.py":
        ours -= {"brain_assets.resources.telemetry"}
    assert not {name for name in ours if room_of(name) not in reachable(room)}


def test_rooms_do_not_run_in_circles() -> None:
    below: dict[str, set[str]] = defaultdict(set)
    for room, rooms in ROOMS.items():
        below[room].update(rooms)
    assert all(room not in reachable(other) for room in ROOMS for other in below[room])


@pytest.mark.parametrize("path", [path for path in MODULES if "methods" in path.parts], ids=module_name)
def test_methods_know_only_arrays(path: Path) -> None:
    assert not FOREIGN_TO_METHODS & {name.split(".")[0] for name in imported_names(path)}
