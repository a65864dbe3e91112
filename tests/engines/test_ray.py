"""What Ray owes beside what every engine does: whatever dies, everything is worked on."""

import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from itertools import count, takewhile
from pathlib import Path

import pytest

from brain_assets.resources.engines.ray_cluster import TRIES, Ray
from brain_assets.resources.errors import BrainError, ConfigurationError
from tests.engines.workers import Deadly

if find_spec("ray") is None:
    pytest.skip("Ray is not installed: make test-ray", allow_module_level=True)

KILLS = 20


@pytest.fixture(scope="module")
def cluster() -> Iterator[Ray]:
    import ray

    ray.shutdown()
    yield Ray("local", workers=3)
    ray.shutdown()


def test_workers_are_killed_at_random_points_and_nothing_is_lost(cluster: Ray, tmp_path: Path) -> None:
    chance, killed, ended = random.Random(11), [], threading.Event()

    def kill() -> None:
        while len(killed) < KILLS and not ended.wait(chance.uniform(0.5, 2)):
            for note in chance.sample(sorted(tmp_path.iterdir()), 1) if any(tmp_path.iterdir()) else []:
                note.unlink()
                with suppress(ProcessLookupError):
                    os.kill(int(note.name), signal.SIGKILL)
                    killed.append(note.name)

    def batches() -> Iterator[list[int]]:
        """Yield ever more work until all have been killed, and some then."""
        yield from ([number] for number in takewhile(lambda _: len(killed) < KILLS, count(0, 2)))
        yield from ([number] for number in range(1, 40, 2))

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        found = [item for item, _ in cluster.map_batches(Deadly(tmp_path, seconds=0.1), batches())]
    finally:
        ended.set()
        killer.join()
    assert len(killed) == KILLS
    even = sorted(item for item in found if item % 2 == 0)
    assert even == list(range(0, 2 * len(even), 2))
    assert sorted(item for item in found if item % 2) == list(range(1, 40, 2))


def test_an_item_that_ends_its_process_costs_no_other(cluster: Ray, tmp_path: Path) -> None:
    found = dict(cluster.map_batches(Deadly(tmp_path, fatal=7), [[item, item + 1] for item in range(0, 20, 2)]))
    assert found == {item: item in (6, 7) for item in range(20)}


def test_a_batch_that_no_worker_survives_ends_the_work(cluster: Ray, tmp_path: Path) -> None:
    with pytest.raises(BrainError, match=f"{TRIES} workers of Ray were lost with the same 2 items"):
        list(cluster.map_batches(Deadly(tmp_path, fatal=3, always=True), [[1, 2], [3, 4]]))


def test_no_cluster_is_one_line() -> None:
    import ray

    ray.shutdown()
    with pytest.raises(ConfigurationError, match=r"no Ray cluster answers at ray://127.0.0.1:1: .*refused"):
        list(Ray("ray://127.0.0.1:1").map_batches(Deadly(Path()), [[1], [2]]))
