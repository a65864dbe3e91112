"""Published sets: switched as one, unchanged files linked, and never taken from under a reader."""

import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import pytest

from resources import publishing
from resources.errors import MissingError, StoreError
from resources.publishing import Publishing, TableQuery, connect, manifest, open_set, prune, publish
from resources.store import Merge, Store

HASHES = TableQuery("hashes", "select content_hash, pixel_hash from pixel_hashes order by 1", ("pixel_hashes",))
FACTS = TableQuery("others", "select name from facts where name = 'a'", ("facts",))
PARTS = TableQuery(
    "parted",
    "select length(content_hash) as part, content_hash from pixel_hashes",
    ("pixel_hashes",),
    "select length(content_hash) as part, bit_xor(hash(content_hash)) as mark from pixel_hashes group by part",
)
ALL = (HASHES, FACTS, PARTS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "flowers" / "published"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "flowers" / "store.duckdb")
    yield opened
    opened.close()


def put(store: Store, *names: str) -> None:
    """Have the table hold rows of these names and no others."""
    values = ", ".join(f"('{name}', 'x')" for name in names)
    with store.write("run", "test") as transaction:
        transaction.merge(Merge("pixel_hashes", f"from (values {values}) as t(content_hash, pixel_hash)", "true"))


def go(store: Store, folder: Path, tables: Sequence[TableQuery] = ALL, state: str = "s", keep: int = 3) -> Publishing:
    return publish(store, folder, tables, {"state": state}, keep)


def names(folder: Path, table: str = "hashes") -> list[str]:
    with connect(folder) as connection:
        return [row[0] for row in connection.execute(f"select content_hash from {table} order by 1").fetchall()]


def age(folder: Path, seconds: float = 2 * publishing.SPARED_SECONDS) -> None:
    for path in (folder / "sets").iterdir():
        os.utime(path, (time.time() - seconds,) * 2)


def sets(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "sets").iterdir())


def test_a_set_holds_all_tables_and_says_what_it_was_made_of(store: Store, folder: Path) -> None:
    put(store, "a", "b")
    result = go(store, folder)
    assert (result.number, result.written, result.linked) == (1, ["hashes", "others", "parted"], [])
    assert names(folder) == names(folder, "parted") == ["a", "b"]
    assert os.readlink(folder / "current") == "sets/000001"
    found = manifest(folder)
    assert found is not None
    assert (found["number"], found["facts"]) == (1, {"state": "s"})
    assert duckdb.sql(f"from read_parquet('{folder}/current/parted/*.parquet')").fetchall() != []


def test_nothing_new_publishes_nothing(store: Store, folder: Path) -> None:
    put(store, "a")
    go(store, folder)
    assert go(store, folder).number == 1
    assert sets(folder) == ["000001"]


def test_another_state_with_the_same_rows_links_every_file(store: Store, folder: Path) -> None:
    put(store, "a", "bb")
    go(store, folder)
    result = go(store, folder, state="t")
    assert (result.number, result.written) == (2, [])
    for name in ("hashes.parquet", "parted/part-000001.parquet"):
        assert os.path.samefile(folder / "sets" / "000001" / name, folder / "sets" / "000002" / name)


def test_only_changed_tables_and_parts_are_written(store: Store, folder: Path) -> None:
    put(store, "a", "bb")
    go(store, folder)
    put(store, "a", "bb", "cc")
    result = go(store, folder)
    assert (result.written, result.linked) == (["hashes", "parted"], ["others"])
    before, after = folder / "sets" / "000001" / "parted", folder / "sets" / "000002" / "parted"
    assert os.path.samefile(before / "part-000001.parquet", after / "part-000001.parquet")
    assert not os.path.samefile(before / "part-000002.parquet", after / "part-000002.parquet")
    put(store, "bb", "cc")
    go(store, folder)
    assert names(folder, "parted") == ["bb", "cc"]
    assert [path.name for path in sorted((folder / "current" / "parted").iterdir())] == ["part-000002.parquet"]


def test_an_empty_table_of_parts_can_be_read(store: Store, folder: Path) -> None:
    go(store, folder)
    assert names(folder, "parted") == []


def test_another_query_or_another_store_writes_anew(store: Store, folder: Path, tmp_path: Path) -> None:
    put(store, "a")
    go(store, folder)
    other = TableQuery("hashes", "select content_hash, 1 as one from pixel_hashes", ("pixel_hashes",))
    assert go(store, folder, (other, FACTS, PARTS)).written == ["hashes"]
    fresh = Store(tmp_path / "fresh.duckdb")
    put(fresh, "b")
    assert go(fresh, folder).written == ["hashes", "others", "parted"]
    assert names(folder) == ["b"]
    fresh.close()


