"""Prospects: what ``get_or_compute`` would do with a key now, and why; the same decisions as ``computing`` takes."""

from __future__ import annotations

from collections.abc import Hashable
from enum import StrEnum

from cache.core.engine import Engine
from cache.core.policies import Policy
from cache.core.shelves import Wanted
from cache.core.verdicts import Found
from telemetry.vocabulary import BreakerState, ErrorType, MissReason, Tier

Prospect = tuple["Would", str]
"""What would happen, and why in words without a key."""


class Would(StrEnum):
    """What would happen."""

    HIT = "hit"
    REFRESH = "hit_and_refresh"
    """The value at once, and a new one in the background."""
    STALE = "stale"
    """The expired value at once."""
    JOIN = "join_flight"
    """Wait for a computation of this process."""
    WAIT = "wait_for_fleet"
    """Wait for a computation of another process."""
    RAISE = "raise_again"
    """The computation's last error, without asking it again."""
    COMPUTE = "compute"
    UNSTORED = "compute_unstored"
    """Compute, and store nothing."""


_MISSES = {
    MissReason.COLD: "no entry was written since its category began",
    MissReason.EXPIRED: "its time to live is over",
    MissReason.INVALIDATED: "something that can invalidate it was invalidated after it was written",
    MissReason.EVICTED: "the store evicted it",
    MissReason.CHANGED: "a file that it was made from has changed",
    MissReason.VERSION: "what stands there is of another version or another program",
    MissReason.CORRUPT: "its bytes are damaged, or were sealed by another key",
    MissReason.COLLISION: "what stands there belongs to another key",
    MissReason.UNKNOWN: "there is no entry, and nothing tells why",
}


def of_hit(engine: Engine, policy: Policy, created: float, expires: float, tier: Tier) -> Prospect:
    """A fresh entry."""
    if policy.refresh_ahead and expires - engine.clock.time() < policy.refresh_ahead * (expires - created):
        return Would.REFRESH, f"a fresh entry in {tier.value}, near enough to its end to be made anew"
    return Would.HIT, f"a fresh entry in {tier.value}"


def of_miss(engine: Engine, policy: Policy, want: Wanted, found: Found) -> Prospect:
    """No fresh entry."""
    why = _MISSES.get(found.reason or MissReason.UNKNOWN, "it would miss")
    name, error = want.address.name, engine.failures.recent(want.address.name, engine.clock.monotonic())
    if found.reason is MissReason.EXPIRED and found.entry is not None:
        if policy.serve_stale:
            return Would.STALE, f"{why}; its category serves stale and makes it anew in the background"
        if policy.stale_on and isinstance(error, policy.stale_on):
            return Would.STALE, f"{why}; its computation failed a moment ago, so the old value answers"
    if error is not None and isinstance(error, policy.negative_on):
        return Would.RAISE, f"{why}; its computation failed a moment ago, and that is remembered"
    flying = engine.flights.flying(name)
    seen: Hashable = (*found.fence.scopes, found.fence.own)
    if flying == seen:
        return Would.JOIN, f"{why}; somebody in this process is computing it"
    if flying is not None:
        return Would.COMPUTE, f"{why}; who computes it now began before something was invalidated"
    return Would.COMPUTE, why


def of_trouble(engine: Engine, want: Wanted, error: ErrorType) -> Prospect:
    """The store does not answer."""
    why = "the store's breaker is open" if engine.breaker() is BreakerState.OPEN else f"the store's answer: {error}"
    if engine.flights.flying(want.address.name) is not None:
        return Would.JOIN, f"{why}; somebody in this process is computing it"
    return Would.UNSTORED, why


def of_disabled() -> Prospect:
    """Caching is off."""
    return Would.UNSTORED, "CACHE_ENABLED is false"
