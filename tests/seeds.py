"""Stories and histories told by hand, from seeds that the command line names."""

import argparse
import time
from collections.abc import Callable

from brain_assets.incremental import update
from tests import templates


def parser(module: str, what: str, description: str | None) -> argparse.ArgumentParser:
    """Return a command line with ``--seeds`` and ``--seconds``."""
    made = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    made.add_argument("--seeds", default="1-100", help="one, or a range such as 1-1000")
    made.add_argument("--seconds", type=float, default=float("inf"), help=f"begin no {what} after so many")
    return made


def tell(given: argparse.Namespace, many: str, wrong: Callable[[int], str | None]) -> None:
    """Tell what each of the seeds leads to, print what is wrong with those that go wrong, and what one costs."""
    first, _, last = given.seeds.partition("-")
    update.STRICT = True
    templates.use()
    began, cpu, bad, told = time.monotonic(), time.process_time(), [], 0
    for seed in range(int(first), int(last or first) + 1):
        if time.monotonic() - began > given.seconds:
            break
        told += 1
        if found := wrong(seed):
            bad.append(seed)
            print(f"seed {seed}: {found}", flush=True)
    spent = (time.process_time() - cpu) / max(told, 1)
    print(f"{told} {many} from seed {first} on, {spent:.2f} CPU-s each; these go wrong: {bad or 'none'}")
