"""The numbers of a home as Prometheus reads them: by its own rules of the text format, from what is published alone."""

import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from brain_assets.answers.exposition import HELP, exposition, note_waiting, waiting_seconds
from brain_assets.app.cli import main
from brain_assets.resources.settings.home import Home
from tests.review_data import Synthetic

ROOT = Path(__file__).parent.parent.parent
# A line of the text format: name, labels with \\, \" and \n escaped, a number.
LABEL = r'[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*"'
LINE = re.compile(rf"([a-zA-Z_:][\w:]*)\{{({LABEL}(?:,{LABEL})*)?\}} (\S+)")


def parsed(text: str) -> dict[str, dict[str, float]]:
    """Return the numbers by name and labels; a fault in the format is an error."""
    found: dict[str, dict[str, float]] = {}
    told = dict[str, str]()
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            # All of one name stand together, below its type.
            assert name not in told
            told[name] = kind
        elif not line.startswith("# HELP "):
            match = LINE.fullmatch(line)
            assert match, line
            assert told[match[1]] == "gauge"
            assert list(told)[-1] == match[1]
            numbers = found.setdefault(match[1], {})
            assert (match[2] or "") not in numbers
            numbers[match[2] or ""] = float(match[3])
    return found


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    return Synthetic(tmp_path_factory.mktemp("home"), count=70).create()


def test_datasets_are_told_in_numbers(synthetic: Synthetic) -> None:
    home = Home(synthetic.home)
    empty = home.paths("empty")
    empty.folder.mkdir(parents=True, exist_ok=True)
    empty.config.write_text("media: /nowhere\n", "utf-8")
    found = parsed(exposition(home))
    assert found.keys() <= HELP.keys()
    assert found["brain_up"] == {'dataset="demo"': 1, 'dataset="empty"': 0}
    assert found["brain_samples"] == {'dataset="demo",status="error"': 2, 'dataset="demo",status="ok"': 68}
    assert found["brain_issues"]['dataset="demo",issue="unreadable"'] == 2
    assert found["brain_last_run_seconds"]['dataset="demo"'] == 240
    assert found["brain_oldest_waiting_seconds"]['dataset="demo"'] == 0


def test_what_waits_is_told_until_it_is_published(synthetic: Synthetic) -> None:
    paths = Home(synthetic.home).paths("demo")
    note_waiting(paths, time.time() - 90)
    assert 89 < waiting_seconds(paths) < 120
    note_waiting(paths, 0)
    assert waiting_seconds(paths) == 0


def test_the_command_writes_a_file_in_one_step(
    synthetic: Synthetic, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["metrics"], ["metrics", "-o", str(tmp_path / "brain.prom")]):
        main(["--home", str(synthetic.home), *words])
    printed = parsed(capsys.readouterr().out)
    assert parsed((tmp_path / "brain.prom").read_text("utf-8"))["brain_samples"] == printed["brain_samples"]
    assert [path.name for path in tmp_path.iterdir()] == ["brain.prom"]


def test_the_page_names_every_number_and_its_alarms_are_valid() -> None:
    page = (ROOT / "docs" / "monitoring.md").read_text("utf-8")
    rows = re.findall(r"^\| (`brain_.*?) \|", page, re.MULTILINE)
    assert [name for row in rows for name in re.findall(r"`(brain_\w+)", row)] == sorted(HELP, key=list(HELP).index)
    rules = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    assert {name for name in re.findall(r"brain_\w+", str(rules[1])) if name != "brain_up"} <= HELP.keys()


def test_the_unit_is_one(tmp_path: Path) -> None:
    if not (verify := shutil.which("systemd-analyze")):
        pytest.skip("systemd-analyze is not here")
    # Its program and its user are those of another machine.
    text = (ROOT / "docs" / "brain.service").read_text("utf-8").replace("/opt/brain/bin/brain", "/bin/true")
    (tmp_path / "brain.service").write_text(text.replace("User=brain", "User=root"), "utf-8")
    told = subprocess.run([verify, "verify", tmp_path / "brain.service"], capture_output=True, text=True, check=False)
    assert "brain.service" not in told.stderr, told.stderr


def test_its_own_library_reads_it(synthetic: Synthetic) -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    families = list(parser.text_string_to_metric_families(exposition(Home(synthetic.home))))
    assert {family.name for family in families} <= HELP.keys()
    assert all(family.samples for family in families)
