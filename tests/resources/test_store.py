"""The store: merges write what differs and nothing else, transactions are whole, and whatever the disk does is one line."""

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from brain_assets.resources.errors import MemoryExhausted, StoreError
from brain_assets.resources.store import store as module
from brain_assets.resources.store.store import Counts, Merge, Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "flowers" / "store.duckdb"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = Store(path)
    yield opened
    opened.close()


def hashes(**pixels: str | None) -> pa.Table:
    return pa.table({"content_hash": list(pixels), "pixel_hash": pa.array(pixels.values(), pa.string())})


def merge(store: Store, rows: pa.Table | str, within: str | None = None) -> Counts:
    with store.write("run", "test") as transaction:
        return transaction.merge(Merge("pixel_hashes", rows, within))


def stored(store: Store) -> list[tuple[object, ...]]:
    return store.rows("select content_hash, pixel_hash, changed from pixel_hashes order by 1")


def test_a_merge_stamps_what_differs_and_leaves_the_rest(store: Store) -> None:
    assert merge(store, hashes(a="1", b="2", c=None)) == Counts(added=3)
    assert merge(store, hashes(a="1", b="3", c=None, d="4")) == Counts(added=1, changed=1)
    assert stored(store) == [("a", "1", 1), ("b", "3", 2), ("c", None, 1), ("d", "4", 2)]
    assert store.version(["pixel_hashes"]) == 2
    assert store.version(["samples"]) == 0


def test_a_merge_that_changes_nothing_takes_no_number(store: Store) -> None:
    merge(store, hashes(a="1"))
    assert merge(store, hashes(a="1"), within="true") == Counts()
    assert merge(store, hashes()) == Counts()
    assert store.version(["pixel_hashes"]) == 1
    assert store.value("select max(number) from changes") == 1


def test_within_deletes_what_is_not_named_inside_it(store: Store) -> None:
    merge(store, hashes(a="1", b="2", c="3"))
    assert merge(store, hashes(a="1"), within="content_hash < 'c'") == Counts(deleted=1)
    assert [row[0] for row in stored(store)] == ["a", "c"]
    assert merge(store, "select * exclude (changed) from pixel_hashes where false", "true") == Counts(deleted=2)


@pytest.mark.parametrize("table", ["pixel_hashes", "content_pairs"])
def test_a_key_that_comes_twice_is_refused_by_name_and_nothing_is_written(store: Store, table: str) -> None:
    key = store.keys[table]
    others = {"content_pairs": ", 0.1 as embedding_distance, 1 as hamming, 0.1 as distance"}.get(table, "")
    once = "select " + ", ".join(f"'a' as {name}" for name in key) + others
    with store.write("run", "test") as transaction:
        transaction.merge(Merge(table, once))
    with (
        pytest.raises(StoreError, match=f"two rows for the table {table} have one key .{key[0]} 'b'"),
        store.write("run", "test") as transaction,
    ):
        transaction.merge(Merge(table, " union all ".join([once, *[once.replace("'a'", "'b'")] * 2])))
    with store.write("run", "test") as transaction:
        assert transaction.merge(Merge(table, once)) == Counts()
    assert store.value(f"select count(*) from {table}") == 1


def test_a_row_that_differs_takes_the_place_of_the_one_before_without_an_index(store: Store) -> None:
    query = "select 'k' as brain_key, i as node, [i] as neighbors, [{}::float] as distances, 1 as valid from range(5000) as t(i)"
    within = "brain_key = 'k'"
    with store.write("run", "test") as transaction:
        assert transaction.merge(Merge("graph", query.format("0"), within)) == Counts(added=5000)
    with store.write("run", "test") as transaction:
        other = query.format("if(i % 2 = 0, 0, 1)")
        assert transaction.merge(Merge("graph", f"{other} where i < 4000", within)) == Counts(
            changed=2000, deleted=1000
        )
    found = "select count(*), count(distinct node), sum(distances[1]), count_if(changed = 2) from graph"
    assert store.rows(found) == [(4000, 4000, 2000.0, 2000)]


def test_rows_may_come_from_a_query_over_the_same_table(store: Store) -> None:
    merge(store, hashes(a="1", b=None))
    rows = "select content_hash, coalesce(pixel_hash, 'none') as pixel_hash from pixel_hashes"
    assert merge(store, rows, within="true") == Counts(changed=1)
    assert stored(store) == [("a", "1", 1), ("b", "none", 2)]


def test_columns_left_out_are_null_or_their_default(store: Store) -> None:
    rows = pa.table({"model_version": ["m", "m"], "input_key": ["a", "b"], "error": ["bad", None]})
    with store.write("run", "test") as transaction:
        transaction.merge(Merge("vectors", rows))
    assert sorted(store.rows("select node, vector from vectors")) == [(0, None), (1, None)]


def test_a_transaction_is_all_or_nothing(store: Store) -> None:
    merge(store, hashes(a="1"))

    def interrupted() -> None:
        with store.write("run", "test") as transaction:
            transaction.merge(Merge("pixel_hashes", hashes(b="2"), within="true"))
            transaction.execute("insert into facts values ('x', '1', 0)")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert stored(store) == [("a", "1", 1)]
    assert store.fact("x") is None
    assert merge(store, hashes(c="3")) == Counts(added=1)


