"""A clock that goes on when a test says so."""

from __future__ import annotations

import threading


class ManualClock:
    """Stands still until ``tick``; safe for threads.

    Args:
        time: what ``time()`` says at first, in seconds since the epoch.

    Example:
        >>> clock = ManualClock()
        >>> clock.tick(60)
        >>> clock.monotonic()
        60.0
    """

    def __init__(self, time: float = 1_700_000_000.0) -> None:
        self._lock = threading.Lock()
        self._epoch, self._passed = time, 0.0

    def monotonic(self) -> float:
        """Seconds that were ticked so far."""
        return self._passed

    def time(self) -> float:
        """Seconds since 1970."""
        return self._epoch + self._passed

    def tick(self, seconds: float = 1.0) -> None:
        """Let time pass on both clocks.

        Args:
            seconds: >= 0.
        """
        if seconds < 0:
            raise ValueError("time does not go back")
        with self._lock:
            self._passed += seconds

    def step(self, seconds: float) -> None:
        """Move the wall clock alone, as a correction of the system's time does; may be negative."""
        with self._lock:
            self._epoch += seconds
