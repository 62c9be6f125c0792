"""Carrying out what ``pending`` kept, and the one way to change generations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cache.clock import Deadline
from cache.core.engine import Engine, Operation
from cache.core.entry import tombstone
from cache.core.generations import FENCE_OF_CATEGORY, TOKEN
from cache.core.marks import marked, trigger_of
from cache.core.scripts import CHANGE, DELETE
from cache.core.steps import RunScript
from telemetry.vocabulary import MissTrigger


def heal(engine: Engine, deadline: Deadline) -> Operation[None]:
    """Carry out what is pending; nothing is struck off before the store has taken it.

    Raises:
        StoreError: the store is still in trouble; what is pending stays so.
    """
    scopes, names = engine.pending.snapshot()
    if scopes:
        yield from change(engine, scopes, deadline)
    if names:
        lifetime = max(engine.lifetime_ms(policy) for policy in engine.policies.values())
        try:
            yield RunScript(DELETE, names, [lifetime, *(buried(engine) for _ in names)], deadline)
        finally:
            engine.changed(names=names)
    engine.pending.done(scopes, names)


def buried(engine: Engine) -> bytes:
    """A tombstone: what stands under a key that was deleted."""
    return tombstone(marked(engine.tokens(TOKEN), MissTrigger.KEY))


def change(
    engine: Engine, scopes: Sequence[str], deadline: Deadline, trigger: MissTrigger | None = None
) -> Operation[Any]:
    """Give scopes new tokens; one round trip, whatever they cover.

    Args:
        trigger: what their misses are put down to; None: to the scope itself.
    """
    args: list[bytes | int] = []
    for scope in scopes:
        length = FENCE_OF_CATEGORY if scope.startswith("category:") else TOKEN
        args += (0, marked(engine.tokens(length), trigger or trigger_of(scope)))
    engine.view.saw((scope, None) for scope in scopes)
    try:
        yield RunScript(CHANGE, [engine.scope_name(scope) for scope in scopes], args, deadline, idempotent=True)
    finally:
        engine.changed(scopes=scopes)
