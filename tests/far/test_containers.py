"""Archives and videos far away are read in place: they give the tables of near ones, and only what is needed is fetched."""

import re
from pathlib import Path

import pytest
from PIL import Image

from brain_assets.resources.errors import SourceError
from brain_assets.resources.media import files, object_stores, video_frames, videos
from brain_assets.resources.media.media_source import open_source
from brain_assets.review.thumbnails import original
from tests.far.servers import Quiet, put
from tests.ingest.test_videos import SIZE, write_video
from tests.workshop import Workshop, encoded, picture, write_archive

pytest.importorskip("obstore")
pytest.importorskip("moto")
pytest.importorskip("av")
ASSETS = ("samples", "media", "embeddings", "exact_duplicates", "image_quality", "published")
FEW = ("samples", "media", "published")
KINDS = ("zip", "tar", "tar.gz")
QUERIES = (
    "select * exclude (uri, modified_at, added_at, changed_at{also}) from samples order by filepath",
    "select image_quality.* from image_quality join samples using (sample_id) order by filepath",
    "select vector from embeddings join samples using (sample_id) order by filepath",
    "select sample_id, kind, keep from exact_duplicates order by 1",
)


def pictures(*seeds: int) -> dict[str, bytes]:
    return {f"train/{seed:05}.png": encoded(picture(seed)) for seed in seeds}


def assert_same_tables(one: Workshop, other: Workshop, also: str = "") -> None:
    for query in QUERIES:
        rows = [repr(workshop.rows(query.format(also=also))) for workshop in (one, other)]
        assert rows[0] == rows[1]


def refuse(*_: object) -> bytes:
    raise OSError(5, "the store refused")


