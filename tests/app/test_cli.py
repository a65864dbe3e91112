"""The ``brain`` command: what each command answers, exit codes, one line for every failure, Ctrl-C, two at once."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import dagster as dg
import pytest
from click.testing import CliRunner, Result

from brain_assets.app.cli import main
from brain_assets.resources.settings import instance
from brain_assets.resources.settings.home import Home
from brain_assets.resources.store import locks
from tests.workshop import WHOLE, Workshop, write_pictures

ROOT = Path(__file__).parent.parent.parent
FAST = "samples,media,embeddings,published"
PATIENCE = 120


@pytest.fixture(scope="module")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A dataset that is up to date and that no test changes."""
    root = tmp_path_factory.mktemp("cli")
    write_pictures(root / "media", range(5))
    (root / "media" / "broken.png").write_bytes(b"\x89PNG no more")
    workshop = Workshop(root / "home", root / "media", "flowers")
    workshop.run(WHOLE)
    return workshop


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def media(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "media", range(3))
    return tmp_path / "media"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BRAIN_HOME", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "unset")
        monkeypatch.delenv(name)


def brain(home: Path | Workshop, *arguments: str) -> Result:
    root = home.home.root if isinstance(home, Workshop) else home
    return CliRunner().invoke(main, ["--home", str(root), *arguments], prog_name="brain")


