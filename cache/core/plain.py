"""The plain client's operations: text under exactly the key it is given, nothing raised, everything counted."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson

from cache.core import ttl as ttls
from cache.core.engine import Engine, Operation
from cache.core.invalidating import refuse_writes, sweep
from cache.core.lookup import MISS
from cache.core.patterns import plan as plan_pattern
from cache.core.patterns import prefix_category
from cache.core.steps import Call
from cache.errors import PatternError, StoreError, TTLError
from telemetry.events import OperationEvent
from telemetry.vocabulary import ErrorType, MissReason, Outcome, Tier, Trigger, WriteResult
from telemetry.vocabulary import Operation as Op

Warn = Callable[[str], None]
"""Receives one line about bad input: never a key or a value."""

LONGEST_KEY = 1 << 16
"""Characters; longer keys are refused."""

LONGEST_VALUE = 64 << 20
"""Bytes; longer values are refused."""


def category_of(engine: Engine, key: Any) -> str:
    """The category whose prefix the key has, else ``other``."""
    return prefix_category(key, engine.policies.prefixes) if isinstance(key, str) else "other"


def key_fault(key: Any) -> str | None:
    """What is wrong with a key; None when nothing is."""
    if not isinstance(key, str):
        return f"a key must be text, not {type(key).__name__}"
    if not key:
        return "a key must not be empty"
    if len(key) > LONGEST_KEY:
        return f"a key must not be longer than {LONGEST_KEY} characters"
    try:
        key.encode()
    except UnicodeEncodeError:
        return "a key must be valid Unicode"
    return None


def get(engine: Engine, warn: Warn, key: Any, *, parse: bool = False) -> Operation[Any]:
    """The text under ``key`` (its JSON with ``parse``), or None."""
    with engine.recorder.operation(category_of(engine, key), Op.GET) as event:
        fault = key_fault(key)
        if not engine.enabled:
            event.looked(Outcome.BYPASS)
            return None
        if fault is not None:
            return _refused(event, warn, fault)
        try:
            raw = yield Call(("GET", key), engine.reading(), idempotent=True)
        except StoreError as trouble:
            engine.failed(event, trouble)
            event.looked(Outcome.ERROR)
            return None
        value = _read(raw, parse=parse)
        if value is MISS:
            event.looked(Outcome.MISS, reason=MissReason.UNKNOWN if raw is None else MissReason.CORRUPT)
            return None
        event.looked(Outcome.HIT, tier=Tier.REDIS)
        return value


def _refused(event: OperationEvent, warn: Warn, fault: str) -> None:
    """Count bad input of a lookup as an error, say so once, answer None."""
    warn(fault)
    event.fail(ErrorType.OTHER)
    event.looked(Outcome.ERROR)


def _read(raw: Any, *, parse: bool) -> Any:
    """Text or JSON (null among it) of what Redis holds; ``MISS`` for anything else."""
    try:
        if isinstance(raw, bytes):
            raw = raw.decode()
        if not isinstance(raw, str):
            return MISS
        raw.encode()
        return orjson.loads(raw) if parse else raw
    except (ValueError, RecursionError):
        return MISS


def put(engine: Engine, warn: Warn, key: Any, value: Any, seconds: Any, *, as_json: bool = False) -> Operation[bool]:
    """Store text (JSON with ``as_json``) for exactly ``seconds``; True when it was stored."""
    with engine.recorder.operation(category_of(engine, key), Op.SET) as event:
        text, fault = _text_of(value, as_json=as_json)
        fault = key_fault(key) or fault
        milliseconds = 0
        try:
            milliseconds = int(ttls.seconds(seconds) * 1000)
        except TTLError as error:
            fault = fault or str(error)
        if fault is not None:
            warn(fault)
            event.fail(ErrorType.OTHER)
            event.wrote(WriteResult.DROPPED)
            return False
        if not engine.enabled:
            return False
        try:
            yield Call(("SET", key, text, "PX", milliseconds), engine.writing())
        except StoreError as trouble:
            engine.failed(event, trouble)
            event.wrote(WriteResult.DROPPED)
            return False
        event.wrote(WriteResult.STORED, size=len(text))
        return True


def _text_of(value: Any, *, as_json: bool) -> tuple[bytes, str | None]:
    """The bytes to store and what is wrong with the value."""
    try:
        if as_json:
            data = orjson.dumps(value, option=orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATACLASS)
            if orjson.loads(data) != value:
                return b"", "a value must come back from JSON as it was"
        elif isinstance(value, str):
            data = value.encode()
        else:
            return b"", f"a value must be text, not {type(value).__name__}"
    except Exception:  # also what a value's own __eq__ raises
        return b"", "a value must be valid Unicode and, for JSON, made of JSON's types"
    if len(data) > LONGEST_VALUE:
        return b"", f"a value must not be longer than {LONGEST_VALUE} bytes"
    return data, None


def delete(engine: Engine, warn: Warn, key: Any) -> Operation[bool]:
    """Remove what is under ``key``; True when there was something."""
    with engine.recorder.operation(category_of(engine, key), Op.DELETE) as event:
        event.trigger = Trigger.API
        fault = key_fault(key)
        if fault is not None:
            warn(fault)
            event.fail(ErrorType.OTHER)
        if fault is not None or not engine.enabled:
            return False
        try:
            gone = yield Call(("DEL", key), engine.writing())
        except StoreError as trouble:
            engine.failed(event, trouble)
            return False
        event.deletes += int(gone)
        return bool(gone)


def invalidate_pattern(engine: Engine, warn: Warn, pattern: Any) -> Operation[int]:
    """Unlink the keys that match, in bounded batches; returns how many.

    A pattern of a known category first makes the layer's entries and writes in flight under it invalid.
    """
    with engine.recorder.operation(category_of(engine, pattern), Op.INVALIDATE) as event:
        event.trigger = Trigger.API
        fault = key_fault(pattern) or (
            "a pattern must not be longer than 512 characters" if len(pattern) > 512 else None
        )
        if fault is not None:
            warn(fault.replace("a key", "a pattern"))
            event.fail(ErrorType.OTHER)
        if fault is not None or not engine.enabled:
            return 0
        try:
            # a pattern of no category of ours concerns nothing but the keys themselves
            category = None
            with suppress(PatternError):
                plan = plan_pattern(pattern, engine.policies.prefixes, hidden=engine.hidden)
                yield from refuse_writes(engine, plan)
                category = plan.category
            count = yield from sweep(engine, pattern, event, category)
        except StoreError as trouble:
            engine.failed(event, trouble)
            return 0
        event.invalidations += 1
        return count
