"""The tutorials do what they say: each is run from its first line to its last, and every command in it is one."""

import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from brain_assets.app.cli import main

FOLDER = Path(__file__).parent.parent.parent / "docs" / "tutorials"
PAGES = sorted(FOLDER.glob("*.md"))
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FAILS = "# exits with 1"
# What serves until it is stopped; the service has tests of its own.
SERVES = ("brain up",)


def blocks(page: Path) -> list[tuple[str, str]]:
    return BLOCK.findall(page.read_text("utf-8"))


def lines(page: Path) -> Iterator[str]:
    for language, text in blocks(page):
        yield from (line for line in text.splitlines() if language == "bash" and line.strip())


def parsed(words: list[str]) -> None:
    """Parse a command as the terminal would, and do nothing."""
    command: Any = main
    context = main.make_context("brain", [], resilient_parsing=True)
    while isinstance(command, click.Group):
        name, *words = words
        command = command.commands[name]
    command.make_context(command.name, words, parent=context)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_tutorial_is_one(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for line in lines(page):
        program, *words = shlex.split(line, comments=True)
        assert program in {"brain", "python"}, line
        if program == "brain":
            parsed(words)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_tutorial_does_what_it_says(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRAIN_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    names: dict[str, Any] = {}
    for language, text in blocks(page):
        if language == "python":
            exec(compile(text, f"{page.name}", "exec"), names)
            continue
        for line in (one for one in text.splitlines() if one.strip() and not one.startswith(SERVES)):
            program, *words = shlex.split(line, comments=True)
            if program == "python":
                runpy.run_path(str(FOLDER / words[0]))[words[1]](Path(words[2]))
            elif FAILS in line:
                with pytest.raises(SystemExit, match=r"^1$"):
                    main(words)
            else:
                main(words)
