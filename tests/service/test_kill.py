"""`kill -9` at any moment loses nothing and doubles nothing; readers never see a run half done."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from brain_assets.resources.store.publishing import connect
from tests.workshop import Workshop, assert_equals_rebuild, encoded, give_calibrations, picture, write_pictures

ROOT = Path(__file__).parents[2]
TRIES = 22


def start(workshop: Workshop, media: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.service.run_once", str(workshop.home.root), str(media)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)


def change(media: Path, chance: random.Random) -> None:
    """Add some pictures, change one and delete one."""
    write_pictures(media, [chance.randrange(10_000) for _ in range(20)])
    paths = sorted(media.iterdir())
    chance.choice(paths).write_bytes(encoded(picture(chance.randrange(10_000))))
    chance.choice(paths).unlink()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_runs_lose_and_double_nothing(tmp_path: Path) -> None:
    chance = random.Random(5)
    media = tmp_path / "media"
    write_pictures(media, range(60))
    workshop = Workshop(tmp_path / "home", media)
    started = time.monotonic()
    assert start(workshop, media).wait() == 0
    whole = time.monotonic() - started
    killed = 0
    for _ in range(TRIES):
        change(media, chance)
        process = start(workshop, media)
        waited = chance.uniform(0.3, 1.1) * whole
        time.sleep(waited)
        if process.poll() is None:
            killed += 1
        else:  # it takes less than the first one, which found everything new
            whole = min(whole, waited)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert killed >= TRIES // 3
    workshop.run()
    assert workshop.wrong() == {}
    rebuild = Workshop(tmp_path / "rebuild", media)
    give_calibrations(workshop, rebuild)
    rebuild.run()
    assert_equals_rebuild(workshop, rebuild)
    assert os.listdir(workshop.paths.published / "sets")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_readers_never_fail_and_never_see_a_mixed_state(tmp_path: Path) -> None:
    media = tmp_path / "media"
    write_pictures(media, range(40))
    workshop = Workshop(tmp_path / "home", media)
    workshop.run()
    seen = set()
    for step in range(3):
        write_pictures(media, range(1000 * (step + 1), 1000 * (step + 1) + 10))
        process = start(workshop, media)
        while process.poll() is None:
            seen.add(consistent_count(workshop))
        assert process.returncode == 0
        seen.add(consistent_count(workshop))
    assert seen == {40, 50, 60, 70}


def consistent_count(workshop: Workshop) -> int:
    """Return the number of samples, of which every other table in the same set must speak."""
    with connect(workshop.paths.published) as connection:
        tables = ("samples", "embeddings", "uniqueness")
        counts = [connection.execute(f"select count(*) from {table}").fetchall()[0][0] for table in tables]
        neighbors = connection.execute("select count(distinct sample_id) from neighbors").fetchall()[0][0]
    assert len({*counts, neighbors}) == 1
    return counts[0]
