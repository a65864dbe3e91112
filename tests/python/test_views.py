"""Views: some samples of a dataset, in an order, of which everything can be asked."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import brain_assets as brain
from brain_assets.app.api import DatasetReader
from brain_assets.resources.errors import BrainError
from tests.workshop import Workshop, write_pictures


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatasetReader]:
    root = tmp_path_factory.mktemp("views")
    for split, classes in (("train", ("cat", "dog")), ("test", ("cat",))):
        for number, name in enumerate(classes):
            write_pictures(
                root / "media" / split / name, range(10 * len(split) + 5 * number, 10 * len(split) + 5 * number + 4)
            )
    labels = [{"uri": "folder"}]
    workshop = Workshop(root / "home", root / "media", "flowers", split_from="folder", labels=labels)
    workshop.run()
    with brain.dataset("flowers", home=str(workshop.home.root)) as reader:
        yield reader


def test_a_view_narrows_whatever_is_asked(pictures: DatasetReader) -> None:
    view = pictures.where("split = 'train'").where("label = 'cat'")
    assert len(view) == 4
    assert {row["filepath"].rsplit("/", 1)[0] for row in view} == {"train/cat"}
    for table in ("samples", "embeddings", "uniqueness", "ground_truth", "visualization"):
        assert view.sql(f"select count(distinct sample_id) from {table}").fetchall() == [(4,)]
    assert {row[0] for row in view.similar(view.ids[0], k=9).project("sample_id").fetchall()} == set(view.ids)
    assert view.dataset.sql("select count(*) from samples").fetchall() == [(12,)]
    assert view.df().shape[0] == view.arrow().num_rows == 4
    assert set(view.find_duplicates(fraction=0.5, by="embedding").unique_ids) < set(view.ids)


def test_views_are_cut_ordered_and_chosen(pictures: DatasetReader) -> None:
    ordered = pictures.sort_by("uniqueness", reverse=True)
    scores = ordered.values("uniqueness")
    assert scores == sorted(scores, reverse=True)
    assert ordered.skip(2).limit(3).ids == ordered.ids[2:5]
    assert ordered.first() == next(iter(ordered))
    assert pictures.where("false").first() is None
    taken = pictures.take(5)
    assert len(taken) == 5
    assert taken.ids == pictures.take(5).ids
    assert set(taken.ids) != set(pictures.take(5, seed=1).ids)
    chosen = pictures.select(["train/cat/00050.png", taken.ids[0]], ordered=True)
    assert chosen.ids[1] == taken.ids[0]
    assert set(pictures.exclude(taken.ids).ids) == set(ordered.ids) - set(taken.ids)
    assert set(pictures.exclude(["train/cat/00050.png", "{rows}"]).values("filepath")) == set(
        ordered.values("filepath")
    ) - {"train/cat/00050.png"}
    assert pictures.select(["{rows}", "it's", *chosen.ids, "train/cat/00050.png"], ordered=True).ids == chosen.ids


def test_tags_of_people_count_as_well(pictures: DatasetReader) -> None:
    assert len(pictures.match_tags("nobody's")) == 0
    assert len(pictures.match_tags(["a", "b"], bool=False)) == 12


def test_an_answer_outlives_whom_was_asked(pictures: DatasetReader) -> None:
    def again() -> DatasetReader:
        return brain.dataset("flowers", home=str(pictures.home.root))

    assert len(again().table("samples").order("filepath").limit(3).fetchall()) == 3
    assert again().where("split = 'test'").sql("select count(*) from samples").fetchall() == [(4,)]
    assert again().where("true").find_duplicates(fraction=0.5, by="embedding").duplicates_view().fetchall()
    assert again().at("current").table("samples").project("sample_id").fetchall()
    assert again().runs().fetchall()
    assert again().run_history("uniqueness").fetchall()
    gc.collect()
    files = len(os.listdir("/dev/fd"))
    held = again()
    relation = held.table("samples")
    assert len(os.listdir("/dev/fd")) > files
    held.close()
    with pytest.raises(duckdb.ConnectionException):
        relation.fetchall()
    assert len(os.listdir("/dev/fd")) == files
    del relation, held
    view = again().where("true")
    assert len(view) == 12
    del view
    gc.collect()
    assert len(os.listdir("/dev/fd")) == files


def test_what_a_declared_run_can_ask_of_a_view(pictures: DatasetReader) -> None:
    assert pictures.where("split = 'train'").where("width > 3").run_condition == "(split = 'train') and (width > 3)"
    assert pictures.where("uniqueness > 2 or split = 'test'").run_condition.startswith("sample_id in (")
    assert pictures.where("split = 'train'").take(2).where("width > 3").run_condition.count("'") == 4


def test_wrong_sql_is_one_line(pictures: DatasetReader) -> None:
    with pytest.raises(BrainError, match="SQL: ") as raised:
        len(pictures.where("no_such_column = 1"))
    assert "\n" not in str(raised.value)


@settings(max_examples=12)
@given(st.lists(st.sampled_from(["train", "take", "skip", "sort", "dogs"]), min_size=2, max_size=4))
def test_stages_do_what_lists_do(pictures: DatasetReader, stages: list[str]) -> None:
    view = pictures.where("true")
    rows = [(row["sample_id"], row["split"], row["label"]) for row in view]
    for stage in stages:
        if stage == "take":
            view, rows = view.limit(3), rows[:3]
        elif stage == "skip":
            view, rows = view.skip(1), rows[1:]
        elif stage == "sort":
            view, rows = view.sort_by("sample_id", reverse=True), sorted(rows, reverse=True)
        elif stage == "train":
            view, rows = view.where("split = 'train'"), [row for row in rows if row[1] == "train"]
        else:
            view, rows = view.where("label = 'dog'"), [row for row in rows if row[2] == "dog"]
    assert view.ids == [row[0] for row in rows]
    view.close()


def test_a_view_is_exported(pictures: DatasetReader, tmp_path: Path) -> None:
    exported = pictures.where("split = 'test'").export(tmp_path / "out", "folders")
    assert exported.images == 4
    assert not (tmp_path / "out" / "train").exists()


def test_notebooks_show_pictures(pictures: DatasetReader) -> None:
    for shown in (pictures, pictures.where("label = 'dog'")):
        assert "data:image" in shown._repr_html_()
    assert repr(pictures) == "<dataset flowers: 12 samples>"
    assert repr(pictures.limit(2)) == "<view of flowers: 2 samples>"
