"""A scan of a folder that nobody declared: what makes it fail, how it is told, and what CI makes of it."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from click.testing import CliRunner, Result

from brain_assets.app.cli import main
from brain_assets.app.conditions import conditions
from brain_assets.app.declaring import write_declaration
from brain_assets.app.scans import _declare
from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.settings.home import Home
from brain_assets.resources.store.publishing import connect
from tests.workshop import TINY, write_pictures

ROOT = Path(__file__).parent.parent.parent


def scan(home: Path, folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--home", str(home), "scan", str(folder), "--model", TINY, *arguments])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scans")


@pytest.fixture(scope="module")
def folder(root: Path) -> Path:
    """A folder that no test leaves as another, so that all but the first scan have little to do."""
    paths = write_pictures(root / "pictures" / "train", range(6))
    write_pictures(root / "pictures" / "test", range(6, 9))
    shutil.copy(paths[0], root / "pictures" / "test" / "a,b:c%.png")
    (root / "pictures" / "train" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    return root / "pictures"


@pytest.fixture(scope="module")
def first(home: Path, folder: Path) -> dict[str, Any]:
    """What the first scan said."""
    told = scan(home, folder, "--format", "json")
    assert told.exit_code == 0
    return dict(json.loads(told.stdout))


@pytest.fixture(scope="module")
def home(root: Path) -> Path:
    return root / "home"


@pytest.mark.parametrize(
    ("text", "failing"),
    [
        ("leaks", True), ("leak > 1", True), ("leaks>2", False), ("leaks>=20%", False), ("leaks>19%", True),
        ("new_leaks", False), ("samples<10", True), ("box_out_of_images", False), ("near_duplicates==0", True),
    ],
)  # fmt: skip
def test_a_condition_holds_or_not(text: str, failing: bool) -> None:
    [one] = conditions(text, ["leak", "near_duplicate", "box_out_of_image"], ["samples", "leaks"])
    values = {"issue_leak": 2.0, "samples": 9.0 if "samples" in text else 10.5}
    assert one.holds(one.measured(values, {"leak": 2}, {})) is failing


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("leakz", "there is no issue or number 'leakz'; did you mean"),
        ("leaks>", "write NAME, NAME>NUMBER"),
        ("samples>3%", "percent are of samples with an issue"),
    ],
)
def test_a_condition_that_means_nothing_is_one_line(text: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        conditions(text, ["leak"], ["samples"])
    assert told in str(raised.value)


def test_exit_codes(tmp_path: Path, home: Path, folder: Path, first: dict[str, Any]) -> None:
    assert (first["samples"], first["errors"], first["new"]) == (11, 1, {})
    failed = scan(home, folder, "--fail-on", "leaks,outliers")
    assert (failed.exit_code, failed.stderr.splitlines()[-1]) == (1, "failed: leaks")
    assert "FAILED  leaks: 2, wanted <= 0" in failed.stdout
    for wrong in ([folder / "none"], [tmp_path], [folder, "--fail-on", "x"], [folder, "--contract", "x.yaml"]):
        told = scan(home, Path(wrong[0]), *map(str, wrong[1:]))
        assert (told.exit_code, told.stderr.count("\n")) == (2, 1), told.output
        assert told.stderr.startswith("brain scan: ")


@pytest.mark.usefixtures("first")
def test_a_verdict_is_of_the_folder_alone(home: Path, folder: Path) -> None:
    assert "seen elsewhere" not in scan(home, folder / "train").stdout
    refused = scan(home, folder, "--fail-on", "contamination")
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)


@pytest.mark.usefixtures("first")
def test_labels_of_which_nothing_is_used_fail(tmp_path: Path, home: Path, folder: Path) -> None:
    (tmp_path / "labels.csv").write_text("filepath,label\nnowhere.png,cat\n")
    found = scan(home, folder, "--labels", str(tmp_path / "labels.csv"))
    assert found.exit_code == 1
    assert "unused_labels" in found.stderr


@pytest.mark.usefixtures("first")
def test_labels_that_are_not_taken_beside_others_are_told(tmp_path: Path) -> None:
    folder, said = tmp_path / "both", list[str]()
    write_pictures(folder / "images", range(4))
    for seed in range(4):
        (folder / f"labels/{seed:05}.txt").parent.mkdir(exist_ok=True)
        (folder / f"labels/{seed:05}.txt").write_text("0 .5 .5 .2 .2\n")
    images = [{"id": 1, "file_name": "00000.png", "width": 32, "height": 32}]
    boxes = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}]
    tree = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "cat"}]}
    (folder / "all.json").write_text(json.dumps(tree))
    _declare(Home(tmp_path / "home"), "both", folder, {}, said.append)
    assert [line.partition(":")[0] for line in said] == [
        "not taken beside them, as it may say the same in another format", "taken with what is there",
    ]  # fmt: skip
    assert "all.json" in said[0]
    assert "labels" in said[1]


def test_the_second_scan_reads_what_changed_and_says_what_is_new(tmp_path: Path, home: Path, folder: Path) -> None:
    shutil.copy(folder / "train" / "00001.png", folder / "test" / "late.png")
    try:
        failed = scan(home, folder, "--format", "json", "--fail-on", "new_leaks")
    finally:
        (folder / "test" / "late.png").unlink()
    second = json.loads(failed.stdout)
    assert failed.exit_code == 1
    assert second["issues"]["leak"] == 4
    assert second["new"]["leak"] == 2
    kept = Home(home / "scans")
    assert second["dataset"] in kept.names()
    with connect(kept.existing(second["dataset"]).published) as connection:
        judged = connection.execute(
            "select rows_changed from runs where method = 'media' order by started_at"
        ).fetchall()
    assert [rows for (rows,) in judged][-1] <= 1
    # What was derived of folders that are gone is kept for a while.
    for word, days in (("gone", 100), ("unmounted", 10)):
        paths = kept.paths(word)
        write_declaration(paths, {"media": str(tmp_path / word)})
        paths.lock.touch()
        os.utime(paths.lock, (time.time() - days * 86_400,) * 2)
    assert scan(home, folder).exit_code == 0
    assert "unmounted" in kept.names()
    assert "gone" not in kept.names()


@pytest.mark.usefixtures("first")
def test_every_format_is_what_it_says(
    tmp_path: Path, home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = tmp_path / "contract.yaml"
    contract.write_text("leaks: 0\nimages: {min_side: 17}\n")
    monkeypatch.chdir(folder.parent)
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))

    def told(form: str) -> str:
        return scan(home, folder, "--contract", str(contract), "--fail-on", "unreadable", "--format", form).stdout

    [run] = json.loads(told("sarif"))["runs"]
    assert {"error", "warning"} >= {result["level"] for result in run["results"]}
    assert {result["ruleId"] for result in run["results"]} <= {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    addresses = {result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for result in run["results"]}
    assert "pictures/test/a%2Cb%3Ac%25.png" in addresses
    lines = told("github").splitlines()
    assert "::error file=pictures/test/a%2Cb%3Ac%25.png,title=contract.leaks::it has a copy in train" in lines
    assert lines[-1].startswith("::notice title=brain scan::11 images")
    assert "| ❌ | contract.images.min_side | 10 | <= 0 |" in summary.read_text("utf-8")
    suite = ElementTree.fromstring(told("junit"))
    failing = {case.get("name") for case in suite if case.find("failure") is not None}
    assert failing == {"unreadable", "contract.leaks", "contract.images.min_side"}
    assert int(suite.get("tests", "0")) == len(suite)
    assert told("markdown").startswith("### brain scan of `pictures`: failed: 3 of 3")


@pytest.mark.usefixtures("first")
def test_the_report_is_written(tmp_path: Path, home: Path, folder: Path) -> None:
    target = tmp_path / "report.html"
    assert scan(home, folder, "-o", str(target)).exit_code == 0
    assert "<html" in target.read_text("utf-8")


def git(folder: Path, *arguments: str) -> str:
    named = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    return subprocess.run(
        ["git", *named, *arguments], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> tuple[Path, str]:
    """A repository whose second commit copies a training image into test; and its first commit."""
    root = tmp_path / "repository"
    write_pictures(root / "images" / "train", range(6))
    write_pictures(root / "images" / "test", range(6, 9))
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "first")
    shutil.copy(root / "images" / "train" / "00001.png", root / "images" / "test" / "late.png")
    (root / "contract.yaml").write_text("samples: {min: 10}\n")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "second")
    return root, git(root, "rev-parse", "HEAD~1")


BRAIN = """#!{python} -S
import os, sys
from multiprocessing.connection import Client
with Client({address!r}) as line:
    line.send((sys.argv[1:], os.getcwd(), dict(os.environ)))
    code, out, said = line.recv()
