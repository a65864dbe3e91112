import platform
import resource
from pathlib import Path

import numpy as np
import pytest

from brain_assets.resources import machine
from brain_assets.resources.machine import keep_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators keep memory as they like")
def test_memory_that_is_used_again_and_again_is_mapped_once() -> None:
    keep_freed_memory()
    pages = 3_000_000 // resource.getpagesize()

    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        np.ones(3_000_000, np.uint8)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    found = [faults() for _ in range(50)]
    assert np.median(found) < pages / 10, found


@pytest.mark.parametrize("version", [1, 2])
def test_the_limit_of_the_control_group_counts_less_what_can_be_given_back(
    version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path if version == 2 else tmp_path / "memory"
    names = ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    folder.mkdir(exist_ok=True)
    for name, value in zip(names, (5_000_000, 3_000_000), strict=True):
        (folder / name).write_text(str(value))
    given_back = "inactive_file" if version == 2 else "total_inactive_file"
    (folder / "memory.stat").write_text(f"anon 7\n{given_back} 1000000\n")
    monkeypatch.setattr(machine, "GROUP", tmp_path)
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 8000 kB\n")
    monkeypatch.setattr(machine, "FACTS", tmp_path / "meminfo")
    assert machine.available_memory() == 3_000_000
    monkeypatch.setattr(machine, "GROUP", tmp_path / "none")
    assert machine.available_memory() == 8000 * 1024
