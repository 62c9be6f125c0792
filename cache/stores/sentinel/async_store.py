"""The store behind sentinels that awaits: a store on the primary that they name, replaced when they name another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from cache.clock import Deadline
from cache.core.breaker import Permit
from cache.core.sent import AsyncLine
from cache.core.steps import StoreStep
from cache.errors import StoreError
from cache.stores.async_redis_store import AsyncRedisStore
from cache.stores.attempt import Attempt
from cache.stores.cluster.async_nodes import AsyncNodes
from cache.stores.cluster.membership import BESIDE
from cache.stores.cluster.topology import Place
from cache.stores.errors import store_error
from cache.stores.exchange import Exchange
from cache.stores.forking import in_forked_child
from cache.stores.homes import Homes
from cache.stores.options import StoreOptions
from cache.stores.sentinel.finding import Sentinels
from cache.stores.urls import StoreURL
from telemetry.vocabulary import BreakerState


class _Home:
    """What belongs to one event loop."""

    def __init__(self, nodes: AsyncNodes) -> None:
        self.nodes = nodes
        self.look: Attempt[Place] | None = None
        self.leaving: set[asyncio.Task[None]] = set()

    async def drain(self) -> None:
        """Wait for what takes leave of former primaries."""
        if self.leaving:
            await asyncio.wait(self.leaving)

    async def close(self) -> None:
        """Close every connection."""
        if self.look is not None:
            self.look.give_up()
        await self.nodes.close()


class AsyncSentinelStore:
    """Carries out steps on the primary without blocking; usable from several event loops.

    Args:
        sentinels: who say which it is; nobody else's.
        open_primary: opens the store on one server.
    """

    def __init__(
        self, sentinels: Sentinels, options: StoreOptions, open_primary: Callable[[StoreURL], AsyncRedisStore]
    ) -> None:
        self._sentinels, self._options, self._open = sentinels, options, open_primary
        self._store: AsyncRedisStore | None = None
        self._place: Place | None = None
        self._homes = Homes(lambda: _Home(AsyncNodes(sentinels.member, options)))
        in_forked_child(self._begin_anew)

    def _begin_anew(self) -> None:
        """In a forked child: the parent's threads may have held a lock."""
        self._sentinels.begin_anew()
        self._homes.begin_anew()

    @property
    def straight(self) -> AsyncLine | None:
        """The primary's, while nothing speaks against it."""
        store = self._store
        if store is None or not self._sentinels.trusted or store.breaker_state() is not BreakerState.CLOSED:
            return None
        return store.straight

    def where(self) -> StoreURL:
        """The URL of the primary.

        Raises:
            ConnectionError: nobody knows it.
        """
        return self._sentinels.where()

    def serving(self) -> bytes:
        """Eight bytes that name the server of the newest connection."""
        return b"" if self._store is None else self._store.identity()

    def identity(self) -> bytes:
        """Eight bytes that name it in its time as the primary."""
        return self._sentinels.name(self.serving())

    def breaker_state(self) -> BreakerState:
        """State of the primary's breaker, or of the sentinels' while there is none."""
        return self._sentinels.state if self._store is None else self._store.breaker_state()

    async def execute(self, step: StoreStep) -> Any:
        """Carry out one step within its deadline.

        Raises:
            StoreError: it could not be.
        """
        store = await self._current(step.deadline)
        try:
            return await store.execute(step)
        except StoreError as trouble:
            self._sentinels.failed(trouble)
            if not step.idempotent or step.deadline.remaining() <= 0:
                raise
            other = await self._current(step.deadline)
            if other is store:
                raise
            return await other.execute(step)

    async def _current(self, deadline: Deadline) -> AsyncRedisStore:
        """The store on the primary; it is asked who that is when nobody knows, or now and then, by one at a time."""
        store = self._store
        if store is not None and not self._sentinels.is_time_to_look():
            return store
        home = self._homes.here()
        if store is not None:
            deadline = deadline.part(BESIDE)
        call = Exchange(deadline, Permit.FREE, self._options.ceiling_s, deadline.remaining())
        look = home.look
        if look is None or look.given_up or look.task.done():
            look = home.look = Attempt(lambda: self._ask_around(home, deadline), call, self._options.ceiling_s)
        try:
            return self._become(home, await look.result(call))
        except Exception as error:
            if store is not None:
                return store
            raise store_error(error) from None

    async def _ask_around(self, home: _Home, deadline: Deadline) -> Place:
        return self._sentinels.heard(await home.nodes.ask(self._sentinels.questions(), deadline))

    def _become(self, home: _Home, place: Place) -> AsyncRedisStore:
        former, store = self._store, self._store
        if store is None or place != self._place:
            store = self._open(self._sentinels.url_of(place))
            self._place, self._store = place, store
            if former is not None:
                # its calls under way end by themselves; other loops' connections go with their loops
                task = asyncio.get_running_loop().create_task(former.aclose())
                home.leaving.add(task)
                task.add_done_callback(home.leaving.discard)
        return store

    async def aclose(self, seconds: float = 1.0) -> None:
        """Wait at most ``seconds`` for this event loop's calls, then close its connections.

        Another loop's close as that loop ends.
        """
        if self._store is not None:
            await self._store.aclose(seconds)
        await self._homes.leave(seconds)
