"""glasscache: a cache layer for agent workflows that one can see through."""

import logging

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
