"""Opens stores by URL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from cache.clock import Clock
from cache.core.breaker import Breaker
from cache.core.cluster_scripts import SETTLE_S
from cache.core.local import LocalTier
from cache.errors import SettingsError
from cache.stores.async_redis_store import AsyncRedisStore
from cache.stores.cluster.async_store import AsyncClusterStore
from cache.stores.cluster.membership import Membership
from cache.stores.cluster.store import ClusterStore
from cache.stores.contract import AsyncStore, Store
from cache.stores.listening import Listener
from cache.stores.options import StoreOptions
from cache.stores.redis_store import RedisStore
from cache.stores.sentinel.async_store import AsyncSentinelStore
from cache.stores.sentinel.finding import Sentinels
from cache.stores.sentinel.store import SentinelStore
from cache.stores.urls import CLUSTER, SENTINEL, StoreURL, parse
from telemetry.commands import CommandSpans, command_spans
from telemetry.vocabulary import BreakerState

__all__ = ["OnBreaker", "OnDropped", "StoreOptions", "open_async_store", "open_listener", "open_store", "settle_s"]

OnBreaker = Callable[[str, BreakerState], None]
"""Told the store's label and each new state of its breaker, beginning with the first."""

OnDropped = Callable[[], None]
"""Told of each span that a fault of the telemetry cost."""


def _nobody() -> None:
    return


def open_store(
    url: str, options: StoreOptions, *, on_breaker: OnBreaker, clock: Clock, on_dropped: OnDropped = _nobody
) -> Store:
    """A store that blocks; connects at its first use.

    Raises:
        SettingsError: the URL cannot be used.
    """
    where = _where(url, options)
    if where.scheme.endswith(CLUSTER):
        return ClusterStore(_members(where, options, on_breaker, clock, on_dropped), options, clock)
    breakers = _Breakers(where.label, options, on_breaker, clock)

    def one(server: StoreURL) -> RedisStore:
        breaker = breakers.another()
        return RedisStore(server, options, breaker=breaker, clock=clock, spans=_spans(server, on_dropped))

    if where.scheme.endswith(SENTINEL):
        return SentinelStore(Sentinels(where, options, clock, on_dropped), options, clock, one)
    return one(where)


def open_async_store(
    url: str, options: StoreOptions, *, on_breaker: OnBreaker, clock: Clock, on_dropped: OnDropped = _nobody
) -> AsyncStore:
    """A store that awaits; connects at its first use.

    Raises:
        SettingsError: the URL cannot be used.
    """
    where = _where(url, options)
    if where.scheme.endswith(CLUSTER):
        return AsyncClusterStore(_members(where, options, on_breaker, clock, on_dropped), options)
    breakers = _Breakers(where.label, options, on_breaker, clock)

    def one(server: StoreURL) -> AsyncRedisStore:
        breaker = breakers.another()
        return AsyncRedisStore(server, options, breaker=breaker, clock=clock, spans=_spans(server, on_dropped))

    if where.scheme.endswith(SENTINEL):
        return AsyncSentinelStore(Sentinels(where, options, clock, on_dropped), options, one)
    return one(where)


def open_listener(
    url: str,
    options: StoreOptions,
    tier: LocalTier,
    prefixes: Sequence[str],
    *,
    serving: Callable[[], bytes],
    clock: Clock,
) -> Listener:
    """What keeps a local tier true; connects at the tier's first use.

    Args:
        prefixes: of the Redis keys whose changes it is told.
        serving: eight bytes that name the server which the store reads from.

    Raises:
        SettingsError: the URL cannot be used, or names a cluster, none of whose servers could tell of all changes.
    """
    where = _where(url, options)
    if where.scheme.endswith(CLUSTER):
        raise SettingsError(
            f"CACHE_LOCAL_CATEGORIES: {where.scheme}:// takes no local tier; for example CACHE_LOCAL_CATEGORIES="
        )
    return Listener(where, options, tier, prefixes, serving=serving, clock=clock)


def settle_s(url: str) -> float:
    """Seconds after which no write is under way any more that was let through before its fence changed."""
    return SETTLE_S if url.partition(":")[0].endswith(CLUSTER) else 0.0


def _where(url: str, options: StoreOptions) -> StoreURL:
    where = replace(
        parse(url),
        password_file=options.password_file,
        sentinel_password_file=options.sentinel_password_file,
    )
    if where.scheme == "embedded":
        # nobody started a server for it (caching is disabled): a socket that does not exist
        return StoreURL("unix", path="/nonexistent/glasscache.sock")
    return where


def _spans(where: StoreURL, on_dropped: OnDropped) -> CommandSpans:
    unix = where.scheme == "unix"
    return command_spans(
        database=where.db,
        address=where.path if unix else where.host,
        port=None if unix else where.port,
        dropped=on_dropped,
    )


def _members(
    where: StoreURL, options: StoreOptions, on_breaker: OnBreaker, clock: Clock, on_dropped: OnDropped
) -> Membership:
    on_breaker(where.label, BreakerState.CLOSED)
    return Membership(where, options, clock, lambda state: on_breaker(where.label, state), on_dropped)


class _Breakers:
    """Makes a store's breaker, and another one for each server that takes its place: the newest alone is heard."""

    def __init__(self, label: str, options: StoreOptions, on_breaker: OnBreaker, clock: Clock) -> None:
        self._label, self._options, self._on_breaker, self._clock = label, options, on_breaker, clock
        self._newest: object = None

    def another(self) -> Breaker:
        """A breaker that is closed."""
        mine = self._newest = object()
        self._on_breaker(self._label, BreakerState.CLOSED)

        def changed(state: BreakerState) -> None:
            if self._newest is mine:
                self._on_breaker(self._label, state)

        return Breaker(self._clock, changed, self._options.breaker)
