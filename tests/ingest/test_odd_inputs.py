"""One run over a folder in which every file is odd in its own way ends, and says of each what is wrong with it."""

import os
import struct
import zlib
from pathlib import Path

from tests.resources.test_odd_inputs import tar_header
from tests.workshop import Workshop, encoded, picture

SELECT = ("samples", "media", "ground_truth", "predictions", "issues", "published")
YEAR_2400 = 13_569_465_600


def animated(frames: int) -> bytes:
    """Return a PNG whose header announces an animation of so many frames."""
    png = encoded(picture(3))
    body = b"acTL" + struct.pack(">II", frames, 0)
    after_header = 8 + 25
    return png[:after_header] + struct.pack(">I", 8) + body + struct.pack(">I", zlib.crc32(body)) + png[after_header:]


def write_media(folder: Path) -> None:
    folder.mkdir()
    (folder / "good.png").write_bytes(encoded(picture(1)))
    (folder / "late.png").write_bytes(encoded(picture(2)))
    os.utime(folder / "late.png", (YEAR_2400, YEAR_2400))
    (folder / "moving.png").write_bytes(animated(2**31 - 1))
    content = encoded(picture(4))
    padding = bytes(-len(content) % 512)
    header = tar_header("inner.png", len(content), 2**34)
    assert header[124:135] == b"%011o" % len(content)
    (folder / "odd.tar").write_bytes(header + content + padding + tar_header("huge.png", 2**62, -(2**34)))
    (folder / "caf\u00e9.png").write_bytes(encoded(picture(5)))
    (folder / "cafe\u0301.png").write_bytes(encoded(picture(6)))
    os.mkfifo(folder / "pipe.zip")
    os.mkfifo(folder / "pipe.png")


def write_labels(folder: Path) -> None:
    folder.mkdir()
    (folder / "a.csv").write_text("filepath,label\ngood.png,cat\n")
    (folder / "twice.csv").write_text("filepath,label,label\ngood.png,cat,dog\n")
    (folder / "nested.json").write_text("[" * 5000 + "]" * 5000)
    (folder / "latin.jsonl").write_bytes('{"filepath": "late.png", "label": "café"}'.encode("latin-1"))
    (folder / "deep.jsonl").write_text('{"filepath": "late.png", "label": ' + "[" * 5000 + "]" * 5000 + "}\n")
    os.mkfifo(folder / "pipe.csv")
    os.utime(folder / "a.csv", (YEAR_2400, YEAR_2400))


def test_a_run_over_odd_files_ends_and_tells_of_each(tmp_path: Path) -> None:
    write_media(tmp_path / "media")
    write_labels(tmp_path / "labels")
    workshop = Workshop(tmp_path / "home", tmp_path / "media", labels=[{"uri": str(tmp_path / "labels")}])
    workshop.run(SELECT)
    found = dict(workshop.rows("select filepath, coalesce(split_part(error, ':', 1), status) from samples"))
    assert found.pop("odd.tar!/huge.png", "too_large") in {"too_large", "truncated"}
    assert found == {
        "caf\u00e9.png": "ok",
        "cafe\u0301.png": "ok",
        "good.png": "ok",
        "late.png": "ok",
        "moving.png": found["moving.png"],
        "odd.tar": "damaged",
        "odd.tar!/inner.png": "ok",
        "pipe.png": "unreadable",
        "pipe.zip": "unreadable",
    }
    assert found["moving.png"] in {"ok", "truncated", "damaged"}
    assert workshop.rows("select filepath, labels from ground_truth join samples using (sample_id)") == [
        ("good.png", ["cat"])
    ]
    rejected = workshop.rows("select file, reason from rejected_rows order by all")
    assert rejected == [
        (name, "unreadable") for name in ("deep.jsonl", "latin.jsonl", "nested.json", "pipe.csv", "twice.csv")
    ]
    again = workshop.run(SELECT)
    assert again["media"].up_to_date
