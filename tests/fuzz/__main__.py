"""``python -m tests.fuzz --door archives --seeds 0-100000 --seconds 60``: sends damaged files through the doors.

A seed that fails is printed, and fails again with ``--seeds N-N``.
"""

import argparse
import faulthandler
import resource
import time
import traceback

from tests.fuzz.doors import DOORS, enter

# A case that takes longer hangs: its stack is printed and the process ends.
HANG_SECONDS = 120


def main() -> int:
    """Run and return how many seeds failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--door", choices=[*DOORS], action="append")
    parser.add_argument("--seeds", default="0-1000000000", help="first and last")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each door")
    options = parser.parse_args()
    first, last = map(int, options.seeds.split("-"))
    failed = 0
    for door in options.door or DOORS:
        began, slowest, seed = time.monotonic(), (0.0, first), first
        while seed <= last and time.monotonic() - began < options.seconds:
            spent = time.monotonic()
            faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
            try:
                enter(door, seed)
            except Exception:  # noqa: BLE001 - whatever it is, it is a finding
                failed += 1
                print(f"{door} {seed} FAILED\n{traceback.format_exc(limit=-6)}", flush=True)
            slowest = max(slowest, (time.monotonic() - spent, seed))
            seed += 1
        faulthandler.cancel_dump_traceback_later()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(
            f"{door}: {seed - first} cases, slowest {slowest[0]:.1f} s (seed {slowest[1]}), {peak} MB at most",
            flush=True,
        )
    return failed


if __name__ == "__main__":
    raise SystemExit(min(main(), 100))
