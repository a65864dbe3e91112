"""Images in an object store and behind web addresses, against servers that speak the same protocols."""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from brain_assets.resources.errors import MissingError, SourceError
from brain_assets.resources.media import object_stores, store_credentials
from brain_assets.resources.media.media_source import open_source
from brain_assets.review.thumbnails import original
from tests import models
from tests.far.servers import delete, put
from tests.workshop import Workshop, encoded, picture

ASSETS = ("samples", "media", "embeddings", "exact_duplicates", "published")
FEW = ("samples", "media", "published")

obstore = pytest.importorskip("obstore")
pytest.importorskip("moto")


def test_a_store_gives_the_tables_of_the_same_files_in_a_folder(tmp_path: Path, bucket: str) -> None:
    files = {f"train/{seed}.png": encoded(picture(seed)) for seed in range(4)}
    files |= {"test/copy é #1?.png": encoded(picture(1)), "test/broken.jpg": b"<html>", "test/empty.png": b""}
    for name, data in files.items():
        (tmp_path / "media" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "media" / name).write_bytes(data)
        put(f"{bucket}/set/{name}", data)
    put(f"{bucket}/set/notes.txt", b"beside")
    put(f"{bucket}/other/a.png", b"elsewhere")
    near = Workshop(tmp_path / "near", tmp_path / "media", split_from="folder")
    far = Workshop(tmp_path / "far", f"{bucket}/set/", split_from="folder")
    near.run(ASSETS)
    far.run(ASSETS)
    for table, own in {"samples": "uri, modified_at, added_at, changed_at", "embeddings": "brain_key"}.items():
        query = f"select * exclude ({own}) from {table} order by all"
        assert repr(near.rows(query)) == repr(far.rows(query))
    copies = "select sample_id, group_id, kind from exact_duplicates order by all"
    assert near.rows(copies) == far.rows(copies) != []
    assert far.wrong(ASSETS) == {}


