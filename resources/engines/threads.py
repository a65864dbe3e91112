"""The engine that is there without any other: threads of the run's own process."""

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from brain_assets.methods.similarity.distances import Rows, Space
from brain_assets.methods.similarity.shortlists import Progress, shortlist
from brain_assets.resources.engines.door import Worker


class Threads:
    """One worker with as many threads as there are cores."""

    name = "threads"
    title = "Threads of the run's own process"

    def map_batches(self, worker: Worker, batches: Iterable[Sequence[Any]]) -> Iterator[Any]:
        """Yield what one worker makes of all items, which come to it as one stream."""
        with worker(os.cpu_count() or 1, careful=False) as work:
            yield from work(chain.from_iterable(batches))

    def top_k(
        self, space: Space, count: int, block: int = 1024, progress: Progress | None = None
    ) -> tuple[Rows, Rows, Rows]:
        """Return candidates from pairs of blocks, each of which is multiplied once for both its sides."""
        return shortlist(space, count, block, progress)


ENGINE = Threads
