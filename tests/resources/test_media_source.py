"""Sources list what there is under stable ids, notice every change, and survive whatever lies in a folder."""

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from brain_assets.resources.errors import SourceError
from brain_assets.resources.media.candidates import left_out_told
from brain_assets.resources.media.media_source import Listing, content_hash, open_source, read_local, sample_id


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    for name in ("a.png", "train/b.jpg", "train/deep/c.png", "Test/d.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def listed(uri: Path | str, split_from: str = "none") -> Listing:
    return open_source(str(uri), split_from).list()


def paths(listing: Listing) -> list[str]:
    return sorted(listing.items.column("filepath").to_pylist())


def column(listing: Listing, name: str) -> dict[str, object]:
    return dict(zip(listing.items.column("filepath").to_pylist(), listing.items.column(name).to_pylist(), strict=True))


def test_a_folder_lists_all_below_it(media: Path) -> None:
    listing = listed(media)
    assert paths(listing) == ["Test/d.png", "a.png", "train/b.jpg", "train/deep/c.png"]
    assert column(listing, "bytes")["train/b.jpg"] == len("train/b.jpg")
    assert listing.unreadable == []
    for uri, filepath in zip(
        listing.items.column("uri").to_pylist(), listing.items.column("filepath").to_pylist(), strict=True
    ):
        assert open_source(str(media)).read(uri) == filepath.encode()


@pytest.mark.parametrize("name", ["notes.txt", ".hidden.png", "labels.csv", "Thumbs.db", "README", "x.part", "m.onnx"])
def test_what_lies_beside_images_is_left_out(media: Path, name: str) -> None:
    (media / name).touch()
    assert name not in paths(listed(media))


def test_a_file_whose_suffix_says_nothing_is_an_image_by_its_content(media: Path) -> None:
    for name in ("0001", "IMG.2023.01.05", "x.jpg_large"):
        (media / name).write_bytes(b"\xff\xd8\xff\xe0 and so on")
    for name in ("empty", "x.foo", "notes.2"):
        (media / name).write_bytes(b"no picture" if "." in name else b"")
    assert {"0001", "IMG.2023.01.05", "x.jpg_large"} <= set(paths(listed(media)))
    assert listed(media).left_out == {".foo": 1, ".2": 1, "without a suffix": 1}


def test_other_files_are_counted_by_kind_and_dicom_is_named(media: Path) -> None:
    for name in (
        "a.xmp",
        "b.XMP",
        "labels.cache",
        "clip.mov",
        "scan.dcm",
        "LICENSE.CC",
        "Thumbs.db",
        ".hidden",
        "CITATION",
    ):
        (media / name).write_bytes(b"something")
    (media / "1.2.840").write_bytes(bytes(128) + b"DICM" + bytes(20))
    (media / "000001").write_bytes(bytes(128) + b"DICM" + bytes(20))
    listing = listed(media)
    assert len(paths(listing)) == 4
    assert listing.left_out == {".xmp": 2, ".cache": 1, "videos": 1, "DICOM": 2, ".cc": 1, ".840": 1}
    assert left_out_told(listing.left_out).startswith("8 files are no images: 2 DICOM (not decoded")
    assert listed(f"{media}/*").left_out == listing.left_out


def test_a_pattern_with_a_suffix_says_that_such_files_are_images(media: Path) -> None:
    (media / "x.foo").write_bytes(b"something")
    assert paths(listed(f"{media}/*.foo")) == ["x.foo"]


def test_what_a_list_names_is_a_sample_and_folders_are_searched(media: Path, tmp_path: Path) -> None:
    (media / "x.foo").write_bytes(b"something")
    (media / "notes.txt").touch()
    (tmp_path / "list.txt").write_text("media/x.foo\nmedia/notes.txt\nmedia/train\nmedia/nowhere.png\n")
    found = paths(listed(tmp_path / "list.txt"))
    assert found == ["notes.txt", "nowhere.png", "train/b.jpg", "train/deep/c.png", "x.foo"]


@pytest.mark.parametrize("line", ["a.png 65", "a.png\tcat dog", "a.png,cat", "a.png ; 1"])
def test_a_list_with_labels_behind_its_paths_is_told(media: Path, line: str) -> None:
    (media / "with space 1.png").write_bytes(b"something")
    (media / "list.txt").write_text(f"{line}\nwith space 1.png\nwith space 1.png 3\nnowhere.png 3\n")
    listing = listed(media / "list.txt")
    assert paths(listing) == ["a.png", "nowhere.png 3", "with space 1.png"]
    (told,) = listing.told
    assert told.startswith("list.txt has labels behind 2 of its paths, such as 'a.png ")


def test_several_roots_are_told_apart_by_their_names(media: Path, tmp_path: Path) -> None:
    for folder in ("more/media", "other"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.png").write_bytes(folder.encode())
    roots = [str(media), str(tmp_path / "other")]
    source = open_source(roots)
    assert "media/a.png" in paths(source.list())
    assert "other/a.png" in paths(source.list())
    assert source.locate("other/a.png") == str(tmp_path / "other" / "a.png")
    assert source.locate("elsewhere/a.png") is None
    assert source.read(str(tmp_path / "other" / "a.png")) == b"other"
    same = open_source([str(media), str(tmp_path / "more" / "media")]).list()
    assert {"more/media/a.png", f"{tmp_path.name}/media/a.png"} <= set(paths(same))
    with pytest.raises(SourceError, match="twice"):
        open_source([str(media), str(media)])


def test_several_roots_may_be_splits(media: Path) -> None:
    listing = open_source([f"{media}/train", f"{media}/Test"], "folder").list()
    assert column(listing, "split") == {"train/b.jpg": "train", "train/deep/c.png": "train", "Test/d.png": "test"}


DATA_YAML = {
    "folders": "train: train\ntest: Test\n",
    "a path": "path: .\ntrain: train\ntest: [Test]\n",
    "the path of somebody else": "path: /home/somebody/media\ntrain: train\ntest: Test\n",
    "paths of another machine": "train: /content/drive/media/train\ntest: C:\\data\\media\\Test\n",
    "as exported": "train: ../train\nval:\ntest: ../Test\n",
    "lists": "train: train.txt\ntest: test.txt\nnames: [cat]\n",
    "patterns": "train: train/**/*\ntest: Test/*.png\n",
}


@pytest.mark.parametrize("kind", DATA_YAML)
def test_a_data_yaml_gives_images_with_their_splits(media: Path, kind: str) -> None:
    (media / "data.yaml").write_text(DATA_YAML[kind])
    (media / "train.txt").write_text("./train/b.jpg\ntrain/deep/c.png\n")
    (media / "test.txt").write_text("Test/d.png\n")
    source = open_source(str(media / "data.yaml"), "column")
    assert column(source.list(), "split") == {"train/b.jpg": "train", "train/deep/c.png": "train", "Test/d.png": "test"}
    assert source.locate("Test/d.png") == str(media / "Test" / "d.png")


def test_what_a_data_yaml_names_and_is_not_there_is_told(media: Path) -> None:
    (media / "data.yaml").write_text("train: train\nval: nowhere\n")
    (told,) = listed(media / "data.yaml").told
    assert told == f"data.yaml names {media}/nowhere for val, which is not there"
    (media / "data.yaml").write_text("train: nowhere\n")
    with pytest.raises(SourceError, match="names no images that are there"):
        listed(media / "data.yaml")


@pytest.mark.parametrize(
    "text", ["names: [a]\n", "- train\n", "train: [\n", "!!python/object:os.system x", "train: 3\n"]
)
def test_a_yaml_that_is_no_data_yaml_is_refused_in_one_line(media: Path, text: str) -> None:
    (media / "data.yaml").write_text(text)
    with pytest.raises(SourceError, match=r"data.yaml (names no images|cannot be read)"):
        listed(media / "data.yaml")


def test_hidden_folders_are_left_out(media: Path) -> None:
    (media / ".cache").mkdir()
    (media / ".cache" / "a.png").touch()
    assert len(paths(listed(media))) == 4


def test_ids_are_those_of_the_path_inside_the_source(media: Path, tmp_path: Path) -> None:
    before = column(listed(media), "sample_id")
    moved = tmp_path / "elsewhere"
    shutil.move(media, moved)
    assert column(listed(moved), "sample_id") == before
    assert before["a.png"] == sample_id("a.png")
    assert sample_id("caf\u00e9.png") == sample_id("cafe\u0301.png") != sample_id("cafe.png")
    assert len(set(before.values())) == 4


CHANGES: dict[str, Callable[[Path], object]] = {
    "add": lambda media: (media / "new.png").touch(),
    "delete": lambda media: (media / "a.png").unlink(),
    "rename": lambda media: (media / "a.png").rename(media / "z.png"),
    "grow": lambda media: (media / "a.png").write_bytes(b"longer than before"),
    "same size": lambda media: (media / "a.png").write_bytes(b"b.png"),
    "touch": lambda media: os.utime(media / "a.png"),
    "old time": lambda media: os.utime(media / "a.png", (1, 1)),
    "swap": lambda media: _swap(media / "a.png", media / "train" / "b.jpg"),
}


def _swap(one: Path, other: Path) -> None:
    one.rename(one.with_name("aside"))
    other.rename(one)
    one.with_name("aside").rename(other)


@pytest.mark.parametrize("change", CHANGES)
def test_the_state_changes_with_every_change(media: Path, change: str) -> None:
    before = listed(media).state
    assert listed(media).state == before
    CHANGES[change](media)
    assert listed(media).state != before


def test_the_state_comes_back_with_the_files(media: Path, tmp_path: Path) -> None:
    before = listed(media).state
    (media / "new.png").touch()
    (media / "new.png").unlink()
    assert listed(media).state == before


def test_splits_come_from_the_top_folder_or_nowhere(media: Path) -> None:
    assert set(column(listed(media), "split").values()) == {None}
    splits = column(listed(media, "folder"), "split")
    assert splits == {"a.png": None, "train/b.jpg": "train", "train/deep/c.png": "train", "Test/d.png": "test"}


def test_links_are_followed_and_loops_are_not(media: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "far.png").touch()
    (media / "linked").symlink_to(outside)
    (media / "train" / "loop").symlink_to(media)
    (media / "one.png").symlink_to(media / "a.png")
    assert paths(listed(media)) == [
        "Test/d.png", "a.png", "linked/far.png", "one.png", "train/b.jpg", "train/deep/c.png",
    ]  # fmt: skip


def test_a_broken_link_is_listed_and_cannot_be_read(media: Path) -> None:
    (media / "gone.png").symlink_to(media / "nowhere.png")
    listing = listed(media)
    assert column(listing, "bytes")["gone.png"] == -1
    with pytest.raises(FileNotFoundError):
        read_local(str(media / "gone.png"))


@pytest.mark.timeout(20)
def test_what_is_no_file_is_refused_at_once(media: Path) -> None:
    os.mkfifo(media / "pipe.png")
    assert "pipe.png" in paths(listed(media))
    for odd in (media / "pipe.png", Path("/dev/zero"), media):
        with pytest.raises(OSError, match=r"regular file|directory"):
            read_local(str(odd))


def test_odd_names_are_listed_and_read(media: Path) -> None:
    name = os.fsencode(media) + b"/\xff\xfe%20.png"
    with open(name, "wb") as handle:
        handle.write(b"odd")
    (media / "new\nline 'quoted'.png").write_bytes(b"odd")
    listing = listed(media)
    for path, uri in column(listing, "uri").items():
        data = open_source(str(media)).read(str(uri))
        assert data == (b"odd" if "odd" not in path and ("xff" in path or "quoted" in path) else path.encode())
    assert "\\xff\\xfe%20.png" in paths(listing)


def test_an_unreadable_subfolder_is_named_and_the_rest_is_listed(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, media / "train")
    listing = listed(media)
    assert paths(listing) == ["Test/d.png", "a.png"]
    assert listing.unreadable == ["train"]
    monkeypatch.undo()
    assert listed(media).state != listing.state


def test_an_unreadable_subfolder_may_have_any_name(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = os.fsdecode(os.fsencode(media) + b"/it's \xff")
    os.mkdir(odd)
    refuse(monkeypatch, Path(odd))
    listing = listed(media)
    assert listing.unreadable == ["it's \\xff"]
    listing.unreadable[0].encode()


def refuse(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Have one folder refuse to be listed, whoever asks."""
    original = os.scandir

    def scandir(path: str | Path) -> object:
        if Path(path) == folder:
            raise PermissionError(13, "Permission denied")
        return original(path)

    monkeypatch.setattr(os, "scandir", scandir)


def test_a_root_that_cannot_be_listed_is_one_line(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source(str(media))
    refuse(monkeypatch, media)
    with pytest.raises(SourceError, match=r"the media folder .* cannot be listed: Permission denied"):
        source.list()
    monkeypatch.undo()
    shutil.rmtree(media)
    with pytest.raises(SourceError, match="cannot be listed: No such file"):
        source.list()
    with pytest.raises(SourceError, match=r"no media at .*: give a folder, an archive .*, a glob, a list"):
        open_source(str(media))


def test_an_empty_folder_is_an_empty_listing(tmp_path: Path) -> None:
    listing = listed(tmp_path)
    assert listing.items.num_rows == 0
    assert listing.items.schema.names[0] == "sample_id"


def test_a_file_that_vanishes_while_it_is_listed_is_listed_as_missing(
    media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = os.scandir

    def scandir(path: str | Path) -> list[os.DirEntry[str]]:
        entries = list(original(path))
        (media / "a.png").unlink(missing_ok=True)
        return entries

    monkeypatch.setattr(os, "scandir", scandir)
    assert column(listed(media), "bytes").get("a.png") == -1


def test_a_glob_lists_its_matches_below_the_folder_before_the_wildcard(media: Path) -> None:
    assert paths(listed(f"{media}/**/*.png")) == ["Test/d.png", "a.png", "train/deep/c.png"]
    assert paths(listed(f"{media}/t*/*")) == ["train/b.jpg"]
    assert paths(listed(f"{media}/*.gif")) == []
    with pytest.raises(SourceError, match="there is no folder"):
        listed(f"{media}/nowhere/*.png")


def test_a_list_names_files_relative_to_itself_or_absolute(media: Path) -> None:
    names = media.parent / "list.txt"
    names.write_text(f"# images\n\nmedia/a.png\n{media}/train/b.jpg\n media/missing.png \nmedia/./a.png\n")
    listing = listed(names)
    assert paths(listing) == ["a.png", "missing.png", "train/b.jpg"]
    assert column(listing, "bytes")["missing.png"] == -1
    names.write_text("")
    assert listed(names).items.num_rows == 0


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_list_as_windows_writes_it(media: Path, encoding: str) -> None:
    names = media.parent / "list.txt"
    names.write_text("media\\a.png\r\n.\\media\\train\\b.jpg\r\n", encoding)
    assert column(listed(names), "bytes").keys() == {"a.png", "train/b.jpg"}
    assert min(column(listed(names), "bytes").values()) >= 0


def test_a_manifest_gives_split_and_tags(media: Path) -> None:
    table = pa.table({
        "filepath": ["a.png", "train/b.jpg", None],
        "split": ["Validation", None, "train"],
        "tags": ["new; odd,new", "", "x"],
    })  # fmt: skip
    for suffix in ("csv", "parquet"):
        target = media / f"manifest.{suffix}"
        if suffix == "parquet":
            parquet.write_table(table, target)
        else:
            target.write_text('filepath,split,tags\na.png,Validation,"new; odd,new"\ntrain/b.jpg,,\n,train,x\n')
        listing = listed(target, "column")
        assert column(listing, "split") == {"a.png": "val", "train/b.jpg": None}
        assert column(listing, "tags") == {"a.png": ["new", "odd"], "train/b.jpg": []}
    (media / "manifest.jsonl").write_text('{"filepath": "a.png", "tags": ["b", "a"]}\n')
    assert column(listed(media / "manifest.jsonl"), "tags") == {"a.png": ["a", "b"]}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("m.csv", "image_path;split\na.png;val\ntrain/b.jpg;\n".encode("utf-16")),
        ("m.csv", b"# by me\nFile Name,subset,notes\na.png,val,x\ntrain/b.jpg,,\xe9\n"),
        ("m.csv", b"a.png,val\ntrain/b.jpg,\n"),
        ("m.jsonl", b'{"image": "a.png", "split": "val"}\n{"image": "train/b.jpg"}\n'),
    ],
)
def test_a_manifest_is_a_table_like_any_other(media: Path, name: str, data: bytes) -> None:
    (media / name).write_bytes(data)
    split = None if data.startswith(b"a.png") else "val"
    assert column(listed(media / name, "column"), "split") == {"a.png": split, "train/b.jpg": None}


def test_rows_of_a_manifest_that_cannot_be_read_are_told(media: Path) -> None:
    (media / "m.csv").write_text("filepath,split\na.png,train\ntrain/b.jpg\n")
    listing = listed(media / "m.csv")
    assert column(listing, "split") == {"a.png": None}
    assert listing.told == ["1 rows of m.csv cannot be read, as line 3: 1 columns, expected 2"]


def test_a_split_that_changes_changes_the_state(media: Path) -> None:
    manifest = media / "manifest.csv"
    manifest.write_text("filepath,split\na.png,train\n")
    before = listed(manifest, "column").state
    manifest.write_text("filepath,split\na.png,test\n")
    assert listed(manifest, "column").state != before


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("m.csv", b"x,split\na.png,x\n", "has no column that names images \\(columns: x, split\\)"),
        ("m.csv", b"path,path\na.png,x\n", "several columns are called path"),
        ("m.parquet", b"no parquet", "cannot be read as parquet"),
        ("m.jsonl", b"{", "cannot be read as jsonl"),
    ],
)
def test_a_manifest_that_cannot_be_understood_is_one_line(media: Path, name: str, data: bytes, words: str) -> None:
    (media / name).write_bytes(data)
    with pytest.raises(SourceError, match=words) as caught:
        listed(media / name)
    assert "\n" not in str(caught.value)


def test_a_manifest_that_goes_away_is_one_line(media: Path) -> None:
    names = media.parent / "list.txt"
    names.write_text("media/a.png")
    source = open_source(str(names))
    names.unlink()
    with pytest.raises(SourceError, match=r"list.txt cannot be read: No such file"):
        source.list()


def test_a_path_with_a_null_is_listed_as_missing(media: Path) -> None:
    manifest = media / "m.jsonl"
    manifest.write_text('{"filepath": "a\\u0000b.png"}\n{"filepath": "a.png"}\n')
    assert sorted(column(listed(manifest), "bytes").values()) == [-1, 5]


def test_content_hashes_name_contents() -> None:
    assert content_hash(b"a") == content_hash(b"a") != content_hash(b"b")
    assert len(content_hash(b"")) == 32
    # The same in every process and on every machine, so that it can be kept.
    assert content_hash(b"a") == "27c35e6e9373877f29e562464e46497e"


def test_many_threads_may_read(media: Path) -> None:
    source, found = open_source(str(media)), []
    threads = [threading.Thread(target=lambda: found.append(source.read(str(media / "a.png")))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [b"a.png"] * 8
