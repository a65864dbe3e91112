"""Versions: what was published can be read back as it was, at the cost of what changed, as long as it is kept."""

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from brain_assets.resources.errors import ConfigurationError, MissingError
from brain_assets.resources.store import deltas, history, publishing
from brain_assets.resources.store.deltas import Retention, Version, steps, thin, wanted
from brain_assets.resources.store.publishing import TableQuery, connect, publish
from brain_assets.resources.store.store import Merge, Store

ALL = Retention()
NONE = deltas.NOTHING
ROWS = TableQuery("rows", "select content_hash, pixel_hash from pixel_hashes order by 1")
TWICE = TableQuery("twice", "select pixel_hash from pixel_hashes")
PARTS = TableQuery(
    "parted",
    "select length(content_hash) as part, content_hash, [pixel_hash] as list from pixel_hashes",
    "select length(content_hash) as part, bit_xor(hash(content_hash, pixel_hash)) as mark from pixel_hashes group by part",
)
WIDER = TableQuery("rows", "select content_hash, pixel_hash, 1 as one from pixel_hashes order by 1")
STILL = TableQuery("still", "select name from facts where name = 'a'")
Rows = Counter[tuple]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "flowers" / "published"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "flowers" / "store.duckdb")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store for all examples of a property, each of which publishes to a folder of its own."""
    opened = Store(tmp_path_factory.mktemp("lasting") / "store.duckdb")
    yield opened
    opened.close()


def put(store: Store, rows: Mapping[str, str]) -> None:
    values = ", ".join(f"('{key}', '{value}')" for key, value in rows.items()) or "(null, null)"
    query = f"from (values {values}) as t(content_hash, pixel_hash) where content_hash is not null"
    with store.write("run", "test") as transaction:
        transaction.merge(Merge("pixel_hashes", query, "true"))


def go(store: Store, folder: Path, *tables: TableQuery, state: str = "s", retention: Retention = ALL) -> int:
    return publish(store, folder, tables or (ROWS, TWICE, PARTS, STILL), {"state": state}, 1, retention).number


def tables_of(connection: duckdb.DuckDBPyConnection) -> dict[str, Rows]:
    views = connection.execute("select view_name from duckdb_views() where not internal").fetchall()
    return {name: Counter(map(repr, connection.execute(f"from {name}").fetchall())) for (name,) in views}


def current(folder: Path) -> dict[str, Rows]:
    with connect(folder) as connection:
        return tables_of(connection)


def at(folder: Path, spec: str | int) -> dict[str, Rows]:
    with history.open_history(folder) as opened, history.connect_at(opened, opened.at(spec)) as connection:
        return tables_of(connection)


STATES = st.lists(
    st.dictionaries(st.sampled_from(["a", "b", "cc", "dd", "eee"]), st.sampled_from("xyz"), max_size=5),
    min_size=2,
    max_size=5,
)


@pytest.mark.slow
@given(STATES, st.sets(st.integers(1, 5)), st.integers(0, 4), st.data())
@settings(max_examples=10)
def test_any_version_is_read_back_as_it_was_published_and_changes_lead_from_one_to_another(
    lasting: Store,
    tmp_path_factory: pytest.TempPathFactory,
    states: list[dict[str, str]],
    tagged: set[int],
    widened: int,
    data: st.DataObject,
) -> None:
    """Whatever is merged away in between, and whether a table gains a column or goes on the way."""
    folder, store = tmp_path_factory.mktemp("versions") / "flowers" / "published", lasting
    seen = {}
    for place, state in enumerate(states):
        put(store, state)
        wide = (WIDER, PARTS) if place >= widened else (ROWS, TWICE, PARTS, STILL)
        number = go(store, folder, *wide, state=str(place))
        seen[number] = current(folder)
    deltas.write_tags(folder, {f"t{number}": number for number in tagged})
    assert {number: at(folder, number) for number in seen} == seen
    # A change is of rows of the same columns.
    alike = [number for number in seen if number <= widened] or [*seen]
    one = data.draw(st.sampled_from(alike))
    assert_change_leads(folder, seen, one, data.draw(st.sampled_from([number for number in alike if number >= one])))
    newest = max(seen)
    gone = thin(folder, newest, NONE)
    assert set(gone) == seen.keys() - tagged - {newest}
    left = seen.keys() & (tagged | {newest})
    assert {number: at(folder, number) for number in left} == {number: seen[number] for number in left}


@given(
    older=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=30),
    newer=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=30),
    held=st.sampled_from([0, 1 << 26]),
    sorted_out=st.integers(1, 9),
)
@settings(max_examples=60, deadline=None)
def test_a_difference_counts_rows_whether_files_are_held_or_only_their_marks(
    tmp_path_factory: pytest.TempPathFactory,
    older: list[tuple[str, int]],
    newer: list[tuple[str, int]],
    held: int,
    sorted_out: int,
) -> None:
    folder = tmp_path_factory.mktemp("difference")
    for name, rows in (("older", older), ("newer", newer)):
        letters, numbers = [row[0] for row in rows], [row[1] for row in rows]
        parquet.write_table(pa.table({"a": pa.array(letters, pa.string()), "b": numbers}), folder / f"{name}.parquet")
    change = deltas.Change([folder / "older.parquet"], [folder / "newer.parquet"])
    with duckdb.connect() as connection, pytest.MonkeyPatch.context() as patch:
        patch.setattr(deltas, "HELD_BYTES", held)
        patch.setattr(deltas, "SORTED_OUT", sorted_out)
        deltas._write_difference(connection, {"a": "VARCHAR", "b": "BIGINT"}, change, folder / "found.parquet")
    found = parquet.read_table(folder / "found.parquet").to_pylist() if (folder / "found.parquet").exists() else []
    more, fewer = Counter(older) - Counter(newer), Counter(newer) - Counter(older)
    expected = {**more, **{row: -count for row, count in fewer.items()}}
    assert {(row["a"], row["b"]): row["_count"] for row in found} == expected


def assert_change_leads(folder: Path, seen: Mapping[int, dict[str, Rows]], one: int, other: int) -> None:
    """Check that a change applied to the older version gives the newer."""
    with history.open_history(folder) as opened:
        older, newer = opened.at(one), opened.at(other)
        for table in seen[one]:
            found = Counter(seen[one][table])
            if query := history.change(opened, older, newer, table):
                for *row, count in duckdb.connect().execute(query).fetchall():
                    found[repr(tuple(row))] += count
            assert +found == seen[other][table]
            assert min(found.values(), default=0) >= 0


def test_a_step_costs_what_changed(store: Store, folder: Path) -> None:
    many = {f"{number:05}": "x" for number in range(5000)}
    put(store, many)
    go(store, folder)
    put(store, many | {"00000": "y"})
    go(store, folder)
    (step,) = steps(folder, 2)
    path = deltas.folder_of(folder) / step.name
    assert sorted(one.name for one in path.glob("*.parquet")) == ["parted.parquet", "rows.parquet", "twice.parquet"]
    found = duckdb.sql(f"select pixel_hash, _count from '{path}/rows.parquet' order by 1").fetchall()
    assert found == [("x", 1), ("y", -1)]
    assert sum(one.stat().st_size for one in path.iterdir()) < 5000
    assert step.samples is None


def test_versions_are_named_by_number_tag_and_date(store: Store, folder: Path) -> None:
    for place, name in enumerate("abc"):
        put(store, {name: "x"})
        go(store, folder, state=str(place))
    history.tag(folder, 2, "before-cleanup")
    assert at(folder, "before-cleanup") == at(folder, "2")
    assert at(folder, "current") == at(folder, 3) == current(folder)
    with history.open_history(folder) as opened:
        today = f"{opened.versions[0].at:%Y-%m-%d}"
        assert opened.at(today).number == 3
        assert opened.at(opened.versions[1].at.isoformat()).number == 2
        assert opened.at(2).name.endswith("before-cleanup")
        with pytest.raises(MissingError, match="nothing of 2001-02-03 is kept: the first version is 1"):
            opened.at("2001-02-03")
        with pytest.raises(MissingError, match=r"no version 'befor' .versions: 3, 2, before-cleanup, 1;"):
            opened.at("befor")
    for wrong in ("7", "2026-01-01", " ", "current"):
        with pytest.raises(ConfigurationError, match="a tag is a word"):
            history.tag(folder, 2, wrong)
    assert history.tag(folder, "before-cleanup", None).number == 2
    with pytest.raises(MissingError, match="no tag"):
        history.tag(folder, "before-cleanup", None)


def test_what_is_kept_thins_out_with_age() -> None:
    now = datetime(2026, 11, 26, 12, tzinfo=UTC)
    hourly = [now - timedelta(hours=3 * number) for number in range(8 * 400)]
    versions = [
        Version(len(hourly) - place, len(hourly) - place + 1, moment.isoformat(), 0, {}, {})
        for place, moment in enumerate(hourly)
    ]
    kept = wanted(versions, Retention(24, 31, 53), {"first": 1}, now)
    assert 1 in kept
    assert {one.number for one in versions if now - one.at < timedelta(hours=24)} <= kept
    assert len(kept) < 9 + 31 + 54
    assert wanted(versions, Retention(0, 0, 0), {}, now) == frozenset()
    # Thinning again later keeps of a past day and week the version that was kept.
    later = wanted([one for one in versions if one.number in kept], Retention(24, 31, 53), {}, now + timedelta(days=9))
    old = {one.number for one in versions if one.number in kept and now - one.at > timedelta(days=40)}
    assert len(old - later) <= 3


def test_a_version_outlives_the_damage_of_what_followed(store: Store, folder: Path) -> None:
    put(store, {"a": "x", "bb": "x"})
    go(store, folder)
    first = current(folder)
    put(store, {"a": "y", "bb": "x"})
    go(store, folder)
    second = current(folder)
    (folder / "sets" / "000002" / "rows.parquet").write_bytes(b"damaged")
    put(store, {"a": "z", "bb": "x"})
    go(store, folder)
    with history.open_history(folder) as opened:
        assert opened.at(2).steps[-1].lost == ["rows"]
        for spec, seen in ((1, first), (2, second)):
            with history.connect_at(opened, opened.at(spec)) as connection:
                with pytest.raises(duckdb.Error, match="is lost: it was damaged"):
                    connection.execute("from rows").fetchall()
                assert Counter(map(repr, connection.execute("from parted").fetchall())) == seen["parted"]


def test_versions_before_a_set_that_cannot_be_read_are_kept_and_told(store: Store, folder: Path) -> None:
    for value in "xyz":
        put(store, {"a": value, "bb": "x"})
        go(store, folder)
        if value == "y":
            (folder / "sets" / "000002" / "manifest.json").write_text("damaged")
    with history.open_history(folder) as opened:
        assert [one.number for one in opened.versions] == [3]
        assert str(opened.unreachable).endswith("as the set that followed was damaged: 1")
    thin(folder, 3, Retention(0, 0, 0))
    assert not list(deltas.folder_of(folder).glob("0*"))


@pytest.mark.parametrize("left", ["draft", "merged", "half"])
def test_a_kill_while_versions_are_kept_or_merged_loses_none(store: Store, folder: Path, left: str) -> None:
    seen = {}
    for place, name in enumerate("abcd"):
        put(store, {name: "x", "z": name})
        number = go(store, folder, state=str(place))
        seen[number] = current(folder)
    versions = deltas.folder_of(folder)
    kept = {path.name: shutil.copytree(path, folder.parent / path.name) for path in versions.glob("0*")}
    thin(folder, 4, Retention(0, 0, 0))
    history.tag(folder, 4, "last")
    for path in versions.glob("0*"):
        shutil.rmtree(path)
    if left == "draft":
        shutil.copytree(kept["000001-000002"], versions / ".000001-000003")
        names = list(kept)
    elif left == "merged":
        names = list(kept)
    else:
        names = [name for name in kept if name != "000001-000002"]
    for name in names:
        shutil.copytree(kept[name], versions / name)
    expected = {number: one for number, one in seen.items() if left != "half" or number > 1}
    assert {number: at(folder, number) for number in expected} == expected
    thin(folder, 4, ALL)
    assert {number: at(folder, number) for number in expected} == expected
    assert not list(versions.glob(".*-*"))


def test_readers_keep_versions_from_being_merged(store: Store, folder: Path) -> None:
    for place, name in enumerate("abc"):
        put(store, {name: "x"})
        go(store, folder, state=str(place))
    with history.open_history(folder) as opened, history.connect_at(opened, opened.at(1)) as connection:
        assert thin(folder, 3, NONE) == []
        put(store, {"d": "x"})
        go(store, folder)
        publishing.prune(folder, 1)
        assert connection.execute("select content_hash from rows").fetchall() == [("a",)]
    assert thin(folder, 4, NONE) == [1, 2, 3]
    assert [one.number for one in steps(folder, 4)] == []
