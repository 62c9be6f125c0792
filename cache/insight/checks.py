"""Which hits are computed again: a share of them by chance, a few a second, one at a time."""

from __future__ import annotations

import math
import random
import secrets
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from cache.core.engine import Engine, Operation
from cache.core.policies import Policy
from cache.core.shelves import Wanted
from cache.insight.verifying import Case, Terms, verify

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

NEVER = 1 << 62
"""Hits until the next one is chosen, when none is to be."""


class Checks:
    """Chooses hits of repeatable computations and hands out the operations that check them; safe for threads.

    Args:
        categories: those whose computations are declared repeatable.
        share: of their hits that is checked, 0..1.
        per_second: most that are begun in a second.
        drop: whether an entry that is wrong is dropped.
        monotonic: seconds.
        rand: gives a number from 0 to below 1.
    """

    def __init__(
        self,
        categories: Iterable[str],
        share: float,
        per_second: float,
        *,
        drop: bool = False,
        monotonic: Callable[[], float],
        rand: Callable[[], float] = random.random,
    ) -> None:
        self.categories = frozenset(categories)
        self.drop, self._share, self._gap_s = drop, share, 1.0 / per_second
        self._monotonic, self._rand = monotonic, rand
        # so that a digest of one value tells nobody who guesses it what it was
        self.salt = secrets.token_bytes(16)
        self.open = True
        self.begin_anew()

    def begin_anew(self) -> None:
        """In a forked child: what is being checked is the parent's."""
        self._lock = threading.Lock()
        self._running: weakref.ref[Check] | None = None
        self._next_at = -math.inf
        self.left = self._skip()

    def _skip(self) -> int:
        """Hits until the next one that is chosen: geometric, so that each has the same chance whatever came before.

        Source: L. Devroye, Non-Uniform Random Variate Generation, 1986, X.2.
        """
        if self._share <= 0.0:
            return NEVER
        if self._share >= 1.0:
            return 0
        return int(math.log1p(-self._rand()) / math.log1p(-self._share))

    def chosen(self, engine: Engine, policy: Policy, want: Wanted, compute: Callable[[], Any]) -> Check | None:
        """The operation that checks this hit, to be run in the background; None when enough is checked already."""
        with self._lock:
            self.left = self._skip()
            now = self._monotonic()
            if not self.open or now < self._next_at or (self._running and self._running()):
                return None
            self._next_at = now + self._gap_s
            # known here and now; the check runs elsewhere, later
            check = Check(self, Case(engine, policy, want, compute), engine.recorder.current_span_context())
            # one that nobody ever runs, for its loop ended, is in nobody's way
            self._running = weakref.ref(check)
            return check

    def over(self) -> None:
        """Let the next one begin."""
        self._running = None

    def close(self) -> None:
        """Check nothing any more; what is being checked ends when its computation does, and is not counted."""
        self.open = False


class Check:
    """One hit that is to be checked; called, it gives the operation."""

    __slots__ = ("__weakref__", "_case", "_cause", "_ours")

    def __init__(self, ours: Checks, case: Case, cause: SpanContext | None) -> None:
        self._ours, self._case, self._cause = ours, case, cause

    def __call__(self) -> Operation[None]:
        """The operation; when it has ended the next one may begin."""
        ours = self._ours
        try:
            if ours.open:
                yield from verify(self._case, self._cause, Terms(ours.salt, lambda: ours.open, drop=ours.drop))
        finally:
            ours.over()

    def left(self) -> None:
        """It will not be run: nobody takes anything into the background any more."""
        self._ours.over()
