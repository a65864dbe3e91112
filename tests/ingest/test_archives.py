"""An archive is a source like a folder: added, changed, deleted, unchanged; and what is wrong with it is told."""

import gzip
import io
import os
import shutil
import struct
import tarfile
import zipfile
from copy import copy
from pathlib import Path

import pytest

from brain_assets.resources.errors import Refused, SourceError
from brain_assets.resources.media import archives
from brain_assets.resources.media.listing import content_hash
from brain_assets.resources.media.media_source import open_source
from brain_assets.review.thumbnails import original
from tests import models
from tests.workshop import Workshop, encoded, picture, write_archive, write_pictures

KINDS = ("zip", "tar", "tar.gz")
ASSETS = ("samples", "media", "embeddings", "exact_duplicates", "image_quality", "issues", "published")
FEW = ("samples", "media", "published")
# What a folder and an archive cannot share: names and what is made of them.
OWN = "exclude (sample_id, uri, filepath, added_at, changed_at)"


def pictures(*seeds: int) -> dict[str, bytes]:
    return {f"train/{seed:05}.png": encoded(picture(seed)) for seed in seeds}


def status(workshop: Workshop) -> dict[str, tuple[str, str]]:
    rows = workshop.rows("select filepath, status, error from samples")
    return {path.partition("!/")[2] or path: (state, error) for path, state, error in rows}


@pytest.mark.slow
def test_an_archive_gives_the_tables_of_the_same_files_in_a_folder(tmp_path: Path) -> None:
    members = pictures(1, 2, 3) | {"train/copy.png": encoded(picture(1)), "test/broken.png": b"<html>"}
    members["test/other.bmp"] = encoded(picture(2), "BMP")
    folder = tmp_path / "media"
    for name, data in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        os.utime(folder / name, (1_700_000_000, 1_700_000_000))
    plain = Workshop(tmp_path / "plain", folder, select=ASSETS, split_from="folder")
    plain.run()
    for kind in KINDS:
        archive = write_archive(tmp_path / f"all.{kind}", members)
        packed = Workshop(tmp_path / kind, archive, select=ASSETS, split_from="folder")
        packed.run()
        assert_same(plain, packed, f"all.{kind}!/")
        assert packed.wrong() == {}


def assert_same(plain: Workshop, packed: Workshop, prefix: str) -> None:
    for table, columns in {
        "samples": f"* {OWN}, filepath as path",
        "exact_duplicates": "kind, keep, replace(reason, 'PREFIX', '')",
        "image_quality": "* exclude (sample_id)",
        "embeddings": "vector",
        "issues": "issue, source, score, is_issue",
    }.items():
        here, there = (columns.replace("PREFIX", own) for own in ("", prefix))
        left = plain.rows(f"select {here} from {table} order by all")
        right = packed.rows(f"select {there} from {table} order by all")
        assert repr(left) == repr(right).replace(prefix, "")
        assert left


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_changed_inside_is_read_and_decoded(tmp_path: Path, kind: str) -> None:
    archive = write_archive(tmp_path / f"all.{kind}", pictures(1, 2, 3, 4))
    workshop = Workshop(tmp_path / "home", archive, select=("samples", "media", "embeddings", "published"))
    workshop.run()
    before = dict(workshop.rows("select filepath, sample_id from samples"))
    models.EMBEDDED.clear()
    reports = workshop.run()
    assert {name for name, report in reports.items() if report.counts.total} == set()
    assert reports["published"].notes["written"] == ""

    # Replaced in the middle, one gone, one new; the others keep their ids and are not decoded again.
    changed = pictures(1, 2, 3) | {"train/00002.png": encoded(picture(20)), "train/00009.png": encoded(picture(9))}
    write_archive(archive, changed, mtime=1_700_000_100)
    reports = workshop.run()
    assert reports["media"].notes["decoded"] == 2
    assert sum(models.EMBEDDED) == 2
    if kind == "zip":
        assert reports["samples"].notes["read"] == 2
    after = dict(workshop.rows("select filepath, sample_id from samples"))
    assert sorted(path[-9:] for path in after) == ["00001.png", "00002.png", "00003.png", "00009.png"]
    assert all(before[path] == after[path] for path in before.keys() & after.keys())

    archive.unlink()
    with pytest.raises(SourceError, match="no media at"):
        workshop.run()
    assert len(workshop.rows("from samples")) == 4


