"""A run costs what the change since the last one is, whatever the size of the dataset."""

from pathlib import Path

from tests import models
from tests.workshop import Workshop, write_pictures

NEIGHBORS = ("samples", "media", "embeddings", "similarity", "uniqueness", "published")


def test_a_run_with_nothing_new_does_nothing(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(30))
    workshop = Workshop(tmp_path / "home", tmp_path / "media")
    workshop.run()
    before = workshop.rows("select max(number) from (select count(*) as number from runs)")
    models.EMBEDDED.clear()
    reports = workshop.run()
    assert models.EMBEDDED == []
    assert {name: report.counts.total for name, report in reports.items() if report.counts.total} == {}
    assert reports["samples"].notes.get("read", 0) == 0
    assert reports["published"].notes["written"] == ""
    assert workshop.rows("select max(number) from (select count(*) as number from runs)") == before


def test_additions_cost_what_they_are(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(80))
    workshop = Workshop(tmp_path / "home", tmp_path / "media", select=NEIGHBORS, similarity={"k": 5})
    workshop.run()
    models.EMBEDDED.clear()
    write_pictures(tmp_path / "media", range(1000, 1010))
    reports = workshop.run()
    assert sum(models.EMBEDDED) == 10
    assert reports["samples"].notes["read"] == 10
    assert reports["media"].notes["decoded"] == 10
    assert reports["similarity"].notes["searched"] == 10
    assert workshop.rows("select count(*) from uniqueness") == [(90,)]


def test_issues_are_gathered_again_only_of_signals_that_changed(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(4))
    select = ("samples", "media", "objects", "box_faults", "image_quality", "exact_duplicates", "issues", "published")
    workshop = Workshop(tmp_path / "home", tmp_path / "media", select=select)
    workshop.run()
    (tmp_path / "media" / "broken.png").write_bytes(b"no picture")
    gathered = workshop.run()["issues"].notes["gathered again"].split(", ")
    assert "unreadable" in gathered
    assert not {"exact_duplicate", "dark", "box_out_of_image"} & {*gathered}
    assert dict(workshop.rows("select issue, count(*) from issues group by issue"))["unreadable"] == 1


def test_a_deletion_searches_only_lists_that_are_too_short(tmp_path: Path) -> None:
    paths = write_pictures(tmp_path / "media", range(60))
    workshop = Workshop(tmp_path / "home", tmp_path / "media", select=NEIGHBORS, similarity={"k": 3})
    workshop.run()
    for path in paths[:5]:
        path.unlink()
    reports = workshop.run()
    assert reports["similarity"].notes["searched"] == 0
    assert reports["media"].notes["decoded"] == 0


def test_a_moved_file_is_read_but_not_decoded(tmp_path: Path) -> None:
    paths = write_pictures(tmp_path / "media", range(5))
    workshop = Workshop(tmp_path / "home", tmp_path / "media", select=("samples", "media", "embeddings", "published"))
    workshop.run()
    models.EMBEDDED.clear()
    paths[0].rename(tmp_path / "media" / "moved.png")
    reports = workshop.run()
    assert reports["samples"].notes["read"] == 1
    assert reports["media"].notes["decoded"] == 0
    assert models.EMBEDDED == []
    assert workshop.rows("select filepath from samples where filepath = 'moved.png'") == [("moved.png",)]


def test_another_model_embeds_again_and_leaves_nothing_of_the_old(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(8))
    workshop = Workshop(tmp_path / "home", tmp_path / "media")
    workshop.run()
    old = workshop.rows("select distinct model from embeddings")
    workshop.declare(media=str(tmp_path / "media"), embeddings={"model": "python:tests.models:Silent"})
    workshop.run()
    assert len(old) == 1
    assert workshop.rows("select distinct model from embeddings") != old
    assert workshop.wrong() == {}
