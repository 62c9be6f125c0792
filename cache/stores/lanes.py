"""The two connections of an event loop: one for what is small and quick, one for what would hold that up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from cache.errors import StoreError
from cache.stores.attempt import Attempt
from cache.stores.exchange import Exchange
from cache.stores.lane import Lane
from cache.stores.options import StoreOptions
from telemetry.vocabulary import ErrorType

LARGE_BYTES = 1 << 16
"""Larger requests go over the second connection."""


class Lanes:
    """Opens lanes when they are needed, and chooses among them.

    Args:
        connection: makes a redis.asyncio connection, not connected yet.
        options: their limits.
        room: how many requests may be under way, or wait for a connection; more are refused at once.
    """

    def __init__(self, connection: Callable[[], Any], options: StoreOptions, room: int) -> None:
        self._connection, self._options, self._room = connection, options, room
        self._lanes: list[Lane | None] = [None, None]
        self._attempts: list[Attempt[Lane] | None] = [None, None]
        self._alive: set[Lane] = set()
        self._closed = False

    def ready(self, size: int) -> Lane | None:
        """The lane for a request of ``size`` bytes; None when it is not connected.

        Raises:
            StoreError: too many requests wait for their replies.
        """
        lane = self._lanes[0]
        if size > LARGE_BYTES or lane is None or lane.crowded:
            lane = self._lanes[self._which(size)]
        return lane if lane is not None and lane.is_usable() else None

    def _which(self, size: int) -> int:
        first, second = self._lanes
        if first is None or not first.open:
            return 0
        if second is not None and second.open:
            return int(size > LARGE_BYTES or (first.crowded and not second.crowded))
        return int(first.crowded or (size > LARGE_BYTES and not first.idle))

    async def connected(self, size: int, call: Exchange) -> Lane:
        """Connect the lane for a request of ``size`` bytes, together with all others that need it.

        Raises:
            StoreError: too many wait for it.
            Exception: it cannot be connected, or not within the caller's deadline.
        """
        which = self._which(size)
        attempt = self._attempts[which]
        if attempt is None or attempt.given_up or attempt.task.done():
            attempt = self._attempts[which] = Attempt(partial(self._open, which), call, self._options.ceiling_s)
        if attempt.waiting >= self._room:
            raise StoreError(ErrorType.POOL_EXHAUSTED, "too many wait", sent_nothing=True)
        return await attempt.result(call)

    async def _open(self, which: int) -> Lane:
        if self._closed:
            raise StoreError(ErrorType.REFUSED, "the store is closed", sent_nothing=True)
        connection = self._connection()
        await connection.connect()
        lane = Lane(connection, self._options.max_reply_bytes, self._room, self._alive.discard)
        self._alive.add(lane)
        self._lanes[which] = lane
        return lane

    def retire(self) -> None:
        """Let new requests open new connections; the old ones close when their replies are there."""
        for lane in list(self._alive):
            lane.retire()

    def pending(self) -> list[asyncio.Future[Any]]:
        """What callers wait for: replies and connections."""
        connecting = [attempt.task for attempt in self._attempts if attempt is not None and not attempt.task.done()]
        return [*(answer for lane in self._alive for answer in lane.pending()), *connecting]

    async def drain(self) -> None:
        """Wait until no caller waits."""
        while pending := self.pending():
            await asyncio.wait(pending)

    def close(self) -> None:
        """Close every connection now, and open none any more."""
        self._closed = True
        for attempt in self._attempts:
            if attempt is not None:
                attempt.give_up()
        for lane in list(self._alive):
            lane.end()
