"""Tell the histories of some seeds, and print which go wrong: ``python -m tests.simulation --seeds 1-1000``."""

import argparse
import time

from brain_assets.incremental import update
from tests import templates
from tests.simulation.history import problem


def main() -> None:
    """Tell them."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", default="1-100", help="one, or a range such as 1-1000")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no history after so many")
    parser.add_argument("--log", action="store_true", help="print what happened in those that go wrong")
    given = parser.parse_args()
    first, _, last = given.seeds.partition("-")
    update.STRICT = True
    templates.use()
    began, cpu, bad, told = time.monotonic(), time.process_time(), [], 0
    for seed in range(int(first), int(last or first) + 1):
        if time.monotonic() - began > given.seconds:
            break
        told += 1
        if found := problem(seed, log=given.log):
            bad.append(seed)
            print(f"seed {seed}: {found}", flush=True)
    spent = (time.process_time() - cpu) / max(told, 1)
    print(f"{told} histories from seed {first} on, {spent:.2f} CPU-s each; these go wrong: {bad or 'none'}")


if __name__ == "__main__":
    main()
