"""What becomes of a computation's result: the caller's value, its encoding, the draft of an entry."""

from __future__ import annotations

from typing import Any

from cache.core import codecs
from cache.core.ask import unwrap
from cache.core.codecs import Encoded
from cache.core.fingerprint import MAX_FILES, RACY_NS
from cache.core.generations import Fence
from cache.core.lookup import Computed
from cache.core.plan import Draft
from cache.core.policies import Policy
from cache.core.shelves import Wanted
from cache.core.ttl import seconds as ttl_seconds
from cache.core.writing import encode
from cache.errors import CacheValueError
from telemetry.events import OperationEvent


def copy_of(policy: Policy, encoded: Encoded) -> Any:
    """A copy of a value that nobody else holds (shared when it cannot be changed)."""
    return codecs.decode(encoded.codec, encoded.compressed, encoded.payload, max_bytes=policy.max_bytes)


def storable(result: Any, began: float) -> bool:
    """False when the result says that it must not be kept, or comes from files that may yet change unseen.

    Args:
        result: what the computation returned.
        began: when it began, seconds since the epoch.
    """
    if not isinstance(result, Computed):
        return True
    racy = any(began * 1e9 - max(file.mtime_ns, file.ctime_ns) < RACY_NS for file in result.files)
    return result.store and len(result.files) <= MAX_FILES and not racy


def encode_result(policy: Policy, result: Any, event: OperationEvent, began: float) -> tuple[Any, Encoded | None]:
    """The caller's value and its encoding; None when it must not or cannot be kept (the latter is counted)."""
    value = unwrap(result)
    if not storable(result, began):
        return value, None
    try:
        encoded = encode(policy, value, event)
    except CacheValueError:
        return value, None
    return (copy_of(policy, encoded) if codecs.shared(encoded.codec) else value), encoded


def draft_of(wanted: Wanted, encoded: Encoded, result: Any, seconds: float, cost_s: float, fence: Fence) -> Draft:
    """What is to be written of a computation's result."""
    if not isinstance(result, Computed):
        return Draft(wanted, encoded, seconds, cost_s=cost_s, fence=fence)
    lives = seconds if result.ttl is None else min(seconds, ttl_seconds(result.ttl))
    return Draft(wanted, encoded, lives, cost_s=cost_s, files=result.files, fence=fence)
