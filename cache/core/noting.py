"""Noting: what operations tell the history of keys and scopes; never a plain hit."""

from __future__ import annotations

from collections.abc import Sequence

from cache.core.engine import Engine
from cache.core.shelves import Wanted
from telemetry.events import OperationEvent

OF_A_BATCH = 64
"""Keys of one write that are noted: one large batch does not flush all that is known of others."""


def note(engine: Engine, wanted: Wanted, event: OperationEvent, what: str, why: str | None = None) -> None:
    """Note what happened to a key in an operation that is under way."""
    trace_id = engine.recorder.current_trace()
    engine.history.note(wanted.short, engine.clock.time(), event.operation, what, why, trace_id)


def note_writes(engine: Engine, wanted: Sequence[Wanted], event: OperationEvent, words: Sequence[str]) -> None:
    """Note what became of the writes of one operation, a word for each."""
    trace_id, now = engine.recorder.current_trace(), engine.clock.time()
    for want, what in list(zip(wanted, words, strict=True))[:OF_A_BATCH]:
        engine.history.note(want.short, now, event.operation, what, None, trace_id)


def note_scopes(engine: Engine, scopes: Sequence[str], event: OperationEvent, why: str) -> None:
    """Note that scopes were invalidated."""
    trace_id, now = engine.recorder.current_trace(), engine.clock.time()
    for scope in scopes[:OF_A_BATCH]:
        engine.history.note(engine.scope_name(scope), now, event.operation, "invalidated", why, trace_id)
