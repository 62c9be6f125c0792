"""A clock that goes on when a test says so."""

from __future__ import annotations

import threading


class ManualClock:
    """Stands still until ``tick``; safe for threads.

    Args:
        epoch: what ``time`` says at first, in seconds.

    Example:
        >>> clock = ManualClock()
        >>> clock.tick(60)
        >>> clock.monotonic()
        60.0
    """

    def __init__(self, epoch: float = 1_700_000_000.0) -> None:
        self._lock = threading.Lock()
        self._epoch, self._passed = epoch, 0.0

    def monotonic(self) -> float:
        """Seconds that were ticked so far."""
        return self._passed

    def time(self) -> float:
        """Seconds since 1970."""
        return self._epoch + self._passed

    def tick(self, seconds: float = 1.0) -> None:
        """Let time pass.

        Args:
            seconds: >= 0.
        """
        if seconds < 0:
            raise ValueError("time does not go back")
        with self._lock:
            self._passed += seconds
