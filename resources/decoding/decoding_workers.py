"""Worker processes for decoders that may crash, hang or eat memory, and that can be killed for it.

A worker is a fresh interpreter (nothing is forked, no main module imported again) that reads jobs from a pipe. It
limits its own memory and, by timers that end it even inside C code and even when its parent is gone, its own time: the
processor time that it uses, which is the file's doing, and far later the time on the clock, which on a busy machine is
not. It starts when first needed, serves one job at a time, and is replaced after it failed.
"""

import contextlib
import math
import os
import resource
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from typing import Any, Literal

from PIL import Image

from brain_assets.resources.decoding.formats import openable, register_optional
from brain_assets.resources.decoding.pictures import open_image
from brain_assets.resources.errors import MissingError
from brain_assets.resources.limits import LIGHT, Limits, Refused, check_size, cost, reason_of


@dataclass(frozen=True)
class Direct:
    """Work on something else than an image in memory: it is just called."""

    call: Callable[[], Any]


Task = Callable[[Image.Image, bytes], Any]
Work = Task | Direct
Reply = tuple[Literal["done", "refused", "heavy"], Any]
BOOT = (
    "import sys; sys.path[:] = {path!r}; from brain_assets.resources.decoding.decoding_workers import main; main({fd})"
)
# glibc returns large blocks as they are freed where told what is large; else heaps grow beyond what any image needs.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "1000000"}
# Who waits for a worker waits so many times the processor time that it may use, and no longer.
PATIENCE = 10
# How a process ends that somebody else ended; a decoder that goes wrong ends in other ways.
FROM_OUTSIDE = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGALRM}
# The worker's own alarm comes after the parent's timeout: it is there for a parent that is gone.
GRACE = 10
STARTUP = 60


class Budget:
    """Memory that may be in use at the same time, handed out in bytes.

    Parameters
    ----------
    total : int
        What can be handed out; who asks for more gets all of it, and so works alone.
    """

    def __init__(self, total: int) -> None:
        self._total = self._free = total
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def hold(self, count: int) -> Iterator[None]:
        """Wait until ``count`` bytes are free and hold them; a thread must not hold twice."""
        count = min(count, self._total)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= count)
            self._free -= count
        try:
            yield
        finally:
            with self._changed:
                self._free += count
                self._changed.notify_all()


class Worker:
    """One worker process, from the side of its parent."""

    def __init__(self, limits: Limits, plugins: Sequence[str]) -> None:
        self._limits = limits
        self._pipe, theirs = Pipe()
        with theirs:
            boot = BOOT.format(path=sys.path, fd=theirs.fileno())
            self._process = subprocess.Popen(
                [sys.executable, "-c", boot],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C is for the parent: a worker that it ends would look like a crash
                env=os.environ | ENVIRONMENT,
            )
        self._pipe.send((limits, tuple(plugins)))
        self._await_start()

    def _await_start(self) -> None:
        try:
            problem = self._pipe.recv() if self._pipe.poll(STARTUP) else f"no answer within {STARTUP} s"
        except (EOFError, OSError):
            problem = self._ending()
        if problem:
            self.stop()
            raise MissingError(f"a worker process for decoding could not start: {problem}")

    def run(self, task: Work, data: bytes, grant: int) -> Reply:
        """Return what the process makes of ``task`` and ``data``; raise Refused when it does not answer."""
        try:
            self._pipe.send((task, grant))
            self._pipe.send_bytes(data)
            if self._pipe.poll(PATIENCE * self._limits.seconds):
                reply: Reply = self._pipe.recv()
                return reply
        except (EOFError, OSError) as error:
            raise Refused(self._reason()) from error
        used = f"{PATIENCE * self._limits.seconds:g} s"
        raise Refused(f"stalled: no answer within {used}, in which decoding did not use up its processor time")

    def _reason(self) -> str:
        ending = self._ending()
        if ending == signal.SIGPROF.name:
            return f"timeout: decoding took longer than {self._limits.seconds:g} s of processor time (decoding.timeout)"
        if ending in {one.name for one in FROM_OUTSIDE}:
            return f"killed: the process that decoded was ended from outside ({ending}), as when memory runs out"
        return f"crashed: the decoder ended its process ({ending})"

    def _ending(self) -> str:
        try:
            code = self._process.wait(timeout=GRACE)
        except subprocess.TimeoutExpired:
            return "no answer"
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    def stop(self) -> None:
        """Kill the process; safe to call twice."""
        self._process.kill()
        self._process.wait()
        self._pipe.close()


