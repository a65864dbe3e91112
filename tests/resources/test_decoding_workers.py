"""A decoder that hangs, crashes or eats memory costs one file its row, never the run."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from brain_assets.resources.decoding.decoding import Decoder
from brain_assets.resources.errors import MissingError
from brain_assets.resources.limits import Limits, is_outside
from brain_assets.resources.store.journal import Journal, suspects
from tests.resources.evil_plugin import DEADLY
from tests.resources.images import decode, encode, jobs, photo

PLUGINS = ("tests.resources.evil_plugin",)
STRICT = Limits(seconds=1, memory=1 << 28)


def evil(deed: str) -> bytes:
    return f"EVIL {deed}".encode()


def deadly_png() -> bytes:
    from PIL.PngImagePlugin import PngInfo

    comment = PngInfo()
    comment.add_text("Comment", DEADLY)
    return encode(photo(), pnginfo=comment)


def test_decoders_that_hang_crash_or_eat_memory_give_rows_and_the_run_goes_on() -> None:
    deeds = {
        "hang-in-c": "timeout: decoding took longer than 1 s of processor time",
        "segfault": "crashed: the decoder ended its process (SIGSEGV)",
        "abort": "crashed: the decoder ended its process (SIGABRT)",
        "kill": "killed: the process that decoded was ended from outside (SIGKILL)",
        "exit": "crashed: the decoder ended its process (exit code 3)",
        "memory": "memory: decoding needs more memory than allowed",
    }
    files = {deed: evil(deed) for deed in deeds}
    tiff, jpeg = encode(photo(), "TIFF"), encode(photo(), "JPEG")
    good = {f"tiff {number}": tiff for number in range(6)} | {f"jpeg {number}": jpeg for number in range(6)}
    rows = decode(files | good, plugins=PLUGINS, limits=STRICT, threads=2)
    for deed, reason in deeds.items():
        assert rows[deed].status == "error"
        assert rows[deed].error.startswith(reason)
    assert {rows[key].status for key in good} == {"ok"}


def test_a_worker_that_waits_is_given_up_and_its_file_not_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brain_assets.resources.decoding.decoding_workers.PATIENCE", 2)
    row = decode({"one": evil("hang")}, plugins=PLUGINS, limits=Limits(seconds=0.5))["one"]
    assert row.error == "stalled: no answer within 1 s, in which decoding did not use up its processor time"
    assert is_outside(row.error)


def test_a_worker_that_is_stopped_for_longer_than_its_limit_goes_on() -> None:
    with Decoder(limits=Limits(seconds=0.5), threads=1) as decoder:
        worker = decoder._workers._take()
        decoder._workers._keep(worker)
        os.kill(worker._process.pid, signal.SIGSTOP)
        threading.Timer(1.5, os.kill, (worker._process.pid, signal.SIGCONT)).start()
        [row] = decoder.decode(jobs({"tiff": encode(photo(), "TIFF")}))
    assert row.status == "ok", row.error


def test_what_fails_outside_of_the_file_gives_no_hash_of_pixels(evil_decoder: Decoder) -> None:
    assert dict(evil_decoder.pixel_hashes(jobs({"killed": evil("kill"), "damaged": evil("ValueError")}))) == {
        "damaged": None
    }


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("TypeError", "damaged"),
        ("ValueError", "damaged"),
        ("SyntaxError", "damaged"),
        ("IndexError", "damaged"),
        ("KeyError", "damaged"),
        ("struct.error", "damaged"),
        ("NotImplementedError", "unsupported"),
        ("DecompressionBombError", "too_large"),
        ("MemoryError", "memory"),
        ("RecursionError", "damaged"),
        ("AssertionError", "damaged"),
        ("EOFError", "truncated"),
        ("UserWarning", "damaged"),
    ],
)
def test_whatever_a_decoder_raises_is_a_reason(error: str, code: str, evil_decoder: Decoder) -> None:
    [row] = evil_decoder.decode(jobs({"one": evil(error)}))
    assert row.status == "error"
    assert row.error.startswith(f"{code}: ")
    assert "on purpose" in row.error
    assert "\n" not in row.error


@pytest.fixture(scope="module")
def evil_decoder():
    with Decoder(plugins=PLUGINS, limits=STRICT, threads=1) as decoder:
        yield decoder


def test_output_and_warnings_of_a_decoder_do_not_disturb(evil_decoder: Decoder) -> None:
    [row] = evil_decoder.decode(jobs({"one": evil("noise")}))
    assert row.status == "ok"
    assert row.format == "EVIL"


def test_a_worker_is_used_again(evil_decoder: Decoder) -> None:
    rows = list(evil_decoder.decode(jobs({str(number): evil("noise") for number in range(3)})))
    assert len(rows) == 3
    assert len(evil_decoder._workers._idle) == 1


def test_a_worker_that_cannot_start_is_an_error_of_the_setup_and_not_of_the_file() -> None:
    with Decoder(plugins=("no_such_module",)) as decoder, pytest.raises(MissingError, match="no_such_module"):
        list(decoder.decode(jobs({"tiff": encode(photo(), "TIFF")})))


def test_plain_files_start_no_worker() -> None:
    files = {name: encode(photo(), name) for name in ("JPEG", "PNG", "WEBP", "GIF", "BMP")}
    with Decoder(plugins=("no_such_module",)) as decoder:
        assert {row.status for row in decoder.decode(jobs(files))} == {"ok"}


def test_the_file_that_took_the_process_down_is_an_error_row_at_the_next_start(tmp_path: Path) -> None:
    journal = tmp_path / "decoding.journal"
    deadly = tmp_path / "deadly.png"
    deadly.write_bytes(deadly_png())
    script = f"""
