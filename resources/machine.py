"""How much memory there is, how the allocator keeps it, and how often Python looks through it."""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

GROUP = Path("/sys/fs/cgroup")
# Files of the limit and of what is taken, and what is called in memory.stat what can be given back: in cgroup 2, and before.
LIMITS = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
)
FACTS = Path("/proc/meminfo")
# Options of glibc's mallopt, and bytes: freed memory that is kept at most, and from which size a block is given back at once.
TRIM_THRESHOLD, KEPT_BYTES = -1, 32 << 20
MAPPING_THRESHOLD, MAPPED_BYTES = -3, 4 << 20
ARENAS, MOST_ARENAS = -8, 2

RARELY = (50_000, 20, 50)
"""When to look for garbage where many objects are made that stay: with Python's own thresholds that is half of a long listing."""


@contextmanager
def collected_rarely() -> Iterator[None]:
    """Look for garbage rarely while the block runs."""
    usual = gc.get_threshold()
    gc.set_threshold(*RARELY)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


@cache
def keep_freed_memory() -> None:
    """Let glibc keep some freed memory for what is allocated next; elsewhere nothing changes.

    By default it gives an array of some hundred kilobytes back as soon as it is freed, and the pages of the next one are
    mapped and cleared again, one fault each: a quarter of what measuring a photo costs.
    """
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(TRIM_THRESHOLD, KEPT_BYTES)
        library.mallopt(MAPPING_THRESHOLD, MAPPED_BYTES)


@cache
def share_freed_memory() -> None:
    """Let the threads of a server allocate from a few arenas of glibc, not from one each; elsewhere nothing changes.

    What a picture took stays in the arena of the thread that made it: twelve of 24 megapixels, two of them at a time, left
    2.4 GB behind in twelve arenas, and .9 GB in two.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(ARENAS, MOST_ARENAS)


def available_memory() -> int | None:
    """Return the bytes that may still be taken, by the machine and by the limit of our control group; None if unknown."""
    found = [bytes_ for bytes_ in (_of_machine(), _of_group()) if bytes_ is not None]
    return min(found, default=None)


def _of_machine() -> int | None:
    with suppress(OSError, ValueError, IndexError):
        for line in FACTS.read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _of_group() -> int | None:
    """Return what is left below the limit; pages of files that were read are given back when they are needed."""
    for limit, used, given_back in LIMITS:
        with suppress(OSError, ValueError):
            most, taken = (int((GROUP / name).read_text("ascii")) for name in (limit, used))
            stated = (GROUP / limit).with_name("memory.stat").read_text("ascii")
            facts = dict(line.split() for line in stated.splitlines())
            return most - taken + int(facts.get(given_back, 0))
    return None
