"""pytest fixtures for applications, found by pytest once glasscache is installed.

``glasscache_server`` (a real Valkey, one a session), ``glasscache_url`` (the same, emptied for each
test), ``glasscache_cache``, ``glasscache_telemetry`` (spans and metrics), ``failing_store``, ``manual_clock``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cache.layer import Cache
    from cache.stores.embedded import EmbeddedServer
    from cache.testing.clock import ManualClock
    from cache.testing.stores import FailingStore
    from telemetry.testing import Captured


@pytest.fixture(scope="session")
def glasscache_server() -> Iterator[EmbeddedServer]:
    """A Valkey server for the whole session."""
    from cache.stores.embedded import EmbeddedServer

    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def glasscache_url(glasscache_server: EmbeddedServer) -> str:
    """URL of the session's server, which holds nothing when the test begins."""
    import redis

    with redis.Redis.from_url(glasscache_server.url) as client:
        client.flushall()
    return glasscache_server.url


@pytest.fixture
def glasscache_telemetry() -> Captured:
    """Captured spans and metrics, with fixed ids and a clock that ticks."""
    from telemetry.testing import Captured

    return Captured()


@pytest.fixture
def manual_clock() -> ManualClock:
    """A clock that the test moves."""
    from cache.testing.clock import ManualClock

    return ManualClock()


@pytest.fixture
def glasscache_cache(glasscache_url: str, glasscache_telemetry: Captured) -> Iterator[Cache]:
    """A cache on the session's server whose telemetry is captured."""
    from cache.layer import Cache

    with Cache.from_url(glasscache_url, recorder=glasscache_telemetry.recorder()) as cache:
        yield cache


@pytest.fixture
def failing_store(glasscache_url: str) -> Iterator[FailingStore]:
    """A real store that fails when the test says so."""
    from cache.clock import SystemClock
    from cache.stores.connect import StoreOptions, open_store
    from cache.testing.stores import FailingStore

    store = FailingStore(
        open_store(glasscache_url, StoreOptions(), on_breaker=lambda _store, _state: None, clock=SystemClock())
    )
    yield store
    store.close()
