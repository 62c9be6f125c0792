"""Explaining: what stands under a key, what a lookup would say of it now, and what happened to it lately."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from cache.core import codecs, keys, nearby, prospects
from cache.core.engine import Engine, Operation
from cache.core.entry import Entry
from cache.core.generations import read_token
from cache.core.held import Held
from cache.core.history import Happening
from cache.core.policies import Policy
from cache.core.prospects import Would
from cache.core.reading import Examined, examine
from cache.core.shelves import Wanted
from cache.core.steps import Call
from cache.errors import StoreError
from telemetry.vocabulary import BreakerState, ErrorType, MissReason, MissTrigger, Outcome, Tier
from telemetry.vocabulary import Operation as Op

_TAG = "tag:"
_CODECS = {codecs.JSON: "json", codecs.VECTOR: "vector", codecs.BYTES: "bytes", codecs.FLOATS: "floats"}


@dataclass(frozen=True, slots=True)
class ScopeSeen:
    """One of the things that can invalidate an entry.

    Args:
        scope: ``category``, or the tag.
        valid: whether the entry was made under its generation of now.
        made_under, now: first 8 hex of the SHA-256 of the generation's token then and now; None: there is none.
        invalidated: the last invalidation of it that this process made and remembers.
    """

    scope: str
    valid: bool
    made_under: str | None
    now: str | None
    invalidated: Happening | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where a key is and why it would hit or miss.

    Args:
        category: the key's category.
        digest: first 16 hex of the key's SHA-256, as spans carry it.
        outcome: what a lookup would be now: hit, miss, error or bypass.
        would: what ``get_or_compute`` would do now, in this process.
        because: why, in words.
        miss_reason: why it would miss; None for a hit.
        miss_trigger: what made it invalid; None where nothing did.
        tier: where the value is; None when it is nowhere.
        tiers: what stands in each tier: ``off``, ``absent``, ``fresh``, ``expired``, ``invalid``, ``tombstone``,
            ``unreadable`` or ``unknown``.
        age_s: seconds since the entry was made; None without an entry.
        ttl_s: seconds until its logical expiry, negative once passed; None without an entry.
        kept_s: seconds until Redis drops it; None when Redis has nothing under the key.
        size_bytes: bytes in Redis.
        codec: how its value is written; None without an entry.
        compressed: True when the payload is compressed.
        signed: True when the entry is sealed by a signing key.
        cost_s: seconds that its computation took.
        tags: tags that can invalidate it.
        scopes: the same and the category, each with what became of it.
        files: how many files it was made from.
        policy_ttl_s: the category's TTL.
        error: the trouble with the store; None when it answered.
        breaker: state of the store's breaker.
        writer: the write of this process that made the entry; None when another process did, or it is forgotten.
        history: what this process did to the key lately, the latest first; hits are not remembered.
    """

    category: str
    digest: str
    outcome: Outcome
    policy_ttl_s: float
    breaker: BreakerState
    would: Would
    because: str
    miss_reason: MissReason | None = None
    miss_trigger: MissTrigger | None = None
    tier: Tier | None = None
    tiers: dict[str, str] | None = None
    age_s: float | None = None
    ttl_s: float | None = None
    kept_s: float | None = None
    size_bytes: int = 0
    codec: str | None = None
    compressed: bool = False
    signed: bool = False
    cost_s: float = 0.0
    tags: tuple[str, ...] = ()
    scopes: tuple[ScopeSeen, ...] = ()
    files: int = 0
    error: ErrorType | None = None
    writer: Happening | None = None
    history: tuple[Happening, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return asdict(self) | {
            "scopes": [
                asdict(seen) | {"invalidated": seen.invalidated and seen.invalidated._asdict()} for seen in self.scopes
            ],
            "writer": self.writer and self.writer._asdict(),
            "history": [happening._asdict() for happening in self.history],
        }


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
            "history": engine.history.of(wanted.short),
        }
        if not engine.enabled:
            would, because = prospects.of_disabled()
            return Explanation(outcome=Outcome.BYPASS, would=would, because=because, **known)
        near = _near(engine, policy, wanted)
        try:
            seen = yield from examine(engine, policy, wanted, engine.reading())
            left = yield Call(("PTTL", wanted.address.name), engine.reading(), idempotent=True)
            locked = policy.fleet and (yield from _is_locked(engine, wanted))
        except StoreError as trouble:
            engine.failed(event, trouble)
            known["breaker"] = engine.breaker()
            return Explanation(error=trouble.kind, **known, **_without_store(engine, policy, wanted, near, trouble))
        kept = left / 1000 if isinstance(left, int) and left >= 0 else None
        facts = _facts(engine, seen) | _now(engine, policy, seen, near, locked=locked)
        return Explanation(kept_s=kept, tiers=_tiers(engine, policy, near, seen), **known, **facts)


def _near(engine: Engine, policy: Policy, wanted: Wanted) -> Held | None:
    tier = nearby.tier_of(engine, policy)
    return None if tier is None else nearby.held(engine, tier, wanted, engine.clock.time())


