"""Vectors kept in an index outside: sent at the cost of the change, whatever happened to it meanwhile, and asked first."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from brain_assets.answers.similar import Question, similar
from brain_assets.app.declaring import remove
from brain_assets.resources.errors import BrainError, MissingError
from brain_assets.resources.store.publishing import connect
from tests.vector_indexes.toy import SENT, SERVER, Held
from tests.workshop import Workshop, write_pictures

ASSETS = ("samples", "media", "embeddings", "similarity", "vector_indexes", "published")
TOY = "tests.vector_indexes.toy:Toy"
Similarity = dict[str, object]


@pytest.fixture(autouse=True)
def server() -> Iterator[None]:
    SERVER.clear()
    SENT.clear()
    yield
    SERVER.clear()


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    write_pictures(tmp_path / "media", range(30))
    one = Workshop(tmp_path / "home", tmp_path / "media")
    declare(one, backend=TOY)
    return one


def declare(workshop: Workshop, runs: tuple[dict[str, object], ...] = (), **settings: object) -> None:
    media = str(workshop.home.root.parent / "media")
    workshop.declare(
        media=media, embeddings={"model": "python:tests.models:Pixels"}, similarity=settings, runs=list(runs)
    )


def go(workshop: Workshop, error: str = "") -> int:
    """Run, compare the index with the published vectors, and return how many vectors were sent."""
    SENT.clear()
    report = workshop.run(ASSETS)["vector_indexes"]
    failed = "".join(report.failed.values())
    if error:
        assert error in failed
    else:
        assert failed == ""
    if not error:
        assert workshop.wrong(ASSETS) == {}
        held, vectors = next(iter(SERVER.values())).vectors, published(workshop)
        assert held.keys() == vectors.keys()
        for subject, vector in vectors.items():
            np.testing.assert_allclose(held[subject], vector / np.linalg.norm(vector), rtol=1e-5, atol=1e-6)
        assert workshop.rows("select vectors, recall from vector_indexes") == [(len(vectors), 1.0)]
    return len(SENT)


def published(workshop: Workshop) -> dict[str, np.ndarray]:
    return {subject: np.array(vector) for subject, vector in workshop.rows("select sample_id, vector from embeddings")}


def collection() -> Held:
    return next(iter(SERVER.values()))


def test_what_is_sent_is_what_changed(workshop: Workshop, tmp_path: Path) -> None:
    media = tmp_path / "media"
    assert go(workshop) == 30
    assert go(workshop) == 0
    write_pictures(media, range(30, 33))
    (media / "00001.png").unlink()
    shutil.copy(media / "00002.png", media / "00003.png")
    assert go(workshop) == 4
    declare(workshop, backend=TOY, metric="dotproduct")
    SENT.clear()
    workshop.run(ASSETS)
    assert len(SENT) == 32


def restamped(number: str) -> str:
    """Return the stamp of the collection with another number of its writing."""
    owner, _, written = collection().stamp.rpartition(" ")
    assert written == "1"
    return f"{owner} {number}"


@pytest.mark.parametrize(
    "what", ["wiped", "killed while writing", "killed before the end", "a row lost", "a row added"]
)
def test_an_index_that_is_not_as_it_was_left_is_mended(workshop: Workshop, what: str) -> None:
    go(workshop)
    some = next(iter(collection().vectors))
    if what == "wiped":
        SERVER.clear()
    elif what == "killed while writing":
        collection().stamp = restamped("2 writing")
        collection().vectors[some] = np.ones(3)
        collection().vectors["stray"] = np.ones(3)
    elif what == "killed before the end":
        collection().stamp = restamped("2")
    elif what == "a row lost":
        del collection().vectors[some]
    else:
        collection().vectors["stray"] = np.ones(3)
    assert go(workshop) == 30
    assert go(workshop) == 0


def test_a_collection_that_is_not_ours_is_left_alone(workshop: Workshop) -> None:
    declare(workshop, backend=TOY, other={"collection": "theirs"})
    SERVER["theirs"] = Held("", {"x": np.ones(3)})
    assert go(workshop, "'theirs' belongs to somebody else, and stays as it is: name another one") == 0
    SERVER["theirs"].stamp = "brain_assets another 1 1"
    assert go(workshop, "belongs to another dataset") == 0
    assert list(SERVER["theirs"].vectors) == ["x"]
    assert workshop.rows("select count(*) from neighbors") != [(0,)]


def test_a_server_that_is_down_stops_nothing_else_and_is_caught_up_with(workshop: Workshop, tmp_path: Path) -> None:
    go(workshop)
    write_pictures(tmp_path / "media", range(30, 33))
    SERVER[None] = Held("")  # type: ignore[index]
    go(workshop, "does not answer: ConnectionError: nobody is there")
    assert len(published(workshop)) == 33
    del SERVER[None]  # type: ignore[arg-type]
    assert go(workshop) == 3


def test_what_is_no_longer_declared_is_dropped(workshop: Workshop) -> None:
    run = {"brain_key": "other", "method": "similarity", "parameters": {"k": 5}}
    declare(workshop, (run,), backend=TOY)
    workshop.run(ASSETS)
    assert len(SERVER) == 2
    declare(workshop, backend=TOY)
    workshop.run(ASSETS)
    assert len(SERVER) == 1
    declare(workshop, backend=TOY, other={"collection": "elsewhere"})
    workshop.run(ASSETS)
    assert list(SERVER) == ["elsewhere"]
    remove(workshop.home, workshop.name)
    assert not SERVER


def test_answers_by_an_index_are_those_by_all_vectors(workshop: Workshop, caplog: pytest.LogCaptureFixture) -> None:
    go(workshop)
    subject = next(iter(published(workshop)))

    def answers(**options: object) -> list[dict[str, object]]:
        with connect(workshop.paths.published) as connection:
            return similar(workshop.home, workshop.name, connection, Question(**options)).to_pylist()

    for options in ({}, {"k": 3}, {"k": 100}, {"where": "filepath > '00025'"}, {"farthest": True, "k": 4}):
        given = {"ids": [subject], **options}
        assert answers(**given) == answers(**given, index="exact")
    picture = workshop.home.root.parent / "media" / "00004.png"
    by_file, by_bytes = answers(image=picture, k=3), answers(image=picture.read_bytes(), k=3)
    assert by_file == by_bytes
    assert (by_file[0]["filepath"], round(by_file[0]["distance"], 6)) == ("00004.png", 0)
    with pytest.raises(MissingError, match=r"no index 'x' holds vectors .* \(indexes: neighbors_index \(cosine\)"):
        answers(ids=[subject], index="x")
    with pytest.raises(BrainError, match="is no file"):
        answers(image=Path("/nowhere.png"))
    expected = answers(ids=[subject])
    SERVER[None] = Held("")  # type: ignore[index]
    assert answers(ids=[subject]) == expected
    assert "compared with every vector, as an index is out of reach" in caplog.text
