"""How much a namespace may keep in the store: what it writes counts until its time is over, whoever writes it.

take:   is there room? -> counted here; else refused, and the store is asked again a second later
due:    nothing is known yet, a 256th of the budget is unreported, or something was refused a second ago
report: goes to the account in the store, which answers what all processes have written together

A process may be wrong by what the others have not reported: a 256th of the budget for each of them.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import NamedTuple

KEY_BYTES = 288
"""What an entry costs beside payload and name: header, seal, the server's tables; measured (230), rounded up."""

MARK_BYTES = 256
"""What a tag's generation or a tombstone costs, its name included; measured (227 and 112), rounded up."""

PORTIONS = 256
"""A report is due when a process has written one such part of the budget."""

ASK_AGAIN_S = 1.0
"""How long after the store said how much there is a process that refuses asks again, seconds."""

REMEMBERED = 4096
"""Tenants whose unreported sums are kept, the latest used."""

_FINENESS = 16
"""Fields that a lifetime is divided into, at least: what is written counts up to an eighth longer than it lives."""

NEVER = float("inf")


class Sum(NamedTuple):
    """Bytes that end at about the same time.

    Args:
        ends: by the process's clock, seconds.
        width: of the field that they are counted in, seconds.
    """

    ends: float
    width: int


Report = dict[Sum, int]
"""Bytes by when they end."""


class Budget:
    """What one namespace may still write, as this process knows it; safe for threads.

    Args:
        limit: bytes.
        monotonic: seconds that never go back.
    """

    def __init__(self, limit: int, monotonic: Callable[[], float]) -> None:
        self._limit, self._monotonic = limit, monotonic
        self._portion = max(1, limit // PORTIONS)
        self._used: int | None = None
        self._asked = -NEVER
        self.begin_anew()

    def begin_anew(self) -> None:
        """In a forked child: the lock and what is unreported are the parent's."""
        self._lock = threading.Lock()
        self._unreported: Report = {}
        self._more = 0
        self._ask_at = -NEVER

    @property
    def due(self) -> bool:
        """True when the store is to be told and asked before anything else is written."""
        return self._more >= self._portion or self._monotonic() >= self._ask_at

    @property
    def spent(self) -> bool:
        """True when not even the smallest entry has room, as far as is known."""
        return (self._used or 0) + self._more + KEY_BYTES > self._limit

    def take(self, size: int, seconds: float) -> bool:
        """Count bytes that are to be written and kept for so long; False, and not counted, when there is no room."""
        with self._lock:
            if (self._used or 0) + self._more + size > self._limit:
                self._ask_at = min(self._ask_at, self._asked + ASK_AGAIN_S)
                return False
            self._count(size, seconds)
            return True

    def charge(self, size: int, seconds: float) -> None:
        """Count bytes that are written whether there is room or not."""
        with self._lock:
            self._count(size, seconds)

    def report(self) -> Report:
        """What the store is to be told; it is no longer unreported."""
        with self._lock:
            told, self._unreported, self._more = self._unreported, {}, 0
            # one that asks at the same time need not
            self._asked = self._monotonic()
            self._ask_at = NEVER if self._used is not None else self._ask_at
            self._used = None if self._used is None else self._used + sum(told.values())
            return told

    def failed(self, told: Report) -> None:
        """The store did not take a report: it is unreported again."""
        with self._lock:
            for ends, size in told.items():
                self._unreported[ends] = self._unreported.get(ends, 0) + size
            self._more += sum(told.values())
            self._used, self._ask_at = None, -NEVER

    def told(self, used: int) -> None:
        """What all have written by the store's account, the report included."""
        with self._lock:
            self._used, self._ask_at = used, NEVER

    def arguments(self, told: Report) -> Iterable[int]:
        """The report as the script takes it: seconds left, width, bytes of each sum."""
        now = self._monotonic()
        for (ends, width), size in told.items():
            yield from (max(1, math.ceil(ends - now)), width, size)

    def _count(self, size: int, seconds: float) -> None:
        width = 1 << max(0, int(seconds).bit_length() - _FINENESS.bit_length())
        ends = Sum(math.ceil((self._monotonic() + seconds) / width) * width, width)
        self._unreported[ends] = self._unreported.get(ends, 0) + size
        self._more += size


class Budgets:
    """The budgets of a cache's namespace and its tenants'; safe for threads.

    Args:
        limit: bytes of each.
        monotonic: seconds that never go back.
    """

    def __init__(self, limit: int, monotonic: Callable[[], float]) -> None:
        self._limit, self._monotonic = limit, monotonic
        self._budgets: OrderedDict[str, Budget] = OrderedDict()
        self._lock = threading.Lock()

    def begin_anew(self) -> None:
        """In a forked child: a thread of the parent may have held a lock."""
        self._lock = threading.Lock()
        for budget in self._budgets.values():
            budget.begin_anew()

    def of(self, namespace: str) -> Budget:
        """The budget of a namespace, for every engine of it the same."""
        with self._lock:
            budget = self._budgets.get(namespace)
            if budget is None:
                budget = self._budgets[namespace] = Budget(self._limit, self._monotonic)
                if len(self._budgets) > REMEMBERED:
                    self._budgets.popitem(last=False)
            else:
                self._budgets.move_to_end(namespace)
            return budget
