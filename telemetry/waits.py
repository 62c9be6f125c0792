"""Who waited for whom: the worst wait of each key, a bounded number of keys, by their digests."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from telemetry.vocabulary import FlightScope

MOST_KEYS = 256
"""Keys that are remembered; the one whose worst wait was the shortest makes room."""


@dataclass(frozen=True, slots=True)
class Waited:
    """The waits for one key.

    Args:
        digest: first 16 hex of the key's SHA-256.
        waits: how many, since the key is remembered.
        seconds: all of them together.
        worst_s: the longest of them.
        scope: of that one.
        leader_trace, leader_span: hex ids of the span that it waited for; empty where nothing was traced.
        at: when it ended, seconds since the epoch.
    """

    category: str
    digest: str
    waits: int
    seconds: float
    worst_s: float
    scope: FlightScope
    leader_trace: str
    leader_span: str
    at: float

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return asdict(self)


class Waits:
    """The worst waits of a process; safe for threads, empty in a forked child.

    Args:
        now: seconds since the epoch.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._begin_anew()
        if hasattr(os, "register_at_fork"):
            begin = weakref.WeakMethod(self._begin_anew)
            os.register_at_fork(after_in_child=lambda: (method := begin()) and method())

    def _begin_anew(self) -> None:
        # reentrant: the collector may close an abandoned wait while this thread holds the lock
        self._lock = threading.RLock()
        self._keys: dict[tuple[str, str], Waited] = {}

    def add(self, category: str, digest: str, scope: FlightScope, seconds: float, leader: tuple[int, int]) -> None:
        """Note one wait.

        Args:
            leader: trace id and span id of what was waited for; zeros where that is not known.
        """
        trace, span = (f"{leader[0]:032x}", f"{leader[1]:016x}") if all(leader) else ("", "")
        with self._lock:
            seen = self._keys.get((category, digest))
            if seen is not None and seen.worst_s >= seconds:
                worst = seen.worst_s, seen.scope, seen.leader_trace, seen.leader_span, seen.at
            else:
                worst = seconds, scope, trace, span, self._now()
            if seen is None and len(self._keys) >= MOST_KEYS:
                least = min(self._keys, key=lambda key: self._keys[key].worst_s)
                if self._keys[least].worst_s > seconds:
                    return
                del self._keys[least]
            n, total = (1, seconds) if seen is None else (seen.waits + 1, seen.seconds + seconds)
            self._keys[category, digest] = Waited(category, digest, n, total, *worst)

    def of(self, category: str, digest: str) -> Waited | None:
        """The waits for one key; None when there were none, or only ones that were let go."""
        with self._lock:
            return self._keys.get((category, digest))

    def worst(self, most: int = 10) -> list[Waited]:
        """The keys with the longest waits, the worst first."""
        with self._lock:
            kept = list(self._keys.values())
        return sorted(kept, key=lambda waited: -waited.worst_s)[:most]
