"""Opens stores by URL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from cache.clock import Clock
from cache.core.breaker import Breaker
from cache.core.local import LocalTier
from cache.stores.async_redis_store import AsyncRedisStore
from cache.stores.listening import Listener
from cache.stores.options import StoreOptions
from cache.stores.redis_store import RedisStore
from cache.stores.urls import StoreURL, parse
from telemetry.commands import CommandSpans, command_spans
from telemetry.vocabulary import BreakerState

__all__ = ["OnBreaker", "OnDropped", "StoreOptions", "open_async_store", "open_listener", "open_store"]

OnBreaker = Callable[[str, BreakerState], None]
"""Told the store's label and each new state of its breaker, beginning with the first."""

OnDropped = Callable[[], None]
"""Told of each span that a fault of the telemetry cost."""


def _nobody() -> None:
    return


def open_store(
    url: str, options: StoreOptions, *, on_breaker: OnBreaker, clock: Clock, on_dropped: OnDropped = _nobody
) -> RedisStore:
    """A store that blocks; connects at its first use.

    Raises:
        SettingsError: the URL cannot be used.
    """
    where = _where(url, options)
    breaker = _breaker(where, options, on_breaker, clock)
    return RedisStore(where, options, breaker=breaker, clock=clock, spans=_spans(where, on_dropped))


def open_async_store(
    url: str, options: StoreOptions, *, on_breaker: OnBreaker, clock: Clock, on_dropped: OnDropped = _nobody
) -> AsyncRedisStore:
    """A store that awaits; connects at its first use.

    Raises:
        SettingsError: the URL cannot be used.
    """
    where = _where(url, options)
    breaker = _breaker(where, options, on_breaker, clock)
    return AsyncRedisStore(where, options, breaker=breaker, spans=_spans(where, on_dropped))


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
        SettingsError: the URL cannot be used.
    """
    return Listener(_where(url, options), options, tier, prefixes, serving=serving, clock=clock)


def _where(url: str, options: StoreOptions) -> StoreURL:
    where = replace(parse(url), password_file=options.password_file)
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


def _breaker(where: StoreURL, options: StoreOptions, on_breaker: OnBreaker, clock: Clock) -> Breaker:
    on_breaker(where.label, BreakerState.CLOSED)
    return Breaker(clock, lambda state: on_breaker(where.label, state), options.breaker)