def test_only_what_changed_is_fetched(tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(4):
        put(f"{bucket}/{seed}.png", encoded(picture(seed)))
    workshop = Workshop(tmp_path / "home", bucket)
    fetched: list[str] = []
    fetch = object_stores.read_object
    monkeypatch.setattr(object_stores, "read_object", lambda uri: fetched.append(uri) or fetch(uri))
    workshop.run(ASSETS)
    assert sorted(fetched) == [f"{bucket}/{seed}.png" for seed in range(4)]  # each once, for hash and pixels

    fetched.clear()
    reports = workshop.run(ASSETS)
    assert fetched == []
    assert {name for name, report in reports.items() if report.counts.total} == set()

    put(f"{bucket}/1.png", encoded(picture(10)))
    put(f"{bucket}/new/9.png", encoded(picture(9)))
    delete(f"{bucket}/2.png")
    models.EMBEDDED.clear()
    workshop.run(ASSETS)
    assert sorted(set(fetched)) == [f"{bucket}/1.png", f"{bucket}/new/9.png"]
    assert sum(models.EMBEDDED) == 2
    assert [row[0] for row in workshop.rows("select filepath from samples order by 1")] == [
        "0.png", "1.png", "3.png", "new/9.png",
    ]  # fmt: skip


def test_the_state_of_a_store_tells_every_change_without_reading_an_object(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(obstore, "get", None)
    states = []
    for change in (lambda: put(f"{bucket}/a.png", b"one"), lambda: put(f"{bucket}/a.png", b"two"),
                   lambda: put(f"{bucket}/b.png", b"two"), lambda: delete(f"{bucket}/a.png")):  # fmt: skip
        change()
        states.append(open_source(bucket).list().state)
        assert open_source(bucket).list().state == states[-1]
    assert len(set(states)) == 4


def test_a_listing_that_breaks_off_is_gone_on_with(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abcde":
        put(f"{bucket}/{name}.png", b"x")
    pages, calls = object_stores._pages, []

    def breaking(store: object, prefix: str | None, after: str | None) -> Iterator[object]:
        calls.append(after)
        for number, found in enumerate(pages(store, prefix, after)):
            if len(calls) == 1 and number == 2:
                raise OSError("connection reset")
            yield found

    monkeypatch.setattr(object_stores, "_pages", breaking)
    assert [uri[-5:] for uri, _ in object_stores.list_objects(bucket)] == ["a.png", "b.png", "c.png", "d.png", "e.png"]
    assert calls == [None, "b.png"]


def test_a_store_that_cannot_be_listed_is_one_line_and_loses_nothing(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(f"{bucket}/a.png", encoded(picture(1)))
    workshop = Workshop(tmp_path / "home", bucket)
    workshop.run(FEW)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
        object_stores._store.cache_clear()
        with pytest.raises(SourceError, match="s3://pictures cannot be listed: ") as caught:
            workshop.run(FEW)
    assert "\n" not in str(caught.value)
    assert workshop.rows("select filepath, status from samples") == [("a.png", "ok")]


def test_a_bucket_that_is_not_there_is_one_line(bucket: str) -> None:
    with pytest.raises(SourceError, match=r"s3://nowhere cannot be listed: .*The specified bucket does not exist"):
        open_source("s3://nowhere").list()
    assert bucket


def test_an_object_that_fails_is_a_row_and_is_tried_again(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        put(f"{bucket}/{name}.png", encoded(picture(ord(name))))
    workshop, fetch = Workshop(tmp_path / "home", bucket), object_stores.read_object

    def failing(uri: str) -> bytes:
        if uri.endswith("b.png"):
            raise OSError("the store refused")
        return fetch(uri)

    with monkeypatch.context() as patch:
        patch.setattr(object_stores, "read_object", failing)
        workshop.run(FEW)
    found = workshop.rows("select filepath, error from samples order by 1")
    assert found == [("a.png", None), ("b.png", "unreadable: the store refused")]
    workshop.run(FEW)
    assert workshop.rows("select distinct status from samples") == [("ok",)]


def test_the_review_page_shows_objects_of_the_source_only(tmp_path: Path, bucket: str) -> None:
    put(f"{bucket}/set/a.png", encoded(picture(1)))
    put(f"{bucket}/secret.png", encoded(picture(2)))
    workshop = Workshop(tmp_path / "home", f"{bucket}/set")
    assert original(workshop.paths, "a.png").read() == encoded(picture(1))
    assert original(workshop.paths, "../secret.png") is None
    assert original(workshop.paths, "none.png") is None


def test_minio_is_a_server_and_a_bucket(
    tmp_path: Path, bucket: str, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(f"{bucket}/set/train/a.png", encoded(picture(1)))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.delenv(f"AWS_{name}")
    monkeypatch.setenv("MINIO_ACCESS_KEY", "key")
    monkeypatch.setenv("MINIO_SECRET_KEY", "secret")
    server = endpoint.removeprefix("http://")
    workshop = Workshop(tmp_path / "home", f"minio://{server}/pictures/set", split_from="folder")
    workshop.run(FEW)
    found = workshop.rows("select filepath, uri, split, status from samples")
    assert found == [("train/a.png", f"minio://{server}/pictures/set/train/a.png", "train", "ok")]
    with pytest.raises(SourceError, match="minio://SERVER:PORT and the bucket"):
        list(object_stores.list_objects(f"minio://{server}"))


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(MissingError, match=r"gs:// needs an optional library: pip install 'brain-assets\[gs\]'"):
        open_source("gs://somewhere-else").list()


def test_keys_come_from_the_profile_where_the_environment_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "config").write_text("[profile work]\nregion = eu-west-1\nendpoint_url = http://localhost:9\n")
    (tmp_path / "credentials").write_text("[work]\naws_access_key_id = k\naws_secret_access_key = s\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "work")
    assert store_credentials.found("s3") == {
        "region": "eu-west-1", "endpoint": "http://localhost:9", "access_key_id": "k", "secret_access_key": "s",
    }  # fmt: skip


def test_accounts_and_emulators_come_from_the_variables_of_the_stores_own_tools(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_KEY", "old")
    connection = "DefaultEndpointsProtocol=http;AccountName=me;AccountKey=k==;BlobEndpoint=http://localhost:9/me;"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "localhost:9")
    assert store_credentials.found("az") == {
        "account_name": "me", "account_key": "k==", "endpoint": "http://localhost:9/me",
    }  # fmt: skip
    assert store_credentials.found("gs") == {"base_url": "http://localhost:9", "skip_signature": True}
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    assert store_credentials.found("gs") == {}


def test_where_there_are_no_credentials_a_line_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)
    object_stores._store.cache_clear()
    with pytest.raises(
        SourceError, match="az://box cannot be listed: no credentials were found: set AZURE_STORAGE_CONN"
    ):
        open_source("az://box/set").list()
    # What obstore says when it asked the machine it runs on.
    said = "Generic S3 error: Error performing PUT http://169.254.169.254/latest/api/token in 10s"
    assert "AWS_PROFILE" in store_credentials.hint("s3", said)
    assert "GOOGLE_APPLICATION" in store_credentials.hint(
        "gs", "Generic GCS error: Error performing token request: ..."
    )
    assert store_credentials.hint("s3", "The specified bucket does not exist") is None


def test_a_list_of_web_addresses_is_a_source(tmp_path: Path, site: str) -> None:
    names = tmp_path / "list.csv"
    lines = [f"{site}/0000{seed}.png?signature={seed},test" for seed in range(3)] + [f"{site}/none.png,train"]
    names.write_text("filepath,split\n" + "\n".join(lines) + "\n")
    workshop = Workshop(tmp_path / "home", names, split_from="column")
    workshop.run(FEW)
    rows = workshop.rows("select filepath, split, error from samples order by 1")
    assert rows == [
        *((f"0000{seed}.png", "test", None) for seed in range(3)),
        ("none.png", "train", "unreadable: the server answers 404 File not found"),
    ]
    assert original(workshop.paths, "00001.png").read() == encoded(picture(1))
    assert original(workshop.paths, "other.png") is None

    (tmp_path / "media" / "00001.png").write_bytes(encoded(picture(11)))
    names.write_text(names.read_text().replace("signature", "token"))  # another signature is no other image
    reports = workshop.run(FEW)
    assert reports["media"].notes["decoded"] == 1
    assert workshop.rows("select filepath from samples order by 1") == [(row[0],) for row in rows]


def test_addresses_that_differ_in_their_query_only_are_different_images(tmp_path: Path, site: str) -> None:
    (tmp_path / "list.txt").write_text(f"{site}/00001.png?id=1\n{site}/00001.png?id=2\n")
    listing = open_source(str(tmp_path / "list.txt")).list()
    assert listing.items.column("filepath").to_pylist() == ["00001.png?id=1", "00001.png?id=2"]


def test_web_addresses_that_are_all_gone_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_stores, "_ask", lambda _: "no route to host")
    (tmp_path / "list.txt").write_text("https://example.invalid/a.png\nhttps://example.invalid/b.png\n")
    with pytest.raises(SourceError, match="none of 2 addresses can be reached: no route to host"):
        open_source(str(tmp_path / "list.txt")).list()


def test_files_and_addresses_are_not_mixed(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("https://example.invalid/a.png\nb.png\n")
    with pytest.raises(SourceError, match="mixes files with addresses"):
        open_source(str(tmp_path / "list.txt")).list()
    with pytest.raises(SourceError, match="cannot be listed: give a list"):
        open_source("https://example.invalid/pictures/")
