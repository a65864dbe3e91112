"""A damaged published set, as users meet it: told everywhere, fatal nowhere, and whole after the next run."""

import json
import os
import shutil
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

import brain_assets as brain
from brain_assets.app.cli import main
from brain_assets.review.sets import Sets
from tests.workshop import Workshop, assert_equals_rebuild, write_pictures


@pytest.fixture
def damaged(tmp_path: Path) -> Workshop:
    write_pictures(tmp_path / "media", range(4))
    workshop = Workshop(tmp_path / "home", tmp_path / "media", "flowers")
    workshop.run()
    current = workshop.paths.published / "current"
    os.truncate(current / "uniqueness.parquet", 40)
    shutil.rmtree(current / "embeddings")
    return workshop


def test_a_damaged_set_is_told_everywhere_and_whole_after_the_next_run(damaged: Workshop, tmp_path: Path) -> None:
    def answers(*arguments: str) -> str:
        result = CliRunner().invoke(main, ["--home", str(damaged.home.root), *arguments])
        return result.stdout + result.stderr

    assert "4" in answers("sql", "flowers", "select count(*) from samples", "--format", "csv")
    assert "table uniqueness is damaged: run 'brain materialize flowers'" in answers(
        "sql", "flowers", "from uniqueness"
    )
    found = json.loads(answers("status", "flowers", "--json"))
    assert found["samples"] == 4
    assert found["state"].startswith("pending: what is published is damaged (embeddings/part-")
    with brain.dataset("flowers", str(damaged.home.root)) as flowers:
        assert len(flowers.table("samples").fetchall()) == 4
        with pytest.raises(duckdb.Error, match="table embeddings is damaged"):
            flowers.table("embeddings").fetchall()
    page = tmp_path / "page.html"
    assert "wrote" in answers("report", "flowers", "-o", str(page))
    assert "Damaged, and empty here until the next run writes them again: embeddings, uniqueness." in page.read_text()
    sets = Sets(damaged.home)
    with sets.use("flowers") as opened:
        assert opened.damaged == {"embeddings", "uniqueness"}
        assert opened.count("images") == 4
    sets.close()
    notes = damaged.run()["published"].notes
    assert "uniqueness.parquet" in notes["damaged, written again"]
    rebuilt = Workshop(tmp_path / "again", tmp_path / "media", "flowers")
    rebuilt.run()
    assert_equals_rebuild(damaged, rebuilt)
    assert json.loads(answers("status", "flowers", "--json"))["state"] == "up to date"
