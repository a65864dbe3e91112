"""The reference page says what the code says, and nothing that users meet goes unsaid."""

import re
from pathlib import Path

import brain_assets
from brain_assets.app.api import DatasetReader
from brain_assets.app.reference import reference
from brain_assets.app.views import View
from brain_assets.assets import catalog
from brain_assets.python.folder_scan import FolderScan, Galleries
from brain_assets.python.results import LeakySplits, SimilarityIndex, VisualizationResults
from brain_assets.resources.label_formats.door import formats, writers
from brain_assets.resources.label_formats.house import READ
from brain_assets.resources.settings.configuration import DatasetSettings, ServiceSettings, fields

# What the words before the dot stand for in the page about other tools.
OBJECTS = {
    "brain": brain_assets, "dataset": DatasetReader, "view": View, "index": SimilarityIndex, "map": VisualizationResults,
    "leaks": LeakySplits, "scan": FolderScan, "vis": Galleries,
}  # fmt: skip
ROOT = Path(__file__).parent.parent.parent


def test_the_reference_page_is_current() -> None:
    written = (ROOT / "docs" / "reference.md").read_text("utf-8")
    assert written == reference(), "run `make docs`"


def test_everything_is_described() -> None:
    publications = [publication for signal in catalog.ALL for publication in signal.publishes]
    assert all(len(signal.description) > 40 for signal in catalog.ALL)
    assert all(meaning for publication in publications for meaning in publication.columns.values())
    assert all(field.description for model in (DatasetSettings, ServiceSettings) for _, field in fields(model))


def test_every_published_column_is_described() -> None:
    from tests.workshop import described_columns

    for publication, columns in described_columns():
        assert set(columns) == set(publication.columns), publication.table


def test_what_stands_for_other_tools_is_there() -> None:
    page = (ROOT / "docs" / "peers.md").read_text("utf-8")
    before, formats = page.split("## Formats of labels")
    lines = (before + formats.split("\n## ", 1)[1]).splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ") and not line.startswith("| there")]
    rows = [row for row in rows if row[0] != "---"]
    named = [tuple(one.split(".")) for _, ours, _ in rows for one in re.findall(r"`([a-z_]+\.[a-z_.]+)`", ours)]
    # What is not here is so for a reason.
    assert [row for row in rows if not re.match(r"done|(declined|other): \w", row[2])] == []
    settings = {name for name, _ in fields(DatasetSettings)}
    wrong = [
        ".".join(one) for one in named if ".".join(one) not in settings and not hasattr(OBJECTS.get(one[0]), one[1])
    ]
    assert (wrong, len(named) > 60) == ([], True)
    # Every call that is documented for another tool's users is among them.
    calls = {
        name for name in brain_assets.__all__ if name.startswith("compute_") or name.endswith(("brain_run", "fiftyone"))
    }
    assert {one[-1] for one in named} >= calls


def test_the_table_of_formats_says_which_are_read_and_written() -> None:
    page = (ROOT / "docs" / "how-it-works.md").read_text("utf-8").split("## Formats of labels")[1].split("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("| ")
    ]
    table = {re.findall("`([a-z-]+)`", row[0])[0]: row[1:] for row in rows[2:] if not row[0].startswith("tables")}
    assert {name for name, row in table.items() if row[0] and name in formats()} == set(formats())
    tables = {"csv", "parquet"}
    assert {name for name, row in table.items() if row[1]} == set(writers()) - tables


def test_other_tools_are_compared_in_every_format() -> None:
    page = (ROOT / "docs" / "peers.md").read_text("utf-8").split("## Formats of labels")[1].split("\n## ")[0]
    named = re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE)
    assert sorted(named) == sorted({one.name for one in READ} | {"folders"})


def test_the_readme_names_the_commands() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for words in ("make demo", "make test", "brain add", "brain materialize", "brain sql", "brain up"):
        assert words in readme
