"""Outliers alone and in groups, measured against frozen references, current at the cost of the change."""

import shutil
from pathlib import Path

import numpy as np

from tests.workshop import TINY, Workshop, assert_equals_rebuild, give_calibrations, write_pictures

ASSETS = ("samples", "media", "embeddings", "similarity", "outliers", "published")
FOUND = "select filepath from outliers join samples using (sample_id) where is_outlier order by 1"
CUT = "select value from calibrations where issue = 'outlier'"


def vectors_of(kinds: list[int]) -> np.ndarray:
    """Return a vector near the axis of its kind for each."""
    chance = np.random.default_rng(0)
    return np.eye(16)[kinds] + 0.2 * chance.normal(size=(len(kinds), 16))


def make(root: Path, home: str = "home") -> Workshop:
    declared = {"model": f"precomputed:{root / 'vectors.npz'}"}
    return Workshop(root / home, root / "media", embeddings=declared, similarity={"k": 3})


def arrive(root: Path, kinds: list[int]) -> list[str]:
    """Write a picture and a vector for each, and return their names."""
    write_pictures(root / "media", range(len(kinds)))
    names = [f"{number:05}.png" for number in range(len(kinds))]
    np.savez(root / "vectors.npz", filepath=np.array(names), vectors=vectors_of(kinds))
    return names


def assert_current(workshop: Workshop, root: Path) -> None:
    rebuild = make(root, "rebuild")
    give_calibrations(workshop, rebuild)
    rebuild.run(ASSETS)
    assert_equals_rebuild(workshop, rebuild)
    assert workshop.wrong(ASSETS) == {}
    rebuild.remove()


def test_a_group_is_found_that_comes_late_and_becomes_a_part_of_the_body_as_it_grows(tmp_path: Path) -> None:
    body, group = [0] * 24, [1] * 4
    arrive(tmp_path, body)
    workshop = make(tmp_path)
    workshop.run(ASSETS)
    cut = workshop.rows(CUT)
    assert workshop.rows(FOUND) == []

    names = arrive(tmp_path, body + group)
    done = workshop.run(ASSETS)["outliers"]
    assert done.notes["judged"] == len(group)
    assert workshop.rows(CUT) == cut
    assert [name for (name,) in workshop.rows(FOUND)] == names[24:]
    assert_current(workshop, tmp_path)
    assert workshop.run(ASSETS)["outliers"].up_to_date

    arrive(tmp_path, body + 5 * group)
    workshop.run(ASSETS)
    assert workshop.rows(FOUND) == []
    assert_current(workshop, tmp_path)


def test_too_few_pictures_have_no_cut(tmp_path: Path) -> None:
    arrive(tmp_path, [0] * 6 + [1])
    workshop = make(tmp_path)
    workshop.run(ASSETS)
    assert workshop.rows("select count(*), count(raw), count(cut) from outliers") == [(7, 0, 0)]
    arrive(tmp_path, [0] * 6 + [1] + [0] * 4)
    workshop.run(ASSETS)
    assert workshop.rows(FOUND) == [("00006.png",)]
    assert_current(workshop, tmp_path)


def test_copies_of_a_few_contents_have_no_cut(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(3))
    for number in range(12):
        shutil.copy(tmp_path / "media" / f"{number % 3:05}.png", tmp_path / "media" / f"copy-{number}.png")
    workshop = Workshop(tmp_path / "home", tmp_path / "media")
    workshop.run(ASSETS)
    assert workshop.rows("select count(*), count(cut) from outliers") == [(15, 0)]


def test_a_percentile_decides_where_one_is_given(tmp_path: Path) -> None:
    steps = ("samples", "media", "embeddings", "similarity", "outliers", "issues", "published")
    flagged = "select brain_key, count_if(is_outlier) from outliers group by 1 order by 1"
    write_pictures(tmp_path / "media", range(30))
    workshop = Workshop(tmp_path / "home", tmp_path / "media")
    workshop.run(steps)
    (usual,) = workshop.rows(flagged)
    run = {"brain_key": "many", "method": "outliers", "parameters": {"percentile": 50}}
    declared = {"media": str(tmp_path / "media"), "embeddings": {"model": TINY}}
    workshop.declare(**declared, outliers={"percentile": 10}, runs=[run])
    workshop.run(steps)
    assert workshop.rows(flagged) == [("many", 15), ("outliers", 3)]
    assert all(report.up_to_date for name, report in workshop.run(steps).items() if name == "outliers")
    workshop.declare(**declared)
    workshop.run(steps)
    assert workshop.rows(flagged) == [usual]
