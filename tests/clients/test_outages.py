"""The store frozen, killed, restarted: the caller never sees an error, and the cache comes back by itself."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator

import pytest
from support.faces import Stage

from cache import MISS, AsyncCache, Cache, RedisCacheClient
from cache.testing import EmbeddedServer

pytestmark = pytest.mark.usefixtures("either_path")


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    """A server of the test's own, to be broken."""
    with EmbeddedServer() as running:
        yield running


def until(holds: Callable[[], bool], seconds: float) -> float:
    """Ask until it holds; how long that took. Fails after ``seconds``."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, "it did not come back in time"
        time.sleep(0.005)
    return time.monotonic() - began


def test_50_calls_on_a_frozen_server_are_quick(server: EmbeddedServer) -> None:
    """50 calls on a frozen server take under 100 ms altogether, and each gets the computation's value."""
    with Cache.from_url(server.url) as cache:
        assert cache.get_or_compute("prompt", "k", lambda: 1) == 1
        server.freeze()
        try:
            began = time.perf_counter()
            values = [cache.get_or_compute("prompt", f"k{n}", lambda: 2) for n in range(50)]
            took = time.perf_counter() - began
        finally:
            server.thaw()

        assert values == [2] * 50
        assert took < 0.1
        until(lambda: cache.get("prompt", "k") == 1, 2)


def test_50_awaited_calls_on_a_frozen_server_are_quick(server: EmbeddedServer) -> None:
    """The same for the async twin."""

    async def main() -> float:
        async with AsyncCache.from_url(server.url) as cache:
            assert await cache.get_or_compute("prompt", "k", lambda: 1) == 1
            server.freeze()
            try:
                began = time.perf_counter()
                for n in range(50):
                    assert await cache.get_or_compute("prompt", f"k{n}", lambda: 2) == 2
                return time.perf_counter() - began
            finally:
                server.thaw()

    assert asyncio.run(main()) < 0.1


def test_a_killed_server_harms_nobody_and_comes_back(server: EmbeddedServer, caplog: pytest.LogCaptureFixture) -> None:
    """While the server is dead every call works uncached; after a restart hits are back within 2 s."""
    stage = Stage("sync", server.url)
    cache = stage.cache.cache
    caplog.set_level(logging.INFO, "glasscache")
    cache.set("prompt", "k", 1)
    server.kill()

    for n in range(30):
        assert cache.get_or_compute("prompt", "k", lambda n=n: n) == n
        assert cache.get("prompt", "k") is MISS
        assert cache.set("prompt", "k", 1) is False
        assert cache.get_many("prompt", ["a", "b"]) == [MISS, MISS]
        assert cache.delete("prompt", "k") is False
        assert cache.invalidate(tags=["t"]) == 0
    assert cache.health()["connected"] is False
    errors = stage.telemetry.value("cache.errors")
    misses = stage.count("miss")

    server.start()
    took = until(lambda: cache.get_or_compute("prompt", "new", lambda: 5) == 5 and cache.get("prompt", "new") == 5, 2)

    assert took < 2
    assert errors == 30 * 6 + 1
    assert misses == 0
    opened = [record for record in caplog.records if "breaker is open" in record.getMessage()]
    assert 1 <= len(opened) <= 10
    cache.close()


def test_an_invalidation_in_an_outage_is_made_good(server: EmbeddedServer) -> None:
    """What was invalidated while the store was frozen is not served after it is back."""
    with Cache.from_url(server.url) as cache:
        cache.set("context", ("t", 1), "old")
        server.freeze()
        assert cache.invalidate(tags=["task:t"]) == 0
        assert cache.pending
        server.thaw()
        until(lambda: not cache.pending or (cache.get("context", ("t", 1)) != "old" and not cache.pending), 2)

        assert cache.get("context", ("t", 1)) is MISS


def test_a_full_server_still_takes_invalidations(server: EmbeddedServer) -> None:
    """Without memory for a new token the old one is forgotten: what was invalidated is gone, what was not is served."""
    import redis

    with (
        redis.Redis(unix_socket_path=server.socket) as admin,
        Cache.from_url(server.url, read_deadline=2, write_deadline=2) as cache,
    ):
        cache.set("prompt", "k", "old", tags=["red"])
        cache.set("static", "k", "kept")
        admin.config_set("maxmemory-policy", "noeviction")
        admin.config_set("maxmemory", 1)

        assert cache.set("prompt", "other", 1) is False
        assert cache.invalidate(tags=["red"]) == 1
        assert not cache.pending
        assert cache.get("prompt", "k") is MISS
        assert cache.get("static", "k") == "kept"
        admin.config_set("maxmemory", 1 << 28)
        assert cache.get("prompt", "k") is MISS
        assert cache.get_or_compute("prompt", "k", lambda: "new") == "new"
        assert cache.get("prompt", "k") == "new"


def test_a_restart_from_disk_brings_nothing_back() -> None:
    """A server that restarts with its data is another server: everything is cold, nothing old."""
    with EmbeddedServer() as first:
        with Cache.from_url(first.url, read_deadline=2, write_deadline=2) as cache:
            cache.set("prompt", "k", "old")
            import redis

            with redis.Redis.from_url(first.url) as client:
                dump = {name: client.dump(name) for name in client.keys("*")}
            first.kill()
            first.start()
            with redis.Redis.from_url(first.url) as client:
                for name, value in dump.items():
                    client.restore(name, 0, value)
            until(lambda: cache.health()["connected"], 2)

            assert cache.get("prompt", "k") is MISS
            assert cache.get_or_compute("prompt", "k", lambda: "new") == "new"
            assert cache.get("prompt", "k") == "new"


def test_disabled_is_a_bypass() -> None:
    """With CACHE_ENABLED=false nothing is asked of any server, and calls are counted as bypasses."""
    stage = Stage("sync", "redis://127.0.0.1:1/0", enabled=False)
    cache = stage.cache.cache

    assert cache.get("prompt", "k") is MISS
    assert cache.get_or_compute("prompt", "k", lambda: 3) == 3
    assert cache.get_or_compute_many("prompt", ["a", "b"], lambda keys: [1, 2]) == [1, 2]
    assert cache.set("prompt", "k", 1) is False
    assert cache.health() == {"enabled": False, "connected": False, "message": "Caching disabled"}
    assert stage.count("bypass") == 4
    assert stage.telemetry.value("cache.errors") == 0
    cache.close()


def test_the_plain_client_survives_too(server: EmbeddedServer) -> None:
    """RedisCacheClient answers None, False and 0 while the server is gone, and works again afterwards."""
    with RedisCacheClient(server.url) as client:
        assert client.set("prompt:a", "x")
        server.kill()
        assert (client.get("prompt:a"), client.set("prompt:a", "y"), client.delete("prompt:a")) == (None, False, False)
        assert client.invalidate_pattern("prompt:*") == 0
        assert client.health_check()["connected"] is False
        server.start()
        until(lambda: client.set("prompt:a", "z"), 2)
        assert client.get("prompt:a") == "z"
