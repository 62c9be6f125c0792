"""The store that awaits: redis.asyncio, one client per event loop, one time-out around each step."""

from __future__ import annotations

import asyncio
import weakref
from typing import Any

import redis
import redis.asyncio as aredis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff

from cache.clock import Clock
from cache.core.breaker import COUNTED, Breaker, Permit
from cache.core.steps import Batch, Call, RunScript, StoreStep
from cache.errors import StoreError
from cache.stores import connection as connections
from cache.stores.connection import Identity
from cache.stores.errors import store_error
from cache.stores.redis_store import SLOW
from cache.stores.urls import StoreURL
from telemetry.vocabulary import BreakerState, ErrorType


class _Knowing:
    """Mixed into redis-py's async connection classes: a new connection asks for the server's run id."""

    def __init__(self, *args: Any, identity: Identity, **kwargs: Any) -> None:
        self._identity = identity
        super().__init__(*args, **kwargs)

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        await super().on_connect_check_health(check_health=check_health)  # type: ignore[misc]
        await self.send_command("INFO", "server", check_health=False)  # type: ignore[attr-defined]
        try:
            reply = await self.read_response(disable_decoding=True)  # type: ignore[attr-defined]
        except redis.ResponseError:
            reply = b""
        self._identity.learn(reply)


class _TCP(_Knowing, aredis.Connection):
    """redis://"""


class _TLS(_Knowing, aredis.SSLConnection):
    """rediss://, certificate and host name always checked."""


class _Unix(_Knowing, aredis.UnixDomainSocketConnection):
    """unix://"""


_CLASSES = {"redis": _TCP, "rediss": _TLS, "unix": _Unix}


class _Loop:
    """What belongs to one event loop: a client and the right to use its connections."""

    def __init__(self, url: StoreURL, identity: Identity, limit: int) -> None:
        self.client = self._client(url, identity, limit)
        self.client.response_callbacks.clear()
        self.public = self._client(url, identity, limit, decode=True)
        self.slots = asyncio.Semaphore(limit)

    @staticmethod
    def _client(url: StoreURL, identity: Identity, limit: int, *, decode: bool = False) -> aredis.Redis:
        return aredis.Redis(
            connection_pool=aredis.ConnectionPool(
                connection_class=_CLASSES[url.scheme],
                max_connections=2 * limit,
                identity=identity,
                retry=AsyncRetry(NoBackoff(), 0),
                decode_responses=decode,
                **connections.options(url),
            )
        )


class AsyncRedisStore:
    """Carries out steps on Redis or Valkey without blocking; usable from several event loops.

    Args:
        url, breaker, clock, max_connections: as ``RedisStore``; the limit is per event loop.
    """

    def __init__(self, url: StoreURL, breaker: Breaker, clock: Clock, max_connections: int = 64) -> None:
        self._url, self._breaker, self._clock, self._limit = url, breaker, clock, max_connections
        self._identity = Identity()
        self._scripts: set[tuple[bytes, str]] = set()
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = weakref.WeakKeyDictionary()

    def _here(self) -> _Loop:
        loop = asyncio.get_running_loop()
        here = self._loops.get(loop)
        if here is None:
            here = self._loops[loop] = _Loop(self._url, self._identity, self._limit)
        return here

    @property
    def client(self) -> aredis.Redis:
        """A redis.asyncio client of the same server for this event loop; decodes text, retries nothing."""
        return self._here().public

    def identity(self) -> bytes:
        """Eight bytes that name the server of the newest connection."""
        return self._identity.value

    def breaker_state(self) -> BreakerState:
        """State of the breaker."""
        return self._breaker.state

    async def execute(self, step: StoreStep) -> Any:
        """Carry out one step within its deadline.

        Raises:
            StoreError: it could not be.
        """
        permit = self._breaker.enter()
        if permit is Permit.REFUSED:
            raise StoreError(ErrorType.BREAKER_OPEN, sent_nothing=True)
        try:
            reply = await self._bounded(step)
        except StoreError as trouble:
            self._failed(permit, trouble)
            raise
        except BaseException:
            self._breaker.abandoned(permit)
            raise
        if step.deadline.remaining() < (1 - SLOW) * step.deadline.seconds:
            self._breaker.failed(permit)
        else:
            self._breaker.succeeded(permit)
        return reply

    def _failed(self, permit: Permit, trouble: StoreError) -> None:
        if trouble.kind in COUNTED:
            self._breaker.failed(permit, silent=trouble.silent)
        elif trouble.kind is ErrorType.POOL_EXHAUSTED:
            self._breaker.abandoned(permit)
        else:
            self._breaker.succeeded(permit)

    async def _bounded(self, step: StoreStep) -> Any:
        """The whole step, the wait for a connection included, under one time-out."""
        here, waiting = self._here(), True
        try:
            async with asyncio.timeout(max(0.0, step.deadline.remaining())):
                async with here.slots:
                    waiting = False
                    return await self._attempt(here.client, step)
        except TimeoutError:
            kind = ErrorType.POOL_EXHAUSTED if waiting else ErrorType.TIMEOUT
            raise StoreError(kind, "the deadline has passed", silent=not waiting) from None

    async def _attempt(self, client: aredis.Redis, step: StoreStep) -> Any:
        """Once; an idempotent step again, once, when its connection broke."""
        try:
            return await self._send(client, step)
        except (redis.RedisError, OSError) as error:
            trouble = store_error(error)
            if not step.idempotent or trouble.kind is not ErrorType.REFUSED:
                raise trouble from None
        try:
            return await self._send(client, step)
        except (redis.RedisError, OSError) as error:
            raise store_error(error) from None

    async def _send(self, client: aredis.Redis, step: StoreStep) -> Any:
        if isinstance(step, Call):
            return await client.execute_command(*step.args)
        if isinstance(step, Batch):
            return await self._send_batch(client, step)
        return await self._send_script(client, step)

    async def _send_batch(self, client: aredis.Redis, step: Batch) -> list[Any]:
        pipeline = client.pipeline(transaction=False)
        for command in step.commands:
            pipeline.execute_command(*command)
        replies = await pipeline.execute(raise_on_error=False)
        return [store_error(reply) if isinstance(reply, Exception) else reply for reply in replies]

    async def _send_script(self, client: aredis.Redis, step: RunScript) -> Any:
        script, known = step.script, (self._identity.value, step.script.sha)
        arguments = (len(step.keys), *step.keys, *step.args)
        if known in self._scripts:
            try:
                return await client.execute_command("EVALSHA", script.sha, *arguments)
            except redis.exceptions.NoScriptError:
                self._scripts.discard(known)
        reply = await client.execute_command("EVAL", script.text, *arguments)
        self._scripts.add((self._identity.value, script.sha))
        return reply

    async def aclose(self, seconds: float = 1.0) -> None:
        """Close this event loop's connections within ``seconds``."""
        here = self._loops.pop(asyncio.get_running_loop(), None)
        if here is not None:
            try:
                async with asyncio.timeout(seconds):
                    await here.client.aclose()
                    await here.client.connection_pool.disconnect()
                    await here.public.aclose()
                    await here.public.connection_pool.disconnect()
            except (TimeoutError, redis.RedisError, OSError):
                return
