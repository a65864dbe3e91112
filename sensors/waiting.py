"""Waiting within a tick until something happens, so that it is noticed at once and a quiet hour has few ticks.

A tick costs Dagster some processor time however little there is to find; to ask the file system when a few folders changed
costs next to nothing. A folder's time changes when a file is added, renamed or removed in it. A file that is written to in its
place is found by the next look at all files. Where no service says that ticks may wait, they do not.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from brain_assets.resources.errors import BrainError
from brain_assets.resources.media.object_stores import is_remote
from brain_assets.resources.settings.configuration import load_dataset
from brain_assets.resources.settings.home import DatasetPaths

# Names a file: ticks may wait while it is there.
WHILE = "BRAIN_WAIT_WHILE"
# With what a tick may spend on looking, less than the 60 s after which Dagster gives it up.
LONGEST_SECONDS = 25.0
PAUSE_SECONDS = 0.5
# Asking costs at most this share of one core, however many folders there are.
SHARE = 0.01


def allowed() -> bool:
    """Return whether a tick may wait here and now."""
    name = os.environ.get(WHILE)
    return bool(name) and os.path.exists(str(name))


class Watch:
    """What tells of changes, as it was before somebody looked.

    Parameters
    ----------
    stamps : callable
        Returns what changes with each of what is watched, by its name.
    """

    def __init__(self, stamps: Callable[[], dict[str, Any]]) -> None:
        self._stamps, self._before = stamps, stamps()

    def changed(self, deadline: float) -> set[str]:
        """Wait until a stamp differs from what it was, and return the names of those that do; none when the time is over.

        Parameters
        ----------
        deadline : float
            By the monotonic clock, in seconds.
        """
        while allowed() and time.monotonic() < deadline:
            began = time.thread_time()
            now = self._stamps()
            if found := {name for name, _ in self._before.items() ^ now.items()}:
                return found
            time.sleep(max(PAUSE_SECONDS, (time.thread_time() - began) / SHARE))
        return set()


def times(paths: Iterable[str]) -> tuple[int, ...]:
    """Return when each of some files and folders changed, in nanoseconds; 0 for one that is not there."""
    return tuple(map(_time, paths))


def _time(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def sources(paths: DatasetPaths) -> list[str]:
    """Return the files and folders whose times tell when something of a dataset was added, renamed, removed or published."""
    own = [str(paths.config), str(paths.published)]
    try:
        settings = load_dataset(paths.config).settings
    except BrainError:
        return own
    labels, predictions = [one.uri for one in settings.labels], [one.uri for one in settings.predictions]
    said = [*labels, *predictions, str(paths.predictions)]
    roots = [os.path.expanduser(one) for one in (*settings.media_addresses, *said) if not is_remote(one)]
    return own + [path for root in roots for path in _folders(root)]


def _folders(root: str) -> Iterator[str]:
    yield root
    for folder, below, _ in os.walk(root):
        yield from (os.path.join(folder, name) for name in below)
