"""What the nodes need of a cache client, and how they tell the kinds apart.

The nodes take a ``Cache``, a ``RedisCacheClient``, or any object with ``get_json`` and ``set_json``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeGuard

_log = logging.getLogger("glasscache")


class JSONClient(Protocol):
    """The specification's client, as far as the nodes use it."""

    def get_json(self, key: str) -> Any: ...

    def set_json(self, key: str, value: Any, ttl: float | None = None) -> bool: ...


class ComputingCache(Protocol):
    """The layer, as far as the nodes use it."""

    def get_or_compute(
        self, category: str, key: Any, compute: Callable[[], Any], *, tags: Sequence[str] = ()
    ) -> Any: ...

    def get_or_compute_many(
        self, category: str, keys: Sequence[Any], compute_many: Callable[[list[Any]], Any]
    ) -> list[Any]: ...

    def invalidate(self, *, tags: Sequence[str] = (), trigger: Any = None) -> int: ...


class AsyncComputingCache(Protocol):
    """The layer's twin, as far as the nodes use it."""

    async def get_or_compute(
        self, category: str, key: Any, compute: Callable[[], Any], *, tags: Sequence[str] = ()
    ) -> Any: ...

    async def get_or_compute_many(
        self, category: str, keys: Sequence[Any], compute_many: Callable[[list[Any]], Any]
    ) -> list[Any]: ...

    async def invalidate(self, *, tags: Sequence[str] = (), trigger: Any = None) -> int: ...


def computes(client: Any) -> TypeGuard[ComputingCache]:
    """True for a cache that computes by itself on a miss."""
    return callable(getattr(client, "get_or_compute", None))


def computes_awaited(client: Any) -> TypeGuard[AsyncComputingCache]:
    """The same of the twin."""
    return computes(client)


def read_json(client: Any, key: str) -> Any:
    """What a plain client has under ``key``; None when it raises: that costs a hit, never the caller."""
    try:
        return client.get_json(key)
    except Exception as error:
        return _lost(error)


def write_json(client: Any, key: str, value: Any, **ttl: float) -> None:
    """Store by a plain client; one that raises stores nothing."""
    try:
        client.set_json(key, value, **ttl)
    except Exception as error:
        _lost(error)


async def read_json_async(client: Any, key: str) -> Any:
    """The twin of ``read_json``."""
    try:
        return await client.get_json(key)
    except Exception as error:
        return _lost(error)


async def write_json_async(client: Any, key: str, value: Any, **ttl: float) -> None:
    """The twin of ``write_json``."""
    try:
        await client.set_json(key, value, **ttl)
    except Exception as error:
        _lost(error)


def _lost(error: Exception) -> Any:
    """Say that an application's own client failed, by the error's class; ours never raise here."""
    _log.warning("a cache client failed, the workflow runs uncached: %s", type(error).__name__)
    return None
