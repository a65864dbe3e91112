"""Datasets at the edge, and a world that fails: one clear line each, nothing lost, and the next run goes on."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from brain_assets.ingest import previews as previews_module
from brain_assets.ingest import samples as samples_module
from brain_assets.resources.errors import BrainError, ConfigurationError, MissingError, SourceError, StoreError
from tests import models
from tests.workshop import Workshop, assert_equals_rebuild, encoded, picture, write_pictures

# What most of these tests are about; the odd datasets go through all assets.
SPINE = ("samples", "media", "exact_duplicates", "embeddings", "published")
READ = ("samples", "media", "published")
ODD: dict[str, Callable[[Path], object]] = {
    "empty": lambda media: media.mkdir(),
    "one": lambda media: write_pictures(media, [1]),
    "two": lambda media: write_pictures(media, range(2)),
    "two copies": lambda media: _copies(media, 2),
    "three": lambda media: write_pictures(media, range(3)),
    "fewer than k": lambda media: write_pictures(media, range(12)),
    "all identical": lambda media: _copies(media, 30),
    "all broken": lambda media: _broken(media, 8),
    "one sound among broken": lambda media: (_broken(media, 8), write_pictures(media, [1])),
    "black, white and zero-sized": lambda media: _plain(media),
}
# As odd as another: fewer sound ones beside nothing, and copies alone.
ALIKE = {"one", "two copies", "three", "all broken"}


def _copies(media: Path, count: int) -> None:
    media.mkdir()
    for number in range(count):
        (media / f"{number}.png").write_bytes(encoded(picture(1)))


def _broken(media: Path, count: int) -> None:
    media.mkdir()
    for number in range(count):
        (media / f"broken{number}.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes([number]))


def _plain(media: Path) -> None:
    media.mkdir()
    for shade in (0, 255):
        (media / f"{shade}.png").write_bytes(encoded(Image.new("RGB", (20, 16), (shade,) * 3)))
    (media / "pixel.png").write_bytes(encoded(Image.new("L", (1, 1))))
    (media / "empty.png").touch()


@pytest.fixture
def media(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "media", range(6))
    return tmp_path / "media"


@pytest.fixture
def workshop(tmp_path: Path, media: Path) -> Workshop:
    return Workshop(tmp_path / "home", media)


def fails(workshop: Workshop, kind: type[BrainError], words: str) -> None:
    """Check that a run ends with one clear line."""
    with pytest.raises(kind, match=words) as caught:
        workshop.run(SPINE)
    assert "\n" not in str(caught.value)


def count(workshop: Workshop, table: str = "samples") -> int:
    return int(workshop.rows(f"select count(*) from {table}")[0][0])


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in ALIKE)) for name in ODD])
def test_every_asset_has_rows_for_an_odd_dataset(tmp_path: Path, name: str) -> None:
    ODD[name](tmp_path / "media")
    workshop = Workshop(tmp_path / "home", tmp_path / "media")
    workshop.run()
    sound = workshop.rows("select count(*) from samples where status = 'ok'")[0][0]
    assert count(workshop) == len(os.listdir(tmp_path / "media"))
    assert count(workshop, "embeddings") == count(workshop, "uniqueness") == sound
    assert count(workshop, "neighbors") == sound * min(20, max(sound - 1, 0))
    assert workshop.rows("select count(*) from samples where status = 'error' and error is null") == [(0,)]
    assert workshop.rows("select count(*) from neighbors where not isfinite(distance)") == [(0,)]
    assert workshop.wrong() == {}


def test_a_dataset_may_lose_everything_and_begin_again(workshop: Workshop, media: Path) -> None:
    workshop.run()
    for path in media.iterdir():
        path.unlink()
    workshop.run()
    assert {count(workshop, table) for table in ("samples", "embeddings", "neighbors", "uniqueness", "issues")} == {0}
    assert workshop.wrong() == {}
    write_pictures(media, range(3, 9))
    workshop.run()
    assert count(workshop, "embeddings") == 6
    assert workshop.wrong() == {}


def test_all_identical_are_one_group_and_not_unique(tmp_path: Path) -> None:
    _copies(tmp_path / "media", 30)
    workshop = Workshop(tmp_path / "home", tmp_path / "media")
    models.EMBEDDED.clear()
    workshop.run((*SPINE[:-1], "similarity", "uniqueness", "published"))
    assert sum(models.EMBEDDED) == 1
    assert workshop.rows("select count(*), count(distinct group_id), count_if(keep) from exact_duplicates") == [
        (30, 1, 1)
    ]
    assert workshop.rows("select max(distance) from neighbors") == [(0,)]
    assert workshop.rows("select max(uniqueness) from uniqueness") == [(0,)]


def test_an_unreadable_folder_loses_nothing_that_was_known_below_it(
    workshop: Workshop, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(media / "sub", range(10, 14))
    workshop.run(SPINE)
    original = os.scandir

    def scandir(path: str | Path) -> Iterator[os.DirEntry[str]]:
        if Path(path) == media / "sub":
            raise PermissionError(13, "Permission denied")
        return original(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", scandir)
        (media / "00000.png").unlink()
        notes = workshop.run(SPINE)["samples"].notes
        assert notes["unreadable_folders"] == "sub"
        assert count(workshop) == count(workshop, "embeddings") == 9
    models.EMBEDDED.clear()
    workshop.run(SPINE)
    assert count(workshop) == 9
    assert models.EMBEDDED == []


def test_a_media_root_that_is_gone_loses_nothing(workshop: Workshop, media: Path) -> None:
    workshop.run(SPINE)
    media.rename(media.with_name("unmounted"))
    fails(workshop, SourceError, "no media at .*media: give a folder")
    assert count(workshop, "embeddings") == 6
    models.EMBEDDED.clear()
    media.with_name("unmounted").rename(media)
    reports = workshop.run(SPINE)
    assert reports["samples"].notes.get("read", 0) == 0
    assert models.EMBEDDED == []


def test_a_missing_model_file_is_one_line_and_loses_nothing(workshop: Workshop, media: Path, tmp_path: Path) -> None:
    workshop.run(SPINE)
    workshop.declare(media=str(media), embeddings={"model": f"onnx:{tmp_path}/gone.onnx"})
    write_pictures(media, [7])
    fails(workshop, MissingError, r"model file .*gone.onnx does not exist")
    assert count(workshop, "embeddings") == 6
    workshop.declare(media=str(media), embeddings={"model": "python:tests.models:Pixels"})
    workshop.run(SPINE)
    assert count(workshop, "embeddings") == 7


def test_a_corrupt_declaration_is_one_line_and_loses_nothing(workshop: Workshop, media: Path) -> None:
    workshop.run(SPINE)
    text = workshop.paths.config.read_text()
    workshop.paths.config.write_text(text + "\nsimilarity: {k: [")
    fails(workshop, ConfigurationError, r"dataset.yaml line \d+ is not YAML")
    assert count(workshop) == 6
    workshop.paths.config.write_text(text)
    assert workshop.run(SPINE)["published"].notes["written"] == ""


def test_a_corrupt_store_says_what_to_do_and_doing_it_helps(workshop: Workshop, tmp_path: Path, media: Path) -> None:
    workshop.run(SPINE)
    workshop.paths.store.write_bytes(b"no database" * 1000)
    fails(workshop, StoreError, "store.duckdb is damaged: .brain doctor test --repair. sets it aside")
    assert count(workshop) == 6
    workshop.paths.store.rename(tmp_path / "aside")
    workshop.run(SPINE)
    rebuild = Workshop(tmp_path / "rebuild", media)
    rebuild.run(SPINE)
    assert_equals_rebuild(workshop, rebuild)


def test_vectors_with_nan_are_told_and_the_rest_goes_on(tmp_path: Path, media: Path) -> None:
    (media / "dark.png").write_bytes(encoded(Image.new("RGB", (20, 16))))
    workshop = Workshop(tmp_path / "home", media, embeddings={"model": "python:tests.models:Silent"})
    workshop.run((*SPINE[:-1], "health", "published"))
    assert workshop.rows("select value from health where metric = 'without_vector'") == [(1,)]
    assert workshop.wrong(SPINE) == {"every_vector_is_finite": 1}
    assert count(workshop, "embeddings") == 6
    models.EMBEDDED.clear()
    write_pictures(media, [7])
    workshop.run(SPINE)
    assert sum(models.EMBEDDED) == 1


def test_a_model_that_fails_ends_the_run_with_one_line_and_commits_nothing_of_the_batch(
    tmp_path: Path, media: Path
) -> None:
    workshop = Workshop(tmp_path / "home", media, embeddings={"model": "python:tests.models:Broken"})
    workshop.run(SPINE)
    write_pictures(media, range(10, 14))
    (media / "dark.png").write_bytes(encoded(Image.new("RGB", (20, 16))))
    with pytest.raises(
        BrainError, match=r"the model python:tests.models:Broken failed on 5 images: RuntimeError: CUDA"
    ) as caught:
        workshop.run(SPINE)
    assert "everything" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert count(workshop, "embeddings") == 6
    (media / "dark.png").unlink()
    models.EMBEDDED.clear()
    workshop.run(SPINE)
    assert count(workshop, "embeddings") == 10
    assert sum(models.EMBEDDED) == 4
    assert workshop.rows("select method, error like '%CUDA error%' from runs where state = 'failed'") == [
        ("media", True)
    ]


def test_a_file_that_cannot_be_read_this_time_is_read_the_next(
    workshop: Workshop, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the listing nor the content tells that another try is due."""
    with monkeypatch.context() as patched:
        patched.setattr(samples_module, "content_hash", _failing_once(OSError(5, "Input/output error")))
        workshop.run(SPINE)
    assert workshop.rows("select error from samples where error is not null") == [("unreadable: Input/output error",)]
    assert count(workshop, "embeddings") == 5
    reports = workshop.run(SPINE)
    assert reports["samples"].notes["read"] == 1
    assert count(workshop, "embeddings") == 6


