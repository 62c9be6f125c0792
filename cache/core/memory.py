"""What this process remembers of computations that failed, so that it need not ask again at once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from types import TracebackType

_REMEMBERED = 1024


class FailureMemory:
    """A bounded map from a key to the exception that its computation raised, with an end."""

    def __init__(self, limit: int = _REMEMBERED) -> None:
        self._failures: OrderedDict[Hashable, tuple[float, Exception, TracebackType | None]] = OrderedDict()
        self._limit = limit

    def remember(self, key: Hashable, error: Exception, until: float) -> None:
        """Keep ``error`` under ``key`` until the monotonic time ``until``."""
        self._failures[key] = (until, error, error.__traceback__)
        while len(self._failures) > self._limit:
            try:
                self._failures.popitem(last=False)
            except KeyError:
                return

    def recent(self, key: Hashable, now: float) -> Exception | None:
        """The exception remembered under ``key``, or None when there is none or its time has passed."""
        if not self._failures:
            return None
        found = self._failures.get(key)
        if found is None:
            return None
        until, error, traceback = found
        if now >= until:
            self._failures.pop(key, None)
            return None
        return error.with_traceback(traceback)

    def forget_all(self) -> None:
        """Forget everything: what failed may have been mended."""
        self._failures.clear()

    def forget(self, key: Hashable) -> None:
        """Forget what was remembered under ``key``."""
        if self._failures:
            self._failures.pop(key, None)
