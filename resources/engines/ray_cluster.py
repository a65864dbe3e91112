"""Ray: the workers are processes of a cluster, on this machine or on many, and what is lost with one is done again."""

import logging
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain, islice
from typing import Any

from brain_assets.methods.similarity.distances import Rows, Space
from brain_assets.methods.similarity.shortlists import Progress, shortlist
from brain_assets.resources.engines.door import Worker, by_blocks
from brain_assets.resources.engines.threads import Threads
from brain_assets.resources.errors import BrainError, ConfigurationError

# A batch that so many workers were lost with is no accident.
TRIES = 6
# Fewer rows are compared here before a cluster has them.
FEW_BLOCKS = 8
# Seconds in which a cluster has to answer at all.
KNOCK = 10
# Ray itself is loud in its drivers' terminals; what matters of it is said in the run's log.
QUIET = {"log_to_driver": False, "logging_level": logging.ERROR}

LOG = logging.getLogger("brain")


@dataclass
class _Batch:
    """A batch, and how often it was lost with its worker."""

    items: Sequence[Any]
    lost: int = 0


class _Actor:
    """What runs in a worker process: opened for its first batch, and kept open."""

    def __init__(self, worker: Worker) -> None:
        self._worker, self._open = worker, ExitStack()
        self._works: dict[bool, Any] = {}

    def run(self, items: Sequence[Any], careful: bool) -> list[Any]:  # noqa: FBT001 - sent by place
        if careful not in self._works:
            self._works[careful] = self._open.enter_context(self._worker(1, careful=careful))
        return list(self._works[careful](items))


class Ray:
    """Workers of a Ray cluster, one per CPU.

    Parameters
    ----------
    address : str
        ``ray://HOST:PORT`` of a cluster that is there; by default that of ``RAY_ADDRESS``, else one on this machine that
        ends with the process.
    workers : int, optional
        Most workers to use.
    """

    name = "ray"
    title = "Ray"

    def __init__(self, address: str = "", workers: int | None = None) -> None:
        if find_spec("ray") is None:
            raise ModuleNotFoundError("Ray is not installed", name="ray")
        self._address = address or os.environ.get("RAY_ADDRESS") or "local"
        self._most = workers

    def map_batches(self, worker: Worker, batches: Iterable[Sequence[Any]]) -> Iterator[Any]:
        """Yield what the workers of the cluster make of the batches; one batch alone is not worth the way."""
        source = iter(batches)
        first = list(islice(source, 2))
        if len(first) < 2:
            yield from Threads().map_batches(worker, first)
            return
        team = _Team(worker, self._joined())
        try:
            yield from team.results(map(_Batch, chain(first, source)))
        finally:
            team.end()

    def top_k(
        self, space: Space, count: int, block: int = 1024, progress: Progress | None = None
    ) -> tuple[Rows, Rows, Rows]:
        """Return candidates block by block, each compared with all rows by a worker; few rows are compared here."""
        if len(space) <= FEW_BLOCKS * block:
            return shortlist(space, count, block, progress)
        return by_blocks(self, space, count, block, progress)

    def _joined(self) -> int:
        """Join the cluster, once in a process, and return how many workers it has room for."""
        import ray

        if not ray.is_initialized():
            local = {"num_cpus": self._most, "include_dashboard": False} if self._address == "local" else {}
            try:
                self._knock()
                with _signals_kept():
                    ray.init(self._address, **local, **QUIET)
            except Exception as error:
                line = " ".join(str(error).split())[:200]
                raise ConfigurationError(f"engine: no Ray cluster answers at {self._address}: {line}") from error
        room = int(ray.cluster_resources().get("CPU", 0))
        if not room:
            raise ConfigurationError(f"engine: the Ray cluster at {self._address} has no CPU for workers")
        return min(room, self._most or room)

    def _knock(self) -> None:
        """Raise OSError where nobody listens at the address: Ray itself would wait for a minute."""
        host, _, port = self._address.removeprefix("ray://").partition("/")[0].rpartition(":")
        if port.isdecimal():
            socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK).close()


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Leave to the run what it does when it is asked to end: Ray takes its handlers away."""
    kept = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for one, handler in kept.items():
            try:
                signal.signal(one, handler)
            except ValueError:  # not the main thread, where Ray takes none either
                break


class _Team:
    """The workers of one piece of work. Each has one batch at a time; a lost one is replaced, its batch done again."""

    def __init__(self, worker: Worker, size: int) -> None:
        import ray

        self._ray, self._size = ray, size
        self._worker = ray.put(worker)
        self._kind = ray.remote(num_cpus=1, max_restarts=0)(_Actor)
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, _Batch]] = {}
        self._again: deque[_Batch] = deque()
        self._started, self._done, self._lost = time.monotonic(), 0, 0

    def results(self, batches: Iterator[_Batch]) -> Iterator[Any]:
        """Yield the results of all batches; the next ones are on their way while somebody takes them."""
        self._send(batches)
        while self._busy:
            (reply, *_), _ = self._ray.wait(list(self._busy), num_returns=1)
            actor, batch = self._busy.pop(reply)
            found = self._received(reply, actor, batch)
            self._send(batches)
            yield from found
        LOG.info(
            f"ray: {self._done} batches by {self._size} workers in {time.monotonic() - self._started:.0f} s"
            + (f", {self._lost} done again" if self._lost else "")
        )

    def _send(self, batches: Iterator[_Batch]) -> None:
        while len(self._busy) < self._size:
            batch = self._again.popleft() if self._again else next(batches, None)
            if batch is None:
                return
            actor = self._idle.pop() if self._idle else self._kind.remote(self._worker)
            self._busy[actor.run.remote(batch.items, batch.lost > 0)] = (actor, batch)

    def _received(self, reply: Any, actor: Any, batch: _Batch) -> Sequence[Any]:
        """Return what a worker has made of a batch; nothing where it was lost, and is to be done again."""
        errors = self._ray.exceptions
        try:
            found: list[Any] = self._ray.get(reply)
        except errors.RayTaskError as error:
            raise _cause(error) from None
        except errors.RayError as error:
            self._ray.kill(actor)
            self._lose(batch, error)
            return ()
        self._idle.append(actor)
        self._done += 1
        return found

    def _lose(self, batch: _Batch, error: Exception) -> None:
        batch.lost += 1
        self._lost += 1
        reason = " ".join(str(error).split())[:160]
        if batch.lost == TRIES:
            raise BrainError(
                f"engine: {TRIES} workers of Ray were lost with the same {len(batch.items)} items: {reason}"
            )
        LOG.warning(f"ray: a worker was lost, its {len(batch.items)} items are done again: {reason}")
        self._again.append(batch)

    def end(self) -> None:
        """Let all workers go."""
        for actor in [*self._idle, *(actor for actor, _ in self._busy.values())]:
            self._ray.kill(actor)


def _cause(error: Any) -> Exception:
    """Return what went wrong in a worker as it would be in the run's own process."""
    cause = error.cause
    if isinstance(cause, BrainError):
        return cause
    line = " ".join(f"{type(cause).__name__}: {cause}".split())[:200]
    return BrainError(f"engine: the work failed in a worker of Ray: {line}")


ENGINE = Ray