def _failing_once(error: Exception) -> Callable[[bytes], str]:
    original, failures = samples_module.content_hash, [error]

    def content_hash(data: bytes) -> str:
        if failures:
            raise failures.pop()
        return original(data)

    return content_hash


def test_a_file_that_changes_between_hashing_and_decoding_is_taken_up_by_the_next_run(
    workshop: Workshop, media: Path
) -> None:
    workshop.run(("samples",))
    (media / "00000.png").write_bytes(encoded(picture(99)))
    (media / "00001.png").unlink()
    workshop.run([name for name in SPINE if name != "samples"])
    told = workshop.rows("select filepath, split_part(error, ':', 1) from samples where status = 'error' order by 1")
    assert told == [("00000.png", "missing"), ("00001.png", "missing")]
    workshop.run(SPINE)
    assert workshop.wrong(SPINE) == {}
    assert count(workshop, "embeddings") == 5


def test_a_copy_that_vanishes_before_its_pixels_are_compared_is_compared_later(
    workshop: Workshop, media: Path, tmp_path: Path
) -> None:
    (media / "copy.bmp").write_bytes(encoded(picture(0), "BMP"))
    workshop.run(("samples", "media"))
    shutil.move(media / "copy.bmp", tmp_path / "aside.bmp")
    workshop.run(("exact_duplicates", "published"))
    assert count(workshop, "exact_duplicates") == 0
    os.rename(tmp_path / "aside.bmp", media / "copy.bmp")
    workshop.run(SPINE)
    assert workshop.rows("select kind from exact_duplicates order by keep") == [("pixels",), (None,)]