sys.stdout.write(out)
sys.stderr.write(said)
sys.exit(code)
"""


def job(script: str, root: Path, tmp_path: Path, **given: str) -> subprocess.CompletedProcess[str]:
    """Run the script of a job in which `brain` is this package's, in this process, that has everything imported."""
    address, command = str(tmp_path / "line"), tmp_path / "bin" / "brain"
    command.parent.mkdir()
    command.write_text(BRAIN.format(python=sys.executable, address=address))
    command.chmod(0o755)
    known = {"PATH": f"{command.parent}:{os.environ['PATH']}", "BRAIN_HOME": str(tmp_path / "home")}
    variables = {**os.environ, **known, "BRAIN_EMBEDDINGS_MODEL": TINY, **given}
    done: list[subprocess.CompletedProcess[str]] = []

    def run() -> None:
        words = ["bash", "-e", "-c", script]
        done.append(subprocess.run(words, cwd=root, env=variables, capture_output=True, text=True, check=False))
        with Client(address) as line:
            line.send(None)

    with Listener(address) as listener:
        thread = threading.Thread(target=run)
        thread.start()
        while _answered(listener):
            pass
        thread.join()
    return done[0]


def _answered(listener: Listener) -> bool:
    """Run the next command of a job as if in its folder and under its variables; return whether there was one."""
    with listener.accept() as line:
        if (asked := line.recv()) is None:
            return False
        words, folder, variables = asked
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            for name, value in variables.items():
                patch.setenv(name, value)
            told = CliRunner().invoke(main, words)
        line.send((told.exit_code, told.stdout, told.stderr))
    return True


