"""Copies and leaks as a notebook asks for them, from what is published."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from brain_assets.app.api import DatasetReader
from brain_assets.app.duplicates import By
from brain_assets.methods.duplicates.relations import CLOSE
from brain_assets.resources.errors import BrainError, ConfigurationError, MissingError
from brain_assets.resources.store.events import Events
from tests.signals.test_near_duplicates import GROUPS, photo, write_dataset
from tests.workshop import Workshop, encoded

ASSETS = (
    "samples", "media", "ground_truth", "objects", "exact_duplicates", "embeddings", "similarity", "near_duplicates", "leaks",
    "visualization", "reviews", "published",
)  # fmt: skip
COPIES = {"test/copy.png", "test/recompressed.jpg", "test/smaller.png", "train/03.png", "train/05.png", "train/07.png"}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    root = tmp_path_factory.mktemp("duplicates")
    write_dataset(root / "media")
    workshop = Workshop(root / "home", root / "media", split_from="folder", visualization={"method": "pca"})
    workshop.run(ASSETS)
    return workshop


@pytest.fixture
def flowers(workshop: Workshop) -> Iterator[DatasetReader]:
    with DatasetReader(workshop.name, str(workshop.home.root)) as reader:
        yield reader


def paths(flowers: DatasetReader, ids: list[str]) -> set[str]:
    files = dict(flowers.sql("select sample_id, filepath from samples").fetchall())
    return {files[one] for one in ids}


def test_the_default_threshold_gives_the_published_groups(workshop: Workshop, flowers: DatasetReader) -> None:
    found = flowers.find_duplicates()
    assert np.isnan(found.threshold)
    assert paths(flowers, found.duplicate_ids) == {row[1] for row in workshop.rows(GROUPS)}
    assert sorted(found.unique_ids + found.duplicate_ids) == [
        row[0] for row in workshop.rows("select sample_id from samples order by 1")
    ]
    measured = {
        frozenset(row[:2]): row[2] for row in workshop.rows("select subject_id, partner_id, distance from pairs")
    }
    copies = {
        frozenset(row) for row in workshop.rows("select sample_id, group_id from exact_duplicates where not keep")
    }
    for kept, group in found.neighbors_map.items():
        assert [distance for _, distance in group] == sorted(distance for _, distance in group)
        for one, distance in group:
            assert distance == (0.0 if frozenset((one, kept)) in copies else measured[frozenset((one, kept))])


@pytest.mark.parametrize(("keep", "kept"), [(["resolution", "age"], "large.png"), (["age"], "small.png")])
def test_the_same_is_kept_as_by_the_run(tmp_path: Path, keep: list[str], kept: str) -> None:
    (tmp_path / "media").mkdir()
    sizes = {"large.png": (128, 96), "small.png": (64, 48), "copy1.png": (128, 96), "copy2.png": (128, 96)}
    for name, size in sizes.items():
        (tmp_path / "media" / name).write_bytes(encoded(photo(int(name.startswith("copy"))).resize(size)))
    for age, older in enumerate(("copy1.png", "copy2.png")):
        for place, name in enumerate(("large.png", "small.png", older)):
            os.utime(tmp_path / "media" / name, (10**9 - 10 * place - age,) * 2)
        workshop = Workshop(tmp_path / "home", tmp_path / "media", near_duplicates={"keep": keep})
        workshop.run(ASSETS)
        by_run = {row[0] for row in workshop.rows("select sample_id from near_duplicates where keep")}
        with DatasetReader(workshop.name, str(workshop.home.root)) as reader:
            found = reader.find_duplicates()
            assert set(found.unique_ids) == by_run
            assert paths(reader, found.unique_ids) == {kept, older}


def test_views_are_sorted_and_cover_all_samples(flowers: DatasetReader) -> None:
    found = flowers.find_duplicates()
    rows = found.duplicates_view("count", reverse=True).fetchall()
    assert [row[3] for row in rows[:3]] == ["nearest", "duplicate", "duplicate"]
    assert {row[2] for row in rows[:3]} == {"test/recompressed.jpg", "train/03.png", "train/brighter.png"}
    assert [row[0] for row in rows] == list(range(7))
    by_distance = found.duplicates_view().fetchall()
    assert {row[2] for row in by_distance[:2]} == {"test/copy.png", "train/05.png"}
    assert [row[0] for row in found.unique_view().project("sample_id").fetchall()] == found.unique_ids
    assert found.unique_view().columns == flowers.table("samples").columns
    plotted = found.scatter().fetchall()
    kinds = [row[4] for row in plotted]
    assert (len(kinds), kinds.count("nearest"), kinds.count("duplicate")) == (24, 3, 4)
    assert all(row[1:3] == row[6:8] for row in plotted if row[4] != "duplicate")


@pytest.mark.parametrize("by", ["pixels", "embedding"])
def test_a_share_drops_exactly_so_many(flowers: DatasetReader, by: By) -> None:
    for dropped in (0, 1, 2, 3, 4, 24) if by == "pixels" else range(25):
        assert len(flowers.find_duplicates(fraction=dropped / 24, by=by).duplicate_ids) == dropped


def test_a_share_has_a_threshold(flowers: DatasetReader) -> None:
    assert len(flowers.find_duplicates(fraction=1 / 24).duplicate_ids) == 1
    assert flowers.find_duplicates(fraction=1 / 24).threshold == 0.0
    found = flowers.find_duplicates(fraction=3 / 24)
    assert len(found.duplicate_ids) == 3
    assert 0 < found.threshold < CLOSE
    assert flowers.find_duplicates(found.threshold).duplicate_ids == found.duplicate_ids
    assert flowers.find_duplicates(fraction=0.0).duplicate_ids == []
    assert flowers.find_duplicates(fraction=1.0).unique_ids == []
    assert len(flowers.find_duplicates(fraction=0.5, by="embedding").unique_ids) <= 12


@pytest.mark.parametrize(("count", "found"), [(0, 0), (1, 1), (5, 5), (23, 23), (24, 24), (99, 24)])
def test_unique_samples_are_as_many_as_asked_and_apart(flowers: DatasetReader, count: int, found: int) -> None:
    unique = flowers.find_unique(count)
    assert len(unique.unique_ids) == unique.unique_view().count("*").fetchall()[0][0] == found
    if 1 < count < 23:
        vectors = np.array(
            [row[0] for row in flowers.sql("select vector from embeddings").fetchall()], np.float64
        )  # fmt: skip
        ids = [row[0] for row in flowers.sql("select sample_id from embeddings").fetchall()]
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        chosen = vectors[[ids.index(one) for one in unique.unique_ids]]
        assert (1 - chosen @ chosen.T)[np.triu_indices(count, 1)].min() > unique.threshold > 0
    if count == 23:
        assert len(paths(flowers, unique.unique_ids) & {"test/copy.png", "train/05.png"}) == 1


def test_the_histogram_counts_every_nearest_neighbour(flowers: DatasetReader) -> None:
    histogram = flowers.distance_histogram(bins=7)
    assert histogram.counts.sum() == 24
    assert len(histogram.edges) == 8
    assert histogram.svg(0.1).count("<rect") == 7
    assert "<line" not in histogram.svg()
    with pytest.raises(MissingError, match="no neighbours are published of run 'nothing'"):
        flowers.distance_histogram(brain_key="nothing")


def test_leaks_are_those_published_and_those_of_other_splits(workshop: Workshop, flowers: DatasetReader) -> None:
    columns = "sample_id, split, partner_id, partner_split, distance, kind"
    assert flowers.leaks().project(columns).order("all").fetchall() == workshop.rows(
        f"select {columns} from leaks where brain_key = 'leaks' order by all"
    )
    mapped = {"old": ["train/03.png"], "new": ["train/brighter.png", "train/00.png"]}
    told = flowers.leaks(mapped).project("filepath, split, partner_filepath, partner_split").fetchall()
    assert sorted(told) == [
        ("train/03.png", "old", "train/brighter.png", "new"),
        ("train/brighter.png", "new", "train/03.png", "old"),
    ]
    assert flowers.leaks(mapped, threshold=0.0).fetchall() == []
    free = flowers.no_leaks("test").project("filepath").fetchall()
    assert free == []
    assert len(flowers.no_leaks("train").fetchall()) == 21 - 4
    assert flowers.no_leaks("new", mapped).project("filepath").fetchall() == [("train/00.png",)]
    one = flowers.leaks_for_sample("test/recompressed.jpg").project("partner_filepath, distance").fetchall()
    assert {row[0] for row in one} == {"train/03.png", "train/brighter.png"}
    assert [row[1] for row in one] == sorted(row[1] for row in one)
    assert flowers.leaks_for_sample("train/00.png").fetchall() == []


def test_leaks_are_tagged_once_and_tags_are_splits(workshop: Workshop, flowers: DatasetReader) -> None:
    assert flowers.tag_leaks("leaky") == 7
    assert flowers.tag_leaks("leaky") == 0
    ids = {state.subject_id for state in Events(workshop.paths.events).tags() if state.present}
    assert paths(flowers, sorted(ids)) == COPIES | {"train/brighter.png"}
    assert flowers.tag_leaks("marked", {"a": ["train/03.png"], "b": ["train/brighter.png"]}) == 2
    workshop.run(("reviews", "published"))
    assert flowers.sql("select tag, count(*) from tags group by 1 order by 1").fetchall() == [
        ("leaky", 7),
        ("marked", 2),
    ]
    between = flowers.leaks(["leaky", "marked"]).project("filepath, split, partner_filepath").fetchall()
    assert ("train/03.png", "marked", "test/recompressed.jpg") in between
    with pytest.raises(MissingError, match=r"no sample has the tag 'odd' \(tags: leaky, marked; splits: "):
        flowers.leaks(["leaky", "odd"])


@pytest.mark.parametrize(
    ("ask", "error", "words"),
    [
        (lambda one: one.find_duplicates(0.1, fraction=0.2), ConfigurationError, "not both"),
        (lambda one: one.find_duplicates(fraction=1.5), ConfigurationError, "between 0 and 1, not be 1.5"),
        (lambda one: one.find_duplicates(-1), ConfigurationError, "between 0 and 2, not be -1"),
        (lambda one: one.find_duplicates(by="hash"), ConfigurationError, "'pixels' or 'embedding', not 'hash'"),
        (lambda one: one.find_duplicates(by="embedding"), ConfigurationError, "has no default"),
        (lambda one: one.find_duplicates(fraction=0.95), BrainError, "by='embedding'"),
        (lambda one: one.find_duplicates().duplicates_view("size"), ConfigurationError, "'distance' or 'count'"),
        (lambda one: one.find_unique(-1), ConfigurationError, "must not be negative"),
        (lambda one: one.distance_histogram(0), ConfigurationError, "at least 1"),
        (lambda one: one.leaks({"a": ["nobody"], "b": []}), MissingError, "no sample 'nobody'"),
        (lambda one: one.leaks(threshold=float("nan")), ConfigurationError, "between 0 and 2, not be nan"),
        (lambda one: one.leaks("train"), ConfigurationError, "at least two tags"),
        (lambda one: one.no_leaks("nowhere"), MissingError, r"no split 'nowhere' \(splits: test, train\)"),
        (lambda one: one.leaks_for_sample("nobody"), MissingError, "no sample 'nobody'"),
        (lambda one: one.tag_leaks(" "), ConfigurationError, "the tag is empty"),
    ],
)  # fmt: skip
def test_wrong_questions_are_one_line(flowers: DatasetReader, ask, error: type[BrainError], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        ask(flowers)
    assert "\n" not in str(caught.value)
