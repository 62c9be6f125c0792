"""The two connections of an event loop: one for what is small and quick, one for what would hold that up."""

from __future__ import annotations

import asyncio
from contextvars import Context
from functools import partial
from typing import Any

import redis.asyncio as aredis

from cache.errors import StoreError
from cache.stores.async_connection import Taken
from cache.stores.async_packing import is_large
from cache.stores.attempt import Attempt
from cache.stores.exchange import Exchange
from cache.stores.lane import Lane
from cache.stores.options import StoreOptions
from cache.stores.packing import Packed
from telemetry.vocabulary import ErrorType

AGAIN_S = 1.0
"""How long the second connection is not tried again, in seconds."""


class Lanes:
    """Opens lanes when they are needed, and chooses among them.

    Args:
        pool: of redis.asyncio, where connections are made and counted.
        options: their limits.
        room: how many requests may be under way, or wait for a connection; more are refused at once.

    Attributes:
        address: host and port; None for a Unix socket.
    """

    def __init__(self, pool: aredis.ConnectionPool, options: StoreOptions, room: int) -> None:
        self._pool, self._options, self._room = pool, options, room
        self._lanes: list[Lane | None] = [None, None]
        self._attempts: list[Attempt[Lane] | None] = [None, None]
        self._alive: dict[Lane, Any] = {}
        self._releasing: set[asyncio.Task[None]] = set()
        self._closed, self._second_from = False, 0.0
        where = pool.connection_kwargs
        self.address: tuple[Any, Any] = (where.get("host"), where.get("port"))

    def ready(self, data: Packed, call: Exchange) -> Lane | None:
        """The lane for a request; None when there is none yet.

        Raises:
            StoreError: too many requests wait for their replies.
        """
        lane = self._lanes[0]
        if lane is None:
            return None
        if lane.crowded or is_large(data):
            second = self._beside(lane, data, call)
            if second is not None and second.is_usable():
                return second
        return lane if lane.is_usable() else None

    def _beside(self, first: Lane, data: Packed, call: Exchange) -> Lane | None:
        """The second lane, where it is of use and connected; until then nobody waits for it."""
        second = self._lanes[1]
        if second is not None and second.open:
            return second if is_large(data) or not second.crowded else None
        if first.open and (first.crowded or not first.idle):
            now = asyncio.get_running_loop().time()
            if now >= self._second_from:
                self._second_from = now + AGAIN_S
                self._attempt(1, call)
        return None

    def _attempt(self, which: int, call: Exchange) -> Attempt[Lane]:
        attempt = self._attempts[which]
        if attempt is None or attempt.given_up or attempt.task.done():
            attempt = self._attempts[which] = Attempt(partial(self._open, which), call, self._options.ceiling_s)
        return attempt

    async def connected(self, call: Exchange) -> Lane:
        """Connect the first lane, together with all others that need it.

        Raises:
            StoreError: too many wait for it.
            Exception: it cannot be connected, or not within the caller's deadline.
        """
        attempt = self._attempt(0, call)
        if attempt.waiting >= self._room:
            raise StoreError(ErrorType.POOL_EXHAUSTED, "too many wait", sent_nothing=True)
        return await attempt.result(call)

    async def _open(self, which: int) -> Lane:
        if self._closed:
            raise StoreError(ErrorType.REFUSED, "the store is closed", sent_nothing=True)
        connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        lane = Lane(Taken(connection), self._options.max_reply_bytes, self._room, self._ended)
        self._alive[lane] = connection
        self._lanes[which] = lane
        if not lane.open:
            self._ended(lane)
        return lane

    def _ended(self, lane: Lane) -> None:
        """Give the pool its connection back, for its counts."""
        connection = self._alive.pop(lane, None)
        if connection is not None:
            task = asyncio.get_running_loop().create_task(self._pool.release(connection), context=Context())
            self._releasing.add(task)
            task.add_done_callback(self._releasing.discard)

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

    async def close(self) -> None:
        """Close every connection now, and open none any more."""
        self._closed = True
        attempts = [attempt for attempt in self._attempts if attempt is not None]
        for attempt in attempts:
            attempt.give_up()
        for lane in list(self._alive):
            lane.end()
        await asyncio.sleep(0)  # the transports' last turn
        ending = [*self._releasing, *(attempt.task for attempt in attempts)]
        if ending:
            await asyncio.wait(ending)
        await self._pool.disconnect()
