"""The right to use a connection: so many at a time, first come, first served."""

from __future__ import annotations

import threading
from collections import deque


class Slots:
    """A fair semaphore: a thread that comes back at once does not overtake those who wait.

    Args:
        count: how many slots, >= 1.
    """

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._free = count
        self._waiting: deque[threading.Lock] = deque()

    def acquire(self, seconds: float) -> bool:
        """Take a slot, waiting at most ``seconds``; False when there was none in time."""
        with self._lock:
            if self._free and not self._waiting:
                self._free -= 1
                return True
            if seconds <= 0:
                return False
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        try:
            got = turn.acquire(timeout=seconds)
        except BaseException:
            if not self._gave_up(turn):
                self.release()
            raise
        return got or not self._gave_up(turn)

    def release(self) -> None:
        """Hand the slot to whoever waits longest."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1

    def _gave_up(self, turn: threading.Lock) -> bool:
        """Leave the queue; False when the slot was handed over meanwhile."""
        with self._lock:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return True
            return False