def test_a_reader_keeps_its_set_while_others_are_published_and_pruned(store: Store, folder: Path) -> None:
    put(store, "a")
    go(store, folder)
    with connect(folder) as early:
        for number in range(5):
            put(store, f"b{number}")
            go(store, folder, keep=1)
            age(folder)
        assert early.execute("select content_hash from hashes").fetchall() == [("a",)]
        prune(folder, 1)
        assert sets(folder) == ["000001", "000006"]
        assert early.execute("select content_hash from parted").fetchall() == [("a",)]
    prune(folder, 1)
    assert sets(folder) == ["000006"]


def test_young_sets_are_spared(store: Store, folder: Path) -> None:
    for number in range(5):
        put(store, f"b{number}")
        go(store, folder, keep=1)
    assert len(sets(folder)) == 5


@pytest.mark.parametrize("left", ["lease and some", "lease", "nothing"])
def test_a_set_whose_removal_was_killed_is_removed_later(store: Store, folder: Path, left: str) -> None:
    for name in ("a", "b"):
        put(store, name)
        go(store, folder)
    half = folder / "sets" / "000001"
    for entry in list(half.iterdir()):
        if entry.name != "lease" or left == "nothing":
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    if left == "lease and some":
        (half / "hashes.parquet").touch()
    age(folder)
    prune(folder, 1)
    assert sets(folder) == ["000002"]
    assert names(folder) == ["b"]


def test_a_kill_before_or_after_the_rename_is_repaired(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "a")
    go(store, folder)
    for step in ("rename", "replace"):
        put(store, step)
        with monkeypatch.context() as patched:
            patched.setattr(Path, step, _killed)
            with pytest.raises(KeyboardInterrupt):
                go(store, folder)
        assert names(folder) == ["a"]
    go(store, folder)
    assert names(folder) == ["replace"]
    age(folder)
    prune(folder, 1)
    assert sets(folder) == [os.path.basename(os.readlink(folder / "current"))]


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("where", ["lease", "fsync", "symlink"])
def test_an_error_of_the_disk_keeps_the_set_before(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    put(store, "a")
    go(store, folder)
    put(store, "b")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        if where == "fsync":
            patched.setattr(os, "fsync", full)
        else:
            patched.setattr(Path, "symlink_to" if where == "symlink" else "touch", full)
        with pytest.raises(StoreError, match=r"the set before stays current: .*No space left on device"):
            go(store, folder)
    assert names(folder) == ["a"]
    go(store, folder)
    assert names(folder) == ["b"]
    assert not list((folder / "sets").glob(".*"))


def test_before_anything_is_published_readers_are_told_what_to_do(folder: Path) -> None:
    assert manifest(folder) is None
    with pytest.raises(MissingError, match="nothing is published of flowers yet: run 'brain materialize flowers'"):
        open_set(folder).__enter__()


def test_a_current_that_leads_nowhere_is_nothing_published(store: Store, folder: Path) -> None:
    put(store, "a")
    go(store, folder)
    shutil.rmtree(folder / "sets")
    with pytest.raises(MissingError, match="nothing is published"):
        open_set(folder).__enter__()
    assert manifest(folder) is None
    assert go(store, folder).number == 1
    assert names(folder) == ["a"]


def test_a_damaged_manifest_is_replaced(store: Store, folder: Path) -> None:
    put(store, "a")
    go(store, folder)
    (folder / "current" / "manifest.json").write_text("{")
    assert manifest(folder) is None
    assert go(store, folder).number == 2
    assert json.loads((folder / "current" / "manifest.json").read_text())["number"] == 2


def test_a_published_file_that_is_gone_is_written_again(store: Store, folder: Path) -> None:
    put(store, "a")
    go(store, folder)
    (folder / "current" / "hashes.parquet").unlink()
    go(store, folder, state="t")
    assert names(folder) == ["a"]


def test_readers_cannot_write_what_is_published(store: Store, folder: Path) -> None:
    put(store, "a")
    go(store, folder)
    with connect(folder) as connection, pytest.raises(duckdb.Error):
        connection.execute("insert into hashes values ('b', 'y')")
    assert names(folder) == ["a"]


def test_quotes_in_the_path_do_no_harm(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "it's" / "published"
    put(store, "a", "bb")
    go(store, folder)
    assert names(folder) == names(folder, "parted") == ["a", "bb"]