def test_a_tar_without_times_is_hashed_so_that_no_change_is_missed(tmp_path: Path) -> None:
    first = write_archive(tmp_path / "all.tar", {"a.bmp": encoded(picture(1), "BMP")}, mtime=0)
    workshop = Workshop(tmp_path / "home", first)
    workshop.run(FEW)
    before = workshop.rows("select content_hash from samples")
    write_archive(first, {"a.bmp": encoded(picture(2), "BMP")}, mtime=0)
    workshop.run(FEW)
    assert workshop.rows("select content_hash from samples") != before


def test_archives_in_a_folder_are_looked_into_and_unchanged_ones_are_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = tmp_path / "media"
    write_pictures(media / "val", [1])
    for number, kind in enumerate(KINDS):
        write_archive(media / f"{number}.{kind}", pictures(number + 2))
    workshop = Workshop(tmp_path / "home", media, split_from="folder")
    workshop.run(FEW)
    assert workshop.rows("select filepath, split from samples order by 1") == [
        ("0.zip!/train/00002.png", "train"),
        ("1.tar!/train/00003.png", "train"),
        ("2.tar.gz!/train/00004.png", "train"),
        ("val/00001.png", "val"),
    ]
    opened: list[str] = []
    monkeypatch.setattr(archives, "_members", lambda path: opened.append(Path(path).name) or iter(()))
    write_pictures(media / "val", [7])
    workshop.run(FEW)
    assert opened == []
    assert len(workshop.rows("from samples")) == 5
    (media / "0.zip").touch()
    workshop.run(FEW)
    assert opened == ["0.zip"]
    shutil.rmtree(media / "val")
    (media / "1.tar").unlink()
    workshop.run(FEW)
    assert [row[0] for row in workshop.rows("select filepath from samples")] == ["2.tar.gz!/train/00004.png"]


def test_an_archive_that_cannot_be_read_this_time_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = write_archive(tmp_path / "media.zip", pictures(1, 2))
    workshop = Workshop(tmp_path / "home", archive)
    workshop.run(FEW)

    def refuse(_: str) -> None:
        raise PermissionError(13, "Permission denied")

    archive.touch()
    with monkeypatch.context() as patch:
        patch.setattr(archives, "_members", refuse)
        workshop.run(FEW)
    assert status(workshop)["media.zip"] == ("error", "unreadable: Permission denied")
    assert len(status(workshop)) == 3
    workshop.run(FEW)
    assert {state for state, _ in status(workshop).values()} == {"ok"}
    assert len(status(workshop)) == 2


