"""Locks exclude, say who holds them, outlive nobody and survive the removal of their file."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from brain_assets.resources.errors import LockedError
from brain_assets.resources.store import locks

HOLD = """
import sys, time
from pathlib import Path
from brain_assets.resources.store import locks
with locks.exclusive(Path(sys.argv[1]), "a long run"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "flowers" / "run.lock"


def test_a_second_holder_is_refused_and_told_by_whom(path: Path) -> None:
    with locks.exclusive(path, "run 12345678"):
        message = rf"flowers is in use by run 12345678 \(process {os.getpid()}, since .*\); wait for it or stop it"
        with pytest.raises(LockedError, match=message), locks.exclusive(path, "another"):
            pass
    with locks.exclusive(path, "another"):
        assert (locks.holder(path) or "").startswith("another (process")
    assert locks.holder(path) is None


def test_who_waits_is_told_once_and_gets_its_turn(path: Path) -> None:
    told: list[str] = []
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with locks.exclusive(path, "the first"):
            held.set()
            release.wait(10)

    first = threading.Thread(target=hold)
    first.start()
    held.wait(10)
    threading.Timer(0.35, release.set).start()
    with locks.exclusive(path, "the second", timeout=10, waiting=told.append):
        assert release.is_set()
    first.join()
    assert len(told) == 1
    assert told[0].startswith("waiting for the first (process")


def test_the_kernel_frees_the_lock_of_a_killed_process(path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    assert f"process {process.pid}" in (locks.holder(path) or "")
    assert locks.free_since(path) is None
    process.kill()
    process.wait()
    process.stdout.close()
    assert locks.holder(path) is None
    with locks.exclusive(path, "the next"):
        assert (locks.holder(path) or "").startswith("the next")


def test_an_error_in_the_block_frees_the_lock(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locks.exclusive(path, "a run"):
        raise ZeroDivisionError
    assert locks.holder(path) is None


def test_a_lock_whose_file_was_removed_while_waiting_is_taken_anew(path: Path) -> None:
    started, second_done = threading.Event(), threading.Event()

    def second() -> None:
        started.set()
        with locks.exclusive(path, "the second", timeout=10):
            # Held on the file that is there, so that a third one is kept out.
            with pytest.raises(LockedError), locks.exclusive(path, "the third"):
                pass
            second_done.set()

    with locks.exclusive(path, "brain remove"):
        thread = threading.Thread(target=second)
        thread.start()
        started.wait(10)
        time.sleep(0.2)
        path.unlink()
        path.parent.rmdir()
    thread.join(10)
    assert second_done.is_set()


def test_looking_at_a_lock_does_not_make_it_fail(path: Path) -> None:
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            locks.holder(path)

    thread = threading.Thread(target=look)
    thread.start()
    told: list[str] = []
    for _ in range(50):
        with locks.exclusive(path, "a run", waiting=told.append):
            pass
    stop.set()
    thread.join()
    assert told == []


def test_readers_share_and_keep_the_remover_out(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with locks.shared(path), locks.shared(path), locks.unless_shared(path) as free:
        assert not free
    with locks.unless_shared(path) as free:
        assert free
    with pytest.raises(FileNotFoundError), locks.shared(path.with_name("gone")):
        pass


def test_free_since_tells_when_a_lock_was_last_touched(path: Path) -> None:
    assert locks.free_since(path) == 0.0
    with locks.exclusive(path, "a run"):
        pass
    os.utime(path, (1000, 1000))
    assert locks.free_since(path) == 1000.0


@pytest.mark.parametrize("text", ["", "{", "nonsense"])
def test_a_holder_that_did_not_sign_is_another_process(path: Path, text: str) -> None:
    with locks.exclusive(path, "a run"):
        path.write_text(text)
        assert locks.holder(path) == "another process"
