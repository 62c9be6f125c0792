"""What the nodes need of a cache client, and how they tell the kinds apart.

The nodes take a ``Cache``, a ``RedisCacheClient``, or any object with ``get_json`` and ``set_json``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeGuard


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
