"""The ledger: every event is added here once, under one lock; every road out reads it.

Counters of the metrics, the JSON and the exposition are views of these numbers, so they agree
because there is nothing else to read.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from telemetry.events import OperationEvent
from telemetry.histogram import Histogram
from telemetry.schema import DURATION_BUCKETS
from telemetry.vocabulary import (
    ALL,
    BUILT_IN_CATEGORIES,
    GENERAL,
    OTHER,
    BreakerState,
    ErrorType,
    FlightScope,
    MissReason,
    Operation,
    Outcome,
    Tier,
    Trigger,
    WriteResult,
)

RequestKey = tuple[str, Operation, Outcome, Tier | None, MissReason | None]


@dataclass(slots=True)
class Figures:
    """All numbers of a process since it began."""

    requests: Counter[RequestKey] = field(default_factory=Counter)
    writes: Counter[tuple[str, WriteResult]] = field(default_factory=Counter)
    deletes: Counter[tuple[str, Trigger]] = field(default_factory=Counter)
    invalidations: Counter[tuple[str, Trigger]] = field(default_factory=Counter)
    errors: Counter[tuple[str, Operation, ErrorType]] = field(default_factory=Counter)
    waits: Counter[tuple[str, FlightScope]] = field(default_factory=Counter)
    avoided_s: dict[str, float] = field(default_factory=dict)
    overhead_s: dict[str, float] = field(default_factory=dict)
    bytes_stored: Counter[str] = field(default_factory=Counter)
    durations: dict[tuple[str, Outcome], Histogram] = field(default_factory=dict)
    computations: dict[str, Histogram] = field(default_factory=dict)
    breakers: dict[str, BreakerState] = field(default_factory=dict)
    transitions: Counter[BreakerState] = field(default_factory=Counter)
    dropped: int = 0
    since: float = field(default_factory=time.time)

    def copy(self) -> Figures:
        """The same numbers, apart from what is counted later."""
        return Figures(
            *(Counter(c) for c in (self.requests, self.writes, self.deletes, self.invalidations, self.errors, self.waits)),
            dict(self.avoided_s),
            dict(self.overhead_s),
            Counter(self.bytes_stored),
            {key: histogram.copy() for key, histogram in self.durations.items()},
            {key: histogram.copy() for key, histogram in self.computations.items()},
            dict(self.breakers),
            Counter(self.transitions),
            self.dropped,
            self.since,
        )  # fmt: skip


class Ledger:
    """The accounts of one process; safe for threads, begun anew in a forked child.

    Args:
        categories: registered beside the built-in ones.
    """

    def __init__(self, categories: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._figures = Figures()
        self._categories = dict.fromkeys((*BUILT_IN_CATEGORIES, OTHER, GENERAL, ALL, *categories))
        if hasattr(os, "register_at_fork"):
            forget = weakref.WeakMethod(self._forget)
            os.register_at_fork(after_in_child=lambda: (method := forget()) and method())

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._figures = Figures()

    def register_category(self, name: str) -> None:
        """Let a category be counted under its own name."""
        with self._lock:
            self._categories[name] = None

    def categories(self) -> tuple[str, ...]:
        """Every category that can be counted."""
        with self._lock:
            return tuple(self._categories)

    def known(self, category: str) -> str:
        """The category itself, or ``other``: nothing unbounded is ever a label."""
        return category if category in self._categories else OTHER

    def apply(self, event: OperationEvent, duration_s: float) -> None:
        """Add one operation."""
        category, operation, outcome = self.known(event.category), event.operation, event.outcome()
        overhead = max(0.0, duration_s - event.compute_s - event.wait_s)
        with self._lock:
            figures = self._figures
            for (ended, tier, reason), n in event.lookups.items():
                figures.requests[category, operation, ended, tier, reason] += n
            for result, n in event.writes.items():
                figures.writes[category, result] += n
            if event.deletes:
                figures.deletes[category, event.trigger or Trigger.API] += event.deletes
            if event.invalidations:
                figures.invalidations[category, event.trigger or Trigger.API] += event.invalidations
            if event.error is not None:
                # an operator's tool is counted apart: it keeps the series of this counter under the SDK's limit
                where = ALL if operation is Operation.EXPLAIN else category
                figures.errors[where, operation, event.error] += 1
            for scope in event.waits:
                figures.waits[category, scope] += 1
            if event.sizes:
                figures.bytes_stored[category] += sum(event.sizes)
            if event.avoided_s:
                figures.avoided_s[category] = figures.avoided_s.get(category, 0.0) + event.avoided_s
            figures.overhead_s[category] = figures.overhead_s.get(category, 0.0) + overhead
            self._time(category, outcome, duration_s, event)

    def count(self, event: OperationEvent) -> None:
        """Add figures that an application counted by itself: no duration, no overhead."""
        category = self.known(event.category)
        with self._lock:
            figures = self._figures
            for (ended, tier, reason), n in event.lookups.items():
                figures.requests[category, event.operation, ended, tier, reason] += n
            for result, n in event.writes.items():
                figures.writes[category, result] += n
            if event.deletes:
                figures.deletes[category, Trigger.API] += event.deletes
            if event.error is not None:
                figures.errors[category, event.operation, event.error] += 1

    def _time(self, category: str, outcome: Outcome, duration_s: float, event: OperationEvent) -> None:
        durations, computations = self._figures.durations, self._figures.computations
        if (category, outcome) not in durations:
            durations[category, outcome] = Histogram(DURATION_BUCKETS)
        durations[category, outcome].record(duration_s)
        for seconds, _ in event.computed:
            if category not in computations:
                computations[category] = Histogram(DURATION_BUCKETS)
            computations[category].record(seconds)

    def breaker(self, store: str, state: BreakerState) -> bool:
        """Note a breaker's state; True when it changed."""
        with self._lock:
            changed = self._figures.breakers.get(store, BreakerState.CLOSED) is not state
            self._figures.breakers[store] = state
            if changed:
                self._figures.transitions[state] += 1
            return changed

    def drop(self) -> None:
        """Note that an event could not be recorded as it should."""
        with self._lock:
            self._figures.dropped += 1

    def figures(self) -> Figures:
        """All numbers at one moment."""
        with self._lock:
            return self._figures.copy()
