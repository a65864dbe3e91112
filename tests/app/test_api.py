"""The Python face: published tables as relations that stay as they were, and runs from a notebook."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

import brain_assets as brain
from brain_assets.app.api import DatasetReader
from brain_assets.resources.errors import BrainError, ConfigurationError, MissingError
from brain_assets.resources.store.publishing import manifest
from tests.workshop import Workshop, write_pictures

FAST = ("samples", "media", "embeddings", "published")


@pytest.fixture
def media(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "media", range(4))
    return tmp_path / "media"


@pytest.fixture
def workshop(tmp_path: Path, media: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    # Runs from Python set both for the rest of the process.
    monkeypatch.setenv("BRAIN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home" / "dagster"))
    return Workshop(tmp_path / "home", media, "flowers")


@pytest.fixture
def flowers(workshop: Workshop) -> Iterator[DatasetReader]:
    with brain.dataset("flowers") as reader:
        yield reader


def test_tables_and_queries_are_relations(workshop: Workshop, flowers: DatasetReader) -> None:
    workshop.run(FAST)
    samples = flowers.table("samples")
    assert samples.filter("filepath = '00002.png'").project("status").fetchall() == [("ok",)]
    assert samples.to_arrow_table().num_rows == 4
    joined = flowers.sql(
        "select filepath, len(vector) from samples join embeddings using (sample_id) order by 1 limit 1"
    )
    assert joined.fetchall() == [("00000.png", 192)]
    assert flowers.sql("select count(*) from embeddings").fetchall() == [(4,)]


def test_a_relation_stays_as_it_was_when_made(workshop: Workshop, flowers: DatasetReader, media: Path) -> None:
    workshop.run(FAST)
    early = flowers.table("samples")
    write_pictures(media, [9])
    workshop.run(FAST)
    assert flowers.table("samples").count("*").fetchall() == [(5,)]
    assert early.count("*").fetchall() == [(4,)]


def test_a_reader_runs_the_dataset_with_settings_of_its_own(workshop: Workshop, flowers: DatasetReader) -> None:
    flowers.materialize(FAST, {"keep_first": ["val"], "similarity.k": 3, "embeddings.device": None})
    assert flowers.table("embeddings").count("*").fetchall() == [(4,)]
    found = manifest(workshop.paths.published)
    assert found is not None
    plain = found["facts"]["settings"]
    flowers.materialize(FAST)
    assert (manifest(workshop.paths.published) or {})["facts"]["settings"] != plain


def test_errors_are_one_line_that_says_what_to_do(workshop: Workshop, flowers: DatasetReader, media: Path) -> None:
    with pytest.raises(MissingError, match="nothing is published of flowers yet: run 'brain materialize flowers'"):
        flowers.table("samples")
    with pytest.raises(MissingError, match=r"no dataset 'birds' .*declare it with 'brain add'"):
        brain.dataset("birds")
    with pytest.raises(ConfigurationError, match=r"unknown setting 'similarity.kk'; did you mean 'similarity.k'"):
        flowers.materialize(FAST, {"similarity.kk": 3})
    with pytest.raises(MissingError, match="no asset 'nonsense' \\(assets: reviews, samples, "):
        flowers.materialize(["nonsense"])
    workshop.run(FAST)
    with pytest.raises(MissingError, match=r"flowers has no table 'nonsense' \(tables: .*embeddings, .*samples"):
        flowers.table("nonsense")
    with pytest.raises(duckdb.Error):
        flowers.sql("selec 1")
    media.rename(media.with_name("gone"))
    with pytest.raises(BrainError, match="no media at"):
        flowers.materialize(FAST)


def test_a_closed_reader_lets_its_set_go(workshop: Workshop) -> None:
    workshop.run(FAST)
    reader = brain.dataset("flowers", str(workshop.home.root))
    relation = reader.table("samples")
    reader.close()
    with pytest.raises(duckdb.Error):
        relation.fetchall()
    reader.close()
