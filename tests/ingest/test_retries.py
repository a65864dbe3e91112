"""What fails for a reason outside of the file is tried again, a few times and ever later, and the file is not blamed."""

import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from brain_assets.ingest import decode_pass
from brain_assets.resources.decoding.decoding_workers import Worker
from tests.workshop import Workshop, encoded, picture

SELECT = ("samples", "media", "issues", "published")
ROW = "select status, split_part(error, ':', 1), retry_at is not null from samples where filepath = 'scan.tif'"


class Killer:
    """Kills every worker, by its process id, as it is about to decode, as long as it is armed."""

    def __init__(self) -> None:
        self.armed, self.asked = True, 0
        self._run = Worker.run

    def run(self, worker: Worker, *arguments: Any) -> Any:
        self.asked += 1
        if self.armed:
            os.kill(worker._process.pid, signal.SIGKILL)
        return self._run(worker, *arguments)


@pytest.fixture
def killer(monkeypatch: pytest.MonkeyPatch) -> Killer:
    made = Killer()
    monkeypatch.setattr(Worker, "run", lambda worker, *arguments: made.run(worker, *arguments))
    return made


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "media" / "scan.tif"
    path.parent.mkdir()
    path.write_bytes(encoded(picture(1), "TIFF"))
    return path


@pytest.fixture
def workshop(scan: Path) -> Workshop:
    return Workshop(scan.parents[1], scan.parent)


def unreadable(workshop: Workshop) -> int:
    return workshop.rows("select count(*) from issues where issue = 'unreadable'")[0][0]


def test_a_sound_image_whose_worker_is_killed_is_decoded_by_the_next_run(workshop: Workshop, killer: Killer) -> None:
    workshop.run(SELECT)
    assert workshop.rows(ROW) == [("error", "killed", True)]
    assert unreadable(workshop) == 0
    killer.armed = False
    workshop.run(SELECT)
    assert workshop.rows(ROW) == [("ok", None, False)]
    asked = killer.asked
    workshop.run(SELECT)
    assert killer.asked == asked


def test_it_is_tried_a_few_times_and_then_only_when_the_file_is_touched(
    workshop: Workshop, scan: Path, killer: Killer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode_pass, "WAITS", (timedelta(0), timedelta(0)))
    for _ in range(5):
        workshop.run(SELECT)
    assert killer.asked == 3
    assert workshop.rows(ROW) == [("error", "killed", False)]
    assert unreadable(workshop) == 1
    killer.armed = False
    os.utime(scan, (1, 1))
    workshop.run(SELECT)
    assert workshop.rows(ROW) == [("ok", None, False)]
    assert unreadable(workshop) == 0


def test_a_copy_is_tried_at_once(
    workshop: Workshop, scan: Path, killer: Killer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode_pass, "WAITS", (timedelta(hours=1),))
    workshop.run(SELECT)
    workshop.run(SELECT)
    assert killer.asked == 1
    killer.armed = False
    scan.with_name("copy.tif").write_bytes(scan.read_bytes())
    workshop.run(SELECT)
    assert workshop.rows(ROW) == [("ok", None, False)]


def test_a_good_image_stays_when_a_new_pass_over_all_is_disturbed(
    workshop: Workshop, scan: Path, killer: Killer
) -> None:
    killer.armed = False
    workshop.run(SELECT)
    killer.armed = True
    workshop.declare(media=str(scan.parent), decoding={"preview_size": 32})
    workshop.run(SELECT)
    assert workshop.rows(ROW) == [("ok", None, False)]
    killer.armed = False
    asked = killer.asked
    workshop.run(SELECT)
    assert killer.asked == asked + 1
