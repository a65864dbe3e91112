"""Selections as declared runs that stay current, and as a question about what is published."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from brain_assets.app.cli import main
from brain_assets.incremental.vectors import unit_rows
from brain_assets.methods.similarity.selections import k_center
from brain_assets.resources.errors import ConfigurationError
from tests.workshop import Workshop, write_pictures

CHAIN = ("samples", "media", "embeddings", "similarity", "uniqueness", "selections", "published")
METHODS = ("unique", "k-center", "facility-location")


def declared(**further: Any) -> list[dict[str, Any]]:
    return [
        {
            "brain_key": method.replace("-", "_"),
            "method": "selections",
            "parameters": {"method": method, "count": 6},
            **further,
        }
        for method in METHODS
    ]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    root = tmp_path_factory.mktemp("selections")
    write_pictures(root / "media" / "train", range(16))
    write_pictures(root / "media" / "test", range(100, 106))
    restricted = {"method": "k-center", "count": 30, "labeled": "filepath in ('train/00001.png', 'test/00100.png')"}
    train = {"brain_key": "train", "method": "selections", "where": "split = 'train'", "parameters": restricted}
    made = Workshop(
        root / "home", root / "media", select=CHAIN, split_from="folder", similarity={"k": 5}, runs=[*declared(), train]
    )
    made.run()
    return made


def call(workshop: Workshop, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--home", str(workshop.home.root), "select", "test", *arguments])


def chosen(workshop: Workshop, key: str) -> list[tuple]:
    return workshop.rows(f"select rank, sample_id, gain from selections where brain_key = '{key}' order by rank")


@pytest.mark.parametrize("method", METHODS)
def test_the_command_and_the_declared_run_choose_the_same(workshop: Workshop, method: str, tmp_path: Path) -> None:
    rows = chosen(workshop, method.replace("-", "_"))
    assert [row[0] for row in rows] == list(range(1, 7))
    output = tmp_path / "chosen.parquet"
    result = call(workshop, "--method", method, "-k", "6", "--format", "parquet", "--output", str(output))
    assert result.exit_code == 0
    assert workshop.rows(f"select rank, sample_id, gain from '{output}' order by rank") == rows


def test_unique_takes_the_highest_uniqueness(workshop: Workshop) -> None:
    best = workshop.rows("select sample_id, raw from uniqueness order by raw desc, sample_id limit 6")
    rows = chosen(workshop, "unique")
    assert [row[1] for row in rows] == [row[0] for row in best]
    np.testing.assert_allclose([row[2] for row in rows], [row[1] for row in best], rtol=1e-6)


def test_k_center_is_the_methods_on_unit_vectors(workshop: Workshop) -> None:
    rows = workshop.rows("select sample_id, vector from embeddings order by sample_id")
    expected = k_center(unit_rows(np.array([row[1] for row in rows], np.float32)), 6)
    found = chosen(workshop, "k_center")
    assert [row[1] for row in found] == [rows[position][0] for position in expected.position]
    np.testing.assert_allclose([row[2] for row in found], expected.gain)


def test_facility_location_gains_fall_and_serve_copies_once(workshop: Workshop) -> None:
    gains = [row[2] for row in chosen(workshop, "facility_location")]
    assert gains == sorted(gains, reverse=True)
    assert gains[0] > 1


def test_candidates_meet_where_and_what_is_labelled_counts_as_chosen(workshop: Workshop) -> None:
    rows = workshop.rows(
        "select filepath, gain from selections join samples using (sample_id) where brain_key = 'train'"
    )
    names = {row[0] for row in rows}
    assert len(rows) == 15
    assert all(name.startswith("train/") for name in names)
    assert "train/00001.png" not in names
    assert all(np.isfinite(row[1]) for row in rows)


def test_a_selection_follows_the_dataset_and_goes_with_its_declaration(tmp_path: Path) -> None:
    paths = write_pictures(tmp_path / "media", range(9))
    workshop = Workshop(tmp_path / "home", tmp_path / "media", select=CHAIN, runs=declared())
    workshop.run()
    ((first,),) = workshop.rows(
        "select filepath from selections join samples using (sample_id) where brain_key = 'unique' and rank = 1"
    )
    next(path for path in paths if path.name == first).unlink()
    workshop.run()
    assert workshop.rows("select count(*) from selections") == [(18,)]
    assert workshop.rows("select count(*) from selections anti join samples using (sample_id)") == [(0,)]
    assert workshop.run()["selections"].up_to_date
    workshop.declare(media=str(tmp_path / "media"), embeddings={"model": "python:tests.models:Pixels"})
    workshop.run()
    assert workshop.rows("select count(*) from selections") == [(0,)]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_tiny_datasets_give_what_there_is(tmp_path: Path, count: int) -> None:
    write_pictures(tmp_path / "media", range(count))
    (tmp_path / "media").mkdir(exist_ok=True)
    workshop = Workshop(tmp_path / "home", tmp_path / "media", select=CHAIN, runs=declared())
    workshop.run()
    assert workshop.rows("select count(*) from selections") == [(3 * count,)]


def test_wrong_conditions_and_parameters_are_one_line(workshop: Workshop, tmp_path: Path) -> None:
    result = call(workshop, "--where", "splitt = 1")
    assert result.exit_code == 1
    assert "splitt" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert call(workshop, "-k", "0").exit_code == 2
    write_pictures(tmp_path / "media", range(2))
    wrong = {"brain_key": "wrong", "method": "selections", "parameters": {"count": 0}}
    with pytest.raises(ConfigurationError, match=r"run wrong: parameter count"):
        Workshop(tmp_path / "home", tmp_path / "media", select=CHAIN, runs=[wrong]).run()