import tests.resources.evil_plugin
from pathlib import Path
from brain_assets.resources.decoding.decoding import DecodeJob, Decoder
with Decoder(journal=Path({str(journal)!r})) as decoder:
    list(decoder.decode([DecodeJob("deadly", Path({str(deadly)!r}).read_bytes)]))
"""
    root = Path(__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", script], cwd=root, stderr=subprocess.DEVNULL, check=False)
    assert ended.returncode == -signal.SIGABRT
    assert suspects(journal) == {"deadly"}

    files = {"deadly": deadly.read_bytes(), "innocent": encode(photo())}
    rows = decode(files, journal=journal, plugins=PLUGINS)
    assert rows["deadly"].error == "crashed: the decoder ended its process (SIGABRT)"
    assert rows["innocent"].status == "ok"
    assert suspects(journal) == set()


def test_a_suspect_that_was_innocent_is_decoded(tmp_path: Path) -> None:
    journal = tmp_path / "decoding.journal"
    journal.write_text("+innocent\n+elsewhere\n")
    alone = decode({"innocent": encode(photo())})
    assert decode({"innocent": encode(photo())}, journal=journal)["innocent"].signature == alone["innocent"].signature
    assert suspects(journal) == {"elsewhere"}


def test_a_journal_that_was_cut_off_by_the_crash_still_names_the_suspects(tmp_path: Path) -> None:
    path = tmp_path / "decoding.journal"
    path.write_bytes(b"+one\n+two\n-one\n+thr\xff")
    assert "two" in suspects(path)


def test_a_journal_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brain_assets.resources.store.journal.LIMIT", 1000)
    path = tmp_path / "decoding.journal"
    journal = Journal(path)
    with journal.working_on("long"):
        for number in range(1000):
            with journal.working_on(f"key {number}"):
                pass
        assert suspects(path) == {"long"}
    journal.close()
    assert path.stat().st_size < 2000
    assert suspects(path) == set()


def test_closing_leaves_no_process_behind() -> None:
    with Decoder() as decoder:
        list(decoder.decode(jobs({"tiff": encode(photo(), "TIFF")})))
        [worker] = decoder._workers._idle
        number = worker._process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


@pytest.mark.slow
def test_a_hanging_worker_ends_when_its_parent_is_gone(tmp_path: Path) -> None:
    script = """
import os, threading
from brain_assets.resources.decoding.decoding import DecodeJob, Decoder
from brain_assets.resources.limits import Limits
decoder = Decoder(plugins=["tests.resources.evil_plugin"], limits=Limits(seconds=2), threads=1)
worker = decoder._workers._take()
decoder._workers._keep(worker)
print(worker._process.pid, flush=True)
threading.Timer(1, lambda: os._exit(0)).start()
list(decoder.decode([DecodeJob("one", lambda: b"EVIL hang-in-c")]))
"""
    root = Path(__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, check=True, text=True)
    number = int(ended.stdout)
    deadline = time.monotonic() + 60
    while Path(f"/proc/{number}").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not Path(f"/proc/{number}").exists()
