"""Invalidating: scopes by one change of their generation, patterns by a bounded sweep behind a fence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from cache.core import keys, patterns, seen
from cache.core.admitting import mark
from cache.core.engine import Engine, Operation
from cache.core.generations import FENCE_OF_CATEGORY, TOKEN, category_scope
from cache.core.healing import buried, change
from cache.core.noting import note, note_scopes
from cache.core.patterns import PatternPlan
from cache.core.policies import Policy
from cache.core.scripts import CHANGE, DELETE, SWEEP, SWEPT
from cache.core.steps import Arg, Call, Pause, RunScript
from cache.errors import PatternError, StoreError
from telemetry.events import OperationEvent
from telemetry.vocabulary import ALL, ErrorType, MissTrigger, Trigger
from telemetry.vocabulary import Operation as Op

SCAN_COUNT = 1000
"""Keys that one SCAN looks at: well under a millisecond of the server's time."""

DIGEST = 32
"""Bytes of a digest."""


def delete(engine: Engine, category: str, key: Any) -> Operation[bool]:
    """Remove one entry and leave a tombstone; True when there was a live one."""
    policy = engine.policies[category]
    wanted = engine.want(policy, key)
    with engine.recorder.operation(policy.name, Op.DELETE, digest=wanted.short) as event:
        event.trigger = Trigger.API
        engine.flights.detach()
        engine.failures.forget(wanted.address.name)
        if not engine.enabled:
            return False
        try:
            gone = yield from _remove(engine, policy, wanted.address.name)
        except StoreError as trouble:
            engine.pending.add(names=[wanted.address.name])
            engine.failed(event, trouble)
            return False
        finally:
            engine.changed(names=[wanted.address.name])
        event.deletes += int(gone)
        note(engine, wanted, event, "deleted", Trigger.API)
        return bool(gone)


def _remove(engine: Engine, policy: Policy, name: str) -> Operation[Any]:
    """Put a tombstone in an entry's place; returns how many live entries went.

    Where the budget has no room for one, the category's writes in flight are refused in its stead, unless that would
    have to wait.
    """
    if engine.budget is not None and engine.budget.spent and not engine.settle_s:
        yield from _refuse(engine, category_scope(policy.name))
        return (yield from _unlink(engine, [name.encode()], policy.name, MissTrigger.KEY))
    mark(engine, policy, 1)
    args: list[Arg] = [engine.lifetime_ms(policy), buried(engine)]
    return (yield RunScript(DELETE, [name], args, engine.writing()))


def invalidate(
    engine: Engine,
    *,
    tags: Sequence[str] = (),
    category: str | None = None,
    pattern: str | None = None,
    trigger: Trigger | None = None,
    dry_run: bool = False,
) -> Operation[int]:
    """Make entries invalid.

    Returns:
        How many scopes were named (tags and category), or how many keys went (pattern); 0 when the store
        could not be asked, which is counted as an error.

    Raises:
        PatternError: a pattern that is refused, or one beside tags or a category, or nothing to invalidate.
        CacheKeyError: a tag that cannot be encoded.
        UnknownCategoryError: nobody registered the category.
    """
    if pattern is not None:
        if tags or category is not None:
            raise PatternError("give a pattern, or tags and a category, not both")
        plan = patterns.plan(pattern, engine.policies.prefixes, namespace=engine.namespace, hidden=engine.hidden)
        return (yield from _by_pattern(engine, plan, trigger or Trigger.API, dry_run=dry_run))
    names = keys.check_tags(tags)
    scopes = [engine.tag_scope(tag) for tag in names]
    if category is not None:
        scopes.append(category_scope(engine.policies[category].name))
    if not scopes:
        raise PatternError("nothing to invalidate: give tags, a category or a pattern")
    label = category if category is not None and not names else ALL
    cause = trigger or (Trigger.TAG if names else Trigger.API)
    return (yield from _by_scope(engine, scopes, label, cause))


def _by_scope(engine: Engine, scopes: Sequence[str], label: str, trigger: Trigger) -> Operation[int]:
    with engine.recorder.operation(label, Op.INVALIDATE, batch_size=len(scopes)) as event:
        event.trigger = trigger
        engine.flights.detach()
        engine.failures.forget_all()
        if not engine.enabled:
            return 0
        try:
            yield from change(engine, scopes, engine.writing())
        except StoreError as trouble:
            engine.pending.add(scopes=scopes)
            engine.failed(event, trouble)
            return 0
        event.invalidations += len(scopes)
        note_scopes(engine, scopes, event, trigger)
        return len(scopes)


