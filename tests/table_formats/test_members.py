"""Published tables in others' formats: each reads back as it is published, and is written again only where it changed."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import urllib3
import yaml
from pyarrow import parquet

from brain_assets.answers import table_formats
from brain_assets.app.demo import free_port
from brain_assets.incremental.update import Report
from brain_assets.resources.errors import ConfigurationError, MissingError
from brain_assets.resources.settings.alerts import ALERTS
from brain_assets.resources.store.publishing import connect, manifest
from brain_assets.resources.table_formats import door
from brain_assets.resources.table_formats.door import Place, TableFormat, place_of, streamed, table_format
from tests.workshop import TABLES, Workshop, write_pictures

FORMATS = ("delta", "iceberg", "lance")
# What tables of every kind are filled by; all of them are published.
FEW = {
    "reviews",
    "samples",
    "media",
    "ground_truth",
    "predictions",
    "objects",
    "image_quality",
    "published",
    table_formats.NAME,
}
pytestmark = [
    # Of libraries among themselves.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(params=FORMATS)
def member(request: pytest.FixtureRequest) -> TableFormat:
    return _member(request.param)


def _member(name: str) -> TableFormat:
    try:
        return table_format(name)
    except MissingError as error:
        pytest.skip(str(error))


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """A dataset with labels, boxes and outlines, predictions, and a picture that cannot be read."""
    media = tmp_path / "media"
    write_pictures(media, range(6))
    (media / "broken.png").write_bytes(b"no picture")
    outline = {"segmentation": [[1, 1, 9, 1, 9, 9]], "bbox": [1, 1, 8, 8], "area": 32, "iscrowd": 0}
    labels = {
        "images": [{"id": n, "file_name": f"{n:05}.png", "width": 20, "height": 16} for n in range(6)],
        "categories": [{"id": 1, "name": "plum"}],
        "annotations": [{"id": n, "image_id": n, "category_id": 1, **outline} for n in range(4)],
    }
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    (tmp_path / "guesses.csv").write_text("filepath,label,confidence\n00001.png,plum,.5\n00002.png,pear,.25\n")
    return Workshop(
        tmp_path / "home",
        media,
        select=FEW,
        labels=[{"uri": str(tmp_path / "labels.json")}],
        predictions=[{"uri": str(tmp_path / "guesses.csv"), "field": "kind", "model": "m"}],
    )


def declare(shop: Workshop, **publish: Any) -> None:
    shop.declare(**{**yaml.safe_load(shop.paths.config.read_text()), "publish": publish})


def run(shop: Workshop) -> Report:
    """Bring everything up to date, and return what became of the formats."""
    return shop.run()[table_formats.NAME]


def became(shop: Workshop, member: TableFormat) -> table_formats.Written:
    return table_formats.written(shop.paths, [member.name])[f"{member.name}_tables"]


def rewritten(report: Report, member: TableFormat) -> set[str]:
    return set(filter(None, report.notes[f"{member.name}: written"].split(", ")))


def place(shop: Workshop, member: TableFormat, to: str = "formats") -> Place:
    return place_of(member.name, to, "", shop.paths.folder)


def read(place: Place, table: str) -> pa.Table:
    """Read a table as those do who know nothing of us."""
    if place.format == "delta":
        from deltalake import DeltaTable

        opened = DeltaTable(f"{place.root}/{table}", storage_options=dict(place.options))
        return pa.table(opened.to_pyarrow_table()) if not opened.protocol().reader_features else _scanned(opened)
    if place.format == "lance":
        import lance

        return lance.dataset(f"{place.root}/{table}.lance", storage_options=dict(place.options)).to_table()
    from brain_assets.resources.table_formats.iceberg import NAMESPACE, _catalog

    with _catalog(place) as catalog:
        return catalog.load_table((NAMESPACE, table)).scan().to_arrow()


def _scanned(opened: Any) -> pa.Table:
    return pa.table(opened.to_pyarrow_table())


def version(place: Place, table: str) -> Any:
    if place.format == "delta":
        from deltalake import DeltaTable

        return DeltaTable(f"{place.root}/{table}").version()
    if place.format == "lance":
        import lance

        return lance.dataset(f"{place.root}/{table}.lance").version
    from brain_assets.resources.table_formats.iceberg import NAMESPACE, _catalog

    with _catalog(place) as catalog:
        return catalog.load_table((NAMESPACE, table)).current_snapshot().snapshot_id


def earlier(place: Place, table: str, number: Any) -> pa.Table:
    """Read a version of before, by the format's own means."""
    if place.format == "delta":
        from deltalake import DeltaTable

        return pa.table(DeltaTable(f"{place.root}/{table}", version=number).to_pyarrow_table())
    if place.format == "lance":
        import lance

        return lance.dataset(f"{place.root}/{table}.lance", version=number).to_table()
    from brain_assets.resources.table_formats.iceberg import NAMESPACE, _catalog

    with _catalog(place) as catalog:
        return catalog.load_table((NAMESPACE, table)).scan(snapshot_id=number).to_arrow()


