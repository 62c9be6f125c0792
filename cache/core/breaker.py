"""The circuit breaker: after trouble the store is left alone, then probed by one call at a time.

closed    -> open       a call whose whole deadline passed without a byte, or 3 failed or slow calls in 10 s
open      -> half-open  when the pause is over; one caller probes, the others are refused
half-open -> closed     the probe was answered
half-open -> open       it was not; the pause doubles, to 1 s at most, with jitter
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from cache.clock import Clock
from telemetry.vocabulary import BreakerState, ErrorType

OnChange = Callable[[BreakerState], None]

COUNTED = frozenset({ErrorType.TIMEOUT, ErrorType.REFUSED, ErrorType.AUTH, ErrorType.LOADING, ErrorType.PROTOCOL})
"""Trouble that says the store is not there; refusals of one command (noperm, oom, readonly) do not."""


LOST_S = 5.0
"""Seconds after which a probe that has told nothing was lost, as to an interrupt before it began: the next may try."""


@dataclass(frozen=True, slots=True)
class BreakerOptions:
    """How soon the breaker opens and how fast it tries again.

    Args:
        failures: failed or slow calls within ``window_s`` that open it.
        window_s: seconds.
        first_pause_s: pause after opening; doubles with each failed probe.
        last_pause_s: longest pause.
        jitter: share of a pause that is randomly taken off, 0..1.
    """

    failures: int = 3
    window_s: float = 10.0
    first_pause_s: float = 0.1
    last_pause_s: float = 1.0
    jitter: float = 0.2


class Permit(Enum):
    """What a breaker says to a caller."""

    REFUSED = "refused"
    FREE = "free"
    PROBE = "probe"


class Breaker:
    """One store's breaker; safe for threads.

    Args:
        clock: whose monotonic time counts.
        on_change: told every new state once, in order, outside the lock.
        rand: gives a number in 0..1.
    """

    def __init__(
        self,
        clock: Clock,
        on_change: OnChange,
        options: BreakerOptions | None = None,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self._clock, self._on_change, self._rand = clock, on_change, rand
        self._options = options or BreakerOptions()
        self._lock = threading.Lock()
        self.state = BreakerState.CLOSED
        """The state now."""
        self._failures: deque[float] = deque(maxlen=self._options.failures)
        self._pause = self._options.first_pause_s
        self._retry_at = self._lost_at = 0.0
        self._probing = False
        self._news: deque[BreakerState] = deque()
        self._telling = threading.Lock()

    def begin_anew(self) -> None:
        """In a forked child: the parent's threads may have held a lock or be probing."""
        self._lock, self._telling = threading.Lock(), threading.Lock()
        self._probing = False
        self._news.clear()

    @property
    def patience(self) -> float:
        """Share of its deadline that a probe may take now: what the pause before it is of the longest pause."""
        return min(1.0, self._pause / self._options.last_pause_s)

    @property
    def is_due(self) -> bool:
        """Whether the next caller would be let go: to the store as ever, or to probe it."""
        if self.state is BreakerState.CLOSED:
            return True
        return self._clock.monotonic() >= (self._lost_at if self._probing else self._retry_at)

    def enter(self) -> Permit:
        """Ask to go to the store; a caller that may must then say how it ended, with its permit."""
        state = self.state
        if state is BreakerState.CLOSED:
            return Permit.FREE
        with self._lock:
            if self.state is BreakerState.CLOSED:
                return Permit.FREE
            now = self._clock.monotonic()
            if now < (self._retry_at if not self._probing else self._lost_at):
                return Permit.REFUSED
            self._probing, self._lost_at = True, now + LOST_S
            self._become(BreakerState.HALF_OPEN)
        self._tell()
        return Permit.PROBE

    def succeeded(self, permit: Permit) -> None:
        """The store answered in time."""
        if permit is not Permit.PROBE:
            return
        with self._lock:
            self._probing = False
            self._failures.clear()
            self._become(BreakerState.CLOSED)
        self._tell()

    def failed(self, permit: Permit, *, silent: bool = False) -> None:
        """The call failed or was slow; ``silent`` when its whole deadline passed without a byte."""
        with self._lock:
            now = self._clock.monotonic()
            if permit is Permit.PROBE:
                self._probing = False
                self._open(now, min(2 * self._pause, self._options.last_pause_s))
            elif self.state is BreakerState.CLOSED:
                self._failures.append(now)
                full = len(self._failures) == self._options.failures
                if silent or (full and now - self._failures[0] <= self._options.window_s):
                    self._open(now, self._options.first_pause_s)
        self._tell()

    def abandoned(self, permit: Permit) -> None:
        """The call was cancelled and says nothing; after a probe the next caller may try."""
        if permit is Permit.PROBE:
            with self._lock:
                self._probing = False

    def _open(self, now: float, pause: float) -> None:
        self._pause = pause
        self._retry_at = now + pause * (1 - self._options.jitter * self._rand())
        self._become(BreakerState.OPEN)

    def _become(self, state: BreakerState) -> None:
        if self.state is not state:
            self.state = state
            self._news.append(state)

    def _tell(self) -> None:
        """Hand changes on in their order, outside of the lock; one thread at a time does it for all."""
        while self._news and self._telling.acquire(blocking=False):
            try:
                while self._news:
                    self._on_change(self._news.popleft())
            finally:
                self._telling.release()