def _by_pattern(engine: Engine, plan: PatternPlan, trigger: Trigger, *, dry_run: bool) -> Operation[int]:
    with engine.recorder.operation(plan.category, Op.INVALIDATE) as event:
        event.trigger = trigger
        if not dry_run:
            engine.flights.detach()
            engine.failures.forget_all()
        if not engine.enabled:
            return 0
        try:
            if not dry_run:
                yield from refuse_writes(engine, plan)
                event.invalidations += 1
                note_scopes(engine, [plan.scope] if plan.scope is not None else [], event, trigger)
            return (yield from sweep(engine, plan.glob, event, plan.category, dry_run=dry_run))
        except StoreError as trouble:
            if not dry_run:
                engine.pending.add(scopes=[plan.scope or category_scope(plan.category)])
            engine.failed(event, trouble)
            return 0


def refuse_writes(engine: Engine, plan: PatternPlan) -> Operation[None]:
    """Before a sweep: invalidate the scope that the pattern equals, else refuse the category's writes in flight."""
    if plan.scope is not None:
        yield from change(engine, [plan.scope], engine.writing(), MissTrigger.PATTERN)
        return
    yield from _refuse(engine, category_scope(plan.category))
    if engine.settle_s:
        yield Pause(engine.settle_s)


def _refuse(engine: Engine, scope: str) -> Operation[None]:
    """Refuse a category's writes in flight; its entries stay valid."""
    engine.view.saw([(scope, None)])
    args: list[Arg] = [TOKEN, engine.tokens(FENCE_OF_CATEGORY - TOKEN)]
    try:
        yield RunScript(CHANGE, [engine.scope_name(scope)], args, engine.writing(), idempotent=True)
    finally:
        engine.changed(scopes=[scope])


def sweep(
    engine: Engine, glob: str, event: OperationEvent, category: str | None = None, *, dry_run: bool = False
) -> Operation[int]:
    """Unlink the keys that match, batch by batch, within the sweep's time; returns how many there were.

    Args:
        category: whose keys match; None when they are none of ours.
    """
    began, cursor, count = engine.clock.monotonic(), b"0", 0
    while True:
        reply = yield Call(("SCAN", cursor, "MATCH", glob, "COUNT", SCAN_COUNT), engine.writing(), idempotent=True)
        cursor, names = _page(reply)
        for batch in _batches(names):
            count += len(batch) if dry_run else (yield from _unlink(engine, batch, category))
        if cursor == b"0":
            return count
        if engine.clock.monotonic() - began > engine.sweep_s:
            raise StoreError(ErrorType.TIMEOUT, "the pattern's sweep took too long")


def _unlink(
    engine: Engine, names: Sequence[bytes], category: str | None, trigger: MissTrigger = MissTrigger.PATTERN
) -> Operation[int]:
    try:
        gone, digests = yield RunScript(SWEEP, names, (), engine.writing())
    finally:
        engine.changed(names=[name.decode("utf-8", "surrogateescape") for name in names])
    if category is not None and digests:
        yield from _tell(engine, category, digests, trigger)
    return int(gone)


def _tell(engine: Engine, category: str, digests: bytes, trigger: MissTrigger) -> Operation[None]:
    """Say of entries why they were removed; where that fails they will look evicted."""
    marks: dict[str, bytes] = {}
    for at in range(0, len(digests), DIGEST):
        digest = digests[at : at + DIGEST]
        name = keys.seen_name(engine.namespace, category, seen.block_of(digest))
        marks[name] = marks.get(name, b"") + seen.fingerprint_of(digest)
    with suppress(StoreError):
        yield RunScript(SWEPT, [*marks], [seen.swept(trigger), *marks.values()], engine.writing())


def _page(reply: Any) -> tuple[bytes, list[bytes]]:
    if not isinstance(reply, list | tuple) or len(reply) != 2 or not isinstance(reply[1], list):
        raise StoreError(ErrorType.PROTOCOL, "a reply of the wrong shape")
    cursor = reply[0]
    return (cursor if isinstance(cursor, bytes) else str(cursor).encode()), reply[1]


def _batches(names: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(names), SCAN_COUNT):
        yield names[start : start + SCAN_COUNT]
