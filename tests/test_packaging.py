"""What is installed is the package alone, and it works beside other packages that are called `resources` and `sensors`."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.service.dev import shown
from tests.workshop import write_pictures

ROOT = Path(__file__).parent.parent
SOURCES = (
    *("brain_assets", "resources", "sensors", "pyproject.toml", "MANIFEST.in"),
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"),
)
MODEL = """
import numpy as np
class Pixels:
    version, dimension, input = "1", 192, 8
    def embed(self, images):
        return images.reshape(len(images), -1).astype(np.float32) + 1
"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a distribution is built from; building leaves files behind."""
    folder = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def build(kind: str, sources: Path, target: Path) -> Path:
    script = f"import setuptools.build_meta as build; print(build.build_{kind}({str(target)!r}))"
    done = subprocess.run([sys.executable, "-c", script], cwd=sources, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def archive(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution."""
    return build("sdist", sources, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution as installers do."""
    with tarfile.open(archive) as packed:
        packed.extractall(unpacked := tmp_path_factory.mktemp("unpacked"), filter="data")
    return build("wheel", next(unpacked.iterdir()), tmp_path_factory.mktemp("wheel"))


def files(folder: Path) -> set[str]:
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix() for path in found}


def test_the_wheel_owns_one_name_and_holds_every_file_once(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        names = [name for name in packed.namelist() if not name.endswith("/")]
        metadata = next(packed.read(name).decode() for name in names if name.endswith("/METADATA"))
    ours = [name for name in names if ".dist-info/" not in name]
    assert len(ours) == len(set(ours))
    wanted = {f"brain_assets/{name}" for name in files(ROOT / "brain_assets")}
    for linked in ("resources", "sensors"):
        wanted |= {f"brain_assets/{linked}/{name}" for name in files(ROOT / linked)}
    assert set(ours) == wanted
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert "License-Expression: Apache-2.0" in metadata


def test_the_source_distribution_holds_what_readers_need(archive: Path) -> None:
    with tarfile.open(archive) as packed:
        top = {name.partition("/")[2] for name in packed.getnames()}
    assert {"LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "README.md", "pyproject.toml"} <= top


class Installed:
    """A wheel in an environment of its own, which borrows what it depends on from ours, used from a project's folder."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.project = folder / "project"
        environment = folder / "environment"
        venv.create(environment, symlinks=True)
        python = environment / "bin" / "python"
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
        subprocess.run([*pip, str(wheel)], check=True, env=os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"})
        self.site = Path(next((environment / "lib").glob("python*"))) / "site-packages"
        # A path alone: what is installed there in place, as this checkout may be, is not looked for.
        (self.site / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
        self.binaries = environment / "bin"

    @property
    def environment(self) -> dict[str, str]:
        """What programs are told of the machine, and of this project."""
        given = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "DAGSTER", "BRAIN"))
        }
        return given | {"BRAIN_HOME": str(self.project / "home"), "PYTHONPATH": str(self.project)}

    def run(self, *command: str) -> str:
        program = [str(self.binaries / command[0]), *command[1:]]
        done = subprocess.run(program, cwd=self.project, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    made = Installed(tmp_path_factory.mktemp("installed"), wheel)
    (made.project / "resources").mkdir(parents=True)
    (made.project / "resources" / "__init__.py").write_text(MODEL)
    (made.project / "sensors.py").write_text("OURS = True\n")
    return made


def test_the_wheel_is_imported_beside_packages_of_the_same_names(installed: Installed) -> None:
    imports = "import resources, sensors, brain_assets.resources.dataset as one"
    script = f"{imports}; print(sensors.OURS, resources.Pixels, one.__file__)"
    *theirs, path = installed.run("python", "-c", script).split()
    assert theirs == ["True", "<class", "'resources.Pixels'>"]
    assert Path(path).is_relative_to(installed.site)


def test_the_wheel_brings_a_dataset_up_to_date(installed: Installed) -> None:
    assert "materialize" in installed.run("brain", "--help")
    write_pictures(installed.project / "media", range(5))
    installed.run("brain", "add", "tiny", "--media", "media", "--model", "python:resources:Pixels")
    assert "tiny" in installed.run("brain", "list")
    installed.run("brain", "materialize", "tiny")
    assert (
        installed.run("brain", "sql", "tiny", "select count(*) from uniqueness", "--format", "csv").split()[-1] == "5"
    )


def test_a_checkout_can_be_installed_in_place(sources: Path, tmp_path: Path) -> None:
    made = Installed(tmp_path, build("editable", sources, tmp_path))
    made.project.mkdir()
    path = made.run("python", "-c", "import brain_assets.sensors.arrivals as one; print(one.__file__)").strip()
    assert Path(path).resolve() == (sources / "sensors" / "arrivals.py").resolve()
    assert "materialize" in made.run("brain", "--help")


def test_dagster_reads_the_wheel(installed: Installed) -> None:
    installed.run("python", "-m", "dagster", "definitions", "validate", "-m", "brain_assets.definitions")
    script = """
from importlib.metadata import entry_points
import brain_assets, dagster
(module,) = [one.load() for one in entry_points(group="dagster_dg_cli.registry_modules") if one.name == "brain_assets"]
print(issubclass(module.BrainDataset, dagster.Component), "BrainDataset" in dir(module))
"""
    assert installed.run("python", "-c", script).split() == ["True", "True"]


@pytest.mark.slow
def test_dagster_dev_shows_the_wheel(installed: Installed) -> None:
    python = str(installed.binaries / "python")
    with shown(python, installed.project, installed.environment, "brain_assets.definitions") as assets:
        assert {"source_images", "samples", "published"} <= assets
