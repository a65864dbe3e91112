"""What the whole chain costs at several sizes, asset by asset, so that what grows faster than the data is seen.

Run as ``python -m tests.benchmarks.benchmark_chain --n 5000,20000,100000 --dims 256``: tiny generated pictures with given
vectors, labels, boxes and predictions, in a home of their own. Each size is a process of its own, and what is measured there
is made before by another, so that its peak of memory is its own: the chain from nothing, then 1 % more samples, then as many
fewer, each with CPU seconds per asset, and the power of the size with which each grows; of the first also the memory that
each asset has at most for itself alone, without pages of files. `_home` is what opening the dataset and its settings takes.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from brain_assets.app.declaring import declare
from brain_assets.assets import catalog
from brain_assets.incremental.tables import open_with_tables
from brain_assets.incremental.update import bring_up_to_date
from brain_assets.resources.dataset import Opening
from brain_assets.resources.settings.home import Home
from brain_assets.resources.store.publishing import connect
from tests.generated import DESCRIPTIONS, Generated, name_of
from tests.helpers import PrivateMemory, peak_memory

NAME = "chain"
SHARE = 0.01
STEPS = ("from nothing", "+1 %", "-1 %")
# Below so many CPU seconds a power of the size is noise.
TELLING = 0.5
Costs = dict[str, dict[str, float]]


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--n", default="5000,20000,100000", help="sizes, separated by commas")
    parser.add_argument("--dims", type=int, default=256, help="numbers of a vector")
    parser.add_argument("--folder", type=Path, help="where the data may lie; a temporary folder by default")
    parser.add_argument(
        "--exact-limit", type=int, default=300_000, help="images above which neighbours are found by cells"
    )
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    sizes = [int(size) for size in options.n.split(",")]
    if options.one:
        print(json.dumps(measure(options.folder, sizes[0], options.dims, options.exact_limit)))
        return
    found = {}
    for size in sizes:
        found[size] = _measured_apart(size, options.dims, options.folder, options.exact_limit)
        show(size, found[size])
    if len(found) > 1:
        show_growth({size: one["costs"]["from nothing"] for size, one in found.items()})


def _measured_apart(size: int, dims: int, folder: Path | None, exact_limit: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="brain-benchmark-", dir=folder) as inner:
        prepare(Path(inner), size, dims)
        command = [sys.executable, "-m", "tests.benchmarks.benchmark_chain", "--one"]
        command += ["--n", str(size), "--dims", str(dims), "--folder", inner, "--exact-limit", str(exact_limit)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def prepare(root: Path, count: int, dims: int) -> None:
    """Write what all steps need: the dataset, and beside it the pictures that come and what files say then."""
    Generated(root, dims).write(range(count))
    more = Generated(root / "more", dims)
    more.draw(range(count, count + _few(count)))
    more.describe(range(count + _few(count)))


def _few(count: int) -> int:
    return max(int(count * SHARE), 1)


def measure(root: Path, count: int, dims: int, exact_limit: int) -> dict[str, Any]:
    """Return CPU seconds per step and asset, peak memory in bytes, and the share of neighbours that is found.

    Parameters
    ----------
    root : Path
        A folder that was prepared.
    count : int
        Samples.
    dims : int
        Numbers of a vector.
    exact_limit : int
        Images above which neighbours are found by cells.
    """
    home, few = Home(root / "home"), _few(count)
    generated = Generated(root, dims)
    _warm(root / "warm", dims)
    paths = declare(home, NAME, media=str(root / "media"))
    settings = {"media": str(root / "media"), "similarity": {"exact_limit": exact_limit}, **generated.settings()}
    paths.config.write_text(yaml.safe_dump(settings), "utf-8")
    memory: dict[str, int] = {}
    costs: Costs = {STEPS[0]: _bring_up(home, memory)}
    _tell(costs)
    for number in range(count, count + few):
        (root / "more" / "media" / name_of(number)).rename(_made(root / "media" / name_of(number)))
    _exchange(root)
    costs[STEPS[1]] = _bring_up(home)
    _tell(costs)
    for number in range(count, count + few):
        (root / "media" / name_of(number)).unlink()
    _exchange(root)
    costs[STEPS[2]] = _bring_up(home)
    with connect(paths.published) as connection:
        (recall,) = connection.execute("select min(recall) from neighbor_recall").fetchone() or (1.0,)
    return {"costs": costs, "memory": memory, "few": few, "peak": peak_memory(), "recall": recall}


def _tell(costs: Costs) -> None:
    """Say what the last step cost, as a later one may fail."""
    step, found = list(costs.items())[-1]
    print(f"{step}: {sum(found.values()):.1f} CPU-s, {peak_memory() / 2**20:,.0f} MB", file=sys.stderr, flush=True)


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _exchange(root: Path) -> None:
    """Put what files say of the pictures that come in place of what they say without them, or back."""
    for name in DESCRIPTIONS:
        (root / name).rename(root / "aside")
        (root / "more" / name).rename(root / name)
        (root / "aside").rename(root / "more" / name)


def _warm(root: Path, dims: int) -> None:
    """Import and compile whatever there is, which is paid once and not per size."""
    generated = Generated(root, dims)
    generated.write(range(120))
    home = Home(root / "home")
    paths = declare(home, NAME, media=str(root / "media"))
    paths.config.write_text(yaml.safe_dump({"media": str(root / "media"), **generated.settings()}), "utf-8")
    _bring_up(home)


def _bring_up(home: Home, memory: dict[str, int] | None = None) -> dict[str, float]:
    """Bring the dataset up to date and return the CPU seconds of each asset; note the bytes that each holds at most."""
    costs, before = {}, _cpu()
    opening = Opening(uuid.uuid4().hex, "benchmark", frozenset(catalog.BY_NAME))
    with open_with_tables(home, NAME, opening, catalog.ALL) as dataset:
        for signal in catalog.ALL:
            started = _cpu()
            with PrivateMemory() as held:
                bring_up_to_date(signal, dataset)
            costs[signal.name] = _cpu() - started
            if memory is not None:
                memory[signal.name] = held.peak
    costs["_home"] = _cpu() - before - sum(costs.values())
    return costs


def _cpu() -> float:
    """Return the CPU seconds of this process and of those that it has waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def show(size: int, found: dict[str, Any]) -> None:
    """Print one size: its assets, the costliest first."""
    costs, whole = found["costs"], sum(found["costs"][STEPS[0]].values())
    print(f"\n{size:,} samples, {found['few']:,} more and fewer; peak memory {found['peak'] / 2**20:,.0f} MB")
    print(f"share of the true neighbours that is found: {found['recall']:.3f}")
    print(f"{'CPU-s':24}{STEPS[0]:>14}{'ms a sample':>14}{STEPS[1]:>10}{STEPS[2]:>10}{'private MB':>14}")
    for name in sorted(costs[STEPS[0]], key=lambda name: -costs[STEPS[0]][name]):
        first, *others = (costs[step][name] for step in STEPS)
        told = "".join(f"{other:10.2f}" for other in others) + f"{found['memory'].get(name, 0) / 2**20:14,.0f}"
        print(f"{name:24}{first:14.2f}{first / size * 1000:14.3f}{told}")
    shares = [sum(costs[step].values()) for step in STEPS[1:]]
    told = "".join(f"{share:10.2f}" for share in shares)
    print(f"{'all':24}{whole:14.2f}{whole / size * 1000:14.3f}{told}")
    print("a step's share of the whole: " + ", ".join(f"{share / whole:.1%}" for share in shares), flush=True)


def show_growth(costs: dict[int, dict[str, float]]) -> None:
    """Print the power of the size with which each asset's cost grows from one size to the next; 1 is in proportion."""
    sizes = sorted(costs)
    steps = list(pairwise(sizes))
    print(f"\n{'grows as n to the power':24}" + "".join(f"{f'{one:,} - {other:,}':>20}" for one, other in steps))
    totals = {size: sum(found.values()) for size, found in costs.items()}
    for name in ["all", *costs[sizes[0]]]:
        known = totals if name == "all" else {size: found[name] for size, found in costs.items()}
        print(f"{name:24}" + "".join(f"{word:>20}" for word in _powers(known, steps)), flush=True)


def _powers(known: dict[int, float], steps: Iterable[tuple[int, int]]) -> list[str]:
    words = []
    for one, other in steps:
        told = min(known[one], known[other]) >= TELLING
        words.append(f"{math.log(known[other] / known[one]) / math.log(other / one):.2f}" if told else "-")
    return words


if __name__ == "__main__":
    main(sys.argv[1:])