class WorkerPool:
    """Workers that start when needed and are kept for the next job; safe to call from many threads."""

    def __init__(self, limits: Limits, budget: Budget, plugins: Sequence[str] = ()) -> None:
        self._limits, self._budget, self._plugins = limits, budget, tuple(plugins)
        self._idle: list[Worker] = []
        self._lock = threading.Lock()

    def run(self, task: Task, data: bytes) -> Any:
        """Return ``task`` of the image in ``data``, computed in a process of its own; raise Refused otherwise.

        An image that turns out to need much memory is decoded once the budget has room for it.
        """
        kind, result = self._ask(task, data, LIGHT)
        if kind == "heavy":
            with self._budget.hold(result):
                kind, result = self._ask(task, data, result)
        if kind == "refused":
            raise Refused(result)
        return result

    def _ask(self, task: Task, data: bytes, grant: int) -> Reply:
        worker = self._take()
        try:
            reply = worker.run(task, data, grant)
        except BaseException:
            worker.stop()
            raise
        if reply[0] == "refused" and str(reply[1]).startswith("memory:"):
            worker.stop()
        else:
            self._keep(worker)
        return reply

    @contextlib.contextmanager
    def lease(self) -> Iterator[Worker]:
        """Hold one worker for a conversation; it is replaced when that does not end well."""
        worker = self._take()
        try:
            yield worker
        except BaseException:
            worker.stop()
            raise
        self._keep(worker)

    def _take(self) -> Worker:
        with self._lock:
            idle = self._idle.pop() if self._idle else None
        try:
            return idle or Worker(self._limits, self._plugins)
        except OSError as error:
            raise MissingError(f"a worker process for decoding could not start: {error}") from error

    def _keep(self, worker: Worker) -> None:
        with self._lock:
            self._idle.append(worker)

    def close(self) -> None:
        """Stop all workers."""
        with self._lock:
            while self._idle:
                self._idle.pop().stop()


def main(fd: int) -> None:
    """Serve jobs from the inherited pipe ``fd`` until it closes."""
    signal.alarm(STARTUP + GRACE)
    warnings.simplefilter("ignore")
    Image.MAX_IMAGE_PIXELS = None  # our own limit is checked instead
    pipe = Connection(fd)
    limits, plugins = pipe.recv()
    try:
        register_optional(plugins)
    except ImportError as error:
        pipe.send(str(error))
        return
    _limit_memory(limits.memory)
    pipe.send(None)
    signal.alarm(0)
    with contextlib.suppress(EOFError, OSError):
        _serve_all(pipe, limits)


def _serve_all(pipe: Connection, limits: Limits) -> None:
    formats = openable()
    while True:
        _serve_next(pipe, formats, limits)


def _serve_next(pipe: Connection, formats: Sequence[str], limits: Limits) -> None:
    # Nothing of an image is held while the next one is waited for and received.
    task, grant = pipe.recv()
    data = pipe.recv_bytes()
    signal.alarm(math.ceil(PATIENCE * limits.seconds) + GRACE)
    # Ends the process as it stands, by SIGPROF, once it has used so much processor time.
    signal.setitimer(signal.ITIMER_PROF, limits.seconds)
    pipe.send(_serve(task, data, formats, limits, grant))
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.alarm(0)


def _serve(task: Work, data: bytes, formats: Sequence[str], limits: Limits, grant: int) -> Reply:
    try:
        if isinstance(task, Direct):
            return "done", task.call()
        with open_image(data, formats) as image:
            check_size(*image.size, limits)
            needed = cost(image)
            return ("heavy", needed) if needed > grant else ("done", task(image, data))
    except Exception as error:  # noqa: BLE001 - decoders raise anything, and every bad file is a row
        return "refused", reason_of(error)


def _limit_memory(count: int) -> None:
    """Limit what the process may allocate; pages of libraries and of files do not count."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (count, count))
