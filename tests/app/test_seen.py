"""``brain seen``, ``brain fingerprint`` and ``POST /seen``: whether a picture was seen in what others have, too."""

import io
import json
from base64 import b64encode
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from brain_assets.app.cli import main
from brain_assets.python.ledger import seen as seen_from_python
from brain_assets.review import create_app
from tests.review.client import TOKEN, Client
from tests.signals.test_contamination import CHAIN, SEEN, decide, make, save, seen
from tests.workshop import Workshop


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    root = tmp_path_factory.mktemp("seen")
    for number in range(4):
        save(root / "photos", f"{'train' if number < 3 else 'test'}/{number}.png", number)
    found = make(root, "photos")
    found.run(CHAIN)
    decide(found, "train/1.png", "drop")
    found.run(CHAIN)
    return found


def brain(workshop: Workshop, *words: str | Path) -> Result:
    return CliRunner().invoke(main, ["--home", str(workshop.home.root), *map(str, words)])


def test_pictures_and_folders_are_recognised_in_other_forms(workshop: Workshop, tmp_path: Path) -> None:
    save(tmp_path, "asked/bytes.png", 0)
    save(tmp_path, "asked/dropped.jpg", 1)
    save(tmp_path, "asked/new.png", 50)
    save(tmp_path, "asked/turned.jpg", 2, "turned")
    (tmp_path / "asked" / "broken.png").write_bytes(b"no picture")
    said = brain(workshop, "seen", tmp_path / "asked")
    assert said.exit_code == 0, said.output
    told = {Path(line.split(": ")[0]).name: line.split(": ", 1)[1] for line in said.output.splitlines()[:-1]}
    assert told["bytes.png"] == "the same bytes as train/0.png in photos (train)"
    assert told["dropped.jpg"].startswith("the same picture as train/1.png in photos (train), which ann dropped on 20")
    assert told["turned.jpg"] == "the same picture as train/2.png in photos (train)"
    assert told["new.png"] == "not seen"
    assert told["broken.png"].startswith("not seen (not decoded: ")
    assert said.output.splitlines()[-1] == "3 of 5 pictures were seen"
    (answer, other) = seen_from_python(
        [tmp_path / "asked" / "turned.jpg", (tmp_path / "asked" / "new.png").read_bytes()], str(workshop.home.root)
    )
    assert ([one.name for one in answer.seen], other.seen) == (["train/2.png"], [])
    rows = json.loads(brain(workshop, "seen", tmp_path / "asked" / "turned.jpg", "--format", "json").output)
    assert [(row["source"], row["match"], row["splits"]) for row in rows] == [("photos", "hash", ["train"])]


def test_fingerprints_go_to_another_home_and_tell_there(workshop: Workshop, tmp_path: Path) -> None:
    said = brain(workshop, "fingerprint", "export", "photos", "--split", "test", "-o", tmp_path / "photos-test.parquet")
    assert said.output == f"wrote 1 fingerprints to {tmp_path / 'photos-test.parquet'}\n"
    assert pq.read_schema(tmp_path / "photos-test.parquet").names == [
        "content_hash", "phash", "code", "model", "name", "splits",
    ]  # fmt: skip
    brain(workshop, "fingerprint", "export", "photos", "--without-names", "-o", tmp_path / "all.parquet")
    # What was dropped is not given on.
    assert pq.read_table(tmp_path / "all.parquet").num_rows == 3
    assert "name" not in pq.read_schema(tmp_path / "all.parquet").names
    save(tmp_path / "mine", "train/their test.jpg", 3)
    save(tmp_path / "mine", "train/own.png", 60)
    mine = make(tmp_path, "mine")
    assert (
        "took in 1 fingerprints as photos-test"
        in brain(mine, "fingerprint", "import", tmp_path / "photos-test.parquet").output
    )
    mine.run(CHAIN)
    assert seen(mine) == [("train/their test.jpg", "photos-test", "file", "test/3.png", ["test"], "hash", "tested_on")]
    assert "file     photos-test" in brain(mine, "fingerprint", "list").output
    assert brain(mine, "fingerprint", "remove", "mine", "--yes").exit_code == 1
    assert brain(mine, "fingerprint", "remove", "photos-test", "--yes").output == "forgot photos-test\n"
    mine.run(CHAIN)
    assert mine.rows(SEEN) == []


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"hash": [1]}, "holds no fingerprints: it needs phash or content_hash (columns: hash)"),
        ({"phash": ["a"]}, "phash is not as it should be"),
        ({"content_hash": ["abc"]}, "content_hash is not 32 hexadecimal digits"),
    ],
)
def test_files_that_hold_no_fingerprints_are_refused_in_a_line(
    workshop: Workshop, tmp_path: Path, columns: dict[str, list[object]], told: str
) -> None:
    pq.write_table(pa.table(columns), tmp_path / "bad.parquet")
    said = brain(workshop, "fingerprint", "import", tmp_path / "bad.parquet")
    assert (said.exit_code, told in said.output, said.output.count("\n")) == (1, True, 1)


def test_the_server_answers_for_the_bytes_of_a_picture_to_who_is_signed_in(workshop: Workshop, tmp_path: Path) -> None:
    save(tmp_path, "asked.png", 2, "mirrored")
    picture = b64encode((tmp_path / "asked.png").read_bytes()).decode()
    app = create_app(workshop.home.root, token=TOKEN)
    body = json.dumps({"picture": picture}).encode()
    sending = {"content_type": "application/json", "origin": "http://127.0.0.1:3001"}
    assert Client(app).request("POST", "/seen", body, **sending).status == 401
    client = Client(app).sign_in()
    found = client.request("POST", "/seen", body, **sending).json()
    assert [(one["source"], one["name"], one["match"]) for one in found["seen"]] == [("photos", "train/2.png", "hash")]
    address = json.dumps({"picture": "http://169.254.169.254/secret.png"}).encode()
    refused = client.request("POST", "/seen", address, **sending)
    assert (refused.status, refused.json()) == (422, {"error": "the picture is not base64"})
    assert io.BytesIO(client.request("POST", "/seen", b"{}", **sending).body).read().count(b"picture") == 1
