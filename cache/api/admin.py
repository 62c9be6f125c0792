"""What stands around each act of an administrator: how often, and one line of who did what to how much."""

from __future__ import annotations

import threading
from typing import Any

from fastapi import Request

from cache import audit
from cache.api.problems import ProblemError
from cache.clock import Clock
from telemetry.logs import FIELDS

REFUSALS_A_MINUTE = 60
"""Lines about refused requests; what goes beyond is counted and told by the next line."""


class Budget:
    """So many acts within a minute, and then one whenever its share of a minute has passed; safe for threads.

    Args:
        per_minute: >= 1.
        clock: whose monotonic time counts.
    """

    def __init__(self, per_minute: int, clock: Clock) -> None:
        self._most, self._clock, self._lock = float(per_minute), clock, threading.Lock()
        self._left, self._seen = self._most, clock.monotonic()

    def take(self) -> float:
        """Take one; 0 when there was one, else the seconds until there is."""
        with self._lock:
            now = self._clock.monotonic()
            self._left = min(self._most, self._left + (now - self._seen) * self._most / 60)
            self._seen = now
            if self._left < 1:
                return (1 - self._left) * 60 / self._most
            self._left -= 1
            return 0.0


class Admin:
    """The rate and the record of what the token opens; for one process.

    Args:
        per_minute: acts within a minute.
        clock: of the rate.
    """

    def __init__(self, per_minute: int, clock: Clock) -> None:
        self._acts, self._lines = Budget(per_minute, clock), Budget(REFUSALS_A_MINUTE, clock)
        self._left_out = 0

    def admit(self) -> None:
        """Let one act begin.

        Raises:
            ProblemError: 429, with the seconds to wait, when there were too many.
        """
        wait_s = self._acts.take()
        if wait_s > 0:
            headers = {"Retry-After": str(int(wait_s) + 1)}
            raise ProblemError(429, "too_many_requests", "more than CACHE_API_RATE within a minute", headers)

    def did(self, request: Request, action: str, about: str, **facts: Any) -> None:
        """Write an act down.

        Args:
            about: the category it concerned.
            facts: numbers and words without keys: how many, whether it was complete, a digest.
        """
        audit.did(client(request), action, about, **facts)

    def refused(self, request: Request, code: str) -> None:
        """Write down that somebody was turned away from a guarded route; a flood of them fills no disk."""
        if self._lines.take() > 0:
            self._left_out += 1
            return
        left_out, self._left_out = self._left_out, 0
        fields = {"audit": "refused", "code": code, "client": client(request), "left_out": left_out}
        text = "%s %s refused to %s: %s (%d such lines left out before)"
        route = request.scope["route"].path
        audit.LOG.warning(text, request.method, route, client(request), code, left_out, extra={FIELDS: fields})


def client(request: Request) -> str:
    """Address of the other end of the connection; what a header says of it is not believed."""
    return request.client.host if request.client is not None else "unknown"
