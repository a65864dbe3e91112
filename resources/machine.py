"""How much memory there is."""

from contextlib import suppress
from pathlib import Path

GROUP = Path("/sys/fs/cgroup")
FACTS = Path("/proc/meminfo")


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
    with suppress(OSError, ValueError):
        limit, used = (int((GROUP / name).read_text("ascii")) for name in ("memory.max", "memory.current"))
        facts = dict(line.split() for line in (GROUP / "memory.stat").read_text("ascii").splitlines())
        return limit - used + int(facts.get("inactive_file", 0))
    return None
