"""A signal in a wheel of its own is everywhere that those of the house are; a broken one is one line."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from brain_assets.incremental.signal import Signal
from brain_assets.incremental.tables import open_with_tables
from brain_assets.incremental.update import Report, Update, bring_up_to_date
from brain_assets.resources.dataset import Opening
from tests.plugin_wheels import block, install, run
from tests.test_layers import ROOT
from tests.workshop import Workshop, write_pictures

PAGE = ROOT / "docs" / "add-a-signal.md"
OWN, LONG = "filename_length", "a_name_of_more_than_24_characters.png"
MOST_LINES = 40


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example of the page."""
    return install(PAGE, "filename_length", tmp_path_factory)


@pytest.fixture(scope="module")
def told(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("story")
    return json.loads(run(sys.executable, "-m", "tests.signals.plugin_story", str(root), path=installed).stdout)


def test_the_example_is_short() -> None:
    assert len(block(PAGE, "python").splitlines()) <= MOST_LINES


def test_it_costs_what_changed_and_equals_a_rebuild(told: Any) -> None:
    """The story itself compares every published table with a rebuild."""
    assert told["first"]["counts"] == [5, 0, 0]
    assert told["again"]["counts"] == [0, 0, 0]
    assert told["again"]["judged"] == 0
    # Another content under the same name has the same length.
    assert told["changed"]["judged"] == 1
    assert told["changed"]["counts"] == [1, 0, 1]
    names = ["00000.png", "00001.png", "00003.png", "00004.png", LONG]
    assert told["changed"]["rows"] == [[name, len(name)] for name in names]


def test_sql_health_and_gates_have_it(told: Any) -> None:
    assert told["sql"] == [["long_name", OWN, True]]
    assert told["health"]["issue_long_name"] == 1
    assert told["health"]["mean_filename_length"] == pytest.approx((4 * 9 + len(LONG)) / 5)
    assert {"issue_long_name", "mean_filename_length"} <= set(told["gates"])
    assert told["wrong"] == {}


def test_dagster_has_it_after_what_it_reads(told: Any) -> None:
    reads, description = told["dagster"]
    assert reads == ["samples"]
    assert description.startswith("How many characters")
    assert told["signals"].index(OWN) < told["signals"].index("issues")


def test_the_report_tells_it_in_its_words(told: Any) -> None:
    (issue,) = [one for one in told["report"]["issues"] if one["issue"] == "long_name"]
    assert (issue["title"], issue["advice"]) == ("Long file names", "Rename the files.")
    assert issue["findings"][0]["reason"] == f"Characters: {len(LONG)}, flagged above 24."
    assert "Long file names" in told["page"]


def test_the_review_page_has_its_queue_words_and_columns(told: Any) -> None:
    assert ("long_name", 1) in {(one["issue"], one["count"]) for one in told["overview"]["issues"]}
    assert told["overview"]["words"]["long_name"]["title"] == "Long file names"
    columns = {column["name"]: column for column in told["overview"]["frames"]["images"]["columns"]}
    assert columns["length"]["kind"] == "number"
    (item,) = told["queue"]["items"]
    assert (item["subject"]["filepath"], item["reason"]) == (LONG, f"Characters: {len(LONG)}, flagged above 24.")


def test_the_reference_describes_it(told: Any) -> None:
    for said in (f"### {OWN}\n", "| long_name | Long file names |", "| length | Characters of the file's name. |"):
        assert said in told["reference"]


READING_ANOTHER = """{example}
SIGNAL = replace(
    OWN, name="a_first", reads=(OWN.name,), tables=(Table("a_first", COLUMNS, ("sample_id",)),), publishes=(), writes=(),
    update=replace(OWN.update, table="a_first", inputs="select sample_id, length from filename_length"), issues=(), metrics={{}},
)
"""
BROKEN = {
    "missing_module": ("", "No module named"),
    "raises": ("raise RuntimeError('no\\nluck')", "RuntimeError: no luck"),
    "no_signal": ("SIGNAL = 3", "object is not callable"),
    "wrong_kind": ("SIGNAL = dict", "a Signal is wanted"),
    "name_taken": (
        "from brain_assets.signals.similarity.outliers import OUTLIERS as SIGNAL",
        "there is a signal 'outliers'",
    ),
    "bad_issue": ("{example}\nSIGNAL = replace(OWN, issues=(IssueQuery('select 1', (LONG_NAME,)),))", "Binder Error"),
    "bad_metric": ("{example}\nSIGNAL = replace(OWN, metrics={{'m': 'select count(*) fron x'}})", "Parser Error"),
    "bad_braces": ("{example}\nSIGNAL = replace(OWN, metrics={{'m': 'select {{key}} = {{nothing}}'}})", "nothing"),
    "bad_chart": ("{example}\nSIGNAL = replace(OWN, chart=Histogram('x', 'select nothing'))", "Binder Error"),
    "bad_kinds": ("{example}\nSIGNAL = replace(OWN, kinds=('a', 'b', 'c', 'd'))", "at most 3 kinds"),
    "unknown_table": ("{example}\nSIGNAL = replace(OWN, reads=('nowhere',))", "it reads nowhere, which no signal"),
    "bad_name": ("{example}\nSIGNAL = replace(OWN, name='my signal')", "'my signal' is no name"),
    "bad_type": (
        "{example}\nSIGNAL = replace(OWN, tables=(Table('filename_length', {{'sample_id': ('text of', '')}}, ()),))",
        "Parser Error",
    ),
}


def test_what_is_broken_is_one_line_and_the_rest_goes_on(tmp_path: Path, installed: Path) -> None:
    example = "from dataclasses import replace\nfrom filename_length import *\nOWN = FILENAME_LENGTH"
    entries = ["a_first = reading_another:SIGNAL"]
    (tmp_path / "reading_another.py").write_text(READING_ANOTHER.format(example=example), "utf-8")
    for name, (source, _) in BROKEN.items():
        entries.append(f"{name} = broken_{name}:SIGNAL")
        if source:
            text = source.format(example=example) if "{example}" in source else source
            (tmp_path / f"broken_{name}.py").write_text(text, "utf-8")
    metadata = tmp_path / "broken-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n", "utf-8")
    (metadata / "entry_points.txt").write_text("\n".join(["[brain_assets.signals]", *entries]), "utf-8")
    script = "from brain_assets.assets import catalog; print(*catalog.BY_NAME)"
    both = Path(f"{tmp_path}{os.pathsep}{installed}")
    done = run(sys.executable, "-c", script, path=both)
    lines = {line.split()[1]: line for line in done.stderr.splitlines()}
    assert lines.keys() == BROKEN.keys()
    for name, (_, reason) in BROKEN.items():
        assert f"signal {name} = broken_{name}:SIGNAL is left out: " in lines[name]
        assert reason in lines[name]
    names = done.stdout.split()
    assert names.index("outliers") < names.index(OWN) < names.index("a_first") < names.index("issues")


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    write_pictures(tmp_path / "media", range(3))
    workshop = Workshop(tmp_path / "home", tmp_path / "media")
    workshop.run(["samples"])
    return workshop


