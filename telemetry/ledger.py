"""The ledger: every event is added here once, under one lock; every road out reads it.

Counters of the metrics, the JSON and the exposition are views of these numbers, so they agree
because there is nothing else to read.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from telemetry.events import OperationEvent
from telemetry.figures import Figures
from telemetry.histogram import Histogram
from telemetry.schema import AGE_BUCKETS, DURATION_BUCKETS, SIZE_BUCKETS
from telemetry.series import error_labels
from telemetry.vocabulary import (
    ALL,
    BUILT_IN_CATEGORIES,
    GENERAL,
    MAX_REGISTERED_CATEGORIES,
    OTHER,
    BreakerState,
    Trigger,
)

MAX_STORES = 16
"""How many stores' breakers are told apart; the others share the name ``other``."""

K = TypeVar("K")
V = TypeVar("V")


class Ledger:
    """The accounts of one process; safe for threads, begun anew in a forked child.

    Args:
        categories: registered beside the built-in ones.
        now: seconds since the epoch.
    """

    def __init__(self, categories: Iterable[str] = (), *, now: Callable[[], float] = time.time) -> None:
        # reentrant: the collector may close an abandoned operation while this thread holds the lock
        self._lock = threading.RLock()
        self._inbox: deque[tuple[OperationEvent, float | None]] = deque()
        self._busy = False
        self._now = now
        self._figures = Figures(since=now())
        self._categories = dict.fromkeys((*BUILT_IN_CATEGORIES, OTHER, GENERAL, ALL))
        for name in categories:
            self.register_category(name)
        if hasattr(os, "register_at_fork"):
            begin = weakref.WeakMethod(self._begin_anew)
            os.register_at_fork(after_in_child=lambda: (method := begin()) and method())

    def _begin_anew(self) -> None:
        before, self._lock, self._busy = self._figures, threading.RLock(), False
        self._inbox.clear()
        # the stores' breakers and the policies live on in the child
        self._figures = Figures(
            breakers=dict(before.breakers),
            ttls_s=dict(before.ttls_s),
            since=self._now(),
            generation=before.generation + 1,
        )

    def register_category(self, name: str, ttl_s: float | None = None) -> bool:
        """Let a category be counted under its own name; False when 16 have one already.

        Args:
            ttl_s: what its policy promises, seconds; the last one that is told is shown.
        """
        with self._lock:
            full = len(self._categories) >= len(BUILT_IN_CATEGORIES) + 3 + MAX_REGISTERED_CATEGORIES
            if full and name not in self._categories:
                return False
            self._categories[name] = None
            if ttl_s is not None:
                self._figures.ttls_s[name] = ttl_s
            return True

    def categories(self) -> tuple[str, ...]:
        """Every category that can be counted."""
        with self._lock:
            return tuple(self._categories)

    def known(self, category: str) -> str:
        """The category itself, or ``other``: nothing unbounded is ever a label."""
        return category if category in self._categories else OTHER

    def apply(self, event: OperationEvent, duration_s: float) -> None:
        """Add one operation.

        Args:
            duration_s: how long all of it took, seconds.
        """
        self._take(event, max(0.0, duration_s))

    def count(self, event: OperationEvent) -> None:
        """Add figures that an application counted by itself: no duration, no overhead."""
        self._take(event, None)

    def _take(self, event: OperationEvent, duration_s: float | None) -> None:
        self._inbox.append((event, duration_s))
        with self._lock:
            self._drain()

    def _drain(self) -> None:
        """Add what came in; the lock must be held."""
        if self._busy:
            # this very thread is adding further up its stack, and comes to the rest by itself
            return
        self._busy = True
        try:
            while self._inbox:
                self._add(*self._inbox.popleft())
        except Exception:
            self._figures.dropped += 1
        finally:
            self._busy = False

    def _add(self, event: OperationEvent, duration_s: float | None) -> None:
        category, operation, figures = self.known(event.category), event.operation, self._figures
        for (outcome, tier, reason), n in event.lookups.items():
            figures.requests[category, operation, outcome, tier, reason] += n
        if event.writes:
            for result, n in event.writes.items():
                figures.writes[category, result] += n
        if event.deletes:
            figures.deletes[category, event.trigger or Trigger.API] += event.deletes
        if event.invalidations:
            figures.invalidations[category, event.trigger or Trigger.API] += event.invalidations
        if event.error is not None:
            figures.errors[error_labels(category, operation, event.error)] += 1
        for scope in event.waits:
            figures.waits[category, scope] += 1
        if duration_s is not None:
            self._time(category, event, duration_s)

    def _time(self, category: str, event: OperationEvent, duration_s: float) -> None:
        figures = self._figures
        overhead_s = max(0.0, duration_s - event.compute_s - event.wait_s)
        figures.overhead_s[category] = figures.overhead_s.get(category, 0.0) + overhead_s
        figures.avoided_s[category] = figures.avoided_s.get(category, 0.0) + event.avoided_s
        _histogram(figures.durations, (category, event.outcome()), DURATION_BUCKETS).record(duration_s)
        for seconds, _ in event.computed:
            _histogram(figures.computations, category, DURATION_BUCKETS).record(seconds)
        for age_s in event.ages_s:
            _histogram(figures.ages, category, AGE_BUCKETS).record(age_s)
        for size in event.sizes:
            figures.bytes_stored[category] += size
            _histogram(figures.sizes, category, SIZE_BUCKETS).record(size)

    def breaker(self, store: str, state: BreakerState) -> bool:
        """Note a breaker's state; True when it changed."""
        with self._lock:
            breakers = self._figures.breakers
            name = store if store in breakers or len(breakers) < MAX_STORES else OTHER
            changed = breakers.get(name, BreakerState.CLOSED) is not state
            breakers[name] = state
            if changed:
                self._figures.transitions[state] += 1
            return changed

    def drop(self) -> None:
        """Note that an event could not be recorded as it should."""
        with self._lock:
            self._figures.dropped += 1

    def figures(self) -> Figures:
        """All numbers at one moment, apart from what is counted later."""
        with self._lock:
            self._drain()
            return self._figures.copy()

    def read(self, part: Callable[[Figures], Mapping[K, V]]) -> dict[K, V]:
        """One table of the figures at one moment."""
        with self._lock:
            self._drain()
            return dict(part(self._figures))

    def dropped(self) -> int:
        """How many events could not be recorded as they should."""
        with self._lock:
            return self._figures.dropped


def _histogram(table: dict[K, Histogram], key: K, boundaries: tuple[float, ...]) -> Histogram:
    found = table.get(key)
    if found is None:
        found = table[key] = Histogram(boundaries)
    return found