def test_a_github_job_tells_what_the_second_commit_did(tmp_path: Path, repository: tuple[Path, str]) -> None:
    root, base = repository
    steps = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))["runs"]["steps"]
    [script] = [step["run"] for step in steps if step.get("id") == "scan"]
    given = {"SCAN_PATH": "images", "SCAN_LABELS": "", "SCAN_PREDICTIONS": "", "SCAN_FAIL_ON": "new_leaks"}
    given |= {"SCAN_BASE": base, "SCAN_CONTRACT": "contract.yaml", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    done = job(script, root, tmp_path, **given)
    assert done.returncode == 1, done.stderr
    assert "::error file=images/test/late.png,title=leak::" in done.stdout
    assert "| Leaks between splits | 2 | 2 |" in (root / "brain-scan.md").read_text("utf-8")
    assert (tmp_path / "summary.md").read_bytes() == (root / "brain-scan.md").read_bytes()
    assert (root / "brain-scan.html").exists()
    assert git(root, "log", "-1", "--format=%s") == "second"


def test_a_gitlab_job_leaves_a_report_of_tests(tmp_path: Path, repository: tuple[Path, str]) -> None:
    root, base = repository
    _, template = yaml.safe_load_all((ROOT / "templates" / "brain-scan.yml").read_text("utf-8"))
    script = "\n".join(template["brain-scan"]["script"]).replace("git fetch --quiet origin", "true")
    given = {"SCAN_PATH": "images", "SCAN_FAIL_ON": "new_leaks", "SCAN_ARGUMENTS": "--contract contract.yaml"}
    given |= {"CI_MERGE_REQUEST_DIFF_BASE_SHA": base, "CI_COMMIT_SHA": git(root, "rev-parse", "HEAD")}
    done = job(script, root, tmp_path, **given)
    assert done.returncode == 1, done.stderr
    suite = ElementTree.parse(root / "brain-scan.xml").getroot()
    assert {case.get("name"): case.find("failure") is None for case in suite if case.get("classname") == "brain"} == {
        "new_leaks": False, "contract.samples": True,
    }  # fmt: skip


def test_the_hook_calls_a_command_that_there_is() -> None:
    [hook] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    program, command = hook["entry"].split()
    assert (program, hook["pass_filenames"]) == ("brain", False)
    assert command in main.commands
