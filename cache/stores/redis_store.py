"""The store that blocks: redis-py with bounded connections, behind a breaker."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

import redis

from cache.clock import Clock
from cache.core.breaker import COUNTED, Breaker, Permit
from cache.core.steps import Batch, Call, RunScript, StoreStep
from cache.errors import StoreError
from cache.stores import connection as connections
from cache.stores.connection import Deadlines, Identity
from cache.stores.errors import store_error
from cache.stores.urls import StoreURL
from telemetry.vocabulary import BreakerState, ErrorType

_CLASSES = {
    "redis": connections.TCPConnection,
    "rediss": connections.TLSConnection,
    "unix": connections.UnixConnection,
}

SLOW = 0.8
"""Share of its deadline beyond which an answered call counts as slow."""


class RedisStore:
    """Carries out steps on Redis or Valkey; safe for threads, begins anew in a forked child.

    Args:
        url: where.
        breaker: guards it.
        clock: of the deadlines.
        max_connections: how many calls can be under way at a time.
    """

    def __init__(self, url: StoreURL, breaker: Breaker, clock: Clock, max_connections: int = 64) -> None:
        self._url, self._breaker, self._clock, self._limit = url, breaker, clock, max_connections
        self._deadlines, self._identity = Deadlines(), Identity()
        self._scripts: set[tuple[bytes, str]] = set()
        self._pool = redis.ConnectionPool(
            connection_class=_CLASSES[url.scheme],
            max_connections=2 * max_connections,
            deadlines=self._deadlines,
            identity=self._identity,
            retry=connections.no_retry(),
            **connections.options(url),
        )
        self._redis = redis.Redis(connection_pool=self._pool)
        self._redis.response_callbacks.clear()
        self._public: redis.Redis | None = None
        self._slots = threading.BoundedSemaphore(max_connections)
        if hasattr(os, "register_at_fork"):
            renew = weakref.WeakMethod(self._after_fork)
            os.register_at_fork(after_in_child=lambda: (method := renew()) and method())

    def _after_fork(self) -> None:
        self._slots = threading.BoundedSemaphore(self._limit)

    @property
    def client(self) -> redis.Redis:
        """A redis-py client of the same server, for the application; decodes text, retries nothing."""
        if self._public is None:
            self._public = redis.Redis(
                connection_pool=redis.ConnectionPool(
                    connection_class=_CLASSES[self._url.scheme],
                    deadlines=self._deadlines,
                    identity=self._identity,
                    retry=connections.no_retry(),
                    decode_responses=True,
                    **connections.options(self._url),
                )
            )
        return self._public

    def identity(self) -> bytes:
        """Eight bytes that name the server of the newest connection."""
        return self._identity.value

    def breaker_state(self) -> BreakerState:
        """State of the breaker."""
        return self._breaker.state

    def execute(self, step: StoreStep) -> Any:
        """Carry out one step within its deadline.

        Raises:
            StoreError: it could not be.
        """
        permit = self._breaker.enter()
        if permit is Permit.REFUSED:
            raise StoreError(ErrorType.BREAKER_OPEN, sent_nothing=True)
        try:
            reply = self._with_slot(step)
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

    def _with_slot(self, step: StoreStep) -> Any:
        """Wait for one of the connections, within the deadline."""
        if not self._slots.acquire(blocking=False) and not self._slots.acquire(timeout=max(0.0, step.deadline.remaining())):
            raise StoreError(ErrorType.POOL_EXHAUSTED, sent_nothing=True)
        slots = self._slots
        outer = self._deadlines.current
        self._deadlines.current, self._deadlines.heard = step.deadline, False
        try:
            return self._attempt(step)
        finally:
            self._deadlines.current = outer
            slots.release()

    def _attempt(self, step: StoreStep) -> Any:
        """Once; an idempotent step again, once, when its connection broke before the deadline."""
        try:
            return self._send(step)
        except (redis.ConnectionError, OSError) as error:
            again = step.idempotent and not isinstance(error, redis.AuthenticationError | TimeoutError)
            if not again or store_error(error).kind is not ErrorType.REFUSED or step.deadline.remaining() <= 0:
                raise store_error(error, silent=not self._deadlines.heard) from None
        except redis.RedisError as error:
            raise store_error(error, silent=not self._deadlines.heard) from None
        try:
            return self._send(step)
        except (redis.RedisError, OSError) as error:
            raise store_error(error, silent=not self._deadlines.heard) from None

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
        script, known = step.script, (self._identity.value, step.script.sha)
        arguments = (len(step.keys), *step.keys, *step.args)
        if known in self._scripts:
            try:
                return self._redis.execute_command("EVALSHA", script.sha, *arguments)
            except redis.exceptions.NoScriptError:
                self._scripts.discard(known)
        reply = self._redis.execute_command("EVAL", script.text, *arguments)
        self._scripts.add((self._identity.value, script.sha))
        return reply

    def close(self, seconds: float = 1.0) -> None:
        """Close every connection."""
        self._pool.disconnect()
        if self._public is not None:
            self._public.connection_pool.disconnect()
