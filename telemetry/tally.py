"""What the cache did during a workflow run: sums that every operation inside it adds to, in threads and tasks too."""

from __future__ import annotations

import threading
from contextvars import ContextVar, Token
from dataclasses import dataclass, field

from telemetry.events import OperationEvent
from telemetry.vocabulary import Outcome


@dataclass(slots=True)
class Tally:
    """The sums of one run; safe for threads."""

    hits: int = 0
    misses: int = 0
    errors: int = 0
    time_saved_s: float = 0.0
    """Seconds that the hits would have cost."""
    # reentrant: the collector may close an abandoned operation while this thread holds the lock
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False, compare=False)

    def add(self, event: OperationEvent) -> None:
        """Add one operation."""
        with self._lock:
            self.hits += event.count(Outcome.HIT)
            self.misses += event.count(Outcome.MISS)
            self.errors += event.error is not None
            self.time_saved_s += event.avoided_s


_runs: ContextVar[tuple[Tally, ...]] = ContextVar("glasscache_runs", default=())


def enter(tally: Tally) -> Token[tuple[Tally, ...]]:
    """Let what happens in this context from now on be added to ``tally`` as well."""
    return _runs.set((*_runs.get(), tally))


def outside() -> Token[tuple[Tally, ...]]:
    """Let what happens in this context from now on be added to no run."""
    return _runs.set(())


def leave(token: Token[tuple[Tally, ...]]) -> None:
    """Undo ``enter``; without effect in another context than the one it was called in."""
    try:
        _runs.reset(token)
    except (ValueError, RuntimeError):
        return


running = _runs.get
"""The sums of every run that this happens in."""
