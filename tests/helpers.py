"""Comparisons and measures that several tests share."""

import re
import resource
import threading
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike


def assert_same_neighbours(
    ids_a: ArrayLike, distances_a: ArrayLike, ids_b: ArrayLike, distances_b: ArrayLike, *, atol: float = 1e-5
) -> None:
    """Check two neighbour lists, as sklearn's ``assert_compatible_argkmin_results`` does.

    Distances agree within the tolerance; ids may differ in place, and at the end of a list in kind, only among
    neighbours whose distances differ by no more than the tolerance.
    """
    ids_a, ids_b = np.asarray(ids_a), np.asarray(ids_b)
    distances_a, distances_b = np.asarray(distances_a, float), np.asarray(distances_b, float)
    assert ids_a.shape == ids_b.shape == distances_a.shape == distances_b.shape
    np.testing.assert_allclose(distances_a, distances_b, rtol=0, atol=atol)
    for row in range(len(ids_a)):
        _assert_same_list(row, ids_a[row], distances_a[row], ids_b[row], distances_b[row], atol)
        _assert_same_list(row, ids_b[row], distances_b[row], ids_a[row], distances_a[row], atol)


def _assert_same_list(
    row: int, ids_a: np.ndarray, distances_a: np.ndarray, ids_b: np.ndarray, distances_b: np.ndarray, atol: float
) -> None:
    assert len(np.unique(ids_a[ids_a >= 0])) == (ids_a >= 0).sum(), f"row {row} lists a neighbour twice: {ids_a}"
    place = {neighbor: slot for slot, neighbor in enumerate(ids_b.tolist())}
    for neighbor, distance in zip(ids_a.tolist(), distances_a, strict=True):
        other = distances_b[place[neighbor]] if neighbor in place else distances_b[-1]
        same = distance == other or abs(distance - other) <= atol
        assert same, f"row {row}: neighbour {neighbor} at {distance} in one list, at {other} or missing in the other"


class PrivateMemory:
    """The bytes that this process holds at most for itself alone, looked at many times a second while the block runs.

    Pages of files, of which the system takes back what it needs, are not among them.
    """

    def __init__(self, seconds: float = 0.05) -> None:
        self.seconds, self.peak = seconds, 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "PrivateMemory":
        self._thread.start()
        return self

    def _watch(self) -> None:
        while True:
            self.peak = max(self.peak, _held("RssAnon") or 0)
            if self._ended.wait(self.seconds):
                return

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def peak_memory() -> int:
    """Return the bytes that this process and its largest ended child have held at most.

    Not by RUSAGE_SELF alone: before it runs a program of its own, a process counts as large as the one that started it.
    """
    own = _held("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return own + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def _held(kind: str) -> int | None:
    """Return the bytes of a kind that Linux says this process holds; None elsewhere."""
    status = Path("/proc/self/status")
    found = re.search(rf"{kind}:\s+(\d+)", status.read_text()) if status.exists() else None
    return int(found[1]) * 1024 if found else None