def test_an_error_in_our_own_sql_stays_what_it_is(store: Store) -> None:
    with pytest.raises(duckdb.CatalogException), store.write("run", "test") as transaction:
        transaction.merge(Merge("pixel_hashes", "from nowhere"))
    with pytest.raises(duckdb.ParserException):
        store.query("selec 1")
    assert merge(store, hashes(a="1")) == Counts(added=1)


def test_a_mark_tells_readers_of_a_bookkeeping_table(store: Store) -> None:
    with store.write("run", "test") as transaction:
        transaction.mark("runs")
    assert store.version(["runs"]) == 1


def test_what_was_committed_is_there_when_opened_again(path: Path) -> None:
    first = Store(path)
    merge(first, hashes(a="1"))
    identity = first.fact("store_id")
    first.close()
    again = Store(path)
    assert stored(again) == [("a", "1", 1)]
    assert again.fact("store_id") == identity
    again.close()


def test_every_table_has_a_key_and_every_merged_one_a_change_number(store: Store) -> None:
    tables = {row[0] for row in store.rows("select table_name from duckdb_tables() where not temporary")}
    assert tables - store.keys.keys() == {"schema_version", "seen"}
    stamped = {row[0] for row in store.rows("select table_name from duckdb_columns() where column_name = 'changed'")}
    assert tables - stamped == {
        "schema_version", "changes", "versions", "watermarks", "runs", "keys", "seen", "data_versions",
    }  # fmt: skip


def test_migrations_are_numbered_without_gaps_or_doubles() -> None:
    files = sorted(path.name for path in next(iter(module.MIGRATIONS.values())).parent.glob("*.sql"))
    assert [int(name[:4]) for name in files] == list(range(1, len(files) + 1))


