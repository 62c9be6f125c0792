"""The seams between operations and the local tier: asked before Redis, told of its answers and of our writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from cache.core import codecs, keys
from cache.core.entry import Entry
from cache.core.generations import FENCE_OF_CATEGORY, Fence
from cache.core.held import Held
from cache.core.local import LocalTier, Tokens
from cache.core.lookup import MISS
from cache.core.policies import Policy
from cache.core.quick import Hit
from cache.core.s3fifo import GONE
from cache.core.sweeping import Swept
from cache.core.verdicts import Found
from cache.errors import CacheValueError
from telemetry.vocabulary import EvictionCause, Tier

if TYPE_CHECKING:
    from cache.core.engine import Engine
    from cache.core.shelves import Wanted


def tier_of(engine: Engine, policy: Policy) -> LocalTier | None:
    """The tier that answers for a category; None where there is none, or an invalidation of ours is still pending."""
    tier = engine.local
    if tier is None or policy.tier is not Tier.LOCAL or engine.pending.some:
        return None
    if not tier.listening:
        tier.listen()
    return tier


def held(engine: Engine, tier: LocalTier, want: Wanted, now: float) -> Held | None:
    """The entry that answers a lookup from this process: its scopes are those wanted, its files are unchanged.

    Args:
        now: seconds since the epoch.
    """
    address = want.address
    found = tier.find(address.name, address.digest, now)
    if found is None:
        return None
    scopes = found.ties.scopes
    if want.scopes != scopes and not set(want.scopes).issubset(scopes):
        return None
    if found.files and not engine.unchanged(found.files):
        tier.drop(found, EvictionCause.CHANGED)
        return None
    return found


def value_of(policy: Policy, found: Held) -> Any:
    """The value of an entry that answers; ``MISS`` when it left meanwhile or does not decode."""
    value = found.value
    if value is MISS:
        try:
            value = codecs.decode(found.codec, found.compressed, found.payload, max_bytes=policy.max_bytes)
        except CacheValueError:
            return MISS
    # one that left while we read it may have been emptied
    return value if found.place != GONE else MISS


def fence_of(found: Held, want: Wanted) -> Fence:
    """What a write after a local hit is fenced with."""
    fence = found.ties.fence(found.own)
    if want.scopes == found.ties.scopes:
        return fence
    return Fence(tuple(pair for pair in fence.scopes if pair[0] in want.scopes), fence.own)


def found(engine: Engine, policy: Policy, tier: LocalTier, want: Wanted, now: float) -> Found | None:
    """The verdict on a key that this process can answer."""
    item = held(engine, tier, want, now)
    value = MISS if item is None else value_of(policy, item)
    if item is None or value is MISS:
        return None
    return Found(want, fence_of(item, want), value=value, entry=item, tier=Tier.LOCAL)


def hit(engine: Engine, policy: Policy, tier: LocalTier, want: Wanted, now: float) -> Hit | None:
    """The same without what a hit does not need."""
    item = held(engine, tier, want, now)
    if item is None:
        return None
    times, value = item.times, value_of(policy, item)
    return None if value is MISS else (value, *times, Tier.LOCAL)


def sweep(engine: Engine, policy: Policy, tier: LocalTier, wanted: Sequence[Wanted], now: float) -> Swept:
    """The same of many keys."""
    swept = Swept([], tier=Tier.LOCAL)
    for want in wanted:
        value, created, expires, cost_s, _ = hit(engine, policy, tier, want, now) or _NO_HIT
        swept.values.append(value)
        if value is not MISS:
            swept.ages.append(max(0.0, now - created))
            swept.cost_s += cost_s
            swept.ttl_s = expires - now
    return swept


_NO_HIT: Hit = (MISS, 0.0, 0.0, 0.0, Tier.LOCAL)

Row = tuple[str, bytes, Entry, Any]
"""A Redis key, its bytes, the same taken apart, the decoded value or ``MISS``."""


def keep(tier: LocalTier, rows: Iterable[Row], tokens: Tokens, ticket: int) -> None:
    """Keep what a look found in Redis, and what it learnt of generations."""
    for name, raw, entry, value in rows:
        tier.keep(name, raw, entry, value, ticket)
    tier.learn(tokens, ticket)


def wrote(tier: LocalTier, policy: Policy, rows: Iterable[Row], tokens: Tokens, ticket: int) -> None:
    """Keep what was stored under ``tokens``."""
    for name, raw, entry, _ in rows:
        tier.wrote(name, raw, entry, _shareable(policy, entry), ticket)
    tier.learn(tokens, ticket)


def _shareable(policy: Policy, entry: Entry) -> Any:
    """The value of an entry when it cannot be changed, else ``MISS``: then nobody need decode it now."""
    nested = entry.compressed or entry.payload[:1] in (b"{", b"[")
    if nested and not codecs.shared(entry.codec):
        return MISS
    try:
        return codecs.decode(entry.codec, entry.compressed, entry.payload, max_bytes=policy.max_bytes)
    except CacheValueError:
        return MISS


def fence_token(token: bytes) -> bytes:
    """What a fence carries of the token that a write named: of a category's record its first two parts."""
    return token[:FENCE_OF_CATEGORY]


def prefixes(namespace: str, policies: Sequence[Policy]) -> tuple[str, ...]:
    """What the Redis keys of local categories and of all generations begin with."""
    within = keys.within(namespace)
    return (*(f"{within}{policy.prefix}:" for policy in policies if policy.tier is Tier.LOCAL), f"{within}gen:")
