"""The twin of ``straight`` for tasks: a question over the connection that all tasks of an event loop share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import hiredis

from cache.clock import Clock, Deadline
from cache.core.breaker import Permit
from cache.core.sent import NOT_NOW, Failed
from cache.errors import StoreError
from cache.stores.exchange import Exchange
from cache.stores.guard import Guard, may_repeat
from cache.stores.multiplexed_path import MultiplexedPath, never_went
from telemetry.commands import CommandSpans
from telemetry.vocabulary import BreakerState

# hiredis declares a tuple of one argument
_packed: Callable[[tuple[Any, ...]], bytes] = hiredis.pack_command

_CLOSED, _FREE = BreakerState.CLOSED, Permit.FREE


class AsyncStraight:
    """Asks over the lanes of the running event loop.

    Args:
        path: gives the ordinary way of this event loop; None before its first call.
        guard: stands before the store.
        spans: make the spans of its commands.
        clock: of the time that a call may take.
        troubled: told of a call that failed and how, after which nothing is tried again.
    """

    __slots__ = ("_clock", "_guard", "_path", "_troubled", "spans")

    def __init__(
        self,
        path: Callable[[], MultiplexedPath | None],
        guard: Guard,
        spans: CommandSpans,
        clock: Clock,
        troubled: Callable[[Exchange, StoreError], Awaitable[None]],
    ) -> None:
        self._path, self._guard, self.spans, self._clock, self._troubled = path, guard, spans, clock, troubled

    async def ask(self, question: tuple[str, ...], seconds: float) -> Any:
        """Ask for a list.

        Args:
            question: an MGET.
            seconds: how long all of it may take.

        Returns:
            The reply; ``NOT_NOW`` when nothing was sent; ``Failed`` when no list came, or something was raised.
        """
        guard, path = self._guard, self._path()
        if path is None or guard.breaker.state is not _CLOSED or not self.spans.afterwards():
            return NOT_NOW
        data = _packed(question)
        call = Exchange(Deadline(self._clock, seconds), _FREE, seconds, seconds)
        try:
            lane = path.lanes.ready(data, call)
        except StoreError:
            # too many wait: the ordinary way says so
            return NOT_NOW
        if lane is None:
            return NOT_NOW
        try:
            reply = await lane.submit(call, data, None)
        except BaseException as error:
            # nobody waits for it any more
            return Failed(error, None, call.deadline)
        if isinstance(reply, Exception):
            return await self._failed(path, reply, call)
        guard.answered(call)
        return reply

    async def _failed(self, path: MultiplexedPath, error: Exception, call: Exchange) -> Failed:
        """Tell who has to know; the connection is the lane's own business."""
        await path.note(error)
        if may_repeat(call, error, True) or never_went(call):
            return Failed(error, None, call.deadline)
        if call.bystander and call.left() <= 0:
            error = TimeoutError("the deadline has passed")
        trouble = self._guard.failed(call, error)
        await self._troubled(call, trouble)
        return Failed(error, trouble, call.deadline)
