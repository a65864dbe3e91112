"""Worker processes for decoders that may crash, hang or eat memory, and that can be killed for it.

A worker is a fresh interpreter (nothing is forked, no main module imported again) that reads jobs from a pipe. It
limits its own memory and, by an alarm that ends it even inside C code and even when its parent is gone, its own time.
It starts when first needed, serves one job at a time, and is replaced after it failed.
"""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, Pipe
from typing import Any

from PIL import Image

from resources.formats import openable, register_optional
from resources.limits import Limits, Refused, check_size, reason_of
from resources.pictures import open_image

Task = Callable[[Image.Image], Any]
BOOT = "import sys; sys.path[:] = {path!r}; from resources.decoding_workers import main; main({fd})"
# The worker's own alarm is the second line of defence: it must come after the parent's, and after no other job.
GRACE = 5


class Worker:
    """One worker process, from the side of its parent."""

    def __init__(self, limits: Limits, plugins: Sequence[str]) -> None:
        self._limits = limits
        self._pipe, theirs = Pipe()
        with theirs:
            boot = BOOT.format(path=sys.path, fd=theirs.fileno())
            command = [sys.executable, "-c", boot]
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
        self._pipe.send((limits, tuple(plugins)))

    def run(self, task: Task, data: bytes) -> Any:
        """Return ``task`` of the image in ``data``; raise Refused for whatever goes wrong."""
        try:
            self._pipe.send(task)
            self._pipe.send_bytes(data)
            if not self._pipe.poll(self._limits.seconds):
                raise Refused(f"timeout: decoding took longer than {self._limits.seconds:g} s (setting seconds)")
            done, result = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise Refused(f"crashed: the decoder ended its process ({self._ending()})") from error
        if done:
            return result
        raise Refused(result)

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

    def __init__(self, limits: Limits, plugins: Sequence[str] = ()) -> None:
        self._limits, self._plugins = limits, tuple(plugins)
        self._idle: list[Worker] = []
        self._lock = threading.Lock()

    def run(self, task: Task, data: bytes) -> Any:
        """Return ``task`` of the image in ``data``, computed in a process of its own; raise Refused otherwise."""
        with self._lock:
            worker = self._idle.pop() if self._idle else None
        worker = worker or Worker(self._limits, self._plugins)
        try:
            result = worker.run(task, data)
        except Refused as refusal:
            self._keep(worker) if _is_healthy(refusal) else worker.stop()
            raise
        except BaseException:
            worker.stop()
            raise
        self._keep(worker)
        return result

    def _keep(self, worker: Worker) -> None:
        with self._lock:
            self._idle.append(worker)

    def close(self) -> None:
        """Stop all workers."""
        with self._lock:
            while self._idle:
                self._idle.pop().stop()


def _is_healthy(refusal: Refused) -> bool:
    return not str(refusal).startswith(("timeout:", "crashed:", "memory:"))


def main(fd: int) -> None:
    """Serve jobs from the inherited pipe ``fd`` until it closes."""
    warnings.simplefilter("ignore")
    Image.MAX_IMAGE_PIXELS = None  # our own limit is checked instead
    pipe = Connection(fd)
    limits, plugins = pipe.recv()
    register_optional(plugins)
    _limit_memory(limits.memory)
    formats = openable()
    with contextlib.suppress(EOFError, OSError):
        while True:
            task, data = pipe.recv(), pipe.recv_bytes()
            pipe.send(_serve(task, data, formats, limits))


def _serve(task: Task, data: bytes, formats: Sequence[str], limits: Limits) -> tuple[bool, Any]:
    signal.alarm(int(limits.seconds) + GRACE)
    try:
        return True, decode_any(task, data, formats, limits)
    except Exception as error:  # noqa: BLE001 - decoders raise anything, and every bad file is a row
        return False, reason_of(error)
    finally:
        signal.alarm(0)


def decode_any(task: Task, data: bytes, formats: Sequence[str], limits: Limits) -> Any:
    """Return ``task`` of the image in ``data``, whichever of ``formats`` it is."""
    with open_image(data, formats) as image:
        check_size(*image.size, limits)
        return task(image)


def _limit_memory(count: int) -> None:
    """Limit what the process may allocate; pages of libraries and of files do not count."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (count, count))
