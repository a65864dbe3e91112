"""Published sets: switched as one, unchanged files linked, and never taken from under a reader."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brain_assets.resources.errors import MissingError, StoreError
from brain_assets.resources.store import publishing, seals
from brain_assets.resources.store.publishing import (
    Publishing,
    TableQuery,
    connect,
    damage,
    manifest,
    open_set,
    prune,
    publish,
)
from brain_assets.resources.store.store import Merge, Store

HASHES = TableQuery("hashes", "select content_hash, pixel_hash from pixel_hashes order by 1")
FACTS = TableQuery("others", "select name from facts where name = 'a'")
PARTS = TableQuery(
    "parted",
    "select length(content_hash) as part, content_hash from pixel_hashes",
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
    other = TableQuery("hashes", "select content_hash, 1 as one from pixel_hashes")
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


@pytest.mark.parametrize("step", ["rename", "symlink_to", "replace"])
def test_before_the_first_set_is_switched_to_nothing_is_published_and_nothing_damaged(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    put(store, "a")
    with monkeypatch.context() as patched:
        patched.setattr(Path, step, _killed)
        with pytest.raises(KeyboardInterrupt):
            go(store, folder)
    assert publishing.damage(folder) is None
    with pytest.raises(MissingError, match="nothing is published of flowers yet: run 'brain materialize flowers'"):
        open_set(folder).__enter__()
    go(store, folder)
    assert names(folder) == ["a"]
    (folder / "current").unlink()
    assert publishing.damage(folder) == "what is published is damaged"
    with pytest.raises(StoreError, match="of flowers is damaged: run 'brain materialize flowers'"):
        open_set(folder).__enter__()


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
        with pytest.raises(
            StoreError, match=r"the disk is full, .*No space left on device; the set before stays current"
        ):
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
    assert damage(folder) is not None
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


def flip(path: Path, at: int = -20) -> None:
    """Flip a bit of a file in its place."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def quietly(path: Path) -> None:
    """Flip a bit as a disk does: size and time stay."""
    found = path.stat()
    flip(path)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


