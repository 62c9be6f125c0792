"""Lookups without a computation: one key, or many by one MGET."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cache.core.engine import Engine, Operation
from cache.core.lookup import MISS, Lookup
from cache.core.reading import look, look_one
from cache.core.verdicts import Found
from cache.errors import StoreError
from telemetry.events import OperationEvent
from telemetry.vocabulary import Operation as Op
from telemetry.vocabulary import Outcome, Tier


def lookup(
    engine: Engine, category: str, key: Any, *, tags: Sequence[str] = (), prepare: bool = True
) -> Operation[Lookup]:
    """Look one key up and tell all about it.

    Args:
        prepare: make generations that are absent, so that the fence serves a later ``set``.
    """
    policy = engine.policies[category]
    wanted = engine.want(policy, key, tags)
    with engine.recorder.operation(policy.name, Op.GET, digest=wanted.address.short) as event:
        if not engine.enabled:
            event.looked(Outcome.BYPASS)
            return Lookup(MISS, Outcome.BYPASS)
        try:
            found = yield from look_one(engine, policy, wanted, engine.reading(), prepare=prepare)
        except StoreError as trouble:
            engine.failed(event, trouble)
            event.looked(Outcome.ERROR)
            return Lookup(MISS, Outcome.ERROR, error=trouble.kind)
        _count(engine, event, found)
        return _answer(engine, found)


def get(engine: Engine, category: str, key: Any, *, tags: Sequence[str] = ()) -> Operation[Any]:
    """The value under one key, ``MISS`` where there is none."""
    policy = engine.policies[category]
    wanted = engine.want(policy, key, tags)
    with engine.recorder.operation(policy.name, Op.GET, digest=wanted.address.short) as event:
        if not engine.enabled:
            event.looked(Outcome.BYPASS)
            return MISS
        try:
            found = yield from look_one(engine, policy, wanted, engine.reading())
        except StoreError as trouble:
            engine.failed(event, trouble)
            event.looked(Outcome.ERROR)
            return MISS
        _count(engine, event, found)
        return found.value


def get_many(engine: Engine, category: str, keys: Sequence[Any], *, tags: Sequence[str] = ()) -> Operation[list[Any]]:
    """The values in the order of ``keys``, ``MISS`` where there is none; one round trip."""
    policy = engine.policies[category]
    wanted = [engine.want(policy, key, tags) for key in keys]
    with engine.recorder.operation(policy.name, Op.GET_MANY, batch_size=len(wanted)) as event:
        if not engine.enabled:
            event.looked(Outcome.BYPASS, n=len(wanted))
            return [MISS] * len(wanted)
        if not wanted:
            return []
        try:
            found = yield from look(engine, policy, wanted, engine.reading())
        except StoreError as trouble:
            engine.failed(event, trouble)
            event.looked(Outcome.ERROR, n=len(wanted))
            return [MISS] * len(wanted)
        for item in found:
            _count(engine, event, item)
        return [item.value for item in found]


def _count(engine: Engine, event: OperationEvent, found: Found) -> None:
    """Count one verdict."""
    if found.trouble is not None:
        engine.failed(event, found.trouble)
    item = found.entry
    if found.reason is not None or item is None:
        event.looked(Outcome.MISS, reason=found.reason)
        return
    now = engine.clock.time()
    event.looked(Outcome.HIT, tier=Tier.REDIS, age_s=max(0.0, now - item.created), cost_s=item.cost_s)
    event.ttl_s = item.expires - now


def _answer(engine: Engine, found: Found) -> Lookup:
    """One verdict as the caller is told it."""
    now, item = engine.clock.time(), found.entry
    facts: dict[str, Any] = {"fence": found.fence}
    if item is not None:
        facts |= {"age": max(0.0, now - item.created), "ttl": item.expires - now, "cost_s": item.cost_s}
    if found.reason is None:
        return Lookup(found.value, Outcome.HIT, Tier.REDIS, **facts)
    return Lookup(MISS, Outcome.MISS, miss_reason=found.reason, **facts)
