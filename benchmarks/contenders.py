"""Who is measured: bare redis-py as the base, and the cache itself. ``benchmarks/peers.py`` has the others.

A job is opened once and gives the call that is measured; it stores the value first and does nothing
else that the call would find done.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import redis
import redis.asyncio

from benchmarks.cases import TTL_S, Case

BATCH = 50
"""Keys of a batch."""

TAGS = ("task:benchmark", "team:search")


@dataclass(frozen=True, slots=True)
class Job:
    """A call that is measured.

    Args:
        call: without arguments; of an async job a coroutine function.
        asynchronous: whether it is awaited.
        absent: what the call gives when there is nothing: then the row is void.
        check: True for a right answer; asked once, before measuring.
    """

    call: Callable[[], Any]
    check: Callable[[Any], bool]
    asynchronous: bool = False
    absent: Any = None


Opener = Callable[[str, Case], Job | Awaitable[Job]]


@dataclass(frozen=True, slots=True)
class Contender:
    """One way of caching.

    Args:
        name: part of row names.
        title: for people.
        jobs: by name: hit, async, many, set, miss.
        setup: whose telemetry it runs under: ``ours``, ``standard`` (SDK and Redis instrumentation as they come).
        cases: what it can keep.
        environ: variables that its process runs with.
    """

    name: str
    title: str
    jobs: Mapping[str, Opener]
    setup: str = "standard"
    cases: tuple[str, ...] = ("json200", "json2k", "embedding")
    environ: Mapping[str, str] = field(default_factory=dict)


def base_hit(url: str, case: Case) -> Job:
    """GET of the bytes, undecoded."""
    client = redis.Redis.from_url(url)
    client.set("base:hit", case.raw, ex=TTL_S)
    return Job(lambda: client.get("base:hit"), lambda got: got == case.raw)


async def base_async(url: str, case: Case) -> Job:
    """The same through redis.asyncio."""
    client = redis.asyncio.Redis.from_url(url)
    await client.set("base:async", case.raw, ex=TTL_S)
    return Job(lambda: client.get("base:async"), lambda got: got == case.raw, True)


def base_many(url: str, case: Case) -> Job:
    """MGET of a batch."""
    client = redis.Redis.from_url(url)
    names = [f"base:many:{n}" for n in range(BATCH)]
    for name in names:
        client.set(name, case.raw, ex=TTL_S)
    return Job(lambda: client.mget(names), lambda got: got == [case.raw] * BATCH)


def base_set(url: str, case: Case) -> Job:
    """SET with a time to live."""
    client = redis.Redis.from_url(url)
    return Job(lambda: client.set("base:set", case.raw, ex=TTL_S), bool)


def base_miss(url: str, case: Case) -> Job:
    """GET of what is not there, then SET."""
    client, numbers = redis.Redis.from_url(url), itertools.count()

    def call() -> Any:
        name = f"base:miss:{next(numbers)}"
        return client.get(name) is None and client.set(name, case.raw, ex=TTL_S)

    return Job(call, bool)


BASE = Contender(
    "base",
    "bare redis-py",
    {"hit": base_hit, "async": base_async, "many": base_many, "set": base_set, "miss": base_miss},
)


class Ours:
    """The cache, opened with ``settings`` beside its URL and with nothing else that is not the default."""

    def __init__(self, **settings: Any) -> None:
        self._settings = settings

    def hit(self, url: str, case: Case) -> Job:
        """``get`` of one key: a tool's result, or an embedding."""
        from cache import MISS, Cache

        cache, (category, key) = Cache.from_url(url, **self._settings), place(case)
        cache.set(category, key, case.value, ttl=TTL_S)
        return Job(lambda: cache.get(category, key), case.same, absent=MISS)

    async def awaited(self, url: str, case: Case) -> Job:
        """The same through ``AsyncCache``."""
        from cache import MISS, AsyncCache

        cache, (category, key) = AsyncCache.from_url(url, **self._settings), place(case)
        await cache.set(category, key, case.value, ttl=TTL_S)
        return Job(lambda: cache.get(category, key), case.same, True, absent=MISS)

    def many(self, url: str, case: Case) -> Job:
        """``get_many`` of a batch."""
        from cache import Cache

        cache = Cache.from_url(url, **self._settings)
        keys = [("search_text", {"query": f"number {n}", "limit": 10}) for n in range(BATCH)]
        cache.set_many("tool", [(key, case.value) for key in keys], ttl=TTL_S)
        return Job(lambda: cache.get_many("tool", keys), lambda got: got == [case.value] * BATCH)

    def set(self, url: str, case: Case) -> Job:
        """``set`` with two tags and the fence that a lookup saw."""
        from cache import Cache

        cache, (category, key) = Cache.from_url(url, **self._settings), place(case)
        fence = cache.lookup(category, key, tags=TAGS).fence
        return Job(lambda: cache.set(category, key, case.value, ttl=TTL_S, tags=TAGS, fence=fence), bool, absent=False)

    def miss(self, url: str, case: Case) -> Job:
        """``get_or_compute`` of a key that nobody asked for before, with a computation that costs nothing."""
        from cache import Cache

        cache, numbers, mine = Cache.from_url(url, **self._settings), itertools.count(), os.getpid()

        def call() -> Any:
            # another contender's process asks the same store for its own
            key = ("search_text", {"query": f"miss {mine} {next(numbers)}", "limit": 10})
            return cache.get_or_compute("tool", key, lambda: case.value, ttl=TTL_S)

        return Job(call, case.same)

    def invalidate(self, url: str, case: Case) -> Job:
        """``invalidate`` of the tag that the URL names after a hash sign."""
        from cache import Cache

        where, _, tag = url.partition("#")
        cache = Cache.from_url(where, **self._settings)
        return Job(lambda: cache.invalidate(tags=[tag]), lambda got: got == 1, absent=0)

    def contender(self, name: str, title: str) -> Contender:
        """All of its jobs under one name."""
        jobs: dict[str, Opener] = {
            "hit": self.hit,
            "async": self.awaited,
            "many": self.many,
            "set": self.set,
            "miss": self.miss,
        }
        return Contender(name, title, {**jobs, "invalidate": self.invalidate}, setup="ours")


def place(case: Case) -> tuple[str, Any]:
    """Category and key of a case."""
    return ("embedding", case.text) if case.name == "embedding" else ("tool", case.tool_key)


def ours() -> tuple[Contender, ...]:
    """The cache, and beside it the plain redis-py path where there is a switch for it."""
    from cache import Settings

    found = (Ours().contender("glasscache", "glasscache"),)
    if "fast_path" not in Settings.model_fields:
        return found
    return (*found, Ours(fast_path=False).contender("glasscache-plain", "glasscache, CACHE_FAST_PATH=false"))
