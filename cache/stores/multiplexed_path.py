"""The way over connections that all tasks of an event loop share: none waits for another's."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import redis
from redis.asyncio.observability.recorder import record_error_count

from cache.core.steps import Batch, Call, RunScript, StoreStep
from cache.stores.async_packing import Packer
from cache.stores.errors import store_error
from cache.stores.exchange import Exchange
from cache.stores.greeting import KnownScripts
from cache.stores.guard import may_repeat
from cache.stores.lanes import Lanes
from cache.stores.packing import Packed
from telemetry.commands import CommandSpans


class MultiplexedPath:
    """Carries out steps over shared connections, each command or batch in a CLIENT span of its own.

    Args:
        lanes: the connections.
        known: scripts that the server has.
        spans: of what is sent.
    """

    def __init__(self, lanes: Lanes, known: KnownScripts, spans: CommandSpans) -> None:
        self.lanes, self._known, self._spans = lanes, known, spans
        self._packer = Packer()

    async def carry_out(self, step: StoreStep, call: Exchange) -> Any:
        """Carry out a step, once more when its connection broke and nothing speaks against it.

        Raises:
            Exception: the driver's or the system's.
        """
        try:
            return await self._send(step, call)
        except Exception as error:
            if not (may_repeat(call, error, step.idempotent) or never_went(call)):
                if call.bystander and call.left() <= 0:
                    raise TimeoutError("the deadline has passed") from None
                raise
            call.bystander = False
        return await self._send(step, call)

    def _send(self, step: StoreStep, call: Exchange) -> Coroutine[Any, Any, Any]:
        if isinstance(step, Call):
            return self._one(step.args, call)
        if isinstance(step, Batch):
            return self._batch(step, call)
        return self._script(step, call)

    async def _one(self, args: tuple[Any, ...], call: Exchange) -> Any:
        span = self._spans.start((args,))
        if span is None:
            # this is the way of nearly every call: as _exchange, without a coroutine more
            data = self._packer.pack(args)
            lane = self.lanes.ready(data, call)
            if lane is not None:
                reply = await lane.submit(call, data, None)
                if isinstance(reply, Exception):
                    await self.note(reply)
                    raise reply
                return reply
            return await self._exchange(data, None, call)
        try:
            reply = await self._exchange(self._packer.pack(args), None, call)
        except BaseException as error:
            span.finish(error)
            raise
        span.finish(None, reply)
        return reply

    async def _batch(self, step: Batch, call: Exchange) -> list[Any]:
        if not step.commands:
            return []
        span = self._spans.start(step.commands, pipeline=True)
        try:
            replies = await self._exchange(self._packer.pack_all(step.commands), len(step.commands), call)
        except BaseException as error:
            if span is not None:
                span.finish(error)
            raise
        if span is not None:
            span.finish(None, replies)
        return [store_error(reply) if isinstance(reply, Exception) else reply for reply in replies]

    async def _script(self, step: RunScript, call: Exchange) -> Any:
        script, rest = step.script, (b"%d" % len(step.keys), *step.keys, *step.args)
        if self._known.has(script):
            try:
                return await self._one(("EVALSHA", script.sha, *rest), call)
            except redis.exceptions.NoScriptError:
                self._known.forget()
        reply = await self._one(("EVAL", script.text, *rest), call)
        self._known.learn(script)
        return reply

    async def _exchange(self, data: Packed, count: int | None, call: Exchange) -> Any:
        """Send packed commands; the reply, or the list of replies.

        Raises:
            Exception: the reply is an error, or there is none.
        """
        lane = self.lanes.ready(data, call) or await self.lanes.connected(call)
        reply = await lane.submit(call, data, count)
        if isinstance(reply, Exception):
            await self.note(reply)
            raise reply
        return reply

    async def note(self, error: Exception) -> None:
        """Count it among redis-py's own errors. Source: redis-py 8.1, ``Redis.execute_command``."""
        host, port = self.lanes.address
        await record_error_count(host, port, host, port, error, 0, False)

    async def let_go(self) -> None:
        """Use new connections from now on."""
        self.lanes.retire()

    async def drain(self) -> None:
        """Wait for the calls under way."""
        await self.lanes.drain()

    async def close(self) -> None:
        """Close every connection."""
        await self.lanes.close()


def never_went(call: Exchange) -> bool:
    """It was still waiting to be sent when its connection ended by another's trouble: then even a write may go."""
    return call.bystander and not call.sent and call.left() > 0