def _is_locked(engine: Engine, wanted: Wanted) -> Operation[bool]:
    """Whether some process computes it under the fleet's lock."""
    name = keys.lock_name(wanted.address.digest, engine.namespace)
    left = yield Call(("PTTL", name), engine.reading(), idempotent=True)
    return isinstance(left, int) and left > 0


def _without_store(
    engine: Engine, policy: Policy, wanted: Wanted, near: Held | None, trouble: StoreError
) -> dict[str, Any]:
    """What can be told without Redis: this process may have the value itself."""
    tiers = _tiers(engine, policy, near, None)
    if near is None:
        would, because = prospects.of_trouble(engine, wanted, trouble.kind)
        return {"outcome": Outcome.ERROR, "would": would, "because": because, "tiers": tiers}
    return _of_near(engine, policy, near) | {"tiers": tiers}


def _of_near(engine: Engine, policy: Policy, near: Held) -> dict[str, Any]:
    """What this process has answers, whatever Redis would say."""
    would, because = prospects.of_hit(engine, policy, near.created, near.expires, Tier.LOCAL)
    now = engine.clock.time()
    times = {"age_s": max(0.0, now - near.created), "ttl_s": near.expires - now, "cost_s": near.cost_s}
    return {"outcome": Outcome.HIT, "tier": Tier.LOCAL, "would": would, "because": because, **times}


def _now(engine: Engine, policy: Policy, seen: Examined, near: Held | None, *, locked: bool) -> dict[str, Any]:
    """What would happen now."""
    found, item = seen.found, seen.found.entry
    if near is not None:
        return _of_near(engine, policy, near)
    if found.reason is None and item is not None:
        would, because = prospects.of_hit(engine, policy, item.created, item.expires, found.tier)
        return {"outcome": Outcome.HIT, "tier": found.tier, "would": would, "because": because}
    would, because = prospects.of_miss(engine, policy, found.wanted, found)
    if would is Would.COMPUTE and locked:
        would, because = Would.WAIT, f"{because}; another process holds the fleet's lock on it"
    tier = found.tier if item is not None else None
    trouble = found.trouble.kind if found.trouble is not None else None
    why = {"miss_reason": found.reason, "miss_trigger": found.trigger, "error": trouble}
    return {"outcome": Outcome.MISS, "tier": tier, "would": would, "because": because, **why}


def _tiers(engine: Engine, policy: Policy, near: Held | None, seen: Examined | None) -> dict[str, str]:
    local = "fresh" if near is not None else "off"
    if near is None and engine.local is not None and policy.tier is Tier.LOCAL:
        local = "absent"
    return {Tier.LOCAL.value: local, Tier.REDIS.value: "unknown" if seen is None else _stands(seen)}


def _stands(seen: Examined) -> str:
    """What stands in Redis."""
    if seen.item is None:
        return "absent"
    if not isinstance(seen.item, Entry):
        return "tombstone" if seen.item is MissReason.INVALIDATED else "unreadable"
    if seen.found.reason is None:
        return "fresh"
    return "expired" if seen.found.reason is MissReason.EXPIRED else "invalid"


def _facts(engine: Engine, seen: Examined) -> dict[str, Any]:
    """What the entry itself says, valid or not."""
    item, now = seen.item, engine.clock.time()
    if not isinstance(item, Entry):
        return {"size_bytes": seen.found.size}
    return {
        "size_bytes": seen.found.size,
        "age_s": max(0.0, now - item.created),
        "ttl_s": item.expires - now,
        "codec": _CODECS.get(item.codec),
        "compressed": item.compressed,
        # an entry that is believed is sealed as the settings say
        "signed": bool(engine.sealer.flag),
        "cost_s": item.cost_s,
        "tags": tuple(name.removeprefix(_TAG) for name, _ in item.scopes if name.startswith(_TAG)),
        "scopes": tuple(_scopes(engine, seen, item)),
        "files": len(item.files),
        "writer": _writer(engine, seen.found.wanted, item),
    }


def _scopes(engine: Engine, seen: Examined, item: Entry) -> Iterator[ScopeSeen]:
    made_under = dict(item.scopes)
    for scope in dict.fromkeys((*made_under, *seen.found.wanted.scopes)):
        token = seen.tokens.get(scope)
        then, now = made_under.get(scope), read_token(token) if token is not None else None
        notes = engine.history.of(engine.scope_name(scope))
        name = scope.removeprefix(_TAG) if scope.startswith(_TAG) else "category"
        valid = then is not None and then == now
        yield ScopeSeen(name, valid, _digest(then), _digest(now), notes[0] if notes else None)


def _digest(token: bytes | None) -> str | None:
    """Tells two tokens apart without showing them: who knows one could forge an entry where none is signed."""
    return None if token is None else hashlib.sha256(token).hexdigest()[:8]


def _writer(engine: Engine, wanted: Wanted, item: Entry) -> Happening | None:
    """Our last write of a key, unless the entry is younger than that."""
    ours = next((note for note in engine.history.of(wanted.short) if note.what == "stored"), None)
    return ours if ours is not None and item.created <= ours.at else None
