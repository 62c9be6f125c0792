"""One timer for the earliest of many deadlines: a call that is answered in time costs no timer of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context

NEVER = float("inf")
"""No deadline."""

SOON_S = 0.001
"""How late it may ring, in seconds: it is not set anew for less."""


class Alarm:
    """Rings when the earliest deadline has passed; set anew by what its bell answers.

    Args:
        bell: told the time; answers when it wants to be told again, or ``NEVER``. Both in the loop's time.

    Attributes:
        at: when it rings.
    """

    __slots__ = ("_bell", "_context", "_loop", "_timer", "at")

    def __init__(self, bell: Callable[[float], float]) -> None:
        self._bell, self._loop = bell, asyncio.get_running_loop()
        # a timer is nobody's: it keeps no caller's context alive
        self._context = Context()
        self._timer: asyncio.TimerHandle | None = None
        self.at = NEVER

    def ring_by(self, at: float) -> None:
        """Ring at ``at``, or a little later, unless it rings before."""
        if at < self.at - SOON_S:
            self.stop()
            self.at = at
            self._timer = self._loop.call_at(at, self._ring, context=self._context)

    def stop(self) -> None:
        """Do not ring."""
        if self._timer is not None:
            self._timer.cancel()
        self.at, self._timer = NEVER, None

    def _ring(self) -> None:
        self.at, self._timer = NEVER, None
        self.ring_by(self._bell(self._loop.time()))
