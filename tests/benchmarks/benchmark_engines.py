"""What engines give: scaling, the memory of the run's own process, and whether real pictures come out the same.

Run as ``python -m tests.benchmarks.benchmark_engines scaling``, ``memory [COUNT ...]`` or
``pictures FOLDER [COUNT [MODEL]]`` where Ray is installed. In the first two, decoder and model sleep as long as they would
work, so that few cores do not hide how the work is spread.
"""

import itertools
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

from brain_assets.resources.dataset import Opening, open_dataset
from brain_assets.resources.engines.ray_cluster import Ray
from tests.engines.test_members import ASSETS, FOUND
from tests.engines.workers import Photos
from tests.workshop import Workshop

WORKERS, BATCH = 8, 64
SECONDS = 0.027


def main(part: str = "scaling", *arguments: str) -> None:
    """Run one of the parts."""
    {"scaling": scaling, "memory": memory, "pictures": pictures}[part](*arguments)


def batches(count: int) -> Iterator[list[int]]:
    """Yield the numbers below ``count`` in batches."""
    numbers = iter(range(count))
    yield from iter(lambda: list(itertools.islice(numbers, BATCH)), [])


def scaling(per_worker: str = "1024") -> None:
    """Print how many times as much eight workers do in a second as one, while all of them are there."""
    engine = Ray("local", WORKERS)
    rates = [_rate(engine, workers, int(per_worker) * workers) for workers in (WORKERS, 1)]
    print(
        f"photos in a second: {rates[1]:.1f} by one worker, {rates[0]:.1f} by {WORKERS}: {rates[0] / rates[1]:.2f} times as many"
    )


def _rate(engine: Ray, workers: int, count: int) -> float:
    """Return the results in a second from when the last worker has begun to when the first has nothing left to do.

    The results of a batch come at once, so batches are counted, by when each comes.
    """
    engine._joined()
    engine._most = workers
    came, met, began = [], set[int](), 0
    for item, *_, worker in engine.map_batches(Photos(SECONDS), batches(count)):
        if item % BATCH:
            continue
        came.append(time.monotonic())
        if len(met) < workers:
            met.add(worker)
            began = len(came) - 1
    ended = len(came) - workers
    return (ended - began) * BATCH / (came[ended] - came[began])


def memory(*counts: str) -> None:
    """Print the resident memory of this process after ever more results have come in."""
    engine = Ray("local", 2)
    for count in map(int, counts or ("10000", "100000", "1000000")):
        seen = sum(1 for _ in engine.map_batches(Photos(0, preview=500), batches(count)))
        print(
            f"{seen:>9,} results: {_resident() / 1e6:.0f} MB now, {getrusage(RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB at most"
        )


def _resident() -> int:
    fields = Path("/proc/self/statm").read_text("ascii").split()
    return int(fields[1]) * 4096


def pictures(folder: str, count: str = "5000", model: str = "builtin:efficientnet-lite0") -> None:
    """Print whether what is derived from real pictures is equal to the bit, and what either engine took."""
    found = []
    with tempfile.TemporaryDirectory() as root:
        for engine in ("threads", "ray"):
            settings = {"embeddings": {"model": model}, "limit": int(count)}
            workshop = Workshop(Path(root) / engine, Path(folder), engine=engine, **settings)
            began, used = time.monotonic(), _used()
            workshop.run(ASSETS)
            with open_dataset(workshop.home, workshop.name, Opening("benchmark", "benchmark")) as dataset:
                found.append({table: dataset.store.rows(query) for table, query in FOUND.items()})
            print(
                f"{engine}: {time.monotonic() - began:.0f} s, {_used() - used:.0f} CPU-s of its own and of what it waited for"
            )
    for table in FOUND:
        print(f"{table}: {len(found[0][table])} rows, {'equal' if found[0][table] == found[1][table] else 'DIFFERENT'}")


def _used() -> float:
    return sum(one.ru_utime + one.ru_stime for one in map(getrusage, (RUSAGE_SELF, RUSAGE_CHILDREN)))


if __name__ == "__main__":
    main(*sys.argv[1:])