def odd_zip(path: Path) -> Path:
    """Write a zip with one good member and whatever can be wrong with others."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("good.png", encoded(picture(1)))
        archive.writestr("/absolute.png", encoded(picture(2)))
        archive.writestr("../outside.png", encoded(picture(3)))
        archive.writestr("bomb.png", bytes(1 << 25))
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "good.png")
        for hidden in ("__MACOSX/._good.png", ".hidden/a.png", "notes.txt", "folder/"):
            archive.writestr(hidden, b"beside")
        archive.writestr("rotten.png", encoded(picture(4)))
        archive.writestr("locked.png", encoded(picture(5)))
    data = bytearray(path.read_bytes())
    data[data.index(b"rotten.png") + 30] ^= 255
    data[data.rindex(b"locked.png") - 46 + 8] |= 1  # the flag "encrypted" in the directory
    path.write_bytes(data)
    return path


def test_what_is_wrong_with_members_of_a_zip_is_told_one_by_one(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path / "home", odd_zip(tmp_path / "odd.zip"))
    workshop.run(FEW)
    found = status(workshop)
    assert found.pop("good.png") == ("ok", None)
    assert {state for state, _ in found.values()} == {"error"}
    reasons = {name: error for name, (_, error) in found.items()}
    assert "leads out of the archive" in reasons["/absolute.png"]
    assert "leads out of the archive" in reasons["../outside.png"]
    assert reasons["bomb.png"].startswith("too_large: a zip bomb? 33554432 bytes from ")
    assert "link" in reasons["link.png"]
    assert reasons["rotten.png"].startswith("damaged: rotten.png cannot be unpacked")
    assert "encrypted" in reasons["locked.png"]
    assert len(found) == 6
    assert workshop.run(FEW)["samples"].counts.total == 0


def test_of_two_members_with_one_name_the_last_counts(tmp_path: Path) -> None:
    one, other = encoded(picture(1)), encoded(picture(2))
    zipped = tmp_path / "twice.zip"
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("a.png", one)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a.png", other)
    for path in (zipped, tmp_path / "twice.tar", tmp_path / "twice.tgz"):
        if path != zipped:
            with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as archive:
                for data in (one, other):
                    info = tarfile.TarInfo("a.png")
                    info.size, info.mtime = len(data), 1
                    archive.addfile(info, io.BytesIO(data))
        workshop = Workshop(tmp_path / path.suffix[1:], path)
        workshop.run(FEW)
        assert workshop.rows("select content_hash, status from samples") == [(content_hash(other), "ok")]


def test_a_truncated_archive_is_told_and_its_whole_members_stand(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    paths = {kind: tmp_path / "media" / f"cut.{kind}" for kind in KINDS}
    for path in paths.values():
        write_archive(path, {f"{seed}.bmp": encoded(picture(seed, (99, 99)), "BMP") for seed in range(6)})
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    workshop = Workshop(tmp_path / "home", tmp_path / "media", select=FEW)
    workshop.run()
    found = {path: row for path, *row in workshop.rows("select filepath, status, error from samples")}
    for kind in KINDS:
        said = found[f"cut.{kind}"][1]
        assert said.startswith(("damaged: the archive cannot be read to its end", "truncated:"))
        whole = [path for path, (state, _) in found.items() if path.startswith(f"cut.{kind}!/") and state == "ok"]
        assert (whole == []) == (kind == "zip")
    assert {name for name, report in workshop.run().items() if report.counts.total} == set()
    # Mended, it is as if nothing had been.
    for path in paths.values():
        write_archive(path, pictures(1, 2))
    workshop.run()
    mended = [f"cut.{kind}!/train/0000{number}.png" for kind in KINDS for number in (1, 2)]
    assert [path for (path,) in workshop.rows("select filepath from samples order by 1")] == sorted(mended)


NO_ARCHIVES = {
    "empty": b"",
    "start": b"PK\x03\x04",
    "text": b"no archive at all",
    "zeros": bytes(2000),
    "gzip": gzip.compress(b"no tar"),
    "gzipped zeros": gzip.compress(bytes(5000)),
}


def test_no_archive_ends_a_run(tmp_path: Path) -> None:
    media = tmp_path / "media"
    write_pictures(media, [1])
    for name, data in NO_ARCHIVES.items():
        for kind in KINDS:
            (media / f"{name}.{kind}").write_bytes(data)
    workshop = Workshop(tmp_path / "home", media, select=FEW)
    workshop.run()
    found = status(workshop)
    assert found.pop("00001.png") == ("ok", None)
    assert [path for path, (_, error) in found.items() if not error.startswith(("damaged:", "truncated:"))] == []
    # Zeros are the end of a tar, which so has no members.
    all_of_them = {f"{name}.{kind}" for name in NO_ARCHIVES for kind in KINDS}
    assert all_of_them - found.keys() == {"zeros.tar", "gzipped zeros.tar.gz"}


def test_a_damaged_header_in_a_tar_is_no_silent_end(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "odd.tar", pictures(1, 2, 3))
    data = bytearray(path.read_bytes())
    second = data.index(b"train/00002.png")
    data[second + 148 : second + 156] = b"99999999"
    path.write_bytes(data)
    found = archives.list_members(str(path))
    assert [member.name for member in found.members] == ["train/00001.png"]
    assert found.error.startswith("damaged: the archive cannot be read to its end: a header is damaged")


def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind in (("s.png", tarfile.SYMTYPE), ("h.png", tarfile.LNKTYPE), ("f.png", tarfile.FIFOTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    found = archives.list_members(str(path))
    assert [(member.name, member.error.partition(":")[0]) for member in found.members] == [
        ("s.png", "unsupported"), ("h.png", "unsupported"), ("f.png", "unsupported"),
    ]  # fmt: skip


def test_a_compressed_tar_that_unpacks_to_nothing_but_zeros_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "bomb.tgz"
    members = {"a.png": encoded(picture(1)), "b.png": bytes(1 << 26), "c.png": encoded(picture(2))}
    write_archive(path, members)
    found = archives.list_members(str(path))
    assert "a zip bomb?" in found.error
    assert [member.name for member in found.members] == ["a.png"]


def shared_zip(path: Path, count: int) -> Path:
    """Write a zip in whose directory many members are the same bytes, which unpack to 15 MB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("good.png", encoded(picture(1)))
        archive.writestr("00000.bmp", bytes(15 << 20))
        first = archive.infolist()[1]
        for number in range(1, count):
            entry = copy(first)
            entry.filename = entry.orig_filename = f"{number:05}.bmp"
            archive.filelist.append(entry)
    return path


