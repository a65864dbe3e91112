"""Damaged files by every door: some cases of each, more of each among the slow ones, all that ever failed."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.doors import DOORS, enter

# Few where a case is dear.
FAST = {"videos": 8, "images": 60, "requests": 60}
# What takes some 15 s each. A number of cases and no time, so that a faster machine judges no other ones.
SLOW = {
    "images": 3600, "archives": 6000, "videos": 50, "labels": 2400,
    "tables": 1300, "listings": 4800, "settings": 4200, "requests": 3000,
}  # fmt: skip
# Cases that once failed, by their door.
FAILED: dict[str, tuple[int, ...]] = {
    "archives": (10253, 10257),
    "requests": (5519, 22892, 24842, 27490, 27703, 27887, 28406, 28697, 28735),
}


@pytest.mark.parametrize("door", DOORS)
def test_no_damage_to_what_comes_in_is_more_than_a_reason(door: str) -> None:
    if door == "videos":
        pytest.importorskip("av")
    for seed in (*range(FAST.get(door, 100)), *FAILED.get(door, ())):
        enter(door, seed)


@pytest.mark.slow
@pytest.mark.parametrize("door", DOORS)
def test_no_damage_is_more_than_a_reason_in_many_cases(door: str) -> None:
    seeds = f"1000-{999 + SLOW[door]}"
    command = [sys.executable, "-m", "tests.fuzz", "--door", door, "--seeds", seeds, "--seconds", "600"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
