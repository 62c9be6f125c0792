"""Explaining: what the store holds under a key, and what a lookup would say of it now."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from cache.core import nearby
from cache.core.engine import Engine, Operation
from cache.core.reading import look
from cache.core.steps import Call
from cache.core.verdicts import Found
from cache.errors import StoreError
from telemetry.vocabulary import BreakerState, ErrorType, MissReason, MissTrigger, Outcome, Tier
from telemetry.vocabulary import Operation as Op

_TAG = "tag:"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where a key is and why it would hit or miss.

    Args:
        category: the key's category.
        digest: first 16 hex of the key's SHA-256, as spans carry it.
        outcome: what a lookup would be now: hit, miss, error or bypass.
        miss_reason: why it would miss; None for a hit.
        miss_trigger: what made it invalid; None where nothing did.
        tier: where the value is; None when it is nowhere.
        age_s: seconds since the entry was made; None without an entry.
        ttl_s: seconds until its logical expiry, negative once passed; None without an entry.
        kept_s: seconds until Redis drops it; None when Redis has nothing under the key.
        size_bytes: bytes in Redis.
        compressed: True when the payload is compressed.
        cost_s: seconds that its computation took.
        tags: tags that can invalidate it.
        files: how many files it was made from.
        policy_ttl_s: the category's TTL.
        error: the trouble with the store; None when it answered.
        breaker: state of the store's breaker.
    """

    category: str
    digest: str
    outcome: Outcome
    policy_ttl_s: float
    breaker: BreakerState
    miss_reason: MissReason | None = None
    miss_trigger: MissTrigger | None = None
    tier: Tier | None = None
    age_s: float | None = None
    ttl_s: float | None = None
    kept_s: float | None = None
    size_bytes: int = 0
    compressed: bool = False
    cost_s: float = 0.0
    tags: tuple[str, ...] = ()
    files: int = 0
    error: ErrorType | None = None

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return asdict(self)


def explain(engine: Engine, category: str, key: Any) -> Operation[Explanation]:
    """Look without counting a request; two round trips, so two answers may differ by a moment."""
    policy = engine.policies[category]
    wanted = engine.want(policy, key)
    with engine.recorder.operation(policy.name, Op.EXPLAIN, digest=wanted.short) as event:
        known: dict[str, Any] = {
            "category": policy.name,
            "digest": wanted.short,
            "policy_ttl_s": policy.ttl_s,
            "breaker": engine.breaker(),
        }
        if not engine.enabled:
            return Explanation(outcome=Outcome.BYPASS, **known)
        try:
            (found,) = yield from look(engine, policy, [wanted], engine.reading(), local=False)
            left = yield Call(("PTTL", wanted.address.name), engine.reading(), idempotent=True)
        except StoreError as trouble:
            engine.failed(event, trouble)
            return Explanation(outcome=Outcome.ERROR, error=trouble.kind, **known)
        near = nearby.tier_of(engine, policy)
        if near is not None and nearby.held(engine, near, wanted, engine.clock.time()) is not None:
            found.tier = Tier.LOCAL
        kept = left / 1000 if isinstance(left, int) and left >= 0 else None
        return Explanation(kept_s=kept, **known, **_facts(engine, found))


def _facts(engine: Engine, found: Found) -> dict[str, Any]:
    item, now = found.entry, engine.clock.time()
    facts: dict[str, Any] = {
        "outcome": Outcome.HIT if found.reason is None else Outcome.MISS,
        "miss_reason": found.reason,
        "miss_trigger": found.trigger,
        "size_bytes": found.size,
    }
    if item is None:
        return facts
    return facts | {
        "tier": found.tier,
        "age_s": max(0.0, now - item.created),
        "ttl_s": item.expires - now,
        "compressed": item.compressed,
        "cost_s": item.cost_s,
        "tags": tuple(name.removeprefix(_TAG) for name, _ in item.scopes if name.startswith(_TAG)),
        "files": len(item.files),
    }
