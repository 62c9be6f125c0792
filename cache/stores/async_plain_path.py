"""The way through redis.asyncio's own client: slower, for comparison; one time-out around each step."""

from __future__ import annotations

import asyncio
from typing import Any

import redis

from cache.core.steps import Batch, Call, RunScript, StoreStep
from cache.errors import StoreError
from cache.stores.errors import store_error
from cache.stores.exchange import CURRENT, Exchange
from cache.stores.greeting import KnownScripts
from cache.stores.guard import may_repeat
from telemetry.vocabulary import ErrorType


class AsyncPlainPath:
    """Carries out steps by redis-py's client.

    Args:
        client: of this event loop.
        known: scripts that the server has.
        slots: how many calls are under way at a time.
        room: how many may be under way or wait; more are refused at once.
    """

    def __init__(self, client: Any, known: KnownScripts, slots: int, room: int) -> None:
        self.client, self._known = client, known
        self._slots, self._room = asyncio.Semaphore(slots), room

    async def carry_out(self, step: StoreStep, call: Exchange) -> Any:
        """The whole step, the wait for a connection included, under one time-out.

        Raises:
            Exception: the driver's or the system's; StoreError when there was no connection to be had.
        """
        if self._room <= 0:
            raise StoreError(ErrorType.POOL_EXHAUSTED, "too many wait", sent_nothing=True)
        self._room -= 1
        outer, waiting = CURRENT.set(call), True
        try:
            async with asyncio.timeout(max(0.0, call.left())), self._slots:
                waiting = False
                call.began = call.deadline.remaining()
                return await self._attempt(step, call)
        except TimeoutError:
            if waiting:
                raise StoreError(ErrorType.POOL_EXHAUSTED, sent_nothing=True) from None
            raise
        finally:
            self._room += 1
            CURRENT.reset(outer)

    async def _attempt(self, step: StoreStep, call: Exchange) -> Any:
        try:
            return await self._send(step)
        except Exception as error:
            if not may_repeat(call, error, step.idempotent):
                raise
        return await self._send(step)

    async def _send(self, step: StoreStep) -> Any:
        if isinstance(step, Call):
            return await self.client.execute_command(*step.args)
        if isinstance(step, Batch):
            return await self._batch(step)
        return await self._script(step)

    async def _batch(self, step: Batch) -> list[Any]:
        pipeline = self.client.pipeline(transaction=False)
        for command in step.commands:
            pipeline.execute_command(*command)
        replies = await pipeline.execute(raise_on_error=False)
        return [store_error(reply) if isinstance(reply, Exception) else reply for reply in replies]

    async def _script(self, step: RunScript) -> Any:
        script, rest = step.script, (len(step.keys), *step.keys, *step.args)
        if self._known.has(script):
            try:
                return await self.client.execute_command("EVALSHA", script.sha, *rest)
            except redis.exceptions.NoScriptError:
                self._known.forget()
        reply = await self.client.execute_command("EVAL", script.text, *rest)
        self._known.learn(script)
        return reply

    async def let_go(self) -> None:
        """Close the idle connections, so that the next call opens a new one."""
        await self.client.connection_pool.disconnect(inuse_connections=False)

    async def drain(self) -> None:
        """Calls under way are ended by ``close``."""

    async def close(self) -> None:
        """Close every connection."""
        await self.client.connection_pool.disconnect()
