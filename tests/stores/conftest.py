"""A real server that these tests may freeze, kill and reconfigure, and both drivers behind one face."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from cache.clock import Deadline, SystemClock
from cache.core.steps import Batch, Call, Lua, RunScript, StoreStep
from cache.errors import StoreError
from cache.stores.async_redis_store import AsyncRedisStore
from cache.stores.connect import StoreOptions, open_async_store, open_store
from cache.stores.redis_store import RedisStore
from cache.testing import EmbeddedServer, RoundTripProxy
from telemetry.vocabulary import BreakerState

CLOCK = SystemClock()


class Driver:
    """One of the two stores; the awaiting one runs in an event loop that lives as long as the test."""

    def __init__(self, kind: str, url: str, options: StoreOptions) -> None:
        self._ended = False
        self.states: list[BreakerState] = []
        self._runner = asyncio.Runner() if kind.startswith("async") else None
        opener: Any = open_store if self._runner is None else open_async_store
        self.store: RedisStore | AsyncRedisStore = opener(
            url, options, on_breaker=lambda _, state: self.states.append(state), clock=CLOCK
        )

    def execute(self, step: StoreStep) -> Any:
        if self._runner is None:
            return self.store.execute(step)
        return self._runner.run(self.store.execute(step))

    def call(self, *args: bytes | str | int, seconds: float = 1.0, idempotent: bool = True) -> Any:
        return self.execute(Call(args, Deadline(CLOCK, seconds), idempotent))

    def batch(self, *commands: tuple[bytes | str | int, ...], seconds: float = 1.0) -> Any:
        return self.execute(Batch(commands, Deadline(CLOCK, seconds), True))

    def script(self, text: str, *keys: str, args: tuple[bytes | str | int, ...] = (), seconds: float = 1.0) -> Any:
        return self.execute(RunScript(Lua("test", text), keys, args, Deadline(CLOCK, seconds)))

    def trouble(self, *args: bytes | str | int, seconds: float = 0.05, idempotent: bool = True) -> StoreError:
        """The error that a call ends with; the test fails when it has none."""
        with pytest.raises(StoreError) as caught:
            self.call(*args, seconds=seconds, idempotent=idempotent)
        return caught.value

    def until_answered(self, *args: bytes | str | int, within_s: float = 2.0) -> Any:
        """Call until it answers."""
        give_up = time.monotonic() + within_s
        while True:
            try:
                return self.call(*args, seconds=0.2)
            except StoreError:
                if time.monotonic() > give_up:
                    raise

    def close(self) -> None:
        if isinstance(self.store, RedisStore):
            self.store.close()
        elif self._runner is not None and not self._ended:
            self._ended = True
            self._runner.run(self.store.aclose())
            self._runner.close()


OpenDriver = Callable[..., Driver]


@pytest.fixture(scope="session")
def session_server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(port=0) as server:
        yield server


@pytest.fixture
def server(session_server: EmbeddedServer) -> EmbeddedServer:
    """A server that is awake and empty."""
    session_server.start()
    with redis.Redis(unix_socket_path=session_server.socket) as client:
        client.flushall()
        client.script_flush()
    return session_server


@pytest.fixture
def own_server() -> Iterator[EmbeddedServer]:
    """A server whose configuration this test may spoil."""
    with EmbeddedServer(port=0) as server:
        yield server


@pytest.fixture
def admin(own_server: EmbeddedServer) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=own_server.socket, single_connection_client=True) as client:
        yield client


@pytest.fixture
def proxy(server: EmbeddedServer) -> Iterator[RoundTripProxy]:
    with RoundTripProxy(server.url) as proxy:
        yield proxy


@pytest.fixture(params=["sync", "sync, plain path", "async"])
def open_driver(request: pytest.FixtureRequest) -> Iterator[OpenDriver]:
    """Opens a driver by URL; runs each test over both, and over the plain path."""
    opened: list[Driver] = []

    def opener(url: str, **limits: Any) -> Driver:
        options = StoreOptions(fast_path="plain" not in request.param, **limits)
        opened.append(Driver(request.param, url, options))
        return opened[-1]

    yield opener
    for driver in opened:
        driver.close()