HASHES_FILE, PART_FILE = "hashes.parquet", "parted/part-000002.parquet"
DAMAGES = {
    "a file is cut short": (lambda path: os.truncate(path / HASHES_FILE, 30), HASHES_FILE),
    "a bit of a file is another": (lambda path: flip(path / HASHES_FILE), HASHES_FILE),
    "a part is cut short": (lambda path: os.truncate(path / PART_FILE, 0), PART_FILE),
    "a file is gone": (lambda path: remove(path / HASHES_FILE), HASHES_FILE),
    "a part is gone": (lambda path: remove(path / PART_FILE), PART_FILE),
    "a folder of parts is gone": (lambda path: remove(path / "parted"), PART_FILE),
    "a file became a folder": (lambda path: (remove(path / HASHES_FILE), (path / HASHES_FILE).mkdir()), HASHES_FILE),
    "a part came from elsewhere": (lambda path: shutil.copy(path / PART_FILE, path / "parted" / "x.parquet"), ""),
    "the lease is gone": (lambda path: remove(path / "lease"), ""),
    "the manifest is gone": (lambda path: remove(path / "manifest.json"), HASHES_FILE),
    "a bit of the manifest is another": (lambda path: flip(path / "manifest.json", 15), HASHES_FILE),
    "current is gone": (lambda path: remove(path.parent.parent / "current"), HASHES_FILE),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_what_is_damaged_is_told_and_written_again_and_the_rest_is_linked(
    store: Store, folder: Path, kind: str
) -> None:
    put(store, "a", "bb")
    go(store, folder)
    assert damage(folder) is None
    break_it, written = DAMAGES[kind]
    break_it((folder / "current").resolve())
    assert "damaged" in (damage(folder) or "")
    result = go(store, folder)
    assert result.number == 2
    assert (result.written != []) == bool(written)
    assert names(folder) == names(folder, "parted") == ["a", "bb"]
    assert damage(folder) is None
    assert go(store, folder).number == 2
    whole = not written or "manifest" in kind or "current" in kind
    linked = os.path.samefile(folder / "sets/000001/others.parquet", folder / "sets/000002/others.parquet")
    assert linked == (not whole or not written)


def test_what_decays_without_a_trace_is_found_within_a_week(store: Store, folder: Path) -> None:
    put(store, "a", "bb")
    go(store, folder)
    quietly(folder / "current" / HASHES_FILE)
    assert go(store, folder).number == 1
    week = time.time() - seals.CHECK_SECONDS - 1
    os.utime(folder / seals.CHECKED, (week, week))
    assert go(store, folder).damaged == [HASHES_FILE]
    assert names(folder) == ["a", "bb"]
    assert not seals.check_is_due(folder)


def test_a_file_that_was_merely_touched_stands(store: Store, folder: Path) -> None:
    put(store, "a", "bb")
    go(store, folder)
    os.utime(folder / "current" / HASHES_FILE, (1, 1))
    assert damage(folder) is None
    assert (folder / "current" / HASHES_FILE).stat().st_mtime > 1, "it would be read again and again"
    assert go(store, folder).number == 1


@pytest.mark.parametrize(
    ("path", "table", "other"), [(HASHES_FILE, "hashes", "parted"), (PART_FILE, "parted", "hashes")]
)
def test_a_damaged_table_takes_no_other_away(store: Store, folder: Path, path: str, table: str, other: str) -> None:
    put(store, "a", "bb")
    go(store, folder)
    os.truncate(folder / "current" / path, 30)
    assert names(folder, other) == ["a", "bb"]
    for query in (
        f"from {table}",
        f"select count(*) from {table}",
        f"from {other} semi join {table} using (content_hash)",
    ):
        with (
            connect(folder) as connection,
            pytest.raises(duckdb.Error, match=f"table {table} is damaged: run 'brain materialize flowers'"),
        ):
            connection.execute(query).fetchall()
    with connect(folder, tolerant=True) as connection:
        assert connection.execute(f"select content_hash from {table}").fetchall() == []


def test_without_manifest_and_a_table_the_others_can_be_read(store: Store, folder: Path) -> None:
    put(store, "a", "bb")
    go(store, folder)
    (folder / "current" / "manifest.json").write_bytes(b"\xff")
    os.truncate(folder / "current" / HASHES_FILE, 30)
    assert names(folder, "parted") == ["a", "bb"]


def test_a_set_without_its_lease_says_what_to_do(store: Store, folder: Path) -> None:
    go(store, folder)
    (folder / "current" / "lease").unlink()
    with pytest.raises(StoreError, match="of flowers is damaged: run 'brain materialize flowers'"):
        open_set(folder).__enter__()


def contents(folder: Path) -> dict[str, bytes]:
    """Return every published file but those that say when."""
    current = folder / "current"
    said = manifest(folder) or {}
    found = {name: (current / name).read_bytes() for name in seals.files_in(current.resolve()) - {"manifest.json"}}
    return found | {"facts": json.dumps([said["facts"], said["tables"], said["columns"]]).encode()}


HURT = st.tuples(
    st.sampled_from(["truncate", "flip", "remove", "remove folder", "empty"]),
    st.sampled_from([HASHES_FILE, "others.parquet", PART_FILE, "parted/part-000001.parquet", "manifest.json", "lease",
                     "../../current", "../../checked"]),
    st.floats(0, 1, exclude_max=True),
)  # fmt: skip


def hurt(path: Path, how: str, place: float) -> None:
    """Damage a file in some way, where it is still there."""
    if how == "remove folder":
        shutil.rmtree(path.parent if not path.is_symlink() else path.resolve(), ignore_errors=True)
    elif path.is_symlink() or (how == "remove" and path.exists()):
        path.unlink()
    elif path.is_file() and path.stat().st_size:
        size = path.stat().st_size
        flip(path, int(place * size)) if how == "flip" else os.truncate(
            path, 0 if how == "empty" else int(place * size)
        )


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = Store(tmp_path_factory.mktemp("hurt") / "store.duckdb")
    yield opened
    opened.close()


@settings(max_examples=15)
@given(hurts=st.lists(HURT, min_size=1, max_size=5), also_changed=st.booleans())
def test_whatever_happens_to_a_set_the_next_equals_a_rebuild(
    shared_store: Store, hurts: list[tuple[str, str, float]], also_changed: bool
) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder, rebuilt = Path(root, "flowers", "published"), Path(root, "rebuilt", "published")
        put(shared_store, "a", "bb")
        go(shared_store, folder)
        current = (folder / "current").resolve()
        for how, name, place in hurts:
            hurt(Path(os.path.normpath(current / name)), how, place)
        if also_changed:
            put(shared_store, "a", "bb", "cc")
        go(shared_store, folder)
        go(shared_store, rebuilt)
        assert contents(folder) == contents(rebuilt)
        assert damage(folder) is None
