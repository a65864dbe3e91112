"""Nearest and farthest samples of ids, vectors and texts over what is published."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances

from brain_assets.answers.similar import read_vectors
from brain_assets.app.api import DatasetReader
from brain_assets.app.cli import main
from brain_assets.resources.errors import BrainError, ConfigurationError, MissingError
from tests.models import Pixels
from tests.workshop import Workshop, write_pictures

METRICS = {
    "cosine": "cosine",
    "euclidean": "euclidean",
    "manhattan": "manhattan",
    "l1": "manhattan",
    "linf": "chebyshev",
    "canberra": "canberra",
}


class Speaking(Pixels):
    """Embeds a number as a grey image."""

    version = "speaking-1"

    def embed_text(self, texts: list[str]) -> NDArray[np.float32]:
        return np.array([np.arange(192) % 7 + float(text) for text in texts], np.float32)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    root = tmp_path_factory.mktemp("similar")
    write_pictures(root / "media" / "train", range(20))
    write_pictures(root / "media" / "test", range(100, 110))
    made = Workshop(
        root / "home",
        root / "media",
        split_from="folder",
        runs=[{"brain_key": "speaking", "method": "embeddings", "model": "python:tests.app.test_similar:Speaking"}],
    )
    made.run(("reviews", "samples", "media", "embeddings", "similarity", "published"))
    return made


@pytest.fixture
def reader(workshop: Workshop) -> Iterator[DatasetReader]:
    reader = DatasetReader("test", str(workshop.home.root))
    yield reader
    reader.close()


def published(workshop: Workshop) -> tuple[list[str], NDArray[np.float64]]:
    rows = workshop.rows("select sample_id, vector from embeddings where brain_key = 'embeddings' order by sample_id")
    return [row[0] for row in rows], np.array([row[1] for row in rows], np.float64)


def call(workshop: Workshop, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--home", str(workshop.home.root), "similar", "test", *arguments])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("farthest", [False, True])
def test_answers_equal_scikit_learns(workshop: Workshop, reader: DatasetReader, metric: str, farthest: bool) -> None:
    ids, vectors = published(workshop)
    distances = pairwise_distances(vectors[:1], vectors, metric=METRICS[metric])[0]
    distances[0] = 0
    order = sorted(range(len(ids)), key=lambda row: ((-1 if farthest else 1) * distances[row], ids[row]))[:7]
    rows = reader.similar(ids[0], k=7, metric=metric, farthest=farthest).fetchall()
    assert [row[0] for row in rows] == list(range(1, 8))
    assert [row[1] for row in rows] == [ids[row] for row in order]
    np.testing.assert_allclose([row[4] for row in rows], distances[order], atol=1e-9)


def test_the_sample_itself_is_nearest_at_exactly_zero(workshop: Workshop, reader: DatasetReader) -> None:
    for name in published(workshop)[0]:
        (first,) = reader.similar(name, k=1).fetchall()
        assert first[1] == name
        assert first[4] == 0


def test_a_filepath_names_a_sample(workshop: Workshop, reader: DatasetReader) -> None:
    ((name,),) = workshop.rows("select sample_id from samples where filepath = 'train/00003.png'")
    assert reader.similar("train/00003.png").fetchall() == reader.similar(name).fetchall()


@pytest.mark.parametrize(("aggregate", "combine"), [("post-mean", np.mean), ("post-min", np.min), ("post-max", np.max)])
def test_distances_to_several_combine(workshop: Workshop, reader: DatasetReader, aggregate: str, combine) -> None:
    ids, vectors = published(workshop)
    expected = combine(pairwise_distances(vectors[:3], vectors, metric="cosine"), axis=0)
    rows = reader.similar(ids[:3], k=30, aggregate=aggregate).fetchall()
    assert len(rows) == 30
    np.testing.assert_allclose([row[4] for row in rows], [expected[ids.index(row[1])] for row in rows], atol=1e-9)


def test_the_mean_of_several_is_the_query_by_their_mean(workshop: Workshop, reader: DatasetReader) -> None:
    ids, vectors = published(workshop)
    assert reader.similar(ids[:3]).fetchall() == reader.similar(vectors[:3].mean(axis=0)).fetchall()


def test_where_restricts_the_answers_not_the_query(reader: DatasetReader) -> None:
    rows = reader.similar("train/00003.png", k=50, where="split = 'test'").fetchall()
    assert len(rows) == 10
    assert all(row[3].startswith("test/") for row in rows)
    assert reader.similar("train/00003.png", where="false").fetchall() == []


def test_another_run_answers_from_its_own_vectors_and_takes_text(workshop: Workshop, reader: DatasetReader) -> None:
    vector = Speaking().embed_text(["90"])
    by_vector = reader.similar(vector, brain_key="speaking", metric="euclidean").fetchall()
    assert reader.similar("90", brain_key="speaking", metric="euclidean").fetchall() == by_vector
    assert call(workshop, "--text", "90", "--brain-key", "speaking").exit_code == 0


@pytest.mark.parametrize(
    ("query", "options", "error", "says"),
    [
        (["nobody"], {}, MissingError, "no sample 'nobody'"),
        ("a red car", {}, ConfigurationError, "does not embed text"),
        ([], {}, ConfigurationError, "say what to look for"),
        ("", {}, ConfigurationError, "empty"),
        (np.zeros(3), {}, ConfigurationError, "has 3 numbers, those of 'embeddings' have 192"),
        (np.full(192, np.nan), {}, ConfigurationError, "NaN"),
        (np.ones(192), {"k": 0}, ConfigurationError, "k must be at least 1"),
        (np.ones(192), {"metric": "cosin"}, ConfigurationError, "cosine, euclidean"),
        (np.ones(192), {"aggregate": "median"}, ConfigurationError, "post-mean"),
        (np.ones(192), {"where": "splitt = 1"}, BrainError, "splitt"),
        (np.ones(192), {"brain_key": "clip"}, MissingError, "embeddings, speaking"),
    ],
)
def test_errors_are_one_clear_line(reader: DatasetReader, query, options, error: type, says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        reader.similar(query, **options)
    assert "\n" not in str(caught.value)


def test_the_command_takes_ids_and_files(workshop: Workshop, tmp_path: Path) -> None:
    ids, vectors = published(workshop)
    np.save(tmp_path / "query.npy", vectors[4])
    by_file = call(workshop, "--vector", str(tmp_path / "query.npy"), "-k", "3", "--format", "csv")
    assert by_file.exit_code == 0
    assert len(by_file.output.splitlines()) == 4
    assert by_file.output.splitlines()[1].split(",")[1] == ids[4]
    assert "train/" in call(workshop, "--id", ids[0], "--id", ids[1], "--aggregate", "post-min").output


def test_a_text_is_embedded_in_the_runtime_of_the_vectors(
    workshop: Workshop, reader: DatasetReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = reader.similar("90", brain_key="speaking").fetchall()
    # As on a machine where another runtime would be the first choice.
    original = sys.modules["brain_assets.resources.models.embedding_models"].place
    monkeypatch.setattr(
        "brain_assets.resources.models.embedding_models.place",
        lambda device, runtime, known: original(device, runtime or "other", [*known, "other"]),
    )
    assert reader.similar("90", brain_key="speaking").fetchall() == before


@pytest.mark.parametrize("arguments", [[], ["--id", "a", "--text", "b"]])
def test_the_command_wants_exactly_one_kind_of_query(workshop: Workshop, arguments: list[str]) -> None:
    result = call(workshop, *arguments)
    assert result.exit_code == 2
    assert "one of --id" in result.output


def test_files_that_hold_no_vectors_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.npy").write_text("no")
    with pytest.raises(ConfigurationError, match=r"not a \.npy file"):
        read_vectors(tmp_path / "text.npy")
    with pytest.raises(MissingError, match="does not exist"):
        read_vectors(tmp_path / "absent.npy")
