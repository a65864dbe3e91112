"""A clock that goes as it is told, for all that asks what time it is."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, tzinfo
from typing import Any

import pytest

from brain_assets.incremental import update
from brain_assets.resources.store import deltas, events, locks, publishing

# Later than any file of the machine was touched, so that what is decided by ages is the same in every telling.
BEGIN = 2_000_000_000.0
READERS = (update, deltas, events, locks, publishing)
TICK = 0.001


class Clock:
    """Seconds since the epoch, and those since the machine was started, which never go back."""

    def __init__(self) -> None:
        self.now, self.up = BEGIN, 1000.0

    def time(self) -> float:
        """Stand for ``time.time``; no two answers are the same."""
        self.sleep(TICK)
        return self.now

    def monotonic(self) -> float:
        """Stand for ``time.monotonic``."""
        self.up += TICK
        return self.up

    def sleep(self, seconds: float) -> None:
        """Stand for ``time.sleep``."""
        self.now += seconds
        self.up += seconds

    def jump(self, seconds: float) -> None:
        """Set the clock, as people and their machines do; never to before all files."""
        self.now = max(self.now + seconds, BEGIN)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let all of this process go by this clock."""
        moment = _moments_of(self)
        with pytest.MonkeyPatch.context() as patch:
            for name in ("time", "monotonic", "sleep"):
                patch.setattr(time, name, getattr(self, name))
            for module in READERS:
                patch.setattr(module, "datetime", moment)
            yield


def _moments_of(clock: Clock) -> type[datetime]:
    class Moment(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.fromtimestamp(clock.time(), tz)

    return Moment