def example() -> Signal:
    named: dict[str, Any] = {}
    exec(block(PAGE, "python"), named)
    return named["FILENAME_LENGTH"]


def updated(workshop: Workshop, signal: Signal) -> tuple[Report, int]:
    """Bring a signal up to date, and return what it did and how many rows it has."""
    with open_with_tables(workshop.home, workshop.name, Opening("update", "test"), [signal]) as dataset:
        report = bring_up_to_date(signal, dataset)
        return report, dataset.store.value(f"select count(*) from {OWN}")


def test_a_table_whose_columns_are_others_is_made_anew(workshop: Workshop) -> None:
    signal = example()
    assert updated(workshop, signal)[0].counts.added == 3
    report, rows = updated(workshop, signal)
    assert (report.up_to_date, rows) == (True, 3)
    (table,) = signal.tables
    wider = replace(table, columns={**table.columns, "extension": ("text", "The rest.")})
    report, rows = updated(workshop, replace(signal, tables=(wider,)))
    assert (report.counts.added, rows) == (3, 3)


def test_one_that_fails_keeps_its_rows_and_stops_nothing(workshop: Workshop) -> None:
    def judge(update: Update, rows: pa.Table, given: object) -> pa.Table:
        raise ZeroDivisionError("of the plugin")

    signal = example()
    updated(workshop, signal)
    failing = replace(signal, version="2", plugin="filename_length = m:S", update=replace(signal.update, judge=judge))
    report, rows = updated(workshop, failing)
    assert report.failed == {OWN: f"run {OWN} of {OWN}: ZeroDivisionError: of the plugin"}
    assert rows == 3
    with pytest.raises(ZeroDivisionError):
        updated(workshop, replace(failing, plugin=""))


def test_the_command_lists_it_with_its_package(installed: Path) -> None:
    listed = json.loads(run(sys.executable, "-m", "brain_assets.app.cli", "plugins", "--json", path=installed).stdout)
    mine = [one for one in listed if one["name"] == "filename_length"]
    assert [(one["kind"], one["fault"]) for one in mine] == [("signal", "")]
    assert mine[0]["distribution"]
    assert mine[0]["version"]
    assert {one["kind"] for one in listed} == {"signal", "label format", "embedding model", "vector index", "engine"}
    assert len({(one["kind"], one["name"]) for one in listed}) == len(listed)


def test_the_command_says_why_something_is_left_out(tmp_path: Path) -> None:
    information = tmp_path / "bad-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1.0\n")
    groups = "[brain_assets.signals]\nlost = nowhere:SIGNAL\n[brain_assets.label_formats]\ngone = nowhere:FORMAT\n"
    (information / "entry_points.txt").write_text(groups)
    told = run(sys.executable, "-m", "brain_assets.app.cli", "plugins", path=tmp_path).stdout.splitlines()
    for kind, name in (("signal", "lost"), ("label format", "gone")):
        (line,) = [one for one in told if one.startswith(kind) and f" {name} " in one]
        assert " ".join(line.split()).endswith("bad 1.0 left out: ModuleNotFoundError: No module named 'nowhere'")
