"""The specification's client, as its reader checks it: over a real server, and with every kind of bad input."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from enum import Enum
from typing import Any

import pytest
import redis

from cache.async_redis_client import AsyncRedisCacheClient
from cache.metrics import CacheMetrics
from cache.redis_client import RedisCacheClient, create_default_redis_client
from cache.settings import Settings

PATIENT = {"read_deadline": 2, "write_deadline": 2}


@pytest.fixture
def metrics() -> CacheMetrics:
    """Figures of the test's own."""
    return CacheMetrics()


@pytest.fixture
def client(glasscache_url: str, metrics: CacheMetrics) -> Iterator[RedisCacheClient]:
    """A client on an empty server."""
    settings = Settings.of(redis_url=glasscache_url, **PATIENT)
    with RedisCacheClient(settings=settings, recorder=metrics.recorder) as made:
        yield made


def test_text_in_text_out(client: RedisCacheClient) -> None:
    """What is set under a key is exactly what redis-cli sees there."""
    assert client.set("greeting", "héllo\n") is True
    assert client.get("greeting") == "héllo\n"
    assert client.client.get("greeting") == "héllo\n"
    assert client.get("absent") is None


def test_ttls_are_exact(client: RedisCacheClient) -> None:
    """The given TTL, else the default one, without jitter; below a second too."""
    client.set("a", "x", ttl=100)
    client.set("b", "x")
    client.set("c", "x", ttl=1.5)

    assert client.client.ttl("a") == 100
    assert client.client.ttl("b") == 3600
    assert 1400 < client.client.pttl("c") <= 1500


def test_delete_says_whether_there_was_something(client: RedisCacheClient) -> None:
    """True once, then False."""
    client.set("a", "x")

    assert [client.delete("a"), client.delete("a")] == [True, False]


def test_a_pattern_drops_its_keys_and_no_others(client: RedisCacheClient) -> None:
    """``context:task1:*`` drops task1's and leaves ``context:task2:1``."""
    for key in ("context:task1:1", "context:task1:2", "context:task2:1", "mine:x"):
        client.set(key, "x")

    assert client.invalidate_pattern("context:task1:*") == 2
    assert client.get("context:task2:1") == "x"
    assert client.invalidate_pattern("mine:*") == 1
    assert client.invalidate_pattern("nothing:*") == 0


class Unequal(Enum):
    """A value that JSON can be made of and that refuses to be compared."""

    MEMBER = "a"

    def __eq__(self, other: object) -> bool:
        raise ArithmeticError

    __hash__ = Enum.__hash__


def test_json(client: RedisCacheClient) -> None:
    """JSON goes in and comes out; what is no JSON is None, what cannot be JSON is False."""
    value = {"messages": [{"role": "user", "content": "hi"}], "n": 1.5, "none": None}
    assert client.set_json("j", value) is True
    assert client.get_json("j") == value
    client.set("text", "no json {")
    assert client.get_json("text") is None
    assert client.get_json("absent") is None
    for bad in (object(), {1, 2}, {"a": float("nan")}, {1: "a"}, b"bytes", "\ud800", (1, 2), Unequal.MEMBER):
        assert client.set_json("bad", bad) is False
    assert client.get_json("bad") is None


def test_falsy_json_is_a_value(client: RedisCacheClient, metrics: CacheMetrics) -> None:
    """An empty dict is a hit, and so is null, though its answer is None."""
    client.set_json("prompt:empty", {})
    client.set_json("prompt:null", None)

    assert client.get_json("prompt:empty") == {}
    assert client.get_json("prompt:null") is None
    assert (metrics.category_hits, metrics.category_misses) == ({"prompt": 2}, {})


def test_health(client: RedisCacheClient) -> None:
    """Connected, with the server's own keyspace counters."""
    client.get("absent")
    health = client.health_check()

    assert (health["enabled"], health["connected"], health["message"]) == (True, True, "Connected")
    assert isinstance(health["hits"], int)
    assert health["misses"] >= 1


def test_disabled_answers_without_io() -> None:
    """A disabled client caches nothing, and says so as specified."""
    with RedisCacheClient("redis://127.0.0.1:1/0", enabled=False) as client:
        assert client.get("a") is None
        assert client.set("a", "x") is False
        assert client.delete("a") is False
        assert client.invalidate_pattern("a:*") == 0
        assert client.health_check() == {"enabled": False, "connected": False, "message": "Caching disabled"}


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:1/0", "redis://no-such-host.invalid:6379/0", "unix:///nonexistent/redis.sock"]
)
def test_an_unreachable_server_raises_nothing(url: str) -> None:
    """A wrong host or a dead server: no exception, health says so."""
    with RedisCacheClient(url) as client:
        assert client.get("a") is None
        assert client.set("a", "x") is False
        assert client.get_json("a") is None
        health = client.health_check()

    assert (health["enabled"], health["connected"]) == (True, False)
    assert health["message"]