def tables(shop: Workshop) -> dict[str, tuple[list[tuple[str, str]], list[tuple[Any, ...]]]]:
    """Return columns with types, and rows, of all that is published."""
    with connect(shop.paths.published) as connection:
        views = connection.execute("select view_name from duckdb_views() where not internal").fetchall()
        return {name: _content(connection, f"from {name}") for (name,) in views}


def _content(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[list[tuple[str, str]], list[tuple[Any, ...]]]:
    described = connection.execute(f"describe {query}").fetchall()
    return sorted((name, kind) for name, kind, *_ in described), _rows(connection, query, [row[0] for row in described])


def _rows(connection: duckdb.DuckDBPyConnection, query: str, columns: list[str]) -> list[tuple[Any, ...]]:
    named = ", ".join(f'"{name}"' for name in sorted(columns))
    return sorted(connection.execute(f"select {named} from ({query})").fetchall(), key=repr)


def content(table: pa.Table) -> tuple[list[tuple[str, str]], list[tuple[Any, ...]]]:
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.register("read_back", table)
        return _content(connection, "from read_back")


def assert_reads_back(shop: Workshop, member: TableFormat, where: Place) -> None:
    published = tables(shop)
    assert len(published) > 30
    for name, (columns, rows) in published.items():
        kinds = (
            columns if member.unsigned else [(one, kind.replace("UBIGINT", "DECIMAL(20,0)")) for one, kind in columns]
        )
        found, back = content(read(where, name))
        assert found == kinds, name
        assert repr(back) == repr(rows) or back == rows, name


def test_what_is_published_reads_back_equal(shop: Workshop, member: TableFormat) -> None:
    shop.select = TABLES
    declare(shop, format=member.name)
    report = run(shop)
    assert (report.failed, rewritten(report, member)) == ({}, set(tables(shop)))
    assert shop.rows("select count(*) from objects where polygon is not null") == [(4,)]
    assert shop.rows("select count(*) from image_quality where phash > 9223372036854775807") > [(0,)]
    assert_reads_back(shop, member, place(shop, member))
    assert str(became(shop, member)).startswith(f"set 1, {len(tables(shop))} tables in ")


def test_a_table_that_is_the_same_gets_no_version(shop: Workshop, member: TableFormat) -> None:
    declare(shop, format=[member.name])
    run(shop)
    where = place(shop, member)
    first = {name: version(where, name) for name in tables(shop)}
    assert rewritten(run(shop), member) == set()
    assert {name: version(where, name) for name in first} == first
    before = content(read(where, "samples"))
    write_pictures(shop.home.root.parent / "media", [77])
    changed = rewritten(run(shop), member)
    assert {"samples", "image_quality"} <= changed
    assert {"objects", "tags", "decisions", "ground_truth"}.isdisjoint(changed)
    assert {name for name in first if version(where, name) != first[name]} == changed
    assert_reads_back(shop, member, where)
    # Time travel is the format's own.
    assert content(earlier(where, "samples", first["samples"])) == before


def test_what_was_written_is_known_whatever_became_of_the_run(shop: Workshop, member: TableFormat) -> None:
    declare(shop, format=[member.name])
    run(shop)
    # A run that was killed after it wrote, and before it noted that.
    noted = json.loads(shop.paths.formats.read_text())
    shop.paths.formats.write_text(json.dumps(noted | {"runs": {}}))
    assert rewritten(run(shop), member) == set()


def test_a_table_that_is_gone_is_told(shop: Workshop, member: TableFormat) -> None:
    declare(shop, format=[member.name])
    run(shop)
    declare(shop, format=[member.name], tables=["samples", "issues"])
    report = run(shop)
    left = set(tables(shop)) - {"samples", "issues"}
    assert set(report.notes[f"{member.name}: not published any more"].split(", ")) == left
    assert "not published any more: box_faults, " in str(became(shop, member))
    assert set(became(shop, member).left) == left
    # It is told as long as it is there, and stays for those who read it.
    assert set(run(shop).notes[f"{member.name}: not published any more"].split(", ")) == left
    declare(shop, format=[member.name], tables=["sample"])
    assert "publish.tables: there is no table 'sample' (tables: box_faults, " in "".join(run(shop).failed.values())


def test_a_destination_that_cannot_be_written_stops_nothing_else(shop: Workshop, member: TableFormat) -> None:
    blocked = shop.home.root.parent / "blocked"
    blocked.write_text("a file where a folder should be")
    declare(shop, format=[member.name], to=str(blocked))
    report = run(shop)
    told = report.failed[f"{member.name}_tables"]
    assert "\n" not in told
    assert f"{member.title} cannot be written to {blocked}/{member.name}: Not a directory" in told
    assert (manifest(shop.paths.published) or {})["number"] == 1
    # It is told once, and tried by every run.
    alerts = shop.home.root / ALERTS
    assert len(alerts.read_text().splitlines()) == 1
    assert run(shop).failed
    assert len(alerts.read_text().splitlines()) == 1
    blocked.unlink()
    assert run(shop).failed == {}
    assert became(shop, member).error is None
    assert_reads_back(shop, member, place(shop, member, str(blocked)))


def test_one_format_fails_alone(shop: Workshop) -> None:
    members = [_member(name) for name in FORMATS]
    (shop.paths.folder / "formats").mkdir()
    (shop.paths.folder / "formats" / "delta").write_text("in the way")
    declare(shop, format=list(FORMATS))
    assert set(run(shop).failed) == {"delta_tables"}
    for one in members[1:]:
        assert_reads_back(shop, one, place(shop, one))
    # What is not asked for any more is not spoken of, and stays.
    declare(shop, format=["lance"])
    assert run(shop).failed == {}
    assert set(table_formats.written(shop.paths, ["lance"])) == {"lance_tables"}
    assert Path(place(shop, members[1]).root).is_dir()


def test_a_table_of_somebody_else_stays_as_it_is(shop: Workshop, tmp_path: Path, member: TableFormat) -> None:
    there = place_of(member.name, str(tmp_path / "shared"), "somebody", shop.paths.folder)
    Path(there.root).mkdir(parents=True)
    member.write(there, "samples", pa.table({"theirs": [1]}).to_reader(), there.mark("1"))
    declare(shop, format=[member.name], to=str(tmp_path / "shared"))
    told = run(shop).failed[f"{member.name}_tables"]
    assert (
        f"the table samples in {there.root} is not of this dataset, and stays as it is: name another place by publish.to"
        in told
    )
    assert read(there, "samples").to_pydict() == {"theirs": [1]}


@pytest.fixture
def where(tmp_path: Path, member: TableFormat) -> Iterator[Place]:
    (tmp_path / member.name).mkdir()
    return place_of(member.name, str(tmp_path), "us", tmp_path)


def test_columns_come_go_and_change(where: Place, member: TableFormat) -> None:
    versions: list[dict[str, Any]] = [
        {"a": pa.array([1, None], pa.int64()), "b": pa.array(["x", "y"])},
        {"a": pa.array([1.5], pa.float64()), "c": pa.array([[[0.5]]], pa.list_(pa.list_(pa.float64())))},
        {"c": pa.array([], pa.string())},
        {"b": pa.array([True]), "a": pa.array([7], pa.int64())},
    ]
    for number, columns in enumerate(versions):
        member.write(where, "t", pa.table(columns).to_reader(), where.mark(str(number)))
        assert member.known(where, "t") == f"brain_assets us {number}"
        assert content(read(where, "t")) == content(pa.table(columns))
    assert member.known(where, "other") is None


def test_numbers_without_a_sign_stay_what_they_are(tmp_path: Path, where: Place, member: TableFormat) -> None:
    table = pa.table({
        f"u{bits}": pa.array([0, 2**bits - 1, None], getattr(pa, f"uint{bits}")()) for bits in (8, 16, 32, 64)
    } | {"many": pa.array([[2**64 - 1], [], None], pa.list_(pa.uint64()))})  # fmt: skip
    parquet.write_table(table, tmp_path / "t.parquet")
    member.write(where, "t", streamed([tmp_path / "t.parquet"], unsigned=member.unsigned), where.mark("1"))
    assert content(read(where, "t"))[1] == content(table)[1]


def test_versions_go_when_they_are_old_enough(where: Place, member: TableFormat) -> None:
    def files() -> set[str]:
        return {
            str(path)
            for path in Path(where.root).rglob("*")
            if path.suffix in {".parquet", ".lance"} and path.is_file()
        }

    for number in range(3):
        member.write(where, "t", pa.table({"a": [number]}).to_reader(), where.mark(str(number)))
        member.forget(where, "t", timedelta(days=7))
    assert len(files()) == 3
    member.forget(where, "t", timedelta(0))
    assert len(files()) == 1
    assert read(where, "t").to_pydict() == {"a": [2]}
    assert member.known(where, "t") == "brain_assets us 2"
    last = version(where, "t")
    member.forget(where, "t", timedelta(0))
    assert version(where, "t") == last


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Serve S3's protocol, in a process of its own: Delta's library lets no other thread of its own answer."""
    pytest.importorskip("moto")
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
        server.terminate()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make an empty bucket and the environment that leads to it."""
    given = {"ENDPOINT_URL": endpoint, "ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "secret", "REGION": "us-east-1"}
    for name, value in given.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    urllib3.request("POST", f"{endpoint}/moto-api/reset")
    assert urllib3.request("PUT", f"{endpoint}/pictures").status == 200
    return "s3://pictures"


def test_an_object_store_is_written_as_well(bucket: str, shop: Workshop, member: TableFormat) -> None:
    declare(shop, format=[member.name], to=f"{bucket}/tables", tables=["samples", "objects"])
    report = run(shop)
    assert report.failed == {}
    found = place(shop, member, f"{bucket}/tables")
    assert found.root == f"{bucket}/tables/{member.name}"
    published = tables(shop)
    for name in ("samples", "objects"):
        assert content(read(found, name)) == published[name]
    assert rewritten(run(shop), member) == set()
    write_pictures(shop.home.root.parent / "media", [77])
    assert rewritten(run(shop), member) == {"samples"}
    assert content(read(found, "samples")) == tables(shop)["samples"]
    declare(shop, format=[member.name], to="s3://nowhere/tables", tables=["samples"])
    told = run(shop).failed[f"{member.name}_tables"]
    assert f"{member.title} cannot be written to s3://nowhere/tables/{member.name}, table samples: " in told
    assert len(told) < 500


def test_polars_and_pandas_read_them(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    polars = pytest.importorskip("polars")
    members = {name: _member(name) for name in FORMATS}
    declare(shop, format=list(members))
    run(shop)
    count = shop.rows("select count(*) from samples")[0][0]
    delta = place(shop, members["delta"]).root
    assert polars.scan_delta(f"{delta}/samples").select(polars.len()).collect().item() == count
    from deltalake import DeltaTable

    assert len(DeltaTable(f"{delta}/samples").to_pandas()) == count
    newest = max(Path(place(shop, members["iceberg"]).root, "published", "samples", "metadata").glob("*.json"))
    monkeypatch.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")
    assert polars.scan_iceberg(str(newest)).select(polars.len()).collect().item() == count
    import lance

    assert len(lance.dataset(f"{place(shop, members['lance']).root}/samples.lance").to_table().to_pandas()) == count


def test_duckdb_reads_them_where_its_extensions_are_there(shop: Workshop) -> None:
    member = _member("delta")
    declare(shop, format="delta")
    run(shop)
    with duckdb.connect() as connection:
        try:
            connection.execute("set autoinstall_known_extensions = false")
            connection.execute("load delta")
        except duckdb.Error:
            pytest.skip("DuckDB's extension delta is not installed, and its download needs a network")
        found = connection.execute(f"select count(*) from delta_scan('{place(shop, member).root}/samples')").fetchall()
    assert found == shop.rows("select count(*) from samples")


def test_settings_say_what_is_wrong(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    declare(shop, format="delta", to="ftp://server/tables")
    assert (
        "publish.to: ftp://server/tables is neither a folder nor in an object store" in run(shop).failed["delta_tables"]
    )
    for publish, said in (
        ({"format": "orc"}, "publish.format"),
        ({"format": "delta", "to": "s3://me:secret@bucket/x"}, "a password has no place in a file"),
        ({"format": "delta", "keep_days": -1}, "publish.keep_days"),
    ):
        declare(shop, **publish)
        with pytest.raises(ConfigurationError, match=said):
            shop.run()
    declare(shop, format="delta")
    table_format.cache_clear()
    monkeypatch.setattr(door.importlib, "import_module", _without_libraries(door.importlib.import_module))
    assert "Delta Lake needs a package: pip install 'brain-assets[delta]'" in run(shop).failed["delta_tables"]
    table_format.cache_clear()


def _without_libraries(usual: Any) -> Any:
    def imported(name: str) -> Any:
        if name == "deltalake":
            raise ImportError(name)
        return usual(name)

    return imported