def test_members_that_share_their_bytes_are_refused_and_cost_nothing(tmp_path: Path) -> None:
    path = shared_zip(tmp_path / "shared.zip", 2000)
    assert path.stat().st_size < 150_000
    found = {member.name: member.error for member in archives.list_members(str(path)).members}
    assert len(found) == 2001
    assert found.pop("good.png") is None
    assert sum("those of another member" in (error or "") for error in found.values()) >= 1999
    workshop = Workshop(tmp_path / "home", shared_zip(tmp_path / "few.zip", 5))
    workshop.run(FEW)
    assert sorted(state for state, _ in status(workshop).values()) == ["error"] * 5 + ["ok"]


def test_members_that_are_small_bombs_together_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in ({f"{n}.bmp": bytes(5 << 20) for n in range(9)} | pictures(1)).items():
            archive.writestr(name, data)
    found = {member.name: member.error for member in archives.list_members(str(path)).members}
    assert found.pop("train/00001.png") is None
    assert all("a zip bomb?" in error and "together" in error for error in found.values())


def test_a_zip_that_lies_about_a_size_is_damaged(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "lie.zip", {"a.bmp": encoded(picture(1), "BMP")})
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02") + 24
    data[at : at + 4] = struct.pack("<I", 100)
    path.write_bytes(data)
    with pytest.raises(Refused, match=r"damaged: a\.bmp cannot be unpacked"):
        archives.read_member(str(path), "a.bmp")


@pytest.mark.parametrize("kind", KINDS)
def test_the_review_page_shows_members_and_nothing_outside(tmp_path: Path, kind: str) -> None:
    (tmp_path / "media").mkdir()
    path = write_archive(tmp_path / "media" / f"all.{kind}", pictures(1))
    write_archive(tmp_path / f"secret.{kind}", pictures(2))
    for media in (path, path.parent):
        workshop = Workshop(tmp_path / f"home-{media.name}", media)
        shown = original(workshop.paths, f"all.{kind}!/train/00001.png")
        assert isinstance(shown, io.BytesIO)
        assert shown.read() == encoded(picture(1))
        for outside in (
            f"../secret.{kind}!/train/00002.png",
            f"all.{kind}!/none.png",
            f"secret.{kind}!/train/00002.png",
        ):
            assert original(workshop.paths, outside) is None


def test_a_folder_whose_name_looks_like_an_archive_is_a_folder(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media" / "a.zip!", [1])
    listing = open_source(str(tmp_path / "media")).list()
    (uri,) = listing.items.column("uri").to_pylist()
    assert open_source(str(tmp_path / "media")).read(uri) == encoded(picture(1))


def test_a_list_may_name_archives(tmp_path: Path) -> None:
    write_archive(tmp_path / "a.zip", pictures(1))
    (tmp_path / "list.csv").write_text("filepath,split\na.zip,test\n")
    listing = open_source(str(tmp_path / "list.csv"), "column").list().expanded()
    assert listing.column("filepath").to_pylist() == ["a.zip!/train/00001.png"]
    assert listing.column("split").to_pylist() == ["test"]