BAD_KEYS: tuple[Any, ...] = ("", None, True, 1, b"k", ["k"], "\ud800", "k" * 70_000)


@pytest.mark.parametrize("key", BAD_KEYS, ids=lambda key: repr(key)[:12])
def test_bad_keys_are_refused_quietly(
    key: Any, client: RedisCacheClient, metrics: CacheMetrics, caplog: pytest.LogCaptureFixture
) -> None:
    """False or None with a warning and a counted error; nothing is sent, and the key is in no log."""
    caplog.set_level(logging.WARNING, "glasscache")

    assert client.get(key) is None
    assert client.set(key, "x") is False
    assert client.delete(key) is False
    assert client.invalidate_pattern(key) == 0
    assert metrics.errors == 4
    assert client.client.dbsize() == 0
    assert len(caplog.records) == 4
    assert "kkkk" not in caplog.text


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), True, 10**12, "60", 2**63])
def test_bad_ttls_are_refused_quietly(ttl: Any, client: RedisCacheClient, metrics: CacheMetrics) -> None:
    """Zero, negative, NaN, a bool, text and more than ten years: False, and a counted error."""
    assert client.set("a", "x", ttl=ttl) is False
    assert metrics.errors == 1
    assert client.client.dbsize() == 0


@pytest.mark.parametrize("value", [None, 1, b"x", ["x"], "\ud800"], ids=repr)
def test_bad_values_are_refused_quietly(value: Any, client: RedisCacheClient, metrics: CacheMetrics) -> None:
    """Text in: anything else is False, and a counted error."""
    assert client.set("a", value) is False
    assert metrics.errors == 1


@pytest.mark.parametrize("key", ["a\r\nb", "a\0b", "{tag}", "..", "🙂", "a b"])
def test_odd_keys_work(key: str, client: RedisCacheClient) -> None:
    """Line ends, NUL, braces and emoji are keys like any other."""
    assert client.set(key, "x") is True
    assert client.get(key) == "x"


def test_corrupt_values_are_a_miss(client: RedisCacheClient, glasscache_url: str, metrics: CacheMetrics) -> None:
    """Bytes that are no text, and keys of another type, raise nothing."""
    with redis.Redis.from_url(glasscache_url) as server:
        server.set("prompt:bytes", b"\xff\xfe")
        server.lpush("prompt:list", "x")

    assert client.get("prompt:bytes") is None
    assert client.get("prompt:list") is None
    assert metrics.summary()["categories"]["prompt"]["miss_reasons"] == {"corrupt": 1}
    assert metrics.errors == 1


def test_categories_follow_the_prefix(client: RedisCacheClient, metrics: CacheMetrics) -> None:
    """context, embed, tool, prompt by their prefix; everything else is other."""
    for key in ("context:t:1", "embed:0123456789abcdef", "tool:x:1", "prompt:x", "mine:x", "plain"):
        client.set(key, "x")
        client.get(key)

    assert metrics.category_hits == {"context": 1, "embedding": 1, "tool": 1, "prompt": 1, "other": 2}
    assert (metrics.sets, metrics.misses, metrics.errors) == (6, 0, 0)


def test_the_default_client_reads_the_settings(glasscache_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """create_default_redis_client is the process's one, made from the environment."""
    monkeypatch.setenv("REDIS_URL", glasscache_url)
    monkeypatch.setenv("CACHE_DEFAULT_TTL", "77")
    monkeypatch.setattr("cache.redis_client._default", None)

    client = create_default_redis_client()

    assert create_default_redis_client() is client
    assert client.set("a", "x")
    assert client.client.ttl("a") == 77
    client.close()


def test_the_twin_answers_alike(glasscache_url: str) -> None:
    """AsyncRedisCacheClient awaits the same names and gives the same answers."""

    async def main() -> list[Any]:
        settings = Settings.of(redis_url=glasscache_url, **PATIENT)
        async with AsyncRedisCacheClient(settings=settings) as client:
            return [
                await client.set("a", "x", ttl=5),
                await client.get("a"),
                await client.set_json("context:t:1", {"n": 1}),
                await client.get_json("context:t:1"),
                await client.invalidate_pattern("context:t:*"),
                await client.delete("a"),
                await client.get(None),  # type: ignore[arg-type]
                (await client.health_check())["connected"],
                await client.client.ping(),
            ]

    assert asyncio.run(main()) == [True, "x", True, {"n": 1}, 1, True, None, True, True]
