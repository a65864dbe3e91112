"""Vectors that the user gives: matched by path or id, kept current as the file or the samples change."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from brain_assets.incremental.update import Report
from brain_assets.resources.errors import BrainError
from brain_assets.resources.media.media_source import sample_id
from tests.workshop import Workshop, assert_equals_rebuild, encoded, picture, write_pictures

ASSETS = ("samples", "media", "embeddings", "similarity", "published")
Rows = Mapping[str, Sequence[float]]


@pytest.fixture
def media(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "media", range(5))
    return tmp_path / "media"


@pytest.fixture
def workshop(tmp_path: Path, media: Path) -> Workshop:
    return make(tmp_path, media, "home")


def make(tmp_path: Path, media: Path, home: str) -> Workshop:
    return Workshop(tmp_path / home, media, embeddings={"model": f"precomputed:{tmp_path / 'vectors.csv'}"})


def give(tmp_path: Path, rows: Rows, key: str = "filepath") -> None:
    lines = [f'"{name}","{json.dumps(list(vector))}"' for name, vector in rows.items()]
    (tmp_path / "vectors.csv").write_text("\n".join([f"{key},vector", *lines]) + "\n")


def some(*numbers: int) -> dict[str, list[float]]:
    """Return a vector for the pictures of these numbers."""
    return {f"{number:05}.png": [1.0, float(number), float(number % 3)] for number in numbers}


def vectors(workshop: Workshop) -> dict[str, list[float]]:
    return dict(workshop.rows("select filepath, vector from embeddings join samples using (sample_id) order by 1"))


def go(workshop: Workshop) -> dict[str, Report]:
    reports = workshop.run(ASSETS)
    assert workshop.wrong(ASSETS) == {}
    return reports


def test_paths_in_the_media_folder_absolute_paths_and_ids_name_samples(tmp_path: Path, media: Path) -> None:
    given = list(some(0, 1, 2, 3, 4).items())
    for number, name in enumerate(
        (lambda path: path, lambda path: f"./{path}", lambda path: str(media / path), sample_id)
    ):
        give(tmp_path, {name(path): vector for path, vector in given}, "sample_id" if name is sample_id else "filepath")
        workshop = make(tmp_path, media, f"home{number}")
        notes = go(workshop)["embeddings"].notes
        assert vectors(workshop) == dict(given)
        assert (notes["given"], notes["waiting"], notes["without_vector"]) == (5, 0, 0)


def test_rows_wait_for_their_samples_and_samples_for_their_rows(
    tmp_path: Path, media: Path, workshop: Workshop
) -> None:
    give(tmp_path, some(0, 1, 8, 9))
    notes = go(workshop)["embeddings"].notes
    assert (notes["given"], notes["waiting"], notes["without_vector"]) == (4, 2, 3)
    assert vectors(workshop) == some(0, 1)
    write_pictures(media, [8])
    assert go(workshop)["embeddings"].notes["waiting"] == 1
    assert vectors(workshop) == some(0, 1, 8)
    give(tmp_path, some(0, 1, 2, 3, 4, 8))
    notes = go(workshop)["embeddings"].notes
    assert (notes["embedded"], notes["waiting"], notes["without_vector"]) == (3, 0, 0)
    assert vectors(workshop) == some(0, 1, 2, 3, 4, 8)


def test_an_edited_file_costs_its_edits_and_nothing_new_costs_nothing(tmp_path: Path, workshop: Workshop) -> None:
    give(tmp_path, some(0, 1, 2, 3, 4))
    go(workshop)
    assert go(workshop)["embeddings"].up_to_date
    give(tmp_path, some(0, 1, 2, 3, 4) | {"00002.png": [5, 5, 5]})
    reports = go(workshop)
    assert reports["embeddings"].notes["embedded"] == 1
    assert reports["embeddings"].counts.changed == 1
    assert reports["similarity"].notes["searched"] == 1
    assert vectors(workshop)["00002.png"] == [5, 5, 5]
    give(tmp_path, some(0, 1))
    # With three rows go four vectors, one of them replaced before, as most are unused now.
    assert go(workshop)["embeddings"].counts.deleted == 3 + 4
    assert vectors(workshop) == some(0, 1)


def test_any_sequence_of_changes_equals_a_rebuild(tmp_path: Path, media: Path, workshop: Workshop) -> None:
    chance = np.random.default_rng(3)
    for step in range(4):
        numbers = chance.choice(9, 5, replace=False).tolist()
        give(tmp_path, {name: [*vector[:2], float(step // 2)] for name, vector in some(*numbers).items()})
        write_pictures(media, chance.choice(9, 2).tolist())
        (media / f"{chance.integers(9):05}.png").unlink(missing_ok=True)
        (media / f"{chance.integers(9):05}.png").write_bytes(encoded(picture(int(chance.integers(3)))))
        go(workshop)
    rebuild = make(tmp_path, media, "rebuild")
    go(rebuild)
    assert_equals_rebuild(workshop, rebuild)


def test_copies_may_have_vectors_of_their_own(tmp_path: Path, media: Path, workshop: Workshop) -> None:
    (media / "00001.png").write_bytes((media / "00000.png").read_bytes())
    give(tmp_path, some(0, 1))
    go(workshop)
    assert vectors(workshop) == some(0, 1)
    assert workshop.rows("select distance > 0 from neighbors") == [(True,), (True,)]


def test_another_length_replaces_all_vectors(tmp_path: Path, workshop: Workshop) -> None:
    give(tmp_path, some(0, 1, 2))
    go(workshop)
    give(tmp_path, {name: [*vector, 1.0] for name, vector in some(0, 1, 2).items()})
    go(workshop)
    assert {len(vector) for vector in vectors(workshop).values()} == {4}


def test_nan_is_kept_as_an_error_and_the_rest_goes_on(tmp_path: Path, workshop: Workshop) -> None:
    give(tmp_path, some(0, 1, 2) | {"00003.png": [float("nan"), 1, 2]})
    workshop.run(ASSETS)
    assert vectors(workshop) == some(0, 1, 2)
    assert workshop.wrong(ASSETS) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('filepath,vector\na.png,"[1, 2]"\nb.png,"[1, 2, 3]"\n', "vectors differ in length: 2 to 3"),
        ('path,vector\na.png,"[1]"\n', "lacks 'filepath'"),
        ('filepath,vector\na.png,"[1]"\na.png,"[2]"\n', "a.png"),
        ("", "cannot be read"),
    ],
)
def test_a_file_that_makes_no_sense_is_one_line_and_costs_nothing(
    tmp_path: Path, workshop: Workshop, text: str, words: str
) -> None:
    give(tmp_path, some(0, 1))
    go(workshop)
    (tmp_path / "vectors.csv").write_text(text)
    with pytest.raises(BrainError, match=words) as caught:
        workshop.run(ASSETS)
    assert "\n" not in str(caught.value)
    assert vectors(workshop) == some(0, 1)
    give(tmp_path, some(0, 1, 2))
    go(workshop)
    assert vectors(workshop) == some(0, 1, 2)


def test_a_missing_file_is_one_line(tmp_path: Path, workshop: Workshop) -> None:
    with pytest.raises(BrainError, match=r"vectors.csv does not exist"):
        workshop.run(ASSETS)
