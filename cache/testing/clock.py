"""A clock that stands still until a test moves it."""

from __future__ import annotations


class ManualClock:
    """Implements ``cache.clock.Clock``.

    Args:
        time: seconds since the epoch that it begins at.

    Example:
        >>> clock = ManualClock()
        >>> clock.tick(60); clock.monotonic()
        60.0
    """

    def __init__(self, time: float = 1_700_000_000.0) -> None:
        self._time, self._monotonic = time, 0.0

    def monotonic(self) -> float:
        """Seconds since it was made."""
        return self._monotonic

    def time(self) -> float:
        """Seconds since the epoch."""
        return self._time

    def tick(self, seconds: float) -> None:
        """Let ``seconds`` pass on both clocks."""
        self._time += seconds
        self._monotonic += seconds

    def step(self, seconds: float) -> None:
        """Move the wall clock alone, as a correction of the system's time does; may be negative."""
        self._time += seconds