def answers(home: Path | Workshop, *arguments: str) -> str:
    result = brain(home, *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def fails(home: Path | Workshop, *arguments: str) -> str:
    """Return the one line that a command says when it fails."""
    result = brain(home, *arguments)
    assert result.exit_code == 1, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("brain: ")
    return line


def all_commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for name, command in group.commands.items():
        found.append((*path, name))
        if isinstance(command, click.Group):
            found += all_commands(command, (*path, name))
    return found


def test_the_commands_are_all_there() -> None:
    named = {" ".join(path) for path in all_commands(main)}
    assert named >= {"add", "list", "show", "remove", "materialize", "status", "sql", "config", "up", "demo", "check"}


@pytest.mark.parametrize("path", all_commands(main), ids=" ".join)
def test_every_command_and_option_has_help(path: tuple[str, ...], home: Path) -> None:
    command: click.Command = main
    words = []
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
        named = any(isinstance(one, click.Argument) for one in command.params)
        words += [name, *(["x"] if isinstance(command, click.Group) and named else [])]
    assert (command.help or "").strip().endswith((".", ")", '"'))
    for parameter in command.params:
        assert not isinstance(parameter, click.Option) or parameter.help, parameter.name
    assert "Usage: brain" in answers(home, *words, "--help")


def test_help_needs_nothing_heavy() -> None:
    script = """
import sys
from brain_assets.app.cli import main
try:
    main(["--help"])
except SystemExit as end:
    assert end.code == 0
print(sorted({"dagster", "duckdb", "numpy", "pyarrow", "torch"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]"


WRONG = [
    (),
    ("nonsense",),
    ("add",),
    ("add", "flowers"),
    ("add", "flowers", "--media", "x", "--split-from", "nowhere"),
    ("add", "flowers", "--media", "x", "--nonsense"),
    ("show",),
    ("remove",),
    ("materialize",),
    ("materialize", "flowers", "--select", "samples,nonsense"),
    ("materialize", "flowers", "--set", "similarity.k"),
    ("status", "a", "b"),
    ("sql", "flowers"),
    ("sql", "flowers", "select 1", "--format", "xml"),
    ("up", "--port", "many"),
    ("up", "--port", "65536"),
    ("review", "--port", "-1"),
    ("demo", "extra"),
]


@pytest.mark.parametrize("arguments", WRONG, ids=lambda arguments: " ".join(arguments) or "nothing")
def test_wrong_usage_exits_with_2(flowers: Workshop, arguments: tuple[str, ...]) -> None:
    result = brain(flowers, *arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr
    assert result.stderr.strip()


def test_a_dataset_is_declared_shown_listed_and_removed(home: Path, media: Path) -> None:
    assert "no datasets in" in answers(home, "list")
    assert "declared birds" in answers(home, "add", "birds", "--media", str(media), "--split-from", "folder")
    assert answers(home, "list") == "birds\n"
    assert f"media: {media}" in answers(home, "show", "birds")
    assert "split_from: folder" in answers(home, "show", "birds")
    assert "nothing published yet" in answers(home, "status", "birds")
    kept = CliRunner().invoke(main, ["--home", str(home), "remove", "birds"], input="n\n")
    assert kept.exit_code == 130
    assert answers(home, "list") == "birds\n"
    assert "removed birds" in answers(home, "remove", "birds", "--yes")
    assert "no datasets in" in answers(home, "list")
    assert len(list(media.iterdir())) == 3
    assert not list((home / "datasets").iterdir())


def test_relative_media_and_model_files_are_kept_absolute(
    home: Path, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(media.parent)
    (media.parent / "vectors.csv").touch()
    answers(home, "add", "birds", "--media", "media", "--model", "precomputed:vectors.csv")
    shown = answers(home, "show", "birds")
    assert f"media: {media}\n" in shown
    assert f"precomputed:{media.parent}/vectors.csv" in shown


FAILURES: list[tuple[tuple[str, ...], str]] = [
    (("show", "nothing"), "no dataset 'nothing' in .* (datasets: flowers); declare it with 'brain add'"),
    (("remove", "nothing", "--yes"), "no dataset 'nothing'"),
    (("status", "nothing"), "no dataset 'nothing'"),
    (("config", "nothing"), "no dataset 'nothing'"),
    (("materialize", "nothing"), "no dataset 'nothing'"),
    (("sql", "nothing", "select 1"), "no dataset 'nothing'"),
    (("show", "../etc"), "cannot name a dataset"),
    (("add", "flowers", "--media", "."), "flowers exists already"),
    (("add", "birds", "--media", "/nowhere"), "no media at /nowhere: give a folder, an archive"),
    (
        ("materialize", "flowers", "--set", "similarity.kk=3"),
        "unknown setting 'similarity.kk'; did you mean 'similarity.k'?",
    ),
    (
        ("materialize", "flowers", "--set", "similarity.k=many"),
        "argument: similarity.k: must be a whole number, got 'many'",
    ),
    (("sql", "flowers", "selec 1"), "SQL: Parser Error"),
    (("sql", "flowers", "from nowhere"), "SQL: Catalog Error"),
    (("sql", "flowers", ""), "write a SELECT"),
    (("sql", "flowers", "from samples", "--format", "parquet"), "give --output FILE.parquet"),
]


@pytest.mark.parametrize(
    ("arguments", "words"), FAILURES, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_a_failure_is_one_line_and_exits_with_1(flowers: Workshop, arguments: tuple[str, ...], words: str) -> None:
    line = fails(flowers, *arguments)
    for part in words.split(".*"):
        assert part in line


def test_debug_shows_the_traceback(flowers: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["brain", "--debug"])
    result = brain(flowers, "--debug", "show", "nothing")
    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert "MissingError" in result.stderr


def test_what_nobody_foresaw_is_one_line_too(flowers: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    def surprise(_: Home) -> list[str]:
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr(Home, "names", surprise)
    assert fails(flowers, "list") == "brain: ZeroDivisionError: division by zero (--debug shows where)"


def test_status_tells_people_and_machines(flowers: Workshop) -> None:
    text = answers(flowers, "status")
    assert text.startswith("flowers: 6 samples, 1 errors; up to date")
    assert "issue unreadable" in text
    found = json.loads(answers(flowers, "status", "flowers", "--json"))
    assert (found["samples"], found["errors"], found["state"], found["running"]) == (6, 1, "up to date", None)
    assert found["issues"] == {"unreadable": 1}
    assert found["assets"]["uniqueness"]["rows"] == {"uniqueness": 5}
    assert found["assets"]["uniqueness"]["last_run"]
    assert [one["dataset"] for one in json.loads(answers(flowers, "status", "--json"))] == ["flowers"]


def test_status_tells_what_is_pending_and_who_works(flowers: Workshop, home: Path, media: Path) -> None:
    workshop = Workshop(home, media, "birds")
    workshop.run(["samples", "ground_truth", "predictions", "published"])
    write_pictures(media, [8])
    workshop.declare(media=str(media))
    with locks.exclusive(workshop.paths.lock, "run 12345678"):
        found = json.loads(answers(workshop, "status", "birds", "--json"))
    assert found["state"].startswith(
        "pending: the media changed, the settings changed, not brought up to date: media, "
    )
    assert found["running"].startswith("run 12345678 (process")
    media.rename(media.with_name("gone"))
    assert "cannot be looked at: no media at" in answers(workshop, "status", "birds")


def test_status_of_what_an_older_version_published(home: Path, media: Path) -> None:
    workshop = Workshop(home, media, "birds")
    workshop.run(["samples", "ground_truth", "predictions", "published"])
    current = workshop.paths.published / "current"
    (current / "uniqueness.parquet").unlink()
    manifest = json.loads((current / "manifest.json").read_text())
    for key in ("seal", "files", "columns"):
        del manifest[key]
    del manifest["facts"]["code"]
    (current / "manifest.json").write_text(json.dumps(manifest))
    found = json.loads(answers(workshop, "status", "birds", "--json"))
    assert found["assets"]["uniqueness"]["rows"] == {}
    assert "another version published it" in found["state"]


def test_config_tells_each_value_and_its_origin(flowers: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAIN_SIMILARITY_K", "7")
    lines = {line.split()[0]: line for line in answers(flowers, "config", "flowers").splitlines()}
    assert lines["similarity.k"].split()[1:] == ["7", "BRAIN_SIMILARITY_K"]
    assert lines["media"].endswith("dataset.yaml line 3")
    assert lines["keep_sets"].split()[1:] == ["3", "default"]
    assert "similarity.k" not in answers(flowers, "config")


def test_sql_prints_tables_csv_and_json_and_writes_files(flowers: Workshop, tmp_path: Path) -> None:
    query = "select filepath, status from samples where filepath > '00003' order by 1"
    assert "broken.png" in answers(flowers, "sql", "flowers", query)
    assert answers(flowers, "sql", "flowers", query, "--format", "csv").splitlines() == [
        "filepath,status", "00003.png,ok", "00004.png,ok", "broken.png,error",
    ]  # fmt: skip
    rows = json.loads(answers(flowers, "sql", "flowers", query, "--format", "json"))
    assert rows[-1] == {"filepath": "broken.png", "status": "error"}
    lines = answers(flowers, "sql", "flowers", query, "--format", "jsonl").splitlines()
    assert [json.loads(line) for line in lines] == rows
    assert json.loads(answers(flowers, "sql", "flowers", f"{query} limit 0", "--format", "json")) == []
    for form in ("table", "csv", "json", "jsonl", "parquet"):
        target, named = tmp_path / f"it's.{form}", tmp_path / f"named.{form.upper()}"
        assert answers(flowers, "sql", "flowers", query, "--format", form, "--output", str(target)) == ""
        assert answers(flowers, "sql", "flowers", query, "--output", str(named)) == ""
        assert target.read_bytes() == named.read_bytes() != b""
    again = f"select count(*) from '{tmp_path / 'it'!s}''s.parquet'"
    assert "3" in answers(flowers, "sql", "flowers", again, "--format", "csv", "--external")


OUTSIDE = [
    "copy samples to '{out}'",
    "copy (select 1) to '{out}' (format parquet)",
    "select 1; copy samples to '{out}'",
    "create table t as select 1",
    "delete from samples",
    "attach '{out}'",
    "set enable_external_access = true",
    "install httpfs",
    "export database '{out}'",
    "select * from read_csv('{secret}')",
    "from '{secret}'",
    "select content from read_text('{secret}')",
    "from glob('/etc/*')",
    "from read_parquet('http://127.0.0.1:1/x.parquet')",
    "pragma memory_limit='1GB'",
]


@pytest.mark.parametrize("query", OUTSIDE)
def test_sql_reads_the_tables_and_nothing_else(flowers: Workshop, tmp_path: Path, query: str) -> None:
    secret, out = tmp_path / "secret.csv", tmp_path / "out"
    secret.write_text("word\nhidden\n")
    assert "hidden" not in fails(flowers, "sql", "flowers", query.format(secret=secret, out=out))
    assert not out.exists()


def test_sql_may_do_more_where_the_user_says_so(flowers: Workshop, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    copy = f"copy samples to '{out}'"
    assert answers(flowers, "sql", "flowers", copy, "--external", "--format", "csv") == "Count\n6\n"
    assert out.read_text().count("\n") == 7


@pytest.mark.parametrize(
    "query", ["describe samples", "show tables", "explain select 1", "summarize samples", "pivot samples on status"]
)
def test_whatever_selects_is_run(flowers: Workshop, query: str) -> None:
    for form in ("table", "csv", "json"):
        assert answers(flowers, "sql", "flowers", f"{query} ; -- all", "--format", form).count("\n") > 1


def test_a_table_leaves_no_row_and_no_column_out(flowers: Workshop) -> None:
    shown = answers(flowers, "sql", "flowers", "show tables")
    tables = [row["name"] for row in json.loads(answers(flowers, "sql", "flowers", "show tables", "--format", "json"))]
    assert len(tables) > 20
    assert all(f" {table} " in shown for table in tables)
    wide = ", ".join(f"{number} as column_{number}" for number in range(80))
    assert all(f" column_{number} " in answers(flowers, "sql", "flowers", f"select {wide}") for number in (0, 40, 79))


def test_reference_tells_what_the_declaration_points_to(flowers: Workshop) -> None:
    page = answers(flowers, "reference")
    assert all(word in page for word in ("## Published tables", "near_duplicates.threshold", "### brain sql"))


def test_status_knows_what_published_and_report_did(flowers: Workshop) -> None:
    found = json.loads(answers(flowers, "status", "flowers", "--json"))["assets"]
    assert found["published"]["says"].startswith("set 1, ")
    assert found["report"]["says"] == "of set 1"
    assert found["published"]["last_run"]
    assert found["report"]["last_run"]
    lines = [line.split() for line in answers(flowers, "status", "flowers").splitlines()]
    assert [line[1] for line in lines if line[0] in ("published", "report")] == ["set", "of"]


def test_one_asset_of_a_new_dataset_is_not_called_the_whole(home: Path, media: Path) -> None:
    Workshop(home, media, "birds")
    text = answers(home, "materialize", "birds", "--select", "ground_truth")
    assert text.startswith("brought ground_truth of birds up to date (run ")
    assert "nothing is published yet: 'brain materialize birds'" in text


REFUSED: list[tuple[tuple[str, ...], str]] = [
    (("--model", "resnet49"), "'resnet49' does not name a model: write one of builtin:"),
    (("--model", "onxx:a.onnx"), "unknown model scheme 'onxx:' in 'onxx:a.onnx': did you mean onnx:?"),
    (("--model", "builtin:resnet"), "no builtin model 'resnet'"),
    (("--model", "onnx:/nowhere.onnx"), "no model file at /nowhere.onnx"),
    (("--labels", "/nowhere.csv"), "no labels or predictions at /nowhere.csv"),
    (("--labels-format", "coco"), "labels_format says how labels are written, and there are none"),
    (("--labels", "folder", "--labels-format", "xml"), "labels.0.format: must be 'auto', 'csv'"),
    (("--frames", "-1"), "frames: must be more than 0.0, got -1.0"),
    (("--model", ""), "'' does not name a model"),
    (("--labels", ""), "an address is empty"),
    (("--media", ""), "an address is empty"),
]


@pytest.mark.parametrize(
    ("arguments", "words"), REFUSED, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_nothing_is_declared_that_could_not_run(
    home: Path, media: Path, arguments: tuple[str, ...], words: str
) -> None:
    assert words in fails(home, "add", "birds", "--media", str(media), *arguments)
    assert "no datasets" in answers(home, "list")


def test_an_empty_folder_is_told(home: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = brain(home, "add", "birds", "--media", str(tmp_path / "empty"))
    assert (result.exit_code, "there are no images in" in result.stderr) == (0, True)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"embeddings": {"model": "nonsense"}}, "'nonsense' does not name a model"),
        ({"labels": [{"uri": "/nowhere"}]}, "no labels or predictions at /nowhere"),
        ({"gates": [{"metric": "issue_leek", "limit": 0}]}, "unknown metric 'issue_leek'; did you mean 'issue_leak'?"),
        (
            {"labels": "folder"},
            "labels: must be a list, got 'folder'; write [{uri: FILE_OR_FOLDER}], [{uri: folder}] or",
        ),
    ],
)
def test_config_tells_what_could_not_run(home: Path, media: Path, settings: dict[str, object], words: str) -> None:
    Workshop(home, media, "birds").declare(**{"media": str(media), **settings})
    result = brain(home, "config", "birds")
    assert result.exit_code == 1
    assert words in result.stderr


@pytest.mark.parametrize(
    "command", [("add", "birds", "--media", "sensors"), ("status", "birds"), ("up", "--no-browser")]
)
def test_a_home_that_cannot_be_used_is_told(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "file").touch()
    line = fails(tmp_path / "file", *command)
    assert "Errno" not in line
    assert f"the home {tmp_path / 'file'} cannot be used" in line


def test_a_run_of_the_command_is_one_of_the_service(home: Path, media: Path) -> None:
    workshop = Workshop(home, media, "birds")
    text = answers(home, "materialize", "birds", "--select", FAST, "--set", "similarity.k=3")
    assert f"brought {FAST.replace(',', ', ')} of birds up to date (run " in text
    assert "3 samples, 0 errors" in text
    assert workshop.rows("select count(*) from embeddings") == [(3,)]
    media.rename(media.with_name("gone"))
    assert "no media at" in fails(home, "materialize", "birds", "--select", FAST)
    assert locks.holder(workshop.paths.lock) is None
    with dg.DagsterInstance.from_config(str(instance.prepare(workshop.home))) as dagster_instance:
        runs = dagster_instance.get_runs(dg.RunsFilter(tags={"dagster/partition": "birds"}))
        assert [run.status for run in runs] == [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS]
        assert dagster_instance.get_dynamic_partitions("dataset") == ["birds"]


def test_a_damaged_store_and_a_held_dataset_are_one_line(home: Path, media: Path) -> None:
    workshop = Workshop(home, media, "birds")
    workshop.paths.store.write_bytes(b"no database")
    assert "store.duckdb is damaged: 'brain doctor birds --repair' sets it aside" in fails(
        home, "materialize", "birds", "--select", FAST
    )
    (home / "settings.yaml").write_text("lock_timeout: 0")
    with locks.exclusive(workshop.paths.lock, "run 12345678"):
        line = "birds is in use by run 12345678 (process"
        assert line in brain(home, "materialize", "birds").stderr.splitlines()[-1]
        assert line in fails(home, "remove", "birds", "--yes")


def spawn(home: Path, *arguments: str, stderr: int = subprocess.PIPE, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "brain_assets.app.cli", "--home", str(home), *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def shown(screen: int, until: bytes = b"") -> bytes:
    """Return what a terminal shows from here to a line with these words, by default to the end of what writes there."""
    seen = b""
    while not (until and until in seen and seen.endswith(b"\n")):
        try:
            seen += os.read(screen, 4096)
        except OSError:
            break
    return seen


def assert_shows_steps(seen: bytes) -> None:
    told = [seen.index(word) for word in (b"starting", b"[1/4] samples", b"[2/4] media", b"decode", b"[4/4] published")]
    assert told == sorted(told)
    assert seen.endswith(b"\r\x1b[K")


def wait(probe: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not probe():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


def test_ctrl_c_keeps_what_was_done_and_a_second_run_waits_and_goes_on(home: Path, media: Path, tmp_path: Path) -> None:
    workshop = Workshop(home, media, "birds", embeddings={"model": "python:tests.models:Held"})
    hold = tmp_path / "hold"
    hold.touch()
    # The empty line is for terminals, which show ^C.
    first = spawn(home, "materialize", "birds", "--select", FAST, BRAIN_TEST_HOLD=str(hold))
    wait(workshop.paths.journal.exists, "the decoding")
    screen, terminal = os.openpty()
    second = spawn(home, "materialize", "birds", "--select", FAST, stderr=terminal)
    os.close(terminal)
    told = shown(screen, until=b"since ").decode()
    assert told.startswith("waiting for run ")
    assert f"(process {first.pid}, since " in told
    first.send_signal(signal.SIGINT)
    hold.unlink()
    output, said = first.communicate(timeout=PATIENCE)
    assert (first.returncode, output) == (130, "")
    assert said.split("\n") == ["", "interrupted; what was done is kept, the next run goes on", ""]
    # A terminal shows what the run is at, on a line of which nothing is left.
    seen = shown(screen)
    os.close(screen)
    output, _ = second.communicate(timeout=PATIENCE)
    assert second.returncode == 0
    assert "of birds up to date" in output
    assert_shows_steps(seen)
    assert locks.holder(workshop.paths.lock) is None
    recorded = workshop.rows("select method, state, error from runs order by started_at")
    # Where the interrupt came amid the note of the run itself, the next one notes it.
    assert recorded[0] in {("media", "failed", "interrupted"), ("media", "failed", "killed")}
    assert recorded[1] == ("media", "done", None)
    assert {state for _, state, _ in recorded[1:]} == {"done"}
    with dg.DagsterInstance.from_config(str(instance.prepare(workshop.home))) as dagster_instance:
        statuses = [run.status for run in dagster_instance.get_runs()]
        assert statuses == [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]


def test_a_reader_that_goes_away_is_no_error_worth_a_word(flowers: Workshop) -> None:
    process = spawn(flowers.home.root, "sql", "flowers", "select * from range(300000)", "--format", "csv")
    assert process.stdout is not None
    assert process.stdout.readline() == "range\n"
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(PATIENCE) == 1
