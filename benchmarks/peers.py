"""The peers, each by an adapter of a few lines: the same values, codec (JSON; orjson where one can be handed in), TTL.

Each is used as its own documentation shows, with its defaults; what differs is said in ``title``. A value that is an
array goes in as a list of numbers, for none of them keeps arrays in JSON, and comes out as an array again.
A peer that is not installed beside our redis-py stands in the table as such.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
import redis
import redis.asyncio

from benchmarks.cases import TTL_S, Case
from benchmarks.contenders import Contender, Job

NAMES: Mapping[str, str] = {
    "dogpile": "dogpile.cache",
    "cachekit": "cachekit",
    "aiocache": "aiocache",
    "cashews": "cashews",
    "betterdb": "betterdb-agent-cache",
    "redisvl": "redisvl",
}
"""By the names of rows: the distributions."""


def plain(case: Case) -> Any:
    """The value as JSON can hold it."""
    return case.value.tolist() if case.name == "embedding" else case.value


def whole(case: Case, got: Any) -> Any:
    """What came out of JSON, as the caller wants it."""
    return np.asarray(got, dtype=np.float32) if case.name == "embedding" and isinstance(got, list) else got


def by_hand(url: str, case: Case) -> Job:
    """GET and ``orjson.loads``: the least that anybody does."""
    client = redis.Redis.from_url(url)
    client.set("hand", orjson.dumps(plain(case)), ex=TTL_S)
    return Job(lambda: whole(case, orjson.loads(client.get("hand"))), case.same)  # type: ignore[arg-type]


def dogpile(url: str, case: Case) -> Job:
    """A region over its Redis backend, with orjson."""
    from dogpile.cache import make_region
    from dogpile.cache.api import NO_VALUE

    region = make_region(serializer=orjson.dumps, deserializer=orjson.loads)
    region.configure("dogpile.cache.redis", arguments={"url": url, "redis_expiration_time": TTL_S})
    region.set("dogpile", plain(case))
    return Job(lambda: whole(case, region.get("dogpile")), case.same, absent=NO_VALUE)


def cachekit(url: str, case: Case) -> Job:
    """Its decorator with the local tier off, so that the hit is Redis's."""
    from cachekit import cache
    from cachekit.backends.redis import RedisBackend
    from cachekit.config.nested import L1CacheConfig
    from cachekit.serializers.orjson_serializer import OrjsonSerializer

    calls: list[str] = []

    @cache(backend=RedisBackend(url), ttl=TTL_S, l1=L1CacheConfig(enabled=False), serializer=OrjsonSerializer())  # type: ignore[untyped-decorator]
    def value(text: str) -> Any:
        calls.append(text)
        return plain(case)

    value(case.text)
    stored = len(calls)

    def call() -> Any:
        got = value(case.text)
        return whole(case, got) if len(calls) == stored else None

    return Job(call, case.same)


async def aiocache(url: str, case: Case) -> Job:
    """Its Redis cache with its JSON serializer, over the same socket as the rest."""
    from aiocache import RedisCache
    from aiocache.serializers import JsonSerializer

    cache = RedisCache(serializer=JsonSerializer())
    cache.client = redis.asyncio.Redis.from_url(url)
    await cache.set("aiocache", plain(case), ttl=TTL_S)

    async def call() -> Any:
        return whole(case, await cache.get("aiocache"))

    return Job(call, case.same, True)


async def cashews(url: str, case: Case) -> Job:
    """Its cache with its JSON pickler."""
    from cashews import Cache

    cache = Cache()
    cache.setup("redis://", address=url, pickle_type="json")
    await cache.set("cashews", plain(case), expire=TTL_S)

    async def call() -> Any:
        return whole(case, await cache.get("cashews"))

    return Job(call, case.same, True)


async def betterdb(url: str, case: Case) -> Job:
    """The tool tier, which keeps text; its reports to its makers are off."""
    from betterdb_agent_cache import AgentCache
    from betterdb_agent_cache.types import AgentCacheOptions, AnalyticsOptions

    client = redis.asyncio.Redis.from_url(url)
    cache = AgentCache(AgentCacheOptions(client=client, default_ttl=TTL_S, analytics=AnalyticsOptions(disabled=True)))
    name, params = case.tool_key
    await cache.tool.store(name, params, orjson.dumps(plain(case)).decode())

    async def call() -> Any:
        found = await cache.tool.check(name, params)
        return whole(case, orjson.loads(found.response)) if found.hit else None

    return Job(call, case.same, True)


def redisvl(url: str, case: Case) -> Job:
    """Its embeddings cache; a hit renews the time to live."""
    from redisvl.extensions.cache.embeddings import EmbeddingsCache

    cache = EmbeddingsCache(name="redisvl", ttl=TTL_S, redis_client=redis.Redis.from_url(url))
    cache.set(content=case.text, model_name="model", embedding=plain(case))

    def call() -> Any:
        found = cache.get(content=case.text, model_name="model")
        return None if found is None else np.asarray(found["embedding"], dtype=np.float32)

    return Job(call, case.same)


QUIET = {"BETTERDB_TELEMETRY": "false", "DO_NOT_TRACK": "1"}
"""Nothing that is measured here calls home."""

HAND = Contender("by-hand", "redis-py and orjson by hand", {"hit": by_hand})

PEERS = (
    Contender("dogpile", "dogpile.cache", {"hit": dogpile}),
    Contender("cachekit", "cachekit, local tier off", {"hit": cachekit}),
    Contender("aiocache", "aiocache (async)", {"hit": aiocache}),
    Contender("cashews", "cashews (async)", {"hit": cashews}),
    Contender("betterdb", "betterdb agent cache, tool tier (async)", {"hit": betterdb}, environ=QUIET),
    Contender("redisvl", "redisvl embeddings cache", {"hit": redisvl}, cases=("embedding",)),
)


def version(name: str) -> str:
    """The version of a peer that is installed; empty when it is not."""
    try:
        return importlib.metadata.version(NAMES[name])
    except importlib.metadata.PackageNotFoundError:
        return ""
