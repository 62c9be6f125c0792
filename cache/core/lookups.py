"""Lookups without a computation: one key, or many by one MGET."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cache.core.engine import Engine, Operation
from cache.core.lookup import MISS, Lookup
from cache.core.noting import note
from cache.core.quick import count, glance
from cache.core.reading import is_far, look, look_on, look_over, look_quickly
from cache.core.sent import Sent
from cache.core.steps import Call
from cache.core.verdicts import Found
from cache.errors import StoreError
from telemetry.events import OperationEvent
from telemetry.vocabulary import Operation as Op
from telemetry.vocabulary import Outcome


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
            note(engine, wanted, event, "error", trouble.kind)
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
        if not engine.enabled:
            event.looked(Outcome.BYPASS)
            return MISS
        deadline = engine.reading() if sent is None else sent.deadline
        try:
            if sent is not None:
                reply = yield from sent.answer(engine.recorder.now())
            elif is_far(engine, policy):
                reply = yield Call(wanted.question, deadline, True)
            else:
                near = yield from look_quickly(engine, policy, wanted, deadline)
                if isinstance(near, Found):
                    return _told(engine, event, near).value
                return count(event, near, engine.clock.time())
            now = engine.clock.time()
            # what came straight away was glanced at already
            glanced = sent is not None and reply is sent.reply
            hit = sent.hit if sent is not None and glanced else glance(engine, policy, wanted, reply, now)
            if hit is not None:
                return count(event, hit, now)
            found = yield from look_on(engine, policy, wanted, reply, deadline)
        except StoreError as trouble:
            engine.failed(event, trouble)
            event.looked(Outcome.ERROR)
            note(engine, wanted, event, "error", trouble.kind)
            return MISS
        return _told(engine, event, found).value


def get_many(engine: Engine, category: str, keys: Sequence[Any], *, tags: Sequence[str] = ()) -> Operation[list[Any]]:
    """The values in the order of ``keys``, ``MISS`` where there is none; one round trip."""
    shelf = engine.shelf(category)
    policy, wanted = shelf.policy, shelf.want_all(keys, tags)
    with engine.recorder.operation(policy.name, Op.GET_MANY, batch_size=len(wanted)) as event:
        if not wanted:
            return []
        if not engine.enabled:
            event.looked(Outcome.BYPASS, n=len(wanted))
            return [MISS] * len(wanted)
        try:
            swept = yield from look_over(engine, policy, wanted, engine.reading())
        except StoreError as trouble:
            engine.failed(event, trouble)
            event.looked(Outcome.ERROR, n=len(wanted))
            return [MISS] * len(wanted)
        swept.count(event)
        for place, found in swept.found.items():
            swept.values[place] = _told(engine, event, found).value
        return swept.values


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
    event.missed(found.reason, found.trigger)
    note(engine, found.wanted, event, "miss", found.reason)
    why, by = found.reason, found.trigger
    return Lookup(
        MISS, Outcome.MISS, miss_reason=why, age=age, ttl=left, fence=found.fence, cost_s=cost, miss_trigger=by
    )
