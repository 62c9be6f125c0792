"""The store that blocks: redis-py with bounded connections, behind a breaker."""

from __future__ import annotations

import threading
from typing import Any

import redis

from cache.clock import Clock, Deadline
from cache.core.breaker import Breaker
from cache.core.steps import Batch, Call, RunScript, StoreStep
from cache.errors import StoreError
from cache.stores.connection import new_client
from cache.stores.errors import store_error
from cache.stores.exchange import CURRENT, Exchange
from cache.stores.forking import in_forked_child
from cache.stores.greeting import Greeting, Identity, KnownScripts
from cache.stores.guard import Guard, may_repeat
from cache.stores.options import StoreOptions
from cache.stores.slots import Slots
from cache.stores.urls import StoreURL
from telemetry.vocabulary import BreakerState, ErrorType


class RedisStore:
    """Carries out steps on Redis or Valkey; safe for threads, begins anew in a forked child.

    Args:
        url: where.
        options: its limits.
        breaker: guards it.
        clock: of the time that ``close`` may take.
    """

    def __init__(self, url: StoreURL, options: StoreOptions, *, breaker: Breaker, clock: Clock) -> None:
        self._url, self._options, self._clock, self._breaker = url, options, clock, breaker
        self._guard = Guard(breaker, options.ceiling_s)
        self._identity = Identity()
        self._known = KnownScripts(self._identity)
        self._greeting = Greeting(url.db, url.username, url.password, options.client_name, self._identity)
        self._lock = threading.Lock()
        self._public: redis.Redis | None = None
        self._closed = False
        self._connect_anew()
        in_forked_child(self._begin_anew)

    def _connect_anew(self) -> None:
        self._slots = Slots(self._options.max_connections)
        self._redis: Any = new_client(self._url, self._options, self._greeting, decode=False)
        self._redis.response_callbacks.clear()

    def _begin_anew(self) -> None:
        """In a forked child: another thread of the parent may have held any lock."""
        self._lock = threading.Lock()
        self._breaker.begin_anew()
        self._connect_anew()
        if self._public is not None:
            self._public.connection_pool = self._new_public().connection_pool

    @property
    def client(self) -> redis.Redis:
        """A redis-py client of the same server, for the application; retries nothing, and its calls raise."""
        with self._lock:
            if self._public is None:
                self._public = self._new_public()
            return self._public

    def _new_public(self) -> redis.Redis:
        return new_client(self._url, self._options, self._greeting, decode=self._options.decode)

    def identity(self) -> bytes:
        """Eight bytes that name the server of the newest connection."""
        return self._identity.value

    def breaker_state(self) -> BreakerState:
        """State of the breaker."""
        return self._guard.state

    def execute(self, step: StoreStep) -> Any:
        """Carry out one step within its deadline.

        Raises:
            StoreError: it could not be.
        """
        if self._closed:
            raise StoreError(ErrorType.REFUSED, "the store is closed", sent_nothing=True)
        call = self._guard.admit(step.deadline)
        try:
            reply = self._in_slot(step, call)
        except Exception as error:
            trouble = self._guard.failed(call, error)
            self._look_elsewhere(trouble)
            raise trouble from None
        except BaseException:
            self._guard.abandoned(call)
            raise
        self._guard.answered(call)
        return reply

    def _in_slot(self, step: StoreStep, call: Exchange) -> Any:
        """Wait for the right to a connection, within the deadline."""
        slots = self._slots
        if not slots.acquire(call.left()):
            raise StoreError(ErrorType.POOL_EXHAUSTED, sent_nothing=True)
        call.began = call.deadline.remaining()
        outer = CURRENT.set(call)
        try:
            return self._attempt(step, call)
        finally:
            CURRENT.reset(outer)
            slots.release()

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

    def _look_elsewhere(self, trouble: StoreError) -> None:
        """A demoted primary: let idle connections go, so that the next call resolves the name again."""
        if trouble.kind is ErrorType.READONLY and self._url.scheme != "unix":
            self._redis.connection_pool.disconnect(inuse_connections=False)

    def close(self, seconds: float = 1.0) -> None:
        """Wait at most ``seconds`` for calls under way, then close every connection; later calls are refused."""
        self._closed = True
        slots, end, taken = self._slots, Deadline(self._clock, max(seconds, 1e-9)), 0
        while taken < self._options.max_connections and slots.acquire(end.remaining()):
            taken += 1
        for _ in range(taken):
            slots.release()
        self._redis.connection_pool.disconnect()
        if self._public is not None:
            self._public.connection_pool.disconnect()
