"""Large arrays that need not stay in memory: the system writes out what it has no room for, and reads it back."""

import mmap
import os
import shutil
import tempfile
from contextlib import suppress
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Arrays of fewer bytes are left in memory.
SMALL_BYTES = 1 << 28


def scratch(shape: tuple[int, ...], folder: Path) -> NDArray[np.float32]:
    """Return an array that holds anything; where it is large and the disk has room, in a file without a name.

    Its pages belong to the file: where memory is short the system takes them back, and ends no process for them.

    Parameters
    ----------
    shape : tuple of int
    folder : Path
        Where the file lies until the array is let go of.
    """
    size = prod(shape) * np.dtype(np.float32).itemsize
    if lies_on_disk(size, folder):
        with suppress(OSError), tempfile.TemporaryFile(dir=folder) as file:
            # Beforehand, as writing to a page that the disk has no room for would end the process.
            os.posix_fallocate(file.fileno(), 0, size)
            return np.ndarray(shape, np.float32, buffer=mmap.mmap(file.fileno(), size))
    return np.empty(shape, np.float32)


def lies_on_disk(size: int, folder: Path) -> bool:
    """Return whether so many bytes are better kept in a file of a folder than in memory, and have room there."""
    return size >= SMALL_BYTES and hasattr(os, "posix_fallocate") and shutil.disk_usage(folder).free > 2 * size
