"""glasscache: a cache layer for agent workflows that one can see through.

Each name is loaded when it is first asked for; drivers and settings when a cache is first opened.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cache.async_layer import AsyncCache
    from cache.async_redis_client import AsyncRedisCacheClient
    from cache.core.explaining import Explanation
    from cache.core.fingerprint import Fingerprint
    from cache.core.generations import Fence
    from cache.core.lookup import MISS, Computed, Lookup
    from cache.core.policies import Policy
    from cache.layer import Cache
    from cache.redis_client import RedisCacheClient, create_default_redis_client
    from cache.settings import Settings
else:
    # hidden from type checkers, for which a module with __getattr__ has every name

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        found = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


logging.getLogger("glasscache").addHandler(logging.NullHandler())

__all__ = [
    "MISS",
    "AsyncCache",
    "AsyncRedisCacheClient",
    "Cache",
    "Computed",
    "Explanation",
    "Fence",
    "Fingerprint",
    "Lookup",
    "Policy",
    "RedisCacheClient",
    "Settings",
    "create_default_redis_client",
]

_HOMES = {
    "MISS": "cache.core.lookup",
    "AsyncCache": "cache.async_layer",
    "AsyncRedisCacheClient": "cache.async_redis_client",
    "Cache": "cache.layer",
    "Computed": "cache.core.lookup",
    "Explanation": "cache.core.explaining",
    "Fence": "cache.core.generations",
    "Fingerprint": "cache.core.fingerprint",
    "Lookup": "cache.core.lookup",
    "Policy": "cache.core.policies",
    "RedisCacheClient": "cache.redis_client",
    "Settings": "cache.settings",
    "create_default_redis_client": "cache.redis_client",
}
