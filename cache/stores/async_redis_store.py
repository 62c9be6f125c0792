"""The store that awaits: connections per event loop, multiplexed or redis-py's own."""

from __future__ import annotations

import asyncio
from typing import Any

import redis.asyncio as aredis

from cache.clock import Clock
from cache.core.breaker import Breaker
from cache.core.steps import StoreStep
from cache.errors import StoreError
from cache.stores.async_connection import new_client
from cache.stores.async_path import AsyncPath
from cache.stores.async_plain_path import AsyncPlainPath
from cache.stores.async_straight import AsyncStraight
from cache.stores.exchange import Exchange
from cache.stores.forking import in_forked_child
from cache.stores.greeting import Greeting, Identity, KnownScripts
from cache.stores.guard import Guard, others_are_suspect
from cache.stores.homes import Homes
from cache.stores.lanes import Lanes
from cache.stores.multiplexed_path import MultiplexedPath
from cache.stores.options import StoreOptions
from cache.stores.urls import StoreURL
from telemetry.commands import CommandSpans
from telemetry.vocabulary import BreakerState, ErrorType

WAITERS = 32
"""Calls that may wait for each of ``max_connections``; more are refused at once."""


class _Home:
    """What belongs to one event loop."""

    def __init__(self, path: AsyncPath, public: aredis.Redis) -> None:
        self.path, self.public = path, public

    async def drain(self) -> None:
        """Wait for the calls under way."""
        await self.path.drain()

    async def close(self) -> None:
        """Close every connection."""
        await self.path.close()
        await self.public.connection_pool.disconnect()


class AsyncRedisStore:
    """Carries out steps on Redis or Valkey without blocking; usable from several event loops.

    Args:
        url: where.
        options: its limits; ``max_connections`` holds per event loop. On the fast path calls share two
            connections: there it says, as on the plain path, how many calls may be under way or wait,
            33 for each.
        breaker: guards it.
        clock: of the time that a call may take which is asked straight away.
        spans: of the commands of the fast path.

    Attributes:
        straight: asks without a step; None on the plain path.
    """

    def __init__(
        self, url: StoreURL, options: StoreOptions, *, breaker: Breaker, clock: Clock, spans: CommandSpans
    ) -> None:
        self._url, self._options, self._breaker, self._spans = url, options, breaker, spans
        self._guard = Guard(breaker, options.ceiling_s)
        self._identity = Identity()
        self._known = KnownScripts(self._identity)
        self._greeting = Greeting(
            url.db, url.username, url.secret, options.client_name, self._identity, primary_only=url.primary_only
        )
        self._homes = Homes(self._new_home)
        self.straight = (
            AsyncStraight(self._lanes_path, self._guard, spans, clock, self._look_elsewhere)
            if options.fast_path
            else None
        )
        in_forked_child(self._begin_anew)

    def _begin_anew(self) -> None:
        """In a forked child: the parent's threads may have held a lock."""
        self._breaker.begin_anew()
        self._homes.begin_anew()

    def _home(self) -> _Home:
        return self._homes.here()

    def _new_home(self) -> _Home:
        return _Home(self._path(), self._new_client(self._options.decode, bounded=True))

    def _path(self) -> AsyncPath:
        client = self._new_client(decode=False)
        room = self._options.max_connections * (1 + WAITERS)
        if self._options.fast_path:
            lanes = Lanes(client.connection_pool, self._options, room)
            return MultiplexedPath(lanes, self._known, self._spans)
        client.response_callbacks.clear()
        return AsyncPlainPath(client, self._known, self._options.max_connections, room)

    def _new_client(self, decode: bool, *, bounded: bool = False) -> aredis.Redis:
        timeout_s = self._options.ceiling_s if bounded else None
        return new_client(self._url, self._options, self._greeting, decode=decode, timeout_s=timeout_s)

    @property
    def client(self) -> aredis.Redis:
        """A redis.asyncio client of the same server for this event loop; retries nothing, and its calls raise."""
        return self._home().public

    def identity(self) -> bytes:
        """Eight bytes that name the server of the newest connection."""
        return self._identity.value

    def breaker_state(self) -> BreakerState:
        """State of the breaker."""
        return self._guard.state

    async def execute(self, step: StoreStep) -> Any:
        """Carry out one step within its deadline.

        Raises:
            StoreError: it could not be.
        """
        call = self._guard.admit(step.deadline)
        path = (self._homes.get(asyncio.get_running_loop()) or self._home()).path
        try:
            reply = await path.carry_out(step, call)
        except Exception as error:
            trouble = self._guard.failed(call, error)
            await self._look_elsewhere(call, trouble)
            raise trouble from None
        except BaseException:
            self._guard.abandoned(call)
            raise
        self._guard.answered(call)
        return reply

    async def _look_elsewhere(self, call: Exchange, trouble: StoreError) -> None:
        """Let connections go: a demoted primary's, whose name is resolved again, and those that may be as dead."""
        home = self._homes.get(asyncio.get_running_loop())
        demoted = trouble.kind is ErrorType.READONLY and self._url.scheme != "unix"
        if home is not None and (demoted or others_are_suspect(call, trouble)):
            await home.path.let_go()

    def _lanes_path(self) -> MultiplexedPath | None:
        """The way over this event loop's lanes; None before its first call."""
        home = self._homes.get(asyncio.get_running_loop())
        return home.path if home is not None and isinstance(home.path, MultiplexedPath) else None

    async def aclose(self, seconds: float = 1.0) -> None:
        """Wait at most ``seconds`` for this event loop's calls, then close its connections.

        Another loop's close as that loop ends.
        """
        await self._homes.leave(seconds)