def paths(workshop: Workshop) -> list[str]:
    return [row[0] for row in workshop.rows("select filepath from samples order by 1")]


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the sizes of the parts that this process fetches."""
    sizes: list[int] = []
    read_range = object_stores.read_range

    def counting(uri: str, start: int, stop: int, expected: object_stores.Version) -> bytes:
        sizes.append(stop - start)
        return read_range(uri, start, stop, expected)

    monkeypatch.setattr(object_stores, "read_range", counting)
    return sizes


def test_a_prefix_with_archives_and_a_video_gives_the_tables_of_the_same_folder(tmp_path: Path, bucket: str) -> None:
    media = tmp_path / "media"
    for number, kind in enumerate(KINDS):
        members = pictures(number, number + 10, 50) | {"test/broken.png": b"<html>"}
        write_archive(media / f"{number}.{kind}", members) if media.is_dir() else media.mkdir()
        write_archive(media / f"{number}.{kind}", members)
    (media / "odd.zip").write_bytes(b"no archive")
    write_video(media / "test" / "clip.mkv", [1, 2, 1])
    for path in media.rglob("*.*"):
        put(f"{bucket}/set/{path.relative_to(media)}", path.read_bytes())
    near = Workshop(tmp_path / "near", media, split_from="folder", frames=1)
    far = Workshop(tmp_path / "far", f"{bucket}/set", split_from="folder", frames=1)
    for workshop in (near, far):
        workshop.run(ASSETS)
    # A frame is named by its video: near by the video's bytes, far away by its ETag.
    assert_same_tables(near, far, also=", content_hash")
    contents = "select content_hash from samples where filepath not like '%clip%' order by filepath"
    assert near.rows(contents) == far.rows(contents)
    assert len(paths(far)) == 16
    assert {name for name, report in far.run(ASSETS).items() if report.counts.total} == set()
    assert far.wrong(ASSETS) == {}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_one_archive_in_a_store_is_read_where_it_changed(tmp_path: Path, bucket: str, kind: str) -> None:
    local = tmp_path / f"all.{kind}"
    put(f"{bucket}/all.{kind}", write_archive(local, pictures(1, 2, 3)).read_bytes())
    near, far = Workshop(tmp_path / "near", local), Workshop(tmp_path / "far", f"{bucket}/all.{kind}")
    for workshop in (near, far):
        workshop.run(ASSETS)
    assert_same_tables(near, far)

    changed = pictures(1, 3) | {"train/00002.png": encoded(picture(20)), "train/00009.png": encoded(picture(9))}
    put(f"{bucket}/all.{kind}", write_archive(local, changed).read_bytes())
    reports = far.run(ASSETS)
    near.run(ASSETS)
    assert reports["media"].notes["decoded"] == 2
    assert_same_tables(near, far)
    put(f"{bucket}/all.{kind}", b"no archive any more")
    far.run(FEW)
    ((error,),) = far.rows("select error from samples")
    assert error.startswith(("damaged: ", "truncated: "))


def test_of_a_zip_only_directory_and_members_are_fetched(tmp_path: Path, bucket: str, fetched: list[int]) -> None:
    members = pictures(*range(4)) | {"film.txt": bytes(range(256)) * 4096}
    archive = write_archive(tmp_path / "all.zip", members)
    put(f"{bucket}/all.zip", archive.read_bytes())
    workshop = Workshop(tmp_path / "home", f"{bucket}/all.zip")
    workshop.run(FEW)
    assert len(paths(workshop)) == 4
    assert sum(fetched) < archive.stat().st_size - 1000


def test_nothing_is_written_to_disk_but_the_home(tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "temporary"
    elsewhere.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere))
    for kind in KINDS:
        put(f"{bucket}/a.{kind}", write_archive(tmp_path / f"a.{kind}", pictures(1)).read_bytes())
    workshop = Workshop(tmp_path / "home", bucket)
    workshop.run(FEW)
    assert len(paths(workshop)) == 3
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_that_fails_while_it_is_read_loses_nothing_and_is_tried_again(
    tmp_path: Path, bucket: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(f"{bucket}/a.{kind}", write_archive(tmp_path / f"a.{kind}", pictures(1, 2)).read_bytes())
    workshop = Workshop(tmp_path / "home", bucket)

    with monkeypatch.context() as patch:
        patch.setattr(object_stores, "_range_in_store", refuse)
        workshop.run(FEW)
    assert workshop.rows("select filepath, error from samples") == [(f"a.{kind}", "unreadable: the store refused")]
    workshop.run(FEW)
    assert workshop.rows("select distinct status from samples") == [("ok",)]
    assert len(paths(workshop)) == 2


def test_a_video_in_a_store_that_fails_is_tried_again(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(f"{bucket}/clip.mkv", write_video(tmp_path / "clip.mkv", [1, 2]).read_bytes())
    workshop = Workshop(tmp_path / "home", f"{bucket}/clip.mkv")

    with monkeypatch.context() as patch:
        patch.setattr(object_stores, "_range_in_store", refuse)
        video_frames.begin_listing(f"{bucket}/clip.mkv")
        found, ended = video_frames.next_batch(1.0)
        patch.setattr(videos, "_ask", lambda *_: (found, ended))
        workshop.run(FEW)
    assert workshop.rows("select filepath, error from samples") == [("clip.mkv", "unreadable: the store refused")]
    workshop.run(FEW)
    assert workshop.rows("select filepath, status from samples order by 1") == [
        ("clip.mkv#t=0.000", "ok"), ("clip.mkv#t=1.000", "ok"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["all.zip", "all.tar.gz", "clip.mp4"])
def test_archives_and_videos_on_the_web_are_sources(tmp_path: Path, site: str, name: str) -> None:
    path = tmp_path / "media" / name
    if name == "clip.mp4":
        write_video(path, [1, 2], codec="libx264", form="yuv420p")
    else:
        write_archive(path, pictures(1, 2))
    near, far = Workshop(tmp_path / "near", path), Workshop(tmp_path / "far", f"{site}/{name}?signature=a!b")
    for workshop in (near, far):
        workshop.run(ASSETS)
    assert_same_tables(near, far, also=", content_hash")
    shown = original(far.paths, paths(far)[1])
    assert Image.open(shown).size == (SIZE if name == "clip.mp4" else (20, 16))
    assert original(far.paths, f"other-{paths(far)[0]}") is None
    far.declare(media=f"{site}/{name}?signature=other", embeddings={"model": "python:tests.models:Pixels"})
    assert far.run(ASSETS)["media"].notes["decoded"] == 0


def test_a_server_that_sends_no_parts_is_one_line(tmp_path: Path, site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_archive(tmp_path / "media" / "all.zip", pictures(1))
    monkeypatch.setattr(Quiet, "parts", False)
    workshop = Workshop(tmp_path / "home", f"{site}/all.zip")
    workshop.run(FEW)
    ((error,),) = workshop.rows("select error from samples")
    assert re.match("unreadable: the server does not send parts of files: ", error)
    with pytest.raises(SourceError, match=r"the file http://.*/none\.zip is not there"):
        open_source(f"{site}/none.zip").list()


def test_a_list_may_name_archives_far_away(tmp_path: Path, bucket: str) -> None:
    put(f"{bucket}/one/a.zip", write_archive(tmp_path / "a.zip", pictures(1)).read_bytes())
    put(f"{bucket}/two/b.png", encoded(picture(2)))
    (tmp_path / "list.csv").write_text(f"filepath,split\n{bucket}/one/a.zip,test\n{bucket}/two/b.png,train\n")
    workshop = Workshop(tmp_path / "home", tmp_path / "list.csv", split_from="column")
    workshop.run(FEW)
    rows = workshop.rows("select filepath, split, status from samples order by 1")
    assert rows == [("one/a.zip!/train/00001.png", "test", "ok"), ("two/b.png", "train", "ok")]
    assert original(workshop.paths, "one/a.zip!/train/00001.png").read() == encoded(picture(1))
    assert original(workshop.paths, "none/a.zip!/train/00001.png") is None


def read_replaced(uri: str) -> bytes:
    with files.open_file(uri) as file:
        put(uri, bytes(200))
        return file.read()


def test_a_far_file_is_one_version(bucket: str) -> None:
    uri = f"{bucket}/a.bin"
    put(uri, bytes(range(200)))
    with files.open_file(uri) as file:
        assert file.read(3) == bytes(range(3))
        assert file.seek(-2, 2) == 198
        assert file.read() == bytes([198, 199])
        assert file.read(1) == b""
        with pytest.raises(OSError, match="before the beginning"):
            file.seek(-1)
        assert files.read_range(uri, 190, 1000) == bytes(range(190, 200))
    with pytest.raises(OSError, match="the file changed while it was being read"):
        read_replaced(uri)
    assert files.read_range(uri, 0, 2) == bytes(2)
    with pytest.raises(FileNotFoundError, match="there is no object"), files.open_file(f"{bucket}/none"):
        pass
