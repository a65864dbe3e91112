"""The image and the compose files: what they name is there, and Compose takes them where it is installed."""

import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from brain_assets.app.cli import main
from brain_assets.resources import telemetry
from brain_assets.resources.settings.configuration import DatasetSettings, ServiceSettings, fields
from tests.app.test_tutorials import parsed

ROOT = Path(__file__).parent.parent.parent
DOCKER = ROOT / "docs" / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text("utf-8")
# Each as it is given to Compose, in this order.
FILES = (
    ("docs/docker/compose.yaml",),
    ("docs/docker/compose.yaml", "docs/docker/compose.postgres.yaml"),
    ("docs/compose.ray.yaml",),
)
SECRETS = {"MEDIA": "/srv/images", "BRAIN_REVIEW_TOKEN": "t" * 20, "POSTGRES_PASSWORD": "p", "RAY_AUTH_TOKEN": "r"}
# Read by commands, and no settings.
VARIABLES = {"BRAIN_HOME", "BRAIN_REVIEW_TOKEN"}


def services() -> list[dict[str, Any]]:
    """Return all services of all files."""
    texts = [(ROOT / name).read_text("utf-8") for name in dict.fromkeys(name for files in FILES for name in files)]
    return [service for text in texts for service in yaml.safe_load(text)["services"].values()]


def instructions(word: str) -> list[str]:
    """Return what follows a word at the beginning of the Dockerfile's lines, continued ones joined."""
    joined = DOCKERFILE.replace("\\\n", " ")
    return re.findall(rf"^\s*{word} (.+)$", joined, re.MULTILINE)


def known_variables() -> set[str]:
    names = [name for model in (DatasetSettings, ServiceSettings) for name, _ in fields(model)]
    return VARIABLES | {f"BRAIN_{name.upper().replace('.', '_')}" for name in names}


def extras() -> set[str]:
    return set(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"])


def test_every_command_and_setting_of_the_compose_files_is_one() -> None:
    ours = [one for one in services() if one.get("image") == "brain-assets"]
    assert ours
    for service in ours:
        parsed(service["command"])
    said = {name for service in services() for name in service.get("environment", ()) if name.startswith("BRAIN_")}
    assert {"BRAIN_REVIEW_TOKEN", "BRAIN_HISTORY_URL"} <= said <= known_variables()
    built = [service["build"].get("args", {}).get("EXTRAS", "") for service in services() if "build" in service]
    assert {extra for text in built for extra in text.split(",") if extra} <= extras()


def test_every_command_and_setting_of_the_image_is_one() -> None:
    assert instructions("ENTRYPOINT") == ['["brain"]']
    command = json.loads(instructions("CMD")[-1])
    parsed(command)
    ports = {option.name: option.default for option in main.commands["up"].params if "port" in str(option.name)}
    assert instructions("EXPOSE") == [f"{ports['port']} {ports['review_port']}"]
    assert f"for port in ({ports['port']}, {ports['review_port']})" in DOCKERFILE
    said = dict(pair.split("=", 1) for line in instructions("ENV") for pair in line.split())
    assert {name for name in said if name.startswith("BRAIN_")} <= known_variables()
    # Nothing asks a network at run time.
    assert said.items() >= telemetry.OFF.items()
    assert said["HF_HUB_OFFLINE"] == "1"
    assert set(re.findall(r"^ARG EXTRAS=(.+)$", DOCKERFILE, re.MULTILINE)[0].split(",")) <= extras()
    assert instructions("USER") == ["brain"]


def test_the_image_is_made_of_what_is_there_and_pinned() -> None:
    copied = [words.split() for words in instructions("COPY") if "--from" not in words]
    sources = {name for *names, _ in copied for name in names}
    ignored = (DOCKER / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    # What is not let in cannot be copied, and nothing else is sent to the builder.
    assert sources == {line[1:] for line in ignored if line.startswith("!")}
    assert [name for name in sources if not (ROOT / name).exists()] == []
    installed = [line for line in instructions("RUN") if "pip install" in line]
    assert installed
    assert all("--constraint constraints.txt" in line for line in installed)
    python = re.findall(r"^ARG PYTHON=python:(\d+)\.(\d+)", DOCKERFILE, re.MULTILINE)[0]
    assert tuple(map(int, python)) >= (3, 11)


def test_pages_are_opened_to_this_machine_alone() -> None:
    ports = [port for service in services() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    for service in (one for one in services() if one.get("image") == "brain-assets"):
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert next(one for one in service["volumes"] if "MEDIA" in one).endswith(":ro")


def compose() -> list[str]:
    """Return how Compose is called here; skips the test where it is not installed."""
    docker = shutil.which("docker")
    if docker and subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0:
        return [docker, "compose"]
    if program := shutil.which("docker-compose"):
        return [program]
    pytest.skip("neither 'docker compose' nor docker-compose is installed")


@pytest.mark.parametrize("files", FILES, ids=lambda files: Path(files[-1]).stem)
def test_compose_takes_the_files(files: tuple[str, ...]) -> None:
    named = [word for name in files for word in ("-f", name)]
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    command = [*compose(), *named, "config"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment | SECRETS, check=False)
    assert done.returncode == 0, done.stderr
    read = yaml.safe_load(done.stdout)["services"]
    assert (SECRETS["MEDIA"] in done.stdout, len(read)) == (
        True,
        {"compose": 1, "compose.postgres": 2}.get(Path(files[-1]).stem, 3),
    )
    # What has to be said is asked for.
    lacking = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    assert lacking.returncode != 0
    assert any(name in lacking.stderr for name in SECRETS)


def test_the_walk_is_made_of_commands() -> None:
    page = (ROOT / "docs" / "containers.md").read_text("utf-8")
    lines = [line for block in re.findall(r"```\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]
    words = [shlex.split(line) for line in lines]
    asked = [one[one.index("exec") + 3 :] for one in words if "exec" in one]
    run = [one[one.index("brain-assets") + 1 :] for one in words if "run" in one]
    ours = [*asked, *run]
    assert len(ours) > 3
    for one in ours:
        parsed(one)
    for name in re.findall(r"-f (docs/\S+\.yaml)", page):
        assert (ROOT / name).is_file()
