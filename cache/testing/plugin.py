"""A pytest plugin: a real server for the session, emptied for each test, and what was recorded.

Installed with ``glasscache[testing]``; every fixture makes what it gives at its first use only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from cache.layer import Cache
    from cache.stores.embedded import EmbeddedServer
    from cache.testing.clock import ManualClock
    from cache.testing.stores import FailingStore
    from telemetry.testing import Captured


@pytest.fixture(scope="session")
def glasscache_server() -> Iterator[EmbeddedServer]:
    """A real Valkey of this session's own."""
    from cache.stores.embedded import EmbeddedServer

    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def glasscache_url(glasscache_server: EmbeddedServer) -> str:
    """URL of the session's server, which is empty and awake."""
    import redis

    from cache.errors import EmbeddedServerError

    with suppress(EmbeddedServerError):  # a test may have frozen it, or killed it
        glasscache_server.thaw()
    glasscache_server.start()
    with redis.Redis(unix_socket_path=glasscache_server.socket) as client:
        client.flushall()
    return glasscache_server.url


@pytest.fixture
def manual_clock() -> ManualClock:
    """A clock that stands still until it is told to tick."""
    from cache.testing.clock import ManualClock

    return ManualClock()


@pytest.fixture
def failing_store(glasscache_url: str) -> Iterator[FailingStore]:
    """A store on the session's server that fails on command."""
    from cache.clock import SystemClock
    from cache.stores.connect import StoreOptions, open_store
    from cache.testing.stores import FailingStore

    store = FailingStore(open_store(glasscache_url, StoreOptions(), on_breaker=lambda *_: None, clock=SystemClock()))
    yield store
    store.close()


@pytest.fixture
def glasscache_telemetry() -> Captured:
    """Captured spans and metrics, with fixed ids and a clock that ticks."""
    from telemetry.testing import Captured

    return Captured()


@pytest.fixture
def glasscache_cache(glasscache_url: str, glasscache_telemetry: Captured) -> Iterator[Cache]:
    """A cache on the session's server whose telemetry is captured; a busy machine does not look like a slow store."""
    from cache.layer import Cache

    recorder = glasscache_telemetry.recorder()
    with Cache.from_url(glasscache_url, recorder=recorder, read_deadline=2, write_deadline=2) as cache:
        yield cache


@pytest.fixture
def captured_spans(glasscache_telemetry: Captured) -> Callable[..., list[ReadableSpan]]:
    """Gives the ended spans, by name when one is given."""
    return glasscache_telemetry.spans


@pytest.fixture
def captured_metrics(glasscache_telemetry: Captured) -> Callable[[str], dict[tuple[tuple[str, Any], ...], Any]]:
    """Gives a metric's points by their attributes."""
    return glasscache_telemetry.points
