"""What the blocking and the awaiting store decide alike: who may go, what an end means for the breaker."""

from __future__ import annotations

from cache.clock import Deadline
from cache.core.breaker import COUNTED, Breaker, Permit
from cache.errors import StoreError
from cache.stores.errors import store_error
from cache.stores.exchange import Exchange
from telemetry.vocabulary import BreakerState, ErrorType

SLOW = 0.8
"""Share of its deadline beyond which an answered call counts as slow."""

WHOLE = 0.5
"""Share of its deadline that a call must have waited on the server before its silence opens the breaker."""

_STALL_S = 0.02


class Guard:
    """Stands before one store.

    Args:
        ceiling_s: longest wait of any call, in seconds.

    Attributes:
        breaker: the store's.
    """

    def __init__(self, breaker: Breaker, ceiling_s: float) -> None:
        self.breaker, self._ceiling_s = breaker, ceiling_s

    @property
    def state(self) -> BreakerState:
        """State of the breaker."""
        return self.breaker.state

    def admit(self, deadline: Deadline) -> Exchange:
        """Let a call begin.

        Raises:
            StoreError: the breaker is open, or the deadline has passed already.
        """
        # not by a method: this is on the way of every step
        began = deadline.at - deadline.now()
        if began <= 0:
            raise StoreError(ErrorType.TIMEOUT, "the deadline had passed", sent_nothing=True)
        breaker = self.breaker
        permit = Permit.FREE if breaker.state is BreakerState.CLOSED else breaker.enter()
        if permit is Permit.REFUSED:
            raise StoreError(ErrorType.BREAKER_OPEN, sent_nothing=True)
        ceiling_s = self._ceiling_s
        if permit is Permit.PROBE:
            ceiling_s = min(ceiling_s, breaker.patience * deadline.seconds)
        return Exchange(deadline, permit, ceiling_s, began)

    def answered(self, call: Exchange) -> None:
        """The server answered; slowly, perhaps."""
        deadline = call.deadline
        if call.began - deadline.at + deadline.now() > SLOW * deadline.seconds:
            self.breaker.failed(call.permit)
        elif call.permit is not Permit.FREE:
            self.breaker.succeeded(call.permit)

    def failed(self, call: Exchange, error: Exception) -> StoreError:
        """Tell the breaker how a call failed; the error to raise."""
        trouble = store_error(error, sent_nothing=not call.sent, silent=is_silent(call))
        if call.bystander:
            self.breaker.abandoned(call.permit)
        elif trouble.kind in COUNTED:
            self.breaker.failed(call.permit, silent=trouble.silent)
        elif trouble.kind is ErrorType.POOL_EXHAUSTED or not call.heard:
            self.breaker.abandoned(call.permit)
        else:
            self.breaker.succeeded(call.permit)
        return trouble

    def abandoned(self, call: Exchange) -> None:
        """The call was cancelled or interrupted: it says nothing about the server."""
        self.breaker.abandoned(call.permit)


def is_silent(call: Exchange) -> bool:
    """Nothing came in (nearly) the whole deadline; a caller that was itself held up much longer proves nothing."""
    late = -call.left()
    return (
        not call.heard
        and call.used() >= WHOLE * call.deadline.seconds
        and late < _STALL_S + WHOLE * call.deadline.seconds
    )


def others_are_suspect(call: Exchange, trouble: StoreError) -> bool:
    """Whether idle connections may be dead too: the server, or whatever stands between, kept silent on this one."""
    return trouble.silent or (trouble.kind is ErrorType.TIMEOUT and call.permit is Permit.PROBE and not call.heard)


def may_repeat(call: Exchange, error: Exception, idempotent: bool) -> bool:
    """Whether a step may be sent once more: harmless to repeat, its connection broke once it was sent, time is left."""
    return idempotent and call.sent and call.left() > 0 and store_error(error).kind is ErrorType.REFUSED
