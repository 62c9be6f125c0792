"""Opens stores by URL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from cache.clock import Clock
from cache.core.breaker import Breaker, BreakerOptions
from cache.stores.async_redis_store import AsyncRedisStore
from cache.stores.redis_store import RedisStore
from cache.stores.urls import StoreURL, parse
from telemetry.vocabulary import BreakerState

OnBreaker = Callable[[str, BreakerState], None]


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """How a store is opened.

    Args:
        max_connections: how many calls can be under way at a time, 1..4096.
        breaker: when its breaker opens.
    """

    max_connections: int = 64
    breaker: BreakerOptions = field(default_factory=BreakerOptions)


def open_store(url: str, options: StoreOptions, *, on_breaker: OnBreaker, clock: Clock) -> RedisStore:
    """A store that blocks; connects at its first use.

    Raises:
        SettingsError: the URL cannot be used.
    """
    where = _where(url)
    return RedisStore(where, _breaker(where, options, on_breaker, clock), clock, options.max_connections)


def open_async_store(url: str, options: StoreOptions, *, on_breaker: OnBreaker, clock: Clock) -> AsyncRedisStore:
    """A store that awaits; connects at its first use.

    Raises:
        SettingsError: the URL cannot be used.
    """
    where = _where(url)
    return AsyncRedisStore(where, _breaker(where, options, on_breaker, clock), clock, options.max_connections)


def _where(url: str) -> StoreURL:
    where = parse(url)
    if where.scheme == "embedded":
        # nobody started a server for it (caching is disabled): a socket that does not exist
        return StoreURL("unix", path="/nonexistent/glasscache.sock")
    return where


def _breaker(where: StoreURL, options: StoreOptions, on_breaker: OnBreaker, clock: Clock) -> Breaker:
    on_breaker(where.label, BreakerState.CLOSED)
    return Breaker(clock, lambda state: on_breaker(where.label, state), options.breaker)
