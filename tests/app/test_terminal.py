"""What is printed is shown by a terminal and not obeyed, and no spreadsheet computes what a table says."""

import csv
import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from brain_assets.app.cli import main
from brain_assets.app.terminal import Shown
from tests.workshop import Workshop, encoded, picture

NAMES = ("=cmd|calc!A1.png", "-1.png", "+2(3).png", "@x.png", "plain.png", "red\x1b[31m\u202egnp.png")
ASSETS = ("samples", "media", "published")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    root = tmp_path_factory.mktemp("terminal")
    (root / "media").mkdir()
    for number, name in enumerate(NAMES):
        (root / "media" / name).write_bytes(encoded(picture(number)))
    found = Workshop(root / "home", root / "media")
    found.run(ASSETS)
    return found


@pytest.mark.parametrize(("text", "shown"), [
    ("a\x1b[2Jb", "a\\x1b[2Jb"), ("tab\tand\nline", "tab\tand\nline"), ("\x9bA\x00\x7f", "\\x9bA\\x00\\x7f"),
    ("\u202egpj", "\\u202egpj"), ("ü\u4e2d", "ü\u4e2d"), ("a\rb", "a\\rb"),
])  # fmt: skip
def test_control_characters_are_shown(text: str, shown: str) -> None:
    stream = io.StringIO()
    Shown(stream).write(text)
    Shown(stream).writelines([text])
    assert stream.getvalue() == shown * 2
    bar = io.StringIO()
    Shown(bar, "\r").write("a\rb\x1b")
    assert bar.getvalue() == "a\rb\\x1b"


@pytest.mark.parametrize("form", ["table", "csv"])
def test_a_terminal_gets_no_command_from_a_file_name(workshop: Workshop, form: str) -> None:
    ours, theirs = pty.openpty()
    words = ["--home", str(workshop.home.root), "sql", "test", "select filepath from samples", "--format", form]
    command = [sys.executable, "-m", "brain_assets.app.cli", *words]
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, cwd=Path(__file__).parents[2]) as process:
        os.close(theirs)
        said = b""
        try:
            while part := os.read(ours, 4096):
                said += part
        except OSError:
            pass
    os.close(ours)
    assert process.returncode == 0
    assert b"plain.png" in said
    assert b"\x1b" not in said
    assert "\u202e".encode() not in said


def test_a_table_for_spreadsheets_holds_no_formulas(workshop: Workshop) -> None:
    words = ["--home", str(workshop.home.root), "sql", "test", "select filepath, bytes from samples", "--format", "csv"]
    rows = list(csv.reader(io.StringIO(CliRunner().invoke(main, words).output)))
    found = {row[0] for row in rows[1:]}
    assert {"'=cmd|calc!A1.png", "-1.png", "'+2(3).png", "'@x.png", "plain.png"} <= found
    other = CliRunner().invoke(main, [*words[:-1], "jsonl"]).output
    assert '"=cmd|calc!A1.png"' in other
