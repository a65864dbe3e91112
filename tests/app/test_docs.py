"""The reference page says what the code says, and nothing that users meet goes unsaid."""

from pathlib import Path

from brain_assets.app.reference import reference
from brain_assets.assets import catalog
from brain_assets.resources.settings.configuration import DatasetSettings, ServiceSettings, fields

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


def test_the_readme_names_the_commands() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for words in ("make demo", "make test", "brain add", "brain materialize", "brain sql", "brain up"):
        assert words in readme
