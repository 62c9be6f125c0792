"""Writing: drafts become entries, one script compares the fences and stores what may be stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from cache.core import codecs, commit
from cache.core.admitting import admit
from cache.core.codecs import Encoded
from cache.core.engine import Engine, Operation
from cache.core.generations import Fence
from cache.core.noting import note_writes
from cache.core.plan import Draft
from cache.core.policies import TTL, Policy
from cache.core.shelves import Wanted
from cache.core.ttl import seconds as ttl_seconds
from cache.errors import CacheKeyError, CacheValueError, StoreError, ValueTooLargeError
from telemetry.events import OperationEvent
from telemetry.vocabulary import Operation as Op
from telemetry.vocabulary import WriteResult


class Terms(NamedTuple):
    """On what terms a value is stored: its TTL (None: the category's), its tags, the fence that a lookup gave."""

    ttl: TTL = None
    tags: Sequence[str] = ()
    fence: Fence | None = None

    def seconds(self, policy: Policy) -> float:
        """The TTL in seconds.

        Raises:
            TTLError: it is none.
        """
        return policy.ttl_s if self.ttl is None else ttl_seconds(self.ttl)


def set_one(engine: Engine, category: str, key: Any, value: Any, terms: Terms) -> Operation[bool]:
    """Store one value; True when it was stored."""
    policy, fence = engine.policies[category], terms.fence
    seconds = terms.seconds(policy)
    wanted = engine.want(policy, key, terms.tags)
    if fence is not None:
        check_fence(fence, wanted)
    with engine.recorder.operation(policy.name, Op.SET, digest=wanted.short) as event:
        event.ttl_s = seconds
        encoded = encode(policy, value, event)
        if not engine.enabled:
            return False
        draft = Draft(wanted, encoded, seconds, fence=fence)
        stored = yield from store(engine, policy, [draft], event)
        return stored == 1


def check_fence(fence: Any, wanted: Wanted) -> None:
    """Refuse a fence that cannot tell whether each scope of a write was invalidated since.

    Raises:
        CacheKeyError: it is none, or its lookup did not see one of the scopes.
    """
    if not isinstance(fence, Fence):
        raise CacheKeyError("fence must be what a lookup gave back")
    if not set(wanted.scopes) <= {name for name, _ in fence.scopes}:
        raise CacheKeyError("fence is of a lookup without this write's tags or category: look up with the same ones")


def set_many(
    engine: Engine, category: str, items: Mapping[Any, Any] | Iterable[tuple[Any, Any]], terms: Terms
) -> Operation[int]:
    """Store several values by one script; returns how many were stored."""
    policy = engine.policies[category]
    seconds = terms.seconds(policy)
    pairs = list(items.items() if isinstance(items, Mapping) else items)
    wanted = [engine.want(policy, key, terms.tags) for key, _ in pairs]
    with engine.recorder.operation(policy.name, Op.SET_MANY, batch_size=len(pairs)) as event:
        event.ttl_s = seconds
        encoded = [encode(policy, value, event) for _, value in pairs]
        if not engine.enabled or not pairs:
            return 0
        drafts = [Draft(want, item, seconds) for want, item in zip(wanted, encoded, strict=True)]
        return (yield from store(engine, policy, drafts, event))


def encode(policy: Policy, value: Any, event: OperationEvent) -> Encoded:
    """Encode a value as its category wants it; a refusal is counted.

    Raises:
        CacheValueError: the value would not come back as it was.
        ValueTooLargeError: its encoding is above the category's cap.
    """
    try:
        return codecs.encode(
            value, codec=policy.codec, max_bytes=policy.max_bytes, compress_above=policy.compress_above
        )
    except ValueTooLargeError:
        event.wrote(WriteResult.TOO_LARGE)
        raise
    except CacheValueError:
        event.wrote(WriteResult.DROPPED)
        raise


def store(engine: Engine, policy: Policy, drafts: Sequence[Draft], event: OperationEvent) -> Operation[int]:
    """Write drafts and account for each; trouble with the store is counted, never raised.

    Returns:
        How many were stored.
    """
    deadline, within = engine.writing(), drafts
    try:
        within = yield from admit(engine, policy, drafts, deadline)
        sizes = (yield from commit.commit(engine, policy, within, deadline)) if within else []
    except StoreError as trouble:
        engine.failed(event, trouble)
        sizes = []
        event.wrote(WriteResult.DROPPED, n=len(within))
    if len(within) < len(drafts):
        event.wrote(WriteResult.OVER_BUDGET, n=len(drafts) - len(within))
    for size in sizes:
        if size is None:
            event.wrote(WriteResult.REFUSED)
        else:
            event.wrote(WriteResult.STORED, size=size)
    words = ["refused" if size is None else "stored" for size in sizes] or ["dropped"] * len(within)
    note_writes(engine, [draft.wanted for draft in within], event, words)
    return words.count("stored")
