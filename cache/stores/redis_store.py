"""The store that blocks: bounded connections to Redis or Valkey, behind a breaker."""

from __future__ import annotations

import select
import threading
from typing import Any

import redis

from cache.clock import Clock, Deadline
from cache.core.breaker import Breaker
from cache.core.steps import StoreStep
from cache.errors import StoreError
from cache.stores.connection import new_client
from cache.stores.exchange import Exchange
from cache.stores.forking import in_forked_child
from cache.stores.greeting import Greeting, Identity, KnownScripts
from cache.stores.guard import Guard, others_are_suspect
from cache.stores.held_path import HeldPath
from cache.stores.options import StoreOptions
from cache.stores.path import Path
from cache.stores.plain_path import PlainPath
from cache.stores.rack import Rack
from cache.stores.straight import Straight
from cache.stores.urls import StoreURL
from telemetry.commands import CommandSpans
from telemetry.vocabulary import BreakerState, ErrorType


class RedisStore:
    """Carries out steps on Redis or Valkey; safe for threads, begins anew in a forked child.

    Args:
        url: where.
        options: its limits.
        breaker: guards it.
        clock: of the time that ``close`` may take.
        spans: makes the spans of commands that do not go through redis-py's client.

    Attributes:
        straight: asks without a step; None where there is no held connection.
    """

    def __init__(
        self, url: StoreURL, options: StoreOptions, *, breaker: Breaker, clock: Clock, spans: CommandSpans
    ) -> None:
        self._url, self._options, self._clock, self._breaker, self._spans = url, options, clock, breaker, spans
        self._guard = Guard(breaker, options.ceiling_s)
        self._identity = Identity()
        self._greeting = Greeting(
            url.db, url.username, url.secret, options.client_name, self._identity, primary_only=url.primary_only
        )
        self._known = KnownScripts(self._identity)
        self._lock = threading.Lock()
        self._public: redis.Redis | None = None
        self._closed = False
        self.straight: Straight | None = None
        self._path = self._new_path()
        in_forked_child(self._begin_anew)

    def _new_path(self) -> Path:
        client, count = (
            new_client(self._url, self._options, self._greeting, decode=False),
            self._options.max_connections,
        )
        if self._options.fast_path and hasattr(select, "poll"):
            rack = Rack(client.connection_pool, count, self._options.max_reply_bytes)
            path = HeldPath(rack, self._known, self._spans)
            self.straight = Straight(rack, path, self._guard, self._clock, self._look_elsewhere)
            return path
        return PlainPath(client, self._known, count)

    def _begin_anew(self) -> None:
        """In a forked child: another thread of the parent may have held any lock."""
        self._lock = threading.Lock()
        self._breaker.begin_anew()
        self._path = self._new_path()
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
            reply = self._path.carry_out(step, call)
        except Exception as error:
            trouble = self._guard.failed(call, error)
            self._look_elsewhere(call, trouble)
            raise trouble from None
        except BaseException:
            self._guard.abandoned(call)
            raise
        self._guard.answered(call)
        return reply

    def _look_elsewhere(self, call: Exchange, trouble: StoreError) -> None:
        """Let idle connections go: a demoted primary's, whose name is resolved again, and those that may be dead."""
        demoted = trouble.kind is ErrorType.READONLY and self._url.scheme != "unix"
        if demoted or others_are_suspect(call, trouble):
            self._path.let_idle_go()

    def close(self, seconds: float = 1.0) -> None:
        """Wait at most ``seconds`` for calls under way, then close every connection; later calls are refused."""
        self._closed = True
        self._path.close(Deadline(self._clock, max(seconds, 1e-9)))
        if self._public is not None:
            self._public.connection_pool.disconnect()
