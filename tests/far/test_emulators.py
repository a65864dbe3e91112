"""The stores of Google and Azure, against emulators of them: where none is given, there is nothing to test against.

``BRAIN_TEST_GS=http://127.0.0.1:4443``: `fake-gcs-server -backend memory -scheme http -public-host 127.0.0.1:4443`;
``BRAIN_TEST_AZ=http://127.0.0.1:10000``: `azurite-blob --inMemoryPersistence`.
"""

import base64
import hashlib
import hmac
import os
import uuid
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from urllib.parse import quote

import pytest
import urllib3

from brain_assets.resources.errors import SourceError
from brain_assets.resources.media import object_stores
from brain_assets.resources.media.media_source import open_source
from tests.far import servers
from tests.workshop import Workshop, encoded, picture, write_archive

pytest.importorskip("obstore")
ASSETS = ("samples", "media", "embeddings", "exact_duplicates", "published")
# The account that every Azurite has.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
Put = Callable[[str, bytes], None]


@pytest.fixture(params=["gs", "az"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Put]:
    """Make a bucket in an emulator; return its address and what writes an object."""
    variable = f"BRAIN_TEST_{request.param.upper()}"
    endpoint = os.environ.get(variable)
    if endpoint is None:
        pytest.skip(f"needs an emulator of {request.param}://, whose address {variable} gives")
    object_stores._store.cache_clear()
    bucket = f"pictures-{uuid.uuid4().hex}"
    make = make_bucket if request.param == "gs" else make_container
    put = make(endpoint.rstrip("/"), bucket, monkeypatch)
    return f"{request.param}://{bucket}", put


def make_bucket(endpoint: str, name: str, monkeypatch: pytest.MonkeyPatch) -> Put:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", endpoint)
    made = urllib3.request("POST", f"{endpoint}/storage/v1/b?project=test", json={"name": name})
    assert made.status == 200

    def put(uri: str, data: bytes) -> None:
        path = quote(uri.removeprefix(f"gs://{name}/"), safe="")
        address = f"{endpoint}/upload/storage/v1/b/{name}/o?uploadType=media&name={path}"
        assert urllib3.request("POST", address, body=data).status == 200

    return put


def make_container(endpoint: str, name: str, monkeypatch: pytest.MonkeyPatch) -> Put:
    address = f"{endpoint}/{ACCOUNT}"
    said = f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={address};"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", said)
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-12-02"}
    lines = ["PUT", *[""] * 11, *(f"{key}:{value}" for key, value in headers.items())]
    signed = "\n".join([*lines, f"/{ACCOUNT}/{ACCOUNT}/{name}", "restype:container"])
    mark = base64.b64encode(hmac.digest(base64.b64decode(KEY), signed.encode(), hashlib.sha256)).decode()
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{mark}"
    assert urllib3.request("PUT", f"{address}/{name}?restype=container", headers=headers).status == 201
    return servers.put


def test_a_store_gives_the_tables_of_the_same_folder(tmp_path: Path, store: tuple[str, Put]) -> None:
    bucket, put = store
    media = tmp_path / "media"
    files = {f"train/{seed}.png": encoded(picture(seed)) for seed in range(3)}
    files |= {"test/copy é #1?.png": encoded(picture(1)), "test/broken.jpg": b"<html>"}
    for kind in ("zip", "tar.gz"):
        packed = write_archive(tmp_path / f"all.{kind}", {"train/9.png": encoded(picture(9))})
        files[f"all.{kind}"] = packed.read_bytes()
    for name, data in files.items():
        (media / name).parent.mkdir(parents=True, exist_ok=True)
        (media / name).write_bytes(data)
        put(f"{bucket}/set/{name}", data)
    near = Workshop(tmp_path / "near", media, split_from="folder")
    far = Workshop(tmp_path / "far", f"{bucket}/set", split_from="folder")
    near.run(ASSETS)
    far.run(ASSETS)
    query = "select * exclude (uri, modified_at, added_at, changed_at) from samples order by filepath"
    assert near.rows(query) == far.rows(query)
    assert {name for name, report in far.run(ASSETS).items() if report.counts.total} == set()

    put(f"{bucket}/set/train/0.png", encoded(picture(10)))
    put(f"{bucket}/set/train/7.png", encoded(picture(7)))
    assert far.run(ASSETS)["media"].notes["decoded"] == 2


def test_what_is_not_there_is_one_line(store: tuple[str, Put]) -> None:
    bucket, put = store
    put(f"{bucket}/a.png", b"x")
    assert object_stores.read_object(f"{bucket}/a.png") == b"x"
    with pytest.raises(FileNotFoundError, match="there is no object"):
        object_stores.read_object(f"{bucket}/none.png")
    with pytest.raises(SourceError, match="nowhere cannot be listed: ") as caught:
        open_source(f"{bucket.partition(':')[0]}://nowhere").list()
    assert "\n" not in str(caught.value)
