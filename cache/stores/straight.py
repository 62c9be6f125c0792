"""A question that is asked straight away: no step, no exchange, no span before its reply is here.

It is for a caller that blocks and a server that is well. What is not ready for it (no open connection, a breaker that
is not closed, others who wait) takes the ordinary way, of which nothing has happened then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hiredis

from cache.clock import Clock, Deadline
from cache.core.breaker import Permit
from cache.core.sent import NOT_NOW, Failed
from cache.errors import StoreError
from cache.stores.exchange import Exchange
from cache.stores.guard import SLOW, Guard, may_repeat
from cache.stores.held import Held
from cache.stores.held_path import HeldPath
from cache.stores.rack import Rack
from cache.stores.talking import Halfway
from telemetry.vocabulary import BreakerState

# hiredis declares a tuple of one argument
_packed: Callable[[tuple[Any, ...]], bytes] = hiredis.pack_command

_CLOSED, _FREE = BreakerState.CLOSED, Permit.FREE


class Straight:
    """Asks over the connections of a rack.

    Args:
        rack: the connections.
        path: the ordinary way over them.
        guard: stands before the store.
        clock: of the time that a call may take.
        troubled: told of a call that failed and how, after which nothing is tried again.

    Attributes:
        spans: make the spans of its commands.
    """

    __slots__ = ("_clock", "_guard", "_path", "_rack", "_troubled", "spans")

    def __init__(
        self, rack: Rack, path: HeldPath, guard: Guard, clock: Clock, troubled: Callable[[Exchange, StoreError], None]
    ) -> None:
        self._rack, self._path, self._guard, self._clock, self._troubled = rack, path, guard, clock, troubled
        self.spans = path.spans

    def ask(self, question: tuple[str, ...], seconds: float) -> Any:
        """Ask for a list.

        Args:
            question: an MGET.
            seconds: how long all of it may take.

        Returns:
            The reply; ``NOT_NOW`` when nothing was sent; ``Failed`` when no list came, or something was raised.
        """
        rack = self._rack
        if rack.waiting or rack.closed or self._guard.breaker.state is not _CLOSED or not self.spans.afterwards():
            return NOT_NOW
        try:
            held = rack.free.pop()
        except IndexError:
            return NOT_NOW
        now, call = self._clock.monotonic, None
        began = now()
        try:
            request = _packed(question)
            reply = held.ask_at_once(request, 1000 * seconds)
            if type(reply) is Halfway:
                call = self._call(seconds, began)
                reply = held.go_on(call, request, reply)
        except BaseException as error:
            return self._failed(held, error, call or self._call(seconds, began))
        if reply is NOT_NOW:
            rack.give_back(held)
            return NOT_NOW
        rack.free.append(held)
        if rack.waiting:
            rack.call_next()
        if now() - began > SLOW * seconds:
            self._guard.breaker.failed(_FREE)
        return reply

    def _call(self, seconds: float, began: float) -> Exchange:
        """The account of a call that went out a moment ago."""
        deadline = Deadline(self._clock, seconds)
        deadline.at = began + seconds
        call = Exchange(deadline, _FREE, seconds, seconds)
        call.sent = True
        return call

    def _failed(self, held: Held, error: BaseException, call: Exchange) -> Failed:
        """Give the connection up, and tell who has to know."""
        rack, guard = self._rack, self._guard
        if not isinstance(error, Exception):
            rack.give_back(held)
            return Failed(error, None, call.deadline)
        self._path.note(error)
        again = not rack.closed and may_repeat(call, error, True)
        if again:
            held.close()
            rack.let_idle_go()
        rack.give_back(held)
        if again:
            return Failed(error, None, call.deadline)
        trouble = guard.failed(call, error)
        self._troubled(call, trouble)
        return Failed(error, trouble, call.deadline)
