"""The ledger: every event is added here once, under one lock; every road out reads it.

Counters of the metrics, the JSON and the exposition are views of these numbers, so they agree
because there is nothing else to read. An operation never waits for the lock. One lookup and nothing
else, which is what a hit is, is put down as a few numbers and added with others of its kind, before
anything is read at the latest. Other events are added at once, or when somebody holds the lock (a
reader, another thread, or this one, whose garbage collector closed an abandoned operation in the
middle of an addition) go into an inbox that is emptied before anything is read.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from telemetry.accounts import NO_AGE, Account, CategoryAccount, Cell, Series
from telemetry.adding import add
from telemetry.buckets import Ids
from telemetry.events import OperationEvent
from telemetry.figures import Figures
from telemetry.schema import Metric
from telemetry.vocabulary import (
    ALL,
    BUILT_IN_CATEGORIES,
    GENERAL,
    MAX_REGISTERED_CATEGORIES,
    OTHER,
    BreakerState,
    Operation,
    VerificationResult,
)

MAX_STORES = 16
"""How many stores' breakers are told apart; the others share the name ``other``."""

MOST_WAITING = 128
"""Operations of one label set that are added together, by the last of them: less than one in a hundred waits for it."""

Entry = tuple[OperationEvent, float | None, Account, Ids | None] | None
"""What waits to be added; None is something that was dropped."""

K = TypeVar("K")
V = TypeVar("V")


class Ledger:
    """The accounts of one process; safe for threads, begun anew in a forked child.

    Args:
        categories: registered beside the built-in ones.
        now: seconds since the epoch.
    """

    def __init__(self, categories: Iterable[str] = (), *, now: Callable[[], float] = time.time) -> None:
        # reentrant: a signal's handler may read while this thread adds
        self._lock = threading.RLock()
        self._busy = False
        self._inbox: deque[Entry] = deque()
        self._now = now
        self._figures = Figures(since=now())
        self._by_category: dict[str, CategoryAccount] = {}
        self.accounts: dict[tuple[str, Operation], Account] = {}
        """Those that were opened, by category as the caller names it and operation."""
        self._categories = dict.fromkeys((*BUILT_IN_CATEGORIES, OTHER, GENERAL, ALL))
        for name in categories:
            self.register_category(name)
        if hasattr(os, "register_at_fork"):
            begin = weakref.WeakMethod(self._begin_anew)
            os.register_at_fork(after_in_child=lambda: (method := begin()) and method())

    def _begin_anew(self) -> None:
        before, self._lock, self._busy = self._figures, threading.RLock(), False
        self._inbox.clear()
        # the accounts themselves live on: an operation that the fork fell into holds one
        for part in self._parts():
            part.begin()
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

    def account(self, category: str, operation: Operation) -> Account:
        """Where an operation is counted, to be asked for once and handed to ``apply``."""
        return self.accounts.get((category, operation)) or self._open(self.known(category), operation)

    def _open(self, category: str, operation: Operation) -> Account:
        found = self.accounts.get((category, operation))
        if found is None:
            # two threads may come here at once: the first one's is kept
            by_category = self._by_category.setdefault(category, CategoryAccount(category))
            found = self.accounts.setdefault((category, operation), Account(by_category, operation))
        return found

    def _parts(self) -> tuple[CategoryAccount | Account, ...]:
        return (*self._by_category.values(), *self.accounts.values())

    def apply(
        self, event: OperationEvent, duration_s: float, account: Account | None = None, ids: Ids | None = None
    ) -> None:
        """Add one operation.

        Args:
            duration_s: how long all of it took, seconds.
            account: of its category and operation; None looks it up.
            ids: of its span when that is sampled, for exemplars.
        """
        if account is None:
            account = self.account(event.category, event.operation)
        lookups = event.lookups
        if len(lookups) == 1 and not event.rest:
            ((lookup, n),) = lookups.items()
            cell = account.cells.get(lookup)
            if cell is not None and n == 1:
                ages, waiting = event.ages_s, cell.waiting
                waiting.append((duration_s, ages[0] if ages else NO_AGE, event.avoided_s, ids))
                if len(waiting) >= MOST_WAITING:
                    self.add_waiting(account, cell)
                return
        lock = self._lock
        if not lock.acquire(False):
            self._inbox.append((event, duration_s, account, ids))
            return
        try:
            if self._busy or self._inbox:
                self._inbox.append((event, duration_s, account, ids))
                self._drain()
                return
            self._busy = True
            try:
                add(self._figures, event, duration_s, account, ids)
            except Exception:
                self._figures.dropped += 1
            finally:
                self._busy = False
        finally:
            lock.release()

    def add_waiting(self, account: Account, cell: Cell) -> None:
        """Add what waits in a cell, unless somebody holds the lock, who adds it or leaves it to the next."""
        if self._lock.acquire(False):
            busy, self._busy = self._busy, True
            try:
                if not busy:
                    self._figures.dropped += account.add_cell(cell)
            finally:
                self._busy = busy
                self._lock.release()

    def count(self, event: OperationEvent) -> None:
        """Add figures that an application counted by itself: no duration, no overhead."""
        self._inbox.append((event, None, self.account(event.category, event.operation), None))
        if self._lock.acquire(False):
            try:
                self._drain()
            finally:
                self._lock.release()

    def _drain(self) -> None:
        """Add what came in; the lock must be held."""
        if self._busy:
            # this very thread is adding or reading further up its stack, and comes to the rest by itself or later
            return
        self._busy = True
        try:
            while self._inbox:
                self._drain_one(self._inbox.popleft())
        finally:
            self._busy = False

    def _drain_one(self, entry: Entry) -> None:
        try:
            if entry is None:
                self._figures.dropped += 1
            else:
                add(self._figures, *entry)
        except Exception:
            self._figures.dropped += 1

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

    def verified(self, category: str, result: VerificationResult, times: Iterable[tuple[float, float]] = ()) -> None:
        """Count a hit that was computed again.

        Args:
            times: seconds that its computation took before and now.
        """
        account = self.account(category, Operation.GET_OR_COMPUTE)
        with self._lock:
            self._figures.verifications[account.category.name, result] += 1
            for before_s, seconds in times:
                account.category.again(before_s, seconds)

    def drop(self) -> None:
        """Note that an event could not be recorded as it should."""
        self._inbox.append(None)

    def figures(self) -> Figures:
        """All numbers at one moment, apart from what is counted later."""
        with self._reading():
            copied = self._figures.copy()
            for part in self._parts():
                part.histograms(copied)
        return copied

    def read(self, part: Callable[[Figures], Mapping[K, V]]) -> dict[K, V]:
        """One table of the figures at one moment; histograms are read by ``series``."""
        with self._reading():
            return dict(part(self._figures))

    def series(self, metric: Metric) -> list[Series]:
        """The histograms of ``metric`` at one moment, by their labels, apart from what is counted later."""
        with self._reading():
            return [(labels, buckets.copy()) for part in self._parts() for labels, buckets in part.series(metric)]

    def dropped(self) -> int:
        """How many events could not be recorded as they should."""
        with self._reading():
            return self._figures.dropped

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """The figures as they are now: inside, nothing is added to them, in this thread neither."""
        with self._lock:
            self._drain()
            busy, self._busy = self._busy, True
            try:
                if not busy:
                    self._settle()
                yield
            finally:
                self._busy = busy

    def _settle(self) -> None:
        """Bring the figures up to date."""
        figures = self._figures
        for account in tuple(self.accounts.values()):
            figures.dropped += account.add_waiting()
        for part in self._parts():
            part.settle(figures)
