"""What all tests share: hypothesis profiles and the optional real data."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from brain_assets.incremental import update
from tests import templates

# The same examples everywhere, so that a red run means that the change is at fault; "explore" looks for new ones.
hypothesis.settings.register_profile("dev", max_examples=50, deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", max_examples=1000, deadline=None)
hypothesis.settings.register_profile("debug", max_examples=10, deadline=None, verbosity=hypothesis.Verbosity.verbose)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

# A signal that reads a table which it does not declare fails.
update.STRICT = True
templates.use()

ROOT = Path(__file__).parent.parent
SHARED = Path(os.environ.get("BRAIN_TEST_DATA", ROOT.parent / "shared" / "data"))
# A file system in memory, and what it must have room for, so that commits of tests do not wait for a disk.
MEMORY, ROOM = Path("/dev/shm"), 6 << 30


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Let tests write to memory where there is enough and programs may run there; a worker writes below its controller."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A script that runs the tests in the background has them ignore Ctrl-C, and with them all that they start.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    usable = os.access(MEMORY, os.W_OK) and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
    if config.option.basetemp is None and usable and shutil.disk_usage(MEMORY).free >= ROOM:
        config.option.basetemp = tempfile.mkdtemp(prefix="brain-", dir=MEMORY)
        config.add_cleanup(lambda: shutil.rmtree(config.option.basetemp, ignore_errors=True))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images with human-checked truth; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"real test data not found at {SHARED} (set BRAIN_TEST_DATA to its folder)")
    return SHARED


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 MB of its own, which can be filled."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
