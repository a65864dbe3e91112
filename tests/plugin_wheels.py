"""Examples of the pages for those who add something of their own: built as a wheel and installed, without a network."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_layers import ROOT


def block(page: Path, language: str) -> str:
    """Return the block of code that a page has in a language."""
    found = re.search(rf"```{language}\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    assert found
    return found[1]


def run(*command: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command with the project, and perhaps what is installed in a folder, on its path."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *([str(path)] if path else [])])}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)


def install(page: Path, module: str, factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which the example of a page is installed, as a module of this name."""
    source, site = factory.mktemp("package"), factory.mktemp("site")
    (source / f"{module}.py").write_text(block(page, "python"), "utf-8")
    (source / "pyproject.toml").write_text(block(page, "toml"), "utf-8")
    pip = (sys.executable, "-m", "pip")
    run(*pip, "wheel", "--quiet", "--no-index", "--no-build-isolation", "--no-deps", "-w", str(source), str(source))
    (wheel,) = source.glob("*.whl")
    run(*pip, "install", "--quiet", "--no-index", "--no-deps", "--target", str(site), str(wheel))
    return site