def test_each_migration_is_applied_once_and_in_order(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = dict(module.MIGRATIONS)
    assert sorted(known) == list(range(1, len(known) + 1))
    with monkeypatch.context() as patched:
        patched.setattr(module, "MIGRATIONS", {1: known[1]})
        patched.setattr(Store, "_keys", lambda _: {"pixel_hashes": ["content_hash"]})
        old = Store(path)
        merge(old, hashes(a="1"))
        old.close()
    later = tmp_path / "later.sql"
    later.write_text(
        "create table later as select count(*) as hashes from pixel_hashes; alter table runs add column x int;"
    )
    monkeypatch.setattr(module, "MIGRATIONS", {**known, len(known) + 1: later})
    for _ in range(2):
        migrated = Store(path)
        assert migrated.value("select hashes from later") == 1
        assert migrated.rows("select version from schema_version order by 1") == [
            (n,) for n in range(1, len(known) + 2)
        ]
        migrated.close()


def test_tables_that_lose_their_index_keep_their_rows(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = dict(module.MIGRATIONS)
    with monkeypatch.context() as patched:
        patched.setattr(module, "MIGRATIONS", {number: known[number] for number in range(1, 17)})
        patched.setattr(Store, "_keys", lambda _: {})
        old = Store(path)
        old.connection.execute("insert into content_pairs values ('k', 'a', 'b', 0.1, 2, null, 0.3, 7)")
        old.connection.execute("insert into leaks values ('k', 'a', 'b', 'train', 'test', 0.1, 'near', 7)")
        old.connection.execute("insert into graph values ('k', 1, [2], [0.5], 1, 7)")
        old.connection.execute("insert into neighbors values ('k', 'a', ['b'], [0.5], 7)")
        old.close()
    for _ in range(2):
        migrated = Store(path)
        assert migrated.rows("from content_pairs") == [("k", "a", "b", 0.1, 2, None, 0.3, 7, *[None] * 5)]
        assert migrated.rows("from leaks") == [("k", "a", "b", "train", "test", 0.1, "near", 7, None, None)]
        assert migrated.rows("from graph") == [("k", 1, [2], [0.5], 1, 7)]
        assert migrated.rows("from neighbors") == [("k", "a", ["b"], [0.5], 7)]
        indexed = {
            row[0]
            for row in migrated.rows("select table_name from duckdb_constraints() where constraint_type like 'PRI%'")
        }
        assert indexed.isdisjoint({"content_pairs", "leaks", "graph", "neighbors"})
        migrated.close()


def test_a_migration_that_fails_leaves_the_store_as_it_was(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store(path).close()
    broken = tmp_path / "broken.sql"
    broken.write_text("create table halfway (x int); from nowhere;")
    with monkeypatch.context() as patched:
        patched.setattr(module, "MIGRATIONS", {**module.MIGRATIONS, 99: broken})
        with pytest.raises(duckdb.CatalogException):
            Store(path)
    opened = Store(path)
    assert opened.rows("select * from duckdb_tables() where table_name = 'halfway'") == []
    opened.close()


def test_a_store_of_a_newer_version_says_to_upgrade(path: Path) -> None:
    opened = Store(path)
    opened.connection.execute("insert into schema_version values (999)")
    opened.close()
    with pytest.raises(StoreError, match=r"made by a newer version \(schema 999, known \d+\): upgrade"):
        Store(path)


def test_a_file_that_another_process_has_open_is_named(path: Path, store: Store) -> None:
    script = (
        "import sys, pathlib; from brain_assets.resources.store.store import Store; Store(pathlib.Path(sys.argv[1]))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
    assert "StoreError" in done.stderr
    assert "is open in another program, close it there" in done.stderr


def damage(data: bytes, how: str) -> bytes:
    return {
        "no database": b"hello " * 1000,
        "empty": b"",
        "cut short": data[:100],
        "overwritten": data[:20_000] + bytes(40_000) + data[60_000:],
    }[how]


@pytest.mark.parametrize("how", ["no database", "empty", "cut short", "overwritten"])
def test_a_damaged_file_says_what_to_do(path: Path, how: str) -> None:
    Store(path).close()
    path.write_bytes(damage(path.read_bytes(), how))
    with pytest.raises(StoreError, match=r"is damaged: 'brain doctor .*' sets it aside") as caught:
        Store(path)
    assert "\n" not in str(caught.value)


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"File exists|Not a directory"):
        Store(tmp_path / "file" / "store.duckdb")


FULL = """
import resource, sys
from pathlib import Path
from brain_assets.resources.errors import MemoryExhausted, StoreError
from brain_assets.resources.store.store import Merge, Store
store = Store(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
rows = "select i::varchar as content_hash, hash(i)::varchar || hash(i + 1) as pixel_hash from range(400000) as t(i)"
try:
    with store.write("run", "test") as transaction:
        transaction.merge(Merge("pixel_hashes", rows))
except StoreError as error:
    print(error)
"""


def test_a_full_disk_is_said_and_loses_nothing(path: Path) -> None:
    opened = Store(path)
    merge(opened, hashes(a="1"))
    opened.close()
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=False)
    assert "the disk is full, free some space below" in done.stdout, done.stderr
    assert len(done.stdout.splitlines()) == 1
    again = Store(path)
    assert stored(again) == [("a", "1", 1)]
    assert merge(again, hashes(b="2")) == Counts(added=1)
    again.close()


@pytest.mark.parametrize("room", [0, 5_000, 300_000])
def test_a_full_disk_leaves_no_part_of_a_store_that_is_being_made(path: Path, room: int) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(StoreError, match="the disk is full, free some space below"):
            Store(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(path.parent.iterdir()) == []
    Store(path).close()


def test_memory_is_bounded_and_large_work_goes_to_disk_beside_the_store(path: Path) -> None:
    opened = Store(path, "64MB")
    query = "select i, hash(i) as h, repeat('x', 100) as t from range(1000000) as r(i) order by h"
    assert opened.value(f"select count(*) from ({query} limit 900000)") == 900_000
    assert opened.value("select current_setting('temp_directory')") == str(path.with_suffix(".spill"))
    opened.close()
    assert not list(path.parent.glob("*.spill/*"))


GREEDY = "select max(len(found)) from (select list(i order by hash(i)) as found from range(1000000) as r(i))"


def test_a_query_that_cannot_work_on_disk_gets_more_memory_where_there_is_some(path: Path) -> None:
    opened = Store(path, "16MB", may_grow=True)
    with pytest.raises(MemoryExhausted, match="raise `memory` in"):
        opened.value(GREEDY)
    assert opened.growing(lambda: opened.value(GREEDY)) == 1_000_000
    assert opened.memory > 16_000_000
    opened.close()


def test_a_limit_that_is_set_by_hand_or_by_the_machine_holds(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for may_grow, free in ((False, 10**12), (True, 20_000_000), (True, None)):
        monkeypatch.setattr(module, "available_memory", lambda free=free: free)
        opened = Store(path, "16MB", may_grow=may_grow)
        with pytest.raises(MemoryExhausted):
            opened.growing(lambda opened=opened: opened.value(GREEDY))
        assert opened.memory == 16_000_000
        opened.close()


def test_what_goes_to_disk_is_bounded_and_said_in_one_line(path: Path) -> None:
    opened = Store(path, "64MB", "1MB")
    merge(opened, hashes(a="1"))
    rows = "select md5(i::varchar) as content_hash, md5(i::varchar) as pixel_hash from range(600000) as r(i)"
    with (
        pytest.raises(StoreError, match=r"needs more disk than `spill` in settings.yaml allows") as told,
        opened.write("run", "asset") as transaction,
    ):
        transaction.execute(f"create temp table large as {rows} union all by name {rows}")
    assert len(str(told.value).splitlines()) == 1
    assert stored(opened) == [("a", "1", 1)]
    opened.close()


def test_what_a_killed_process_spilled_is_removed(path: Path) -> None:
    Store(path).close()
    left = path.with_suffix(".spill") / "duckdb_temp_storage_DEFAULT-0.tmp"
    left.parent.mkdir()
    left.touch()
    opened = Store(path)
    assert not left.exists()
    opened.close()
