"""Lookups without a computation: one key, or many by one MGET."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cache.core.engine import Engine, Operation
from cache.core.lookup import MISS, Lookup
from cache.core.policies import Policy
from cache.core.quick import count, count_all, glance
from cache.core.reading import is_far, look, look_on, look_quickly
from cache.core.shelves import Wanted
from cache.core.steps import Call
from cache.core.straight import Sent
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
    shelf = engine.shelf(category)
    policy, wanted = shelf.policy, shelf.want(key, tags)
    with engine.recorder.operation(category, Op.GET, digest=wanted.short) as event:
        if not engine.enabled:
            event.looked(Outcome.BYPASS)
            return Lookup(MISS, Outcome.BYPASS)
        try:
            (found,) = yield from look(engine, policy, [wanted], engine.reading(), prepare=prepare)
        except StoreError as trouble:
            engine.failed(event, trouble)
            event.looked(Outcome.ERROR)
            return Lookup(MISS, Outcome.ERROR, error=trouble.kind)
        return _told(engine, event, found)


def get(
    engine: Engine, category: str, key: Any, *, tags: Sequence[str] = (), sent: Sent | None = None
) -> Operation[Any]:
    """The value under one key, ``MISS`` where there is none; ``sent``: the question went out already."""
    policy = engine.policies[category]
    wanted = engine.want(policy, key, tags) if sent is None else sent.wanted
    began = sent.began if sent is not None else None
    with engine.recorder.operation(policy.name, Op.GET, digest=wanted.short, began=began) as event:
        if sent is None and (not engine.enabled or not is_far(engine, policy)):
            (value,) = yield from _values(engine, policy, [wanted], event)
            return value
        deadline = engine.reading() if sent is None else sent.deadline
        try:
            if sent is None:
                reply = yield Call(wanted.question, deadline, True)
            else:
                reply = yield from sent.answer(engine.recorder.now())
            now = engine.clock.time()
            hit = glance(engine, policy, wanted, reply, now)
            if hit is not None:
                return count(event, hit, now)
            found = yield from look_on(engine, policy, wanted, reply, deadline)
        except StoreError as trouble:
            engine.failed(event, trouble)
            event.looked(Outcome.ERROR)
            return MISS
        return _told(engine, event, found).value


def get_many(engine: Engine, category: str, keys: Sequence[Any], *, tags: Sequence[str] = ()) -> Operation[list[Any]]:
    """The values in the order of ``keys``, ``MISS`` where there is none; one round trip."""
    policy = engine.policies[category]
    wanted = [engine.want(policy, key, tags) for key in keys]
    with engine.recorder.operation(policy.name, Op.GET_MANY, batch_size=len(wanted)) as event:
        return (yield from _values(engine, policy, wanted, event)) if wanted else []


def _values(engine: Engine, policy: Policy, wanted: Sequence[Wanted], event: OperationEvent) -> Operation[list[Any]]:
    """The values of ``wanted``, each counted."""
    if not engine.enabled:
        event.looked(Outcome.BYPASS, n=len(wanted))
        return [MISS] * len(wanted)
    try:
        found = yield from look_quickly(engine, policy, wanted, engine.reading())
    except StoreError as trouble:
        engine.failed(event, trouble)
        event.looked(Outcome.ERROR, n=len(wanted))
        return [MISS] * len(wanted)
    now = engine.clock.time()
    # all of one tier: what the process keeps comes first, the rest from Redis
    for tier in (Tier.LOCAL, Tier.REDIS):
        count_all(event, [item for item in found if isinstance(item, tuple) and item[4] is tier], now)
    return [_told(engine, event, item).value if isinstance(item, Found) else item[0] for item in found]


def _told(engine: Engine, event: OperationEvent, found: Found) -> Lookup:
    """Count one verdict and turn it into the caller's answer."""
    if found.trouble is not None:
        engine.failed(event, found.trouble)
    now, item = engine.clock.time(), found.entry
    age = max(0.0, now - item.created) if item is not None else None
    left = item.expires - now if item is not None else None
    cost = item.cost_s if item is not None else 0.0
    if found.reason is None:
        event.looked(Outcome.HIT, tier=found.tier, age_s=age, cost_s=cost)
        event.ttl_s = left
        return Lookup(found.value, Outcome.HIT, found.tier, age=age, ttl=left, fence=found.fence, cost_s=cost)
    event.looked(Outcome.MISS, reason=found.reason)
    return Lookup(MISS, Outcome.MISS, miss_reason=found.reason, age=age, ttl=left, fence=found.fence, cost_s=cost)
