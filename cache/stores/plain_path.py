"""The way through redis-py's own client: slower, for comparison and where there is no hiredis or poll."""

from __future__ import annotations

from typing import Any

import redis

from cache.clock import Deadline
from cache.core.steps import Batch, Call, RunScript, StoreStep
from cache.errors import StoreError
from cache.stores.errors import store_error
from cache.stores.exchange import CURRENT, Exchange
from cache.stores.greeting import KnownScripts
from cache.stores.guard import may_repeat
from cache.stores.slots import Slots
from telemetry.vocabulary import ErrorType


class PlainPath:
    """Sends each step by redis-py's client.

    Args:
        client: a client over bounded connections.
        known: which scripts the server has.
        count: calls under way at a time.
    """

    def __init__(self, client: redis.Redis, known: KnownScripts, count: int) -> None:
        self._redis: Any = client
        self._redis.response_callbacks.clear()
        self._known, self._count = known, count
        self._slots = Slots(count)

    def carry_out(self, step: StoreStep, call: Exchange) -> Any:
        """Wait for the right to a connection, within the deadline, then send."""
        if not self._slots.acquire(call.left()):
            raise StoreError(ErrorType.POOL_EXHAUSTED, sent_nothing=True)
        call.began = call.deadline.remaining()
        outer = CURRENT.set(call)
        try:
            return self._attempt(step, call)
        finally:
            CURRENT.reset(outer)
            self._slots.release()

    def _attempt(self, step: StoreStep, call: Exchange) -> Any:
        try:
            return self._send(step)
        except Exception as error:
            if not may_repeat(call, error, step.idempotent):
                raise
        return self._send(step)

    def _send(self, step: StoreStep) -> Any:
        if isinstance(step, Call):
            return self._redis.execute_command(*step.args)
        if isinstance(step, Batch):
            return self._send_batch(step)
        return self._send_script(step)

    def _send_batch(self, step: Batch) -> list[Any]:
        pipeline = self._redis.pipeline(transaction=False)
        for command in step.commands:
            pipeline.execute_command(*command)
        replies = pipeline.execute(raise_on_error=False)
        return [store_error(reply) if isinstance(reply, Exception) else reply for reply in replies]

    def _send_script(self, step: RunScript) -> Any:
        script, rest = step.script, (len(step.keys), *step.keys, *step.args)
        if self._known.has(script):
            try:
                return self._redis.execute_command("EVALSHA", script.sha, *rest)
            except redis.exceptions.NoScriptError:
                self._known.forget()
        reply = self._redis.execute_command("EVAL", script.text, *rest)
        self._known.learn(script)
        return reply

    def let_idle_go(self) -> None:
        """Close the connections that nobody uses."""
        self._redis.connection_pool.disconnect(inuse_connections=False)

    def close(self, deadline: Deadline) -> None:
        """Wait for the calls under way until ``deadline``, then close every connection."""
        taken = 0
        while taken < self._count and self._slots.acquire(deadline.remaining()):
            taken += 1
        for _ in range(taken):
            self._slots.release()
        self._redis.connection_pool.disconnect()
