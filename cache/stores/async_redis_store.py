"""The store that awaits: redis.asyncio, one client per event loop, one time-out around each step."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from typing import Any

import redis
import redis.asyncio as aredis

from cache.core.breaker import Breaker
from cache.core.steps import Batch, Call, RunScript, StoreStep
from cache.errors import StoreError
from cache.stores.async_connection import new_client
from cache.stores.errors import store_error
from cache.stores.exchange import CURRENT, Exchange
from cache.stores.forking import in_forked_child
from cache.stores.greeting import Greeting, Identity, KnownScripts
from cache.stores.guard import Guard, may_repeat
from cache.stores.options import StoreOptions
from cache.stores.urls import StoreURL
from telemetry.vocabulary import BreakerState, ErrorType

WAITERS = 32
"""Calls that may wait for each connection; more are refused at once."""


class _Home:
    """What belongs to one event loop: clients, and the right to use their connections."""

    def __init__(self, url: StoreURL, options: StoreOptions, greeting: Greeting) -> None:
        self.client = new_client(url, options, greeting, decode=False, timeout_s=None)
        self.client.response_callbacks.clear()
        self.public = new_client(url, options, greeting, decode=options.decode, timeout_s=options.ceiling_s)
        self.slots = asyncio.Semaphore(options.max_connections)
        self.room = options.max_connections * (1 + WAITERS)
        self.keeper = self._keep()
        _begin(self.keeper)

    async def _keep(self) -> AsyncGenerator[None]:
        """Lives as long as the loop: ``shutdown_asyncgens`` ends it, and it closes the connections."""
        try:
            yield
        finally:
            await self.client.connection_pool.disconnect()
            await self.public.connection_pool.disconnect()


def _begin(generator: AsyncGenerator[None]) -> None:
    """Run to the first yield without awaiting: the loop gets to know it."""
    try:
        generator.__anext__().send(None)
    except StopIteration:
        return


class AsyncRedisStore:
    """Carries out steps on Redis or Valkey without blocking; usable from several event loops.

    Args:
        url: where.
        options: its limits; ``max_connections`` holds per event loop.
        breaker: guards it.
    """

    def __init__(self, url: StoreURL, options: StoreOptions, *, breaker: Breaker) -> None:
        self._url, self._options, self._breaker = url, options, breaker
        self._guard = Guard(breaker, options.ceiling_s)
        self._identity = Identity()
        self._known = KnownScripts(self._identity)
        self._greeting = Greeting(url.db, url.username, url.password, options.client_name, self._identity)
        self._lock = threading.Lock()
        self._homes: dict[asyncio.AbstractEventLoop, _Home] = {}
        in_forked_child(self._begin_anew)

    def _begin_anew(self) -> None:
        """In a forked child: its loops are new ones; the parent's threads may have held a lock."""
        self._lock = threading.Lock()
        self._breaker.begin_anew()

    def _home(self) -> _Home:
        loop = asyncio.get_running_loop()
        home = self._homes.get(loop)
        if home is None:
            with self._lock:
                for ended in [known for known in self._homes if known.is_closed()]:
                    del self._homes[ended]
                home = self._homes[loop] = _Home(self._url, self._options, self._greeting)
        return home

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
        outer = CURRENT.set(call)
        try:
            reply = await self._bounded(step, call)
        except Exception as error:
            trouble = self._guard.failed(call, error)
            await self._look_elsewhere(trouble)
            raise trouble from None
        except BaseException:
            self._guard.abandoned(call)
            raise
        finally:
            CURRENT.reset(outer)
        self._guard.answered(call)
        return reply

    async def _bounded(self, step: StoreStep, call: Exchange) -> Any:
        """The whole step, the wait for a connection included, under one time-out."""
        home, waiting = self._home(), True
        if home.room <= 0:
            raise StoreError(ErrorType.POOL_EXHAUSTED, "too many wait", sent_nothing=True)
        home.room -= 1
        try:
            async with asyncio.timeout(max(0.0, call.left())), home.slots:
                waiting = False
                call.began = call.deadline.remaining()
                return await self._attempt(home.client, step, call)
        except TimeoutError:
            if waiting:
                raise StoreError(ErrorType.POOL_EXHAUSTED, sent_nothing=True) from None
            raise
        finally:
            home.room += 1

    async def _attempt(self, client: Any, step: StoreStep, call: Exchange) -> Any:
        try:
            return await self._send(client, step)
        except Exception as error:
            if not may_repeat(call, error, step.idempotent):
                raise
        return await self._send(client, step)

    async def _send(self, client: Any, step: StoreStep) -> Any:
        if isinstance(step, Call):
            return await client.execute_command(*step.args)
        if isinstance(step, Batch):
            return await self._send_batch(client, step)
        return await self._send_script(client, step)

    async def _send_batch(self, client: Any, step: Batch) -> list[Any]:
        pipeline = client.pipeline(transaction=False)
        for command in step.commands:
            pipeline.execute_command(*command)
        replies = await pipeline.execute(raise_on_error=False)
        return [store_error(reply) if isinstance(reply, Exception) else reply for reply in replies]

    async def _send_script(self, client: Any, step: RunScript) -> Any:
        script, rest = step.script, (len(step.keys), *step.keys, *step.args)
        if self._known.has(script):
            try:
                return await client.execute_command("EVALSHA", script.sha, *rest)
            except redis.exceptions.NoScriptError:
                self._known.forget()
        reply = await client.execute_command("EVAL", script.text, *rest)
        self._known.learn(script)
        return reply

    async def _look_elsewhere(self, trouble: StoreError) -> None:
        """A demoted primary: let idle connections go, so that the next call resolves the name again."""
        if trouble.kind is ErrorType.READONLY and self._url.scheme != "unix":
            await self._home().client.connection_pool.disconnect(inuse_connections=False)

    async def aclose(self, seconds: float = 1.0) -> None:
        """Close this event loop's connections within ``seconds``; another loop's close as that loop ends."""
        home = self._homes.pop(asyncio.get_running_loop(), None)
        if home is None:
            return
        try:
            async with asyncio.timeout(seconds):
                await home.keeper.aclose()
        except (TimeoutError, redis.RedisError, OSError):
            return