def test_a_lower_limit_of_bytes_refuses_what_was_read_before_and_a_higher_one_takes_it_back(
    workshop: Workshop, media: Path, tmp_path: Path
) -> None:
    (media / "large.bmp").write_bytes(encoded(picture(50, (60, 50)), "BMP"))
    for limit, errors in ((268_435_456, 0), (5000, 1), (268_435_456, 0)):
        settings = {"embeddings": {"model": "python:tests.models:Pixels"}, "decoding": {"max_bytes": limit}}
        workshop.declare(media=str(media), **settings)
        workshop.run(READ)
        found = workshop.rows(
            "select error like 'too_large: % the limit is 5000 %' from samples where status = 'error'"
        )
        assert found == [(True,)] * errors
        rebuild = Workshop(tmp_path / "rebuild", media, **settings)
        rebuild.run(READ)
        assert_equals_rebuild(workshop, rebuild)
        rebuild.remove()


def test_a_dataset_keeps_the_runtime_it_began_with(
    tmp_path: Path, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop = Workshop(tmp_path / "home", media)
    workshop.run(SPINE)
    model = workshop.rows("select distinct model from embeddings")
    # As on a machine with a GPU, where torch would be the first choice.
    original = sys.modules["brain_assets.resources.models.embedding_models"].place
    monkeypatch.setattr(
        "brain_assets.resources.models.embedding_models.place",
        lambda device, runtime, known: original(device, runtime or "other", [*known, "other"]),
    )
    models.EMBEDDED.clear()
    write_pictures(media, [7])
    workshop.run(SPINE)
    assert sum(models.EMBEDDED) == 1
    assert workshop.rows("select distinct model from embeddings") == model
    settings = {"model": "python:tests.models:Pixels", "runtime": "other"}
    workshop.declare(media=str(media), embeddings=settings)
    workshop.run(SPINE)
    assert sum(models.EMBEDDED) == 1 + 7
    assert workshop.rows("select distinct model from embeddings") != model


def test_a_full_disk_keeps_what_was_published_and_the_next_run_goes_on(
    small_disk: Path, media: Path, tmp_path: Path
) -> None:
    workshop = Workshop(small_disk / "home", media)
    workshop.run(SPINE)
    filler = small_disk / "filler"
    write_pictures(media, range(100, 300))
    for left in (0, 100_000, 400_000):
        free = os.statvfs(small_disk)
        filler.write_bytes(bytes(max(free.f_bavail * free.f_frsize - left, 0)))
        with pytest.raises((BrainError, OSError), match=r"disk is full|No space left|stays current"):
            workshop.run(SPINE)
        assert count(workshop) == count(workshop, "embeddings") == 6
        filler.unlink()
    os.rename(media / "00100.png", media / "renamed.png")
    workshop.run(SPINE)
    rebuild = Workshop(tmp_path / "rebuild", media)
    rebuild.run(SPINE)
    assert workshop.wrong(SPINE) == {}
    assert_equals_rebuild(workshop, rebuild)


def test_previews_are_on_disk_before_their_rows(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    sync, commit = previews_module.PreviewPack.sync, previews_module.Update.commit
    monkeypatch.setattr(previews_module.PreviewPack, "sync", lambda pack: (events.append("sync"), sync(pack))[1])
    monkeypatch.setattr(
        previews_module.Update, "commit",
        lambda update, *merges: (events.extend(one.table for one in merges), commit(update, *merges))[1],
    )  # fmt: skip
    workshop.run(("samples", "media"))
    assert "sync" in events[: events.index("media")]
