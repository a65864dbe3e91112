"""Large arrays lie in a file where the disk has room, and in memory where it has none."""

import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from brain_assets.resources import scratch as module
from brain_assets.resources.scratch import lies_on_disk, scratch

GROUPS = Path("/sys/fs/cgroup/memory")
FILL = """
import sys
from pathlib import Path
import numpy as np
from brain_assets.resources.scratch import scratch
Path(sys.argv[1], "cgroup.procs").write_text("0")
shape = (1 << 20, 512)
rows = np.empty(shape, np.float32) if sys.argv[3] == "memory" else scratch(shape, Path(sys.argv[2]))
for start in range(0, len(rows), 1 << 14):
    rows[start : start + (1 << 14)] = start
print(int(rows[::1 << 14, 0].sum()))
"""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SMALL_BYTES", 4000)


@pytest.mark.usefixtures("small")
def test_what_is_written_is_read_and_no_file_is_left(tmp_path: Path) -> None:
    rows = scratch((100, 10), tmp_path)
    assert lies_on_disk(rows.nbytes, tmp_path)
    assert rows.base is not None
    rows[:] = np.arange(1000).reshape(100, 10)
    assert rows[7, 3] == 73
    assert not list(tmp_path.iterdir())
    assert rows.flags.writeable
    assert scratch((9, 10), tmp_path).base is None, "a small one"


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("lacking", ["room", "a way to ask for room", "room after all", "a folder to write to"])
def test_without_room_on_the_disk_it_lies_in_memory(
    lacking: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path
    if lacking == "room":
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=7000))
    elif lacking == "a way to ask for room":
        monkeypatch.delattr(os, "posix_fallocate")
    elif lacking == "room after all":
        monkeypatch.setattr(os, "posix_fallocate", _full)
    else:
        monkeypatch.setattr(tempfile, "TemporaryFile", _full)
    rows = scratch((100, 10), folder)
    assert rows.base is None
    assert rows.shape == (100, 10)


def _full(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")


@contextmanager
def group() -> Iterator[Path]:
    """A control group of a quarter of a gigabyte."""
    folder = GROUPS / f"brain-assets-{uuid.uuid4().hex}"
    try:
        folder.mkdir()
        (folder / "memory.limit_in_bytes").write_text(str(1 << 28))
        # What has no file is not to be written to one of the system's own.
        (folder / "memory.swappiness").write_text("0")
    except OSError:
        pytest.skip("needs a control group whose memory can be limited")
    yield folder
    folder.rmdir()


def fill(where: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Fill two gigabytes in memory, or in a scratch array, within such a group."""
    with group() as limited:
        command = [sys.executable, "-c", FILL, str(limited), str(folder), where]
        return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_eight_times_the_memory_that_there_is_can_be_filled() -> None:
    # Other folders of tests may themselves lie in memory.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        if not lies_on_disk(1 << 31, Path(folder)):
            pytest.skip("needs 4 GB of disk")
        assert fill("memory", Path(folder)).returncode == -9, "ended for want of memory"
        filled = fill("scratch", Path(folder))
    assert filled.stdout.split() == [str(sum(range(0, 1 << 20, 1 << 14)))], filled
