"""Time, handed in: nothing below reads a clock of its own."""

from __future__ import annotations

import time
from copy import copy
from typing import Protocol


class Clock(Protocol):
    """Two clocks and a pause; tests hand in one that ticks."""

    def monotonic(self) -> float:
        """Seconds that never go back; for deadlines and durations."""
        ...

    def time(self) -> float:
        """Seconds since the epoch; for what other processes must understand."""
        ...


class SystemClock:
    """The machine's own time."""

    # no methods around them: each command reads them several times
    monotonic = staticmethod(time.perf_counter)
    time = staticmethod(time.time)


class Deadline:
    """A point in time that a whole operation must not pass.

    Args:
        clock: whose monotonic time counts.
        seconds: how far away the deadline is, > 0.
    """

    __slots__ = ("at", "now", "seconds")

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.now = now = clock.monotonic
        self.seconds = seconds
        self.at = now() + seconds

    def part(self, share: float) -> Deadline:
        """A deadline after a share of what is left, for what is not the operation itself."""
        sooner = copy(self)
        sooner.seconds = max(share * self.remaining(), 1e-9)
        sooner.at = self.now() + sooner.seconds
        return sooner

    def remaining(self) -> float:
        """Seconds left; zero or negative once it has passed."""
        return self.at - self.now()
