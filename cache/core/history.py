"""History: what this process did to keys lately, for who asks about one; plain hits are in no history.

One ring for all keys: a note is one append, and nobody waits for it. What is in it is bounded by
its length alone, so a process that misses much remembers a shorter time.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

KEPT = 2048
"""Notes of a process, some 200 bytes each."""

TOLD = 10
"""Notes about one key, the latest."""


class Happening(NamedTuple):
    """What happened once.

    Args:
        at: seconds since the epoch.
        operation: what the caller did.
        what: ``miss``, ``stale``, ``error``, ``failed`` (the computation), ``stored``, ``refused`` (by a fence),
            ``dropped``, ``deleted``, ``invalidated``.
        why: a miss's reason, an error's type, an invalidation's trigger; None where there is none.
        trace_id: 32 hex of the trace that it happened in; None when that is not sampled.
    """

    at: float
    operation: str
    what: str
    why: str | None
    trace_id: str | None


class History:
    """The last notes of one process; safe for threads, begun anew in a forked child."""

    def __init__(self, kept: int = KEPT) -> None:
        self._notes: deque[tuple[str, float, str, str, str | None, int]] = deque(maxlen=kept)

    def begin_anew(self) -> None:
        """In a forked child: what the parent did is not this process's."""
        self._notes.clear()

    def note(self, name: str, at: float, operation: str, what: str, why: str | None, trace_id: int) -> None:
        """Remember what happened under a name, which is a key's digest or a scope's Redis key."""
        self._notes.append((name, at, operation, what, why, trace_id))

    def of(self, name: str) -> tuple[Happening, ...]:
        """The last notes of a name, the latest first."""
        # a copy in one step: others append meanwhile
        found = [note for note in self._notes.copy() if note[0] == name][-TOLD:]
        return tuple(
            Happening(at, operation, what, why, f"{trace_id:032x}" if trace_id else None)
            for _, at, operation, what, why, trace_id in reversed(found)
        )
